"""Many tickets by few calls, and the moves that come with them."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest

from connector.trackers.jira import JiraTracker
from connector.trackers.jira_issues import BULK
from connector.trackers.jira_writes import WriteBook
from connector.trackers.port import Edit, Misconfigured, NoTransition, RateLimited, Refused, Ticket, Unavailable
from tests.trackers.sites import START, PracticeSite

BULK_CALLS = {"cloud": [("POST", "jql/match"), ("POST", "issue/bulkfetch")], "data-center": [("GET", "search")]}


def bulk_calls(site: PracticeSite) -> list[tuple[str, str]]:
    return BULK_CALLS[site.world.deployment]


def learned(site: PracticeSite, **more: Any) -> JiraTracker:
    """A tracker that knows already what it learns once."""
    tracker = site.tracker(**more)
    tracker.fetch(site.create("To learn from"), with_history=False)
    site.calls()
    return tracker


def some(site: PracticeSite, number: int) -> list[str]:
    return [site.create("A case", receipt=f"WAC25901{each:05}") for each in range(number)]


def many(tracker: JiraTracker, ids: list[str], *, with_history: bool = True) -> Mapping[str, Ticket | None]:
    return tracker.fetch_many(ids, with_history=with_history)


@pytest.mark.parametrize("with_history", [True, False])
def test_they_are_the_tickets_that_fetch_gives(either: PracticeSite, with_history: bool) -> None:
    tracker, ids = learned(either), some(either, 3)
    either.world.page_limit = 2  # Data Center may give fewer than it is asked for
    either.move(ids[0], "Call NCSC")
    either.clock.advance(minutes=1)
    either.move(ids[0], "Awaiting NCSC")
    comment = either.world.new_comment(
        either.issue(ids[1]), "Inquiry connector, Step 1, ref 7c3e19a2", either.world.human
    )
    either.world.add_comment(either.issue(ids[1]), comment)
    found = many(tracker, ids, with_history=with_history)
    assert found == {each: tracker.fetch(each, with_history=with_history) for each in ids}
    commented = found[ids[1]]
    assert commented is not None
    assert commented.refs == {"7c3e19a2"}


def test_a_hundred_cost_what_two_cost(either: PracticeSite) -> None:
    tracker, ids = learned(either), some(either, BULK)
    assert len(many(tracker, ids)) == tracker.bulk == BULK
    assert either.calls() == bulk_calls(either)


def test_one_out_of_scope_is_left_to_be_asked_for_alone(either: PracticeSite) -> None:
    tracker, [ticket_id] = learned(either), some(either, 1)
    assert set(many(tracker, [ticket_id, either.foreign()])) == {ticket_id}
    assert many(tracker, [either.foreign()]) == {}
    assert tracker.fetch(either.foreign(), with_history=True) is None


def test_what_is_no_id_is_not_asked_for(either: PracticeSite) -> None:
    tracker = learned(either)
    assert many(tracker, ["", "CASE-1", "1) OR id > 0", "../myself"]) == {}
    assert either.calls() == []


def test_one_that_is_gone_hides_no_other(either: PracticeSite) -> None:
    tracker, ids = learned(either), some(either, 8)
    for ticket_id in (ids[2], ids[7]):
        either.world.delete(either.issue(ticket_id), either.world.human)
    found = many(tracker, ids)
    assert {each for each, ticket in found.items() if ticket} == set(ids) - {ids[2], ids[7]}
    assert len(either.calls()) <= 2 + 2 * 7, "halving, not one by one"


def test_a_wrong_scope_is_told_and_not_searched_for_again_and_again(either: PracticeSite) -> None:
    tracker, ids = learned(either), some(either, 8)
    either.calls()
    wrong = either.tracker(scope="projekt = CASE")
    with pytest.raises(Misconfigured, match="projekt"):
        many(wrong, ids)
    assert len([path for _, path in either.calls() if path in {"search", "jql/match"}]) <= 2
    assert len(many(tracker, ids)) == 8


def comment_often(site: PracticeSite, ticket_id: str, number: int) -> None:
    issue = site.issue(ticket_id)
    for each in range(number):
        site.world.add_comment(
            issue, site.world.new_comment(issue, f"Inquiry connector, Step 1, ref {each:08x}", site.world.human)
        )


def test_one_whose_comments_did_not_all_come_is_left_to_be_fetched_alone(either: PracticeSite) -> None:
    tracker, (short, long) = learned(either), some(either, 2)
    either.world.comments_shown = 3
    comment_often(either, short, 3)
    comment_often(either, long, 4)
    found = many(tracker, [short, long])
    assert set(found) == {short}
    alone = tracker.fetch(long, with_history=True)
    assert alone is not None
    assert len(alone.refs) == 4


def test_one_whose_history_did_not_all_come_is_left_to_be_fetched_alone(cloud: PracticeSite) -> None:
    tracker, (short, long) = learned(cloud), some(cloud, 2)
    for number in range(101):
        cloud.edit_receipt(long, f"WAC25{number:08}")
    assert set(many(tracker, [short, long])) == {short}
    assert set(many(tracker, [short, long], with_history=False)) == {short, long}


def test_a_lagging_index_hides_nothing_for_good(either: PracticeSite) -> None:
    tracker, [old] = learned(either), some(either, 1)
    either.world.freeze_index()
    [new] = some(either, 1)
    assert set(many(tracker, [old, new])) == {old}


def test_cloud_reads_a_ticket_as_it_is_now_whatever_its_index_holds(cloud: PracticeSite) -> None:
    """Guards against a new ticket that is forgotten because its webhook was faster than the index."""
    tracker, [old] = learned(cloud), some(cloud, 1)
    cloud.world.freeze_index()
    [new] = some(cloud, 1)
    cloud.move(old, "Call NCSC")
    ticket = tracker.fetch(old, with_history=True)
    assert ticket is not None
    assert ticket.status == "Call NCSC"
    assert tracker.fetch(new, with_history=False) is not None


def test_one_alone_costs_one_call_and_a_move(either: PracticeSite) -> None:
    tracker, [ticket_id] = learned(either), some(either, 1)
    ticket = tracker.fetch(ticket_id, with_history=True)
    assert ticket is not None
    tracker.edit(ticket, Edit(status="Call NCSC"))
    assert len(either.calls()) == 2


def test_a_field_made_anew_is_found(either: PracticeSite) -> None:
    """Guards against tickets read without a field that was deleted and made again under its name."""
    tracker, ids = learned(either), some(either, 2)
    either.clock.advance(minutes=11)
    world = either.world
    old = world.field_named("Receipt Number")
    del world.fields[old.id]
    new = world.add_field("Receipt Number", "text")
    for ticket_id in ids:
        world.edit(either.issue(ticket_id), {new.id: "LIN2590011223"}, world.human)
    found = many(tracker, ids)
    assert [ticket.fields["Receipt Number"] for ticket in found.values() if ticket] == ["LIN2590011223"] * 2


def test_an_answer_that_is_none_is_told(cloud: PracticeSite) -> None:
    tracker, ids = learned(cloud), some(cloud, 2)
    cloud.server.faults.add("POST", "/bulkfetch$", status=200, body='{"issues": "none"}')
    with pytest.raises(Unavailable):
        many(tracker, ids)
    cloud.server.faults.add("POST", "/bulkfetch$", status=200, body=json.dumps({"issues": [{"id": ids[0]}]}))
    assert many(tracker, ids) == {}, "what is no ticket is not taken for one"


# Moves


def fetched(tracker: JiraTracker, ticket_id: str, how: str) -> Ticket:
    ticket = (
        tracker.fetch(ticket_id, with_history=True)
        if how == "fetch"
        else many(tracker, [ticket_id, ticket_id])[ticket_id]
    )
    assert ticket is not None
    return ticket


@pytest.mark.parametrize("how", ["fetch", "fetch_many"])
def test_a_move_costs_one_call(either: PracticeSite, how: str) -> None:
    tracker, [ticket_id] = learned(either), some(either, 1)
    ticket = fetched(tracker, ticket_id, how)
    either.calls()
    tracker.edit(ticket, Edit(status="Call NCSC"))
    assert either.calls() == [("POST", f"issue/{ticket_id}/transitions")]
    assert either.issue(ticket_id).status.name == "Call NCSC"


def closed_to(site: PracticeSite, status: str) -> Callable[[], None]:
    """The workflow does not lead to the status until the returned function is called."""
    kept = site.world.transitions
    site.world.transitions = [each for each in kept if each.name != f"Move to {status}"]

    def opened() -> None:
        site.world.transitions = kept

    return opened


def test_a_move_that_was_opened_since_is_found(either: PracticeSite) -> None:
    """Guards against a ticket told as unmovable because a field that opens the move was only just written."""
    tracker, [ticket_id] = learned(either), some(either, 1)
    opened = closed_to(either, "Call NCSC")
    ticket = fetched(tracker, ticket_id, "fetch")
    with pytest.raises(NoTransition):
        tracker.edit(ticket, Edit(status="Call NCSC"))
    opened()
    tracker.edit(ticket, Edit(status="Call NCSC"))
    assert either.issue(ticket_id).status.name == "Call NCSC"


def test_a_move_that_was_closed_since_is_refused(either: PracticeSite) -> None:
    tracker, [ticket_id] = learned(either), some(either, 1)
    ticket = fetched(tracker, ticket_id, "fetch")
    closed_to(either, "Call NCSC")
    with pytest.raises(Refused):
        tracker.edit(ticket, Edit(status="Call NCSC"))
    assert either.issue(ticket_id).status.name == "New"


# How often one ticket is written to


class Watch:
    """A clock, moved by hand, in seconds."""

    def __init__(self) -> None:
        self.seconds = START.timestamp()

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


def within(moments: list[float], seconds: float) -> int:
    """The most moments in any stretch of so many seconds."""
    return max(sum(start <= each < start + seconds for each in moments) for start in moments)


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.2, 0.3])
def test_no_ticket_is_written_to_more_often_than_jira_allows(gap: float) -> None:
    watch = Watch()
    book, made = WriteBook(watch), list[float]()
    refused: list[RateLimited] = []
    for _ in range(600):
        try:
            book.note("1")
            made.append(watch.seconds)
        except RateLimited as limit:
            refused.append(limit)
            watch.seconds += limit.retry_after
        watch.seconds += gap
    assert within(made, 2) <= 20
    assert within(made, 30) <= 100
    assert refused
    assert not any(limit.whole_source for limit in refused)
    assert all(1 <= limit.retry_after <= 30 for limit in refused)


def test_other_tickets_are_not_held_and_old_ones_forgotten() -> None:
    watch = Watch()
    book = WriteBook(watch)
    for number in range(1000):
        book.note(str(number))
    for _ in range(14):
        book.note("7")
    with pytest.raises(RateLimited):
        book.note("7")
    watch.seconds += 31
    book.note("8")
    assert len(book._writes) == 1


def test_a_clock_set_back_holds_no_ticket() -> None:
    watch = Watch()
    book = WriteBook(watch)
    for _ in range(15):
        book.note("1")
    watch.seconds -= 86400
    book.note("1")


def test_the_tracker_writes_no_faster(either: PracticeSite) -> None:
    tracker, [ticket_id, other] = learned(either), some(either, 2)
    ticket = fetched(tracker, ticket_id, "fetch")
    either.calls()
    for written in range(15):
        tracker.edit(ticket, Edit(comment=f"Number {written}"))
    for change in (Edit(comment="More"), Edit(status="Call NCSC"), Edit(due_on=date(2026, 5, 1))):
        with pytest.raises(RateLimited, match="as often as Jira allows"):
            tracker.edit(ticket, change)
    assert len(either.bodies(ticket_id)) == 15
    tracker.edit(fetched(tracker, other, "fetch"), Edit(comment="Another ticket's"))
