"""How often Jira lets one ticket be written to, kept before Jira has to say so.

Jira Cloud takes 20 writes of one issue in 2 seconds and 100 in 30 seconds (facts: jira 2, "Rate limits"). A look makes
a handful of writes; but a rule of the office that answers each of them could draw the connector into more. A quarter is
left to others who write with the same account.
"""

import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime

from connector.trackers.port import RateLimited

ALLOWED = ((15, 2.0), (75, 30.0))  # (writes, in so many seconds)
_MOST, _LONGEST = max(ALLOWED)


class WriteBook:
    """When each ticket was written to by this process. Thread safe."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._writes: dict[str, deque[float]] = {}  # moments, oldest first; the ticket that was noted last stands last

    def note(self, ticket_id: str) -> None:
        """A write is about to be made. Raises RateLimited, with nothing noted, if it would be one too many."""
        with self._lock:
            now = self._clock().timestamp()
            self._forget_before(now - _LONGEST)
            # What lies ahead was written before the clock was set back.
            past = (at for at in self._writes.pop(ticket_id, ()) if at <= now)
            writes = self._writes[ticket_id] = deque(past, maxlen=_MOST)
            pause = max(_pause(writes, now, most, seconds) for most, seconds in ALLOWED)
            if pause > 0:
                message = f"This ticket has been written to as often as Jira allows; more in {pause:.0f} seconds."
                raise RateLimited(message, retry_after=max(pause, 1.0), whole_source=False)
            writes.append(now)

    def _forget_before(self, moment: float) -> None:
        while self._writes:
            ticket_id, writes = next(iter(self._writes.items()))
            if writes[-1] > moment:
                return
            del self._writes[ticket_id]


def _pause(writes: deque[float], now: float, most: int, seconds: float) -> float:
    """Seconds until another write keeps within `most` in `seconds`; 0 or less: now."""
    return writes[-most] + seconds - now if len(writes) >= most else 0.0
