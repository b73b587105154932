"""Clocks step forward and back, or differ from node to node, while waits pass and webhooks come.

What is promised: an act comes when its wait has passed by the clock of a node, never before; so it comes as much too
early as that clock is ahead, and no more. None comes twice. What was put off by a clock that was ahead (a backoff, a
doubt) comes when the true time has got there, and so as much too late as that clock was ahead, and no later.

Where several nodes share a PostgreSQL, one whose machine's clock is more than half a minute off the server's does
nothing, and says so (docs/decisions/0019-clocks.md).

The connector's clock is what it asks for the time; the machine's is that of the whole process (libfaketime), from which
APScheduler, the web server and the driver of the database take theirs.
"""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connector.store import open_database
from tests.faults import faked
from tests.faults.figures import Figures, Row
from tests.faults.scene import Case, Node, Scene
from tests.faults.zygote import Zygote

STEPS = [sign * step for step in (timedelta(minutes=3), timedelta(hours=1), timedelta(days=1)) for sign in (1, -1)]
WAITS, NEW = 4, 8  # cases for each step
SLOW = {"wait": 1.0, "times": 3}  # comments that are under way while the clock steps


HOUR = timedelta(hours=1)
NOT_ITS_CLOCK = "clock is"  # of the reason that a node gives


class Faked(Node):
    """A node to which the whole machine's clock is wrong: APScheduler, the driver of the database, everything."""

    program = Path(faked.__file__)
    whose = "machine"

    def __init__(self, folder: Path, zygote: Zygote, **settings: Any) -> None:
        if faked.libfaketime() is None:
            pytest.skip("libfaketime is not installed here (Debian: apt install faketime)")
        self._faked = folder / "faketime"
        super().__init__(folder, zygote, environment=faked.environment(self._faked), **settings)

    def set_clock(self, offset: timedelta) -> None:
        self._write(self.clock_file, str(offset.total_seconds()))
        self._write(self._faked, f"{self.error.total_seconds():+.6f}")


CLOCKS = pytest.mark.parametrize("kind", [Node, Faked], ids=["connector's clock", "machine's clock"])


def set_wrong(place: Scene, node: Node, error: timedelta) -> None:
    node.error = error
    place.set_clocks()


def passes_at(case: Case) -> datetime:
    assert case.passes_at
    return case.passes_at


def count_early(place: Scene, row: Row, cases: Sequence[Case], ahead: timedelta) -> None:
    """What came before its wait had passed by a clock that is so much ahead counts as done twice."""
    for case in cases:
        row.doubled += sum(1 for said in place.said(case.issue) if said.created + ahead < passes_at(case))


def through(place: Scene, waits: Sequence[Case], node: Node, step: timedelta, row: Row, *, heeded: bool = True) -> None:
    """The node's clock steps while comments are under way on which the tracker takes its time; and back later.

    `heeded`: it goes by that clock, wrong as it is.
    """
    ahead = max(step, timedelta(0)) if heeded else timedelta(0)
    place.wait_until(place.tracker.is_at_rest, "the tracker has nothing in hand")
    place.clock.set(passes_at(waits[0]) - ahead / 2 if ahead else passes_at(waits[0]) + timedelta(minutes=1))
    slow = place.server.faults
    slow.add("POST", "/comment$", **SLOW)
    sender = place.sender()
    for case in place.new(NEW):
        sender.send(case)
    place.wait_until(lambda: slow.waiting == 0, "comments are under way")
    set_wrong(place, node, step)
    for case in place.new(NEW):
        sender.send(case)
    sender.close()
    if not heeded:
        place.wait_until(lambda: says_that_its_clock_is_wrong(node), "it says that its clock is wrong")
    if ahead:
        place.wait_until(lambda: all(place.said(case.issue) for case in waits), "it goes by its own clock")
    set_wrong(place, node, timedelta(0))
    row.injected += 2
    if ahead:
        place.let_pass(waits)
    place.recover(within=abs(step) + timedelta(hours=1))
    count_early(place, row, waits, ahead)
    assert place.is_done(), f"something is missing an hour after a step of {step} was undone"


