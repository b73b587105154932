"""Many nodes on one PostgreSQL: racing for every ticket, and killed at random while thousands of waits pass."""

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.faults.figures import Figures
from tests.faults.nodes import Node
from tests.faults.rush import PASSED, PATIENCE, Announcer, Rush
from tests.system.process import wait_for

pytestmark = pytest.mark.postgres

HANDS = "4"
ACTED = "connector_acts_total"


# Two nodes racing for every ticket


def test_two_nodes_race_for_every_ticket(rush: Rush, figures: Figures, size: str, seed: int) -> None:
    """Both claim twenty times a second, both poll all the time and find everything changed, both get every webhook."""
    row = figures("two nodes race for every ticket, PostgreSQL")
    waits, calls = (150, 50) if size == "short" else (3_000, 1_000)
    rush.add_waits(waits)
    nodes = [rush.node("run"), rush.node("run")]
    for node in nodes:
        node.beat, node.poll_seconds = 0.05, 0.2
    rush.start(*nodes)
    rush.let_waits_run(waits)

    rush.tracker.set(changed=waits, latency=0.005)
    tickets = [*rush.due, *rush.add_calls(calls)]
    with everybody_told(rush, nodes, tickets, random.Random(seed)):
        rush.set_clock(PASSED)
    rush.go_on_until(rush.is_done, "all acts are done")
    row.injected = int(sum(node.metric("connector_notices_total") for node in nodes))
    rush.tracker.set(changed=0)
    shares = [node.metric(ACTED, outcome="done") for node in nodes]
    rush.finish(row)
    row.check()
    assert row.due == 2 * len(tickets)
    assert min(shares) > 0.1 * sum(shares), f"one node did nearly all: {shares}"


@contextmanager
def everybody_told(rush: Rush, nodes: Sequence[Node], tickets: Sequence[int], chance: random.Random) -> Iterator[None]:
    """While the block lasts, and until it is done: each ticket's webhook to each node, at about the same time."""
    shuffled = chance.sample(tickets, len(tickets))
    announcers = [Announcer(rush, [node], shuffled, chance) for node in nodes]
    with announcers[0], announcers[1]:
        yield


# Three nodes, killed at random


def test_nodes_killed_at_random_while_waits_pass(rush: Rush, figures: Figures, size: str, seed: int) -> None:
    """Web and two workers. What the web node answered with 2xx before it was killed counts as told."""
    row = figures("web + 2 workers, kill -9 at random while waits pass")
    waits, calls = (600, 60) if size == "short" else (10_000, 1_000)
    chance = random.Random(seed)
    rush.add_waits(waits)
    nodes = [rush.node(role) for role in ("web", "work", "work")]
    for node in nodes:
        node.more_environment = {"CONNECTOR_WORKERS": HANDS}
    assert nodes[0].upgrade() == 0, nodes[0].last_words()
    rush.start(*nodes)
    rush.let_waits_run(waits)

    rush.tracker.set(latency=0.05)  # so that a kill finds calls under way
    killer = Killer(rush, chance, pause=1.5 if size == "short" else 3.0)
    with Announcer(rush, nodes[:1], rush.add_calls(calls), chance):
        rush.set_clock(PASSED)
        rush.go_on_until(rush.is_done, "all acts are done", tend=killer.go_on)
        killer.restart_all()
    row.injected = killer.kills
    rush.finish(row)
    row.check()
    assert row.due == 2 * (waits + calls)
    assert min(killer.of_role["web"], killer.of_role["work"]) >= 2, killer.of_role


class Killer:
    """Kills a node, or two at once, and starts it again a while later. `go_on` is called all the time.

    `pause`: seconds between two strikes, at most.
    """

    def __init__(self, rush: Rush, chance: random.Random, pause: float) -> None:
        self.kills, self._pause = 0, pause
        self.of_role: Counter[str] = Counter()
        self._place, self._chance = rush, chance
        self._strikes_at = time.monotonic()
        self._restarts: dict[Node, float] = {}

    def go_on(self) -> None:
        now = time.monotonic()
        for node, at in list(self._restarts.items()):
            if now >= at:
                node.launch()
                del self._restarts[node]
        if now >= self._strikes_at:
            self._strike(now)
            self._strikes_at = now + self._chance.uniform(0.1, 1) * self._pause

    def restart_all(self) -> None:
        for node in self._restarts:
            node.launch()
        self._restarts.clear()
        for node in self._place.nodes:
            wait_for(lambda node=node: node.listens, "a node listens again", PATIENCE)

    def _strike(self, now: float) -> None:
        alive = [node for node in self._place.nodes if node not in self._restarts]
        for node in self._chance.sample(alive, min(len(alive), self._chance.choice((1, 1, 1, 2)))):
            assert node.alive, f"a node died by itself: {node.last_words()}"
            node.kill()
            self.kills += 1
            self.of_role[node.role] += 1
            self._restarts[node] = now + self._chance.uniform(0, 0.4)
        if self._chance.random() < 0.3:
            self._place.let_time_pass()  # the leases of the dead run out while others are at work
