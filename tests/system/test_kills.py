"""kill -9 at every point between fetch and done, and at any other moment: no act is lost, none is done twice.

The people of test_ladders.py work on, in several offices' worth of tickets, while the connector is killed again and
again and started again each time. At the end the tickets must look as if nothing had happened.
"""

import itertools
import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pytest
from flask import Request, Response, request

from tests.system.office import CALL, DETAILS, START, Office
from tests.system.test_ladders import CALL_SHEET, Walk, assert_walked, people_at_work

BEFORE = START.replace(month=2)

STEPS = (
    "Attention.claim",
    "JiraTracker.fetch|JiraTracker.fetch_many",
    "Acts.adopt",
    "Acts.start",
    "JiraTracker.post_comment",
    "JiraTracker.move",
    "JiraTracker.set_due",
    "JiraTracker.set_moment",
    "Acts.finish",
    "Attention.settle",
)
BESIDES = (
    "Attention.notice",
    "Attention.notice_many",
    "Attention.postpone",
    "Acts.drop_started",
    "Sources.polled",
    "JiraTracker.changed_since",
)
CALLS = (
    ("POST", "/comment$"),
    ("POST", "/transitions$"),
    ("PUT", r"/issue/\d+$"),
    ("*", r"reconcileIssues=\d+|/bulkfetch$"),
)


@dataclass(frozen=True)
class Death:
    """`inside`: at a call within the process (child.py), or the one behind a |. `call`: when the tracker gets that
    request. Else: any time."""

    inside: str | None = None
    call: tuple[str, str] | None = None
    processed: bool = False  # after the tracker has processed the request, and before it answers
    number: int = 1
    after: float = 0.0  # seconds of life, where nothing else ends it

    def comes_at(self, arrived: Request, *, processed: bool) -> bool:
        """Whether this request that has come to the tracker is one at which it strikes."""
        if not self.call or self.processed is not processed:
            return False
        method, path = self.call
        paths = (arrived.path, arrived.full_path)
        return method in {"*", arrived.method} and any(re.search(path, text) for text in paths)


def point_of(step: str, when: str) -> str:
    """The step's point in child.py, with # for the number of the call; behind a | another's."""
    return "|".join(f"{each}:{when}:#" for each in step.split("|"))


def planned(chance: random.Random) -> Iterator[Death]:
    """Deaths without end, each kind as often as the others, in an order of chance."""
    kinds = [
        *(point_of(step, when) for step in (*STEPS, *BESIDES) for when in ("before", "after")),
        *((call, processed) for call in CALLS for processed in (False, True)),
        *[None] * 10,
    ]
    while True:
        for kind in chance.sample(kinds, len(kinds)):
            number = chance.choice((1, 1, 2, 3))
            if kind is None:
                yield Death(after=chance.uniform(0, 0.4))
            elif isinstance(kind, str):
                yield Death(inside=kind.replace("#", str(number)))
            else:
                yield Death(call=kind[0], processed=kind[1], number=number)


class Killer:
    """Keeps the connector running in spite of the planned deaths. One moves on when there is nothing left to do."""

    def __init__(self, office: Office, deaths: Iterator[Death], chance: random.Random) -> None:
        self.office, self.deaths, self.chance = office, deaths, chance
        self.kills = 0
        self._death: Death | None = None
        self._met = 0
        self._dies_at = float("inf")
        office.server.app.before_request(self._arrived)
        office.server.app.after_request(self._answered)

    def keep_running(self) -> None:
        """Let the connector come to rest, however often it dies on the way."""
        self._strike_later()
        while True:
            if not self.office.connector.alive:
                self._restart()
            if self.office.quiet(self._is_time):
                return
            self.office.connector.kill()
            self.office.tracker_at_rest()
            self.kills += 1

    def _strike_later(self) -> None:
        """One that lives on from the last step dies in this one, unless the plan is at its end."""
        if self.office.connector.alive and self._death:
            self._dies_at = time.monotonic() + self.chance.uniform(0, 0.12)

    def _restart(self) -> None:
        self._death, self._met, self._dies_at = next(self.deaths, None), 0, float("inf")
        if not self.office.start(self._death.inside.split("|") if self._death and self._death.inside else []):
            return
        if self._death and not self._death.inside and not self._death.call:
            self._dies_at = time.monotonic() + self._death.after

    def _is_time(self) -> bool:
        return time.monotonic() >= self._dies_at

    def _arrived(self) -> None:
        self._meet(processed=False)

    def _answered(self, response: Response) -> Response:
        self._meet(processed=True)
        return response

    def _meet(self, *, processed: bool) -> None:
        if self._death and self._death.comes_at(request, processed=processed):
            self._met += 1
            if self._met >= self._death.number:  # what the life before asked for may have been counted here
                with suppress(ProcessLookupError):
                    os.kill(self.office.connector.pid, signal.SIGKILL)


