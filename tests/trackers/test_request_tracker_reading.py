"""From Request Tracker's JSON to a Ticket."""

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.trackers.port import Change, Misconfigured
from connector.trackers.request_tracker_reading import (
    CustomField,
    find_fields,
    history,
    lacking,
    moment,
    read_ticket,
    refs_in_field,
)
from connector.trackers.request_tracker_setup import LIFECYCLE, STATUSES

REPOSITORY = Path(__file__).parents[2]
CONFIG = (REPOSITORY / "deploy" / "request-tracker" / "inquiry-connector.pm").read_text(encoding="utf-8")
EXAMPLE = (REPOSITORY / "field_mappings" / "request-tracker.example.yaml").read_text(encoding="utf-8")
CALLED = "NCSC Called At"


def ticket_json(*fields: tuple[str, str, Any], **more: Any) -> dict[str, Any]:
    values = [{"id": field_id, "name": name, "values": values} for field_id, name, values in fields]
    return {"id": 7, "Status": "Call NCSC", "Due": "1970-01-01T00:00:00Z", "CustomFields": values} | more


def row(number: int, kind: str, new: str, old: str = "", field: str = "2") -> dict[str, Any]:
    at = f"2026-03-02T15:00:0{number}Z"
    return {"id": str(number), "Type": kind, "Field": field, "OldValue": old, "NewValue": new, "Created": at}


def second(number: int, microsecond: int = 0) -> datetime:
    return datetime(2026, 3, 2, 15, 0, number, microsecond, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "plain"),
    [
        ([], None),
        ([None], None),
        (None, None),
        ("text", None),
        ([""], None),
        (["1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"], None),
        (["1970-01-01"], None),
        (["1969-12-31"], None),
        ([{"filename": "x.png"}], None),
        (["2026-03-02T15:00:00Z"], "2026-03-02T15:00:00Z"),
        ([30], "30"),
        (["a", "b"], ["a", "b"]),
        (["1970-01-01T00:00:00Z", "2026-03-02T15:00:00Z"], "2026-03-02T15:00:00Z"),
    ],
)
def test_values_are_read_without_their_wrapping(values: Any, plain: Any) -> None:
    assert read_ticket(ticket_json(("2", CALLED, values)), [CALLED]).fields == {CALLED: plain}


@given(st.lists(st.sampled_from("ab"), max_size=4), st.sets(st.sampled_from(["a", "A", "b", "c", "customfield_1"])))
def test_what_is_lacking_is_what_cannot_be_found(names: list[str], wanted: set[str]) -> None:
    raw = ticket_json(*((str(number), name, []) for number, name in enumerate(names)))

    def is_found(name: str) -> bool:
        try:
            return name in find_fields(raw, [name])
        except Misconfigured:
            return False

    assert lacking(raw, wanted) == {name for name in wanted if not is_found(name)}


def test_a_due_date_is_a_day_of_the_office() -> None:
    raw = ticket_json(Due="2026-04-03T01:00:00Z")
    assert read_ticket(raw, [], ZoneInfo("America/Los_Angeles")).due_on == date(2026, 4, 2)
    assert read_ticket(raw, []).due_on == date(2026, 4, 3)
    assert read_ticket(ticket_json(), []).due_on is None


@pytest.mark.parametrize(
    ("status", "closed"), [("Answered", True), ("resolved", True), ("New", False), ("open", False)]
)
def test_whether_a_ticket_of_a_file_is_closed(status: str, closed: bool) -> None:
    assert read_ticket(ticket_json(Status=status), []).closed is closed


@pytest.mark.parametrize("raw", [[], "x", {}, {"id": 7}, {"message": "Not Found"}])
def test_what_is_no_ticket_is_told(raw: Any) -> None:
    with pytest.raises(Misconfigured, match="not a ticket"):
        read_ticket(raw, [CALLED])


def test_fields_are_found_by_name_in_any_case_or_by_id() -> None:
    raw = ticket_json(("2", CALLED, ["x"]), ("3", "Route", []))
    found = find_fields(raw, [CALLED, "ncsc  called at", "customfield_2", "CustomField_3"])
    assert [field.id for field in found.values()] == ["2", "2", "2", "3"]


