"""A rush: a fast Jira that keeps account of every ticket, the nodes that work on it, and what must come of it.

    python -m tests.faults.rush        the tracker; prints its address

The practice tracker is too slow for ten thousand waits. This one is that of the benchmarks (its tickets and latency are
told there), and besides

- `/_control?account=1` tells of each ticket what was done on it,
- `/_control?changed=N` lets a search for changed tickets find the first N, so that each poll makes them due once more,
- `/_control?rest=1` is answered once all that came before it is done, whoever sent it and lives no more.
"""

import asyncio
import contextlib
import json
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import requests

from connector.inquiry.markup import find_refs
from tests.benchmarks import tracker as fast
from tests.benchmarks.payloads import SECRET, jira_payload, signature
from tests.benchmarks.processes import Child
from tests.benchmarks.tracker import CALLED_AT, WAITING
from tests.faults.figures import Row
from tests.faults.nodes import Node
from tests.faults.zygote import Zygote
from tests.system.office import MAPPING, PAST_DOUBT, write_clock
from tests.system.process import SOURCE, micros, wait_for
from tests.system.test_ladders import CALIFORNIA, CALL_SHEET

PATIENCE = 120.0  # seconds in which something must go on, on a busy machine
CHANGED_AT = CALLED_AT + timedelta(days=1)
BEFORE = fast.WAIT_PASSED_AT - timedelta(minutes=5)
PASSED = fast.WAIT_PASSED_AT + timedelta(seconds=1)
LETTER_DUE = (("comment", CALIFORNIA), ("move", "E-mail Service Center"))
CALL_DUE = (("comment", CALL_SHEET), ("move", "Call NCSC"))

Acts = Sequence[tuple[str, str]]  # (kind, what)


# The tracker


class Jira(fast.Jira):
    """Keeps account of moves, too. `changed`: how many tickets a search for changed ones finds."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = 0
        self.tally: Counter[str] = Counter()  # calls of each kind
        self._polls = 0
        self._moves: defaultdict[int, list[str]] = defaultdict(list)

    def account(self) -> Mapping[int, Acts]:
        """ticket -> what was done on it."""
        return {number: [*_comments(ticket), *self._moves_of(number)] for number, ticket in self.tickets.items()}

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        answer = super().answer(method, target, body)
        self.tally[self.calls.pop().kind] += 1  # not kept: they are many
        return answer

    def _moves_of(self, number: int) -> Iterator[tuple[str, str]]:
        return (("move", status) for status in self._moves[number])

    def _move(self, number: int, query: object, body: Any) -> tuple[int, bytes]:
        answer = super()._move(number, query, body)
        self._moves[number].append(self.ticket(number).status)
        return answer

    def _search(self, number: int, query: Mapping[str, list[str]], body: Any) -> tuple[int, bytes]:
        """Tickets have their stamp; changed ones another each time."""
        is_poll = "updated >=" in query["jql"][0]
        found = self.changed if is_poll else self.waiting
        if not is_poll and "statusCategory" not in query["jql"][0]:
            return super()._search(number, query, body)
        self._polls += is_poll
        stamp = CHANGED_AT + timedelta(seconds=self._polls) if is_poll else CALLED_AT
        start = int(query.get("nextPageToken", ["0"])[0])
        page = range(start, min(start + 100, found))
        fields = {"updated": f"{stamp:%Y-%m-%dT%H:%M:%S.000+0000}"}
        issues = [{"id": str(WAITING + n), "key": f"CASE-{WAITING + n}", "fields": fields} for n in page]
        more = {"nextPageToken": str(page.stop)} if page.stop < found else {}
        return 200, json.dumps({"issues": issues, "isLast": not more} | more).encode()


def _comments(ticket: fast.Ticket) -> Iterator[tuple[str, str]]:
    """A comment stands for each ref in it, if they are more than one."""
    for body in ticket.comments:
        for _ in range(max(1, len(find_refs(body)))):
            yield "comment", body.splitlines()[0].replace("*", "")


class _Connection(fast._Connection):
    """As the benchmarks'; with the three orders of the module's text."""

    def __init__(self, jira: Jira) -> None:
        super().__init__(jira)
        self._jira: Jira = jira

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET /_control?rest="):
            # Timers of one length come in the order in which they were set.
            asyncio.get_running_loop().call_later(self._jira.latency, self._write, (200, b"{}"))
        else:
            super().data_received(data)

    def _control(self, target: str) -> tuple[int, bytes]:
        super()._control(target)
        order = parse_qs(urlsplit(target).query)
        if "changed" in order:
            self._jira.changed = int(order["changed"][0])
        told = self._jira.account() if "account" in order else self._jira.tally
        return 200, json.dumps(told).encode()


class Control(fast.Control):
    """A test's hand on the tracker."""

    def account(self) -> dict[int, list[tuple[str, str]]]:
        """ticket -> what was done on it, as often as it was: ("comment", its first line), ("move", the status)."""
        told = self._ask({"account": 1})
        return {int(number): [(kind, what) for kind, what in acts] for number, acts in told.items()}

    def rest(self) -> None:
        """Wait until everything that was sent before is done, also what dead processes sent."""
        for _ in range(3):  # until each connection that lay before it is accepted, read, and its request begun
            self.counts()
        self._ask({"rest": 1})


