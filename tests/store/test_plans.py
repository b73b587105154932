"""With ten thousand tickets, none of the frequent calls reads them all, and none sorts: on both databases."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert

from connector.store import Claim, Database, Store, open_database
from connector.store.compiled import driver_of
from connector.store.tables import tickets
from tests.postgres import emptied
from tests.store.helpers import LEASE, Sighting, at, claim, close_connections, settle, start

ROWS = 10_000
HELD = Claim("office", "7", None, None, "token", 0, 0, None, None, False)
NEWS = 3_000  # of them, all due for longer than any wait


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('plans')}/connector.sqlite3"
    else:
        url = emptied(request.getfixturevalue("postgresql"))
    opened = open_database(url, exclusive=True)
    rows = [
        {
            "source": "office",
            "ticket_id": str(number),
            "key": f"CASE-{number}",
            "stage": "awaiting_ncsc",
            "attend_at": at(number - NEWS),
            "attempts": 0,
            "failures": 0,
            "news": 2 if number < NEWS else 1,
            "claimed_news": 1,
            "config_hash": "c1",
            "receipt_digest": f"d{number}",
            "first_seen_at": at(0),
        }
        for number in range(ROWS)
    ]
    opened.write(lambda connection: connection.execute(insert(tickets), rows))
    if not opened.is_sqlite:
        opened.write(lambda connection: connection.exec_driver_sql("ANALYZE"))
    yield opened
    opened.close()


def plans_of(database: Database, call: Callable[[Store], Any]) -> list[str]:
    """How the database ran each statement of the call, with the statement before it."""
    return (_sqlite_plans if database.is_sqlite else _postgresql_plans)(database, call)


def call_on_new_connections(
    database: Database, call: Callable[[Store], Any], prepare: Callable[[Any, object], None]
) -> None:
    store = Store(database)
    close_connections(database)
    event.listen(database.engine, "connect", prepare)
    try:
        call(store)
    finally:
        event.remove(database.engine, "connect", prepare)
        store._bell.close()
        close_connections(database)


def _sqlite_plans(database: Database, call: Callable[[Store], Any]) -> list[str]:
    said: list[str] = []
    call_on_new_connections(database, call, lambda driver, _record: driver.set_trace_callback(said.append))
    statements = [statement for statement in said if re.match("SELECT|INSERT|UPDATE|DELETE", statement)]

    def explain(connection: Connection) -> list[str]:
        plans = []
        for statement in statements:
            plan = driver_of(connection).execute(f"EXPLAIN QUERY PLAN {statement}")
            plans.append("\n".join([statement, *(step for *_, step in plan)]))
        return plans

    return database.read(explain)


def _postgresql_plans(database: Database, call: Callable[[Store], Any]) -> list[str]:
    plans: list[str] = []

    def explain(driver: Any, _record: object) -> None:
        driver.execute("LOAD 'auto_explain'")
        driver.execute("SET auto_explain.log_min_duration = 0; SET client_min_messages = log")
        driver.add_notice_handler(lambda notice: plans.append(notice.message_primary))

    call_on_new_connections(database, call, explain)
    return [plan for plan in plans if "plan:" in plan]


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda store: claim(store, 99, 10, ["office", "clinic"]), id="claim"),
        pytest.param(lambda store: claim(store, -NEWS - 1, 10), id="claim-when-idle"),
        pytest.param(lambda store: store.attention.notice("office", "7", "CASE-7", at(0)), id="notice"),
        pytest.param(
            lambda store: store.attention.notice_many("office", [Sighting("8", "C-8", at(0))], at(0)), id="poll"
        ),
        pytest.param(lambda store: store.attention.wake("office", ["9"], at(0)), id="wake"),
        pytest.param(lambda store: store.attention.mark_stale("office", "c1", at(0), 10), id="stale"),
        pytest.param(lambda store: store.attention.retry_all_stuck("office", at(0)), id="retry-stuck"),
        pytest.param(lambda store: store.attention.retry_all_stuck(None, at(0)), id="retry-all-stuck"),
        pytest.param(lambda store: store.tickets.twins("office", "7", "d7"), id="twins"),
        pytest.param(lambda store: store.tickets.get("office", "CASE-7"), id="by-key-or-id"),
        pytest.param(lambda store: store.acts.done_refs("office", "7"), id="acts"),
        pytest.param(lambda store: settle(store, HELD, 0), id="settle"),
        pytest.param(lambda store: store.attention.renew(HELD, at(0), LEASE), id="renew"),
        pytest.param(lambda store: start(store, HELD, "r", 0), id="start"),
        pytest.param(lambda store: store.acts.finish("office", "7", ["r", "s"], at(0)), id="finish"),
        pytest.param(lambda store: store.acts.started("office", "7"), id="started"),
        pytest.param(lambda store: store.acts.comments_since("office", at(0)), id="brake"),
    ],
)
def test_uses_an_index_and_sorts_nothing(database: Database, call: Callable[[Store], Any]) -> None:
    plans = plans_of(database, call)
    assert plans
    for plan in plans:
        assert not re.search(r"SCAN tickets( USING .*\(source=\?\))?$|Seq Scan on tickets", plan, re.MULTILINE), plan
        if "receipt_digest" not in plan.partition("FROM")[2]:  # the few twins are sorted
            assert not re.search("TEMP B-TREE|Sort", plan), plan


def test_each_lane_of_the_claim_has_its_index(database: Database) -> None:
    plans = plans_of(database, lambda store: claim(store, 999, 40))  # more than other tests took
    if database.is_sqlite:
        _anything_due, everything, waits = (plan for plan in plans if "LIMIT" in plan)
        assert "ix_tickets_attend_at" in everything, everything
    else:  # both in one statement
        [waits] = [plan for plan in plans if "LIMIT" in plan]
        assert "Index Scan using ix_tickets_attend_at" in waits, waits
    assert "ix_tickets_waits" in waits, waits


def test_the_counts_read_indexes_only(database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("whether PostgreSQL must look into the table depends on when it was last vacuumed")
    plans = plans_of(database, lambda store: store.sources.snapshot(["office"], at(50)))
    assert len(plans) == 3
    for plan in plans:
        assert "USING COVERING INDEX ix_tickets" in plan.splitlines()[-1], plan


def test_starting_reads_no_more_than_the_tickets_in_hand(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/connector.sqlite3"
    open_database(url, exclusive=True).close()
    with sqlite3.connect(tmp_path / "connector.sqlite3") as connection:
        free = "UPDATE tickets SET lease_until = NULL WHERE lease_until IS NOT NULL"
        [plan] = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {free}")]
    connection.close()
    assert "USING INDEX ix_tickets_lease_until" in plan or "COVERING INDEX ix_tickets_lease_until" in plan
