"""Two sources of one connector: one whose tracker is well, and one that is reached through a BadTracker.

with neighbours(tmp_path, zygote) as pair:
    pair.start()
    pair.good, pair.bad        Offices: their people, and what came of their tickets
    pair.tracker               the BadTracker in front of the bad one
    pair.node                  the process of the connector, on SQLite
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from ssl import SSLContext
from types import MappingProxyType
from typing import Any

from connector.practice.sample import blank_world
from connector.practice.server import PracticeServer
from tests.faults.badtracker import BadTracker
from tests.faults.figures import Row
from tests.faults.nodes import Node
from tests.faults.zygote import Zygote
from tests.system.office import CALL, DETAILS, PAST_DOUBT, START, WEBHOOK_SECRET, Office, office
from tests.system.process import SOURCE, micros, wait_for
from tests.system.test_ladders import CALIFORNIA, CALL_SHEET
from tests.system.zammad_office import ZammadOffice
from tests.zammad_standin import ZammadStandin

BAD = "bad"  # the source of the bad tracker; the other's is process.SOURCE
BESIDE_SECONDS = 20.0  # in which the good source has done everything, on a machine that is busy with other things


class MeasuredNode(Node):
    """A node whose memory is looked at."""

    @property
    def most_megabytes(self) -> float:
        """The most that the process has had (proc_pid_status(5), VmHWM)."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found
        return int(found[1]) / 1024


class Pair:
    """Made by neighbours(); the connector is not started yet."""

    def __init__(self, good: Office, bad: Office, tracker: BadTracker, node: MeasuredNode) -> None:
        self.good, self.bad, self.tracker, self.node, self.clock = good, bad, tracker, node, good.clock

    def start(self) -> None:
        """Start the connector, webhooks of both trackers going to it."""
        self.good._launched_at = self.bad._launched_at = self.clock.now()
        assert self.node.start(), self.node.last_words()
        self.good.server.hooks.register(f"{self.node.address}/webhooks/{SOURCE}", WEBHOOK_SECRET)
        address = f"{self.node.address}/webhooks/{BAD}"
        if isinstance(self.bad, ZammadOffice):
            self.bad._set_up_webhook(address)
        else:
            self.bad.server.hooks.register(address, WEBHOOK_SECRET)

    def pause_of(self, source: str) -> tuple[datetime | None, str]:
        """Until when the source is paused, if it is, and why."""
        until, reason = self.node.rows("select paused_until, pause_reason from sources where source = ?", source)[0]
        is_paused = until is not None and until > micros(self.clock.now())
        return datetime.fromtimestamp(until / 1_000_000, START.tzinfo) if is_paused else None, reason or ""


@contextlib.contextmanager
def neighbours(
    folder: Path,
    zygote: Zygote,
    *,
    kind: str = "cloud",
    context: SSLContext | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
    more_mappings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Pair]:
    """A pair of offices whose clock runs on from START.

    `kind` of the bad tracker: cloud, data-center or zammad; `context`: where it speaks TLS. `environment`: what the
    connector is given besides. `more_mappings`: further sources, which share the token and the secret.
    """
    with ExitStack() as stack:
        good = stack.enter_context(office(folder, start=START))
        node = MeasuredNode(folder / "node", folder / "clock", zygote, mappings=good.connector.mappings)
        node.more_environment |= environment
        good.connector = node
        aside = folder / "aside"
        aside.mkdir()
        if kind == "zammad":
            server = stack.enter_context(ZammadStandin(good.clock))
            bad: Office = ZammadOffice(aside, server, good.clock)
        else:
            world = blank_world(good.clock, kind, project_type="service_desk")
            bad = Office(aside, stack.enter_context(PracticeServer(world)), good.clock)
        tracker = stack.enter_context(BadTracker(bad.server.url, context))
        _move_in(bad, node, tracker.url)
        for name, text in more_mappings.items():
            (node.mappings / f"{name}.yaml").write_text(text)
        yield Pair(good, bad, tracker, node)


def _move_in(bad: Office, node: Node, url: str) -> None:
    """Put the mapping of an office aside beside the other's, with the address of whatever stands before its tracker."""
    own = bad.connector.mappings
    text = (own / f"{SOURCE}.yaml").read_text().replace(bad.server.url, url).replace("file: token", "file: bad-token")
    (node.mappings / f"{BAD}.yaml").write_text(text)
    (node.mappings / "bad-token").write_text((own / "token").read_text())
    bad.connector = node


