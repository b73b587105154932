"""The pace of calls to one tracker: not more in a second than its admin allows (`tracker.calls_per_second`).

It is a token bucket that holds one token: calls are spaced evenly, so that no second ever sees more than its share.
Each process keeps its own.
"""

import threading
import time
from collections.abc import Callable

from connector.trackers.port import RateLimited, Stopping

# Nobody waits longer for a turn: an act that waits is noted as started, and must be over before its lease is.
LONGEST_WAIT = 60.0


class Pace:
    """Says when a call may go. `per_second`: calls; None: any number. Thread safe; who waits holds no lock."""

    def __init__(self, per_second: float | None = None, *, now: Callable[[], float] = time.monotonic) -> None:
        self.per_second = per_second
        self._gap = 1 / per_second if per_second else 0.0  # seconds between two calls
        self._now = now
        self._free_at = float("-inf")  # the first turn that nobody has taken yet
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def wait(self) -> None:
        """Wait for this call's turn, in the order of asking. At once where there is no limit.

        Raises RateLimited, with no turn taken, if that would take longer than LONGEST_WAIT; after stop(), Stopping.
        """
        if self._gap and self._stopped.wait(self._turn()):
            raise Stopping("The connector is stopping; the call was not made.")

    def stop(self) -> None:
        """Nobody waits any more: all who do are told Stopping."""
        self._stopped.set()

    def _turn(self) -> float:
        """Take the next turn; the seconds until it comes."""
        with self._lock:
            now = self._now()
            at = max(self._free_at, now)
            if at - now > LONGEST_WAIT:
                message = "More calls wait for their turn (tracker.calls_per_second) than can be made in time."
                raise RateLimited(message, retry_after=at - now, whole_source=False)
            self._free_at = at + self._gap
            return at - now