async def serve() -> None:
    jira = Jira()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(jira), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201  whoever waits for it
    await server.serve_forever()


# Those who work on it


class Rush:
    """Made by `rush()`; no node is made yet. Its clock stands still but for what a test moves it."""

    def __init__(self, folder: Path, zygote: Zygote, tracker: Control, database_url: str) -> None:
        self.folder, self.tracker, self.database_url = folder, tracker, database_url
        self.nodes: list[Node] = []
        self.due: dict[int, Acts] = {}  # ticket -> what must stand on it in the end
        self._zygote, self._clock_file = zygote, folder / "clock"
        self.mappings = folder / "mappings"
        self.mappings.mkdir()
        (self.mappings / "token").write_text(fast.TOKEN)
        (self.mappings / "webhook-secret").write_text(SECRET)
        (self.mappings / f"{SOURCE}.yaml").write_text(MAPPING.format(url=tracker.url, user=f"user: {fast.USER}"))
        self.set_clock(BEFORE)
        self._database = psycopg.connect(database_url, autocommit=True)

    def node(self, role: str, kind: Callable[..., Node] = Node) -> Node:
        """Another node. It is not started yet."""
        node = kind(
            self.folder / f"node-{len(self.nodes) + 1}-{role}",
            self._clock_file,
            self._zygote,
            role=role,
            database_url=self.database_url,
            mappings=self.mappings,
        )
        node.poll_seconds = 86_400
        self.nodes.append(node)
        return node

    def start(self, *nodes: Node) -> None:
        """Start these, and wait until they listen."""
        for node in nodes:
            node.launch()
        for node in nodes:
            wait_for(lambda node=node: node.listens or node.died, "a node listens", PATIENCE)
            assert node.alive, node.last_words()

    # Its clock

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(self._clock_file.read_text()))

    def set_clock(self, moment: datetime) -> None:
        write_clock(self._clock_file, moment)

    def let_time_pass(self, span: timedelta = PAST_DOUBT) -> None:
        """Everything that was sent is done before the clock moves: no tracker takes so long over a request."""
        self.tracker.rest()
        self.set_clock(self.now + span)

    # Its tickets

    def add_waits(self, number: int) -> range:
        """So many tickets of which the call is noted and the wait runs. Polls will find them."""
        self.tracker.set(waiting=number)
        tickets = range(WAITING, WAITING + number)
        self.due |= dict.fromkeys(tickets, LETTER_DUE)
        return tickets

    def add_calls(self, number: int) -> range:
        """So many tickets that are ready for the call, of which nothing tells but webhooks."""
        tickets = range(fast.FRESH, fast.FRESH + number)
        self.due |= dict.fromkeys(tickets, CALL_DUE)
        return tickets

    def let_waits_run(self, number: int) -> None:
        """Until every one of these many has been looked at."""
        self.go_on_until(lambda: self.count("stage = 'awaiting_ncsc' and lease_token is null") == number, "all wait")
        counts = self.tracker.counts()
        assert (counts["comment"], counts["move"]) == (0, 0)

    def tell(self, node: Node, ticket: int) -> bool:
        """Send a webhook of a ticket to the node; whether it was accepted."""
        body = jira_payload(ticket)
        headers = {"Content-Type": "application/json", "X-Hub-Signature": signature(body)}
        with contextlib.suppress(requests.RequestException):
            address = f"{node.address}/webhooks/{SOURCE}"
            return requests.post(address, data=body, headers=headers, timeout=30).status_code == 204
        return False

    def count(self, which: str) -> int:
        """How many tickets are so, by the words of SQL."""
        query = f"select count(*) from tickets where {which}"
        return int(self._database.execute(query.encode()).fetchall()[0][0])

    def is_at_rest(self) -> bool:
        """Nothing is due, in hand, or in doubt."""
        busy = f"lease_token is not null or attend_at <= {micros(self.now)} or attempts > 0"
        doubts = self._database.execute("select count(*) from acts where done_at is null").fetchall()[0][0]
        return self.count(busy) == 0 and doubts == 0

    def go_on_until(
        self, condition: Callable[[], object], what: str, *, tend: Callable[[], object] = lambda: None
    ) -> None:
        """Until the condition holds; where nothing goes on, time passes. AssertionError if nothing helps for long.

        `tend` is called all the time.
        """
        calls, still_since, given_up_at = 0, time.monotonic(), time.monotonic() + PATIENCE
        while not condition():
            tend()
            now, known = time.monotonic(), self.tracker.counts().total()
            if known != calls:
                calls, still_since, given_up_at = known, now, now + PATIENCE
            elif now - still_since > 0.5:
                assert now < given_up_at, f"waited in vain until {what}: {self.state()}"
                self.let_time_pass()
                still_since = now
            time.sleep(0.02)

    def state(self) -> str:
        rows = self._database.execute(
            "select stage, attend_at is null, lease_token is not null, attempts, error, count(*) from tickets"
            " group by 1, 2, 3, 4, 5 order by 6 desc limit 5"
        ).fetchall()
        return f"alive {[node.alive for node in self.nodes]}, tickets {rows}"

    # What came of it

    def is_done(self) -> bool:
        """Everything that is due is there."""
        if self.tracker.counts()["comment"] < len(self.due):  # there is one on each; the account of all takes long
            return False
        account = self.tracker.account()
        return all(not Counter(due) - Counter(account.get(ticket, ())) for ticket, due in self.due.items())

    def finish(self, row: Row) -> None:
        """Let it come to its end, tell of every ticket once more, let it come to rest again, and count."""
        with contextlib.suppress(AssertionError):  # what is missed then is a figure
            self.go_on_until(self.is_done, "all acts are done")
        self.go_on_until(self.is_at_rest, "all is at rest")
        self._look_again()
        self.go_on_until(self.is_at_rest, "all is at rest again")
        self.tracker.rest()
        account = self.tracker.account()
        # Tickets that nothing is due on stand in the account as well.
        for ticket in self.due.keys() | account.keys():
            row.count(
                [(ticket, *act) for act in self.due.get(ticket, ())],
                [(ticket, *act) for act in account.get(ticket, ())],
            )
        assert self.count("stuck_since is not null") == 0

    def _look_again(self) -> None:
        """Whatever is remembered wrongly shows."""
        now = micros(self.now)
        self._database.execute(f"update tickets set news = news + 1, attend_at = {now}".encode())

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        self._database.close()


