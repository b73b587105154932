"""What `connector db upgrade` and `connector db check` do."""

import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, text

from connector.store import migrations, schema
from connector.store.database import Database, open_database, shown, unprepared
from connector.store.errors import DatabaseError, NewerSchema, NotOurs

OLDEST_SERVER = 15  # the oldest major version of PostgreSQL that the tests run on
_CLOCKS_MAY_DIFFER = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice` is None where nothing is to be done."""

    what: str  # such as "tables"
    found: str  # such as "0002"; no password in it
    advice: str | None = None


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring the tables up to date: their revision before (None: there were none) and after. Raises DatabaseError.

    On SQLite no `connector run` may have the file. On PostgreSQL the nodes of the version before go on working.
    """
    database = open_database(url, exclusive=True, migrate=True)
    try:
        return database.found_revision, database.read(migrations.current) or migrations.head()
    finally:
        database.close()


def check(url: str) -> list[Finding]:
    """Look at the database, and change nothing. One that cannot be reached is a finding, too. Never raises."""
    try:
        name, database = shown(url), unprepared(url)
    except DatabaseError as error:
        return [Finding("database", "cannot be used", str(error))]
    findings = [Finding("database", name)]
    try:
        for look in [_tables, *(_SQLITE if database.is_sqlite else _POSTGRESQL)]:
            findings += database.read(partial(look, database))
    except DatabaseError as error:
        findings.append(Finding("answer", "none", str(error)))
    finally:
        database.close()
    return findings


def _tables(_database: Database, connection: Connection) -> list[Finding]:
    found = migrations.current(connection)
    try:
        advice = "run `connector db upgrade`" if schema.is_older(connection, "the database") else None
    except (NotOurs, NewerSchema) as error:
        advice = str(error)
    return [
        Finding("tables", found or "none", advice),
        Finding("tables of this version", migrations.head()),
        Finding("oldest version that can use them", schema.floor_of(connection) or "unknown"),
    ]


# PostgreSQL


def _server(_database: Database, connection: Connection) -> list[Finding]:
    version = int(_shown(connection, "server_version_num")) // 10_000
    encoding, commit = _shown(connection, "server_encoding"), _shown(connection, "synchronous_commit")
    is_standby = connection.scalar(text("SELECT pg_is_in_recovery()"))
    is_writable = not is_standby and _shown(connection, "transaction_read_only") == "off"
    to_write = "name the primary in the database URL" if is_standby else "let this user write"
    survive = "switch it on: what was answered to a webhook must survive a crash"
    return [
        _finding("server", f"PostgreSQL {version}", version >= OLDEST_SERVER, f"use version {OLDEST_SERVER} or later"),
        _finding("encoding", encoding, encoding == "UTF8", "make the database with ENCODING 'UTF8'"),
        _finding("writable", "yes" if is_writable else "no", is_writable, to_write),
        _finding("synchronous_commit", commit, commit != "off", survive),
        Finding("isolation", _shown(connection, "transaction_isolation")),
    ]


def _clock(_database: Database, connection: Connection) -> list[Finding]:
    before = datetime.now(UTC)
    there: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    after = datetime.now(UTC)
    apart = max(there - after, before - there, timedelta(0))  # it was read somewhere in between
    found, advice = f"{apart.total_seconds():.0f} s", "let both machines set their clocks by NTP"
    return [_finding("clocks apart", found, apart <= _CLOCKS_MAY_DIFFER, advice)]


def _shown(connection: Connection, setting: str) -> str:
    return str(connection.scalar(text(f"SHOW {setting}")))


# SQLite


def _file(database: Database, connection: Connection) -> list[Finding]:
    whole = connection.execute(text("PRAGMA quick_check(1)")).scalar_one() == "ok"
    mode = connection.execute(text("PRAGMA journal_mode")).scalar_one()
    path = Path(str(database.engine.url.database)).resolve()
    access = stat.S_IMODE(path.stat().st_mode)
    anew = "move it away and start with an empty one (nothing is posted again)"
    to_log = "start `connector run` once; if it stays so, put the file on a local disk"
    try:
        database.outside("BEGIN IMMEDIATE")  # and given up at once
        writable = Finding("writable", "yes")
    except DatabaseError as error:
        writable = Finding("writable", "no", str(error))
    return [
        _finding("file", "whole" if whole else "damaged", whole, anew),
        _finding("journal", str(mode), mode == "wal", to_log),
        _finding("permissions", f"{access:o}", not access & 0o077, f"chmod 600 {path}"),
        writable,
    ]


def _finding(what: str, found: str, is_well: bool, advice: str) -> Finding:
    return Finding(what, found, None if is_well else advice)


_Look = Callable[[Database, Connection], list[Finding]]
_POSTGRESQL: list[_Look] = [_server, _clock]
_SQLITE: list[_Look] = [_file]
