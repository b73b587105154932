"""A scene for faults of the database and of clocks: a practice Jira, cases whose acts are known beforehand, and nodes.

Nobody but the test tells a node of a new case: the tracker sends no webhooks, and a node polls at its start and then
not for a day. So a case whose webhook was answered 2xx and lost would never be attended to, and be missed in the end.
"""

import contextlib
import hashlib
import hmac
import json
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

import requests

from connector.inquiry.calendar import wait_passes
from connector.inquiry.markup import find_refs
from connector.practice.clock import PracticeClock
from connector.practice.sample import CONNECTOR_TOKEN, blank_world
from connector.practice.server import PracticeServer
from connector.practice.world import Comment, Issue
from tests.faults.figures import Row
from tests.faults.nodes import orphans
from tests.faults.zygote import Order, Zygote
from tests.system.office import CALL, DETAILS, MAPPING, NEW_YORK, PAST_DOUBT, START, WEBHOOK_SECRET
from tests.system.process import CHILD, SOURCE, Connector, wait_for
from tests.system.test_ladders import CALIFORNIA, CALL_SHEET

PATIENCE = 90.0  # seconds, on a busy machine
SEND_AGAIN_SECONDS = 0.1  # a tracker takes minutes
WAIT_DAYS = 30  # of the call


@dataclass(frozen=True)
class Case:
    """A ticket, and what must stand on it in the end, each once."""

    issue: Issue
    comments: tuple[str, ...]
    moves: tuple[str, ...]
    passes_at: datetime | None = None  # when its wait has passed


@dataclass
class Told:
    """What became of webhooks. Each is sent until it is answered 2xx."""

    accepted: int = 0
    refused: int = 0  # 503
    unanswered: int = 0  # no connection, or it was cut
    others: Counter[int] = field(default_factory=Counter)  # any other answer: there must be none
    slowest: float = 0.0  # seconds until an answer


