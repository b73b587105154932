"""Bodies and requests of every kind: never a 5xx, never a lost event, and the server goes on."""

import contextlib
import gzip
import json
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.web.webhooks import MAX_BODY_BYTES
from tests.web.conftest import PERSONAL, SECRET, SOURCE, Service, event, signature

EVENT = event(10001)

# Signed, and not understood: counted, answered 200, and nothing is due.
STRANGE = {
    "empty": b"",
    "space": b"   ",
    "not JSON": b"webhookEvent=jira:issue_updated",
    "cut": EVENT[:-1],
    "an array": b"[" + EVENT + b"]",
    "a number": b"10001",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep and cut": b'{"issue":' * 100_000,
    "NUL": b"\0" * 1000,
    "NUL behind": EVENT + b"\0",
    "UTF-16 cut": EVENT.decode().encode("utf-16")[:-1],
    "huge number": b'{"issue": {"id": ' + b"9" * 100_000 + b"}}",
    "gzip": gzip.compress(EVENT),
    "form": b"payload=%7B%7D&token=s3cret",
    "multipart": b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n' + EVENT + b"\r\n--x--\r\n",
    "binary": bytes(range(256)) * 64,
}

# Signed, odd, and all the same about ticket 10001.
ODD = {
    "BOM in UTF-16": EVENT.decode().encode("utf-16"),
    "lone surrogates": b'{"webhookEvent": "\\ud800", "issue": {"id": "10001", "key": "\\udfff"}, "x": "\\ud834"}',
    "NUL in text": b'{"issue": {"id": "10001", "key": "CASE-1\\u0000"}, "webhookEvent": "\\u0000"}',
    "unknown event": event(10001, "jira:something_new_of_2031"),
    "an event of no name": event(10001, ""),
    "10 MB": event(10001, padding="x" * 10 * 1024 * 1024),
    "many fields": event(10001, more={f"customfield_{n}": n for n in range(20_000)}),
    "white space": b"\r\n\t " * 1000 + EVENT + b"\n" * 1000,
}


def raw_request(service: Service, request: bytes) -> tuple[int, bytes]:
    """The status (0: the connection was closed without an answer) and the whole answer to these very bytes."""
    host, _, port = service.server.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        answer = b""
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
        with contextlib.suppress(OSError):  # closed already
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                answer += part
    return int(answer.split(b" ", 2)[1]) if answer else 0, answer


def head(*headers: str, length: int | None = None, path: str = f"/webhooks/{SOURCE}") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: connector.example", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@pytest.fixture
def alive(service: Service) -> Iterator[Service]:
    """The service, which must still take an event when the test is over."""
    yield service
    assert service.post(event(99)).status == 204
    assert "99" in service.due()


@pytest.mark.parametrize("kind", STRANGE)
def test_a_signed_body_that_is_not_understood_is_answered_200_and_counted(alive: Service, kind: str) -> None:
    answer = alive.post(STRANGE[kind])
    assert answer.status == 200
    assert alive.counted() == {(SOURCE, "unreadable", "unreadable"): 1}
    assert alive.due() == set()


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_body_about_a_ticket_is_not_lost(alive: Service, kind: str) -> None:
    assert alive.post(ODD[kind]).status == 204
    assert alive.due() == {"10001"}
    assert sum(alive.counted().values()) == 1


