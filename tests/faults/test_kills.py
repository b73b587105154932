"""kill -9 at every step and at any moment, of one node and of several: no act is lost, none is done twice.

One node on SQLite (Jira Cloud and Data Center, Zammad), one on PostgreSQL, and three there, of which one takes webhooks
in and two attend to tickets. A node that is killed is started again at once, while the tracker may still be at what the
dead one asked for. What is due follows from the procedure; it is compared with what stands on the tickets at the end.
"""

import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Response, request

from tests.faults.figures import Figures, Row
from tests.faults.nodes import PATIENCE, Node, Nodes, nodes_at
from tests.faults.zygote import Zygote
from tests.postgres import emptied
from tests.system.office import CALL, DETAILS, START, Office
from tests.system.test_kills import BESIDES, CALLS, STEPS, Death, point_of
from tests.system.test_ladders import CALIFORNIA, CALL_SHEET, Walk, assert_walked, people_at_work
from tests.system.test_zammad import CALLS as ZAMMAD_CALLS
from tests.system.test_zammad import STEPS as ZAMMAD_STEPS
from tests.system.zammad_office import ZammadOffice
from tests.zammad_standin.server import Fault

LATE = DETAILS | CALL | {"NCSC_Called_At": START - timedelta(days=40)}  # the letter to the centre is due
DATA_CENTER_CALLS = (*CALLS[:3], ("*", "/search$"))
WEB_POINTS = [f"Attention.notice:{when}:#" for when in ("before", "after")]
AFTER_A_FAILURE = [
    f"{step}:{when}:1" for step in ("Attention.postpone", "Acts.drop_started") for when in ("before", "after")
]
WAITS = {"short": 150, "full": 10_000}
THREE = ("web", "work", "work")


@dataclass(frozen=True)
class Place:
    """Where nodes work. `tracker`: see nodes_at()."""

    name: str
    tracker: str = "cloud"
    on_postgresql: bool = False
    roles: Sequence[str] = ("run",)

    @property
    def steps(self) -> Sequence[str]:
        return ZAMMAD_STEPS if self.tracker == "zammad" else STEPS

    @property
    def besides(self) -> Sequence[str]:
        return [each.replace("JiraTracker", "ZammadTracker") if self.tracker == "zammad" else each for each in BESIDES]

    @property
    def calls(self) -> Sequence[tuple[str, str]]:
        return {"cloud": CALLS, "data-center": DATA_CENTER_CALLS, "zammad": ZAMMAD_CALLS}[self.tracker]

    @property
    def kinds(self) -> Sequence[str | Death]:
        """What a death can be: a point with # for the number of the call, or a call of the tracker."""
        return [
            *(point_of(step, when) for step in (*self.steps, *self.besides) for when in ("before", "after")),
            *(f"Database._repeating:{when}:#" for when in ("before", "after")),
            *(Death(call=call, processed=processed) for call in self.calls for processed in (False, True)),
        ]


ONE_NODE = [
    Place("SQLite, Jira Cloud"),
    Place("SQLite, Jira Data Center", "data-center"),
    Place("SQLite, Zammad", "zammad"),
    Place("PostgreSQL, Jira Cloud", on_postgresql=True),
]
THREE_NODES = Place("PostgreSQL, 3 nodes", on_postgresql=True, roles=THREE)

OpenNodes = Callable[[Place], AbstractContextManager[Nodes]]


@pytest.fixture
def open_nodes(tmp_path: Path, zygote: Zygote, request: pytest.FixtureRequest) -> OpenNodes:
    """open_nodes(place): nodes in a new office, on an empty database."""
    numbers = itertools.count(1)

    def open_one(place: Place) -> AbstractContextManager[Nodes]:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        url = emptied(request.getfixturevalue("postgresql")) if place.on_postgresql else ""
        return nodes_at(folder, zygote, roles=place.roles, database_url=url, tracker=place.tracker)

    return open_one


