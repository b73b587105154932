"""The adapter on a real Request Tracker: what the port promises."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import requests

from connector.application import utc_now
from connector.trackers import request_tracker, request_tracker_api
from connector.trackers.port import (
    AccessRefused,
    Change,
    Edit,
    Misconfigured,
    NoTransition,
    Refused,
    Ticket,
    TicketGone,
    Unavailable,
)
from connector.trackers.request_tracker import RequestTracker, read_ticket
from connector.trackers.request_tracker_api import Page, RequestTrackerApi
from tests.live.request_tracker import MARIAS_TIME, QUEUE, Rt

pytestmark = [pytest.mark.live, pytest.mark.timeout(600), pytest.mark.usefixtures("receiver")]
CALLED = "NCSC Called At"
AT = datetime(2026, 3, 2, 15, 0, 30, tzinfo=UTC)
DAY = date(2026, 4, 2)
REF_LINE = "<p>Inquiry connector, Step 1, ref {}</p>"
Make = Callable[..., RequestTracker]


def fetched(tracker: RequestTracker, ticket_id: str, *, with_history: bool = False) -> Ticket:
    ticket = tracker.fetch(ticket_id, with_history=with_history)
    assert ticket is not None
    return ticket


# Reading


def test_a_ticket_is_fetched_with_its_fields_by_the_names_of_the_mapping(rt: Rt, tracker: RequestTracker) -> None:
    ticket_id = rt.create(Receipt_Number="WAC2590123456")
    ticket = fetched(tracker, ticket_id)
    assert (ticket.id, ticket.key, ticket.status, ticket.closed, ticket.due_on) == (
        ticket_id,
        ticket_id,
        "New",
        False,
        None,
    )
    assert ticket.fields == {"Receipt Number": "WAC2590123456", CALLED: None}
    assert ticket.labels == {"Receipt Number": "Receipt Number", CALLED: CALLED}
    assert ticket.updated_at is not None
    assert abs(ticket.updated_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert (ticket.history, ticket.refs) == ((), frozenset())


def test_a_fresh_stamp_is_none_as_another_change_could_bear_it_too(
    rt: Rt, make_tracker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How fresh it is, RT's own clock tells: ours may be wrong."""
    ahead = make_tracker(clock=lambda: utc_now() + timedelta(minutes=7))
    behind = make_tracker(clock=lambda: utc_now() - timedelta(minutes=7))
    monkeypatch.setattr(request_tracker, "RIPE", timedelta(seconds=2))
    ticket_id = rt.create()
    assert [fetched(tracker, ticket_id).updated_at for tracker in (ahead, behind)] == [None, None]
    time.sleep(2.1)
    assert None not in [fetched(tracker, ticket_id).updated_at for tracker in (ahead, behind)]


def test_fields_may_be_named_in_any_case_and_by_their_ids(rt: Rt, make_tracker: Make) -> None:
    ticket_id = rt.create(Receipt_Number="WAC2590123456")
    [field_id] = [each["id"] for each in rt.ticket(ticket_id)["CustomFields"] if each["name"] == "Receipt Number"]
    ticket = fetched(make_tracker(fields=["receipt number", f"customfield_{field_id}"]), ticket_id)
    assert set(ticket.fields.values()) == {"WAC2590123456"}
    assert ticket.labels[f"customfield_{field_id}"] == "Receipt Number"


def test_a_field_that_is_not_there_stops_the_source_and_says_what_was_meant(rt: Rt, make_tracker: Make) -> None:
    ticket_id = rt.create()
    with pytest.raises(Misconfigured, match=r'no custom field "Recipt Number".* Did you mean "Receipt Number"'):
        make_tracker(fields=["Recipt Number"]).fetch(ticket_id, with_history=False)


