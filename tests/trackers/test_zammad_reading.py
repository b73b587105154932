"""From Zammad's JSON to a Ticket."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.trackers.port import Change, Misconfigured
from connector.trackers.zammad_reading import day, label, moment, plain, read_ticket, refs_in

RAW: dict[str, Any] = {
    "id": 81,
    "number": "10081",
    "state_id": 2,
    "state": "open",
    "group": "USCIS inquiries",
    "updated_at": "2026-03-01T12:00:00.333Z",
    "receipt_number": "WAC2590123456",
    "service_center": "California",
    "due_on": "2026-05-01",
    "articles": [
        {"id": 1, "body": "<p>Inquiry connector, Step 1, ref 7c3e19a2</p>", "preferences": {}},
        {"id": 2, "body": "x", "preferences": {"inquiry_connector": {"refs": ["5d01b7f4", 7]}}},
    ],
    "history": [
        {
            "id": 9,
            "object": "Ticket",
            "type": "updated",
            "attribute": "state",
            "value_to": "open",
            "created_at": "2026-03-01T12:00:00.000Z",
        },
        {
            "id": 8,
            "object": "Ticket",
            "type": "updated",
            "attribute": "receipt_number",
            "value_to": None,
            "created_at": "2026-03-01T12:00:00.000Z",
        },
        {"id": 7, "object": "Ticket::Article", "type": "created", "created_at": "2026-03-01T11:00:00.000Z"},
    ],
}


def test_a_ticket_is_read_without_a_zammad() -> None:
    ticket = read_ticket(RAW, ["receipt_number", "Service_Center", "called_at"])
    assert (ticket.id, ticket.key, ticket.status, ticket.closed) == ("81", "10081", "open", False)
    assert ticket.fields == {
        "receipt_number": "WAC2590123456",
        "Service_Center": "California",
        "called_at": None,
    }
    assert ticket.labels["Service_Center"] == "Service center"
    assert ticket.due_on == date(2026, 5, 1)
    assert ticket.refs == {"7c3e19a2", "5d01b7f4"}
    assert ticket.updated_at == datetime(2026, 3, 1, 12, 0, 0, 333000, tzinfo=UTC)
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert ticket.history == (Change("receipt_number", "", noon), Change("status", "open", noon))


def test_the_ticket_alone_is_enough() -> None:
    alone = {key: value for key, value in RAW.items() if key not in {"articles", "history"}}
    ticket = read_ticket(alone, ["receipt_number"])
    assert (ticket.refs, ticket.history) == (frozenset(), ())


@pytest.mark.parametrize("state", ["closed", "Merged"])
def test_closed_by_the_names_that_zammad_gives(state: str) -> None:
    assert read_ticket(RAW | {"state": state}, []).closed


def test_a_fact_is_not_taken_for_the_due_date() -> None:
    assert read_ticket(RAW, ["due_on"]).due_on is None
    both = RAW | {"due_date": "2026-06-01"}
    assert read_ticket(both, []).due_on == date(2026, 5, 1)
    assert read_ticket(both, ["Due_On"]).due_on == date(2026, 6, 1)


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        ([], "not a ticket"),
        ({"id": 81}, "not a ticket"),
        ({"id": 81, "number": "10081", "state_id": 2}, "expand=true"),
        ({"id": 81, "number": "10081", "state": "open"}, "internal names"),
    ],
)
def test_what_is_no_such_ticket(raw: Any, match: str) -> None:
    with pytest.raises(Misconfigured, match=match):
        read_ticket(raw, ["receipt_number"])


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("", None),
        (None, None),
        (False, False),
        (12, 12),
        (float("nan"), None),
        (["A::B", None], ["A::B"]),
        ({"value": "1", "label": "One"}, "One"),
        ({"id": 1}, None),
    ],
)
def test_values(value: Any, read: Any) -> None:
    assert plain(value) == read


@pytest.mark.parametrize("value", [None, 7, "", "yesterday", "2026-03-01T12:00:00", "9999-12-31T23:59:59-12:00"])
def test_what_is_no_moment(value: object) -> None:
    assert moment(value) is None


def test_days() -> None:
    assert day("2026-05-01") == day("2026-05-01T00:00:00.000Z") == date(2026, 5, 1)
    assert day("soon") is None
    assert day(None) is None


def test_changes_of_the_due_date_are_in_the_history() -> None:
    """A day that a person has replaced is not set again, also by an empty database."""
    entry: dict[str, Any] = {"object": "Ticket", "type": "updated", "attribute": "due_on"}
    entry["created_at"] = "2026-03-02T12:00:00.000Z"
    values = ("2026-05-01", "2026-05-02 00:00:00 UTC", "", None)
    raw = RAW | {"history": [entry | {"id": number, "value_to": value} for number, value in enumerate(values)]}
    changes = read_ticket(raw, ["receipt_number"]).history
    assert [(each.field, each.to) for each in changes] == [
        ("due", "2026-05-01"),
        ("due", "2026-05-02"),
        ("due", ""),
        ("due", ""),
    ]
    assert [each.field for each in read_ticket(raw, ["receipt_number", "due_on"]).history] == ["due_on"] * 4


def test_labels() -> None:
    assert label("service_center_emailed_at") == "Service center emailed at"
    assert label("ncsc_representative") == "NCSC representative"
    assert label("rfe_from_uscis_at") == "RFE from USCIS at"
    assert label("a_number") == "A-number"
    assert label("paid_in_hq") == "Paid in HQ"


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*RAW, "preferences"]), _JSON), _JSON)
def test_whatever_zammad_sends_is_read(odd: dict[str, Any], articles: Any) -> None:
    raw = {**RAW, **odd, "number": "10081", "state": "open", "articles": articles}
    ticket = read_ticket(raw, ["receipt_number", "due_on"])
    assert ticket.key == "10081"


@given(st.dictionaries(st.sampled_from(["body", "preferences"]), _JSON))
def test_whatever_an_article_holds_is_read(article: dict[str, Any]) -> None:
    assert isinstance(refs_in([article]), frozenset)
