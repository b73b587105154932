"""Every test of the store runs on a SQLite file, and on PostgreSQL with the marker `postgres` (tests/postgres.py)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.store import Database, Store, open_database
from tests.postgres import emptied, postgresql_url


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL database that is emptied by each test that uses it."""
    with postgresql_url() as url:
        yield url


@pytest.fixture
def postgresql_database(postgresql: str) -> str:
    """An empty PostgreSQL database."""
    return emptied(postgresql)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/connector.sqlite3"
    return emptied(request.getfixturevalue("postgresql"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url, exclusive=True)
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> Iterator[Store]:
    opened = Store(database)
    yield opened
    opened.close()
