"""The adapter's suite: what the port promises, on Cloud, on Data Center and on jira820."""

from datetime import UTC, date, datetime, timedelta

import pytest

from connector.trackers.port import NoTransition, Ticket, TicketGone
from tests.trackers.sites import Site, need


def fetched(site: Site, ticket_id: str, *, with_history: bool = False) -> Ticket:
    ticket = site.tracker().fetch(ticket_id, with_history=with_history)
    assert ticket is not None
    return ticket


def test_a_ticket_is_fetched_with_its_fields_by_the_names_of_the_mapping(site: Site) -> None:
    ticket_id = site.create("One", receipt="WAC2590123456", filed=date(2025, 6, 2))
    ticket = fetched(site, ticket_id)
    assert ticket.id == ticket_id
    assert ticket.key.startswith("CASE-")
    assert (ticket.status, ticket.closed, ticket.due_on) == ("New", False, None)
    assert ticket.fields == {
        "Receipt Number": "WAC2590123456",
        "Date Filed": "2025-06-02",
        "NCSC Called At": None,
    }
    assert ticket.labels["Receipt Number"] == "Receipt Number"
    assert ticket.updated_at is not None
    assert ticket.updated_at.tzinfo is UTC
    assert ticket.history == ()


def test_fields_may_be_named_by_their_ids_and_in_any_case(site: Site) -> None:
    ticket_id = site.create("One", receipt="WAC2590123456", filed=date(2025, 6, 2))
    tracker = site.tracker(fields=["customfield_10050", "date filed", "duedate"])
    ticket = tracker.fetch(ticket_id, with_history=False)
    assert ticket is not None
    assert ticket.fields == {"customfield_10050": "WAC2590123456", "date filed": "2025-06-02", "duedate": None}
    assert ticket.labels["customfield_10050"] == "Receipt Number"
    assert ticket.labels["date filed"] == "Date Filed"


def test_a_ticket_out_of_scope_is_none(site: Site) -> None:
    assert site.tracker().fetch(site.foreign(), with_history=True) is None


def test_a_scope_with_or_is_taken_as_a_whole(site: Site) -> None:
    ids = [site.create(f"Number {number}") for number in range(4)]
    tracker = site.tracker(scope="project = CASE OR project = CASE")
    for ticket_id in ids:
        ticket = tracker.fetch(ticket_id, with_history=False)
        assert ticket is not None
        assert ticket.id == ticket_id
    assert tracker.fetch(site.foreign(), with_history=False) is None
    site.move(ids[0], "Done")
    open_ones = {sighting.ticket_id for sighting in tracker.changed_since(None)}
    assert set(ids[1:]) <= open_ones
    assert not {ids[0], site.foreign()} & open_ones


def test_a_ticket_that_left_the_scope_is_none(site: Site) -> None:
    ticket_id = site.create("One")
    tracker = site.tracker(scope="project = CASE AND status = New")
    assert tracker.fetch(ticket_id, with_history=False) is not None
    site.move(ticket_id, "Call NCSC")
    assert tracker.fetch(ticket_id, with_history=False) is None


@pytest.mark.parametrize("ticket_id", ["", "CASE-1", "1 OR id > 0", "../myself", "١٢", "1" * 20])
def test_what_is_no_id_never_reaches_a_url_or_jql(site: Site, ticket_id: str) -> None:
    with pytest.raises(TicketGone):
        site.tracker().fetch(ticket_id, with_history=False)


def test_the_history_of_the_status_is_told_oldest_first(site: Site) -> None:
    ticket_id = site.create("One")
    site.move(ticket_id, "Call NCSC")
    site.move(ticket_id, "Awaiting NCSC")
    history = fetched(site, ticket_id, with_history=True).history
    assert [(change.field, change.to) for change in history] == [
        ("status", "Call NCSC"),
        ("status", "Awaiting NCSC"),
    ]
    assert all(change.at.tzinfo is UTC for change in history)


def test_the_history_of_mapped_fields_is_told_by_the_names_of_the_mapping(site: Site) -> None:
    need(site, "history of fields")
    ticket_id = site.create("One", receipt="WAC25")
    site.edit_receipt(ticket_id, "WAC2590123456")
    site.edit_receipt(ticket_id, "")
    ticket = site.tracker(fields=["customfield_10050"]).fetch(ticket_id, with_history=True)
    assert ticket is not None
    assert [(change.field, change.to) for change in ticket.history] == [
        ("customfield_10050", "WAC2590123456"),
        ("customfield_10050", ""),
    ]


