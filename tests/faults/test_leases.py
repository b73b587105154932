"""A worker that is stopped (SIGSTOP) for longer than its lease: another does its work, and it must add nothing to it.

What bounds the window. Before each act a worker renews its lease and notes the act as started, both in the database.
From there on it may send the act for half a lease, by the wall clock and by the one that nobody sets; it asks itself
that as the last thing before the head and before the body of a request go to the socket (connector/trackers/late.py).
The worker that takes the ticket over cannot have it before the whole lease is over, and then looks for the act on the
ticket first. What is left is a stop between that question and the system's call behind it, some microseconds, and one
of minutes; to close that, a tracker would have to take a condition with a comment, and none does. A request that was
sent whole before the stop has at least half a lease to be done in.
"""

import contextlib
import random
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from connector.practice.world import Issue
from tests.faults.figures import Figures
from tests.faults.nodes import PATIENCE, Nodes, nodes_at
from tests.faults.rush import PASSED, Rush
from tests.faults.spawned import Spawned
from tests.faults.zygote import Zygote
from tests.system.office import CALL, DETAILS, START
from tests.system.process import micros, wait_for
from tests.system.test_ladders import CALIFORNIA

pytestmark = pytest.mark.postgres

BEYOND = timedelta(minutes=6)  # a lease is five

# A look at a ticket whose letter is due: the fetch (one request, without a body), the move and the comment (two sends
# each: head and body). In the order in which they come.
AT_THE_MOVE = (
    "Acts.start after 1",
    "JiraTracker.move before 1",
    "Pace.wait after 2",
    "Timely.send before 2",
    "Timely.send before 3",
)
AT_THE_COMMENT = (
    "Acts.start after 2",
    "JiraTracker.post_comment before 1",
    "JiraApi.post before 1",
    "Pace.wait after 3",
    "Timely.send before 4",
    "Timely.send before 5",
)
BESIDES = (
    "Attendant.attend before 1",
    "JiraTracker.fetch after 1",
    "Acts.adopt before 1",
    "JiraTracker.move after 1",
    "Acts.finish after 1",
    "JiraTracker.post_comment after 1",
    "Acts.finish before 2",
    "Attention.settle before 1",
    "Attention.settle after 1",
)


