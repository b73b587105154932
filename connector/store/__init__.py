"""The store: what the connector remembers, and the queue it works from. It holds nothing that a case says.

database = open_database("sqlite:///connector.sqlite3", exclusive=True)
store = Store(database)
for claim in store.attention.claim(now, limit, lease, sources): ...
"""

from connector.store.acts import Acts
from connector.store.attention import Attention, Claim
from connector.store.database import Database, open_database
from connector.store.errors import DatabaseError
from connector.store.sources import SourceCounts, Sources, SourceState
from connector.store.tickets import Tickets, TicketState

__all__ = [
    "Acts",
    "Attention",
    "Claim",
    "Database",
    "DatabaseError",
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
        self.attention = Attention(database)
        self.acts = Acts(database)
        self.sources = Sources(database)
        self.tickets = Tickets(database)
        self._database = database

    def close(self) -> None:
        """Close the database."""
        self._database.close()
