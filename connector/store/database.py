"""Opening a database, and the ways to use one: read(), write(), and for single quick statements look() and put()."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from sqlalchemy import URL, ClauseElement, Connection, Engine, Table, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError

from connector.store import migrations, schema
from connector.store.compiled import Compiled, Row, Values, driver_of
from connector.store.errors import DatabaseError, OlderSchema, UnsuitableUrl, is_worth_repeating, translated
from connector.store.group import GroupCommit
from connector.store.kept import KeptConnection
from connector.store.sqlite import FileLock, SameFile, checked_path, create_file, file_of, run_outside, sqlite_engine

_T = TypeVar("_T")
_PAUSE_SECONDS = 0.05
BUSY_SECONDS = 5  # how long to wait for a command that writes from another process (SQLite)


class Database:
    """An open database. Thread safe. Every method may raise DatabaseError."""

    def __init__(self, engine: Engine, lock: FileLock | None = None) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self.found_revision: str | None = None  # of the tables when it was opened
        self.on_error: Callable[[DatabaseError], None] = lambda _error: None  # told of each failure, to count it
        self._writing = engine.execution_options(writes=True)
        self._group = GroupCommit(self._writing, SameFile(file_of(engine)).check) if self.is_sqlite else None
        self._kept = KeptConnection(engine)
        self._lock = lock
        self._compiled: dict[Statement, Compiled] = {}

    def compiled(self, statement: "Statement") -> Compiled:
        """The statement, compiled for this database once."""
        known = self._compiled.get(statement)
        if known is None:
            known = self._compiled[statement] = Compiled(statement(self), self.engine.dialect)
        return known

    def read(self, work: Callable[[Connection], _T]) -> _T:
        """What `work` returned, which writes nothing. It may be run once more after the connection was cut.

        On SQLite it sees the database as it was when it first read; on PostgreSQL as it is at each statement.
        """
        return self._repeating(lambda: self._transact(self.engine, work))

    def look(self, statement: "Statement", **values: Any) -> list[Row]:
        """The rows of one SELECT, by the shortest way. `values` are those of its bindparams."""
        compiled = self.compiled(statement)
        return self._repeating(lambda: self._alone(compiled, values, compiled.rows))

    def head(self, statement: "Statement", **values: Any) -> list[Row]:
        """The rows of one statement that reads the head of an index, on a connection that is kept for such.

        If it writes (PostgreSQL), what it wrote is committed, and it is safe to repeat.
        """
        compiled = self.compiled(statement)
        return self._repeating(lambda: self._on_kept(compiled, values))

    def put(self, statement: "Statement", **values: Any) -> int:
        """Run one statement that is safe to repeat, and commit it durably, by the shortest way; the rows it changed."""
        compiled = self.compiled(statement)
        if self._group is None:
            return self._repeating(lambda: self._alone(compiled, values, _count))
        return self.write(lambda connection: _count(compiled.run(driver_of(connection), values)))

    def write(self, work: Callable[[Connection], _T]) -> _T:
        """What `work` returned, in one transaction that is committed, durably, when this returns.

        Nothing of it is kept if `work` raises. It may be run in another thread, and once more after the connection was
        cut or two writers waited for each other; so it does nothing but database work on the connection it is given.
        """
        if (group := self._group) is not None:
            return self._repeating(lambda: group.run(work))
        return self._repeating(lambda: self._transact(self._writing, work))

    def outside(self, statement: str) -> Any:
        """The first value that SQLite answers to a statement outside of any transaction."""
        with self._translating(), self.engine.connect() as connection:
            return run_outside(connection, statement)

    @contextlib.contextmanager
    def migrating(self) -> Iterator[Connection]:
        """A transaction in which tables can be rebuilt.

        SQLite alters a table by copying and dropping it, and with foreign keys enforced the drop would take the acts
        of every ticket with it. They cannot be switched off within a transaction, so this connection never has them.
        On PostgreSQL it takes as long as it takes, except that it does not make others wait for a lock it cannot get.
        """
        turn = self._group.lock if self._group else contextlib.nullcontext()
        with self._translating(), turn, self._writing.connect() as connection:
            if self.is_sqlite:
                run_outside(connection, "PRAGMA foreign_keys = OFF")
            connection.detach()
            with connection.begin():
                if not self.is_sqlite:
                    schema.wait_for_turn(connection)
                yield connection

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that knows ON CONFLICT, which every database spells in its own way."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def close(self) -> None:
        """Give back every connection, and the file to other processes. May be called twice."""
        self._kept.close()
        if self._group is not None:
            self._group.close()
        self.engine.dispose()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _repeating(self, run: Callable[[], _T]) -> _T:
        with self._translating():
            try:
                return run()
            except _WorthRepeating:
                time.sleep(_PAUSE_SECONDS)  # so that the other of two writers gets what both want
                return run()

    def _transact(self, engine: Engine, work: Callable[[Connection], _T]) -> _T:
        is_working = False  # neither connecting, which fails again, nor committing, which may have succeeded
        try:
            with engine.connect() as connection:
                is_working = True
                with connection.begin():
                    result = work(connection)
                    is_working = False
        except Exception as error:
            if is_working and is_worth_repeating(error):
                raise _WorthRepeating from error
            raise
        return result

    def _alone(self, compiled: Compiled, values: Values, answer: Callable[[Any], _T]) -> _T:
        """Run one statement in a transaction of its own, which the database begins and commits by itself."""
        pooled = self.engine.raw_connection()
        try:
            return answer(compiled.run(pooled.dbapi_connection, values))
        except Exception as error:
            if not is_worth_repeating(error):
                raise
            pooled.invalidate(error)
            raise _WorthRepeating from error
        finally:
            pooled.close()

    def _on_kept(self, compiled: Compiled, values: Values) -> list[Row]:
        try:
            return self._kept.use(lambda driver: compiled.rows(compiled.run(driver, values)))
        except Exception as error:
            if is_worth_repeating(error):
                raise _WorthRepeating from error
            raise

    @contextlib.contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            self.on_error(error)
            raise
        except Exception as error:
            cause = error.__cause__ if isinstance(error, _WorthRepeating) else error
            if (kind := translated(cause)) is not None:
                self.on_error(kind)
                raise kind from cause
            raise


def _count(cursor: Any) -> int:
    return int(cursor.rowcount)


class _WorthRepeating(Exception):
    """A connection was cut before anything was committed, or there was a deadlock. The cause is the driver's error."""


