"""Reading what is known of tickets, for the commands and for one ticket that asks about another."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ClauseElement, Connection, Select, bindparam, select

from connector.store.database import Database
from connector.store.tables import tickets

ANSWERED = "answered"  # the stage in which a ticket is no longer open (inquiry/decide.py)


@dataclass(frozen=True, slots=True)
class TicketState:
    """A ticket as the store knows it."""

    source: str
    ticket_id: str
    key: str | None
    stage: str | None  # None: never attended yet
    attend_at: datetime | None
    attempts: int
    lease_until: datetime | None
    stuck_since: datetime | None
    error: str | None
    config_hash: str | None
    tracker_updated_at: datetime | None
    attended_at: datetime | None
    first_seen_at: datetime


_SHOWN = [tickets.c[name] for name in TicketState.__dataclass_fields__]


class Tickets:
    """The tickets of one database, to be read. Thread safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, source: str, key_or_id: str) -> TicketState | None:
        """The ticket of that key, or else of that id."""
        return self._database.read(lambda connection: find(connection, source, key_or_id))

    def list_tickets(
        self, source: str | None = None, *, stuck_only: bool = False, limit: int | None = None
    ) -> list[TicketState]:
        """Tickets of one source or of all, the soonest to attend first, and last those that only news can wake."""
        query = select(*_SHOWN).order_by(
            tickets.c.attend_at.is_(None), tickets.c.attend_at, tickets.c.source, tickets.c.ticket_id
        )
        if source is not None:
            query = query.where(tickets.c.source == source)
        if stuck_only:
            query = query.where(tickets.c.stuck_since.is_not(None))
        return self._states(query.limit(limit))

    def twins(self, source: str, ticket_id: str, receipt_digest: str | None) -> list[tuple[str, str | None]]:
        """The (ticket_id, key) of other open tickets of the source with the same receipt number."""
        if receipt_digest is None:
            return []
        others = self._database.look(_twins, b_source=source, b_ticket_id=ticket_id, b_receipt_digest=receipt_digest)
        return [(other, key) for other, key in others]

    def _states(self, query: Select[Any]) -> list[TicketState]:
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return [TicketState(**row._mapping) for row in rows]


def _twins(_database: Database) -> ClauseElement:
    return (
        select(tickets.c.ticket_id, tickets.c.key)
        .where(
            tickets.c.source == bindparam("b_source"),
            tickets.c.receipt_digest == bindparam("b_receipt_digest"),
            tickets.c.ticket_id != bindparam("b_ticket_id"),
            tickets.c.stage != ANSWERED,
        )
        .order_by(tickets.c.first_seen_at, tickets.c.ticket_id)
    )


def find(connection: Connection, source: str, key_or_id: str) -> TicketState | None:
    """The ticket that a person means: by its key, which people see, or else by its id."""
    for column in (tickets.c.key, tickets.c.ticket_id):
        query = select(*_SHOWN).where(tickets.c.source == source, column == key_or_id)
        row = connection.execute(query.limit(1)).first()
        if row is not None:
            return TicketState(**row._mapping)
    return None
