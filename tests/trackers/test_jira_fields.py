"""Which field the mapping means, when names are unclear and when they change."""

from datetime import UTC, datetime, timedelta

import pytest

from connector.practice.fields import Option
from connector.trackers.jira_fields import JiraField, find_field
from connector.trackers.port import Misconfigured, Refused
from tests.trackers.sites import START, PracticeSite

FIELDS = [
    JiraField("customfield_1", "Receipt Number", "string"),
    JiraField("customfield_2", "receipt number", "string"),
    JiraField("customfield_3", "Receipt  NUMBER ", "string"),
    JiraField("duedate", "Due date", "date"),
    JiraField("customfield_4", "duedate", "date"),
]


@pytest.mark.parametrize(
    ("wanted", "field_id"),
    [
        ("customfield_2", "customfield_2"),
        ("Receipt Number", "customfield_1"),
        ("receipt number", "customfield_2"),
        ("duedate", "duedate"),
        ("Due Date", "duedate"),
    ],
)
def test_an_id_comes_before_a_name_and_a_name_as_written_before_others(wanted: str, field_id: str) -> None:
    found = find_field(wanted, FIELDS)
    assert found is not None
    assert found.id == field_id


def test_a_name_that_only_fits_in_another_case_must_be_the_only_one() -> None:
    with pytest.raises(Misconfigured, match="customfield_1, customfield_2, customfield_3"):
        find_field("RECEIPT NUMBER", FIELDS)
    assert find_field("Receipt", FIELDS) is None


def test_two_fields_of_one_name_are_refused_with_their_ids(either: PracticeSite) -> None:
    ticket_id = either.create("One")
    one, other = either.world.field_named("Receipt Number"), either.world.add_field("Receipt Number", "text")
    with pytest.raises(Misconfigured, match=f"{one.id}, {other.id}"):
        either.tracker().fetch(ticket_id, with_history=False)
    assert either.tracker(fields=[other.id]).fetch(ticket_id, with_history=False) is not None


@pytest.mark.parametrize("wanted", ["Reciept Number", "customfield_99999"])
def test_a_field_that_is_not_there_is_looked_for_once_more(either: PracticeSite, wanted: str) -> None:
    ticket_id = either.create("One")
    tracker = either.tracker(fields=["Form Type", wanted])
    with pytest.raises(Misconfigured, match=wanted) as mistake:
        tracker.fetch(ticket_id, with_history=False)
    assert ('Did you mean "Receipt Number"' in mistake.value.message) is (wanted == "Reciept Number")
    assert [path for _, path in either.calls()].count("field") == 2


def test_a_field_that_was_made_since_is_found(either: PracticeSite) -> None:
    ticket_id = either.create("One")
    tracker = either.tracker(fields=["Form Type", "Courier"])
    with pytest.raises(Misconfigured):
        tracker.fetch(ticket_id, with_history=False)
    either.world.add_field("Courier", "text")
    assert tracker.fetch(ticket_id, with_history=False) is not None


def test_a_field_made_anew_under_its_name_is_found_when_jira_refuses_the_old_one(either: PracticeSite) -> None:
    tracker = either.tracker()
    ticket = tracker.fetch(either.create("One"), with_history=False)
    assert ticket is not None
    old = either.world.field_named("NCSC Called At")
    del either.world.fields[old.id]
    new = either.world.add_field("NCSC Called At", "datetime")
    tracker.set_moment(ticket, "NCSC Called At", START)
    assert either.issue(ticket.id).values[new.id] == START


def test_a_field_made_anew_under_its_name_is_found_when_tickets_lack_the_old_one(either: PracticeSite) -> None:
    ticket_id = either.create("One", receipt="WAC2590123456")
    tracker = either.tracker()
    assert tracker.fetch(ticket_id, with_history=False) is not None
    old = either.world.field_named("Receipt Number")
    del either.world.fields[old.id]
    new = either.world.add_field("Receipt Number", "text")
    either.issue(ticket_id).values[new.id] = "EAC2490087654"
    either.clock.advance(minutes=11)
    ticket = tracker.fetch(ticket_id, with_history=False)
    assert ticket is not None
    assert ticket.fields["Receipt Number"] == "EAC2490087654"


def test_a_field_that_was_renamed_still_works(either: PracticeSite) -> None:
    tracker = either.tracker(fields=["customfield_10050"])
    ticket_id = either.create("One", receipt="WAC2590123456")
    ticket = tracker.fetch(ticket_id, with_history=False)
    assert ticket is not None
    assert ticket.fields == {"customfield_10050": "WAC2590123456"}


@pytest.mark.parametrize("field", ["Promised Days", "Service Center", "Protected", "status"])
def test_a_moment_goes_into_no_field_of_another_kind(either: PracticeSite, field: str) -> None:
    tracker = either.tracker()
    ticket = tracker.fetch(either.create("One"), with_history=False)
    assert ticket is not None
    with pytest.raises(Refused, match="cannot be written"):
        tracker.set_moment(ticket, field, START)


def test_values_of_every_kind_are_read(either: PracticeSite) -> None:
    called = datetime(2026, 3, 1, 15, 15, tzinfo=UTC)
    issue = either.world.add_issue(
        "CASE",
        summary="One",
        Promised_Days=30,
        Service_Center="Texas Service Center",
        Protected=["Yes"],
        NCSC_Called_At=called,
    )
    assert isinstance(issue.values[either.world.field_named("Service Center").id], Option)
    fields = ["Promised Days", "Service Center", "Protected", "NCSC Called At", "Answered At", "reporter", "labels"]
    ticket = either.tracker(fields=fields).fetch(str(issue.id), with_history=False)
    assert ticket is not None
    assert ticket.fields["Promised Days"] == 30
    assert ticket.fields["Service Center"] == "Texas Service Center"
    assert ticket.fields["Protected"] == ["Yes"]
    assert datetime.fromisoformat(str(ticket.fields["NCSC Called At"])) == called
    assert ticket.fields["Answered At"] is None
    assert ticket.fields["reporter"] == "Dana Whitfield"
    assert ticket.fields["labels"] == []


def test_a_history_that_comes_cut_is_read_page_by_page(either: PracticeSite) -> None:
    ticket_id = either.create("One")
    for number in range(230):
        either.clock.advance(minutes=1)
        either.edit_receipt(ticket_id, f"WAC{number:010}")
    ticket = either.tracker().fetch(ticket_id, with_history=True)
    assert ticket is not None
    assert [change.to for change in ticket.history] == [f"WAC{number:010}" for number in range(230)]
    assert ticket.history[0].at == START + timedelta(minutes=1)


def test_a_custom_field_called_status_is_not_the_status(either: PracticeSite) -> None:
    either.world.add_field("status", "text", field_id="customfield_10900")
    ticket_id = either.create("One")
    either.world.edit(either.issue(ticket_id), {"customfield_10900": "Done"}, either.world.human)
    ticket = either.tracker(fields=["customfield_10900"]).fetch(ticket_id, with_history=True)
    assert ticket is not None
    assert [(change.field, change.to) for change in ticket.history] == [("customfield_10900", "Done")]
