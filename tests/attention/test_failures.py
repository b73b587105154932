"""What a refusal, a limit, silence or a public comment does to the ticket, to its source, and to the others."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from connector.attention.backoff import TRIES
from connector.practice.world import Issue
from connector.store import DatabaseError
from tests.attention.conftest import IN_DOUBT, NAME, Desk

LETTER = "E-mail the California Service Center now: csc-ncsc-followup@dhs.gov"


def notice(desk: Desk, issue: Issue) -> None:
    desk.store.attention.notice(NAME, str(issue.id), issue.key, desk.clock())


def forbid_moving_to(desk: Desk, status: str) -> None:
    desk.world.transitions = [each for each in desk.world.transitions if each.name != f"Move to {status}"]


def take_off_the_screen(desk: Desk, field: str) -> None:
    fields = desk.world.fields
    desk.world.off_edit_screen.add(field if field in fields else desk.world.field_named(field).id)


# Refusals that leave the rest to be done


def test_what_cannot_be_moved_is_told_in_the_stages_own_comment(either: Desk) -> None:
    desk = either
    forbid_moving_to(desk, "E-mail Service Center")
    issue = desk.overdue_call()
    desk.hears = False
    desk.attend()
    [comment] = issue.comments
    assert comment.body.startswith(f"*{LETTER}*")
    assert 'No transition leads from "New" to "E\\-mail Service Center"' in comment.body.replace(
        "E-mail S", "E\\-mail S"
    )
    assert "No transition leads" in (desk.state(issue).error or "")
    notice(desk, issue)
    desk.attend()
    assert len(issue.comments) == 1


def test_what_cannot_be_moved_is_told_once_where_the_stage_has_no_comment(either: Desk) -> None:
    desk = either
    forbid_moving_to(desk, "Awaiting NCSC")
    issue = desk.called()
    desk.attend()
    [line] = desk.said(issue)
    assert line.startswith('No transition leads from "New" to "Awaiting NCSC". Reachable: Awaiting Headquarters, ')
    assert issue.values["duedate"], "the other acts are done"
    notice(desk, issue)
    desk.attend()
    assert len(issue.comments) == 1
    assert "No transition leads" in (desk.state(issue).error or "")
    desk.lose_database()
    desk.poll()
    desk.attend()
    assert len(issue.comments) == 1


def test_a_refusal_is_noted_in_one_comment_only(desk: Desk) -> None:
    """Guards against repeating the note in every comment of the look."""
    forbid_moving_to(desk, "E-mail Service Center")
    twin = desk.called()
    desk.attend()
    issue = desk.overdue_call()
    desk.attend()
    assert len(desk.said(issue)) == 2
    assert sum("No transition leads" in comment.body for comment in issue.comments) == 1
    assert len(twin.comments) == 1


def test_a_refused_due_date_keeps_nothing_else_from_being_done(desk: Desk) -> None:
    take_off_the_screen(desk, "duedate")
    issue = desk.called()
    desk.attend()
    assert desk.own_moves(issue) == ["Awaiting NCSC"]
    assert "due date" in (desk.state(issue).error or "")
    assert desk.state(issue).stuck_since is None
    assert desk.store.acts.started(NAME, str(issue.id)) == {}
    desk.world.off_edit_screen.clear()
    desk.wait(hours=7)  # nothing tells that it was mended: it is tried again all the same
    desk.attend()
    assert issue.values["duedate"]
    assert desk.state(issue).error is None


def test_a_refused_record_does_not_stop_the_comment(either: Desk) -> None:
    desk = either
    take_off_the_screen(desk, "Service Center Emailed At")
    issue = desk.overdue_call()
    desk.world.move_to(issue, "E-mailed Service Center")
    desk.wait(days=30)
    desk.attend()
    assert desk.said(issue) == ["E-mail Headquarters now: SCOPSSCATA@dhs.gov"]
    assert "Service Center Emailed At" in issue.comments[0].body
    assert "Service Center Emailed At" in (desk.state(issue).error or "")


# Refusals that use up the tries


def use_up_the_tries(desk: Desk, issue: Issue) -> None:
    desk.calls()
    for _ in range(TRIES):
        desk.attend()
        desk.wait(hours=1)
    assert desk.state(issue).stuck_since is not None
    # The move before the first try raised news, and with it the count begins anew.
    assert TRIES <= desk.calls("POST", "/comment$") <= TRIES + 1


def test_a_refused_comment_uses_up_the_tries_and_others_go_on(either: Desk) -> None:
    desk = either
    issue = desk.overdue_call()
    desk.world.comment_limit = 0
    use_up_the_tries(desk, issue)
    state = desk.state(issue)
    assert state.stuck_since is not None
    assert state.attend_at is None
    assert "Jira refused the comment" in (state.error or "")
    desk.world.comment_limit = None
    other = desk.overdue_call(Receipt_Number="LIN2590011223")
    desk.wait(days=1)
    desk.attend()
    assert len(desk.said(other)) == 1
    assert desk.said(issue) == []


@pytest.mark.parametrize("how", ["news", "retry", "mapping"])
def test_what_revives_a_stuck_ticket(desk: Desk, how: str) -> None:
    issue = desk.overdue_call()
    desk.world.comment_limit = 0
    use_up_the_tries(desk, issue)
    desk.world.comment_limit = None
    if how == "news":
        desk.fill(issue, NCSC_Representative="Mr. Boyd")
    elif how == "retry":
        assert desk.store.attention.retry(NAME, issue.key, desk.clock())
    else:
        desk.map(('act_at: "09:00"', 'act_at: "08:00"'))
        assert desk.store.attention.mark_stale(NAME, desk.source.config_hash(), desk.clock(), 10) == 1
    desk.attend()
    assert desk.said(issue) == [LETTER]
    assert desk.state(issue).stuck_since is None


def test_an_unexpected_failure_is_the_tickets_own(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours must not take the other tickets along; and what it quotes is not kept."""
    issue = desk.overdue_call()
    fetch = desk.source.tracker.fetch

    def broken(ticket_id: str, *, with_history: bool) -> Any:
        if ticket_id == str(issue.id):
            raise ValueError("WAC2590123456")
        return fetch(ticket_id, with_history=with_history)

    monkeypatch.setattr(desk.source.tracker, "fetch", broken)
    other = desk.overdue_call(Receipt_Number="LIN2590011223")
    desk.attend()
    assert len(desk.said(other)) == 1
    assert desk.state(issue).error == "unexpected ValueError; see the log"
    for _ in range(TRIES):
        desk.wait(hours=1)
        desk.attend()
    assert desk.state(issue).stuck_since is not None


