"""Nodes of the connector on one database, beside an office of tests/system: started, killed, frozen, brought to rest.

    with nodes_at(tmp_path, zygote, roles=("web", "work", "work"), database_url=postgresql_url) as nodes:
        nodes.office                    Office or ZammadOffice: its people, and what came of their tickets
        nodes.start()                   all of them; webhooks go to the first that takes some in
        nodes[1].kill(), .freeze(), .thaw(), .launch(deaths), .metric(...)
        nodes.settle()                  until everything is attended to, the clock moved over what is waited for

Without a database_url each is on a SQLite file of the folder, as `connector run`. A node's address stays the same over
its lives, as behind a load balancer, so that a tracker's second try reaches it.
"""

import contextlib
import random
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.zygote import Order, Zygote, leaseholder
from tests.system.office import PAST_DOUBT, START, WEBHOOK_SECRET, Office, office
from tests.system.process import SOURCE, Connector, micros, wait_for
from tests.system.zammad_office import GROUP, ZammadOffice, zammad_office

PATIENCE = 120.0  # seconds until a test gives up waiting, on a busy machine
CLOSE_WAIT = "08"  # a socket whose other side has gone: https://docs.kernel.org/networking/proc_net_tcp.html


class Node(Connector):
    """One process after the other in one role. `folder` holds its output, and its database if it is on SQLite."""

    def __init__(
        self,
        folder: Path,
        clock_file: Path,
        zygote: Zygote,
        *,
        role: str = "run",
        database_url: str = "",
        mappings: Path | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder, clock_file)
        if mappings is not None:
            self.mappings.rmdir()
            self.mappings = mappings
        self.role, self.database_url = role, database_url
        self.beat, self.poll_seconds = 0.1, 0.5
        self.more_environment: dict[str, str] = {}
        self._zygote = zygote
        self._port = free_port()

    def launch(self, deaths: Sequence[str] = ()) -> None:
        """Start a process, and do not wait for it. `deaths`: see tests/system/child.py."""
        self._fork([self.role], deaths)

    def upgrade(self) -> int:
        """`connector db upgrade` in its place; the exit status."""
        self._fork(["db", "upgrade"])
        return self.wait()

    def _fork(self, words: Sequence[str], deaths: Sequence[str] = ()) -> None:
        assert not self.alive
        output = self.folder / f"output-{len(self.outputs) + 1}.log"
        output.touch()
        self.outputs.append(output)
        order = Order(
            words=words,
            folder=str(self.folder),
            output=str(output),
            clock_file=str(self.clock_file),
            environment=self.environment(),
            deaths=deaths,
            beat=self.beat,
            poll=self.poll_seconds,
        )
        self.url = ""
        self._process = self._zygote.fork(order)  # type: ignore[assignment]  # as good as the one of subprocess

    def environment(self) -> dict[str, str]:
        given = super().environment() | {"CONNECTOR_LISTEN": f"127.0.0.1:{self._port}"}
        if self.database_url:
            given["CONNECTOR_DATABASE_URL"] = self.database_url
        return given | self.more_environment

    @property
    def listens(self) -> bool:
        """The process that was launched last has come so far."""
        return bool(self.url) or self._listens()

    @property
    def address(self) -> str:
        """Where it listens in each of its lives."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def died(self) -> bool:
        """It was launched, and has ended."""
        return self._process is not None and not self.alive

    def last_words(self) -> str:
        """The end of what its last process wrote."""
        return self.outputs[-1].read_text()[-2000:]

    def freeze(self) -> None:
        """Stop it where it stands, as a machine that is overloaded or suspended would."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Of its database; ? stands for a value."""
        if not self.database_url.startswith("postgresql"):
            return super().rows(query, *values)
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            # psycopg has queries checked for being literals; here they come from the tests.
            return connection.execute(query.replace("?", "%s").encode(), values).fetchall()


