"""Answers that drip are given up, certificates are told apart, redirects are not looked at."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
import urllib3.exceptions

from connector.trackers import deadline, http
from connector.trackers.http import exchange
from connector.trackers.port import AccessRefused, Unavailable

DRIP_SECONDS = 0.02
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


@pytest.fixture
def dripping() -> Iterator[Callable[[bytes], str]]:
    """dripping(at_once) -> URL of a server that sends that, and then a byte every now and then."""
    enough = threading.Event()
    servers: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def listen(at_once: bytes) -> str:
        server = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(at_once)
                while not enough.wait(DRIP_SECONDS):
                    connection.sendall(b"x")

        servers.append(server)
        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/"

    yield listen
    enough.set()
    for thread in threads:
        thread.join(5)
    for server in servers:
        server.close()


@pytest.mark.parametrize("at_once", [HEAD, b"HTTP/1.1 200 OK\r\nX-Long: "], ids=["body", "head"])
@pytest.mark.parametrize("changes", [True, False])
def test_an_answer_that_drips(
    dripping: Callable[[bytes], str], at_once: bytes, changes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "ANSWER_SECONDS", 0.2)
    began = time.monotonic()
    with requests.Session() as session, pytest.raises(Unavailable, match="in time") as failure:
        exchange(session, "POST", dripping(at_once), timeout=(5, 5), changes=changes)
    assert failure.value.outcome_unknown is changes
    assert 0.2 <= time.monotonic() - began < 4


def test_a_drip_through_a_proxy(dripping: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "ANSWER_SECONDS", 0.2)
    monkeypatch.setenv("HTTP_PROXY", dripping(HEAD))
    monkeypatch.setenv("NO_PROXY", "")
    with requests.Session() as session, pytest.raises(Unavailable, match="in time"):
        exchange(session, "GET", "http://jira.invalid/", timeout=(5, 5), changes=False)


def test_a_redirect_is_an_answer_like_any_other(dripping: Callable[[bytes], str]) -> None:
    url = dripping(b"HTTP/1.1 302 Found\r\nLocation: http://[nonsense/\r\nContent-Length: 4\r\n\r\nbody")
    with requests.Session() as session:
        answer = exchange(session, "GET", url, timeout=(5, 5), changes=False)
    assert (answer.status, answer.body) == (302, b"body")


@pytest.mark.parametrize(
    ("code", "words"),
    [(10, "has expired"), (62, "another host"), (18, "nobody but itself"), (20, "not trusted here"), (77, "code 77")],
)
def test_what_is_wrong_with_a_certificate(code: int, words: str) -> None:
    """Whatever wraps it: nothing was sent, and an admin has to mend it. That is not held against a ticket's change."""
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed: for 'jira.example.org'")
    cause.verify_code = code
    error = requests.exceptions.SSLError(urllib3.exceptions.SSLError(cause))
    change = http._failure(error, changes=True)
    assert isinstance(change, Unavailable)
    assert not change.outcome_unknown
    failure = http._failure(error, changes=False)
    assert isinstance(failure, AccessRefused)
    assert words in failure.message
    assert "jira.example.org" not in failure.message


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"SSL_CERT_FILE": "/one"}, "/one"),
        ({"SSL_CERT_FILE": "/one", "REQUESTS_CA_BUNDLE": "/two"}, None),
        ({"SSL_CERT_FILE": "/one", "CURL_CA_BUNDLE": "/two"}, None),
        ({"SSL_CERT_FILE": ""}, None),
        ({}, None),
    ],
)
def test_which_authorities_are_trusted(
    given: dict[str, str], named: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None leaves it to requests, which reads the two others itself."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert http._authorities() == named


def test_authorities_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    with requests.Session() as session, pytest.raises(AccessRefused, match="REQUESTS_CA_BUNDLE"):
        exchange(session, "GET", "https://127.0.0.1:9/", timeout=(1, 1), changes=False)