class Node(Connector):
    """One process of the connector, forked by the zygote.

    With a `wrapper`, words before its command, or more `environment`, which is how a library gets into it, it is a
    program of its own, which takes longer to start.
    """

    program = CHILD
    whose = "connector"  # clock is moved

    def __init__(
        self,
        folder: Path,
        zygote: Zygote,
        *,
        role: str,
        database_url: str,
        wrapper: Sequence[str | Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir()
        super().__init__(folder, folder / "clock")
        self._zygote, self._role, self._url = zygote, role, database_url
        self._wrapper, self._added = wrapper, environment or {}
        self.error = timedelta(0)  # of its clock
        self.accepted_complaints = {"poll_old"}  # nobody polls here

    def launch(self, deaths: Sequence[str] = ()) -> None:
        assert not deaths
        assert not self.alive
        output = self.folder / f"output-{len(self.outputs) + 1}.log"
        output.touch()
        self.outputs.append(output)
        if self._wrapper or self._added:
            self._run_program(output)
        else:
            order = Order(
                words=[self._role],
                folder=str(self.folder),
                output=str(output),
                clock_file=str(self.clock_file),
                environment=self.environment(),
                beat=self.beat,
            )
            self._process = self._zygote.fork(order)  # type: ignore[assignment]  # as good as the one of subprocess

    def _run_program(self, output: Path) -> None:
        options = [f"--beat={self.beat}"]
        command = [*self._wrapper, sys.executable, self.program, self.clock_file, *options, self._role]
        with output.open("wb") as stream:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment(), stdout=stream, stderr=stream, stdin=subprocess.DEVNULL
            )

    def environment(self) -> dict[str, str]:
        own = {"CONNECTOR_DATABASE_URL": self._url, "CONNECTOR_POLL_SECONDS": "86400"}
        return super().environment() | own | self._added

    def set_clock(self, offset: timedelta) -> None:
        """Set its clock so much ahead of the machine's."""
        self._write(self.clock_file, repr((offset + self.error).total_seconds()))

    @property
    def takes_webhooks(self) -> bool:
        return self._role != "work"

    def listens(self) -> bool:
        """Whether it does so. AssertionError if it ended before."""
        assert self.alive, self.outputs[-1].read_text()
        return self._listens()

    def complaints(self) -> set[str]:
        """What it says against its health at /readyz, but for what is accepted."""
        try:
            health = self.get("/readyz").json()
        except requests.RequestException:
            return {"silent"}
        of_sources = [reason for source in health["sources"].values() for reason in source["reasons"]]
        return {reason["code"] for reason in [*health["reasons"], *of_sources]} - self.accepted_complaints

    def due(self) -> float:
        """How many tickets are due or in hand, in the whole database."""
        return self.metric("connector_tickets", state="due")

    @staticmethod
    def _write(file: Path, text: str) -> None:
        fresh = file.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(file)


class Tracker:
    """What the tracker has in hand, requests among them that it lets wait."""

    def __init__(self, server: PracticeServer) -> None:
        self._port = int(server.url.rpartition(":")[2])
        self._lock = threading.Lock()
        self._requests = 0
        running = server._server
        assert running is not None
        self._app, running.app = running.app, self._answer  # around its faults, which make a request wait

    def is_at_rest(self) -> bool:
        """It answers nothing, and nothing lies before it from a node that is dead."""
        return self._requests == 0 and not orphans(self._port)

    def _answer(self, environ: Any, start_response: Any) -> Any:
        with self._lock:
            self._requests += 1
        try:
            return self._app(environ, start_response)
        finally:
            with self._lock:
                self._requests -= 1


class Standstill:
    """Whether a number that should go down to zero stands still: whoever had the tickets in hand is dead, or away."""

    SECONDS = 1.5

    def __init__(self) -> None:
        self._last, self._since = 0.0, 0.0

    def still(self, number: float) -> bool:
        """It is zero, or has been the same for a while."""
        now = time.monotonic()
        if number != self._last:
            self._last, self._since = number, now
        return number == 0 or now - self._since > self.SECONDS


class Scene:
    """Made by `scene()`; the practice tracker runs, no node does yet."""

    def __init__(self, folder: Path, zygote: Zygote, server: PracticeServer, clock: PracticeClock) -> None:
        self._folder, self._zygote = folder, zygote
        self.server, self.world, self.clock = server, server.world, clock
        self.nodes: list[Node] = []
        self.cases: list[Case] = []
        self.tracker = Tracker(server)
        clock.on_move.append(lambda _moment: self.set_clocks())

    # The nodes

    def node(self, database_url: str, role: str = "run", kind: type[Node] = Node, **settings: Any) -> Node:
        """Another node; see Node for the settings. It is not started yet."""
        folder = self._folder / f"node-{len(self.nodes) + 1}-{role}"
        node = kind(folder, self._zygote, role=role, database_url=database_url, **settings)
        user = f"user: {self.world.connector_auth[0]}"
        (node.mappings / f"{SOURCE}.yaml").write_text(MAPPING.format(url=self.server.url, user=user))
        (node.mappings / "token").write_text(CONNECTOR_TOKEN)
        (node.mappings / "webhook-secret").write_text(WEBHOOK_SECRET)
        self.nodes.append(node)
        self.set_clocks()
        return node

    def start(self) -> None:
        """Start every node, and wait until each listens, has taken in what waits, and has nothing to do."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            self.wait_until(node.listens, f"{node.folder.name} listens")
        self.wait_until(lambda: all(self.done(case) for case in self.cases), "the tickets that wait are taken in")
        self.wait_until(self._is_at_rest, "all nodes are at rest")

    def set_clocks(self) -> None:
        """Every node's clock is the office's, with its own error."""
        for node in self.nodes:
            node.set_clock(self.clock.now() - datetime.now(UTC))

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    # The cases

    def waits(self, number: int, days: int) -> list[Case]:
        """Cases whose wait passes `days` days after START, at nine in the morning of the office."""
        called = START - timedelta(days=WAIT_DAYS + 1 - days)
        passes_at = wait_passes(called, WAIT_DAYS, NEW_YORK, time_of_day(9), "calendar", roll_forward=False)
        moves = ("Awaiting NCSC", "E-mail Service Center")
        return [self._add((CALIFORNIA,), moves, passes_at, **CALL, NCSC_Called_At=called) for _ in range(number)]

    def new(self, number: int) -> list[Case]:
        """Cases that are ready for the call, of which nobody has told a node yet."""
        return [self._add((CALL_SHEET,), ("Call NCSC",)) for _ in range(number)]

    def _add(
        self, comments: tuple[str, ...], moves: tuple[str, ...], passes_at: datetime | None = None, **fields: Any
    ) -> Case:
        receipt = {"Receipt_Number": f"WAC25901{len(self.cases):05}"}
        issue = self.world.add_issue("CASE", summary="A case", **DETAILS | fields | receipt)
        case = Case(issue, comments, moves, passes_at)
        self.cases.append(case)
        return case

    def let_waits_pass(self, days: int) -> None:
        """Set the clock to a minute after the waits of that day have passed."""
        now = self.clock.now()
        nine = datetime.combine(START.date() + timedelta(days=days), time_of_day(9), NEW_YORK)
        self.clock.set(max(now, nine.astimezone(UTC) + timedelta(minutes=1)))

    def let_pass(self, cases: Sequence[Case]) -> None:
        """Set the clock to a minute after the waits of these have passed."""
        self.clock.set(max(case.passes_at for case in cases if case.passes_at) + timedelta(minutes=1))

    # What stands on the tickets

    def said(self, issue: Issue) -> list[Comment]:
        return [comment for comment in issue.comments if comment.author is self.world.connector]

    def due(self, case: Case) -> list[tuple[str, str]]:
        """The acts that must be done on the ticket by now, by the procedure and the office's clock."""
        if case.passes_at is not None and self.clock.now() < case.passes_at:
            return [("status", case.moves[0])]
        return [("comment", title) for title in case.comments] + [("status", status) for status in case.moves]

    def done(self, case: Case) -> list[tuple[str, str]]:
        """The acts that were done on it: a comment stands for each ref in it, if they are more than one."""
        acts = []
        for comment in self.said(case.issue):
            title = comment.body.splitlines()[0].replace("*", "")
            acts += [("comment", title)] * max(1, len(find_refs(comment.body)))
        for change in case.issue.history:
            if change.author is self.world.connector:
                acts += [("status", item.after[1] or "") for item in change.items if item.field == "status"]
        return acts

    def is_done(self) -> bool:
        """Whether everything that is due by now is there."""
        return all(not Counter(self.due(case)) - Counter(self.done(case)) for case in self.cases)

    # What comes of it

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        wait_for(condition, what, PATIENCE)

    def recover(self, within: timedelta | None = None) -> None:
        """Wait until everything is there, letting the time pass that backoffs, doubts and leases of the dead take.

        By the office's clock no longer than `within`. Time passes only while the tracker has nothing in hand, and no
        node that goes on: a look during which time passes loses its lease, and would be begun for ever.
        """
        until = self.clock.now() + within if within else None
        stride = max(PAST_DOUBT, within / 20) if within else PAST_DOUBT
        stands = Standstill()

        def passes() -> bool:
            goes_on = not self.tracker.is_at_rest() or not stands.still(self._in_hand())
            if not goes_on and (until is None or self.clock.now() < until):
                self.clock.advance(seconds=stride.total_seconds())
            time.sleep(0.3)
            return self.is_done()

        with contextlib.suppress(AssertionError):  # what is missed then is a figure
            self.wait_until(passes, "all acts are done")

    def _in_hand(self) -> float:
        """How many tickets are due or in hand, by the first node that tells."""
        for node in self.nodes:
            with contextlib.suppress(requests.RequestException):
                return node.due()
        return 0

    def finish(self, row: Row) -> None:
        """Let it recover, tell every node of every ticket once more, and count."""
        self.recover()
        missed = sum((Counter(self.due(case)) - Counter(self.done(case))).total() for case in self.cases)
        told = self.tell(self.cases)
        assert told.accepted == len(self.cases)
        self.wait_until(self._comes_to_rest, "all nodes are at rest")
        for case in self.cases:
            row.count(
                [(case.issue.key, *act) for act in self.due(case)], [(case.issue.key, *act) for act in self.done(case)]
            )
        row.missed = max(row.missed, missed)  # what is there only because it was told once more had been lost
        assert all(node.metric("connector_tickets", state="stuck") == 0 for node in self.nodes if node.alive)

    def _is_at_rest(self) -> bool:
        """Nothing is due or in hand, and every node that lives is well."""
        living = [node for node in self.nodes if node.alive]
        return all(not node.complaints() and node.due() == 0 for node in living)

    def _comes_to_rest(self) -> bool:
        """_is_at_rest(), letting the time pass that the leases of looks take whose end could not be noted."""
        if self._is_at_rest():
            return True
        if self.tracker.is_at_rest():
            self.clock.advance(seconds=PAST_DOUBT.total_seconds())
        time.sleep(0.3)
        return False

    # Webhooks

    def tell(self, cases: Sequence[Case], threads: int = 4) -> Told:
        """Send the webhook of each until it is accepted, as a tracker does. Returns when all are."""
        sender = Sender(self._takers(), threads)
        for case in cases:
            sender.send(case)
        return sender.close()

    def sender(self, threads: int = 4) -> "Sender":
        """One to whom webhooks can be given while something else goes on."""
        return Sender(self._takers(), threads)

    def _takers(self) -> list[Node]:
        return [node for node in self.nodes if node.takes_webhooks]


class Sender:
    """Sends webhooks to nodes in turn, each until it is accepted, from threads of its own."""

    def __init__(self, nodes: Sequence[Node], threads: int) -> None:
        self.told = Told()
        self._nodes = nodes
        self._queue: queue.Queue[Case | None] = queue.Queue()
        self._lock = threading.Lock()
        self._given_up = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def send(self, case: Case) -> None:
        self._queue.put(case)

    @property
    def is_idle(self) -> bool:
        """Nothing waits to be sent."""
        return self._queue.empty()

    def close(self) -> Told:
        """Wait until all are accepted."""
        for _ in self._threads:
            self._queue.put(None)
        until = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._given_up.set()
        assert not any(thread.is_alive() for thread in self._threads), f"webhooks are never accepted: {self.told}"
        assert not self.told.others, f"answers that no webhook may get: {self.told.others}"
        return self.told

    def _run(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while (case := self._queue.get()) is not None:
                tries = 0
                while not self._try(session, self._nodes[(case.issue.id + tries) % len(self._nodes)], case):
                    tries += 1
                    if self._given_up.wait(SEND_AGAIN_SECONDS):
                        return

    def _try(self, session: requests.Session, node: Node, case: Case) -> bool:
        body, headers = webhook(case.issue)
        began = time.monotonic()
        try:
            status = session.post(f"{node.url}/webhooks/{SOURCE}", data=body, headers=headers, timeout=60).status_code
        except requests.RequestException:
            status = 0
        with self._lock:
            told = self.told
            told.slowest = max(told.slowest, time.monotonic() - began)
            told.accepted += status == 204
            told.refused += status == 503
            told.unanswered += status == 0
            if status not in {0, 204, 503}:
                told.others[status] += 1
        return status not in {0, 503}


def webhook(issue: Issue) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a signed webhook that says that the ticket was changed."""
    about = {"id": str(issue.id), "key": issue.key}
    body = json.dumps({"webhookEvent": "jira:issue_updated", "issue": about}).encode()
    digest = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
    return body, {"Content-Type": "application/json", "X-Hub-Signature": f"sha256={digest}"}


@contextlib.contextmanager
def scene(folder: Path, zygote: Zygote) -> Iterator[Scene]:
    """A service desk on Jira Cloud without tickets."""
    clock = PracticeClock()
    clock.set(START)
    with PracticeServer(blank_world(clock, "cloud", project_type="service_desk")) as server:
        place = Scene(folder, zygote, server, clock)
        try:
            yield place
        finally:
            place.close()