class Nodes:
    """Made by nodes_at(); none of them is started yet."""

    def __init__(self, place: Office, zygote: Zygote, folder: Path, roles: Sequence[str], database_url: str) -> None:
        self.office, self.clock, self.database_url = place, place.clock, database_url
        mappings = place.connector.mappings
        self.nodes = [
            Node(
                folder / f"{role}-{number}",
                folder / "clock",
                zygote,
                role=role,
                database_url=database_url,
                mappings=mappings,
            )
            for number, role in enumerate(roles, 1)
        ]
        place.connector = next(node for node in self.nodes if node.role != "work")
        self._tracker = Tracker(place)
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def __getitem__(self, number: int) -> Node:
        return self.nodes[number]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def start(self) -> None:
        """Start those that do not run, wait until all listen, and let webhooks go to the first that takes some in."""
        if all(node.role != "run" for node in self):
            assert self.nodes[0].upgrade() == 0, self.nodes[0].last_words()
        for node in self:
            if not node.alive:
                node.launch()
        self.wait_for_all()
        self.hear()

    def wait_for_all(self) -> None:
        """Until every node listens."""
        for node in self:
            wait_for(lambda node=node: node.listens or node.died, "the node listens", PATIENCE)
            assert node.alive, node.last_words()

    def hear(self) -> None:
        """Webhooks go to the first node that takes some in, in each of its lives."""
        place, address = self.office, f"{self.office.connector.address}/webhooks/{SOURCE}"
        if not isinstance(place, ZammadOffice):
            place.server.hooks.webhooks.clear()
            place.server.hooks.register(address, WEBHOOK_SECRET)
        elif place.world.webhooks:
            place.world.webhooks[0]["endpoint"] = address
        else:
            place._set_up_webhook(address)

    def stop(self) -> None:
        """SIGTERM to all; each must end well."""
        for node in self:
            node.terminate()
        for node in self:
            assert node.wait() == 0, node.last_words()

    def close(self) -> None:
        for node in self:
            node.close()
        if self._connection is not None:
            self._connection.close()

    # Coming to rest

    def quiet(self, tend: Callable[[], object] = lambda: False, patience: float = PATIENCE) -> bool:
        """Wait until everything is attended to and every change is seen, moving the clock over what is waited for.

        True once it is. `tend` is called all the time: to kill and to start again; what it answers, if true, is the
        end, and the answer False. A node that died must be started again by it. AssertionError after `patience`.
        """
        deadline = time.monotonic() + patience
        while not tend():
            try:
                work = self._look()
                if work.is_done and not self.unseen():
                    return True
                if self._is_held_up(work):
                    self.clock.advance(seconds=PAST_DOUBT.total_seconds())
            except NO_DATABASE:
                self._forget_connection()
            assert time.monotonic() < deadline, f"the nodes come to no rest: {self._state()}"
            time.sleep(0.02)
        return False

    def settle(self, patience: float = PATIENCE) -> None:
        """quiet() with every node alive."""

        def see_that_all_live() -> None:
            for node in self:
                assert node.alive, f"a node died: {node.last_words()}"

        self.quiet(see_that_all_live, patience)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Of the database; ? stands for a value."""
        if not self.database_url.startswith("postgresql"):
            return self.nodes[0].rows(query, *values)
        if self._connection is None:
            self._connection = psycopg.connect(self.database_url, autocommit=True)
        return self._connection.execute(query.replace("?", "%s").encode(), values).fetchall()

    def count(self, query: str, *values: object) -> int:
        return int(self.rows(query, *values)[0][0])

    def unseen(self) -> set[str]:
        """The tickets whose latest change no look has seen yet."""
        seen = dict(self.rows("select ticket_id, tracker_updated_at / 1000 from tickets"))
        return {ticket for ticket, stamp in stamps(self.office).items() if seen.get(ticket) != stamp}

    def in_hand_of_the_living(self) -> bool:
        """A node that runs has a ticket."""
        living = {node.pid for node in self if node.alive}
        tokens = self.rows("select distinct lease_token from tickets where lease_until > ?", self._now)
        return any(leaseholder(token) in living for (token,) in tokens)

    @property
    def _now(self) -> int:
        return micros(self.clock.now())

    def _look(self) -> "Work":
        now = self._now
        return Work(*self.rows(WORK, now, now, now, now, now)[0])

    def _is_held_up(self, work: "Work") -> bool:
        """Nothing is in hand, neither here nor at the tracker, and what is left to do is done later.

        Later: after a backoff, a doubt, a pause, or the lease of a node that died.
        """
        if not (work.paused or (not work.free and (work.leased or work.postponed))):
            return False
        # One that is still starting may find its own past's leases and doubts as they are.
        attending = [node for node in self if node.role != "web"]
        started = [node.pid for node in attending if node.alive and node.listens]
        if not started or self.in_hand_of_the_living() or not self._tracker.is_at_rest():
            return False
        # All of this while nobody died: what was in hand a moment ago may be that one's.
        return started == [node.pid for node in attending if node.alive and node.listens]

    def _state(self) -> str:
        with contextlib.suppress(*NO_DATABASE):
            columns = "ticket_id, stage, attend_at, attempts, lease_until, lease_token, stuck_since, error"
            busy = self.rows(
                f"select {columns} from tickets where lease_until is not null or attend_at <= ?", self._now
            )
            return f"alive {[node.alive for node in self]}, unseen {sorted(self.unseen())}, busy {busy[:5]}"
        return "there is no database"

    def _forget_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


WORK = """select
  (select count(*) from tickets where attend_at <= ? and (lease_until is null or lease_until <= ?)),
  (select count(*) from tickets where lease_until is not null),
  (select count(*) from tickets where attend_at > ? and (attempts > 0 or not_before > ?)),
  (select count(*) from sources where paused_until > ?)"""


@dataclass(frozen=True)
class Work:
    """How many tickets are due and in nobody's hand, are in somebody's, are put off; how many sources are paused."""

    free: int
    leased: int
    postponed: int
    paused: int

    @property
    def is_done(self) -> bool:
        return not (self.free or self.leased or self.postponed)


NO_DATABASE = (psycopg.Error, sqlite3.Error)


class Tracker:
    """What an office's tracker has in hand."""

    def __init__(self, place: Office) -> None:
        self._port = int(place.server.url.rpartition(":")[2])
        self._lock = threading.Lock()
        self._requests = 0
        place.server.app.before_request(self._begun)
        place.server.app.teardown_request(self._ended)

    def is_at_rest(self) -> bool:
        """It answers nothing, and nothing lies before it from a node that is dead."""
        return self._requests == 0 and not orphans(self._port)

    def _begun(self) -> None:
        with self._lock:
            self._requests += 1

    def _ended(self, _error: BaseException | None) -> None:
        with self._lock:
            self._requests -= 1


