"""For the tests of faults: how large and from which seed, a PostgreSQL, the process that forks nodes, the figures.

CONNECTOR_FAULTS=full        on demand, an hour or more; short (minutes) is the default
CONNECTOR_FAULTS_SEED=1234   what chance decides is decided again as in the run that printed this seed
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.figures import Figures, Table, reported
from tests.faults.rush import Rush
from tests.faults.rush import rush as rush_at
from tests.faults.scene import Scene, scene
from tests.faults.zygote import Zygote
from tests.postgres import emptied
from tests.postgres import postgresql_url as server_url

SIZE = os.environ.get("CONNECTOR_FAULTS", "") or "short"
SEED = int(os.environ.get("CONNECTOR_FAULTS_SEED", "") or 20260302)
TIMEOUTS = {"short": 600, "full": 3 * 3600}  # seconds, for one test

_table = Table()


def pytest_configure() -> None:
    if SIZE not in TIMEOUTS:
        raise pytest.UsageError(f"CONNECTOR_FAULTS is short or full, not {SIZE}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever stands in this folder is a test of faults, but for that of the figures."""
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here and item.path.name != "test_figures.py":
            item.add_marker(pytest.mark.faults)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(TIMEOUTS[SIZE]))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _table.add(report)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _table.rows:
        terminalreporter.section(f"faults, {SIZE}, seed {SEED}")
        for line in _table.lines():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def size() -> str:
    """ "short" or "full"."""
    return SIZE


@pytest.fixture(scope="session")
def seed() -> int:
    return SEED


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """figures("the fault's name") -> Row. Rows are shown at the end of the run."""
    made = Figures()
    yield made
    request.node.user_properties += [reported(row) for row in made.rows]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a database of one server for the whole run."""
    with server_url() as url:
        yield url


@pytest.fixture
def postgresql_url(postgresql: str) -> str:
    """The URL of an empty database, without tables even."""
    return emptied(postgresql)


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    with Zygote() as running:
        yield running


@pytest.fixture
def chance(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """The same for a test in every run of one seed."""
    return random.Random(f"{seed} {request.node.name}")


@pytest.fixture
def place(tmp_path: Path, zygote: Zygote) -> Iterator[Scene]:
    """An office whose cases are known beforehand. It has no node yet."""
    with scene(tmp_path, zygote) as made:
        yield made


@pytest.fixture
def rush(tmp_path: Path, zygote: Zygote, postgresql_url: str) -> Iterator[Rush]:
    """A tracker for thousands of tickets. It has no node yet."""
    with rush_at(tmp_path, zygote, postgresql_url) as made:
        yield made