# A statement for the shortest way: written with SQLAlchemy, for the database at hand, by a function of its module.
Statement = Callable[[Database], ClauseElement]


def open_database(url: str, *, exclusive: bool, migrate: bool | None = None) -> Database:
    """Open the database at a SQLAlchemy URL (`sqlite:///connector.sqlite3`, `postgresql://connector@db/connector`).

    `migrate` brings the tables up to date; without it, older ones are refused. None means as `exclusive` says.

    `exclusive` is for `connector run`. On SQLite it makes the file if there is none (readable by its owner only), keeps
    other processes from doing the same, and frees the leases that a killed process left. Without it the file must be
    there; it may be in use by a `connector run` at the same time. On PostgreSQL it means nothing more: any number of
    processes work on one database.
    """
    address = _checked(url)
    migrate = exclusive if migrate is None else migrate
    if not _is_sqlite(address):
        return _prepared(Database(_postgresql_engine(address)), address, migrate=migrate)
    path = checked_path(address, must_exist=not exclusive)
    lock = FileLock(path) if exclusive else None
    try:
        if exclusive:
            create_file(path)
        database = _prepared(Database(sqlite_engine(address, BUSY_SECONDS), lock), address, migrate=migrate)
        if exclusive:
            database.write(schema.free_leases)
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    return database


def unprepared(url: str) -> Database:
    """The database as it is, whatever is in it: to look into it. Raises UnsuitableUrl, NoDatabase, NotOurs."""
    address = _checked(url)
    if not _is_sqlite(address):
        return Database(_postgresql_engine(address))
    checked_path(address, must_exist=True)
    return Database(sqlite_engine(address, BUSY_SECONDS))


def shown(url: str) -> str:
    """The URL without its password, nor what else stands behind its question mark. Raises UnsuitableUrl."""
    return _name(_checked(url))


def _checked(url: str) -> URL:
    try:
        address = make_url(url)
        backend = address.get_backend_name()
    except (ArgumentError, ValueError):
        raise UnsuitableUrl(
            "the database URL cannot be read: write sqlite:///connector.sqlite3, or postgresql://user@host/database"
            " with %40 and the like for special characters"
        ) from None
    if backend not in {"sqlite", "postgresql"}:
        raise UnsuitableUrl(f"{backend} is no database of the connector: write sqlite:///connector.sqlite3")
    return address


def _is_sqlite(address: URL) -> bool:
    return address.get_backend_name() == "sqlite"


def _name(address: URL) -> str:
    return address.set(query={}).render_as_string(hide_password=True)


def _postgresql_engine(address: URL) -> Engine:
    if address.drivername not in {"postgresql", "postgresql+psycopg"}:
        raise UnsuitableUrl(
            f"{address.drivername} is none of our drivers: write postgresql://, or write sqlite:///connector.sqlite3"
        )
    try:
        from connector.store.postgresql import postgresql_engine, with_driver  # noqa: PLC0415  # an extra
    except ImportError:
        raise UnsuitableUrl(
            "the PostgreSQL driver is not installed: pip install 'inquiry-connector[postgres]', or write"
            " sqlite:///connector.sqlite3"
        ) from None
    return postgresql_engine(with_driver(address))


def _prepared(database: Database, address: URL, *, migrate: bool) -> Database:
    """The database with tables that this version can work on, or closed again and an error."""
    try:
        _prepare(database, _name(address), migrate=migrate)
    except BaseException:
        database.engine.dispose()
        raise
    return database


def _prepare(database: Database, name: str, *, migrate: bool) -> None:
    if database.is_sqlite and migrate:
        _use_write_ahead_log(database, name)
    database.found_revision = database.read(migrations.current)
    is_older = database.read(lambda connection: schema.is_older(connection, name))
    if is_older and not migrate:
        raise OlderSchema(f"{name} is not up to date: {_HOW_TO_UPGRADE[database.is_sqlite]}")
    if is_older:
        with database.migrating() as connection:
            schema.bring_up_to_date(connection, name)


_HOW_TO_UPGRADE = {True: "start `connector run` once with this version", False: "run `connector db upgrade`"}


def _use_write_ahead_log(database: Database, name: str) -> None:
    if database.outside("PRAGMA journal_mode = WAL") != "wal":
        raise DatabaseError(f"{name} cannot keep a write-ahead log there: put the file on a local disk")
