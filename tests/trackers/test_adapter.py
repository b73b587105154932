"""What is Jira's own in reading, on Cloud, on Data Center and on jira820. What every tracker does: tests/contract."""

from datetime import date

from tests.trackers.sites import Site


def test_fields_may_be_named_by_their_ids_and_in_any_case(site: Site) -> None:
    ticket_id = site.create("One", receipt="WAC2590123456", filed=date(2025, 6, 2))
    tracker = site.tracker(fields=["customfield_10050", "date filed", "duedate"])
    ticket = tracker.fetch(ticket_id, with_history=False)
    assert ticket is not None
    assert ticket.fields == {"customfield_10050": "WAC2590123456", "date filed": "2025-06-02", "duedate": None}
    assert ticket.labels["customfield_10050"] == "Receipt Number"
    assert ticket.labels["date filed"] == "Date Filed"


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