class Killer:
    """Ends nodes by SIGKILL, as planned and at moments of chance, and starts each again at once.

    `deaths` are those of nodes that attend to tickets, one for each life; without one more, lives have no planned end.
    """

    def __init__(self, nodes: Nodes, row: Row, chance: random.Random, deaths: Iterator[Death]) -> None:
        self.nodes, self.row, self.chance, self.deaths = nodes, row, chance, deaths
        self._pending: dict[Node, Death] = {}
        self._met: dict[Node, int] = {}
        self._strike_at: dict[Node, float] = {}
        nodes.office.server.app.before_request(self._arrived)
        nodes.office.server.app.after_request(self._answered)

    def quiet(self, patience: float = PATIENCE) -> None:
        """Let the nodes come to rest, however often they die on the way."""
        self.nodes.quiet(self.tend, patience)

    def let_live(self) -> None:
        """Put living nodes in the place of those that are still to die, and let them come to rest."""
        for node in self.nodes:
            if node.died or node in self._pending:
                node.kill()
                node.launch()
        self._pending.clear()
        self._strike_at.clear()
        self.nodes.wait_for_all()
        self.nodes.settle()

    def tend(self) -> None:
        now = time.monotonic()
        for node in self.nodes:
            if node.alive and now >= self._strike_at.get(node, float("inf")):
                node.kill()
                if len(self.nodes.nodes) > 1:
                    self.strike_soon()
            if node.died:
                assert node.wait() == -signal.SIGKILL, f"a node ended by itself: {node.last_words()}"
                self.row.injected += 1
                self.launch(node)

    def launch(self, node: Node) -> None:
        death = self._next_of(node)
        self._pending.pop(node, None)
        self._strike_at.pop(node, None)
        self._met[node] = 0
        if death is not None:
            self._pending[node] = death
        node.launch(death.inside.split("|") if death and death.inside else ())
        if death is not None and not death.inside and not death.call:
            self.strike(node, death.after)

    def strike_soon(self) -> None:
        """Kill one within a moment, whatever was planned for it; of several, one after the other from then on."""
        self.strike(self.chance.choice(self.nodes.nodes), self.chance.uniform(0, 0.15 * len(self.nodes.nodes)))

    def strike(self, node: Node, after: float) -> None:
        """Kill it in so many seconds."""
        self._strike_at[node] = time.monotonic() + after

    @property
    def pending(self) -> Sequence[Death]:
        """The planned deaths that those who live have not died yet."""
        return list(self._pending.values())

    def _next_of(self, node: Node) -> Death | None:
        if node.role != "web":
            return next(self.deaths, None)
        number = str(self.chance.choice((1, 2, 5)))
        return Death(inside=self.chance.choice(WEB_POINTS).replace("#", number))

    def _arrived(self) -> None:
        self._meet(processed=False)

    def _answered(self, response: Response) -> Response:
        self._meet(processed=True)
        return response

    def _meet(self, *, processed: bool) -> None:
        """Kill the nodes that are to die of this call. With several, it may be another's that kills one."""
        for node, death in list(self._pending.items()):
            if death.comes_at(request, processed=processed):
                self._met[node] += 1
                if self._met[node] >= death.number:  # what the life before asked for may have been counted here
                    with suppress(ProcessLookupError):
                        os.kill(node.pid, signal.SIGKILL)
                    if not processed:
                        # The next life looks at the ticket before the tracker does what this one has asked for.
                        time.sleep(self.chance.uniform(0.2, 0.8))


# At every step


@dataclass(frozen=True)
class Cases:
    """Three tickets on which two comments, three moves, a due date and a recorded moment are due."""

    ready: Any
    late: Any
    mailed: Any
    due_day: str

    def count(self, office: Office, row: Row) -> None:
        for issue, titles, moves, due_days in (
            (self.ready, [CALL_SHEET], ["Call NCSC"], []),
            (self.late, [CALIFORNIA], ["E-mail Service Center"], []),
            (self.mailed, [], ["Awaiting Service Center"], [self.due_day]),
        ):
            row.count(titles, office.titles(issue))
            row.count(moves, office.moves(issue))
            row.count(due_days, office.due_days(issue))
        row.count(["once"], ["once"] * len(office.recorded(self.mailed, "Service Center Emailed At")))


def add_cases(office: Office, number: int) -> Cases:
    ready = office.add(**DETAILS | {"Receipt_Number": f"WAC25901{number:05}"})
    late = office.add(**LATE | {"Receipt_Number": f"WAC25902{number:05}"})
    with office.world.lock:  # nobody is to see it before it was moved
        mailed = office.add(**LATE | {"Receipt_Number": f"LIN25901{number:05}"})
        office.move(mailed, "E-mailed Service Center")
    return Cases(ready, late, mailed, str(office.office_day(22)))


def lose_an_edit(office: Office) -> None:
    """The next one comes to nothing, and nobody knows: a look is put off, and an act looked for and dropped."""
    if isinstance(office, ZammadOffice):
        office.server.faults.append(Fault("PUT", r"/tickets/\d+$", 503))
    else:
        office.server.faults.add("POST", "/transitions$", status=503)


def points_of(place: Place, numbers: Sequence[int]) -> Iterator[Death]:
    """A death before and after each step; and, by these numbers, each transaction of the database and each call."""
    for step in (*place.steps, *place.besides):
        for when in ("before", "after"):
            yield Death(inside=point_of(step, when).replace("#", "1"))
    for call in place.calls:
        for processed in (False, True):
            yield Death(call=call, processed=processed)
    for number in numbers:
        for when in ("before", "after"):
            yield Death(inside=f"Database._repeating:{when}:{number}")
        for processed in (False, True):
            yield Death(call=("*", "."), number=number, processed=processed)


