"""With ten thousand tickets, none of the frequent calls reads them all."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event, insert

from connector.store import Database, Store, open_database
from connector.store.tables import tickets
from tests.store.helpers import LEASE, Sighting, at

ROWS = 10_000


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("plans")
    opened = open_database(f"sqlite:///{folder}/connector.sqlite3", exclusive=True)
    rows = [
        {
            "source": "office",
            "ticket_id": str(number),
            "key": f"CASE-{number}",
            "stage": "awaiting_ncsc",
            "attend_at": at(number),
            "attempts": 0,
            "failures": 0,
            "news": 1,
            "claimed_news": 1,
            "config_hash": "c1",
            "receipt_digest": f"d{number}",
            "first_seen_at": at(0),
        }
        for number in range(ROWS)
    ]
    with opened.write() as connection:
        connection.execute(insert(tickets), rows)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda store: store.attention.claim(at(99), 10, LEASE, ["office", "clinic"]), id="claim"),
        pytest.param(lambda store: store.attention.claim(at(-1), 10, LEASE, ["office"]), id="claim-when-idle"),
        pytest.param(lambda store: store.attention.notice("office", "7", "CASE-7", at(0)), id="notice"),
        pytest.param(
            lambda store: store.attention.notice_many("office", [Sighting("8", "C-8", at(0))], at(0)), id="poll"
        ),
        pytest.param(lambda store: store.attention.next_attend_at(["office", "clinic"]), id="next"),
        pytest.param(lambda store: store.attention.wake("office", ["9"], at(0)), id="wake"),
        pytest.param(lambda store: store.attention.mark_stale("office", "c1", at(0), 10), id="stale"),
        pytest.param(lambda store: store.attention.retry_all_stuck("office", at(0)), id="retry-all-stuck"),
        pytest.param(lambda store: store.tickets.twins("office", "7", "d7"), id="twins"),
        pytest.param(lambda store: store.tickets.get("office", "CASE-7"), id="by-key-or-id"),
        pytest.param(lambda store: store.acts.done_refs("office", "7"), id="acts"),
        pytest.param(lambda store: store.acts.comments_since("office", at(0)), id="brake"),
    ],
)
def test_uses_an_index_and_sorts_nothing(database: Database, call: Callable[[Store], Any]) -> None:
    said: list[tuple[str, Any]] = []

    def heard(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        said.append((statement, parameters[0] if many else parameters))

    event.listen(database.engine, "before_cursor_execute", heard)
    try:
        call(Store(database))
    finally:
        event.remove(database.engine, "before_cursor_execute", heard)

    said = [one for one in said if not one[0].startswith("BEGIN")]
    assert said
    for statement, parameters in said:
        with database.read() as connection:
            plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        reads_all = [step for step in plan if "tickets" in step and step.endswith(("tickets", "(source=?)"))]
        assert not reads_all, (statement, plan)
        if "receipt_digest = ?" not in statement:  # the few twins are sorted
            assert not [step for step in plan if "TEMP B-TREE" in step], (statement, plan)


def test_the_counts_read_indexes_only(database: Database) -> None:
    said: list[tuple[str, Any]] = []
    event.listen(
        database.engine,
        "before_cursor_execute",
        listener := lambda _connection, _cursor, statement, parameters, *_: said.append((statement, parameters)),
    )
    try:
        Store(database).sources.snapshot(["office"], at(50))
    finally:
        event.remove(database.engine, "before_cursor_execute", listener)
    queries = [one for one in said if one[0].startswith("SELECT")]
    assert len(queries) == 3
    for statement, parameters in queries:
        with database.read() as connection:
            plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        assert len(plan) == 1
        assert "USING COVERING INDEX ix_tickets" in plan[0]
