"""Opening a database, and the two ways to use one: read() and write().

SQLite is used as https://sqlite.org/wal.html and https://sqlite.org/pragma.html describe: write-ahead log, synchronous
FULL (what was committed survives a power cut), and in one process one writer at a time. Waiting for a lock of our own
is fair and quick, while SQLite's busy handler sleeps, which ruins the slowest answers as soon as two threads write.
"""

import contextlib
import errno
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, inspect, make_url, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from connector.store import migrations
from connector.store.errors import (
    DatabaseError,
    Full,
    InUse,
    NewerSchema,
    NoDatabase,
    NotOurs,
    OlderSchema,
    ReadOnly,
    UnsuitableUrl,
    translated,
)
from connector.store.tables import tickets

BUSY_SECONDS = 5  # how long to wait for a command that writes from another process


class Database:
    """An open database. Thread safe. Every method may raise DatabaseError."""

    def __init__(self, engine: Engine, lock: "_FileLock | None" = None) -> None:
        self.engine = engine
        self._writing = engine.execution_options(writes=True)
        self._lock = lock
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._writer: contextlib.AbstractContextManager[Any] = (
            threading.Lock() if self._is_sqlite else contextlib.nullcontext()
        )

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection of its own, that sees the database as it was when it first read. Writes nothing."""
        with _translating(), self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: committed, durably, when the block ends; rolled back if it raises."""
        with _translating(), self._writer, self._writing.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def migrating(self) -> Iterator[Connection]:
        """A write() in which tables can be rebuilt.

        SQLite alters a table by copying and dropping it, and with foreign keys enforced the drop would take the acts
        of every ticket with it. They cannot be switched off within a transaction, so this connection never has them.
        """
        with _translating(), self._writer, self._writing.connect() as connection:
            if self._is_sqlite:
                _execute_raw(connection, "PRAGMA foreign_keys = OFF")
                connection.detach()
            with connection.begin():
                yield connection

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that knows ON CONFLICT, which every database spells in its own way."""
        return sqlite.insert(table) if self._is_sqlite else postgresql.insert(table)

    def close(self) -> None:
        """Give back every connection, and the file to other processes. May be called twice."""
        self.engine.dispose()
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def open_database(url: str, *, exclusive: bool) -> Database:
    """Open the database at a SQLAlchemy URL (`sqlite:///connector.sqlite3`).

    `exclusive` is for `connector run`: it makes the SQLite file if there is none (readable by its owner only), keeps
    other processes from doing the same, brings the tables up to date, and frees the leases that a killed process left.
    Without it the database must be there and up to date; it may be in use by a `connector run` at the same time.
    """
    address = _checked(url)
    if address.get_backend_name() != "sqlite":
        return _prepared(Database(_engine(address)), address, exclusive=exclusive)
    path = _checked_path(address, must_exist=not exclusive)
    lock = _FileLock(path) if exclusive else None
    try:
        if exclusive:
            _create_file(path)
        return _prepared(Database(_sqlite_engine(address), lock), address, exclusive=exclusive)
    except BaseException:
        if lock is not None:
            lock.release()
        raise


def _checked(url: str) -> URL:
    try:
        address = make_url(url)
        backend = address.get_backend_name()
    except (ArgumentError, ValueError):
        raise UnsuitableUrl("the database URL cannot be read: write sqlite:///connector.sqlite3") from None
    if backend not in {"sqlite", "postgresql"}:
        raise UnsuitableUrl(f"{backend} is no database of the connector: write sqlite:///connector.sqlite3")
    return address


def _checked_path(address: URL, *, must_exist: bool) -> Path:
    name = address.database or ":memory:"
    if name == ":memory:" or name.startswith("file:"):
        raise UnsuitableUrl("the database must be a file: write sqlite:///connector.sqlite3")
    path = Path(name).resolve()  # so that a link to the file has the same lock
    if not path.parent.is_dir():
        raise NoDatabase(f"the folder {path.parent} does not exist: make it, or name another one")
    if path.is_dir():
        raise NotOurs(f"{path} is a folder: name a file")
    if must_exist and not path.exists():
        raise NoDatabase(f"there is no database at {path}: start `connector run` once to make it")
    return path


def _create_file(path: Path) -> None:
    # Never opened once it is there: closing a second handle would drop the locks that SQLite holds on it.
    with contextlib.suppress(FileExistsError), _telling_about(path):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _engine(address: URL, **options: Any) -> Engine:
    try:
        # Errors may be logged, so they must not show what was being written.
        return create_engine(address, hide_parameters=True, **options)
    except (NoSuchModuleError, ModuleNotFoundError):
        raise UnsuitableUrl(
            f"the driver of {address.drivername} is not installed: install it, or write sqlite:///connector.sqlite3"
        ) from None


def _sqlite_engine(address: URL) -> Engine:
    # Only readers share the pool (writers queue before it), so it needs no upper limit to wait for.
    engine = _engine(address, max_overflow=-1)

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        # The driver would begin transactions itself, and late: `begun` does it instead.
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # A transaction that reads first and writes later could be refused half-way: writers say so at the start.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _prepared(database: Database, address: URL, *, exclusive: bool) -> Database:
    """The database with its tables as this version knows them, or closed again and an error."""
    name = address.render_as_string(hide_password=True)
    try:
        if exclusive:
            _bring_up_to_date(database, name)
        else:
            _refuse_if_older(database, name)
    except BaseException:
        database.engine.dispose()
        raise
    return database


def _refuse_if_older(database: Database, name: str) -> None:
    with database.read() as connection:
        if _checked_revision(connection, name) != migrations.head():
            raise OlderSchema(f"{name} is not up to date: start `connector run` once with this version")


def _bring_up_to_date(database: Database, name: str) -> None:
    is_sqlite = database.engine.dialect.name == "sqlite"
    if is_sqlite:
        _use_write_ahead_log(database, name)
    with database.migrating() as connection:
        if _checked_revision(connection, name) != migrations.head():
            migrations.upgrade(connection)
        if is_sqlite:
            _free_leases(connection)


def _use_write_ahead_log(database: Database, name: str) -> None:
    with _translating(), database.engine.connect() as connection:
        if _execute_raw(connection, "PRAGMA journal_mode = WAL") != "wal":
            raise DatabaseError(f"{name} cannot keep a write-ahead log there: put the file on a local disk")


def _checked_revision(connection: Connection, name: str) -> str | None:
    """The revision of the tables; None for an empty database. Raises NotOurs and NewerSchema."""
    revision = migrations.current(connection)
    if revision is None and inspect(connection).get_table_names():
        raise NotOurs(f"{name} holds tables that are not the connector's: name another database")
    if revision is not None and revision not in migrations.known_revisions():
        raise NewerSchema(
            f"{name} was made by a later version of the connector (schema {revision}): install that version, or"
            " start with another database"
        )
    return revision


def _free_leases(connection: Connection) -> None:
    """Free every lease: no other process can hold one. A look cut short by a kill counts as a failed one."""
    connection.execute(
        update(tickets)
        .where(tickets.c.lease_until.is_not(None))
        .values(lease_until=None, lease_token=None, attempts=tickets.c.attempts + 1)
    )


def _execute_raw(connection: Connection, statement: str) -> Any:
    """Run a statement outside of any transaction, which SQLAlchemy would begin; the first value it answers."""
    driver: Any = connection.connection.dbapi_connection
    try:
        row = driver.execute(statement).fetchone()
    except sqlite3.Error as error:
        raise DBAPIError(statement, None, error) from error
    return row and row[0]


@contextlib.contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        kind = translated(error)
        if kind is None:
            raise
        raise kind from error


@contextlib.contextmanager
def _telling_about(path: Path) -> Iterator[None]:
    """Turn the system's refusal to make a file into one of ours."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Full(f"the disk that holds {path} is full: make room on it") from error
        raise ReadOnly(f"{path} cannot be written ({error.strerror}): let this user write in its folder") from error


class _FileLock:
    """Keeps a second process from working on the same SQLite file. The system frees it when the process ends."""

    def __init__(self, path: Path) -> None:
        # A file of its own: SQLite's locks on the database would be lost if we opened and closed that.
        # Never removed: a process that had just opened it would hold a lock that nobody else can see.
        lock_path = path.with_name(path.name + "-lock")
        with _telling_about(lock_path):
            self._file = os.open(lock_path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._file, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise InUse(
                f"the database {path} is in use by another connector (process {holder}): stop that one first, or"
                " give this one a database of its own"
            ) from error
        os.truncate(self._file, 0)
        os.write(self._file, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        os.close(self._file)
