"""The database fails while waits pass and webhooks come: it is stopped, cut off, silent, full, locked, gone.

While it fails webhooks are answered 503, and whoever sent them tries again. Each that was answered 2xx led to its look
in the end; everything is on the tickets once; and no hand was needed but the one that mended the database.
"""

import contextlib
import os
import random
import resource
import shlex
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pytest

from connector.store import open_database
from tests.faults.disks import SmallDisk, small_disk
from tests.faults.figures import Figures, Row
from tests.faults.scene import Node, Scene, Told
from tests.postgres import Server, as_ordinary_user, emptied, ordinary_user, postgresql_server, server_programs
from tests.store.proxy import Proxy
from tests.store.test_postgresql import CUT

ROUNDS = {"short": 2, "full": 40}  # of each fault; the waits of one morning pass in each
WAITS, NEW = 8, 8  # cases in each round; more come while the fault lasts

Fault = AbstractContextManager[object]


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    with postgresql_server() as running:
        yield running


@pytest.fixture
def server(one_server: Server) -> Server:
    """A server that may be stopped and started, with the connector's tables, empty."""
    open_database(emptied(one_server.url), exclusive=True).close()
    return one_server


def three_nodes(place: Scene, url: str) -> None:
    for role in ("web", "work", "work"):
        place.node(url, role)


def start(place: Scene, rounds: int) -> None:
    """Start the nodes of an office where waits pass on each of so many mornings."""
    for number in range(rounds):
        place.waits(WAITS, days=1 + number)
    place.start()


def refused(told: Told) -> bool:
    return told.refused > 0


def through(
    place: Scene, morning: int, fault: Fault, chance: random.Random, until: Callable[[Told], object] = refused
) -> Told:
    """Let waits pass and webhooks come, before the fault and as long as it lasts: until a webhook is refused, or as
    `until` has it. Returns what became of the webhooks."""
    sender = place.sender()
    place.let_waits_pass(1 + morning)
    for case in place.new(NEW):
        sender.send(case)
    time.sleep(chance.uniform(0, 0.2))

    def is_felt() -> object:
        if sender.is_idle:
            sender.send(*place.new(1))
        time.sleep(0.02)
        return until(sender.told)

    with fault:
        place.wait_until(is_felt, "the fault is felt")
        time.sleep(chance.uniform(0, 0.5))
    return sender.close()


# By when a webhook must be answered while the database is away; Jira gives up after about as long.
ANSWER_SECONDS = 30


def endure(place: Scene, row: Row, rounds: int, fault: Callable[[], Fault], chance: random.Random) -> None:
    """The fault comes in each round, and every webhook is answered in time; in the end nothing is missed or doubled."""
    start(place, rounds)
    for number in range(rounds):
        assert through(place, number, fault(), chance).slowest < ANSWER_SECONDS
        row.injected += 1
    place.finish(row)
    row.check()


# PostgreSQL


@contextlib.contextmanager
def stopped(server: Server, how: signal.Signals) -> Iterator[None]:
    server.stop(how)
    yield
    server.start()


@pytest.mark.parametrize(("how", "name"), [(signal.SIGINT, "fast"), (signal.SIGQUIT, "immediate")])
def test_postgresql_is_stopped_and_started(
    place: Scene, server: Server, figures: Figures, size: str, chance: random.Random, how: signal.Signals, name: str
) -> None:
    row = figures(f"PostgreSQL stopped and started, {name}")
    three_nodes(place, server.url)
    endure(place, row, ROUNDS[size], lambda: stopped(server, how), chance)