@pytest.mark.parametrize("kind", [*STRANGE, *ODD])
def test_no_body_gets_in_without_a_signature(alive: Service, kind: str) -> None:
    body = {**STRANGE, **ODD}[kind]
    assert alive.post(body, X_Hub_Signature=signature(body, "wrong")).status == 401
    assert alive.counted() == {(SOURCE, "refused_signature", ""): 1}
    assert alive.due() == set()


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Encoding": "gzip"},
        {"Content-Type": "application/json; charset=klingon"},
        {"Content-Type": "multipart/form-data; boundary="},
        {"Content-Type": "ÿ" * 1000},
        {"Accept": "image/png", "Accept-Encoding": "br;q=2"},
        {"Cookie": "a=b; " * 100},
        {"Host": "evil example:99999"},
        {"Host": "[::1"},
        {"Host": ""},
        {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "a, b"},
        {"Range": "bytes=0-1", "If-None-Match": "*", "If-Modified-Since": "never"},
        {"Expect": "the unexpected"},
        {"X-HTTP-Method-Override": "DELETE"},
        {"Upgrade": "h2c", "Connection": "Upgrade"},
    ],
)
def test_headers_that_lie_do_not_lose_the_event(alive: Service, headers: dict[str, str]) -> None:
    given_headers = {"X-Hub-Signature": signature(EVENT), **headers}
    assert alive.request("POST", f"/webhooks/{SOURCE}", EVENT, given_headers).status == 204
    assert alive.due() == {"10001"}


def test_a_body_in_pieces_is_one_body(alive: Service) -> None:
    pieces = (
        b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (EVENT[:7], EVENT[7:300], EVENT[300:])) + b"0\r\n\r\n"
    )
    request = head(f"X-Hub-Signature: {signature(EVENT)}", "Transfer-Encoding: chunked") + pieces
    assert raw_request(alive, request)[0] == 204
    assert alive.due() == {"10001"}


def test_a_sender_that_asks_first_is_told_to_go_on(alive: Service) -> None:
    request = head(f"X-Hub-Signature: {signature(EVENT)}", "Expect: 100-continue", length=len(EVENT)) + EVENT
    assert b"HTTP/1.1 204" in raw_request(alive, request)[1]
    assert alive.due() == {"10001"}


def test_without_a_length_the_body_is_empty_and_refused(alive: Service) -> None:
    assert raw_request(alive, head(f"X-Hub-Signature: {signature(EVENT)}"))[0] == 401


