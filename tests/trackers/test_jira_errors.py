"""What goes wrong between us and Jira, over real HTTP: each fault comes out as the right kind of TrackerError."""

import threading
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from connector.practice.world import Transition
from connector.trackers.jira import JiraTracker
from connector.trackers.port import (
    AccessRefused,
    Misconfigured,
    NoTransition,
    RateLimited,
    Refused,
    Ticket,
    TicketGone,
    Unavailable,
)
from tests.trackers.sites import START, PracticeSite

COMMENT = "Inquiry connector, Step 1, ref 7c3e19a2"


@pytest.fixture
def ready(either: PracticeSite) -> tuple[PracticeSite, JiraTracker, Ticket]:
    """A site, a tracker that has learned what it needs, and a ticket."""
    return make_ready(either)


def make_ready(site: PracticeSite, **more: Any) -> tuple[PracticeSite, JiraTracker, Ticket]:
    ticket_id = site.create("One", receipt="WAC2590123456")
    tracker = site.tracker(**more)
    ticket = tracker.fetch(ticket_id, with_history=False)
    assert ticket is not None
    site.calls()
    return site, tracker, ticket


# Rate limits


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [("1847", 1847), ("1.5", 1.5), ("0", 1), ("-3", 1), ("9" * 60, 86400), (None, 60), ("soon", 60)],
)
def test_a_rate_limit_is_told_in_seconds(ready: Any, asked: str | None, seconds: float) -> None:
    site, tracker, ticket = ready
    site.server.faults.rate_limited(retry_after=asked)
    with pytest.raises(RateLimited) as limit:
        tracker.fetch(ticket.id, with_history=False)
    assert (limit.value.retry_after, limit.value.whole_source) == (seconds, True)
    assert len(site.calls()) == 1


def test_a_rate_limit_may_name_a_moment(ready: Any) -> None:
    site, tracker, ticket = ready
    # The answer's own Date counts, which is real here; the tracker's clock stands on another day.
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    site.server.faults.add(status=429, headers={"Retry-After": moment}, body={})
    with pytest.raises(RateLimited) as limit:
        tracker.fetch(ticket.id, with_history=False)
    assert limit.value.retry_after == pytest.approx(90, abs=3)


@pytest.mark.parametrize(
    ("reason", "whole_source"),
    [
        ("jira-per-issue-on-write", False),
        ("jira-burst-based", True),
        ("jira-quota-global-based", True),
        ("jira-quota-tenant-based", True),
        (None, True),
    ],
)
def test_whom_a_rate_limit_concerns(ready: Any, reason: str | None, whole_source: bool) -> None:
    site, tracker, ticket = ready
    site.server.faults.rate_limited("POST", "comment", reason=reason)
    with pytest.raises(RateLimited) as limit:
        tracker.post_comment(ticket, COMMENT)
    assert limit.value.whole_source is whole_source
    assert site.bodies(ticket.id) == []


def test_an_overloaded_jira_that_says_when_to_come_back(ready: Any) -> None:
    site, tracker, ticket = ready
    site.server.faults.add(status=503, headers={"Retry-After": "30"}, body="<html>busy</html>")
    with pytest.raises(RateLimited) as limit:
        tracker.set_due(ticket, date(2026, 5, 1))
    assert (limit.value.retry_after, limit.value.whole_source) == (30, True)


def test_the_rate_limit_headers_of_data_center_on_every_answer_mean_nothing(data_center: PracticeSite) -> None:
    data_center.world.rate_limit_headers = True
    _, tracker, ticket = make_ready(data_center)
    tracker.post_comment(ticket, COMMENT)


# Time-outs and dropped connections: was it done?


def test_a_dropped_connection_leaves_the_outcome_of_a_change_unknown(ready: Any) -> None:
    site, tracker, ticket = ready
    for drop, done in (("before", 0), ("after", 1)):
        site.server.faults.add("POST", "comment", drop=drop)
        with pytest.raises(Unavailable) as failure:
            tracker.post_comment(ticket, COMMENT)
        assert failure.value.outcome_unknown
        assert len(site.bodies(ticket.id)) == done
    assert [method for method, _ in site.calls()] == ["POST", "POST"]  # never a second try of its own
    looked_up = tracker.fetch(ticket.id, with_history=False)
    assert looked_up is not None
    assert looked_up.refs == frozenset({"7c3e19a2"})