class Late(Spawned):
    """A worker that can be told where to stop itself."""

    def stop_at(self, place: str) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(place)
        fresh.replace(self.file)

    @property
    def is_stopped(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def looks(self) -> float:
        """How many looks have ended."""
        return self.metric("connector_looks_total")


@pytest.fixture
def nodes(tmp_path: Path, zygote: Zygote, postgresql_url: str) -> Iterator[Nodes]:
    """A web node and a worker, not started."""
    with nodes_at(tmp_path, zygote, roles=("web", "work"), database_url=postgresql_url) as made:
        for node in made:
            node.poll_seconds = 86_400
        yield made


@pytest.fixture
def late(nodes: Nodes, tmp_path: Path, zygote: Zygote, postgresql_url: str) -> Iterator[Late]:
    node = Late(
        tmp_path / "late",
        tmp_path / "clock",
        zygote,
        role="work",
        database_url=postgresql_url,
        mappings=nodes.office.connector.mappings,
        module="tests.faults.stopping",
        file=tmp_path / "place",
    )
    node.poll_seconds = 86_400
    yield node
    node.close()


def test_a_worker_stopped_beyond_its_lease_adds_nothing(nodes: Nodes, late: Late, figures: Figures, size: str) -> None:
    """At each point of its look; another takes the ticket over and ends the look; then it goes on."""
    row = figures("a lease outlives its worker (SIGSTOP at each point of a look)")
    web, other = nodes
    assert web.upgrade() == 0, web.last_words()
    for node in (web, late):
        node.launch()
    for node in (web, late):
        wait_for(lambda node=node: node.listens, "a node listens", PATIENCE)
    nodes.hear()
    warm_up(nodes, late)

    for number, place in enumerate((*AT_THE_MOVE, *AT_THE_COMMENT, *BESIDES) * (1 if size == "short" else 20)):
        looks = late.looks()
        late.stop_at(place)
        issue = overdue_call(nodes, 10 + number)
        wait_for(lambda: late.is_stopped, f"it stops at {place}", PATIENCE)
        row.injected += 1
        other.launch()
        nodes.clock.advance(seconds=BEYOND.total_seconds())
        wait_for(lambda issue=issue: is_over(nodes, issue), f"another has ended the look ({place})", PATIENCE)
        late.thaw()
        wait_for(lambda looks=looks: late.looks() > looks, f"the late one has ended its look ({place})", PATIENCE)
        wait_for(lambda issue=issue: is_over(nodes, issue), f"all is at rest ({place})", PATIENCE)
        other.kill()
        row.count([CALIFORNIA], nodes.office.titles(issue))
        row.count(["E-mail Service Center"], nodes.office.moves(issue))
        assert (place, row.missed, row.doubled) == (place, 0, 0)
    row.check()
    assert late.stop() == 0


def overdue_call(nodes: Nodes, number: int) -> Issue:
    """A ticket whose letter is due."""
    called_at = START.replace(month=1)
    receipt = {"Receipt_Number": f"WAC25901{number:05}"}
    return nodes.office.add(**DETAILS | CALL | receipt, NCSC_Called_At=called_at)


def warm_up(nodes: Nodes, late: Late) -> None:
    """A first look, so that what is asked for once in a process has been asked for."""
    issue = overdue_call(nodes, 0)
    wait_for(lambda: nodes.office.titles(issue), "the first look", PATIENCE)
    wait_for(lambda: is_over(nodes, issue) and late.looks() > 0, "the first look is over", PATIENCE)
    wait_for(lambda: late.logged("set-up is in order") or late.logged("set-up is broken"), "it has begun", PATIENCE)


def is_over(nodes: Nodes, issue: Issue) -> bool:
    """The ticket is known, in nobody's hand, not due, and no act of it is in doubt."""
    nodes.office.server.hooks.drain(5)
    now, ticket = micros(nodes.clock.now()), str(issue.id)
    free = "ticket_id = ? and lease_token is null and (attend_at is null or attend_at > ?) and attended_at > 0"
    return (
        nodes.count(f"select count(*) from tickets where {free}", ticket, now) == 1
        and nodes.count("select count(*) from acts where ticket_id = ? and done_at is null", ticket) == 0
    )


# At any moment


def test_workers_stopped_at_any_moment_beyond_their_leases(rush: Rush, figures: Figures, size: str, seed: int) -> None:
    """One after the other, with all its threads, while waits pass; the other takes over what it held."""
    row = figures("workers stopped at any moment beyond their leases, while waits pass")
    waits = 300 if size == "short" else 5_000
    chance = random.Random(seed)
    rush.add_waits(waits)
    nodes = [rush.node("work"), rush.node("work")]
    assert nodes[0].upgrade() == 0, nodes[0].last_words()
    rush.start(*nodes)
    rush.let_waits_run(waits)

    rush.tracker.set(latency=0.05)  # so that a stop finds calls under way
    rush.set_clock(PASSED)
    while not rush.is_done():
        stopped = chance.choice(nodes)
        time.sleep(chance.uniform(0, 0.1))  # chance, not waiting
        stopped.freeze()
        rush.tracker.rest()
        row.injected += 1
        rush.set_clock(rush.now + BEYOND)
        held = f"lease_token like '{stopped.pid}-%%'"
        with contextlib.suppress(AssertionError):  # stopped within a transaction, it keeps a ticket locked for a minute
            wait_for(lambda held=held: rush.count(held) == 0, "the other has taken over", 5)
        stopped.thaw()
    lost = sum(node.metric("connector_looks_total", outcome="lease_lost") for node in nodes)
    rush.finish(row)
    row.check()
    assert lost > 0, "nothing was taken over"