@contextlib.contextmanager
def cutting(server: Server, count: Callable[[int], None]) -> Iterator[None]:
    """Cut every connection again and again."""
    ended = threading.Event()

    def cut() -> None:
        with psycopg.connect(server.url, autocommit=True) as connection:
            while not ended.wait(0.02):
                count(len(connection.execute(CUT).fetchall()))

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_the_connections_are_cut_again_and_again(
    place: Scene, server: Server, figures: Figures, size: str, chance: random.Random
) -> None:
    row = figures("connections to PostgreSQL cut")
    three_nodes(place, server.url)
    start(place, ROUNDS[size])

    def cut(number: int) -> None:
        row.injected += number

    for number in range(ROUNDS[size]):
        enough = row.injected + 100
        through(place, number, cutting(server, cut), chance, until=lambda _told, enough=enough: row.injected > enough)
    place.finish(row)
    row.check()


def test_the_way_to_the_database_goes_silent(
    place: Scene, server: Server, figures: Figures, size: str, chance: random.Random
) -> None:
    """Half-open: nobody closes anything. One worker has another way, and goes on."""
    row = figures("network to PostgreSQL half-open (connections)")
    rounds = ROUNDS[size] // 2
    with Proxy(server.url) as way:
        for role, url in (("web", way.url), ("work", way.url), ("work", server.url)):
            place.node(url, role)
        start(place, rounds)
        for number in range(rounds):
            told = through(place, number, way.silence(), chance)
            assert told.slowest < ANSWER_SECONDS
        place.finish(row)
        row.injected += way.silenced
    row.check()


@contextlib.contextmanager
def hanging(server: Server) -> Iterator[None]:
    server.send(signal.SIGSTOP)
    try:
        yield
    finally:
        server.send(signal.SIGCONT)


def test_the_server_hangs(place: Scene, server: Server, figures: Figures, size: str, chance: random.Random) -> None:
    row = figures("PostgreSQL hangs")
    three_nodes(place, server.url)
    endure(place, row, ROUNDS[size] // 2, lambda: hanging(server), chance)


@pytest.fixture
def disk_for_postgresql(server_folder: Path) -> Iterator[SmallDisk]:
    """A disk that the user sees who runs PostgreSQL. Room for a new cluster and five segments of its log."""
    folder = server_folder / "data"
    folder.mkdir()
    user = server_folder.stat()
    os.chown(folder, user.st_uid, user.st_gid)
    with small_disk(folder, megabytes=100, as_ordinary_user=as_ordinary_user()) as disk:
        yield disk


@pytest.fixture
def server_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="connector-postgresql-"))
    if os.geteuid() == 0:
        owner = ordinary_user()
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server_on_small_disk(server_folder: Path, disk_for_postgresql: SmallDisk) -> Iterator[Server]:
    owner = server_folder.stat()
    programs = server_folder / "programs"  # which run PostgreSQL's own where the disk can be seen
    programs.mkdir()
    for name in ("initdb", "postgres"):
        words = [*disk_for_postgresql.wrapper(user=owner.st_uid, group=owner.st_gid), str(server_programs() / name)]
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        program.chmod(0o755)
    server = Server(programs, server_folder)
    try:
        server.make()
        open_database(server.url, exclusive=True).close()
        yield server
    finally:
        server.stop(signal.SIGQUIT)


def test_postgresql_on_a_full_disk(
    place: Scene,
    server_on_small_disk: Server,
    disk_for_postgresql: SmallDisk,
    figures: Figures,
    size: str,
    chance: random.Random,
) -> None:
    """No table can grow. Nobody restarts anything."""
    row = figures("PostgreSQL: disk full, tables")
    three_nodes(place, server_on_small_disk.url)
    endure(place, row, ROUNDS[size], lambda: full(disk_for_postgresql), chance)


def test_postgresql_cannot_write_its_log(
    place: Scene,
    server_on_small_disk: Server,
    disk_for_postgresql: SmallDisk,
    figures: Figures,
    size: str,
    chance: random.Random,
) -> None:
    """There is no room for the next segment of the write-ahead log: PostgreSQL crashes, and is started again."""
    row = figures("PostgreSQL: disk full, write-ahead log")
    three_nodes(place, server_on_small_disk.url)
    endure(place, row, ROUNDS[size], lambda: without_log(server_on_small_disk, disk_for_postgresql), chance)


