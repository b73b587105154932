"""The baseline of the queue: one indexed table, and SQL written by hand."""

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

from sqlalchemy import make_url

from tests.benchmarks.tables import Measures

DUE, IDLE_LOOKS = 100, 100
_LEASE = 300_000_000  # microseconds
_MAKE = "create table bare (id bigint primary key, attend_at bigint, lease_until bigint, lease_token text)"
_INDEX = "create index bare_attend_at on bare (attend_at)"
_SETTLE = "update bare set attend_at = attend_at + 31536000000000, lease_until = null, lease_token = null"


@contextmanager
def opened(url: str, size: int) -> Iterator[Callable[[], Measures]]:
    """measure() of a bare table of so many rows, the n-th due at n milliseconds."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(address.database), isolation_level=None)) as connection:
            for pragma in ("journal_mode = wal", "synchronous = full"):
                connection.execute(f"pragma {pragma}")
            connection.execute(_MAKE)
            connection.execute(
                f"with recursive s(n) as (select 0 union all select n + 1 from s where n < {size - 1})"
                " insert into bare select n, n * 1000, null, null from s"
            )
            connection.execute(_INDEX)
            connection.execute("pragma wal_checkpoint(truncate)")
            yield partial(_look, _SQLiteQueue(connection))
    else:
        import psycopg  # noqa: PLC0415  only where PostgreSQL is measured

        plain = address.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(_MAKE)
            connection.execute(f"insert into bare select n, n * 1000 from generate_series(0::bigint, {size - 1}) as n")
            connection.execute(_INDEX)
            connection.execute("vacuum (analyze) bare")
            yield partial(_look, _PostgreSQLQueue(connection))


class _SQLiteQueue:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute, self._executemany = connection.execute, connection.executemany
        self.claimed = 0

    def claim(self, now: int) -> list[Any]:
        self._execute("begin immediate")
        due = self._execute(
            "select id from bare where attend_at <= ? and (lease_until is null or lease_until <= ?)"
            " order by attend_at limit 100",
            (now, now),
        ).fetchall()
        if due:
            leases = [(now + _LEASE, secrets.token_hex(16), number) for (number,) in due]
            self._executemany("update bare set lease_until = ?, lease_token = ? where id = ?", leases)
        self._execute("commit")
        return due

    def settle(self, until: int) -> None:
        self._execute(f"{_SETTLE} where attend_at <= {until}")


class _PostgreSQLQueue:
    def __init__(self, connection: Any) -> None:
        self._execute = connection.execute
        self.claimed = 0

    def claim(self, now: int) -> list[Any]:
        due: list[Any] = self._execute(
            "with due as (select id from bare where attend_at <= %s and (lease_until is null or lease_until <= %s)"
            " order by attend_at limit 100 for update skip locked)"
            " update bare set lease_until = %s, lease_token = md5(bare.id::text) from due where bare.id = due.id"
            " returning bare.id",
            (now, now, now + _LEASE),
        ).fetchall()
        return due

    def settle(self, until: int) -> None:
        self._execute(f"{_SETTLE} where attend_at <= {until}")


def _look(queue: "_SQLiteQueue | _PostgreSQLQueue") -> Measures:
    nothing_due = 1000 * queue.claimed - 1
    begun = time.perf_counter()
    for _ in range(IDLE_LOOKS):
        queue.claim(nothing_due)
    idle = (time.perf_counter() - begun) / IDLE_LOOKS
    queue.claimed += DUE
    until = 1000 * queue.claimed - 1
    begun = time.perf_counter()
    claimed = queue.claim(until)
    busy = time.perf_counter() - begun
    if len(claimed) != DUE:
        raise RuntimeError(f"{len(claimed)} claimed instead of {DUE}")
    queue.settle(until)
    return {"idle": 1000 * idle, "busy": 1000 * busy}
