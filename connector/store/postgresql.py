"""PostgreSQL: how its connections are made, and how one that has died is noticed. (docs/decisions/0013-postgresql.md)

The driver never begins a transaction by itself, so that a single statement is one round trip. Those that write several
begin one explicitly, READ COMMITTED.
"""

import select
import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError

from connector.store.errors import NoAnswer, UnsuitableUrl

_T = TypeVar("_T")

STATEMENT_SECONDS = 10  # after which the server gives a statement up
LOCK_SECONDS = 5  # how long a statement waits for another session's lock
PATIENCE_SECONDS = 12  # after which we take the server, or the way to it, for dead
POOL_SIZE = 16
POOL_OVERFLOW = 16

# libpq's defaults wait for minutes or for ever. The URL may say otherwise; what else it says is passed on to libpq:
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_DEFAULTS: dict[str, Any] = {
    "application_name": "inquiry-connector",
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}
# In one statement, and not among the options of the connection, which a pooler like PgBouncer would refuse.
# jit: with ten million tickets the server took the claim for costly and compiled it at each look, in 10 ms.
# tcp_keepalives: for the server, too, a node that has gone without a word is gone, and its locks with it.
_SESSION = f"""
    SELECT set_config('statement_timeout', '{STATEMENT_SECONDS}s', false),
           set_config('lock_timeout', '{LOCK_SECONDS}s', false),
           set_config('idle_in_transaction_session_timeout', '60s', false),
           set_config('default_transaction_isolation', 'read committed', false),
           set_config('jit', 'off', false),
           set_config('tcp_keepalives_idle', '10', false),
           set_config('tcp_keepalives_interval', '5', false),
           set_config('tcp_keepalives_count', '3', false)
"""

# For statements that read the head of an index and nothing else, planned once for all values: whatever the table was
# like at that time, it is read in the index's order and never sorted.
_HEADS = """
    SELECT set_config('plan_cache_mode', 'force_generic_plan', false),
           set_config('enable_seqscan', 'off', false),
           set_config('enable_bitmapscan', 'off', false),
           set_config('enable_sort', 'off', false)
"""


class _NoAnswer(NoAnswer, psycopg.OperationalError):
    """Patience is at its end."""


class PatientConnection(psycopg.Connection[Any]):
    """A connection that waits for the server for a while and not for ever.

    TCP itself notices a peer that is gone, but neither a server that hangs nor a proxy whose other side has died.
    """

    patience: float | None = PATIENCE_SECONDS  # seconds for one statement; None: for ever

    def wait(self, gen: PQGen[_T], *args: Any, **kwargs: Any) -> _T:
        """Wait for the server, as the driver does. Raises psycopg.OperationalError when patience is at its end."""
        return super().wait(gen if self.patience is None else self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: PQGen[_T]) -> Generator[Any, Any, _T]:
        # The driver sends a zero every tenth of a second in which nothing came.
        until = time.monotonic() + (self.patience or 0)
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > until:
                    self.pgconn.finish()  # whatever it would still answer is not for the next statement
                    raise _NoAnswer("no answer from the server")
                wanted = gen.send(ready)
        except StopIteration as end:
            result: _T = end.value
            return result


def with_driver(address: URL) -> URL:
    """The URL with the driver and the defaults that it does not name itself."""
    missing = {name: str(value) for name, value in _DEFAULTS.items() if name not in address.query}
    return address.set(drivername="postgresql+psycopg").update_query_dict(missing)


def connect(engine: Engine) -> PatientConnection:
    """A connection like those of the engine, but outside of its pool. Raises psycopg.Error."""
    _, parameters = engine.dialect.create_connect_args(engine.url)
    return _opened(dict(parameters))


def use_for_heads(connection: PatientConnection) -> None:
    """Make it a connection for statements that read the head of an index. Raises psycopg.Error."""
    connection.execute(_HEADS)


def postgresql_engine(address: URL) -> Engine:
    """The engine of an address that went through with_driver()."""
    engine = create_engine(
        address,
        hide_parameters=True,  # errors may be logged, so they must not show what was being written
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=LOCK_SECONDS,
        pool_use_lifo=True,  # so that the connections of a burst become idle, and a firewall may close them
        use_native_hstore=False,  # asking the server for it costs a round trip at each connection
    )

    @event.listens_for(engine, "do_connect")
    def connecting(_dialect: object, _record: object, _args: object, parameters: dict[str, Any]) -> PatientConnection:
        return _opened(dict(parameters))

    @event.listens_for(engine, "checkout")
    def checked_out(connection: PatientConnection, _record: object, _proxy: object) -> None:
        if not _is_alive(connection):
            raise DisconnectionError  # the pool makes a new one instead

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # Reads are single statements, and see what was committed before each.
        if connection.get_execution_options().get("writes", False):
            connection.exec_driver_sql("BEGIN")

    return engine


def _opened(parameters: dict[str, Any]) -> PatientConnection:
    try:
        connection = PatientConnection.connect(**parameters, autocommit=True)
    except psycopg.ProgrammingError as error:  # it names the option, and no value
        raise UnsuitableUrl(f"the database URL cannot be used as it is: {error}") from None
    connection.execute(_SESSION)
    return connection


def _is_alive(connection: PatientConnection) -> bool:
    """Whether the connection still stands, as far as can be told without asking: a server that closes one says so."""
    if connection.closed:
        return False
    heard = select.poll()
    heard.register(connection.pgconn.socket, select.POLLIN)
    try:
        while heard.poll(0):
            connection.pgconn.consume_input()
    except psycopg.OperationalError:
        return False
    return True