def test_a_comment_is_posted_once_and_its_ref_is_found_again(site: Site) -> None:
    ticket_id = site.create("One")
    tracker = site.tracker()
    assert fetched(site, ticket_id).refs == frozenset()
    body = "*Ready to call*\nInquiry connector, Step 1, ref 7c3e19a2"
    tracker.post_comment(fetched(site, ticket_id), body)
    assert site.bodies(ticket_id) == [body]
    assert fetched(site, ticket_id).refs == frozenset({"7c3e19a2"})


def test_refs_are_found_on_every_page_of_comments(site: Site) -> None:
    ticket_id = site.create("One")
    ticket, tracker = fetched(site, ticket_id), site.tracker(internal_comments=False)
    for number in range(205):
        tracker.post_comment(ticket, f"{number}\nInquiry connector, Step 1, ref {number:08x}")
    assert fetched(site, ticket_id).refs == frozenset(f"{number:08x}" for number in range(205))


def test_a_ticket_is_moved_to_a_status_by_its_name(site: Site) -> None:
    ticket_id = site.create("One")
    tracker = site.tracker()
    tracker.move(fetched(site, ticket_id), "call ncsc")
    assert fetched(site, ticket_id).status == "Call NCSC"
    tracker.move(fetched(site, ticket_id), "Done")
    ticket = fetched(site, ticket_id)
    assert (ticket.status, ticket.closed) == ("Done", True)
    tracker.move(ticket, "DONE")
    assert len(fetched(site, ticket_id, with_history=True).history) == 2


def test_a_status_that_cannot_be_reached_is_told_with_those_that_can(site: Site) -> None:
    ticket_id = site.create("One")
    with pytest.raises(NoTransition, match=r"Reachable: .*Call NCSC") as refusal:
        site.tracker().move(fetched(site, ticket_id), "Archived")
    assert "Call NCSC" in refusal.value.reachable
    assert "New" not in refusal.value.reachable


def test_the_due_date_is_set_and_read(site: Site) -> None:
    ticket_id = site.create("One")
    site.tracker().set_due(fetched(site, ticket_id), date(2026, 4, 23))
    assert fetched(site, ticket_id).due_on == date(2026, 4, 23)


def test_a_moment_is_written_as_each_kind_of_field_takes_it(site: Site) -> None:
    ticket_id = site.create("One")
    tracker, ticket = site.tracker(), fetched(site, ticket_id)
    late = datetime(2026, 4, 2, 2, 5, 30, tzinfo=UTC)  # still April 1 in New York
    for field in ("NCSC Called At", "Date Filed", "Receipt Number"):
        tracker.set_moment(ticket, field, late)
    fields = fetched(site, ticket_id).fields
    assert datetime.fromisoformat(str(fields["NCSC Called At"])) == late
    assert fields["Date Filed"] == "2026-04-01"
    assert fields["Receipt Number"] == "2026-04-01 22:05:30-04:00"


def test_changes_are_found_and_closed_tickets_are_not_among_the_open_ones(site: Site) -> None:
    still, closed = site.create("Open"), site.create("Closed")
    site.move(closed, "Done")
    tracker = site.tracker()
    now = fetched(site, still).updated_at
    assert now is not None
    found = {sighting.ticket_id: sighting for sighting in tracker.changed_since(now)}
    assert {still, closed} <= set(found)
    assert site.foreign() not in found
    assert found[still].key == fetched(site, still).key
    assert found[still].updated_at == now
    open_ones = {sighting.ticket_id for sighting in tracker.changed_since(None)}
    assert still in open_ones
    assert closed not in open_ones
    assert site.foreign() not in open_ones
    assert not list(tracker.changed_since(now + timedelta(days=2)))


def test_every_page_of_a_search_is_read_and_each_ticket_told_once(site: Site) -> None:
    wanted = {site.create(f"Number {number}") for number in range(230)}
    told = [sighting.ticket_id for sighting in site.tracker().changed_since(None)]
    assert wanted <= set(told)
    assert len(told) == len(set(told))
