"""Acts whose outcome nobody was told, and workers that come too late: nothing is lost and nothing is done twice."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from connector.attention import acting
from connector.attention.clock import LEASE
from connector.practice.world import Issue
from connector.trackers.port import CommentWentPublic, RateLimited, Ticket
from tests.attention.conftest import IN_DOUBT, NAME, Desk

LETTER = "E-mail the California Service Center now: csc-ncsc-followup@dhs.gov"
ALMOST = IN_DOUBT.total_seconds() - 1


class Killed(BaseException):
    """The worker is gone with its call under way."""


def notice(desk: Desk, issue: Issue) -> None:
    desk.store.attention.notice(NAME, str(issue.id), issue.key, desk.clock())


def posts(desk: Desk) -> int:
    return desk.calls("POST", "/comment$")


def give_up_comments_early(desk: Desk) -> None:
    """Wait 0.2 s for the answer to a comment; for every other answer as long as a busy machine may take."""
    patient = desk.source.tracker
    desk.use_tracker(timeout=(2, 0.2))
    patient.post_comment = desk.source.tracker.post_comment  # type: ignore[method-assign]  # as said above
    desk.source = replace(desk.source, tracker=patient)


@pytest.mark.parametrize("drop", ["before", "after"])
def test_a_comment_whose_answer_was_lost(either: Desk, drop: str) -> None:
    """Dropped unread or dropped when done: the caller cannot tell, so it looks once nothing can be under way."""
    desk = either
    issue = desk.overdue_call()
    desk.server.faults.add("POST", "/comment$", drop=drop)
    desk.attend()
    assert posts(desk) == 1
    desk.wait(seconds=ALMOST)
    notice(desk, issue)
    assert desk.attend() == 0, "news does not shorten the doubt"
    desk.wait(seconds=1)
    desk.attend()
    assert desk.said(issue) == [LETTER]
    assert posts(desk) == (1 if drop == "before" else 0)
    assert desk.store.acts.started(NAME, str(issue.id)) == {}
    notice(desk, issue)
    desk.attend()
    desk.assert_nothing_doubled()


def test_the_tracker_finishes_after_the_caller_has_given_up(either: Desk) -> None:
    desk = either
    issue = desk.overdue_call()
    done = threading.Event()
    desk.server.faults.add("POST", "/comment$", wait=0.4, callback=done.set)
    give_up_comments_early(desk)
    desk.attend()
    assert desk.said(issue) == [], "given up before it was done"
    assert done.wait(5)
    desk.wait(seconds=ALMOST)
    assert desk.attend() == 0
    desk.wait(seconds=1)
    desk.attend()
    assert desk.said(issue) == [LETTER]
    assert posts(desk) == 1


@pytest.mark.parametrize("call", [r"/transitions$", r"/issue/\d+$"], ids=["move", "due date"])
@pytest.mark.parametrize("drop", ["before", "after"])
def test_a_change_whose_answer_was_lost(desk: Desk, call: str, drop: str) -> None:
    issue = desk.called()
    desk.server.faults.add("POST" if "transitions" in call else "PUT", call, drop=drop)
    desk.attend()
    desk.wait(seconds=IN_DOUBT.total_seconds())
    desk.attend()
    assert desk.own_moves(issue) == ["Awaiting NCSC"]
    ours = [change for change in issue.history if change.author is desk.world.connector]
    assert len(ours) == 2
    assert issue.values["duedate"]
    assert desk.state(issue).error is None


def test_moved_elsewhere_while_a_move_is_in_doubt(desk: Desk) -> None:
    issue = desk.called()
    desk.server.faults.add("POST", "/transitions$", drop="after")
    desk.attend()
    desk.world.move_to(issue, "New")
    desk.wait(seconds=IN_DOUBT.total_seconds())
    desk.attend()
    assert desk.own_moves(issue) == ["Awaiting NCSC"]
    assert issue.status.name == "New"


def test_a_kill_leaves_an_act_in_doubt_not_longer_than_needed(desk: Desk) -> None:
    """A request sent by a killed process may still be under way when the next one starts."""
    issue = desk.overdue_call()
    [claim] = desk.claims()
    assert desk.store.acts.start(claim, {"0badf00d": "comment"}, "email_service_center", desk.clock(), LEASE)
    desk.kill()
    desk.wait(seconds=ALMOST)
    desk.attend()
    assert desk.said(issue) == []
    desk.wait(seconds=1)
    desk.attend()
    assert desk.said(issue) == [LETTER]


def test_killed_before_it_could_be_noted_that_an_outcome_is_unknown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue = desk.overdue_call()
    desk.hears = False
    done = threading.Event()
    desk.server.faults.add("POST", "/comment$", wait=0.4, callback=done.set)
    give_up_comments_early(desk)

    def killed(*args: Any, **more: Any) -> bool:
        raise Killed

    monkeypatch.setattr(desk.store.attention, "postpone", killed)
    with pytest.raises(Killed):
        desk.attend()
    desk.use_tracker()
    desk.kill()
    desk.attend()
    assert done.wait(5)
    desk.wait(seconds=IN_DOUBT.total_seconds())
    desk.attend()
    assert desk.said(issue) == [LETTER]
    assert posts(desk) == 1


def test_a_look_with_slow_acts_keeps_its_lease(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each act takes most of a lease, and another worker looks for due tickets after each."""
    issue = desk.called()
    desk.hears = False
    for call in ("move", "set_due"):
        at_it = getattr(desk.source.tracker, call)

        def slow(ticket: Ticket, to: Any, at_it: Any = at_it) -> None:
            at_it(ticket, to)
            desk.wait(seconds=LEASE.total_seconds() - 1)
            assert desk.claims() == []

        monkeypatch.setattr(desk.source.tracker, call, slow)
    desk.attend()
    assert desk.own_moves(issue) == ["Awaiting NCSC"]
    assert issue.values["duedate"]
    assert desk.state(issue).attempts == 0


