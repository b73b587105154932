"""The statements of leases. Those of claim() read two lanes, each the head of an index: they cost the same at any size.

The lane of passed waits has an index without news: a burst of ten thousand webhooks does not lie in it. The other lane
is all that is due. Both go by the moment since which a ticket has been due.

On PostgreSQL a claim is one statement, and so one round trip. On SQLite, which has RETURNING only since 3.35, all that
is due is read first, the lane of waits only if that holds too few of them, and then the leases are written by the
number that SQLite gives to each row.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ClauseElement,
    ColumnElement,
    Integer,
    Select,
    String,
    Update,
    any_,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    select,
    type_coerce,
    update,
)

from connector.store.compiled import Row, Values, driver_of
from connector.store.database import Database, Statement
from connector.store.news import has_news, is_free
from connector.store.tables import NOW, Moment, tickets

_SOURCE, _TOKEN = bindparam("b_source", type_=String()), bindparam("b_token", type_=String())
_LIMIT, _HALF = bindparam("b_limit", type_=Integer()), bindparam("b_half", type_=Integer())
_NUMBER = literal_column("tickets.rowid", Integer())  # which is quicker for SQLite than source and id
_IS_NUMBER = _NUMBER.op("=")(bindparam("b_number"))
# A lease still noted on a free ticket was outlived: that look failed, and a ticket that kills workers must not go on.
_ATTEMPTS = tickets.c.attempts + case((tickets.c.lease_token.is_(None), 0), else_=1)
_NO_NEWS = tickets.c.news == tickets.c.claimed_news
_UNTIL = bindparam("until", type_=Moment())
_LEASE: dict[str, Any] = {"lease_token": _TOKEN, "lease_until": _UNTIL}

_Found = tuple[int, bool, Row]  # its number, whether there is news, and what is shown of it


def take(database: Database, source: str, limit: int, now: datetime, lease: timedelta, token: str) -> list[Row]:
    """Lease up to `limit` due tickets of the source, half of them (rounded up) passed waits while there are such.

    Rows of (due since, ticket_id, key, stage, attempts, failures, config_hash, receipt_digest, first_look,
    correlation_id), the longest due first.
    """
    values = {"b_source": source, "b_token": token, "now": now, "until": now + lease}
    values |= {"b_limit": limit, "b_half": (limit + 1) // 2}
    if not database.is_sqlite:
        rows = database.head(_taking, **values)
    elif database.head(_anything_due, b_source=source, now=now):
        rows = database.write(lambda connection: _read_and_lease(database, driver_of(connection), values))
    else:
        rows = []
    return sorted(rows, key=lambda row: row[0])


def keep(_database: Database) -> ClauseElement:
    """The statement that makes a lease longer, if it has not run out: `b_source`, `b_ticket_id`, `b_token`, `now`,
    `until`."""
    return of_claim().where(tickets.c.lease_until > NOW).values(lease_until=_UNTIL)


def of_claim() -> Update:
    """An update of the ticket `b_source`, `b_ticket_id`, if it is still that of the claim `b_token`."""
    ticket = (tickets.c.source == _SOURCE, tickets.c.ticket_id == bindparam("b_ticket_id", type_=String()))
    return update(tickets).where(*ticket, tickets.c.lease_token == _TOKEN)


def _read_and_lease(database: Database, driver: Any, values: Values) -> list[Row]:
    def read(lane: Statement) -> list[_Found]:
        chosen = database.compiled(lane)
        return [
            (number, bool(is_news), tuple(row)) for number, is_news, *row in chosen.rows(chosen.run(driver, values))
        ]

    limit, half = values["b_limit"], values["b_half"]
    found = read(_all)
    if len(found) == limit and sum(not is_news for _, is_news, _ in found) < half:
        waits = read(_waits)
        numbers = {number for number, _, _ in waits}
        found = [*waits, *(each for each in found if each[0] not in numbers)][:limit]
    for statement, with_news in ((_lease, False), (_lease_news, True)):
        leases = [{"b_number": number, "b_attempts": row[4]} for number, is_news, row in found if is_news == with_news]
        if leases:
            database.compiled(statement).run_each(driver, values, leases)
    return [row for _, _, row in found]


def _anything_due(_database: Database) -> ClauseElement:
    """Whether the source has a ticket that is due and in nobody's hand: a row, or none."""
    # In order, so that the index is used also where most tickets are due.
    return _due(literal(1)).limit(1)


def _waits(_database: Database) -> ClauseElement:
    return _due(_NUMBER, has_news, *_shown(_ATTEMPTS)).where(_NO_NEWS).limit(_HALF)


def _all(_database: Database) -> ClauseElement:
    return _due(_NUMBER, has_news, *_shown(_ATTEMPTS)).limit(_LIMIT)


def _lease(_database: Database) -> ClauseElement:
    # What is not mentioned costs nothing: a lease alone leaves the indexes of both lanes as they are.
    return update(tickets).where(_IS_NUMBER).values(**_LEASE, attempts=bindparam("b_attempts"))


def _lease_news(_database: Database) -> ClauseElement:
    values = {**_LEASE, "attempts": bindparam("b_attempts"), "claimed_news": tickets.c.news}
    return update(tickets).where(_IS_NUMBER).values(**values)


def _taking(_database: Database) -> ClauseElement:
    """Both lanes in one statement (PostgreSQL)."""
    ticket = tickets.c.ticket_id
    waits = _due(ticket).where(_NO_NEWS).limit(_HALF).with_for_update(skip_locked=True).cte("waits")
    left = _LIMIT - select(func.count()).select_from(waits).scalar_subquery()
    # What the statement has locked itself it does not skip.
    others = _due(ticket).where(ticket.not_in(select(waits.c.ticket_id))).limit(left)
    rest = others.with_for_update(skip_locked=True, of=tickets).cte("rest")
    both = select(waits.c.ticket_id).union_all(select(rest.c.ticket_id))
    # An array is made once, while PostgreSQL may run a subquery that locks rows more than once and so pass the limit.
    chosen = ticket == any_(func.array(both.scalar_subquery()))
    taken = update(tickets).where(tickets.c.source == _SOURCE, chosen)
    values = {**_LEASE, "attempts": _ATTEMPTS, "claimed_news": tickets.c.news}
    return taken.values(**values).returning(*_shown(tickets.c.attempts)).execution_options(planned=True)


def _due(*columns: ColumnElement[Any]) -> Select[Any]:
    """What is due and in nobody's hand, the longest due first."""
    due = (tickets.c.source == _SOURCE, tickets.c.attend_at <= NOW, is_free(NOW))
    return select(*columns).where(*due).order_by(tickets.c.attend_at)


def _shown(attempts: ColumnElement[int]) -> list[ColumnElement[Any]]:
    row = tickets.c
    since = type_coerce(row.attend_at, BigInteger)  # as it is stored: it is only compared
    first_look = row.attended_at.is_(None)
    shown = [row.ticket_id, row.key, row.stage, attempts, row.failures, row.config_hash, row.receipt_digest]
    return [since, *shown, first_look, row.correlation_id]