def test_a_time_out_leaves_the_outcome_of_a_change_unknown(either: PracticeSite) -> None:
    site, _, ticket = make_ready(either)
    site.server.faults.add("POST", "comment", wait=0.4)
    with pytest.raises(Unavailable, match="in time") as failure:
        site.tracker(timeout=(5, 0.1)).post_comment(ticket, COMMENT)
    assert failure.value.outcome_unknown


@pytest.mark.parametrize("fault", [{"drop": "before"}, {"drop": "after"}, {"status": 502, "body": "<html></html>"}])
def test_reading_leaves_nothing_in_doubt(ready: Any, fault: dict[str, Any]) -> None:
    site, tracker, ticket = ready
    site.server.faults.add(**fault)
    with pytest.raises(Unavailable) as failure:
        tracker.fetch(ticket.id, with_history=False)
    assert not failure.value.outcome_unknown


def test_a_jira_that_cannot_be_reached_has_done_nothing(ready: Any) -> None:
    site, tracker, ticket = ready
    tracker.close()
    site.server.stop()
    with pytest.raises(Unavailable, match="cannot be reached") as failure:
        tracker.post_comment(ticket, COMMENT)
    assert not failure.value.outcome_unknown


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_leaves_the_outcome_of_a_change_unknown(ready: Any, status: int) -> None:
    site, tracker, ticket = ready
    for change in (
        lambda: tracker.post_comment(ticket, COMMENT),
        lambda: tracker.set_due(ticket, date(2026, 5, 1)),
        lambda: tracker.move(ticket, "Call NCSC"),
    ):
        for method in ("POST", "PUT"):
            site.server.faults.add(method, status=status, body="<html></html>")
        with pytest.raises(Unavailable) as failure:
            change()
        assert failure.value.outcome_unknown
        site.server.faults.clear()


def test_a_conflict_is_tried_again_later(ready: Any) -> None:
    site, tracker, ticket = ready
    site.server.faults.add("PUT", status=409, body={"errorMessages": ["conflict"], "errors": {}})
    with pytest.raises(Unavailable) as failure:
        tracker.set_due(ticket, date(2026, 5, 1))
    assert not failure.value.outcome_unknown


# Pages where JSON is due


def test_a_log_in_page_is_no_answer(ready: Any) -> None:
    site, tracker, ticket = ready
    for call in (
        lambda: tracker.fetch(ticket.id, with_history=False),
        lambda: tracker.post_comment(ticket, COMMENT),
        lambda: tracker.set_due(ticket, date(2026, 5, 1)),
    ):
        site.server.faults.login_page()
        with pytest.raises(AccessRefused, match="log-in page"):
            call()
    assert site.bodies(ticket.id) == []


def test_another_page_with_200_is_an_outage(ready: Any) -> None:
    site, tracker, ticket = ready
    site.server.faults.add("PUT", status=200, body="<html><h1>Back at 5 p.m.</h1></html>")
    with pytest.raises(Unavailable, match="web page") as failure:
        tracker.set_due(ticket, date(2026, 5, 1))
    assert failure.value.outcome_unknown


@pytest.mark.parametrize("body", ["[" * 100_000, "", '{"a": ' + "9" * 5000 + "}", "\x00", [], "null"])
def test_nonsense_is_an_outage(ready: Any, body: Any) -> None:
    site, tracker, ticket = ready
    site.server.faults.add(status=200, body=body)
    with pytest.raises(Unavailable):
        tracker.fetch(ticket.id, with_history=False)


