"""A connection of its own for the statements of every beat, which the way through the pool would cost twice."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Engine, PoolProxiedConnection

_T = TypeVar("_T")


class KeptConnection:
    """One connection of an engine, out of its pool. Thread safe: whoever uses it takes turns."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._connection: PoolProxiedConnection | None = None

    def use(self, work: Callable[[Any], _T]) -> _T:
        """What `work` returned, which got the driver's connection, outside of a transaction.

        Raises what it raised, and then the next to come gets a new connection.
        """
        with self._turn:
            if self._connection is None:
                self._connection = self._opened()
            try:
                return work(self._connection.dbapi_connection)
            except BaseException:
                self._drop()
                raise

    def close(self) -> None:
        """Close it. May be called twice."""
        with self._turn:
            self._drop()

    def _opened(self) -> PoolProxiedConnection:
        connection = self._engine.raw_connection()
        connection.detach()
        if self._engine.dialect.name == "postgresql":
            from connector.store.postgresql import use_for_heads  # noqa: PLC0415  # an extra

            driver: Any = connection.dbapi_connection
            try:
                use_for_heads(driver)
            except BaseException:
                connection.close()
                raise
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
