"""What news changes in the row of a ticket, and the words that the queue's statements are made of."""

from datetime import datetime
from typing import Any

from sqlalchemy import ClauseElement, ColumnElement, and_, bindparam, case, func, literal, or_

from connector.store.database import Database
from connector.store.tables import CORRELATION_LENGTH, ID_LENGTH, NOW, Moment, tickets

is_stuck = tickets.c.stuck_since.is_not(None)
has_news = tickets.c.news > tickets.c.claimed_news


def is_ticket(source: str, ticket_id: str) -> tuple[ColumnElement[bool], ...]:
    """This ticket."""
    return (tickets.c.source == source, tickets.c.ticket_id == ticket_id)


def is_free(now: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Nobody has the ticket in hand."""
    return or_(tickets.c.lease_until.is_(None), tickets.c.lease_until <= now)


def raised(now: ColumnElement[datetime]) -> dict[str, Any]:
    """The columns of a known ticket after news.

    One in hand stays as it is: its worker will find the news when it ends. One that has been due for longer than `now`
    stays so, or else the next to be served would always be another.
    """
    in_hand = and_(tickets.c.lease_until.is_not(None), tickets.c.lease_until > now)
    return {
        "news": tickets.c.news + 1,
        "attend_at": case(
            (in_hand, tickets.c.attend_at),
            (tickets.c.not_before > now, tickets.c.not_before),
            (tickets.c.attend_at < now, tickets.c.attend_at),
            else_=now,
        ),
        "attempts": 0,
        "failures": 0,
        "stuck_since": None,
        "error": None,
    }


def upsert(database: Database) -> ClauseElement:
    """The statement for news of a ticket, known or not; its values are those of noticed()."""
    insert = database.insert(tickets).values(
        source=bindparam("b_source"),
        ticket_id=bindparam("b_ticket_id"),
        key=bindparam("b_key"),
        correlation_id=bindparam("b_correlation_id"),
        attend_at=NOW,
        first_seen_at=NOW,
        attempts=0,
        failures=0,
        news=1,
        claimed_news=0,
    )
    return insert.on_conflict_do_update(
        index_elements=[tickets.c.source, tickets.c.ticket_id],
        set_={
            **raised(NOW),
            "key": func.coalesce(insert.excluded.key, tickets.c.key),
            "correlation_id": func.coalesce(insert.excluded.correlation_id, tickets.c.correlation_id),
        },
    )


def noticed(
    source: str, ticket_id: str, key: str | None, now: datetime, correlation_id: str | None = None
) -> dict[str, Any]:
    """The values of upsert(). Raises ValueError for what no tracker gives."""
    return {
        "b_source": source,
        "b_ticket_id": _identifier(ticket_id),
        "b_key": None if key is None else _identifier(key),
        "b_correlation_id": None if correlation_id is None else correlation_id[:CORRELATION_LENGTH],
        "now": now,
    }


def at(moment: datetime | None) -> ColumnElement[datetime]:
    """A moment as part of an expression."""
    return literal(moment, Moment())


def _identifier(text: str) -> str:
    """An id or key, unless no tracker gives such a one: databases refuse some characters, and not all the same."""
    if not 0 < len(text) <= ID_LENGTH or not text.isprintable():
        raise ValueError("no tracker gives such an id or key to a ticket")
    return text