@pytest.mark.parametrize("place", ONE_NODE, ids=lambda place: place.name)
def test_a_node_killed_at_each_step(
    open_nodes: OpenNodes, place: Place, figures: Figures, size: str, seed: int
) -> None:
    """One life after the other ends at the next step; there are new cases whenever those before are done.

    The steps are those with a name, and transactions of the database and calls of the tracker by their number. In a
    full run all of these, and everything again in an order of chance; in a short one a few of them.
    """
    row = figures(f"kill -9 at every step: {place.name}")
    chance = random.Random(f"{seed} {place.name}")
    plan = list(points_of(place, range(1, 61) if size == "full" else chance.sample(range(1, 61), 3)))
    if size == "full":
        plan += chance.sample(plan, len(plan))
    with open_nodes(place) as nodes:
        killer = Killer(nodes, row, chance, iter(plan))
        nodes.start()
        nodes[0].kill()
        many = [add_cases(nodes.office, 0)]
        killer.launch(nodes[0])
        killer.quiet()
        while killer.pending:
            assert len(many) < 2 * len(plan), f"{killer.pending} is never reached"
            nodes.clock.advance(minutes=15)  # longer than a poll looks back: it need not see all cases again
            many.append(add_cases(nodes.office, len(many)))
            if killer.pending[0].inside in AFTER_A_FAILURE:
                lose_an_edit(nodes.office)
            killer.quiet()
        for cases in many:
            cases.count(nodes.office, row)
        row.check()
        assert row.injected == len(plan)
        end_well(killer)


def end_well(killer: Killer) -> None:
    """No act is left in doubt, no ticket in hand, and the nodes end when they are told to."""
    nodes = killer.nodes
    killer.let_live()
    assert nodes.count("select count(*) from acts where done_at is null") == 0
    assert nodes.count("select count(*) from tickets where lease_until is not null") == 0
    assert nodes.count("select count(*) from tickets where stuck_since is not null") == 0
    nodes.stop()


# At any moment


def walk(nodes: Nodes, killer: Killer, scripts: Sequence[Iterator[dict[str, Walk]]], row: Row) -> None:
    """People work in several offices' worth of tickets, one edited after the other, so that each death meets work."""
    many = [next(script) for script in scripts]
    killer.quiet()
    for days in itertools.cycle(scripts):
        if next(days, None) is None:
            break
        killer.strike_soon()
        killer.quiet()
    killer.quiet()
    for each in (each for walks in many for each in walks.values()):
        row.count(each.titles, nodes.office.titles(each.issue))
        row.count(each.moves, nodes.office.moves(each.issue))
        row.count(each.due_days, nodes.office.due_days(each.issue))
    row.check()
    for walks in many:
        assert_walked(nodes.office, walks)


def deaths_of(place: Place, chance: random.Random) -> Iterator[Death]:
    """Deaths without end, each kind as often as the others, in an order of chance; a fifth of them at any time."""
    kinds = place.kinds
    while True:
        for kind in chance.sample([*kinds, *[None] * (len(kinds) // 4)], len(kinds) * 5 // 4):
            number = chance.choice((1, 1, 2, 3, 7))
            if kind is None:
                yield Death(after=chance.uniform(0, 0.4))
            elif isinstance(kind, Death):
                yield replace(kind, number=number)
            else:
                yield Death(inside=kind.replace("#", str(number)))


@pytest.mark.parametrize("place", [*ONE_NODE, THREE_NODES], ids=lambda place: place.name)
def test_nodes_killed_while_people_work(
    open_nodes: OpenNodes, place: Place, figures: Figures, size: str, seed: int
) -> None:
    """Ten weeks of an office, and of more of them until there were enough kills."""
    row = figures(f"kill -9 at any moment: {place.name}")
    chance = random.Random(f"{seed} {place.name}")
    enough, sets = (500, 12) if size == "full" else (15, 2)
    while row.injected < enough:
        with open_nodes(place) as nodes:
            killer = Killer(nodes, row, chance, deaths_of(place, chance))
            nodes.start()
            walk(nodes, killer, [people_at_work(nodes.office, number) for number in range(sets)], row)
            end_well(killer)


def test_nodes_killed_while_waits_pass(open_nodes: OpenNodes, figures: Figures, size: str, seed: int) -> None:
    """Everybody called on one day: each case gets its due date, and after 31 days, at 09:00, its letter."""
    cases = WAITS[size]
    row = figures(f"kill -9 while {cases:,} waits pass: {THREE_NODES.name}")
    chance = random.Random(seed)
    with open_nodes(THREE_NODES) as nodes:
        office = nodes.office
        killer = Killer(nodes, row, chance, deaths_of(THREE_NODES, chance))
        for node in nodes:
            node.poll_seconds = 1 + cases / 1000  # searches take their time in a practice tracker
        called = DETAILS | CALL | {"NCSC_Called_At": office.clock.now()}
        issues = [office.add(**called | {"Receipt_Number": f"WAC25{number:08}"}) for number in range(cases)]
        nodes.start()
        for days in (0, 31):
            office.go_to(days)
            killer.strike_soon()
            killer.quiet(PATIENCE + cases / 2)  # seconds, on a busy machine
        for issue in issues:
            row.count([CALIFORNIA], office.titles(issue))
            row.count(["Awaiting NCSC", "E-mail Service Center"], office.moves(issue))
            row.count(["2026-04-02"], office.due_days(issue))
        row.check()
        end_well(killer)
