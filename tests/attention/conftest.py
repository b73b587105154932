"""A source at work on a practice tracker over HTTP and a SQLite file, without threads, with a clock that is moved."""

import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event
from structlog.testing import capture_logs

from connector.application import make_source
from connector.attention.attend import Attendant
from connector.attention.clock import LEASE
from connector.attention.poll import Polled, poll
from connector.attention.source import Source
from connector.inquiry.markup import find_refs
from connector.mapping.loading import load_mapping
from connector.mapping.reading import wanted_fields
from connector.metrics import Metrics
from connector.practice.clock import PracticeClock
from connector.practice.sample import CONNECTOR_TOKEN, blank_world
from connector.practice.server import PracticeServer
from connector.practice.world import Deployment, Issue
from connector.store import Claim, Store, TicketState, open_database
from connector.trackers.jira import JiraTracker
from tests.contract_check import ContractCheck

START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)  # a Monday, 10:00 a.m. in New York
OFFICE = ZoneInfo("America/New_York")
IN_DOUBT = timedelta(seconds=90)
NAME = "cases"
STEP_1 = {
    "Receipt_Number": "WAC2590123456",
    "A-Number": "A200555013",
    "Form_Type": "I-130",
    "Date_Filed": datetime(2025, 6, 2, tzinfo=UTC).date(),
}
CALL = {"NCSC_Representative": "Ms. Rivera, ID 4471", "Service_Request_Number": "SR1220326001"}


def mapping_text(url: str, deployment: Deployment) -> str:
    """The demo's mapping."""
    text = resources.files("connector.practice").joinpath("demo-mapping.yaml").read_text(encoding="utf-8")
    text = text.replace("{{ url }}", url)
    if deployment == "data-center":
        text = text.replace("  user: connector@office.example\n", "")
    return text


