"""What answers mean, from a server that gives whatever a test says: proxies, maintenance, an RT that dies."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connector.application import utc_now
from connector.trackers.port import (
    AccessRefused,
    Edit,
    Misconfigured,
    NoTransition,
    RateLimited,
    Refused,
    Ticket,
    TicketGone,
    TrackerError,
    Unavailable,
)
from connector.trackers.request_tracker import RequestTracker
from connector.trackers.request_tracker_api import UNSEEN_PAGES, Changed, RequestTrackerApi

TICKET = Ticket(id="7", key="7", status="New", closed=False, fields={})
# What the search before each change finds.
STILL_THERE = {"items": [{"id": "7"}], "pages": 1}
PAGE = b"<!DOCTYPE html><title>Maintenance</title>"
LOGIN_PAGE = b"<html><form>Log in</form></html>"


class Answers:
    """Answers in order, the last one again and again; each is (status, headers, body)."""

    def __init__(self) -> None:
        self.told: list[tuple[int, dict[str, str], bytes]] = []
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.date = format_datetime(datetime.now(UTC), usegmt=True)
        answers = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answers.requests.append((self.command, self.path, dict(self.headers.items()), body))
                status, headers, content = answers.told[0] if len(answers.told) == 1 else answers.told.pop(0)
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(content))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = handle_any  # noqa: N815  the library's names

            def date_time_string(self, timestamp: float | None = None) -> str:
                return answers.date

            def log_message(self, *_: object) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def tell(self, status: int, body: Any = b"", **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.told.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, content))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def answers() -> Iterator[Answers]:
    answers = Answers()
    yield answers
    answers.close()


def make(answers: Answers, clock: Callable[[], datetime] = utc_now, fields: Sequence[str] = ()) -> RequestTracker:
    return RequestTracker(
        url=answers.url + "/rt/",
        token=lambda: "1-2-3",
        scope="Queue = 'Cases'",
        fields=fields,
        time_zone=ZoneInfo("America/New_York"),
        clock=clock,
        timeout=(2, 5),
    )


@pytest.fixture
def tracker(answers: Answers) -> Iterator[RequestTracker]:
    tracker = make(answers)
    yield tracker
    tracker.close()


def failure_of_reading(tracker: RequestTracker) -> TrackerError:
    with pytest.raises(TrackerError) as failure:
        tracker.fetch("7", with_history=False)
    return failure.value


def failure_of_writing(answers: Answers, tracker: RequestTracker) -> TrackerError:
    answers.told.insert(0, (200, {}, json.dumps(STILL_THERE).encode()))
    with pytest.raises(TrackerError) as failure:
        tracker.edit(TICKET, Edit(comment="<p>x</p>"))
    return failure.value


@pytest.mark.parametrize(
    ("status", "body", "reading", "writing"),
    [
        (401, {"message": "Unauthorized"}, AccessRefused, AccessRefused),
        (302, b"Login required", AccessRefused, AccessRefused),
        (403, {"message": "Forbidden"}, AccessRefused, Refused),
        (403, PAGE, AccessRefused, AccessRefused),
        (404, {"message": "Not Found"}, Misconfigured, TicketGone),
        (404, PAGE, Misconfigured, Misconfigured),
        (400, {"message": "Permission Denied"}, Misconfigured, Refused),
        (415, b"", Misconfigured, Refused),
        (412, {"message": "Precondition Failed"}, Changed, Changed),
        (429, b"", RateLimited, RateLimited),
        (200, LOGIN_PAGE, AccessRefused, AccessRefused),
        (200, PAGE, Unavailable, Unavailable),
        (200, b"", Unavailable, Unavailable),
        (500, b"", Unavailable, Unavailable),
        (503, PAGE, Unavailable, Unavailable),
    ],
)
def test_what_an_answer_means(
    answers: Answers, tracker: RequestTracker, status: int, body: Any, reading: type, writing: type
) -> None:
    answers.tell(status, body)
    assert type(failure_of_reading(tracker)) is reading
    assert type(failure_of_writing(answers, tracker)) is writing


@pytest.mark.parametrize(
    ("status", "body", "unknown"),
    [(500, b"", True), (502, PAGE, True), (408, b"", True), (200, PAGE, True), (412, b"", False), (409, b"", False)],
)
def test_whether_a_change_may_have_been_made(
    answers: Answers, tracker: RequestTracker, status: int, body: bytes, unknown: bool
) -> None:
    answers.tell(status, body)
    writing, reading = failure_of_writing(answers, tracker), failure_of_reading(tracker)
    assert isinstance(writing, Unavailable)
    assert isinstance(reading, Unavailable)
    assert (writing.outcome_unknown, reading.outcome_unknown) == (unknown, False)


def test_a_pause_is_kept(answers: Answers, tracker: RequestTracker) -> None:
    answers.tell(503, PAGE, Retry_After="17")
    pause = failure_of_reading(tracker)
    assert isinstance(pause, RateLimited)
    assert (pause.retry_after, pause.whole_source) == (17, True)


@pytest.mark.parametrize(
    "body", [[], {}, {"items": None}, {"items": [1]}, {"items": [{"Status": "New"}]}, {"items": [{"id": "x"}]}]
)
def test_an_answer_of_another_form(answers: Answers, tracker: RequestTracker, body: Any) -> None:
    answers.tell(200, body)
    assert isinstance(failure_of_reading(tracker), Unavailable)


def test_messages_carry_nothing_of_a_ticket(answers: Answers, tracker: RequestTracker) -> None:
    message = (
        "Ticket 7: 'Anna Example' is no value, see anna@example.org or A200555013 at /opt/rt/Tickets.pm line 3187.\n"
    )
    answers.tell(400, {"message": message})
    text = failure_of_writing(answers, tracker).message
    assert "is no value" in text
    for part in ("Anna", "@", "200555013", "/opt"):
        assert part not in text


def test_a_change_that_was_refused_with_200_is_no_transition(answers: Answers, tracker: RequestTracker) -> None:
    answers.tell(200, STILL_THERE)
    answers.tell(200, {"id": 7, "Status": "New"}, ETag='"48"')
    answers.tell(200, ["Ticket 7: Permission Denied"])
    answers.tell(200, {"id": 7, "Status": "New", "_hyperlinks": []})
    with pytest.raises(NoTransition, match="may the account modify tickets") as refusal:
        tracker.edit(TICKET, Edit(status="Call NCSC"))
    assert refusal.value.reachable == ()


@pytest.mark.parametrize(
    ("tag", "sent"), [('"48"', '"48"'), ('W/"48"', '"48"'), ('"48-gzip"', '"48"'), ("", None), ('"x"', None)]
)
def test_a_ticket_is_moved_as_it_was_seen_whatever_a_proxy_makes_of_its_tag(
    answers: Answers, tracker: RequestTracker, tag: str, sent: str | None
) -> None:
    answers.tell(200, STILL_THERE)
    answers.tell(200, {"id": 7, "Status": "New"}, ETag=tag)
    answers.tell(200, ["Ticket 7: Status changed"])
    answers.tell(200, {"id": 7, "Status": "Call NCSC"})
    tracker.edit(TICKET, Edit(status="Call NCSC"))
    [headers] = [headers for method, _, headers, _ in answers.requests if method == "PUT"]
    assert headers.get("If-Match") == sent


@pytest.mark.parametrize("wrong_by", [timedelta(minutes=7), timedelta(0), -timedelta(minutes=7)])
@pytest.mark.parametrize(("age", "is_fresh"), [(-2, True), (0, True), (4, True), (5, False), (60, False)])
def test_how_fresh_a_stamp_is_the_answer_s_own_date_tells(
    answers: Answers, wrong_by: timedelta, age: int, is_fresh: bool
) -> None:
    stamp = utc_now().replace(microsecond=0) - timedelta(days=1)
    answers.date = format_datetime(stamp + timedelta(seconds=age), usegmt=True)
    answers.tell(200, {"items": [{"id": "7", "Status": "New", "LastUpdated": f"{stamp:%Y-%m-%dT%H:%M:%SZ}"}]})
    answers.tell(200, {"items": []})
    tracker = make(answers, clock=lambda: stamp + timedelta(seconds=age) + wrong_by)
    ticket = tracker.fetch("7", with_history=False)
    tracker.close()
    assert ticket is not None
    assert ticket.updated_at == (None if is_fresh else stamp)


def test_without_a_date_our_own_clock_tells(answers: Answers) -> None:
    answers.date = "yesterday"
    stamp = datetime(2026, 3, 2, 15, tzinfo=UTC)
    answers.tell(200, {"items": [{"id": "7", "Status": "New", "LastUpdated": "2026-03-02T15:00:00Z"}]})
    answers.tell(200, {"items": []})
    tracker = make(answers, clock=lambda: stamp + timedelta(minutes=1))
    ticket = tracker.fetch("7", with_history=False)
    tracker.close()
    assert ticket is not None
    assert ticket.updated_at == stamp


def listed(*ids: int, pages: int | None, next_page: bool = False) -> dict[str, Any]:
    more = {"next_page": "https://rt.example.org/REST/2.0/tickets?page=2"} if next_page else {}
    return {"items": [{"id": str(each)} for each in ids], "count": len(ids), "pages": pages, **more}


def test_pages_that_are_empty_before_the_last_end_nothing(answers: Answers, tracker: RequestTracker) -> None:
    answers.tell(200, listed(pages=3, next_page=True))
    answers.tell(200, listed(3, 4, pages=3, next_page=True))
    answers.tell(200, listed(9, pages=1))
    assert [each.ticket_id for each in tracker.changed_since(None)] == ["3", "4", "9"]
    asked = [path.partition("?")[2] for _, path, _, _ in answers.requests]
    assert [re.findall(r"id\+%3E\+(\d+)|page=(\d+)", each)[-2:] for each in asked] == [
        [("0", ""), ("", "1")],
        [("0", ""), ("", "2")],
        [("4", ""), ("", "1")],
    ]


def test_where_rt_tells_no_pages_some_empty_ones_are_passed_over(answers: Answers, tracker: RequestTracker) -> None:
    for _ in range(UNSEEN_PAGES - 1):
        answers.tell(200, listed(pages=None))
    answers.tell(200, listed(7, pages=None))
    answers.tell(200, listed(pages=None))  # for ever
    assert [each.ticket_id for each in tracker.changed_since(None)] == ["7"]
    assert len(answers.requests) == 2 * UNSEEN_PAGES


@pytest.mark.parametrize(
    ("sees_all", "told", "ids"),
    [
        (True, [listed(1, pages=None), listed(2, pages=None)], ["1"]),
        (True, [listed(1, pages=2, next_page=True), listed(2, pages=2)], ["1", "2"]),
        (False, [listed(1, pages=None), listed(2, pages=None), listed(pages=None)], ["1", "2"]),
        (False, [listed(pages=None), listed(2, pages=None), listed(pages=None)], ["2"]),
        (False, [listed(1, pages=1), listed(2, pages=1)], ["1"]),
    ],
)
def test_lists_are_walked_to_their_end(
    answers: Answers, sees_all: bool, told: list[dict[str, Any]], ids: list[str]
) -> None:
    for each in told:
        answers.tell(200, each)
    api = RequestTrackerApi(url=answers.url, token=lambda: "1-2-3", timeout=(2, 5), clock=utc_now, keep=lambda _: False)
    found = api.walk("queues/all", about="source", params={}, sees_all=sees_all)
    assert [each["id"] for each in found] == ids
    api.close()


def test_the_token_is_sent_as_rt_wants_it_and_no_cookie_ever(answers: Answers, tracker: RequestTracker) -> None:
    answers.tell(200, {"items": []}, Set_Cookie="RT_SID_office.443=0123; path=/")
    for _ in range(2):
        assert tracker.fetch("7", with_history=False) is None
    for _, path, headers, _ in answers.requests:
        assert path.startswith("/rt/REST/2.0/tickets?")
        assert headers["Authorization"] == "token 1-2-3"
        assert "Cookie" not in headers
        assert "Mozilla" not in headers["User-Agent"]


def test_a_redirect_is_not_followed_with_the_token(answers: Answers, tracker: RequestTracker) -> None:
    answers.tell(302, b"", Location=f"{answers.url}/elsewhere")
    failure_of_reading(tracker)
    assert len(answers.requests) == 1


def test_a_comment_is_sent_once_with_its_refs(answers: Answers, tracker: RequestTracker) -> None:
    answers.tell(200, STILL_THERE)
    answers.tell(201, ["Comments added"])
    body = "<p>Hello</p><p>Inquiry connector, Step 1, ref 7c3e19a2 00000001</p>"
    tracker.edit(TICKET, Edit(comment=body))
    _, (method, path, _, sent) = answers.requests
    assert (method, path) == ("POST", "/rt/REST/2.0/ticket/7/comment")
    assert json.loads(sent) == {
        "Content": body,
        "ContentType": "text/html",
        "TxnCustomFields": {"Connector Refs": "00000001 7c3e19a2"},
    }
