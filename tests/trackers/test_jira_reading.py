"""A ticket from Jira's JSON, without a Jira."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.trackers.jira import read_ticket
from connector.trackers.jira_reading import moment, plain
from connector.trackers.port import Change, Misconfigured

RAW: dict[str, Any] = {
    "id": "10042",
    "key": "CASE-7",
    "names": {"customfield_10050": "Receipt Number", "customfield_10055": "NCSC Called At", "duedate": "Due date"},
    "fields": {
        "status": {"name": "Awaiting NCSC", "statusCategory": {"key": "indeterminate"}},
        "duedate": "2026-04-23",
        "updated": "2026-03-01T10:15:30.500-0500",
        "customfield_10050": "WAC2590123456",
        "customfield_10055": "2026-03-01T10:15:00.000-0500",
        "comment": {
            "comments": [
                {"body": "Inquiry connector, Step 1, ref 7c3e19a2", "author": {"displayName": "somebody"}},
                {"body": {"type": "doc"}},
                {},
                "text",
            ]
        },
    },
    "changelog": {
        "histories": [
            {
                "id": "12",
                "created": "2026-03-02T09:00:00.000-0500",
                "items": [{"field": "status", "fieldtype": "jira", "toString": "Awaiting NCSC"}],
            },
            {
                "id": "11",
                "created": "2026-03-02T09:00:00.000-0500",
                "items": [
                    {"field": "NCSC Called At", "fieldtype": "custom", "toString": "01/Mar/26"},
                    {"field": "status", "fieldId": "customfield_9", "toString": "not the status"},
                    {"field": "Receipt Number", "fieldId": "customfield_8", "toString": "of another field"},
                    {"field": "anything", "fieldId": "customfield_10050", "toString": None},
                ],
            },
            {"id": "1", "created": "yesterday", "items": [{"field": "status", "toString": "New"}]},
            {"id": "2", "created": "2026-03-03T09:00:00.000-0500", "items": None},
        ]
    },
}
AT = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)


def test_a_whole_ticket() -> None:
    ticket = read_ticket(RAW, ["Receipt Number", "customfield_10055", "duedate"])
    assert (ticket.id, ticket.key, ticket.status, ticket.closed) == ("10042", "CASE-7", "Awaiting NCSC", False)
    assert ticket.due_on == date(2026, 4, 23)
    assert ticket.updated_at == datetime(2026, 3, 1, 15, 15, 30, 500_000, tzinfo=UTC)
    assert ticket.fields == {
        "Receipt Number": "WAC2590123456",
        "customfield_10055": "2026-03-01T10:15:00.000-0500",
        "duedate": "2026-04-23",
    }
    assert ticket.labels == {
        "Receipt Number": "Receipt Number",
        "customfield_10055": "NCSC Called At",
        "duedate": "Due date",
    }
    assert ticket.history == (
        Change("customfield_10055", "01/Mar/26", AT),
        Change("Receipt Number", "", AT),
        Change("status", "Awaiting NCSC", AT),
    )
    assert ticket.refs == frozenset({"7c3e19a2"})


def test_ids_need_no_names() -> None:
    raw = {"id": "1", "fields": {"customfield_10050": "WAC2590123456"}}
    ticket = read_ticket(raw, ["customfield_10050", "customfield_10051"])
    assert ticket.fields == {"customfield_10050": "WAC2590123456", "customfield_10051": None}


def test_fields_may_be_called_by_name_in_the_json_itself() -> None:
    ticket = read_ticket({"fields": {"Receipt Number": "WAC2590123456"}}, ["Receipt Number", "Form Type"])
    assert ticket.fields == {"Receipt Number": "WAC2590123456", "Form Type": None}


def test_names_that_cannot_be_found_are_told_with_what_to_do() -> None:
    with pytest.raises(Misconfigured, match="expand=names"):
        read_ticket({"fields": {"customfield_10050": "x"}}, ["customfield_10050", "Form Type"])


def test_two_fields_of_one_name_are_refused() -> None:
    names = {"customfield_1": "Receipt Number", "customfield_2": "Receipt Number"}
    with pytest.raises(Misconfigured, match="customfield_1, customfield_2"):
        read_ticket({"fields": {}, "names": names}, ["Receipt Number"])


@pytest.mark.parametrize("raw", [[], "text", None, 5])
def test_what_is_no_issue_is_told(raw: Any) -> None:
    with pytest.raises(Misconfigured, match="not a ticket"):
        read_ticket(raw, ["customfield_1"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
parts = st.sampled_from(["id", "key", "status", "duedate", "updated", "comment", "customfield_1", "name", "created"])
lists = st.sampled_from(["comments", "histories", "items"])
issues = st.recursive(
    json_values,
    lambda inner: (
        st.dictionaries(parts | st.sampled_from(["fields", "changelog", "statusCategory"]), inner)
        | st.dictionaries(lists, st.lists(inner, max_size=3))
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["id", "key", "fields", "changelog"]), issues))
def test_any_object_gives_a_ticket(raw: dict[str, Any]) -> None:
    ticket = read_ticket(raw, ["customfield_1"])
    assert set(ticket.fields) == {"customfield_1"}
    assert isinstance(ticket.status, str)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, None),
        ("", ""),
        ("text", "text"),
        (12, 12),
        (12.5, 12.5),
        (float("nan"), None),
        (float("inf"), None),
        (True, True),
        ({"self": "x", "value": "Texas", "id": "1"}, "Texas"),
        ({"value": "Texas", "id": "1", "child": {"value": "Dallas", "id": "2"}}, "Texas / Dallas"),
        ({"value": "Texas", "child": None}, "Texas"),
        ({"accountId": "1", "displayName": "Dana Whitfield"}, "Dana Whitfield"),
        ({"name": "dana", "key": "dana", "displayName": "Dana Whitfield"}, "Dana Whitfield"),
        ({"name": "Done", "id": "1"}, "Done"),
        ({"hasEpicLinkFieldDependency": False}, None),
        ({"value": {"deep": 1}, "name": ["x"]}, None),
        ([], []),
        (["a", "b"], ["a", "b"]),
        ([{"value": "Yes"}, {"odd": 1}, None, 3], ["Yes", "3"]),
        ([[1, 2]], []),
    ],
)
def test_values_without_their_wrapping(value: Any, read: Any) -> None:
    assert plain(value) == read
    assert type(plain(value)) is type(read)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2019-08-29T12:40:00.000-0700", datetime(2019, 8, 29, 19, 40, tzinfo=UTC)),
        ("2019-08-29T12:40:00.000+0000", datetime(2019, 8, 29, 12, 40, tzinfo=UTC)),
        ("2019-08-29T12:40:00.000", None),
        ("0001-01-01T00:00:00.000+1400", None),
        ("Tue Jul 30 22:06:22 UTC 2019", None),
        (None, None),
        (1567104000, None),
    ],
)
def test_moments(text: Any, at: datetime | None) -> None:
    assert moment(text) == at
