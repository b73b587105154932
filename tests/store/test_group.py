"""Writers of one SQLite file share their commits, and nothing else."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, select, text

from connector.store import Database, errors, open_database
from connector.store.tables import sources
from tests.store.helpers import close_connections

Outcome = int | Exception


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path}/connector.sqlite3", exclusive=True)
    yield opened
    opened.close()


@pytest.fixture
def commits(database: Database) -> list[str]:
    """What is said at the beginning and at the end of transactions that write."""
    said: list[str] = []
    on_new_connections(
        database,
        lambda driver: driver.set_trace_callback(
            lambda statement: said.append(statement) if statement in {"BEGIN IMMEDIATE", "COMMIT"} else None
        ),
    )
    return said


def on_new_connections(database: Database, prepare: Callable[[sqlite3.Connection], object]) -> None:
    """Close those that there are, and do this with each that is made from now on."""
    close_connections(database)
    event.listen(database.engine, "connect", lambda driver, _record: prepare(driver))


def put(name: str) -> Callable[[Connection], int]:
    def work(connection: Connection) -> int:
        connection.execute(insert(sources).values(source=name))
        return len(name)

    return work


def fail(_connection: Connection) -> int:
    raise RuntimeError


def put_and_fail(connection: Connection) -> int:
    put("half")(connection)
    raise RuntimeError


def at_once(database: Database, works: list[Callable[[Connection], int]]) -> list[Outcome]:
    """Let all of them lie there together, and then be done; what each caller was told."""
    outcomes: list[Outcome] = [RuntimeError("not told")] * len(works)
    group = database._group
    assert group is not None

    def call(number: int) -> None:
        try:
            outcomes[number] = database.write(works[number])
        except Exception as error:
            outcomes[number] = error

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(works))]
    with group.lock:
        for number, thread in enumerate(threads):
            thread.start()
            while len(group._waiting) <= number:
                threading.Event().wait(0.001)
    for thread in threads:
        thread.join(10)
    return outcomes


def there(database: Database) -> set[str]:
    return set(database.read(lambda connection: connection.scalars(select(sources.c.source)).all()))


def test_all_that_wait_are_committed_at_once_and_each_is_told_its_own_result(
    database: Database, commits: list[str]
) -> None:
    names = ["a", "bb", "ccc", "dddd"]
    assert at_once(database, [put(name) for name in names]) == [1, 2, 3, 4]
    assert commits == ["BEGIN IMMEDIATE", "COMMIT"]
    assert there(database) == set(names)


def test_a_crowd_is_served_in_several_turns(database: Database, commits: list[str]) -> None:
    names = [f"{number:03}" for number in range(100)]
    assert at_once(database, [put(name) for name in names]) == [3] * 100
    assert commits == ["BEGIN IMMEDIATE", "COMMIT"] * 2
    assert there(database) == set(names)


def test_one_that_fails_is_told_and_leaves_its_neighbours_alone(database: Database, commits: list[str]) -> None:
    first, failed, doubled, last = at_once(database, [put("a"), put_and_fail, put("a"), put("z")])
    assert (first, last) == (1, 1)
    assert isinstance(failed, RuntimeError)
    assert type(doubled).__name__ == "IntegrityError"
    assert commits == ["BEGIN IMMEDIATE", "COMMIT"]
    assert there(database) == {"a", "z"}


def test_alone_it_is_the_same(database: Database) -> None:
    for work in (fail, put_and_fail):
        with pytest.raises(RuntimeError):
            database.write(work)
    assert database.write(put("a")) == 1
    assert there(database) == {"a"}


def test_a_commit_that_fails_is_told_to_everybody(tmp_path: Path, database: Database) -> None:
    def fill_the_disk(connection: Connection) -> int:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        rows = [{"source": f"{number:0200}"} for number in range(2000)]
        connection.execute(insert(sources), rows)
        return 0

    outcomes = at_once(database, [put("a"), fill_the_disk, put("z")])
    assert [type(outcome) for outcome in outcomes] == [errors.Full] * 3
    assert there(database) == set()

    other = sqlite3.connect(tmp_path / "connector.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    on_new_connections(database, lambda driver: driver.execute("PRAGMA busy_timeout = 0"))
    outcomes = at_once(database, [put("a"), fail, put("z")])
    other.close()
    assert [type(outcome) for outcome in outcomes] == [errors.Busy] * 3
    assert at_once(database, [put("a"), put("z")]) == [1, 1]


def test_nobody_is_told_before_it_is_on_the_disk(tmp_path: Path, database: Database) -> None:
    seen: list[int] = []

    def look(_connection: Any) -> None:
        with sqlite3.connect(tmp_path / "connector.sqlite3") as other:
            seen.append(other.execute("SELECT count(*) FROM sources").fetchone()[0])
        other.close()

    assert at_once(database, [put("a"), put("b")]) == [1, 1]
    look(None)
    on_new_connections(
        database, lambda driver: driver.set_trace_callback(lambda what: look(None) if what == "COMMIT" else None)
    )
    database.write(put("c"))
    assert seen == [2, 2], "the second look was just before its commit"
    assert len(there(database)) == 3


def test_a_row_that_the_driver_cannot_take_fails_alone(database: Database) -> None:
    outcomes = at_once(
        database,
        [put("a"), lambda connection: connection.execute(text("SELECT :x"), {"x": object()}).scalar_one(), put("b")],
    )
    assert (outcomes[0], outcomes[2]) == (1, 1)
    assert isinstance(outcomes[1], Exception)
    assert there(database) == {"a", "b"}
