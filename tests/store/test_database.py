"""Opening a database, and what a SQLite file has to withstand."""

import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import IntegrityError, StatementError

from connector.store import Database, Store, errors, open_database
from connector.store import database as database_module
from connector.store.tables import metadata, sources
from tests.store.helpers import LEASE, START, at, claim_one, start, state


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "connector.sqlite3"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


class TestTables:
    def test_migrations_make_what_the_tables_say(self, database: Database) -> None:
        sqlite_only = "" if database.is_sqlite else "ix_tickets_lease_until"

        def differences(connection: Connection) -> list[Any]:
            options = {"compare_type": True, "include_object": lambda _thing, name, *_: name != sqlite_only}
            context = MigrationContext.configure(connection, opts=options)
            return list(compare_metadata(context, metadata))

        assert database.read(differences) == []

    def test_rebuilding_a_table_keeps_the_rows_that_hang_on_it(self, database: Database) -> None:
        store = Store(database)
        store.attention.notice("office", "1", "CASE-1", at(0))
        start(store, claim_one(store, 0), "r1", 0)
        with database.migrating() as connection:
            operations = Operations(MigrationContext.configure(connection))
            with operations.batch_alter_table("tickets", recreate="auto") as batch:
                batch.alter_column("key", nullable=True, server_default="?")
        assert store.acts.started("office", "1").keys() == {"r1"}
        store.attention.forget(claim_one(store, 5), now=at(5))
        assert store.acts.started("office", "1") == {}, "foreign keys are enforced again"

    def test_a_moment_is_exact_and_a_naive_one_is_refused(self, database: Database) -> None:
        store = Store(database)
        store.sources.attended("office", START.astimezone())
        assert store.sources.get("office").attended_at == START
        stored = database.read(lambda connection: connection.scalar(text("SELECT attended_at FROM sources")))
        assert stored == 1772378100123456
        with pytest.raises(StatementError, match="naive"):
            store.sources.attended("office", datetime(2026, 3, 1))  # noqa: DTZ001  # the mistake under test

    def test_no_column_could_hold_what_a_case_says(self) -> None:
        lengths = {column.name: getattr(column.type, "length", None) for column in metadata.tables["tickets"].columns}
        assert max(length for length in lengths.values() if length) == 300
        names = {column.name for table in metadata.tables.values() for column in table.columns}
        assert names == {
            *("source", "ticket_id", "key", "stage", "ref", "kind", "config_hash", "receipt_digest"),
            *("attend_at", "not_before", "attempts", "failures", "lease_until", "lease_token", "news", "claimed_news"),
            *("correlation_id", "revision"),
            *("stuck_since", "error", "tracker_updated_at", "attended_at", "first_seen_at", "started_at", "done_at"),
            *(
                "watermark",
                "polled_at",
                "heard_at",
                "paused_until",
                "pause_reason",
                "braked_at",
                "brake_reason",
                "allowance_from",
            ),
        }


def rows(database: Database) -> Sequence[Any]:
    return database.read(lambda connection: connection.execute(select(sources)).all())


