"""Empty databases for benchmarks: SQLite files, and those of a PostgreSQL that is thrown away."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests.postgres import postgresql_url

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"


class Databases:
    """Made by `databases()`. `kinds` are those that can be had here; `missing` says why one cannot."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, 0
        self.kinds: list[str] = [SQLITE]
        self.missing = ""
        self._server = ""

    def with_postgresql(self, url: str) -> None:
        """`url`: a database of the server, whose user may create others."""
        self._server = url
        self.kinds.append(POSTGRESQL)

    def new(self, kind: str) -> str:
        """The URL of an empty database."""
        self._made += 1
        name = f"benchmark_{self._made}"
        if kind == SQLITE:
            return f"sqlite:///{self._folder / name}.sqlite3"
        self._tell_server(f"drop database if exists {name}")
        self._tell_server(f"create database {name}")
        return make_url(self._server).set(database=name).render_as_string(hide_password=False)

    def rest(self) -> None:
        """Let PostgreSQL write to disk what filling left behind, so that it does not do so while it is measured."""
        if self._server:
            self._tell_server("checkpoint")

    def _tell_server(self, statement: str) -> None:
        plain = make_url(self._server).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def databases(folder: Path) -> Iterator[Databases]:
    """Databases for as long as the block runs."""
    made = Databases(folder)
    with ExitStack() as stack:
        try:
            made.with_postgresql(stack.enter_context(postgresql_url()))
        except pytest.skip.Exception as reason:
            made.missing = f"PostgreSQL was not measured: {reason}."
        yield made
