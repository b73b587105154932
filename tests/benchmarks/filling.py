"""Databases with millions of open tickets, filled by the database itself: tickets of one source, a wait in each."""

from contextlib import closing
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from connector.store.compiled import driver_of
from connector.store.database import Database
from connector.store.postgresql import connect
from connector.store.tables import tickets

BASE = datetime(2027, 1, 4, 14, 0, tzinfo=UTC)  # when the first ticket is due; the next come STEP after STEP
STEP = timedelta(milliseconds=1)
FIRST = 10_000  # the first ticket's id
_MICROS = int(BASE.timestamp()) * 1_000_000

# id, key and digest differ in each; the others are as after a look that found a running wait.
_COLUMNS = {
    "source": "'cases'",
    "ticket_id": "cast({first} + n as {text})",
    "key": "'CASE-' || ({first} + n)",
    "stage": "'awaiting_ncsc'",
    "attend_at": "{base} + n * {step}",
    "attempts": "0",
    "failures": "0",
    "news": "1",
    "claimed_news": "1",
    "config_hash": "'{config}'",
    "receipt_digest": "{digest}",
    "tracker_updated_at": "{base} - 5000000000000",
    "attended_at": "{base} - 4000000000000",
    "first_seen_at": "{base} - 6000000000000",
}


def fill(database: Database, size: int, *, config_hash: str = "0" * 16) -> None:
    """Put in `size` tickets: without the indexes, which are made afterwards, as that takes a fraction of the time."""
    sqlite = database.is_sqlite
    values = {
        "first": FIRST,
        "text": "text",
        "base": _MICROS,
        "step": int(STEP / timedelta(microseconds=1)),
        "config": config_hash,
        # As good as a digest: spread over the whole index, and no two alike.
        "digest": "printf('%016x', (n * 7368787) % 4294967291)" if sqlite else "md5(n::text)",
    }
    numbers = (
        f"with recursive series(n) as (select 0 union all select n + 1 from series where n < {size - 1})"
        if sqlite
        else f"with series as (select generate_series(0::bigint, {size - 1}) as n)"
    )
    select = ", ".join(each.format(**values) for each in _COLUMNS.values())
    indexes = sorted(tickets.indexes, key=lambda index: index.name or "")
    with database.migrating() as connection:
        for index in indexes:
            index.drop(connection, checkfirst=True)
        insert = f"insert into tickets ({', '.join(_COLUMNS)})"
        parts = (insert, numbers) if sqlite else (numbers, insert)
        connection.execute(text(f"{' '.join(parts)} select {select} from series"))
        for index in indexes:
            index.create(connection)
    _tidied(database)


def _tidied(database: Database) -> None:
    """What the databases would do by themselves some time later."""
    if database.is_sqlite:
        with database.engine.connect() as connection:
            driver_of(connection).execute("pragma wal_checkpoint(truncate)")
        return
    # Outside of the pool: SQLAlchemy would give a connection back without the driver's autocommit.
    with closing(connect(database.engine)) as alone:
        alone.patience = None
        alone.execute("set statement_timeout = 0")
        alone.execute("vacuum (analyze) tickets")