@contextlib.contextmanager
def without_log(server: Server, disk: SmallDisk) -> Iterator[None]:
    with psycopg.connect(server.url, autocommit=True) as connection, contextlib.suppress(psycopg.Error):
        connection.execute("CHECKPOINT")
        disk.fill()
        for _ in range(8):  # segments that were made in advance
            connection.execute("SELECT pg_switch_wal(), pg_logical_emit_message(true, 'test', 'x')")
    yield
    server.stop(signal.SIGQUIT)
    assert "PANIC" in (disk.folder.parent / "log").read_text(), "it had room after all"
    disk.make_room()
    server.start()


# SQLite


def test_sqlite_file_cannot_grow(
    place: Scene, tmp_path: Path, figures: Figures, size: str, chance: random.Random
) -> None:
    """A limit on the size of files, set on the process while it runs: nor can it write its log."""
    row = figures("SQLite: no file may grow")
    node = place.node(f"sqlite:///{tmp_path}/connector.sqlite3")
    endure(place, row, ROUNDS[size], lambda: no_growth(node), chance)


@contextlib.contextmanager
def no_growth(node: Node) -> Iterator[None]:
    soft, hard = resource.prlimit(node.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (0, hard))
    yield
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (soft, hard))


def test_sqlite_on_a_full_disk(
    place: Scene, tmp_path: Path, figures: Figures, size: str, chance: random.Random
) -> None:
    row = figures("SQLite: disk full")
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, megabytes=8) as disk:
        place.node(f"sqlite:///{folder}/connector.sqlite3", wrapper=disk.wrapper())
        endure(place, row, ROUNDS[size], lambda: full(disk), chance)


@contextlib.contextmanager
def full(disk: SmallDisk) -> Iterator[None]:
    disk.fill()
    yield
    disk.make_room()


def test_sqlite_locked_by_another_process(
    place: Scene, tmp_path: Path, figures: Figures, size: str, chance: random.Random
) -> None:
    """For longer than the connector waits for it."""
    row = figures("SQLite: locked by another process")
    file = tmp_path / "connector.sqlite3"
    place.node(f"sqlite:///{file}")
    endure(place, row, ROUNDS[size] // 2, lambda: locked(file), chance)


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=10)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.parametrize("by", ["nothing", "an empty file", "a copy of yesterday"])
def test_sqlite_file_is_taken_away(
    place: Scene, tmp_path: Path, figures: Figures, chance: random.Random, by: str
) -> None:
    """The process takes no webhook into a file that is gone with its end; the next one does.

    The tracker is the record: the first poll of the next process brings everything back, and no comment twice.
    """
    row = figures(f"SQLite: file replaced by {by}")
    file, kept = tmp_path / "connector.sqlite3", tmp_path / "kept"
    node = place.node(f"sqlite:///{file}")
    start(place, rounds=1)
    with contextlib.closing(sqlite3.connect(file)) as one, contextlib.closing(sqlite3.connect(kept)) as other:
        one.backup(other)
    place.tell(place.new(NEW))
    for path in tmp_path.glob("connector.sqlite3*"):
        if not path.name.endswith("-lock"):
            path.unlink()
    if by == "an empty file":
        file.touch()
    elif by == "a copy of yesterday":
        kept.rename(file)
    row.injected += 1
    sender = place.sender(threads=8)
    place.let_waits_pass(1)
    for case in place.new(2 * NEW):
        sender.send(case)
    place.wait_until(lambda: sender.told.refused, "webhooks are refused")
    time.sleep(chance.uniform(0, 0.5))
    assert sender.told.accepted == 0
    node.kill()
    place.wait_until(place.tracker.is_at_rest, "the tracker has nothing in hand")
    node.launch()
    place.wait_until(node.listens, "it listens again")
    sender.close()
    place.finish(row)
    row.check()