class Desk:
    """One source and what belongs to it.

    Looks are made by `attend()`, in this thread. While `hears` is true, every event of the tracker is noticed at once,
    as by a webhook. `kill()` is what a kill and a restart leave behind.
    """

    def __init__(self, folder: Path, empty: Path, server: PracticeServer, clock: PracticeClock) -> None:
        self.server, self.world, self.clock, self.folder = server, server.world, clock, folder
        self.path = folder / "connector.sqlite3"
        self._empty = empty
        shutil.copy(empty, self.path)
        self.hears = True
        (folder / "token").write_text(CONNECTOR_TOKEN, encoding="utf-8")
        (folder / "webhook-secret").write_text("a secret", encoding="utf-8")
        self.mapping_text = mapping_text(server.url, self.world.deployment)
        self._trackers: list[JiraTracker] = []
        self._open()
        self.map()
        self.world.listeners.append(lambda told: self._hear(told.issue))

    # The source

    def map(self, *changes: tuple[str, str]) -> None:
        """The mapping with these texts replaced, as after an edit and a restart."""
        for old, new in changes:
            assert old in self.mapping_text
            self.mapping_text = self.mapping_text.replace(old, new)
        path = self.folder / f"{NAME}.yaml"
        path.write_text(self.mapping_text, encoding="utf-8")
        self.source = make_source(load_mapping(path), self.clock)
        self.use_tracker()

    def use_tracker(self, **more: Any) -> None:
        """The real adapter, with time-outs that a test can wait for."""
        mapping = self.source.mapping
        settings: dict[str, Any] = {
            "url": mapping.tracker.url,
            "user": mapping.tracker.user,
            "token": lambda: (self.folder / "token").read_text(encoding="utf-8"),
            "scope": mapping.scope,
            "fields": wanted_fields(mapping),
            "time_zone": OFFICE,
            "internal_comments": mapping.comments == "internal",
            "clock": self.clock,
            "timeout": (2, 5),
        }
        tracker = JiraTracker(**(settings | more))
        self._trackers.append(tracker)
        self.source = Source(mapping, tracker, self.source.digest_key)

    # The database

    def _open(self) -> None:
        database = open_database(f"sqlite:///{self.path}", exclusive=True)
        database.engine.dispose()
        event.listen(database.engine, "connect", _without_waiting_for_the_disk)
        self.store = Store(database)
        self.metrics = Metrics([NAME])
        self.attendant = Attendant(self.store, self.metrics, self.clock, lease=LEASE, chance=random.Random(7))

    def kill(self) -> None:
        """The process is gone, whatever it was at, and a new one has started."""
        self.store.close()
        self._open()
        self.source = replace(self.source, silence=type(self.source.silence)())

    def lose_database(self) -> None:
        """An empty database in its place; the poll finds every open ticket."""
        self._put(self._empty)

    def keep_copy(self) -> Path:
        self.store.close()
        copy = self.folder / "copy.sqlite3"
        shutil.copy(self.path, copy)
        self._open()
        return copy

    def restore(self, copy: Path) -> None:
        self._put(copy)

    def _put(self, file: Path) -> None:
        self.store.close()
        for old in self.folder.glob(f"{self.path.name}*"):
            old.unlink()
        shutil.copy(file, self.path)
        self._open()

    def close(self) -> None:
        self.store.close()
        for tracker in self._trackers:
            tracker.close()

    # What happens

    def _hear(self, issue: Issue) -> None:
        if self.hears:
            self.store.attention.notice(NAME, str(issue.id), issue.key, self.clock())

    def create(self, **fields: Any) -> Issue:
        return self.world.add_issue("CASE", summary="A case", **fields)

    def called(self, days_ago: int = 2, **fields: Any) -> Issue:
        """A ticket on which the call is noted."""
        called_at = self.clock() - timedelta(days=days_ago)
        return self.create(**(STEP_1 | CALL | {"NCSC_Called_At": called_at} | fields))

    def overdue_call(self, **fields: Any) -> Issue:
        """A ticket that is due for the letter to the Service Center."""
        return self.called(40, **fields)

    def fill(self, issue: Issue, **fields: Any) -> None:
        """A person fills fields in; None empties one."""
        values = {self.world.field_named(name.replace("_", " ")).id: value for name, value in fields.items()}
        self.world.edit(issue, values, self.world.human)

    def claims(self) -> list[Claim]:
        """What a round of the metronome would hand out."""
        state = self.store.sources.get(NAME)
        held = state.braked_at or (state.paused_until and state.paused_until > self.clock())
        return [] if held else self.store.attention.claim(self.clock(), {NAME: 10}, LEASE)

    def attend(self) -> int:
        """Attend until nothing is due. Returns the number of looks."""
        looks = 0
        while claims := self.claims():
            for claim in claims:
                self.attendant.attend(self.source, claim)
                looks += 1
            assert looks < 50, "the looks do not come to an end"
        return looks

    def attend_once(self) -> None:
        """One look at the one ticket that is due."""
        [claim] = self.claims()
        self.attendant.attend(self.source, claim)

    def poll(self) -> Polled:
        return poll(self.source, self.store, self.clock)

    def wait(self, **span: float) -> None:
        self.clock.advance(**span)

    # What came of it

    def state(self, issue: Issue) -> TicketState:
        found = self.store.tickets.get(NAME, str(issue.id))
        assert found is not None
        return found

    def said(self, issue: Issue) -> list[str]:
        """The first line of each comment of ours, without its markup."""
        ours = [comment.body for comment in issue.comments if find_refs(comment.body)]
        return [body.splitlines()[0].replace("\\", "").strip("*") for body in ours]

    def own_moves(self, issue: Issue) -> list[str]:
        """The statuses that the connector moved the ticket to, in order."""
        ours = [change for change in issue.history if change.author is self.world.connector]
        return [item.after[1] or "" for change in ours for item in change.items if item.field == "status"]

    def value(self, issue: Issue, field: str) -> Any:
        return issue.values.get(self.world.field_named(field).id)

    def acts(self) -> Counter[str]:
        """How often each ref stands in all comments of ours. More than once is a doubled act."""
        bodies = [comment.body for issue in self.world.issues.values() for comment in issue.comments]
        return Counter(ref for body in bodies for ref in find_refs(body))

    def calls(self, method: str = "*", path: str = "") -> int:
        """API calls since the last asking."""
        count = self.server.requests.count(method, path)
        self.server.requests.clear()
        return count

    def assert_nothing_doubled(self) -> None:
        assert {ref: times for ref, times in self.acts().items() if times > 1} == {}


def _without_waiting_for_the_disk(connection: sqlite3.Connection, _record: object) -> None:
    # No test cuts the power, and the disk is what most of the time would go to.
    connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables, to be copied: to make one takes long."""
    path = tmp_path_factory.mktemp("empty") / "connector.sqlite3"
    open_database(f"sqlite:///{path}", exclusive=True).close()
    return path


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """What was logged: events with their values. Nothing is printed, which for tracebacks takes long."""
    with capture_logs() as captured:
        yield captured


@pytest.fixture
def clock() -> PracticeClock:
    return PracticeClock(START)


@pytest.fixture
def start(tmp_path: Path, empty_database: Path, clock: PracticeClock) -> Iterator[Callable[..., Desk]]:
    """start(deployment, checked=True, project_type=...) -> Desk; `checked`: Cloud's exchanges keep the contract."""
    with ExitStack() as stack:

        def make(deployment: Deployment = "cloud", *, checked: bool = False, **settings: str) -> Desk:
            server = stack.enter_context(PracticeServer(blank_world(clock, deployment, **settings)))
            if checked and deployment == "cloud":
                check = ContractCheck()
                server.on_exchange(check.exchange)
                stack.callback(check.assert_clean)
            desk = Desk(tmp_path, empty_database, server, clock)
            stack.callback(desk.close)
            return desk

        yield make


@pytest.fixture
def desk(start: Callable[..., Desk]) -> Desk:
    return start("cloud")


@pytest.fixture(params=["cloud", "data-center"])
def either(request: pytest.FixtureRequest, start: Callable[..., Desk]) -> Desk:
    return start(request.param)