def test_a_clock_set_back_leaves_no_act_in_doubt_for_ever(desk: Desk) -> None:
    issue = desk.overdue_call()
    [claim] = desk.claims()
    ahead = desk.clock() + timedelta(days=300)
    assert desk.store.attention.renew(claim, desk.clock(), ahead - desk.clock() + LEASE)
    assert desk.store.acts.start(claim, {"0badf00d": "comment"}, "email_service_center", ahead, LEASE)
    desk.kill()
    desk.attend()
    assert desk.said(issue) == [LETTER]


class TwoWorkers:
    """While the first worker is at `call` its lease runs out; the second takes the ticket and is lost at its comment.

    The second one's comment is under way from then on, so it must stay noted as started, whatever the first does.
    """

    def __init__(self, desk: Desk, call: str, then: Exception | None = None) -> None:
        self.desk, self._then = desk, then
        self._call = getattr(desk.source.tracker, call)
        setattr(desk.source.tracker, call, self._outlived)

    def _outlived(self, *args: Any, **more: Any) -> Any:
        tracker: Any = self.desk.source.tracker
        answer = None if self._then else self._call(*args, **more)
        self.desk.use_tracker()
        second = self.desk.source
        second.tracker.post_comment = self._lost  # type: ignore[method-assign]  # lost in this call
        self.desk.wait(seconds=LEASE.total_seconds() + 1)
        [claim] = self.desk.claims()
        with pytest.raises(Killed):
            self.desk.attendant.attend(second, claim)
        assert tracker is not second.tracker
        if self._then:
            raise self._then
        return answer

    def _lost(self, ticket: Ticket, body: str) -> None:
        raise Killed


def finish_with_the_comment_under_way(desk: Desk, issue: Issue) -> None:
    """What the lost worker sent arrives late, and the ticket is looked at again."""
    started = desk.store.acts.started(NAME, str(issue.id))
    assert list(started.values()) == [desk.clock()], "the second worker's act must stay in doubt"
    desk.kill()
    desk.use_tracker()
    desk.attend()
    assert desk.said(issue) == []
    [ref] = started
    body = f"Late\nInquiry connector, Step 2, ref {ref}"
    desk.world.add_comment(issue, desk.world.new_comment(issue, body, desk.world.connector))
    desk.wait(seconds=IN_DOUBT.total_seconds())
    desk.attend()
    assert desk.said(issue) == ["Late"]


def test_a_late_worker_does_not_drop_an_act_that_another_has_started_again(desk: Desk) -> None:
    """Both saw that the act in doubt had had no effect. The second has started it anew when the first drops it."""
    issue = desk.overdue_call()
    desk.hears = False
    desk.server.faults.add("POST", "/comment$", drop="before")
    desk.attend()
    desk.wait(seconds=IN_DOUBT.total_seconds())
    TwoWorkers(desk, "fetch")
    desk.attend_once()
    finish_with_the_comment_under_way(desk, issue)


def test_a_late_refusal_does_not_drop_an_act_that_another_has_started_again(desk: Desk) -> None:
    issue = desk.overdue_call()
    desk.hears = False
    TwoWorkers(desk, "post_comment", RateLimited("Later.", retry_after=5, whole_source=False))
    desk.attend_once()
    finish_with_the_comment_under_way(desk, issue)