def assert_nothing_lost_or_doubled(office: Office, many: Sequence[dict[str, Walk]], kills: int) -> None:
    acts = missed = doubled = 0
    for walk in (walk for walks in many for walk in walks.values()):
        for due, done in (
            (walk.titles, office.titles(walk.issue)),
            (walk.moves, office.moves(walk.issue)),
            (walk.due_days, office.due_days(walk.issue)),
        ):
            acts += len(due)
            missed += len(set(due) - set(done))
            doubled += len(done) - len(set(done))
    print(f"\nkills {kills}, acts due {acts}, missed {missed}, doubled {doubled}")  # noqa: T201  the suite's result
    assert (missed, doubled) == (0, 0)
    for walks in many:
        assert_walked(office, walks)


POINTS = [
    *(Death(inside=point_of(step, when).replace("#", "1")) for step in STEPS for when in ("before", "after")),
    *(Death(call=call, processed=processed) for call in CALLS for processed in (False, True)),
]
FEW_POINTS = [
    Death(inside="Acts.start:after:1"),
    Death(call=CALLS[0], processed=True),
]


@pytest.mark.parametrize(
    "points", [FEW_POINTS, pytest.param(POINTS, marks=[pytest.mark.slow, pytest.mark.timeout(600)])], ids=["few", "all"]
)
def test_death_at_each_point(cloud: Office, points: Sequence[Death]) -> None:
    """For each point, a call sheet, two moves, a due date and a recorded moment are due, and the process dies there."""
    chance = random.Random(1)
    killer = Killer(cloud, iter(()), chance)
    for number, point in enumerate(points):
        ready = cloud.add(**DETAILS | {"Receipt_Number": f"WAC25901{number:05}"})
        mailed = cloud.add(**DETAILS | CALL | {"Receipt_Number": f"LIN25901{number:05}"}, NCSC_Called_At=BEFORE)
        cloud.move(mailed, "E-mailed Service Center")
        cloud.connector.kill()
        killer.deaths = iter([point])
        killer.keep_running()
        assert killer.kills == number + 1, f"{point} was never reached"
        assert cloud.titles(ready) == [CALL_SHEET], point
        assert cloud.moves(ready) == ["Call NCSC"], point
        assert cloud.titles(mailed) == [], point
        assert cloud.moves(mailed) == ["Awaiting Service Center"], point
        assert cloud.due_days(mailed) == [str(cloud.office_day(22))], point
        assert len(cloud.recorded(mailed, "Service Center Emailed At")) == 1, point
    assert cloud.connector.stop() == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("deployment", "sets"), [("cloud", 12), ("data-center", 8)])
def test_no_kill_loses_or_doubles_an_act(open_office: Callable[..., Office], deployment: str, sets: int) -> None:
    """Several sets of tickets, one edited after the other, so that there is work at each death."""
    office = open_office(deployment)
    chance = random.Random(deployment)
    killer = Killer(office, planned(chance), chance)
    scripts = [people_at_work(office, number) for number in range(sets)]
    many = [next(script) for script in scripts]
    killer.keep_running()
    for days in itertools.cycle(scripts):
        if next(days, None) is None:
            break
        killer.keep_running()
    killer.keep_running()
    assert_nothing_lost_or_doubled(office, many, killer.kills)
    assert killer.kills >= 3 * sets  # a life does much before it dies; tests/faults has them by the thousand
    assert office.connector.count("select count(*) from acts where done_at is null") == 0
    assert office.connector.stop() == 0
