"""Versions of the tables: nodes of two versions work on one database while they are replaced one by one."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from connector.store import Database, Store, errors, migrations, open_database
from connector.store.checking import upgrade
from tests.store.helpers import LEASE, at, claim_one, settle, start, state

OURS = migrations.head()
AFTER, LATER = (f"{int(OURS) + step:04}" for step in (1, 2))
NEXT = f"""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{AFTER}", "{OURS}"


def upgrade():
    op.add_column("tickets", sa.Column("colour", sa.String(20)))
    op.create_table("paints", sa.Column("colour", sa.String(20), primary_key=True))
"""
CONTRACT = f"""
from alembic import op

revision, down_revision = "{LATER}", "{AFTER}"


def upgrade():
    op.execute("UPDATE schema_floor SET revision = '{AFTER}'")
"""


@pytest.fixture
def as_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """From here on this process is a version with these steps after our own."""
    ours = migrations._FOLDER

    def become(**steps: str) -> None:
        folder = tmp_path / f"version-{len(steps)}"
        shutil.copytree(ours, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        for name, step in steps.items():
            (folder / "versions" / f"{name}.py").write_text(step)
        monkeypatch.setattr(migrations, "_FOLDER", folder if steps else ours)

    return become


def work_a_ticket_through(store: Store, number: str) -> None:
    store.attention.notice("office", number, f"CASE-{number}", at(0), correlation_id="c")
    held = claim_one(store, 0)
    assert start(store, held, "r1", 0)
    store.acts.finish("office", number, ["r1"], at(0))
    assert settle(store, held, 0)
    assert state(store, number).stage == "call_ncsc"


@pytest.mark.postgres
def test_the_next_version_migrates_while_this_one_works(
    postgresql_database: str, as_version: Callable[..., None]
) -> None:
    old = Store(open_database(postgresql_database, exclusive=False, migrate=True))
    work_a_ticket_through(old, "1")
    as_version(step3=NEXT)
    assert upgrade(postgresql_database) == (OURS, AFTER)
    new = Store(open_database(postgresql_database, exclusive=False))
    work_a_ticket_through(old, "2")
    work_a_ticket_through(new, "3")

    as_version()
    opened_late = Store(open_database(postgresql_database, exclusive=True))
    work_a_ticket_through(opened_late, "4")
    assert upgrade(postgresql_database) == (AFTER, AFTER), "an earlier version leaves the tables as they are"
    for store in (old, new, opened_late):
        store.close()

    as_version(step3=NEXT, step4=CONTRACT)
    assert upgrade(postgresql_database) == (AFTER, LATER)
    as_version()
    for migrate in (True, False):
        with pytest.raises(errors.NewerSchema, match=rf"later version of the connector \(schema {LATER}\): install"):
            open_database(postgresql_database, exclusive=False, migrate=migrate)


@pytest.mark.postgres
def test_many_nodes_that_start_at_once_migrate_once(postgresql_database: str) -> None:
    opened: list[Database] = []
    failed: list[BaseException] = []

    def start() -> None:
        try:
            opened.append(open_database(postgresql_database, exclusive=True))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(opened) == 6
    for database in opened:
        database.close()


@pytest.mark.postgres
def test_a_node_that_may_not_migrate_tells_what_to_run(postgresql_database: str) -> None:
    with pytest.raises(errors.OlderSchema, match="is not up to date: run `connector db upgrade`"):
        open_database(postgresql_database, exclusive=False, migrate=False)
    assert upgrade(postgresql_database) == (None, OURS)
    open_database(postgresql_database, exclusive=False, migrate=False).close()


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_later_version_with_the_floor_above_us_is_refused_untouched(database_url: str, exclusive: bool) -> None:
    database = open_database(database_url, exclusive=True)
    database.write(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    database.write(lambda connection: connection.execute(text("UPDATE schema_floor SET revision = '9998'")))
    database.close()
    with pytest.raises(errors.NewerSchema, match=r"later version of the connector \(schema 9999\)"):
        open_database(database_url, exclusive=exclusive)


def test_the_file_of_a_later_version_that_only_adds_is_used_as_it_is(
    database_url: str, as_version: Callable[..., None]
) -> None:
    as_version(step3=NEXT)
    assert upgrade(database_url) == (None, AFTER)
    as_version()
    with_ours = Store(open_database(database_url, exclusive=True))
    work_a_ticket_through(with_ours, "1")
    with_ours.close()


def test_the_tables_of_the_first_version_are_brought_up_to_date(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tmp_path / "first"
    shutil.copytree(migrations._FOLDER, first, ignore=shutil.ignore_patterns("__pycache__", "000[2-9]*"))
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "_FOLDER", first)
        database = open_database(database_url, exclusive=True)
        ticket = (
            "INSERT INTO tickets (source, ticket_id, attend_at, attempts, failures, news, claimed_news, first_seen_at)"
            " VALUES ('office', '1', 0, 0, 0, 1, 1, 0)"
        )
        database.write(lambda connection: connection.execute(text(ticket)))
        database.close()
    assert upgrade(database_url) == ("0001", OURS)
    store = Store(open_database(database_url, exclusive=True))
    [claimed] = store.attention.claim(at(0), {"office": 1}, LEASE)
    assert (claimed.ticket_id, claimed.correlation_id) == ("1", None)
    store.close()