@contextlib.contextmanager
def rush(folder: Path, zygote: Zygote, database_url: str) -> Iterator[Rush]:
    with Child(["-m", "tests.faults.rush"], folder) as child:
        place = Rush(folder, zygote, Control(child.line()), database_url)
        try:
            yield place
        finally:
            place.close()


class Announcer:
    """Sends webhooks of tickets to nodes from a thread, each until it is accepted, as a tracker does, and doubles some.

    Use as a context: at the end of the block all are accepted.
    """

    def __init__(self, place: Rush, nodes: Sequence[Node], tickets: Sequence[int], chance: random.Random) -> None:
        self.accepted = self.refused = 0
        self._place, self._nodes, self._tickets, self._chance = place, nodes, tickets, chance
        self._thread = threading.Thread(target=self._run, name="announcer")
        self._given_up = threading.Event()

    def __enter__(self) -> "Announcer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(PATIENCE)
        self._given_up.set()
        self._thread.join()
        assert self.accepted >= len(self._tickets), "webhooks were never accepted"

    def _run(self) -> None:
        for ticket in self._tickets:
            for _ in range(self._chance.choice((1, 1, 1, 2))):
                while not self._place.tell(self._chance.choice(self._nodes), ticket):
                    self.refused += 1
                    if self._given_up.wait(0.05):
                        return
                self.accepted += 1


if __name__ == "__main__":
    asyncio.run(serve())
