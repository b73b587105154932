"""Whether this machine's clock agrees with that of the database's server, which all nodes share (PostgreSQL).

Leases, doubts and pauses are moments that one node notes and another reads. A node whose clock is an hour ahead would
take tickets that others have in hand, judge their acts long past doubt, and post them once more; so such a node does
nothing until its clock is right. (docs/decisions/0019-clocks.md)
"""

import threading
import time
from datetime import timedelta

from sqlalchemy import ClauseElement, Float, cast, extract, func, select

from connector.store.database import Database
from connector.store.errors import ClocksDiffer

MOST = timedelta(seconds=30)  # so two nodes differ by a minute at most, which is what leases and doubts leave room for
ASK_SECONDS = 10.0  # how often the server is asked, while nobody sets this machine's clock
_SET_SECONDS = 1.0  # by more than this no clock drifts meanwhile: it was set


class ServerClock:
    """The clock of the server of one database. Thread safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._asked_at: float | None = None  # monotonic
        self._set_to = 0.0  # the machine's clock less the monotonic one, when the server was asked
        self._ahead = 0.0  # seconds, of this machine's clock

    def check(self) -> None:
        """Raises ClocksDiffer if the two clocks differ by more than MOST. On SQLite there is but one."""
        if self._database.is_sqlite:
            return
        with self._lock:
            if self._is_old():
                self._ask()
            ahead = self._ahead
        if abs(ahead) > MOST.total_seconds():
            raise ClocksDiffer(
                f"this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of the"
                " database's server: set both by NTP. Nothing is attended to or polled here meanwhile"
            )

    def _is_old(self) -> bool:
        now = time.monotonic()
        was_set = abs(time.time() - now - self._set_to) > _SET_SECONDS
        return self._asked_at is None or now - self._asked_at > ASK_SECONDS or was_set

    def _ask(self) -> None:
        self._asked_at = None  # if it fails, the next asks again
        before = time.time()
        [(server,)] = self._database.head(_server_time)
        after, now = time.time(), time.monotonic()
        # Somewhere between the two it was read.
        self._ahead = before - server if server < before else min(after - server, 0.0)
        self._asked_at, self._set_to = now, after - now


def _server_time(_database: Database) -> ClauseElement:
    return select(cast(extract("epoch", func.clock_timestamp()), Float))