def test_trouble_with_the_database_is_not_the_tickets_own(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    issue = desk.overdue_call()
    attend, failures = desk.store.acts.done_refs, iter(range(TRIES + 2))

    def failing(source: str, ticket_id: str) -> frozenset[str]:
        if next(failures, None) is not None:
            raise DatabaseError("busy")
        return attend(source, ticket_id)

    monkeypatch.setattr(desk.store.acts, "done_refs", failing)
    for _ in range(TRIES + 3):
        desk.attend()
        desk.wait(hours=1)
    assert desk.said(issue) == [LETTER]


def test_an_outage_does_not_use_up_the_tries(desk: Desk) -> None:
    """Guards against a ticket stuck at its first refusal because the tracker had been down before."""
    issue = desk.overdue_call()
    desk.server.faults.bad_gateway("GET", "reconcileIssues=", times=TRIES + 2)
    for _ in range(TRIES + 2):
        desk.attend()
        desk.wait(hours=2)
    assert desk.said(issue) == []
    desk.world.comment_limit = 0
    desk.attend()
    assert "Jira refused the comment" in (desk.state(issue).error or "")
    assert desk.state(issue).stuck_since is None
    desk.world.comment_limit = None
    desk.wait(hours=2)
    desk.attend()
    assert desk.said(issue) == [LETTER]


def test_what_refuses_one_act_does_not_hold_the_source(desk: Desk) -> None:
    """A firewall that dislikes one letter answers 403 without a word; the account is not at fault."""
    issue = desk.overdue_call()
    desk.server.faults.add("POST", f"/issue/{issue.id}/comment$", times=100, status=403, body="")
    desk.attend()
    assert "in front of Jira refused the call" in (desk.state(issue).error or "")
    assert desk.store.sources.get(NAME).paused_until is None
    other = desk.overdue_call(Receipt_Number="LIN2590011223")
    desk.attend()
    assert len(desk.said(other)) == 1


# Limits


def test_a_limit_of_one_ticket_holds_that_ticket_alone(desk: Desk) -> None:
    issue = desk.overdue_call()
    desk.server.faults.rate_limited("POST", "/comment$", retry_after="120", reason="jira-per-issue-on-write")
    desk.attend()
    other = desk.overdue_call(Receipt_Number="LIN2590011223")
    desk.attend()
    assert len(desk.said(other)) == 1
    notice(desk, issue)
    desk.wait(seconds=119)
    assert desk.attend() == 0
    desk.wait(seconds=6)
    desk.attend()
    assert desk.said(issue) == [LETTER]


def test_a_limit_of_all_calls_holds_the_whole_source(desk: Desk) -> None:
    issue = desk.overdue_call()
    desk.server.faults.rate_limited("POST", "/comment$", retry_after="120")
    desk.attend()
    other = desk.overdue_call(Receipt_Number="LIN2590011223")
    desk.calls()
    desk.wait(seconds=119)
    assert desk.attend() == 0
    assert desk.calls() == 0
    desk.wait(seconds=7)
    desk.attend()
    assert desk.said(issue) == [LETTER]
    assert len(desk.said(other)) == 1


def test_refused_credentials_pause_the_source(desk: Desk) -> None:
    issue = desk.overdue_call()
    desk.server.faults.add("*", "", status=401, times=1000)
    desk.attend()
    paused_until = desk.store.sources.get(NAME).paused_until
    assert paused_until == desk.clock() + timedelta(minutes=5)
    assert desk.state(issue).stuck_since is None
    desk.server.faults.clear()
    assert desk.attend() == 0
    desk.wait(minutes=5)
    desk.attend()
    assert desk.said(issue) == [LETTER]


# Silence


def looks_at_what_is_due(desk: Desk) -> int:
    """One round, as of four hands."""
    claims = desk.claims()
    for claim in claims:
        desk.attendant.attend(desk.source, claim)
    return len(claims)


def test_a_silent_tracker_is_left_alone_ever_longer_and_comes_back_by_itself(desk: Desk) -> None:
    issues = [desk.overdue_call(Receipt_Number=f"WAC25901{number:05}") for number in range(5)]
    desk.server.stop()
    pauses = []
    for _ in range(4 * 60):
        if looks_at_what_is_due(desk):
            until = desk.store.sources.get(NAME).paused_until
            pauses.append(until - desk.clock() if until else timedelta(0))
        desk.wait(minutes=1)
    assert all(desk.state(issue).stuck_since is None for issue in issues)
    assert timedelta(seconds=150) <= max(pauses) <= timedelta(minutes=5)
    assert len(pauses) < 4 * 60 / 2, "half of the minutes at most have seen a look"
    desk.server.start()
    desk.wait(minutes=5)
    desk.attend()
    desk.wait(minutes=5)
    desk.attend()
    assert [desk.said(issue) for issue in issues] == [[LETTER]] * 5


def test_one_ticket_that_the_tracker_chokes_on_keeps_no_other_from_being_attended(desk: Desk) -> None:
    bad = desk.overdue_call()
    desk.server.faults.add("POST", f"/issue/{bad.id}/comment$", status=500, times=1000)
    desk.attend()
    for number in range(8):
        desk.wait(seconds=IN_DOUBT.total_seconds())
        good = desk.overdue_call(Receipt_Number=f"LIN25901{number:05}")
        desk.attend()
        assert len(desk.said(good)) == 1
    assert desk.state(bad).stuck_since is None


# The brake


def public_desk(start: Callable[..., Desk], deployment: str) -> Desk:
    """A service desk on which the connector's account is no agent: what it writes is public."""
    desk = start(deployment, project_type="service_desk")
    desk.world.connector.denied.add("SERVICEDESK_AGENT")
    return desk


@pytest.mark.parametrize("deployment", ["cloud", "data-center"])
def test_a_comment_that_went_public_stops_the_source(start: Callable[..., Desk], deployment: str) -> None:
    desk = public_desk(start, deployment)
    issue = desk.overdue_call()
    other = desk.overdue_call(Receipt_Number="LIN2590011223")
    first, second = desk.claims()
    desk.attendant.attend(desk.source, first)
    desk.attendant.attend(desk.source, second)  # it was in hand already
    assert desk.calls("POST", "/comment$") == 1
    assert issue.comments == other.comments == []
    assert "could be seen by customers" in (desk.store.sources.get(NAME).brake_reason or "")
    desk.wait(days=1)
    assert desk.attend() == 0
    desk.world.connector.denied.discard("SERVICEDESK_AGENT")
    assert desk.store.sources.release(NAME, desk.clock())
    desk.attend()
    assert [comment.public for comment in (*issue.comments, *other.comments)] == [False, False]


def test_too_many_comments_in_an_hour_stop_the_source(desk: Desk) -> None:
    desk.map(("comments: internal", "comments: internal\nmax_comments_per_hour: 2"))
    issues = [desk.overdue_call(Receipt_Number=f"WAC25901{number:05}") for number in range(5)]

    def posted() -> int:
        return sum(len(desk.said(issue)) for issue in issues)

    desk.attend()
    assert posted() == 2
    assert desk.store.sources.get(NAME).brake_reason == "more than 2 comments in an hour"
    desk.wait(hours=2)
    assert desk.attend() == 0, "it is not released by itself"
    for expected in (4, 5):
        desk.wait(seconds=1)
        assert desk.store.sources.release(NAME, desk.clock())
        desk.attend()
        assert posted() == expected
    desk.assert_nothing_doubled()


def test_a_dry_run_writes_nothing_and_afterwards_nothing_is_missing(desk: Desk) -> None:
    desk.map(("comments: internal", "comments: internal\ndry_run: true"))
    issue = desk.overdue_call()
    desk.attend()
    assert desk.state(issue).stage == "email_service_center"
    assert desk.calls("PUT") + desk.calls("POST", r"/(comment|transitions)$") == 0
    assert not issue.comments
    assert not issue.history
    desk.map(("dry_run: true", "dry_run: false"))
    assert desk.store.attention.mark_stale(NAME, desk.source.config_hash(), desk.clock(), 10) == 1
    desk.attend()
    assert desk.said(issue) == [LETTER]
    assert desk.own_moves(issue) == ["E-mail Service Center"]


def test_a_new_address_posts_the_letter_once_more(desk: Desk) -> None:
    """An edited mapping re-reads every open ticket; what has not changed is not said again."""
    (desk.folder / "office.yaml").write_text(
        "extends: service-center-inquiry\nservice_centers:\n  california: {email: new.address@dhs.gov}\n",
        encoding="utf-8",
    )
    here = desk.overdue_call()
    there = desk.overdue_call(Receipt_Number="LIN2590011223")
    desk.attend()
    desk.map(("procedure: service-center-inquiry", "procedure: office.yaml"))
    desk.kill()
    assert desk.store.attention.mark_stale(NAME, desk.source.config_hash(), desk.clock(), 10) == 2
    desk.attend()
    assert desk.said(here) == [LETTER, "E-mail the California Service Center now: new.address@dhs.gov"]
    assert len(desk.said(there)) == 1
    assert desk.store.attention.mark_stale(NAME, desk.source.config_hash(), desk.clock(), 10) == 0
    desk.attend()
    desk.assert_nothing_doubled()


def test_acts_are_counted_by_what_came_of_them(desk: Desk) -> None:
    take_off_the_screen(desk, "duedate")
    desk.called()
    desk.attend()
    desk.overdue_call(Receipt_Number="LIN2590011223")
    desk.server.faults.add("POST", "/comment$", drop="after")
    desk.attend()
    counted = desk.metrics.render().decode()
    for kind, outcome in (("due_date", "refused"), ("comment", "unknown"), ("transition", "done")):
        assert f'connector_acts_total{{kind="{kind}",outcome="{outcome}",source="{NAME}"}}' in counted