@CLOCKS
def test_the_clock_steps_while_it_works(
    place: Scene, tmp_path: Path, figures: Figures, size: str, chance: random.Random, kind: type[Node]
) -> None:
    row = figures(f"clock of the {kind.whose} steps, SQLite")
    steps = chance.sample(STEPS, 2 if kind is Faked else 6) if size == "short" else chance.choices(STEPS, k=60)
    node = place.node(f"sqlite:///{tmp_path}/connector.sqlite3", kind=kind)
    mornings = [place.waits(WAITS, days=2 * number + 2) for number in range(len(steps))]
    place.start()
    for step, waits in zip(steps, mornings, strict=True):
        through(place, waits, node, step, row)
    place.finish(row)
    row.check()


def says_that_its_clock_is_wrong(node: Node) -> bool:
    told = [line["reason"] for line in node.logged("attention round failed")]
    return any(NOT_ITS_CLOCK in reason for reason in told)


@pytest.mark.parametrize("error", [pytest.param(HOUR, id="ahead"), pytest.param(-HOUR, id="behind")])
def test_two_workers_whose_clocks_differ_by_an_hour(
    place: Scene, postgresql_url: str, figures: Figures, size: str, error: timedelta
) -> None:
    """The one that is not the server's attends to nothing: nothing is early, and nothing taken from the other."""
    row = figures(f"clock of a machine an hour {'ahead' if error > timedelta(0) else 'behind'}, PostgreSQL")
    open_database(postgresql_url, exclusive=True).close()
    place.node(postgresql_url, "web")
    place.node(postgresql_url, "work")
    wrong = place.node(postgresql_url, "work", kind=Faked)
    wrong.accepted_complaints |= {"clock", "attention_never"}
    rounds = 2 if size == "short" else 20
    mornings = [place.waits(WAITS, days=2 * number + 2) for number in range(rounds)]
    set_wrong(place, wrong, error)
    place.start()
    for waits in mornings:
        place.clock.set(passes_at(waits[0]) - timedelta(minutes=10))
        place.server.faults.add("POST", "/comment$", wait=0.5, times=NEW)
        sender = place.sender()
        for case in place.new(NEW):
            sender.send(case)
        sender.close()
        place.let_pass(waits)
        place.recover(within=timedelta(hours=1))
        count_early(place, row, waits, timedelta(0))
        row.injected += 1
    place.finish(row)
    row.check()
    assert says_that_its_clock_is_wrong(wrong)
    answer = wrong.get("/readyz")
    assert answer.status_code == 503
    assert NOT_ITS_CLOCK in answer.json()["reasons"][0]["message"]


SMALL = timedelta(seconds=50)  # by so much the clocks of nodes may differ, and a little more
LITTLE = timedelta(seconds=25)  # by so much that of a machine may differ from the server's


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        pytest.param(Node, [SMALL, -SMALL], id="connector's clock, a minute"),
        pytest.param(Faked, [LITTLE, -LITTLE], id="machine's clock, half a minute"),
        pytest.param(Faked, STEPS[2:], id="machine's clock, more"),
    ],
)
def test_the_clock_of_one_of_two_workers_steps(
    place: Scene,
    postgresql_url: str,
    figures: Figures,
    size: str,
    chance: random.Random,
    kind: type[Node],
    steps: list[timedelta],
) -> None:
    is_far = abs(steps[0]) > SMALL
    far = "an hour or a day" if is_far else "less than a minute"
    row = figures(f"clock of one {kind.whose} of two steps by {far}, PostgreSQL")
    steps = chance.sample(steps, 2) if size == "short" else chance.choices(steps, k=40)
    open_database(postgresql_url, exclusive=True).close()
    for role in ("web", "work"):
        place.node(postgresql_url, role)
    node = place.node(postgresql_url, "work", kind=kind)
    mornings = [place.waits(WAITS, days=2 * number + 2) for number in range(len(steps))]
    place.start()
    for step, waits in zip(steps, mornings, strict=True):
        through(place, waits, node, step, row, heeded=not is_far)
    place.finish(row)
    row.check()
    assert says_that_its_clock_is_wrong(node) == is_far