class TestTransactions:
    def test_a_block_that_raises_leaves_nothing(self, database: Database) -> None:
        def fail_half_way(connection: Connection) -> None:
            connection.execute(database.insert(sources).values(source="office"))
            raise RuntimeError

        with pytest.raises(RuntimeError):
            database.write(fail_half_way)
        assert rows(database) == []

    def test_a_reader_is_not_kept_waiting_by_a_writer_and_sees_only_what_is_committed(self, database: Database) -> None:
        def write(connection: Connection) -> None:
            connection.execute(database.insert(sources).values(source="office"))
            assert rows(database) == []

        database.write(write)
        assert len(rows(database)) == 1

    def test_a_writer_keeps_other_processes_out_from_its_first_read_on(self, path: Path, url: str) -> None:
        opened = open_database(url, exclusive=True)
        other = sqlite3.connect(path, timeout=0)

        def write(connection: Connection) -> None:
            connection.execute(select(sources)).all()
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("DELETE FROM tickets")

        opened.write(write)
        other.close()
        opened.close()

    def test_many_threads_write_at_once_and_none_is_refused(self, database: Database) -> None:
        store = Store(database)
        refused: list[BaseException] = []

        def work(name: str) -> None:
            try:
                for number in range(20):
                    store.attention.notice(name, str(number), None, at(0))
            except errors.DatabaseError as error:
                refused.append(error)

        threads = [threading.Thread(target=work, args=(f"source-{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert refused == []
        assert len(store.tickets.list_tickets()) == 160

    def test_an_error_does_not_show_what_was_being_written(self, url: str) -> None:
        opened = open_database(url, exclusive=True)
        insert = text("INSERT INTO acts (source, kind) VALUES (:secret, 'x')")
        with pytest.raises(IntegrityError) as raised:
            opened.write(lambda connection: connection.execute(insert, {"secret": "A012345678"}))
        assert "A012345678" not in str(raised.value)
        opened.close()


class TestOpening:
    def test_makes_a_file_that_only_its_owner_can_read(self, path: Path, url: str) -> None:
        before = os.umask(0)
        try:
            opened = open_database(url, exclusive=True)
            Store(opened).sources.attended("office", at(0))
        finally:
            os.umask(before)
        files = list(path.parent.iterdir())
        assert {file.name for file in files} == {f"connector.sqlite3{end}" for end in ("", "-wal", "-shm", "-lock")}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        opened.close()

    def test_uses_the_write_ahead_log_and_waits_for_the_disk(self, url: str) -> None:
        opened = open_database(url, exclusive=True)
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        pragmas = [opened.outside(f"PRAGMA {name}") for name in names]
        assert pragmas == ["wal", 2, 1, 5000]
        opened.close()

    def test_a_second_connector_on_the_file_is_refused_and_told_which_one_has_it(self, path: Path, url: str) -> None:
        opened = open_database(url, exclusive=True)
        with pytest.raises(errors.InUse, match=f"{path} is in use by another connector .process {os.getpid()}.*own"):
            open_database(url, exclusive=True)
        Store(opened).sources.attended("office", at(0))  # the first one is none the worse
        opened.close()
        opened.close()
        open_database(url, exclusive=True).close()

    def test_a_link_to_the_file_is_the_same_file(self, path: Path, url: str) -> None:
        path.with_name("link.sqlite3").symlink_to(path)
        opened = open_database(url, exclusive=True)
        with pytest.raises(errors.InUse):
            open_database(f"sqlite:///{path.parent}/link.sqlite3", exclusive=True)
        opened.close()

    def test_commands_may_read_and_write_beside_a_running_connector(self, url: str) -> None:
        running, command = open_database(url, exclusive=True), open_database(url, exclusive=False)
        Store(running).attention.notice("office", "1", "CASE-1", at(0))
        assert Store(command).attention.retry("office", "CASE-1", at(1))
        command.close()
        assert claim_one(Store(running), 1).ticket_id == "1"
        running.close()

    def test_frees_the_tickets_that_a_killed_process_held(self, url: str) -> None:
        opened = open_database(url, exclusive=True)
        store = Store(opened)
        store.attention.notice("office", "1", "CASE-1", at(0))
        held = claim_one(store, 0)
        open_database(url, exclusive=False).close()
        assert state(store).lease_until is not None, "a command must not free what the running connector holds"
        opened.close()
        opened = open_database(url, exclusive=True)
        again = claim_one(Store(opened), 0)
        assert again.attempts == 1
        assert not Store(opened).attention.forget(held, now=at(1))
        opened.close()

    def test_a_folder_that_is_missing_is_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(errors.NoDatabase, match=r"folder .*/data does not exist: make it"):
            open_database(f"sqlite:///{tmp_path}/data/connector.sqlite3", exclusive=True)
        assert list(tmp_path.iterdir()) == []

    def test_a_command_does_not_make_a_database(self, path: Path, url: str) -> None:
        with pytest.raises(errors.NoDatabase, match="start `connector run` once"):
            open_database(url, exclusive=False)
        assert not path.exists()

    def test_a_command_does_not_change_tables(self, path: Path, url: str) -> None:
        path.touch()
        with pytest.raises(errors.OlderSchema, match="start `connector run` once"):
            open_database(url, exclusive=False)
        assert path.stat().st_size == 0

    @pytest.mark.parametrize("exclusive", [True, False])
    def test_a_file_that_is_no_database_is_refused_untouched(self, path: Path, url: str, exclusive: bool) -> None:
        path.write_text("Dear Sir or Madam, " * 100)
        with pytest.raises(errors.NotOurs, match="not a SQLite database"):
            open_database(url, exclusive=exclusive)
        assert path.read_text().startswith("Dear Sir")

    def test_another_programs_database_is_refused_untouched(self, path: Path, url: str) -> None:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE songs (name)")
        connection.close()
        with pytest.raises(errors.NotOurs, match="not the connector's"):
            open_database(url, exclusive=True)
        connection = sqlite3.connect(path)
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]
        connection.close()

    def test_a_refused_file_is_not_kept_locked(self, path: Path, url: str) -> None:
        path.write_text("Dear Sir or Madam, " * 100)
        with pytest.raises(errors.NotOurs):
            open_database(url, exclusive=True)
        path.unlink()
        open_database(url, exclusive=True).close()

    def test_a_folder_in_place_of_the_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(errors.NotOurs, match="is a folder"):
            open_database(f"sqlite:///{tmp_path}", exclusive=True)

    @pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true"])
    def test_sqlite_must_be_a_file(self, url: str) -> None:
        with pytest.raises(errors.UnsuitableUrl, match="must be a file"):
            open_database(url, exclusive=True)

    @pytest.mark.parametrize(
        "url", ["", "connector.sqlite3", "mysql://me:hunter2@db/x", "postgresql+none://me:hunter2@db/x"]
    )
    def test_another_url_is_refused_without_repeating_its_password(self, url: str) -> None:
        with pytest.raises(errors.UnsuitableUrl, match="write sqlite:///") as raised:
            open_database(url, exclusive=True)
        assert "hunter2" not in str(raised.value)

    def test_a_relative_file_is_in_the_working_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        open_database("sqlite:///connector.sqlite3", exclusive=True).close()
        assert (tmp_path / "connector.sqlite3").exists()

    def test_a_file_that_the_system_refuses_is_told(self, path: Path, url: str) -> None:
        path.with_name("connector.sqlite3-lock").mkdir()  # root could write in any folder, but not to this
        with pytest.raises(errors.ReadOnly, match="-lock cannot be written"):
            open_database(url, exclusive=True)


def use(url: str) -> None:
    with contextlib.closing(Store(open_database(url, exclusive=True))) as store:
        store.sources.attended("office", at(0))


def write_under(opened: Database, pragma: str, rows: list[dict[str, str]]) -> None:
    def write(connection: Connection) -> None:
        connection.exec_driver_sql(pragma)
        connection.execute(opened.insert(sources), rows)

    opened.write(write)


class TestFailures:
    """Each is the driver's own error, brought about on a real file."""

    def test_a_full_disk(self, url: str) -> None:
        opened = open_database(url, exclusive=True)
        rows = [{"source": f"{number:0200}"} for number in range(2000)]
        with pytest.raises(errors.Full, match="make room"):
            write_under(opened, "PRAGMA max_page_count = 1", rows)
        opened.close()
        opened = open_database(url, exclusive=True)
        Store(opened).sources.attended("office", at(0))  # nothing was kept of it, and all works again
        assert Store(opened).sources.get(f"{1:0200}").attended_at is None
        opened.close()

    def test_a_database_that_may_only_be_read(self, url: str) -> None:
        opened = open_database(url, exclusive=True)
        with pytest.raises(errors.ReadOnly, match="write permission"):
            write_under(opened, "PRAGMA query_only = ON", [{"source": "office"}])
        opened.close()

    def test_a_writer_elsewhere_that_does_not_end(self, path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database_module, "BUSY_SECONDS", 0)
        opened = open_database(url, exclusive=True)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.Busy, match="try again"):
            Store(opened).attention.notice("office", "1", None, at(0))
        other.execute("ROLLBACK")
        other.close()
        Store(opened).attention.notice("office", "1", None, at(0))
        opened.close()

    def test_a_damaged_file(self, path: Path, url: str) -> None:
        opened = open_database(url, exclusive=True)
        for number in range(300):
            Store(opened).sources.attended(f"{number:0200}", at(0))
        opened.close()
        content = bytearray(path.read_bytes())
        content[4096 * 2 :] = b"\xee" * (len(content) - 4096 * 2)
        path.write_bytes(content)
        with pytest.raises(errors.Damaged, match="start with an empty one"):
            use(url)


WRITER = """
import sys
from datetime import UTC, datetime
from connector.store import Store, open_database
store = Store(open_database(sys.argv[1], exclusive=True))
for number in range(10**6):
    store.attention.notice("office", str(number), f"CASE-{number}", datetime.now(UTC))
    print(number, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill_in_the_middle_of_writing(url: str) -> None:
    acknowledged = -1
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process, process.stdout:
            for line in process.stdout:
                acknowledged = max(acknowledged, int(line))
                if int(line) == 60:
                    process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert acknowledged >= 60
        opened = open_database(url, exclusive=True)  # the lock went with the process
        there = {row.ticket_id for row in Store(opened).tickets.list_tickets()}
        assert there >= {str(number) for number in range(acknowledged + 1)}
        opened.close()


@pytest.mark.parametrize("by", ["nothing", "another"])
def test_nothing_is_accepted_into_a_file_that_was_replaced(path: Path, url: str, by: str) -> None:
    """It would be gone with the process."""
    store = Store(open_database(url, exclusive=True))
    counted: list[errors.DatabaseError] = []
    store.count_errors(counted.append)
    store.attention.notice("office", "1", "CASE-1", at(0))
    path.rename(path.with_suffix(".old"))
    if by == "another":
        path.touch()
    for _ in range(2):
        with pytest.raises(errors.Replaced, match="removed or replaced while it was in use: start the connector again"):
            store.attention.notice("office", "2", "CASE-2", at(0))
    with pytest.raises(errors.Replaced):
        store.attention.claim(at(0), {"office": 1}, LEASE)
    assert len(counted) == 3
    path.with_suffix(".old").replace(path)
    store.attention.notice("office", "2", "CASE-2", at(0))
    store.close()
    again = Store(open_database(url, exclusive=True))
    assert [held.ticket_id for held in again.attention.claim(at(0), {"office": 9}, LEASE)] == ["1", "2"]
    again.close()