class Cases:
    """Tickets of one office: some wait for a day that comes, and more are added later."""

    def __init__(self, place: Office, waiting: int) -> None:
        self.place = place
        called = START - timedelta(days=3)
        self.waiting = [self._add(n, CALL, NCSC_Called_At=called) for n in range(waiting)]
        self.ready: list[Any] = []

    def add_ready(self) -> None:
        """One whose call sheet is due at once."""
        self.ready.append(self._add(900 + len(self.ready), {}))

    def _add(self, number: int, call: dict[str, Any], **fields: Any) -> Any:
        return self.place.add(**DETAILS | call | {"Receipt_Number": f"WAC25901{number:05}"}, **fields)

    @property
    def all(self) -> list[Any]:
        return self.waiting + self.ready

    @property
    def due(self) -> list[tuple[int, str, str]]:
        """What must stand on each once its day has come, by the procedure: the numbers are those of this office."""
        due = []
        for number, _ in enumerate(self.waiting):
            due += [(number, "comment", CALIFORNIA), (number, "move", "Awaiting NCSC")]
            due += [(number, "move", "E-mail Service Center")]
        for number, _ in enumerate(self.ready, 900):
            due += [(number, "comment", CALL_SHEET), (number, "move", "Call NCSC")]
        return due

    @property
    def done(self) -> list[tuple[int, str, str]]:
        tickets = [*enumerate(self.waiting), *enumerate(self.ready, 900)]
        comments = [(number, "comment", title) for number, each in tickets for title in self.place.titles(each)]
        return comments + [(number, "move", status) for number, each in tickets for status in self.place.moves(each)]

    @property
    def are_done(self) -> bool:
        return sorted(self.due) == sorted(self.done)


@dataclass
class Scene:
    """The pair at work, with cases in both."""

    pair: Pair
    good: Cases
    bad: Cases

    @property
    def tracker(self) -> BadTracker:
        return self.pair.tracker

    def let_the_day_come(self) -> None:
        """On which the waits pass; and to both come new tickets."""
        self.pair.good.go_to(28)
        for cases in (self.good, self.bad):
            cases.add_ready()

    def see_the_good_done(self) -> None:
        wait_for(lambda: self.good.are_done, "the good source has done everything", BESIDE_SECONDS)

    def see_met(self, least: int, seconds: float = 60) -> None:
        """Wait until so many requests were met, the clock moved over backoffs, doubts and pauses."""

        def met() -> bool:
            if self.pair.node.is_held_up(self.pair.clock.now()):
                self.pair.clock.advance(seconds=PAST_DOUBT.total_seconds())
            return self.tracker.met >= least

        wait_for(met, f"the bad source has met it {least} times", seconds)

    def see_another_poll(self) -> None:
        """Of the good source, begun and ended from now on: so the other's beat has come, too."""
        query = "select polled_at from sources where source = ?"
        for _ in range(2):
            before = self.pair.node.rows(query, SOURCE)
            wait_for(lambda before=before: self.pair.node.rows(query, SOURCE) != before, "the good source has polled")

    def settle(self) -> None:
        """Everything has come to rest, the clock moved over pauses, backoffs and doubts."""
        self.pair.bad.settle()
        self.pair.good.settle()

    def count(self, row: Row) -> None:
        row.injected += self.tracker.met
        for cases in (self.good, self.bad):
            row.count(cases.due, cases.done)
        row.check()


@contextlib.contextmanager
def scene_at(folder: Path, zygote: Zygote, *, waiting: int = 3, **more: Any) -> Iterator[Scene]:
    """A connector that has seen `waiting` cases in each source, on the evening before the day on which waits pass.

    `more`: see neighbours().
    """
    with neighbours(folder, zygote, **more) as pair:
        scene = Scene(pair, Cases(pair.good, waiting), Cases(pair.bad, waiting))
        pair.start()
        seen = "select count(*) from tickets where attended_at is not null"
        wait_for(lambda: pair.node.rows(seen) == [(2 * waiting,)], "the polls have found every case")
        scene.settle()
        pair.good.go_to(27.5)
        yield scene
