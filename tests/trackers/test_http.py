"""One exchange: pauses asked for, messages masked, and what broken exchanges mean."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from connector.practice.sample import CONNECTOR_TOKEN
from connector.trackers.http import LONGEST_PAUSE, SHORTEST_PAUSE, exchange, masked, pause_asked
from connector.trackers.late import changes_only_if
from connector.trackers.port import AccessRefused, TooLate, Unavailable
from tests.trackers.sites import PracticeSite, make_tracker

NOW = datetime(2026, 4, 1, 14, 0, tzinfo=UTC)


def http_date(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 60),
        ({"Retry-After": "5"}, 5),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"Retry-After": "1847"}, 1847),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "-5"}, 1),
        ({"Retry-After": "nan"}, 60),
        ({"Retry-After": "inf"}, 60),
        ({"Retry-After": "1e9"}, 60),
        ({"Retry-After": "٣"}, 60),
        ({"Retry-After": "999999999"}, 86400),
        ({"Retry-After": http_date(90)}, 90),
        ({"Retry-After": http_date(-90)}, 1),
        ({"Retry-After": http_date(90), "Date": http_date(60)}, 30),
        ({"Retry-After": "Wed, 99 Abc 2026 99:00:00 GMT"}, 60),
        ({"X-RateLimit-Reset": "2026-04-01T14:02Z"}, 120),
        ({"X-RateLimit-Reset": "2026-04-01T10:02:00-04:00"}, 120),
        ({"X-RateLimit-Reset": "soon"}, 60),
        ({"Retry-After": "7", "X-RateLimit-Reset": "2026-04-01T14:02Z"}, 7),
    ],
)
def test_the_pause_that_is_asked_for(headers: dict[str, str], seconds: float) -> None:
    assert pause_asked(CaseInsensitiveDict(headers), NOW) == seconds


@given(st.text(), st.text(), st.text())
def test_a_pause_is_always_a_time_that_passes(retry: str, reset: str, date: str) -> None:
    headers = CaseInsensitiveDict({"Retry-After": retry, "X-RateLimit-Reset": reset, "Date": date})
    assert SHORTEST_PAUSE <= pause_asked(headers, NOW) <= LONGEST_PAUSE


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Field 'customfield_1' cannot be set.", "Field 'customfield_1' cannot be set."),
        ("The value 'Ngozi O'Hara' is wrong", "The value “…” is wrong"),
        ("It can't be set, it isn't there", "It can't be set, it isn't there"),
        ('A "secret" and “another”', "A “…” and “…”"),
        ("A012345678 and 012-34-5678", "A… and …"),
        ("year 2026, 123456", "year 2026, 123456"),
        ("ask ngozi@home.example", "ask …"),
        ("one\r\ntwo\x00three", "one two three"),
    ],
)
def test_messages_are_masked(text: str, shown: str) -> None:
    assert masked(text, lambda quoted: quoted.startswith("customfield_")) == shown


@given(st.text(st.characters(codec="utf-8"), max_size=600))
def test_a_masked_message_is_one_short_line_without_long_numbers(text: str) -> None:
    line = masked(f"{text} 123456789", lambda _: False)
    assert len(line) <= 300
    assert line.isprintable()
    assert "123456789" not in line


# Broken exchanges, of a server that is none


@pytest.fixture
def listening() -> Iterator[Callable[[bytes], str]]:
    """listening(answer) -> URL of a server that reads a request and answers with these bytes, then hangs up."""
    servers: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def listen(answer: bytes) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        threads.append(thread)
        return f"http://127.0.0.1:{server.getsockname()[1]}/"

    yield listen
    for thread in threads:
        thread.join(2)
    for server in servers:
        server.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",
    ],
)
@pytest.mark.parametrize("changes", [True, False])
def test_an_answer_that_breaks_off(listening: Callable[[bytes], str], answer: bytes, changes: bool) -> None:
    with requests.Session() as session, pytest.raises(Unavailable) as failure:
        exchange(session, "POST", listening(answer), timeout=(1, 1), changes=changes)
    assert failure.value.outcome_unknown is changes


def test_a_certificate_that_is_not_accepted(listening: Callable[[bytes], str]) -> None:
    url = listening(b"this is no TLS").replace("http://", "https://")
    with requests.Session() as session, pytest.raises(Unavailable, match="certificate"):
        exchange(session, "GET", url, timeout=(1, 1), changes=False)


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:hidden@127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with requests.Session() as session, pytest.raises(Unavailable, match="HTTPS_PROXY") as failure:
        exchange(session, "POST", "http://jira.invalid/", timeout=(1, 1), changes=True)
    assert not failure.value.outcome_unknown
    assert "hidden" not in str(failure.value)


# Changes that come too late


def test_only_what_changes_something_can_be_too_late(listening: Callable[[bytes], str]) -> None:
    """And what takes a comment back is not held up either."""
    answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    with requests.Session() as session, changes_only_if(lambda: False):
        for method, changes in (("POST", False), ("DELETE", True)):
            assert exchange(session, method, listening(answer), timeout=(2, 5), changes=changes).status == 204
        with pytest.raises(TooLate):
            exchange(session, "POST", listening(answer), timeout=(2, 5), changes=True)


# Atlassian's own sites


@responses.activate
@pytest.mark.parametrize(
    ("host", "tried"),
    [
        ("acme.atlassian.net", True),
        ("acme.jira.com", True),
        ("atlassian.net.example.org", False),
        ("xatlassian.net", False),
        ("example.org/.atlassian.net", False),
    ],
)
def test_the_gateway_is_tried_for_atlassians_own_sites_only(host: str, tried: bool) -> None:
    responses.get(f"https://{host}/rest/api/2/serverInfo", status=401)
    responses.get(f"https://{host}/_edge/tenant_info", json={"cloudId": "abc-1"})
    responses.get("https://api.atlassian.com/ex/jira/abc-1/rest/api/2/serverInfo", status=401)
    tracker = make_tracker(url=f"https://{host}", user="a@example.org", token=lambda: "t", clock=lambda: NOW)
    with pytest.raises(AccessRefused):
        tracker.fetch("1", with_history=False)
    called = [call.request.url for call in responses.calls]
    assert ("https://api.atlassian.com/ex/jira/abc-1/rest/api/2/serverInfo" in called) is tried
    tracker.close()


# Nothing personal, nothing secret


def test_logs_and_errors_hold_neither_secrets_nor_cases(
    either: PracticeSite, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYJIRA_LOG_TO_TEMPFILE", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    caplog.set_level(logging.DEBUG)
    ticket_id = either.create("Okafor, Ngozi", receipt="WAC2590123456")
    tracker = either.tracker()
    ticket = tracker.fetch(ticket_id, with_history=True)
    assert ticket is not None
    tracker.post_comment(ticket, "Receipt number WAC2590123456")
    told = []
    for status in (400, 401, 404, 429, 500, 503):
        body = {"errorMessages": ["'WAC2590123456' of 'Okafor'"], "errors": {"x": "'Okafor'"}}
        either.server.faults.add("POST", "comment", status=status, body=body)
        with pytest.raises(Exception, match="Jira") as failure:
            tracker.post_comment(ticket, "Receipt number WAC2590123456")
        told.append(str(failure.value))
    text = caplog.text + "".join(told)
    for secret in ("WAC2590123456", "Okafor", CONNECTOR_TOKEN, "Basic ", "Bearer "):
        assert secret not in text
    assert not list(tmp_path.iterdir())
