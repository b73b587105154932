"""Tickets fetched ahead by few calls: no look is wrong for it, and nothing fails in greater numbers."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.contextvars import get_contextvars

from connector.attention.clock import LEASE
from connector.attention.look import FRESH, Ahead
from connector.practice.world import Issue
from connector.store import Claim
from connector.trackers.port import AccessRefused, Misconfigured, RateLimited, Stopping, TicketGone, Unavailable
from tests.attention.conftest import IN_DOUBT, NAME, Desk

LETTER = "E-mail the California Service Center now: csc-ncsc-followup@dhs.gov"
BULK_CALLS = {"cloud": 2, "data-center": 1}


def overdue(desk: Desk, number: int) -> list[Issue]:
    """Tickets of as many cases."""
    known = len(desk.world.issues)
    return [desk.overdue_call(Receipt_Number=f"WAC25901{known + each:05}") for each in range(number)]


def ahead(desk: Desk) -> tuple[Sequence[Claim], Ahead]:
    return desk.attendant.fetch_ahead(desk.source, desk.claims())


def attend(desk: Desk, claims: Sequence[Claim], fetched: Ahead) -> list[str]:
    return [desk.attendant.attend(desk.source, claim, fetched) for claim in claims]


def told(desk: Desk, issues: Sequence[Issue]) -> list[list[str]]:
    return [desk.said(issue) for issue in issues]


def failing(desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(ticket_ids: object, *, with_history: bool) -> Mapping[str, Any]:
        raise error

    monkeypatch.setattr(desk.source.tracker, "fetch_many", fails)


def aged(fetched: Ahead, seconds: float) -> Ahead:
    return replace(fetched, since=fetched.since - seconds)


# A batch


def test_a_wait_that_passed_costs_a_move_and_a_comment(either: Desk) -> None:
    desk = either
    desk.hears = False
    issues = overdue(desk, 1)
    for issue in issues:
        desk.store.attention.notice(NAME, str(issue.id), issue.key, desk.clock())
    desk.attend()  # what the tracker's adapter learns once, it knows now
    issues = overdue(desk, 10)
    for issue in issues:
        desk.store.attention.notice(NAME, str(issue.id), issue.key, desk.clock())
    desk.calls()
    assert attend(desk, *ahead(desk)) == ["attended"] * 10
    assert told(desk, issues) == [[LETTER]] * 10
    assert [desk.own_moves(issue) for issue in issues] == [["E-mail Service Center"]] * 10
    assert desk.calls() == BULK_CALLS[desk.world.deployment] + 2 * 10


def test_what_changes_once_it_was_fetched_is_seen_by_a_second_look(either: Desk) -> None:
    """The fetch comes after the claim, and news since the claim makes the ticket due again."""
    desk = either
    one, other = overdue(desk, 2)
    claims, fetched = ahead(desk)
    desk.fill(one, Answered_At=desk.clock())
    attend(desk, claims, fetched)
    assert desk.state(one).stage == "email_service_center", "the first look saw the ticket as it was"
    assert desk.state(one).attend_at == desk.clock()
    desk.attend()
    assert (desk.state(one).stage, desk.state(other).stage) == ("answered", "email_service_center")
    desk.assert_nothing_doubled()


def test_what_was_fetched_long_ago_is_fetched_anew(desk: Desk) -> None:
    one, other = overdue(desk, 2)
    claims, fetched = ahead(desk)
    desk.fill(one, Answered_At=desk.clock())
    attend(desk, claims, aged(fetched, FRESH + 1))
    assert (desk.state(one).stage, desk.said(one)) == ("answered", [])
    assert desk.said(other) == [LETTER]


def test_one_that_was_not_given_is_fetched_alone(either: Desk) -> None:
    desk = either
    issues = overdue(desk, 3)
    desk.world.comments_shown = 1
    for text in ("First", "Second"):
        desk.world.add_comment(issues[1], desk.world.new_comment(issues[1], text, desk.world.human))
    claims, fetched = ahead(desk)
    assert set(fetched.tickets) == {str(issues[0].id), str(issues[2].id)}
    attend(desk, claims, fetched)
    assert told(desk, issues) == [[LETTER]] * 3


def test_those_gone_and_those_out_of_scope_are_forgotten(either: Desk) -> None:
    desk = either
    stays, gone, _ = overdue(desk, 3)
    foreign = desk.world.add_issue("OTHER", summary="Order toner")
    desk.world.delete(gone, desk.world.human)
    attend(desk, *ahead(desk))
    assert desk.said(stays) == [LETTER]
    assert foreign.comments == []
    for issue in (gone, foreign):
        assert desk.store.tickets.get(NAME, str(issue.id)) is None


@pytest.mark.parametrize("number", [0, 1])
def test_one_alone_is_not_fetched_ahead(desk: Desk, number: int) -> None:
    overdue(desk, number)
    desk.calls()
    claims, fetched = ahead(desk)
    assert (len(claims), fetched.tickets, desk.calls()) == (number, {}, 0)


def test_nothing_is_fetched_ahead_of_a_tracker_that_cannot(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    overdue(desk, 2)
    monkeypatch.setattr(desk.source.tracker, "bulk", 1)
    failing(desk, monkeypatch, AssertionError("it must not be asked"))
    claims, fetched = ahead(desk)
    assert (len(claims), fetched.tickets) == (2, {})


# Doubt and leases


def test_an_act_in_doubt_is_looked_for_on_the_ticket_as_it_is(desk: Desk) -> None:
    """Guards against a comment posted twice because the ticket was fetched before its comment arrived."""
    [issue] = overdue(desk, 1)
    before = desk.source.tracker.fetch(str(issue.id), with_history=True)
    desk.server.faults.add("POST", "/comment$", drop="after")
    desk.attend()
    desk.wait(seconds=IN_DOUBT.total_seconds())
    attend(desk, desk.claims(), Ahead({str(issue.id): before}))
    assert desk.said(issue) == [LETTER]
    desk.assert_nothing_doubled()


def test_a_lease_that_ran_out_while_waiting_for_a_hand_is_lost(desk: Desk) -> None:
    issues = overdue(desk, 2)
    claims, fetched = ahead(desk)
    desk.wait(seconds=LEASE.total_seconds() + 1)
    taken, again = ahead(desk)
    desk.calls()
    assert attend(desk, claims, aged(fetched, LEASE.total_seconds() + 1)) == ["lease_lost"] * 2
    assert desk.calls() == 0
    assert attend(desk, taken, again) == ["attended"] * 2
    assert told(desk, issues) == [[LETTER]] * 2


def test_a_lease_is_renewed_when_its_turn_comes_late(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    [one, _] = overdue(desk, 2)
    claims, fetched = ahead(desk)
    desk.wait(seconds=LEASE.total_seconds() - 1)
    fetch = desk.source.tracker.fetch

    def slow(ticket_id: str, *, with_history: bool) -> Any:
        desk.wait(seconds=LEASE.total_seconds() - 1)
        assert desk.claims() == [], "nobody else may have it"
        return fetch(ticket_id, with_history=with_history)

    monkeypatch.setattr(desk.source.tracker, "fetch", slow)
    [claim] = [each for each in claims if each.ticket_id == str(one.id)]
    other = [each for each in claims if each is not claim]
    assert all(desk.store.attention.renew(each, desk.clock(), 2 * LEASE) for each in other)
    attend(desk, [claim], aged(fetched, LEASE.total_seconds() - 1))
    assert desk.said(one) == [LETTER]


# Failures


def test_a_tracker_that_does_not_answer_is_one_silence_and_many_failed_looks(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    issues = overdue(desk, 5)
    failing(desk, monkeypatch, Unavailable("It did not answer."))
    assert ahead(desk)[0] == []
    assert [desk.state(issue).attempts for issue in issues] == [1] * 5
    assert all(desk.state(issue).attend_at > desk.clock() for issue in issues)  # type: ignore[operator]  # they have one
    assert desk.store.sources.get(NAME).paused_until is None, "three silences in a row pause a source, not one"
    assert desk.source.silence.lasts
    desk.wait(seconds=10)
    claims, fetched = ahead(desk)
    assert fetched.tickets == {}, "after a failure each is fetched alone"
    attend(desk, claims, fetched)
    assert told(desk, issues) == [[LETTER]] * 5
    assert not desk.source.silence.lasts


def test_one_that_makes_the_fetch_fail_holds_the_others_up_only_once(desk: Desk) -> None:
    issues = overdue(desk, 3)
    desk.server.faults.add("POST", "/bulkfetch$", status=500)
    ahead(desk)
    desk.wait(seconds=10)
    more = overdue(desk, 2)
    attend(desk, *ahead(desk))
    desk.attend()
    assert told(desk, issues + more) == [[LETTER]] * 5


def test_a_pause_that_is_asked_for_holds_the_source(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    issues = overdue(desk, 3)
    failing(desk, monkeypatch, RateLimited("Later.", retry_after=120, whole_source=True))
    assert ahead(desk)[0] == []
    paused_until = desk.store.sources.get(NAME).paused_until
    assert paused_until is not None
    assert paused_until >= desk.clock() + timedelta(seconds=120)
    later = desk.clock() + timedelta(seconds=120)
    assert all(desk.state(issue).attend_at >= later for issue in issues)  # type: ignore[operator]  # they have one


@pytest.mark.parametrize(
    "error",
    [AccessRefused("Not these."), Misconfigured("No such call."), TicketGone("Gone."), ValueError("WAC2590123456")],
    ids=lambda error: type(error).__name__,
)
def test_whatever_else_is_wrong_one_look_alone_tells(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, logs: list[Any], error: Exception
) -> None:
    """A proxy that does not know the call must not stop a source whose tickets can be fetched one by one."""
    issues = overdue(desk, 3)
    failing(desk, monkeypatch, error)
    claims, fetched = ahead(desk)
    assert (len(claims), fetched.tickets) == (3, {})
    attend(desk, claims, fetched)
    assert told(desk, issues) == [[LETTER]] * 3
    assert desk.store.sources.get(NAME).paused_until is None
    assert "WAC2590123456" not in str(logs)


def test_a_stop_while_waiting_for_a_turn_is_nobodys_failure(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = overdue(desk, 2)
    failing(desk, monkeypatch, Stopping("The connector is stopping."))
    assert ahead(desk)[0] == []
    assert [desk.state(issue).attend_at for issue in (one, other)] == [desk.clock()] * 2
    assert desk.store.sources.get(NAME).paused_until is None
    assert not desk.source.silence.lasts


def test_the_outcome_of_a_look_is_told(desk: Desk) -> None:
    overdue(desk, 1)
    desk.server.faults.bad_gateway("GET", "reconcileIssues=")
    assert attend(desk, desk.claims(), Ahead({})) == ["postponed"]
    desk.wait(seconds=10)
    assert attend(desk, desk.claims(), Ahead({})) == ["attended"]


def test_age_counts_from_the_start_of_the_fetch() -> None:
    fetched = Ahead({"1": None}, since=time.monotonic() - 5)
    assert 5 <= fetched.age < 6
    assert fetched.has("1")
    assert not fetched.has("2")
    assert not aged(fetched, FRESH).has("1")


# What ties the logs together


def test_every_line_of_a_look_has_an_id(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    overdue(desk, 2)
    seen: list[dict[str, Any]] = []
    post: Callable[..., None] = desk.source.tracker.post_comment  # type: ignore[attr-defined]  # the real adapter

    def noticed(*args: Any) -> None:
        seen.append(dict(get_contextvars()))
        post(*args)

    monkeypatch.setattr(desk.source.tracker, "post_comment", noticed)
    first, second = desk.claims()
    attend(desk, [replace(first, correlation_id="of-a-webhook"), second], Ahead({}))
    assert seen[0]["correlation_id"] == "of-a-webhook"
    assert len({each["correlation_id"] for each in seen}) == 2
    assert {(each["source"], each["ticket_id"]) for each in seen} == {
        (NAME, first.ticket_id),
        (NAME, second.ticket_id),
    }
    assert get_contextvars() == {}
