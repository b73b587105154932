"""The server itself: where it listens, how it ends, and what slow clients can do to it."""

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from connector.web import server as server_module
from connector.web.server import ListenError, WebServer, WsgiApp


class App:
    """Answers "ok"; at /wait only once it is let go; at /fail not at all; at /nothing with 204."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/fail"):
            raise RuntimeError("s3cret")
        if environ["PATH_INFO"] == "/wait":
            self.entered.set()
            assert self.go.wait(20)
        body = environ["wsgi.input"].read() or b"ok"
        if environ["PATH_INFO"] == "/nothing":
            start_response("204 NO CONTENT", [])
            return []
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


@pytest.fixture
def app() -> Iterator[App]:
    made = App()
    yield made
    made.go.set()


@pytest.fixture
def serve(app: App) -> Iterator[Callable[..., WebServer]]:
    started: list[WebServer] = []

    def serve(host: str = "127.0.0.1", port: int = 0, wsgi: WsgiApp = app) -> WebServer:
        server = WebServer(wsgi, host, port)
        server.start()
        started.append(server)
        return server

    yield serve
    app.go.set()
    for server in started:
        server.stop()


def connect(server: WebServer) -> HTTPConnection:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    return HTTPConnection(host.strip("[]"), int(port), timeout=10)


def get(server: WebServer, path: str = "/") -> tuple[int, dict[str, str], bytes]:
    with contextlib.closing(connect(server)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def comes_to_an_end(call: Callable[[], object]) -> bool:
    """Whether the call, repeated for some seconds, meets a refused or broken connection at last."""
    for _ in range(250):
        try:
            call()
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_it_listens_on_any_free_port_and_says_where(serve: Callable[..., WebServer]) -> None:
    server = serve()
    assert server.url.startswith("http://127.0.0.1:")
    assert get(server)[0] == 200


@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_it_listens_on_names_and_ipv6(serve: Callable[..., WebServer], host: str) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    server = serve(host)
    assert server.url.startswith("http://127.0.0.1:" if host == "localhost" else "http://[::1]:")
    assert get(server)[0] == 200


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_an_address_in_use_is_told_with_what_to_do(serve: Callable[..., WebServer], app: App) -> None:
    port = int(serve().url.rpartition(":")[2])
    threads = threading.active_count()
    with pytest.raises(ListenError) as caught:
        WebServer(app, "127.0.0.1", port).start()
    message = str(caught.value)
    assert f"127.0.0.1:{port}" in message
    assert "in use" in message
    assert "CONNECTOR_LISTEN" in message
    assert threading.active_count() == threads


@pytest.mark.parametrize("host", ["no.such.host.invalid", "300.1.1.1", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_told_so(app: App, host: str) -> None:
    with pytest.raises(ListenError, match=f"cannot listen on {host}:0"):
        WebServer(app, host, 0).start()


def test_it_does_not_say_what_it_is(serve: Callable[..., WebServer]) -> None:
    _, headers, _ = get(serve())
    assert "Server" not in headers
    assert "Via" not in headers


def test_a_connection_is_kept_for_more_requests(serve: Callable[..., WebServer]) -> None:
    with contextlib.closing(connect(serve())) as connection:
        for number in range(3):
            connection.request("POST", "/", str(number))
            assert connection.getresponse().read() == str(number).encode()


def test_a_connection_is_kept_after_an_answer_without_a_body(serve: Callable[..., WebServer]) -> None:
    """Waitress closes it: each accepted webhook (204) needed a connection of its own."""
    with contextlib.closing(connect(serve())) as connection:
        connection.connect()
        first = connection.sock
        for _ in range(3):
            connection.request("POST", "/nothing", "x" * 20_000)
            answer = connection.getresponse()
            assert (answer.status, answer.read(), answer.getheader("Connection")) == (204, b"", None)
            assert connection.sock is first


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_a_connection_is_closed_if_the_client_asks_for_it(serve: Callable[..., WebServer], version: str) -> None:
    with contextlib.closing(connect(serve())) as connection:
        connection.connect()
        connection.sock.sendall(f"GET /nothing {version}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while more := connection.sock.recv(4096):
            received += more
        assert received.startswith(f"{version} 204 ".encode())
        assert b"\r\nConnection: close\r\n" in received


def test_an_application_that_fails_is_a_503_without_its_words_or_its_path(
    serve: Callable[..., WebServer], log: io.StringIO
) -> None:
    # Regression: waitress logs the path of such a request, which may hold a shared secret.
    status, headers, body = get(serve(), "/fail/pathsecret")
    assert status == 503
    assert headers["Content-Type"] == "application/json"
    assert b"s3cret" not in body
    assert "RuntimeError" in log.getvalue()
    assert "secret" not in log.getvalue()
    assert "s3cret" not in log.getvalue()


# ---- The end


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    return thread, results


def test_stopping_lets_the_request_in_hand_finish_and_accepts_no_more(
    serve: Callable[..., WebServer], app: App
) -> None:
    server = serve()
    client, answers = in_thread(lambda: get(server, "/wait"))
    assert app.entered.wait(10)
    stopping, _ = in_thread(server.stop)
    assert comes_to_an_end(lambda: get(server))
    assert stopping.is_alive()
    app.go.set()
    client.join(10)
    stopping.join(10)
    assert not stopping.is_alive()
    assert answers[0][0] == 200


def test_stopping_lets_a_request_that_is_being_sent_finish(serve: Callable[..., WebServer]) -> None:
    server = serve()
    with contextlib.closing(connect(server)) as connection:
        connection.putrequest("POST", "/")
        connection.putheader("Content-Length", "10")
        connection.endheaders(b"01234")
        get(server)  # so that the first half has arrived
        stopping, _ = in_thread(server.stop)
        assert stopping.is_alive()
        connection.send(b"56789")
        assert connection.getresponse().read() == b"0123456789"
        stopping.join(10)
        assert not stopping.is_alive()


def test_stopping_does_not_wait_for_idle_connections(serve: Callable[..., WebServer]) -> None:
    server = serve()
    with contextlib.closing(connect(server)) as connection:
        connection.request("GET", "/")
        connection.getresponse().read()
        before = time.monotonic()
        server.stop()
        assert time.monotonic() - before < 2
        assert connection.sock is not None
        assert is_closed(connection.sock)


def test_stopping_ends_though_a_request_does_not(
    serve: Callable[..., WebServer], app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "STOP_SECONDS", 0.2)
    server = serve()

    def get_cut_off() -> bool:
        try:
            get(server, "/wait")
        except OSError:
            return True
        return False

    client, cut = in_thread(get_cut_off)
    assert app.entered.wait(10)
    before = time.monotonic()
    server.stop()
    assert time.monotonic() - before < 3
    client.join(10)
    assert cut == [True]


def test_stopping_twice_or_before_the_start_is_no_mistake(serve: Callable[..., WebServer], app: App) -> None:
    WebServer(app, "127.0.0.1", 0).stop()
    server = serve()
    server.stop()
    server.stop()


def test_the_port_is_free_again_at_once(serve: Callable[..., WebServer]) -> None:
    first = serve()
    get(first)
    first.stop()
    assert get(serve(port=int(first.url.rpartition(":")[2])))[0] == 200


# ---- Slow clients


def test_a_request_that_drips_in_is_cut_off(serve: Callable[..., WebServer], monkeypatch: pytest.MonkeyPatch) -> None:
    # Regression: every byte counts as activity, so that a hundred such clients could keep everybody out for ever.
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(server_module, "_SWEEP_SECONDS", 0)
    server = serve()
    with contextlib.closing(connect(server)) as connection:
        connection.connect()
        assert connection.sock is not None
        connection.sock.sendall(b"POST / HTTP/1.1\r\nX: ")
        drip = connection.sock
        assert comes_to_an_end(lambda: drip.sendall(b"x"))


def test_a_kept_connection_may_take_its_time_between_requests(
    serve: Callable[..., WebServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(server_module, "_SWEEP_SECONDS", 0)
    server = serve()
    with contextlib.closing(connect(server)) as connection:
        for _ in range(2):
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"ok"
            time.sleep(0.3)


def test_an_idle_connection_is_closed(serve: Callable[..., WebServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "IDLE_SECONDS", 0)
    monkeypatch.setattr(server_module, "_SWEEP_SECONDS", 0)
    server = serve()
    with contextlib.closing(connect(server)) as connection:
        connection.connect()
        assert connection.sock is not None
        assert is_closed(connection.sock)