def test_a_field_that_one_queue_lacks_stops_the_tickets_of_that_queue_alone(rt: Rt, make_tracker: Make) -> None:
    tracker = make_tracker(scope=f"(Queue = '{QUEUE}' OR Queue = 'Housekeeping') AND id > {rt.latest()}")
    made = rt.call("POST", "ticket", who="root", json={"Queue": "Housekeeping", "Subject": "Order toner"})
    lacking = str(made.json()["id"])
    with pytest.raises(Misconfigured, match='no custom field "Receipt Number"'):  # no other queue has tickets in scope
        tracker.fetch(lacking, with_history=False)
    whole = rt.create(Receipt_Number="WAC2590123456")
    for with_history in (False, True):
        with pytest.raises(Refused, match='no custom field "Receipt Number"'):
            tracker.fetch(lacking, with_history=with_history)
    assert fetched(tracker, whole).fields["Receipt Number"] == "WAC2590123456"
    nowhere = make_tracker(scope=f"id >= {lacking}", fields=["Receipt Number", "Recipt Number"])
    for ticket_id in (lacking, whole):
        with pytest.raises(Misconfigured):
            nowhere.fetch(ticket_id, with_history=False)


def test_a_filled_ticket_is_read_as_staff_see_it(rt: Rt, make_tracker: Make) -> None:
    ticket_id = rt.create(NCSC_Called_At=AT, Date_Filed=date(2025, 6, 2), Service_Center="texas", Route="Separate")
    names = [CALLED, "Date Filed", "Service Center", "Route", "A-Number"]
    ticket = fetched(make_tracker(fields=names), ticket_id)
    assert list(ticket.fields.values()) == ["2026-03-02T15:00:30Z", "2025-06-02", "Texas", "Separate", None]


def test_emptied_dates_are_empty(rt: Rt, make_tracker: Make) -> None:
    ticket_id = rt.create(NCSC_Called_At=AT, Date_Filed=date(2025, 6, 2))
    rt.fill(ticket_id, NCSC_Called_At=[], Date_Filed=[])
    assert set(fetched(make_tracker(fields=[CALLED, "Date Filed"]), ticket_id).fields.values()) == {None}


def test_tickets_out_of_scope_deleted_merged_or_never_made_are_none(rt: Rt, make_tracker: Make) -> None:
    tracker = make_tracker(scope=f"Queue = '{QUEUE}' OR Queue = 'Nowhere'", fields=[])
    foreign = str(rt.call("POST", "ticket", who="root", json={"Queue": "Housekeeping", "Subject": "x"}).json()["id"])
    deleted, merged, kept = rt.create(), rt.create(), rt.create()
    rt.put(deleted, "root", Status="deleted")
    rt.put(merged, MergeInto=kept)
    for ticket_id in (foreign, deleted, merged, "999999"):
        assert tracker.fetch(ticket_id, with_history=True) is None
    assert fetched(tracker, kept).id == kept


@pytest.mark.parametrize("ticket_id", ["", "#1", "1 OR id > 0", "../rt", "١٢", "1" * 20])
def test_what_is_no_id_never_reaches_a_url_or_a_search(tracker: RequestTracker, ticket_id: str) -> None:
    with pytest.raises(TicketGone):
        tracker.fetch(ticket_id, with_history=False)


def test_closed_is_what_the_lifecycle_calls_inactive(rt: Rt, make_tracker: Make) -> None:
    ours = rt.create()
    for status, closed in (("Answered", True), ("Call NCSC", False), ("Closed", True)):
        rt.put(ours, Status=status)
        ticket = fetched(make_tracker(), ours)
        assert (ticket.status, ticket.closed) == (status, closed)
    other = rt.call("POST", "ticket", who="root", json={"Queue": "Housekeeping", "Subject": "x"}).json()["id"]
    rt.put(other, "root", Status="rejected")
    assert fetched(make_tracker(scope="Queue = 'Housekeeping'", fields=[]), str(other)).closed


def test_the_history_tells_statuses_and_what_became_of_fields(rt: Rt, make_tracker: Make) -> None:
    tracker = make_tracker(fields=[CALLED, "Several Dates"])
    ticket_id = rt.create(NCSC_Called_At=AT)
    rt.put(ticket_id, Status="Call NCSC")
    rt.fill(ticket_id, NCSC_Called_At=AT + timedelta(days=1))
    rt.fill(ticket_id, Several_Dates=AT)
    rt.fill(ticket_id, Several_Dates=AT + timedelta(days=1))
    rt.fill(ticket_id, NCSC_Called_At=[])
    rt.fill(ticket_id, Several_Dates=[])
    changes: list[Change] = list(fetched(tracker, ticket_id, with_history=True).history)
    assert [(change.field, change.to) for change in changes] == [
        ("status", "call ncsc"),
        (CALLED, "2026-03-03 15:00:30"),
        ("Several Dates", "2026-03-02 15:00:30"),
        ("Several Dates", "2026-03-03 15:00:30"),
        (CALLED, ""),
        ("Several Dates", ""),
    ]
    assert [change.at for change in changes] == sorted(change.at for change in changes)