def test_an_endless_answer_is_given_up(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site, tracker, ticket = ready
    monkeypatch.setattr("connector.trackers.http.MAX_BODY", 1000)
    site.server.faults.add(status=200, body={"comments": ["x" * 2000]})
    with pytest.raises(Unavailable, match="too long"):
        tracker.fetch(ticket.id, with_history=False)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(ready: Any, status: int) -> None:
    site, tracker, ticket = ready
    headers = {"Location": f"{site.server.url}/rest/api/2/myself"}
    site.server.faults.add(status=status, headers=headers, body="")
    with pytest.raises(AccessRefused, match="redirect"):
        tracker.fetch(ticket.id, with_history=False)
    assert len(site.calls()) == 1


def test_a_page_with_404_says_nothing_about_tickets(ready: Any) -> None:
    site, tracker, ticket = ready
    site.server.faults.add(status=404, body="<html>nginx</html>")
    with pytest.raises(Misconfigured, match="context path"):
        tracker.set_due(ticket, date(2026, 5, 1))


def test_a_page_with_403_comes_from_something_in_front_of_jira(ready: Any) -> None:
    site, tracker, ticket = ready
    site.server.faults.add(status=403, body="<html>Blocked</html>")
    with pytest.raises(AccessRefused, match="in front of Jira"):
        tracker.set_due(ticket, date(2026, 5, 1))


# Refusals of one ticket


def test_a_ticket_that_is_gone(ready: Any) -> None:
    site, tracker, ticket = ready
    del site.world.issues[int(ticket.id)]
    for call in (
        lambda: tracker.post_comment(ticket, COMMENT),
        lambda: tracker.move(ticket, "Done"),
        lambda: tracker.set_due(ticket, date(2026, 5, 1)),
    ):
        with pytest.raises(TicketGone):
            call()


def test_a_ticket_that_never_was_is_gone(either: PracticeSite) -> None:
    with pytest.raises(TicketGone):
        either.tracker().fetch("987654321", with_history=False)


def test_a_field_that_is_not_on_the_screen_is_told_by_its_name(ready: Any) -> None:
    site, tracker, ticket = ready
    field = site.world.field_named("NCSC Called At")
    site.world.off_edit_screen |= {field.id, "duedate"}
    with pytest.raises(Refused, match=r"NCSC Called At: Field 'customfield_\d+' cannot be set"):
        tracker.set_moment(ticket, "NCSC Called At", START)
    with pytest.raises(Refused, match=r"the due date: Due date: Field .* not on the appropriate screen"):
        tracker.set_due(ticket, date(2026, 5, 1))


def test_a_transition_that_asks_for_a_field_is_told_by_its_name(ready: Any) -> None:
    site, tracker, ticket = ready
    target, field = site.world.status_named("Done"), site.world.field_named("Reason No Service Request")
    site.world.transitions = [
        Transition("7", "Close", target.id, screen=(field.id,), required=frozenset({field.id})),
    ]
    with pytest.raises(Refused, match=r'the move to "Done": .*Reason No Service Request.* is required'):
        tracker.move(ticket, "Done")


def test_refusals_do_not_repeat_what_a_ticket_holds(ready: Any) -> None:
    site, tracker, ticket = ready
    body = {
        "errorMessages": ["Value 'Ngozi Okafor' of A 012-345-678 (ngozi@home.example) is not valid.\nReally."],
        "errors": {"customfield_10050": 'The "Receipt Number" WAC2590123456 is wrong.', "odd": {}},
    }
    site.server.faults.add("PUT", status=400, body=body)
    with pytest.raises(Refused) as refusal:
        tracker.set_due(ticket, date(2026, 5, 1))
    message = refusal.value.for_staff
    assert 'Receipt Number: The "Receipt Number" WAC…' in message
    assert refusal.value.message == "Jira refused the due date: Receipt Number"
    for personal in ("Okafor", "345", "ngozi", "2590123456", "\n"):
        assert personal not in message


def test_words_that_an_office_wrote_are_for_the_ticket_alone(ready: Any) -> None:
    """Guards against a name in a validator's message that reaches the log or the database."""
    site, tracker, ticket = ready
    body = {"errorMessages": ["Quillfeather must have a G-28"], "errors": {"customfield_10051": "Okafor is required."}}
    site.server.faults.add("PUT", status=400, body=body)
    with pytest.raises(Refused) as refusal:
        tracker.set_due(ticket, date(2026, 5, 1))
    assert "Quillfeather must have a G-28" in refusal.value.for_staff
    assert refusal.value.message == "Jira refused the due date: A-Number"


def test_a_comment_that_is_too_long_or_one_too_many_is_refused(ready: Any) -> None:
    site, tracker, ticket = ready
    with pytest.raises(Refused, match="too long"):
        tracker.post_comment(ticket, "x" * 40_000)
    site.world.comment_limit = 0
    with pytest.raises(Refused, match="limit"):
        tracker.post_comment(ticket, COMMENT)


def test_an_account_without_permission_is_refused(ready: Any) -> None:
    site, tracker, ticket = ready
    site.world.connector.denied |= {"EDIT_ISSUES", "TRANSITION_ISSUES"}
    with pytest.raises(Refused, match="permission"):
        tracker.set_due(ticket, date(2026, 5, 1))
    with pytest.raises(NoTransition, match="may the account transition tickets") as refusal:
        tracker.move(ticket, "Done")
    assert refusal.value.reachable == ()


# Transitions


def test_of_several_transitions_the_one_without_a_screen_is_taken(ready: Any) -> None:
    site, tracker, ticket = ready
    done = site.world.status_named("Done").id
    field = site.world.field_named("Reason No Service Request").id
    site.world.transitions = [
        Transition("3", "With a screen", done, screen=(field,)),
        Transition("21", "Later", done),
        Transition("9", "First", done),
    ]
    if site.cloud:  # Data Center does not tell of screens before they are asked for
        tracker.move(ticket, "Done")
        assert [each.json for each in site.server.requests.matching("POST", "transitions")] == [
            {"transition": {"id": "9"}}
        ]
    else:
        tracker.move(ticket, "Done")
        assert [each.json for each in site.server.requests.matching("POST", "transitions")] == [
            {"transition": {"id": "3"}}
        ]
    assert site.issue(ticket.id).status.name == "Done"


def test_a_transition_that_has_just_been_removed_is_refused(ready: Any) -> None:
    site, tracker, ticket = ready
    removed = threading.Event()

    def remove() -> None:
        site.world.transitions = [each for each in site.world.transitions if each.to != target]
        removed.set()

    target = site.world.status_named("Done").id
    site.server.faults.add("GET", "transitions", callback=remove)
    with pytest.raises(Refused):
        tracker.move(ticket, "Done")
    assert removed.is_set()
    assert site.issue(ticket.id).status.name == "New"


# The source as a whole


def test_a_scope_that_jira_does_not_understand(either: PracticeSite) -> None:
    ticket_id = either.create("One")
    tracker = either.tracker(scope='projekt = CASE AND "Receipt Number" ~ x')
    with pytest.raises(Misconfigured, match="projekt"):
        tracker.fetch(ticket_id, with_history=False)
    with pytest.raises(Misconfigured, match="projekt"):
        list(tracker.changed_since(None))


def test_a_removed_search_is_told_and_the_deployment_asked_for_again(data_center: PracticeSite) -> None:
    site, tracker, _ = make_ready(data_center)
    site.server.faults.add("GET", "/search$", status=410, body={"errorMessages": ["The API has been removed."]})
    with pytest.raises(Misconfigured, match="removed"):
        list(tracker.changed_since(None))
    site.calls()
    list(tracker.changed_since(None))
    assert ("GET", "serverInfo") in site.calls()


def test_an_address_that_is_none(either: PracticeSite) -> None:
    for url in ("jira.example.org", "ftp://jira.example.org", "http://", "http://[1", ""):
        with pytest.raises(Misconfigured, match=r"tracker\.url"):
            either.tracker(url=url).fetch("1", with_history=False)


def test_no_call_is_made_before_one_is_asked_for(either: PracticeSite) -> None:
    tracker = either.tracker(fields=["No Such Field"])
    tracker.changed_since(None)
    tracker.close()
    assert either.calls() == []


def test_another_ticket_than_the_one_asked_for_is_not_taken_for_it(data_center: PracticeSite) -> None:
    site, tracker, ticket = make_ready(data_center)
    site.server.faults.add("GET", "/search$", status=200, body={"issues": [{"id": "1", "fields": {}}], "total": 1})
    assert tracker.fetch(ticket.id, with_history=False) is None


def test_a_foreign_ticket_costs_one_call(ready: Any) -> None:
    site, tracker, _ = ready
    for with_history in (False, True):
        assert tracker.fetch(site.foreign(), with_history=with_history) is None
        assert len(site.calls()) == 1


def test_threads_share_what_was_learned(either: PracticeSite) -> None:
    ids = [either.create(f"Number {number}") for number in range(8)]
    tracker = either.tracker()
    found: dict[str, str] = {}

    def look(ticket_id: str) -> None:
        ticket = tracker.fetch(ticket_id, with_history=False)
        assert ticket is not None
        found[ticket_id] = ticket.id

    threads = [threading.Thread(target=look, args=(each,)) for each in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {each: each for each in ids}
    assert [path for _, path in either.calls()].count("serverInfo") == 1