def test_a_name_that_two_fields_carry_is_not_guessed() -> None:
    raw = ticket_json(("2", CALLED, []), ("12", CALLED, []), ("3", "Route", []), ("4", "route", []))
    with pytest.raises(Misconfigured, match="customfield_12, customfield_2"):
        find_fields(raw, [CALLED])
    assert find_fields(raw, ["Route"])["Route"].id == "3"
    with pytest.raises(Misconfigured, match="customfield_3, customfield_4"):
        find_fields(raw, ["ROUTE"])


def test_history_of_a_single_value() -> None:
    rows = [
        row(1, "Status", "call ncsc", field="Status"),
        row(2, "CustomField", "B", "A"),
        row(3, "CustomField", "1970-01-01 00:00:00", "B"),
        row(4, "CustomField", "x", field="99"),
        row(5, "Comment", ""),
    ]
    assert list(history(rows, {CALLED: CustomField("2", CALLED)})) == [
        Change("status", "call ncsc", second(1)),
        Change(CALLED, "B", second(2)),
        Change(CALLED, "", second(3)),
    ]


def test_history_of_several_values_in_which_the_old_one_ends_after_the_new_one() -> None:
    rows = [
        row(1, "CustomField", "A"),
        row(2, "CustomField", "B"),
        row(3, "CustomField", "", "A"),
        row(4, "CustomField", "", "B"),
    ]
    changes = history(rows, {CALLED: CustomField("2", CALLED)})
    assert [(change.to, change.at.second) for change in changes] == [("A", 1), ("B", 2), ("", 4)]


def test_a_value_from_the_tickets_creation_is_emptied_too() -> None:
    assert [change.to for change in history([row(1, "CustomField", "", "A")], {CALLED: CustomField("2", CALLED)})] == [
        ""
    ]


def test_what_happened_in_one_second_keeps_its_order() -> None:
    rows = [row(1, "Status", "a"), row(1, "CustomField", "", "A"), row(1, "Status", "b"), row(2, "Status", "c")]
    moments = [change.at for change in history(rows, {CALLED: CustomField("2", CALLED)})]
    assert moments == [second(1), second(1, 1), second(1, 2), second(2)]


def test_refs_of_a_transactions_field() -> None:
    fields = [{"id": "16", "name": "Connector Refs", "values": ["7c3e19a2 00000001"]}]
    assert refs_in_field({"CustomFields": fields}) == {"7c3e19a2", "00000001"}
    assert refs_in_field({"CustomFields": [{"id": "17", "name": "Other", "values": ["7c3e19a2"]}]}) == frozenset()
    assert refs_in_field({"CustomFields": ""}) == frozenset()  # RT's word for an account that may not see it


@given(st.text())
def test_no_text_is_a_moment_that_raises(text: str) -> None:
    found = moment(text)
    assert found is None or found.tzinfo is UTC


def test_statuses_are_those_of_the_lifecycle_that_is_loaded() -> None:
    [opened] = re.findall(r"my @inquiry_open = \((.*?)\);", CONFIG, re.DOTALL)
    [closed] = re.findall(r"my @inquiry_closed = \((.*?)\);", CONFIG)
    statuses = ["New", *re.findall(r"'(.+?)'", opened), *re.findall(r"'(.+?)'", closed)]
    assert [status for status in statuses if status != "deleted"] == list(STATUSES)
    assert f"'{LIFECYCLE}' =>" in CONFIG


def test_the_example_names_statuses_of_that_lifecycle() -> None:
    part = EXAMPLE[EXAMPLE.index("\nstatuses:") : EXAMPLE.index("\ndry_run:")]
    used = re.findall(r"^  \w+: ([A-Z].*)$", part, re.MULTILINE) + re.findall(r"^  ([A-Z].*): \w+$", part, re.MULTILINE)
    assert len(used) == 12
    assert set(used) <= set(STATUSES)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_the_ends_of_the_calendar_are_no_moments(text: str) -> None:
    """Guards against an OverflowError in `simulate`: in another time zone their day does not exist."""
    assert moment(text) is None
