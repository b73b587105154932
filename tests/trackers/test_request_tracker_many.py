"""Many tickets of Request Tracker by few calls: what its answers must tell of a ticket for it to be whole.

A real one is asked in tests/live/test_rt_adapter.py and by the contract.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from connector.trackers.port import Change, Misconfigured, RateLimited, TrackerError, Unavailable
from connector.trackers.request_tracker import BULK, RequestTracker
from tests.trackers.test_request_tracker_errors import Answers, make

OWN = (("7", "20"), ("8", "30"))  # tickets of two queues, and which field is called "Filed" there


class Asked:
    """The adapter, and an RT that gives whatever a test says."""

    def __init__(self, answers: Answers, tracker: RequestTracker) -> None:
        self.answers, self.tracker = answers, tracker

    def tell(self, *items: dict[str, Any], pages: int | None = None) -> None:
        self.answers.tell(200, {"items": list(items), "pages": pages})

    @property
    def questions(self) -> list[tuple[str, str]]:
        """(what of, the query) of each call."""
        urls = [urlsplit(path) for _, path, _, _ in self.answers.requests]
        return [(url.path.rpartition("/")[2], parse_qs(url.query)["query"][0]) for url in urls]


@pytest.fixture
def rt() -> Iterator[Asked]:
    answers = Answers()
    tracker = make(answers)
    yield Asked(answers, tracker)
    tracker.close()
    answers.close()


def ticket(ticket_id: str, status: str = "Call NCSC") -> dict[str, Any]:
    return {"id": ticket_id, "Status": status, "CustomFields": []}


def row(number: int, of: str, kind: str = "Comment", **more: Any) -> dict[str, Any]:
    field = {"id": "16", "name": "Connector Refs", "values": [f"{number:08x}"]}
    stamp = {"Created": f"2026-03-02T15:00:{number % 60:02}Z"}
    return {"id": str(number), "ObjectId": of, "Type": kind, "CustomFields": [field], **stamp, **more}


def test_a_ticket_whose_creation_came_is_whole(rt: Asked) -> None:
    rt.tell(ticket("7"), ticket("8"))
    rt.tell(ticket("9", "Closed"))
    rt.tell(row(12, "7"), row(11, "7", "Status", NewValue="call ncsc"), row(5, "7", "Create"), row(13, "8"))
    rt.tell(row(13, "8"), row(6, "8", "Create"), row(4, "9", "Create"), row(3, "10", "Create"))
    found = rt.tracker.fetch_many(["9", "8", "7", "6", "6"], with_history=True)
    assert {each: None if it is None else (it.status, it.closed, len(it.refs)) for each, it in found.items()} == {
        "7": ("Call NCSC", False, 1),
        "8": ("Call NCSC", False, 1),
        "9": ("Closed", True, 0),
        "6": None,  # in neither of the two searches
    }
    seven = found["7"]
    assert seven is not None
    assert [(change.field, change.to) for change in seven.history] == [("status", "call ncsc")]
    kinds = "Type = 'Create' OR Type = 'Comment' OR Type = 'Status' OR (Type = 'Set' AND Field = 'Due')"
    assert rt.questions == [
        ("tickets", "(Queue = 'Cases') AND (id = 6 OR id = 7 OR id = 8 OR id = 9) AND Status = '__Active__'"),
        ("tickets", "(Queue = 'Cases') AND (id = 6 OR id = 9)"),
        ("transactions", f"ObjectType = 'RT::Ticket' AND (TicketId = 7 OR TicketId = 8 OR TicketId = 9) AND ({kinds})"),
        ("transactions", f"ObjectType = 'RT::Ticket' AND (TicketId = 8 OR TicketId = 9) AND ({kinds})"),
    ]


def test_what_stands_beside_a_change_in_its_second_gives_it_no_other_stamp(rt: Asked) -> None:
    """Refs are made of such stamps: with another one, what was said would be said again.

    Alone, neither the creation is asked for nor a field that only another queue's tickets have by the mapping's name.
    """
    tracker = make(rt.answers, fields=["Filed"])
    stamp = {"Created": "2026-03-02T15:00:07Z"}
    changed, created = row(12, "7", "Status", NewValue="call ncsc", **stamp), row(5, "7", "Create", **stamp)
    foreign = row(11, "7", "CustomField", Field="30", NewValue="x", **stamp)
    own = [ticket(each) | {"CustomFields": [{"id": field, "name": "Filed", "values": []}]} for each, field in OWN]
    rt.tell(*own)
    rt.tell(changed, foreign, created, row(6, "8", "Create"))
    among_many = tracker.fetch_many(["7", "8"], with_history=True)["7"]
    rt.answers.told.clear()
    rt.tell(own[0])
    rt.tell(changed)
    alone = tracker.fetch("7", with_history=True)
    tracker.close()
    assert among_many is not None
    assert alone is not None
    at = datetime(2026, 3, 2, 15, 0, 7, tzinfo=UTC)
    assert among_many.history == alone.history == (Change("status", "call ncsc", at),)


def test_what_does_not_come_whole_in_time_is_left_out(rt: Asked) -> None:
    """The first fills pages, or lies behind what the account may not see: it is passed over, then no page is left."""
    rt.tell(ticket("7"), ticket("8"), ticket("9"))
    rt.tell(row(12, "7"))
    rt.tell(row(6, "8", "Create"), row(13, "9"))
    assert set(rt.tracker.fetch_many(["7", "8", "9"], with_history=False)) == {"8"}
    assert len(rt.questions) == 3


def test_where_rt_says_that_no_more_follows_nothing_more_is_asked(rt: Asked) -> None:
    rt.tell(ticket("7"), ticket("8"), ticket("9"))
    rt.tell(row(6, "7", "Create"), row(13, "8"), pages=1)
    assert set(rt.tracker.fetch_many(["7", "8", "9"], with_history=False)) == {"7"}
    assert len(rt.questions) == 2


def test_what_is_no_id_is_not_asked_for_nor_more_than_fits(rt: Asked) -> None:
    assert rt.tracker.fetch_many(["", "../rt", "1 OR id > 0", "١٢"], with_history=False) == {}
    assert rt.questions == []
    rt.tell()
    found = rt.tracker.fetch_many([str(number) for number in range(1, 200)], with_history=False)
    assert found == {str(number): None for number in range(1, BULK + 1)}
    assert all(len(path) < 8000 for _, path, _, _ in rt.answers.requests)


def test_an_address_of_many_long_ids_is_not_too_long(rt: Asked) -> None:
    ids = [str(10**9 + number) for number in range(BULK)]
    rt.tell(*map(ticket, ids))
    rt.tell(*(row(number, ticket_id, "Create") for number, ticket_id in enumerate(ids)))
    assert set(rt.tracker.fetch_many(ids, with_history=True)) == set(ids)
    assert max(len(path) for _, path, _, _ in rt.answers.requests) < 4000


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(404, {"message": "No such"}, Misconfigured), (503, b"", Unavailable), (429, b"", RateLimited)],
)
def test_what_is_wrong_with_a_later_call_concerns_all(
    rt: Asked, status: int, body: Any, error: type[TrackerError]
) -> None:
    rt.tell(ticket("7"), ticket("8"))
    rt.answers.tell(status, body)
    with pytest.raises(error):
        rt.tracker.fetch_many(["7", "8"], with_history=True)
