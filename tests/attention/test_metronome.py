"""The metronome with its threads, in real time: it beats, it serves every source, and it stops."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector.application import make_source
from connector.attention import clock
from connector.attention.attend import Attendant
from connector.attention.clock import LEASE, Metronome
from connector.attention.look import Ahead
from connector.attention.source import Source
from connector.mapping.loading import load_mapping
from connector.metrics import Metrics
from connector.practice.sample import blank_world
from connector.practice.server import PracticeServer
from connector.practice.world import Issue
from connector.store import ClocksDiffer, DatabaseError, SourceState
from connector.store.attention import Claim
from tests.attention.conftest import NAME, Desk, mapping_text

LETTER = "E-mail the California Service Center now: csc-ncsc-followup@dhs.gov"


def eventually(true: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it has not come"
        time.sleep(0.01)


@pytest.fixture
def metronome(desk: Desk) -> Iterator[Callable[..., Metronome]]:
    """metronome(other sources, workers=...) -> one not started; at the end it is stopped and its threads are gone."""
    before = set(threading.enumerate())
    made: list[Metronome] = []

    def make(*others: Source, workers: int = 2, attendant: Attendant | None = None) -> Metronome:
        sources = {source.name: source for source in (desk.source, *others)}
        attendant = attendant or Attendant(desk.store, Metrics(list(sources)), desk.clock, lease=LEASE)
        made.append(Metronome(sources, desk.store, attendant, desk.clock, workers=workers, poll_seconds=3600))
        return made[-1]

    yield make
    for one in made:
        one.stop()
    left = {
        thread.name for thread in set(threading.enumerate()) - before if "process_request_thread" not in thread.name
    }
    assert left <= {"practice-server", "practice-webhooks"}, "threads left behind"


@pytest.fixture
def other(desk: Desk) -> Iterator[tuple[Source, PracticeServer]]:
    """Another source, with a tracker of its own."""
    with PracticeServer(blank_world(desk.clock)) as server:
        path = desk.folder / "other.yaml"
        path.write_text(mapping_text(server.url, "cloud"), encoding="utf-8")
        source = make_source(load_mapping(path), desk.clock)
        yield source, server
        source.tracker.close()


def test_the_first_poll_and_the_first_round_come_at_once(desk: Desk, metronome: Callable[..., Metronome]) -> None:
    desk.hears = False
    issues = [desk.overdue_call(Receipt_Number=f"WAC25901{number:05}") for number in range(3)]
    metronome().start()
    eventually(lambda: all(desk.said(issue) for issue in issues))
    eventually(lambda: desk.store.sources.get(NAME).attended_at and desk.store.sources.get(NAME).polled_at)


def test_a_webhook_is_attended_to_without_waiting_for_the_next_beat(
    desk: Desk, metronome: Callable[..., Metronome]
) -> None:
    beating = metronome()
    issue = desk.overdue_call()
    beating.wake()  # the beats have not even started
    eventually(lambda: desk.said(issue) == [LETTER])


def test_stopping_finishes_what_is_in_hand(desk: Desk, metronome: Callable[..., Metronome]) -> None:
    beating = metronome(workers=1)
    issue = desk.overdue_call()
    waiting = desk.overdue_call(Receipt_Number="LIN2590011223")
    at_it = threading.Event()
    move = desk.source.tracker.move

    def slow(ticket: Any, status: str) -> None:
        at_it.set()
        time.sleep(0.2)
        move(ticket, status)

    desk.source.tracker.move = slow  # type: ignore[method-assign]  # to be stopped in the middle of a look
    beating.start()
    assert at_it.wait(10)
    beating.stop()
    assert desk.said(issue) == [LETTER]
    assert desk.state(issue).lease_until is None
    assert desk.store.acts.started(NAME, str(issue.id)) == {}
    assert desk.said(waiting) == []
    assert desk.state(waiting).attempts == 0, "it was not claimed for nothing"
    beating.wake()
    beating.round()
    assert desk.said(waiting) == []


def test_stopping_gives_up_a_poll_and_does_not_move_the_watermark(
    desk: Desk, metronome: Callable[..., Metronome]
) -> None:
    desk.hears = False
    for number in range(12):
        desk.called(Receipt_Number=f"WAC25901{number:05}")
    desk.world.page_limit = 1
    desk.server.faults.add("*", "/search", wait=0.15, times=100)
    beating = metronome()
    beating.start()
    eventually(lambda: desk.server.requests.count("*", "/search"))
    beating.stop()
    assert desk.server.requests.count("*", "/search") < 12
    assert desk.store.sources.get(NAME).watermark is None


def test_trouble_with_the_database_ends_nothing(
    desk: Desk, metronome: Callable[..., Metronome], monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, settle, troubles = desk.store.attention.claim, desk.store.attention.settle, iter([1, 2])

    def troubled(*args: Any, **more: Any) -> list[Claim]:
        if next(troubles, None):
            raise DatabaseError("busy")
        return claim(*args, **more)

    beating = metronome()
    monkeypatch.setattr(desk.store.attention, "claim", troubled)
    issue = desk.overdue_call()
    beating.round()
    beating.round()
    assert desk.said(issue) == []
    monkeypatch.setattr(desk.store.attention, "settle", lambda *args, **more: _no_database())
    monkeypatch.setattr(desk.store.attention, "postpone", lambda *args, **more: _no_database())
    beating.round()
    eventually(lambda: desk.said(issue) == [LETTER] and not desk.store.acts.started(NAME, str(issue.id)))
    monkeypatch.setattr(desk.store.attention, "settle", settle)
    monkeypatch.setattr(desk.store.attention, "claim", claim)
    desk.wait(seconds=LEASE.total_seconds() + 1)  # the look could not be noted, so its lease runs out
    beating.wake()
    eventually(lambda: desk.state(issue).stage == "email_service_center")
    desk.assert_nothing_doubled()


def test_a_machine_with_a_wrong_clock_does_nothing_until_it_is_right(
    desk: Desk, metronome: Callable[..., Metronome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong() -> None:
        raise ClocksDiffer("this machine's clock is 3600 s ahead")

    beating = metronome()
    issue = desk.overdue_call()
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(desk.store, "check_clock", wrong)
        desk.calls()
        beating.round()
        beating.poll(NAME)
        assert desk.calls() == 0
        assert desk.store.sources.round_age() is None
    beating.poll(NAME)
    eventually(lambda: desk.said(issue) == [LETTER])


def _no_database() -> bool:
    raise DatabaseError("the disk is full")


def test_a_round_that_cannot_be_noted_claims_nothing_in_vain(
    desk: Desk, metronome: Callable[..., Metronome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against tickets that were leased and then given to nobody."""
    monkeypatch.setattr(desk.store.sources, "attended", lambda *args: _no_database())
    beating = metronome()
    issue = desk.overdue_call()
    beating.round()
    eventually(lambda: desk.said(issue) == [LETTER])


