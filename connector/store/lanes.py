"""The statements of claim(): two lanes, each the head of an index, so that they cost the same at any size.

The lane of passed waits has an index without news: a burst of ten thousand webhooks does not lie in it. The other lane
is all that is due. Both go by the moment since which a ticket has been due.

PostgreSQL plans them anew each time: a plan for any limit and any moment, made while the table was small, would read
and sort all of it when it is large.
"""

from datetime import datetime, timedelta

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Connection,
    String,
    Update,
    any_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    update,
)

from connector.store.compiled import Row, driver_of
from connector.store.database import Database
from connector.store.news import is_free
from connector.store.tables import NOW, Moment, tickets

_SOURCE, _TOKEN = bindparam("b_source", type_=String()), bindparam("b_token", type_=String())
# A lease still noted on a free ticket was outlived: that look failed, and a ticket that kills workers must not go on.
_ATTEMPTS = tickets.c.attempts + case((tickets.c.lease_token.is_(None), 0), else_=1)
_TAKEN = {
    "lease_token": _TOKEN,
    "lease_until": bindparam("until", type_=Moment()),
    "claimed_news": tickets.c.news,
    "attempts": _ATTEMPTS,
}
_SHOWN = ("attend_at", "ticket_id", "key", "stage", "failures", "config_hash", "receipt_digest", "attended_at")
_ANEW = {"plan_anew": True}
_ROW = [*(tickets.c[name] for name in _SHOWN), tickets.c.correlation_id]


def anything_due(_database: Database) -> ClauseElement:
    """Whether the source has a ticket that is due and in nobody's hand: a row, or none."""
    # In order, so that the index is used also where most tickets are due.
    due = (tickets.c.source == _SOURCE, tickets.c.attend_at <= NOW, is_free(NOW))
    return select(literal(1)).where(*due).order_by(tickets.c.attend_at).limit(1).execution_options(**_ANEW)


def take(
    database: Database, connection: Connection, source: str, limit: int, now: datetime, lease: timedelta, token: str
) -> list[Row]:
    """Lease up to `limit` due tickets of the source, half of them (rounded up) passed waits while there are such.

    Rows of (attend_at, ticket_id, key, stage, failures, config_hash, receipt_digest, attended_at, correlation_id,
    attempts), the longest due first.
    """
    values = {"b_source": source, "b_token": token, "now": now, "until": now + lease}
    driver = driver_of(connection)
    rows: list[Row] = []
    for lane, most in ((_waits, (limit + 1) // 2), (_all, limit)):
        if most > len(rows):
            chosen = database.compiled(lane)
            taken = chosen.rows(chosen.run(driver, {**values, "b_limit": most - len(rows)}))
            if database.is_sqlite:
                leases = [{**values, "b_ticket_id": ticket_id} for _, ticket_id, *_ in taken]
                database.compiled(_lease).run_many(driver, leases)
            rows += taken
    return sorted(rows, key=lambda row: row[0])


def _waits(database: Database) -> ClauseElement:
    return _taking(database, tickets.c.news == tickets.c.claimed_news)


def _all(database: Database) -> ClauseElement:
    return _taking(database)


def _taking(database: Database, *lane: ColumnElement[bool]) -> ClauseElement:
    """Take the first of a lane. One statement on PostgreSQL; SQLite has RETURNING only since 3.35, and reads first."""
    mine = tickets.c.lease_token == _TOKEN  # even if the lease is of no length
    due = (
        select(*([*_ROW, _ATTEMPTS] if database.is_sqlite else [tickets.c.ticket_id]))
        .where(tickets.c.source == _SOURCE, tickets.c.attend_at <= NOW, is_free(NOW), *lane)
        .where(or_(tickets.c.lease_token.is_(None), ~mine))
        .order_by(tickets.c.attend_at)
        .limit(bindparam("b_limit"))
        .with_for_update(skip_locked=True)
    )
    if database.is_sqlite:
        return due
    # An array is made once, while PostgreSQL may run a subquery that locks rows more than once and so pass the limit.
    chosen = tickets.c.ticket_id == any_(func.array(due.scalar_subquery()))
    return _marking(chosen).returning(*_ROW, tickets.c.attempts).execution_options(**_ANEW)


def _lease(_database: Database) -> ClauseElement:
    return _marking(tickets.c.ticket_id == bindparam("b_ticket_id"))


def _marking(chosen: ColumnElement[bool]) -> Update:
    return update(tickets).where(tickets.c.source == _SOURCE, chosen).values(**_TAKEN)
