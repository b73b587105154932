"""SQLite: the file, who may use it, and how it is opened.

It is used as https://sqlite.org/wal.html and https://sqlite.org/pragma.html describe: write-ahead log, synchronous FULL
(what was committed survives a power cut), and in one process one writer at a time. Waiting for a lock of our own is
quick, while SQLite's busy handler sleeps, which ruins the slowest answers as soon as two threads write.
"""

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from connector.store.errors import Full, InUse, NoDatabase, NotOurs, ReadOnly, Replaced, UnsuitableUrl


def checked_path(address: URL, *, must_exist: bool) -> Path:
    """Where the file is or will be. Raises UnsuitableUrl, NoDatabase, NotOurs."""
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


def file_of(engine: Engine) -> Path:
    """The file of an engine that sqlite_engine() made."""
    return Path(engine.url.database or "").resolve()


def create_file(path: Path) -> None:
    """Make the file, readable by its owner only, unless it is there. Raises ReadOnly, Full."""
    # Never opened once it is there: closing a second handle would drop the locks that SQLite holds on it.
    with contextlib.suppress(FileExistsError), _telling_about(path):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def sqlite_engine(address: URL, busy_seconds: float) -> Engine:
    """The engine of a file. Waits `busy_seconds` for another process, a command mostly, that writes."""
    # Only readers share the pool (writers queue before it), so it needs no upper limit to wait for.
    # Errors may be logged, so they must not show what was being written.
    engine = create_engine(address, hide_parameters=True, max_overflow=-1)

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        # The driver would begin transactions itself, and late: `begun` does it instead.
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA busy_timeout = {int(busy_seconds * 1000)}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        if connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]  # of sqlite3
            return  # the writer's own (group.py)
        # A transaction that reads first and writes later could be refused half-way: writers say so at the start.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


class SameFile:
    """Whether the file of that name is still the one that was opened.

    A file that was removed or replaced lives on for those who have it open. What they write to it, an accepted webhook
    above all, is gone when they end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = self._found()

    def check(self) -> None:
        """Raises Replaced."""
        if self._found() != self._opened:
            raise Replaced(f"{self._path} was removed or replaced while it was in use: start the connector again")

    def _found(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


class FileLock:
    """Keeps a second process from working on the same SQLite file. The system frees it when the process ends."""

    def __init__(self, path: Path) -> None:
        """Raises InUse, ReadOnly, Full."""
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
        """Let others have the file."""
        os.close(self._file)


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


def run_outside(connection: Connection, statement: str) -> Any:
    """Run a statement outside of any transaction, which SQLAlchemy would begin; the first value it answers."""
    driver: Any = connection.connection.dbapi_connection
    row = driver.execute(statement).fetchone()
    return row and row[0]