def test_a_slow_source_keeps_no_other_from_being_attended(
    desk: Desk, metronome: Callable[..., Metronome], other: tuple[Source, PracticeServer]
) -> None:
    source, quick = other
    desk.server.faults.add("*", "", wait=30, times=100)
    for number in range(4):
        desk.overdue_call(Receipt_Number=f"WAC25901{number:05}")
    beating = metronome(source, workers=2)
    beating.start()
    eventually(lambda: len(in_hand(desk)) > 0)
    issue = quick.world.add_issue("CASE", summary="Another office's")
    desk.store.attention.notice("other", str(issue.id), issue.key, desk.clock())
    beating.wake()
    eventually(lambda: issue.comments, 5)
    desk.server.stop()  # it is not waited for


def in_hand(desk: Desk) -> list[Issue]:
    """Tickets in hand."""
    return [issue for issue in desk.world.issues.values() if desk.state(issue).lease_until]


class Busy(Attendant):
    """Looks that take until `free` is set. Each is told by `looks` when it begins."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.store, desk.metrics, desk.clock, lease=LEASE)
        self.free, self.looks = threading.Event(), threading.Semaphore(0)
        self.at: Counter[str] = Counter()

    def attend(self, source: Source, claim: Claim, ahead: Ahead | None = None) -> str:
        self.at[source.name] += 1
        self.looks.release()
        self.free.wait(10)
        return "attended"


def test_each_source_has_hands_of_its_own(
    desk: Desk, metronome: Callable[..., Metronome], other: tuple[Source, PracticeServer]
) -> None:
    busy = Busy(desk)
    beating = metronome(other[0], workers=2, attendant=busy)
    for number in range(9):
        desk.store.attention.notice(NAME, str(number + 1), None, desk.clock())
        desk.store.attention.notice("other", str(number + 1), None, desk.clock())
    beating.round()
    try:
        assert all(busy.looks.acquire(timeout=5) for _ in range(4))
        time.sleep(0.1)
        assert busy.at == {NAME: 2, "other": 2}
    finally:
        busy.free.set()


def test_a_mapping_says_how_many_hands_its_source_has(desk: Desk, metronome: Callable[..., Metronome]) -> None:
    desk.map(("tracker:\n", "tracker:\n  concurrency: 3\n"))
    busy = Busy(desk)
    beating = metronome(workers=1, attendant=busy)
    for number in range(9):
        desk.store.attention.notice(NAME, str(number + 1), None, desk.clock())
    beating.round()
    try:
        assert all(busy.looks.acquire(timeout=5) for _ in range(3))
        time.sleep(0.1)
        assert busy.at == {NAME: 3}
    finally:
        busy.free.set()


def test_many_tickets_are_fetched_by_few_calls_and_attended_to_side_by_side(
    desk: Desk, metronome: Callable[..., Metronome]
) -> None:
    issues = [desk.overdue_call(Receipt_Number=f"WAC25901{number:05}") for number in range(8)]
    desk.hears = False
    desk.calls()
    metronome(workers=2).round()
    eventually(lambda: all(desk.said(issue) for issue in issues))
    assert desk.server.requests.count("GET", "/issue/") == 0, "a ticket was fetched alone"
    assert desk.server.requests.count("POST", "/bulkfetch") == 1
    desk.assert_nothing_doubled()


def test_what_waits_for_a_hand_is_given_back_once_the_source_is_paused(
    desk: Desk, metronome: Callable[..., Metronome]
) -> None:
    desk.server.faults.add("*", "", status=401, times=1000)
    issues = [desk.overdue_call(Receipt_Number=f"WAC25901{number:05}") for number in range(8)]
    metronome(workers=1).round()
    eventually(lambda: not in_hand(desk))
    assert desk.store.sources.get(NAME).paused_until
    assert desk.calls() < 4, "the tracker was not left alone"
    assert sum(desk.state(issue).attempts for issue in issues) == 1
    assert all(desk.state(issue).attend_at for issue in issues)


def test_a_clock_that_was_set_back_keeps_no_beat_waiting(
    desk: Desk, metronome: Callable[..., Metronome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against APScheduler, which goes by the wall clock: it would not beat until the old time comes again."""
    rounds, beating = counted_rounds(desk, metronome, monkeypatch)
    for beat in beating._beats.get_jobs():
        beat.modify(next_run_time=datetime.now(UTC) + timedelta(hours=2))
    assert rounds.acquire(timeout=5)