def orphans(port: int) -> int:
    """Connections to a server on that port whose clients have gone, and which the server has not closed yet."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for _, local, _, state, *_ in lines if state == CLOSE_WAIT and local.endswith(f":{port:04X}"))


def stamps(place: Office) -> dict[str, int]:
    """The tickets in scope -> when each was changed last, in milliseconds since 1970-01-01 UTC."""
    if isinstance(place, ZammadOffice):
        group = next(each["id"] for each in place.world.groups if each["name"] == GROUP)
        rows = [row for row in list(place.world.tickets.values()) if row["group_id"] == group]
        return {str(row["id"]): micros(datetime.fromisoformat(row["updated_at"])) // 1000 for row in rows}
    issues = [issue for issue in list(place.world.issues.values()) if issue.project.key == "CASE"]
    return {str(issue.id): micros(issue.updated) // 1000 for issue in issues}


def free_port() -> int:
    """A port of loopback that nothing listens on, below those that the kernel gives away by itself."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def nodes_at(
    folder: Path,
    zygote: Zygote,
    *,
    roles: Sequence[str] = ("run",),
    database_url: str = "",
    tracker: str = "cloud",
    start: datetime = START,
) -> Iterator[Nodes]:
    """Nodes that are not started yet. `tracker`: cloud, data-center or zammad; its clock runs on from `start`."""
    with ExitStack() as stack:
        if tracker == "zammad":
            place: Office = stack.enter_context(zammad_office(folder, start=start))
        else:
            place = stack.enter_context(office(folder, tracker, start=start))
        nodes = Nodes(place, zygote, folder, roles, database_url)
        stack.callback(nodes.close)
        yield nodes