def test_a_late_worker_whose_comment_went_public_stops_the_source(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.overdue_call()

    def late_and_public(ticket: Ticket, body: str) -> None:
        desk.wait(seconds=LEASE.total_seconds() + 1)
        assert len(desk.claims()) == 1
        raise CommentWentPublic("It could be seen.", removed=False)

    monkeypatch.setattr(desk.source.tracker, "post_comment", late_and_public)
    desk.attend_once()
    assert desk.store.sources.get(NAME).brake_reason == "It could be seen."


def test_a_worker_whose_ticket_was_taken_does_nothing_more(desk: Desk) -> None:
    issue = desk.overdue_call()
    [slow] = desk.claims()
    desk.wait(seconds=LEASE.total_seconds() + 1)
    [other] = desk.claims()
    desk.calls()
    desk.attendant.attend(desk.source, slow)
    assert posts(desk) == 0
    assert desk.own_moves(issue) == []
    desk.attendant.attend(desk.source, other)
    desk.attend()
    assert desk.said(issue) == [LETTER]


class Stopped:
    """The worker is stopped, for so long, as the last thing before it sends `path`."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch, path: str, while_stopped: Callable[[], None]):
        self._api, self._path, self._while_stopped = desk.source.tracker._api, path, while_stopped
        self._token = self._api._current_token
        monkeypatch.setattr(self._api, "_answer", self._answer)
        monkeypatch.setattr(self._api, "_current_token", self._stopped)
        self._genuine, self._is_next = type(self._api)._answer, False

    def _answer(self, method: str, path: str, *args: Any, **more: Any) -> Any:
        self._is_next = path.endswith(self._path)
        return self._genuine(self._api, method, path, *args, **more)

    def _stopped(self) -> str:
        if self._is_next:
            self._path, self._is_next = "nothing more", False
            self._while_stopped()
        return str(self._token())


@pytest.mark.parametrize("path", ["/comment", "/transitions"])
def test_an_act_whose_turn_comes_after_its_lease_is_not_sent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """It was noted as started. Another worker has found it, looked for it on the ticket, and done it."""
    issue = desk.overdue_call()
    desk.hears = False
    [late] = desk.claims()
    first = desk.source

    def another_takes_over() -> None:
        desk.wait(seconds=LEASE.total_seconds() + 1)
        desk.use_tracker()
        assert desk.attend() == 1

    Stopped(desk, monkeypatch, path, another_takes_over)
    desk.attendant.attend(first, late)
    assert desk.said(issue) == [LETTER]
    assert desk.own_moves(issue) == ["E-mail Service Center"]
    assert desk.state(issue).error is None


@pytest.mark.parametrize("moved", ["wall", "monotonic"])
def test_an_act_whose_turn_comes_late_is_tried_again(desk: Desk, monkeypatch: pytest.MonkeyPatch, moved: str) -> None:
    """Either clock may stand still meanwhile, or be set."""
    issue = desk.overdue_call()
    desk.hears = False
    late = LEASE.total_seconds() / 2

    def stopped() -> None:
        if moved == "wall":
            desk.wait(seconds=late)
        else:
            monkeypatch.setattr(acting, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + late))

    Stopped(desk, monkeypatch, "/comment", stopped)
    desk.attend()
    assert desk.said(issue) == []
    assert desk.store.acts.started(NAME, str(issue.id)) == {}, "it was not sent, so there is no doubt"
    desk.wait(seconds=10)
    desk.attend()
    assert desk.said(issue) == [LETTER]


def test_a_worker_stopped_beyond_a_lease_that_nobody_took_looks_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One machine alone, suspended between the fetch and the acts: what it saw is hours old."""
    issue = desk.overdue_call()
    desk.hears = False
    fetch = desk.source.tracker.fetch

    def suspended(*args: Any, **more: Any) -> Any:
        ticket = fetch(*args, **more)
        monkeypatch.undo()
        desk.fill(issue, Answered_At=desk.clock())
        desk.wait(hours=3)
        return ticket

    monkeypatch.setattr(desk.source.tracker, "fetch", suspended)
    desk.attend()
    assert desk.said(issue) == []
    assert desk.own_moves(issue) == []
    assert desk.state(issue).stage == "answered"


def test_two_threads_attending_at_once_do_each_ticket_once(start: Callable[..., Desk]) -> None:
    desk = start("cloud")
    issues = [desk.overdue_call(Receipt_Number=f"WAC25901{number:05}") for number in range(6)]
    workers = [threading.Thread(target=desk.attend) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert [desk.said(issue) for issue in issues] == [[LETTER]] * 6
    desk.assert_nothing_doubled()