def test_refs_are_found_in_all_comments_whoever_wrote_them(
    rt: Rt, make_tracker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_tracker_api, "PAGE", 2)
    ticket_id = rt.create()
    rt.comment(ticket_id, REF_LINE.format("aaaaaaa1"), "text/html", who="connector")  # its field was never filled
    rt.comment(ticket_id, "Copied:\n> Inquiry connector, Step 2, ref aaaaaaa2 aaaaaaa3\n")
    file = {"FileName": "x.txt", "FileType": "text/plain", "FileContent": "aGFsbG8="}
    rt.comment(ticket_id, REF_LINE.format("aaaaaaa4"), "text/html", Attachments=[file])
    for _ in range(3):
        rt.comment(ticket_id, "Nothing of ours, é")
    tracker = make_tracker()
    tracker.edit(fetched(tracker, ticket_id), Edit(comment=REF_LINE.format("aaaaaaa5 aaaaaaa6")))
    expected = {f"aaaaaaa{number}" for number in range(1, 7)}
    assert fetched(tracker, ticket_id).refs == expected
    assert fetched(tracker, ticket_id, with_history=True).refs == expected
    assert fetched(make_tracker(who="staff"), ticket_id).refs == expected  # who does not see the field


def test_a_text_is_read_once(rt: Rt, tracker: RequestTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket_id = rt.create()
    rt.comment(ticket_id, REF_LINE.format("aaaaaaa1"), "text/html")
    asked = counted_pages(monkeypatch)
    for _ in range(2):
        assert fetched(tracker, ticket_id).refs == {"aaaaaaa1"}
    assert asked.count("attachments") == 1


def test_the_json_of_a_ticket_is_read_without_a_tracker(rt: Rt) -> None:
    ticket_id = rt.create(Receipt_Number="WAC2590123456")
    rt.put(ticket_id, Due="2026-04-02 17:00:00")
    ticket = read_ticket(rt.ticket(ticket_id), ["Receipt Number", CALLED], MARIAS_TIME)
    assert (ticket.id, ticket.status, ticket.closed) == (ticket_id, "New", False)
    assert ticket.fields == {"Receipt Number": "WAC2590123456", CALLED: None}
    assert ticket.due_on == date(2026, 4, 2)


# Many at once


def test_many_are_fetched_by_two_calls_or_three(rt: Rt, make_tracker: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search for the open ones, one for the others if there are any, and one for a hundred transactions."""
    ids = [rt.create(Receipt_Number="WAC2590123456") for _ in range(4)]
    tracker = make_tracker()
    for ticket_id in ids:
        tracker.edit(fetched(tracker, ticket_id), Edit(comment=REF_LINE.format("aaaaaaa1")))
    asked = counted_pages(monkeypatch)
    found = tracker.fetch_many(ids, with_history=True)
    assert [(ticket.id, set(ticket.refs)) for ticket in found.values() if ticket] == [
        (each, {"aaaaaaa1"}) for each in ids
    ]
    assert asked == ["tickets", "transactions"]
    rt.put(ids[0], Status="Closed")
    rt.comment(ids[1], REF_LINE.format("aaaaaaa2"), "text/html")
    rt.comment(ids[2], REF_LINE.format("aaaaaaa3"), "text/html")
    asked.clear()
    found = tracker.fetch_many(ids, with_history=True)
    assert [ticket is not None and ticket.closed for ticket in map(found.get, ids)] == [True, False, False, False]
    assert asked == ["tickets", "tickets", "transactions", "attachments"]


@pytest.mark.parametrize("with_history", [True, False])
def test_many_that_changed_a_lot_are_what_each_is_alone(
    rt: Rt, make_tracker: Make, monkeypatch: pytest.MonkeyPatch, with_history: bool
) -> None:
    monkeypatch.setattr(request_tracker_api, "PAGE", 8)
    tracker = make_tracker(fields=[CALLED, "Several Dates"])
    ids = [rt.create(NCSC_Called_At=AT) for _ in range(6)]
    for number, ticket_id in enumerate(ids):
        rt.fill(ticket_id, Several_Dates=AT)
        rt.comment(ids[-1 - number], REF_LINE.format(f"aaaaaaa{number}"), "text/html")
        rt.put(ticket_id, Status="Call NCSC", Due="2026-04-02 17:00:00")
        rt.fill(ticket_id, NCSC_Called_At=[])
    rt.put(ids[2], Status="Answered")
    found = tracker.fetch_many(ids, with_history=with_history)
    # Each has five transactions, one six: with its history, so many pages hold three.
    assert set(found) == set(ids[:3] if with_history else ids)
    assert_as_alone(tracker, found, with_history=with_history)


def assert_as_alone(tracker: RequestTracker, found: Mapping[str, Ticket | None], *, with_history: bool = True) -> None:
    for ticket_id, ticket in found.items():
        assert ticket is not None
        alone = fetched(tracker, ticket_id, with_history=with_history)
        assert replace(ticket, raw={}) == replace(alone, raw={})


def test_out_of_scope_among_many_is_what_was_deleted_merged_moved_or_never_made(rt: Rt, make_tracker: Make) -> None:
    tracker = make_tracker(scope=f"Queue = '{QUEUE}' OR Queue = 'Nowhere'")
    foreign = str(rt.call("POST", "ticket", who="root", json={"Queue": "Housekeeping", "Subject": "x"}).json()["id"])
    deleted, merged, kept, older = (rt.create() for _ in range(4))
    rt.put(deleted, "root", Status="deleted")
    rt.comment(kept, REF_LINE.format("aaaaaaa1"), "text/html")
    rt.put(merged, MergeInto=kept)
    rt.put(kept, MergeInto=older)
    outside = [foreign, deleted, merged, kept, "999999"]
    found = dict(tracker.fetch_many([*outside, older, "", "1 OR id > 0"], with_history=True))
    assert_as_alone(tracker, {older: found.pop(older)})
    assert found == dict.fromkeys(outside)


def test_a_long_history_among_many_is_left_out_and_holds_up_no_other(
    rt: Rt, make_tracker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_tracker_api, "PAGE", 4)
    ids = [rt.create() for _ in range(5)]
    long = ids[1]
    for number in range(4):
        rt.comment(long, REF_LINE.format(f"{number:08x}"), "text/html")
    rt.comment(ids[4], REF_LINE.format("aaaaaaa1"), "text/html")
    tracker = make_tracker()
    assert set(tracker.fetch_many(ids, with_history=True)) == {*ids} - {long}
    assert len(fetched(tracker, long).refs) == 4
    monkeypatch.setattr(request_tracker_api, "PAGE", 5)
    found = tracker.fetch_many(ids, with_history=True)
    assert set(found) == set(ids)
    assert_as_alone(tracker, found)


def test_comments_that_the_account_may_not_see_hide_no_others_among_many(
    rt: Rt, make_tracker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They leave gaps in the pages, and what is short because of that must not be taken for the end."""
    monkeypatch.setattr(request_tracker_api, "PAGE", 6)
    made = rt.call("POST", "ticket", who="root", json={"Queue": "Housekeeping", "Subject": "x"})
    hidden, seen, *others = [str(made.json()["id"]), *(rt.create() for _ in range(3))]
    for number in range(4):
        rt.comment(seen, REF_LINE.format(f"aaaaaaa{number}"), "text/html")
        rt.comment(hidden, "Nothing of ours", who="root")
    tracker = make_tracker(scope=f"id >= {hidden}", fields=[])
    found = tracker.fetch_many([hidden, seen, *others], with_history=True)
    assert set(found) == {hidden, seen, others[0]}
    assert_as_alone(tracker, found)
    for _ in range(2):
        rt.comment(hidden, "Nothing of ours", who="root")
    found = tracker.fetch_many([hidden, seen, *others], with_history=True)
    assert set(found) == {seen, others[0]}, "a page was all of what is hidden"
    assert_as_alone(tracker, found)


def test_a_hidden_comment_of_ours_is_not_overlooked_among_many(rt: Rt, make_tracker: Make) -> None:
    tracker = make_tracker("blind")
    said, silent = rt.create(), rt.create()
    tracker.edit(fetched(tracker, said), Edit(comment=REF_LINE.format("aaaaaaa1")))
    assert set(tracker.fetch_many([said, silent], with_history=False)) == {silent}


def test_a_ticket_of_a_queue_without_the_fields_is_left_out_among_many(rt: Rt, make_tracker: Make) -> None:
    made = rt.call("POST", "ticket", who="root", json={"Queue": "Housekeeping", "Subject": "Order toner"})
    lacking, whole = str(made.json()["id"]), rt.create()
    tracker = make_tracker(scope=f"id >= {lacking}")
    assert set(tracker.fetch_many([lacking, whole], with_history=True)) == {whole}


# Searching


def test_tickets_changed_since_a_moment(rt: Rt, make_tracker: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_tracker_api, "PAGE", 2)
    before = rt.create()
    first = rt.create()
    make = partial(make_tracker, scope=f"Queue = '{QUEUE}' AND id >= {before}")
    stamp = fetched(make_tracker(), first).updated_at
    assert stamp is not None
    ids = [first, *(rt.create() for _ in range(4))]
    rt.put(ids[-1], Status="Closed")
    for who in ("connector", "staff"):  # of whom one has another time zone
        seen = {each.ticket_id: each for each in make(who).changed_since(stamp)}
        assert set(ids) <= set(seen)
        assert seen[first].updated_at == stamp
        assert seen[first].key == first
        later = [each.ticket_id for each in make(who).changed_since(datetime.now(UTC) + timedelta(hours=1))]
        assert later == []
    open_ones = [each.ticket_id for each in make().changed_since(None)]
    assert {before, *ids[:-1]} <= set(open_ones)
    assert ids[-1] not in open_ones
    assert len(open_ones) == len(set(open_ones))


def test_a_change_while_the_list_is_read_hides_nothing(
    rt: Rt, tracker: RequestTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_tracker_api, "PAGE", 2)
    ids = [rt.create() for _ in range(5)]
    seen = []
    for sighting in tracker.changed_since(datetime.now(UTC) - timedelta(minutes=1)):
        seen.append(sighting.ticket_id)
        rt.put(ids[0], Subject=f"Case {len(seen)}")
    assert set(ids) <= set(seen)


def test_tickets_that_the_account_may_not_see_hide_no_others(
    rt: Rt, uncounted: str, make_tracker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_tracker_api, "PAGE", 2)
    latest = rt.latest()
    seen = [rt.create()]
    for _ in range(7):
        assert rt.call("POST", "ticket", who="root", json={"Queue": "General", "Subject": "x"}).status_code == 201
    seen.append(rt.create())
    query = {"query": f"id > {seen[0]} AND id < {seen[1]}"}
    headers = {"Authorization": f"token {rt.tokens['connector']}"}
    page = requests.get(f"{uncounted}/REST/2.0/tickets", params=query, headers=headers, timeout=30).json()
    assert (page["count"], page["total"], page["pages"]) == (0, None, None)
    tracker = make_tracker(url=uncounted, scope=f"id > {latest}")
    for moment in (None, datetime.now(UTC) - timedelta(minutes=5)):
        assert [each.ticket_id for each in tracker.changed_since(moment)] == seen
    assert fetched(tracker, seen[1]).id == seen[1]


def test_where_rt_counts_the_last_page_is_known(rt: Rt, make_tracker: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_tracker_api, "PAGE", 2)
    ids = [rt.create() for _ in range(4)]
    asked = counted_pages(monkeypatch)
    tracker = make_tracker(scope=f"Queue = '{QUEUE}' AND id >= {ids[0]}")
    assert [each.ticket_id for each in tracker.changed_since(None)] == ids
    assert asked == ["tickets", "tickets"]


def counted_pages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that pages are asked of from now on."""
    asked: list[str] = []
    listing = RequestTrackerApi.page

    def counted(api: RequestTrackerApi, path: str, **more: Any) -> Page:
        asked.append(path.partition("?")[0])
        return listing(api, path, **more)

    monkeypatch.setattr(RequestTrackerApi, "page", counted)
    return asked


def test_a_wrong_scope_is_the_admins(make_tracker: Make) -> None:
    tracker = make_tracker(scope="Nothing = 'x'")
    with pytest.raises(Misconfigured, match=r"Unknown field: Nothing$"):
        tracker.fetch("1", with_history=False)
    with pytest.raises(Misconfigured):
        list(tracker.changed_since(None))


# Writing


def test_a_ticket_is_moved(rt: Rt, tracker: RequestTracker) -> None:
    ticket_id = rt.create()
    tracker.edit(fetched(tracker, ticket_id), Edit(status="call ncsc"))
    assert rt.status(ticket_id) == "Call NCSC"
    tracker.edit(fetched(tracker, ticket_id), Edit(status="Call NCSC"))
    assert len(rt.rows(ticket_id, "Status")) == 1


def test_a_status_that_cannot_be_reached_names_those_that_can(rt: Rt, tracker: RequestTracker) -> None:
    ticket_id = rt.create()
    with pytest.raises(NoTransition) as refusal:
        tracker.edit(fetched(tracker, ticket_id), Edit(status="Nowhere"))
    assert "E-mailed Headquarters" in refusal.value.reachable
    assert 'from "New" to "Nowhere"' in refusal.value.message
    assert rt.status(ticket_id) == "New"


@pytest.mark.parametrize("wanted", ["Call NCSC", "Nowhere"])
def test_who_moved_the_ticket_since_it_was_fetched_wins(rt: Rt, tracker: RequestTracker, wanted: str) -> None:
    ticket_id = rt.create()
    ticket = fetched(tracker, ticket_id)
    rt.put(ticket_id, Status="Headquarters Overdue")
    tracker.edit(ticket, Edit(status=wanted))
    assert rt.status(ticket_id) == "Headquarters Overdue"
    assert len(rt.rows(ticket_id, "Status")) == 1


@pytest.mark.parametrize("status", ["Headquarters Overdue", "Closed"])
def test_who_moves_the_ticket_just_before_the_connector_wins(
    rt: Rt, tracker: RequestTracker, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    ticket_id = rt.create()
    ticket = fetched(tracker, ticket_id)
    before_puts(monkeypatch, partial(rt.put, ticket_id, Status=status))
    tracker.edit(ticket, Edit(status="Call NCSC"))
    assert rt.status(ticket_id) == status
    assert len(rt.rows(ticket_id, "Status")) == 1


def test_another_change_just_before_does_not_keep_the_ticket_from_being_moved(
    rt: Rt, tracker: RequestTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket_id = rt.create()
    before_puts(monkeypatch, *[partial(rt.comment, ticket_id, "Some words")] * 2)
    tracker.edit(fetched(tracker, ticket_id), Edit(status="Call NCSC"))
    assert rt.status(ticket_id) == "Call NCSC"


def test_a_ticket_that_never_stands_still_is_moved_later(
    rt: Rt, tracker: RequestTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket_id = rt.create()
    before_puts(monkeypatch, *[partial(rt.comment, ticket_id, "Some words")] * 3)
    with pytest.raises(Unavailable) as failure:
        tracker.edit(fetched(tracker, ticket_id), Edit(status="Call NCSC"))
    assert not failure.value.outcome_unknown
    assert rt.status(ticket_id) == "New"


def before_puts(monkeypatch: pytest.MonkeyPatch, *acts: Callable[[], object]) -> None:
    """Somebody else is faster: before each PUT, one of these is done."""
    change, left = RequestTrackerApi.change, iter(acts)

    def overtaken(api: RequestTrackerApi, method: str, path: str, body: dict[str, Any], **more: Any) -> str:
        next(left, lambda: None)()
        return change(api, method, path, body, **more)

    monkeypatch.setattr(RequestTrackerApi, "change", overtaken)


@pytest.mark.parametrize(
    "edit", [Edit(status="Call NCSC"), Edit(comment="<p>x</p>"), Edit(due_on=DAY), Edit(moments={CALLED: AT})]
)
def test_a_ticket_that_somebody_closed_since_it_was_fetched_takes_nothing(
    rt: Rt, tracker: RequestTracker, edit: Edit
) -> None:
    ticket_id = rt.create()
    ticket = fetched(tracker, ticket_id)
    rt.put(ticket_id, Status="Closed")
    before = rt.latest_change(ticket_id)
    with pytest.raises(Refused, match="Somebody closed the ticket"):
        tracker.edit(ticket, edit)
    assert rt.latest_change(ticket_id) == before
    tracker.edit(fetched(tracker, ticket_id), edit)  # as it is now, it was closed before


@pytest.mark.parametrize("edit", [Edit(status="Call NCSC"), Edit(comment="<p>x</p>")])
def test_a_ticket_that_left_the_scope_since_it_was_fetched_takes_nothing(
    rt: Rt, make_tracker: Make, edit: Edit
) -> None:
    tracker = make_tracker(scope=f"Queue = '{QUEUE}' AND Status != 'Separate Route'")
    deleted, merged, kept, left = (rt.create() for _ in range(4))
    tickets = {ticket_id: fetched(tracker, ticket_id) for ticket_id in (deleted, merged, left)}
    rt.put(deleted, "root", Status="deleted")
    rt.put(merged, MergeInto=kept)
    rt.put(left, Status="Separate Route")
    before = [rt.latest_change(ticket_id) for ticket_id in (deleted, kept, left)]
    for ticket in tickets.values():
        with pytest.raises(TicketGone):
            tracker.edit(ticket, edit)
    assert [rt.latest_change(ticket_id) for ticket_id in (deleted, kept, left)] == before


def test_a_due_date_is_the_offices_day(rt: Rt, make_tracker: Make) -> None:
    tracker = make_tracker()
    ticket_id = rt.create()
    for _ in range(2):
        tracker.edit(fetched(tracker, ticket_id), Edit(due_on=date(2026, 4, 2)))
        assert fetched(tracker, ticket_id).due_on == date(2026, 4, 2)
    assert rt.ticket(ticket_id)["Due"] == "2026-04-02T21:00:00Z"


def test_a_moment_is_kept_to_the_second_and_is_not_erased_when_written_again(rt: Rt, make_tracker: Make) -> None:
    tracker = make_tracker(fields=[CALLED, "Several Dates", "Note", "Date Filed"])
    ticket_id = rt.create()
    late = datetime(2026, 3, 3, 3, 30, 30, 250_000, tzinfo=UTC)  # the evening of March 2 in New York
    expected = {
        CALLED: "2026-03-03T03:30:30Z",
        "Several Dates": "2026-03-03T03:30:30Z",
        "Note": "2026-03-02 22:30:30",
        "Date Filed": "2026-03-02",
    }
    for _ in range(2):
        for name in expected:
            tracker.edit(fetched(tracker, ticket_id), Edit(moments={name: late}))
        assert fetched(tracker, ticket_id).fields == expected
    stale = Ticket(id=ticket_id, key="", status="New", closed=False, fields={}, raw={"CustomFields": []})
    with pytest.raises(Misconfigured):
        tracker.edit(stale, Edit(moments={CALLED: late}))


def test_another_moment_replaces_the_one_that_stands_there(rt: Rt, make_tracker: Make) -> None:
    tracker = make_tracker(fields=[CALLED, "Several Dates"])
    ticket_id = rt.create()
    for at in (AT, AT + timedelta(days=1)):
        tracker.edit(fetched(tracker, ticket_id), Edit(moments={CALLED: at, "Several Dates": at}))
    assert set(fetched(tracker, ticket_id).fields.values()) == {"2026-03-03T15:00:30Z"}


def test_a_moment_into_a_list_is_refused(rt: Rt, make_tracker: Make) -> None:
    tracker = make_tracker(fields=["Service Center"])
    ticket_id = rt.create(Service_Center="Texas")
    with pytest.raises(Refused, match='of the kind "Select"'):
        tracker.edit(fetched(tracker, ticket_id), Edit(moments={"Service Center": AT}))
    assert rt.values(ticket_id, "Service Center") == ["Texas"]


def test_without_a_right_on_the_field_itself_a_moment_is_written_and_compared(rt: Rt, make_tracker: Make) -> None:
    tracker = make_tracker("blind", fields=[CALLED, "Service Center"])
    ticket_id = rt.create()
    tracker.edit(fetched(tracker, ticket_id), Edit(moments={CALLED: AT}))
    assert fetched(tracker, ticket_id).fields[CALLED] == "2026-03-02T15:00:30Z"
    with pytest.raises(Refused, match='did not keep "Service Center"'):
        tracker.edit(fetched(tracker, ticket_id), Edit(moments={"Service Center": AT}))


def test_an_account_with_another_time_zone_is_found_out(rt: Rt, make_tracker: Make) -> None:
    tracker = make_tracker("staff")
    ticket_id = rt.create()
    with pytest.raises(Misconfigured, match="time zone"):
        tracker.edit(fetched(tracker, ticket_id), Edit(moments={CALLED: AT}))


def test_a_comment_is_a_comment_and_no_reply(rt: Rt, tracker: RequestTracker) -> None:
    ticket_id = rt.create()
    body = f"<p><strong>é &lt;</strong></p><pre>a  b</pre>{REF_LINE.format('aaaaaaa1')}"
    tracker.edit(fetched(tracker, ticket_id), Edit(comment=body))
    assert rt.comments(ticket_id) == [body]
    assert rt.rows(ticket_id, "Correspond") == []
    [row] = rt.rows(ticket_id, "Comment")
    assert [each["values"] for each in row["CustomFields"]] == [["aaaaaaa1"]]


def test_a_comment_with_many_refs_keeps_them_all(rt: Rt, tracker: RequestTracker) -> None:
    ticket_id = rt.create()
    refs = [f"{number:08x}" for number in range(40)]
    tracker.edit(fetched(tracker, ticket_id), Edit(comment=REF_LINE.format(" ".join(refs))))
    assert fetched(tracker, ticket_id).refs == set(refs)


def test_an_account_that_cannot_see_comments_is_found_out(rt: Rt, make_tracker: Make) -> None:
    tracker = make_tracker("blind")
    ticket_id = rt.create()
    tracker.edit(fetched(tracker, ticket_id), Edit(comment=REF_LINE.format("aaaaaaa1")))
    with pytest.raises(Misconfigured, match="ShowTicketComments"):
        tracker.fetch(ticket_id, with_history=False)


def test_all_parts_of_an_edit(rt: Rt, tracker: RequestTracker) -> None:
    ticket_id = rt.create()
    whole = Edit(status="Call NCSC", due_on=date(2026, 4, 2), moments={CALLED: AT}, comment=REF_LINE.format("aaaaaaa1"))
    tracker.edit(fetched(tracker, ticket_id), whole)
    ticket = fetched(tracker, ticket_id)
    assert (ticket.status, ticket.due_on, ticket.fields[CALLED]) == (
        "Call NCSC",
        date(2026, 4, 2),
        "2026-03-02T15:00:30Z",
    )
    assert ticket.refs == {"aaaaaaa1"}
    assert tracker.atomic is False


# Failures


def test_a_ticket_that_has_gone_meanwhile(rt: Rt, tracker: RequestTracker) -> None:
    ghost = Ticket(id="999999", key="999999", status="New", closed=False, fields={})
    with pytest.raises(TicketGone):
        tracker.edit(ghost, Edit(status="Call NCSC"))
    with pytest.raises(TicketGone):
        tracker.edit(ghost, Edit(comment="x"))


def test_a_token_that_is_not_known(make_tracker: Make) -> None:
    for token in ("1-2-3", "1-27-" + "0" * 32, "", " \n"):
        tracker = make_tracker(token=lambda token=token: token)
        with pytest.raises(AccessRefused):
            tracker.fetch("1", with_history=False)
        with pytest.raises(AccessRefused):
            list(tracker.changed_since(None))


def test_an_address_where_no_request_tracker_is(rt: Rt, make_tracker: Make) -> None:
    with pytest.raises(Unavailable, match="answered with a web page"):
        make_tracker(url=f"{rt.url}/elsewhere").fetch("1", with_history=False)
    with pytest.raises(Unavailable, match="cannot be reached") as failure:
        make_tracker(url="http://127.0.0.1:9").fetch("1", with_history=False)
    assert not failure.value.outcome_unknown