MALFORMED = {
    "split header": head("X-Connector-Secret: a\r\n b\r\n\tc", length=0),
    "bare LF": head("X-Connector-Secret: a\nSet-Cookie: b", length=0),
    "bare CR": head("X-Connector-Secret: a\rSet-Cookie: b", length=0),
    "NUL in a header": head("X-Connector-Secret: a\0b", length=0),
    "no colon": head("X-Connector-Secret", length=0),
    "header before the first": b"POST /webhooks/case HTTP/1.1\r\n X: y\r\n\r\n",
    "two signatures": head(f"X-Hub-Signature: {signature(b'')}", "X-Hub-Signature: sha256=00", length=0),
    "two secrets": head("X-Connector-Secret: a", "X-Connector-Secret: b", length=0),
    "two lengths": head("Content-Length: 3", "Content-Length: 4") + b"abcd",
    "negative length": head("Content-Length: -1"),
    "length of letters": head("Content-Length: ten"),
    "length beyond all numbers": head("Content-Length: " + "9" * 5000),
    "long header": head("X-Connector-Secret: " + "a" * 100_000, length=0),
    "many headers": head(*(f"X-{n}: {n}" for n in range(10_000)), length=0),
    "unknown transfer encoding": head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "chunks that lie": head("Transfer-Encoding: chunked") + b"zz\r\nabc\r\n0\r\n\r\n",
    "length and chunks": head("Transfer-Encoding: chunked", length=3) + b"0\r\n\r\n",
    "split answer": head(path="/webhooks/case/%0d%0aSet-Cookie:%20a=b", length=0),
    "path of bytes": head(path="/webhooks/%ff%fe/%00", length=0),
    "path with dots": head(path="/webhooks/../livez", length=0),
    "path of slashes": head(path="//webhooks//case//", length=0),
    "long path": head(path="/webhooks/case/" + "a" * 50_000, length=0),
    "absolute": head(path="http://[::1/webhooks/case", length=0),
    "star": head(path="*", length=0),
    "no path": b"POST\r\n\r\n",
    "old": b"POST /webhooks/case\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
    "nothing": b"\r\n\r\n\r\n\r\n",
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_request_is_refused_without_a_word_of_it(alive: Service, kind: str) -> None:
    status, answer = raw_request(alive, MALFORMED[kind])
    assert status == 0 or 400 <= status < 500
    assert b"Set-Cookie" not in answer
    assert b"Traceback" not in answer
    assert b"waitress" not in answer.lower()
    assert b"X-Connector-Secret" not in answer
    assert alive.due() == set()


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, derandomize=True
)
@given(
    start=st.sampled_from([b"", b"POST ", b"POST /webhooks/case HTTP/1.1\r\n", b"GET /livez"]),
    rest=st.binary(max_size=300),
)
def test_any_bytes_on_the_wire_are_refused_or_dropped(service: Service, start: bytes, rest: bytes) -> None:
    status, _ = raw_request(service, start + rest + b"\r\n\r\n")
    assert status < 500


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, derandomize=True
)
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["issue", "id", "key", "comment", "self"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_signed_body_is_taken(service: Service, body: bytes) -> None:
    assert service.post(body).status in {200, 204}


MARK = "Zq7Xw2Lk9-planted"


@settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, derandomize=True
)
@given(
    before=st.binary(max_size=60),
    after=st.binary(max_size=60),
    wrap=st.sampled_from(
        ["%s", '{"issue": {"id": "%s"}}', '{"issue": {"id": "1", "key": "%s"}}', '{"%s": 1}', '["%s"']
    ),
    event_name=st.sampled_from([b"", b'{"webhookEvent": "' + MARK.encode() + b'", "issue": {"id": "7"}}']),
    signed=st.booleans(),
)
def test_no_body_is_echoed_or_logged(
    service: Service, before: bytes, after: bytes, wrap: str, event_name: bytes, signed: bool
) -> None:
    body = event_name or before + (wrap % MARK).encode() + after
    answer = service.post(body, **({} if signed else {"X_Hub_Signature": f"sha256={MARK}"}))
    assert answer.status in ({200, 204} if signed else {401})
    shown = answer.body + repr(answer.headers).encode() + service.log.getvalue().encode()
    assert MARK.encode() not in shown
    assert MARK.encode() not in service.request("GET", "/metrics").body


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_body_beyond_the_limit_is_refused_and_counted(alive: Service, in_pieces: bool) -> None:
    size = MAX_BODY_BYTES + 1
    if in_pieces:
        request = head("Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (size, bytes(size))
    else:
        request = head(length=size) + bytes(size)
    status, answer = raw_request(alive, request)
    assert status == 413
    assert b"25 MB" in answer
    assert alive.counted() == {(SOURCE, "too_large", ""): 1}


def test_a_body_far_beyond_the_limit_is_refused_before_it_is_sent(alive: Service) -> None:
    # Regression: the server itself refused it, and nobody counted.
    status, answer = raw_request(alive, head(f"X-Hub-Signature: {signature(b'')}", length=10**12))
    assert status == 413
    assert b"25 MB" in answer
    assert b"Connection: close" in answer
    assert alive.counted() == {(SOURCE, "too_large", ""): 1}


def test_the_largest_body_allowed_is_taken(alive: Service) -> None:
    body = event(10001, padding="")
    body = event(10001, padding="x" * (MAX_BODY_BYTES - len(body)))
    assert len(body) == MAX_BODY_BYTES
    assert alive.post(body).status == 204


def test_none_of_it_shows_in_the_log(service: Service) -> None:
    for body in [*STRANGE.values(), *ODD.values()]:
        if len(body) < 100_000:
            service.post(body)
            service.post(body, X_Hub_Signature="sha256=" + SECRET)
    for request in MALFORMED.values():
        raw_request(service, request)
    shown = service.log.getvalue()
    for word in (*PERSONAL, SECRET, "X-Connector-Secret", "Set-Cookie", "aaaa"):
        assert word not in shown
