"""The store: what the connector remembers, and the queue it works from. It holds nothing that a case says.

database = open_database("sqlite:///connector.sqlite3", exclusive=True)
store = Store(database)
for claim in store.attention.claim(now, {"cases": 4}, lease): ...
"""

from collections.abc import Callable

from connector.store.acts import Acts
from connector.store.attention import Attention, Claim
from connector.store.bell import Bell, Listener
from connector.store.database import Database, open_database
from connector.store.errors import ClocksDiffer, DatabaseError
from connector.store.server_clock import ServerClock
from connector.store.sources import SourceCounts, Sources, SourceState
from connector.store.tickets import Tickets, TicketState

__all__ = [
    "Acts",
    "Attention",
    "Claim",
    "ClocksDiffer",
    "Database",
    "DatabaseError",
    "Listener",
    "SourceCounts",
    "SourceState",
    "Sources",
    "Store",
    "TicketState",
    "Tickets",
    "open_database",
]


class Store:
    """The parts of the store over one open database. Thread safe; every call may raise DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database, self._bell = database, Bell(database.engine)
        self._server_clock = ServerClock(database)
        self.attention = Attention(database, self._bell.ring)
        self.acts = Acts(database)
        self.sources = Sources(database, self._bell.ring)
        self.tickets = Tickets(database)

    def listen(self, on_due: Callable[[], None]) -> Listener:
        """Call `on_due` when another node made something due, until the Listener is stopped; PostgreSQL only.

        It is called in a thread of its own, and may be called for nothing. A call may be missing: look from time to
        time as well.
        """
        return self._bell.listen(on_due)

    def check_clock(self) -> None:
        """Raises ClocksDiffer if this machine's clock is not that of the database's server, as far as that matters.

        Asked before anything that goes by the clock; the server is asked every ten seconds. PostgreSQL only.
        """
        self._server_clock.check()

    def count_errors(self, on_error: Callable[[DatabaseError], None]) -> None:
        """Call `on_error` with each failure of the database that a call of this store raises, from now on."""
        self._database.on_error = on_error

    def close(self) -> None:
        """Stop listening and close the database. May be called twice."""
        self._bell.close()
        self._database.close()