def test_a_clock_that_was_set_back_and_forth_does_not_leave_the_scheduler_asleep(
    desk: Desk, metronome: Callable[..., Metronome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went to sleep for an hour, and is not told that the clock has come back."""
    rounds, beating = counted_rounds(desk, metronome, monkeypatch)
    for beat in beating._beats.get_jobs():
        beat.next_run_time = datetime.now(UTC)
        beating._beats._jobstores["default"].update_job(beat)
    assert rounds.acquire(timeout=5)


def counted_rounds(
    desk: Desk, metronome: Callable[..., Metronome], monkeypatch: pytest.MonkeyPatch
) -> tuple[threading.Semaphore, Metronome]:
    """A metronome that beats once an hour and has done so; the semaphore is released at each round that follows."""
    monkeypatch.setattr(clock, "ATTEND_SECONDS", 3600)
    monkeypatch.setattr(clock, "WATCH_SECONDS", 0.02)
    rounds, beating = threading.Semaphore(0), metronome()
    monkeypatch.setattr(desk.store.sources, "get", lambda name: rounds.release() or SourceState(name))
    beating.start()
    while rounds.acquire(timeout=0.5):
        pass
    return rounds, beating


def test_refused_credentials_hold_one_source_only(
    desk: Desk, metronome: Callable[..., Metronome], other: tuple[Source, PracticeServer]
) -> None:
    source, server = other
    desk.server.faults.add("*", "", status=401, times=1000)
    refused = desk.overdue_call()
    issue = server.world.add_issue("CASE", summary="Another office's")
    metronome(source).start()
    eventually(lambda: issue.comments)
    eventually(lambda: desk.store.sources.get(NAME).paused_until)
    assert desk.store.sources.get("other").paused_until is None
    assert refused.comments == []


def test_many_webhooks_ask_for_few_rounds(
    desk: Desk, metronome: Callable[..., Metronome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against a queue of rounds behind which every look would have to wait."""
    busy = Busy(desk)
    beating = metronome(workers=1, attendant=busy)
    desk.called()
    desk.called(Receipt_Number="LIN2590011223")
    beating.round()
    assert busy.looks.acquire(timeout=10)
    rounds: list[str] = []
    get = desk.store.sources.get

    def counted(name: str) -> SourceState:
        rounds.append(name)
        return get(name)

    monkeypatch.setattr(desk.store.sources, "get", counted)
    for _ in range(200):
        beating.wake()
    busy.free.set()
    assert busy.looks.acquire(timeout=10), "the other ticket's turn"
    assert len(rounds) < 5


def test_housekeeping_lets_an_edited_mapping_take_effect(
    desk: Desk, metronome: Callable[..., Metronome], logs: list[Any]
) -> None:
    issue = desk.called()
    desk.attend()
    desk.map(("awaiting_ncsc: Awaiting NCSC", "awaiting_ncsc: New"))
    beating = metronome()
    beating.housekeeping()
    assert desk.state(issue).attend_at == desk.clock()
    (desk.folder / "token").unlink()
    beating.housekeeping()
    assert logs[-1]["event"] == "housekeeping failed"
