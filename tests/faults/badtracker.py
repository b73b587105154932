"""A tracker on a bad day: a reverse proxy in front of a good one, on loopback, that does to requests what it is told.

    with BadTracker(server.url) as tracker:
        tracker.url                                  what the mapping names
        tracker.misbehave(drip, "GET")               from now on, to requests that match
        tracker.met, tracker.seen                    how many were met; what came at all
        tracker.behave()                             well again; what was held is let go

A misdeed is a function of the request that it meets. Whatever it does not do is done by nobody.
"""

import gzip
import http.client
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

JSON = "application/json;charset=UTF-8"
HTML = "text/html;charset=UTF-8"
PAGE = b"<!DOCTYPE html><html><head><title>Back soon</title></head><body><h1>Maintenance</h1></body></html>"
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
DRIP_SECONDS = 1.0  # between two bytes: never so long that a read alone would time out

Misdeed = Callable[["Request"], None]


@dataclass(frozen=True)
class Seen:
    """One request, as it came."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)


class BadTracker:
    """See the module's text. `upstream` None: there is nothing behind it, and what it passes on is answered by 404.

    With a `context` it speaks TLS: `handshakes` were completed, `refusals` were not, by whoever connected.
    """

    def __init__(self, upstream: str | None = None, context: ssl.SSLContext | None = None) -> None:
        self.upstream, self.context = urlsplit(upstream) if upstream else None, context
        self.seen: list[Seen] = []
        self.met = self.handshakes = self.refusals = self.held = 0
        self.well = threading.Event()  # nobody is met: what is held may go on
        self.closing = threading.Event()
        self._misdeed: Misdeed | None = None
        self._method, self._path = "*", ""
        self._lock = threading.Lock()
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self._full: list[socket.socket] = []
        self.open: set[socket.socket] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self._port}"

    def misbehave(self, misdeed: Misdeed, method: str = "*", path: str = "") -> None:
        """`path`: a regular expression, searched in the path with its query."""
        with self._lock:
            self._misdeed, self._method, self._path = misdeed, method, path
            self.well.clear()

    def behave(self) -> None:
        with self._lock:
            self._misdeed = None
            self.well.set()

    def take_no_connection(self) -> None:
        """Instead of start(): the port is taken, its queue is full, and nobody is let in."""
        full = socket.create_server(("127.0.0.1", self._port), backlog=0)
        self._full = [full]
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", self._port))
            self._full.append(waiting)

    def start(self) -> Self:
        """Listen; again at the same port, if it did before."""
        self.closing.clear()
        self._server = _Server(("127.0.0.1", self._port), _handler(self))
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def stop(self) -> None:
        """Nobody listens any more, and what was connected is cut off."""
        self.closing.set()
        self.well.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for each in list(self.open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for each in self._full:
            each.close()
        self._full.clear()

    def __enter__(self) -> Self:
        self.behave()
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def take(self, request: "Request") -> Misdeed | None:
        """What is to be done to this request, instead of passing it on."""
        with self._lock:
            self.seen.append(Seen(request.command, request.path, dict(request.headers)))
            if self._misdeed is None or self._method not in {"*", request.command}:
                return None
            if not re.search(self._path, request.path):
                return None
            self.met += 1
            return self._misdeed

    def count(self, *, handshakes: int = 0, refusals: int = 0, held: int = 0) -> None:
        with self._lock:
            self.handshakes += handshakes
            self.refusals += refusals
            self.held += held


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are what this is for."""


class Request(BaseHTTPRequestHandler):
    """A request that came, and what may be done to it."""

    protocol_version = "HTTP/1.1"
    tracker: BadTracker
    sent: bytes  # its body

    def setup(self) -> None:
        if self.tracker.context is not None:
            try:
                self.request = self.tracker.context.wrap_socket(self.request, server_side=True)
            except OSError:
                self.tracker.count(refusals=1)
                raise
            self.tracker.count(handshakes=1)
        super().setup()
        self.tracker.open.add(self.connection)

    def finish(self) -> None:
        self.tracker.open.discard(self.connection)
        try:
            super().finish()
        finally:
            self.connection.close()  # with TLS it is not the socket that the server knows

    def serve(self) -> None:
        self.sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        (self.tracker.take(self) or pass_on)(self)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the overridden method's
        """Say nothing."""

    # What a misdeed is made of

    def forward(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """Let the tracker behind do what is asked; its answer: status, headers, body."""
        upstream = self.tracker.upstream
        if upstream is None:
            return 404, [("Content-Type", JSON)], b'{"message": "There is nothing here."}'
        connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            connection.request(self.command, self.path, self.sent or None, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes, length: int | None = None) -> None:
        """`length`: what is said of the body, if not the truth."""
        self.head(status, headers, len(body) if length is None else length)
        if self.command != "HEAD":
            self.wfile.write(body)

    def head(self, status: int, headers: list[tuple[str, str]], length: int) -> None:
        """The head of an answer alone."""
        given = {name.lower() for name, _ in headers}
        self.send_response_only(status)
        if "date" not in given:
            self.send_header("Date", self.date_time_string())
        for name, value in headers:
            if name.lower() == "date" or name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def hang_up(self, *, reset: bool = False) -> None:
        """Close the connection; `reset`: so that the other side is told of an error."""
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        with suppress(OSError):
            self.wfile.close()
        self.connection.close()

    def hold(self) -> bool:
        """Wait until the tracker is well again. False if whoever asked has gone before, or the tracker is closed."""
        self.tracker.count(held=1)
        try:
            self.connection.settimeout(0.05)
            while not self.tracker.well.is_set():
                with suppress(TimeoutError):
                    if not self.connection.recv(1, *([] if self.tracker.context else [socket.MSG_PEEK])):
                        return False
            return not self.tracker.closing.is_set()
        except OSError:
            return False
        finally:
            self.tracker.count(held=-1)
            with suppress(OSError):
                self.connection.settimeout(None)


def _handler(tracker: BadTracker) -> type[Request]:
    methods = {f"do_{method}": Request.serve for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")}
    return type("Handler", (Request,), {"tracker": tracker, **methods})


# Misdeeds


def pass_on(request: Request) -> None:
    """No misdeed at all."""
    request.answer(*request.forward())


def fall_silent(request: Request) -> None:
    """The request is read; no byte comes back, and nothing is done."""
    request.hold()
    request.hang_up()


def hold_back(request: Request) -> None:
    """The request is read, and done once the tracker is well again, unless its sender has gone by then."""
    if request.hold():
        pass_on(request)
    else:
        request.hang_up()


def do_and_fall_silent(request: Request) -> None:
    """The act happens; the answer to it never comes."""
    request.forward()
    fall_silent(request)


def drip_body(request: Request) -> None:
    """The true answer, a byte at a time: its sender may wait for an hour."""
    status, headers, body = request.forward()
    request.head(status, headers, len(body))
    _drip(request, body)


def drip_head(request: Request) -> None:
    """As drip_body, and no end to the head even."""
    request.forward()
    _drip(request, b"HTTP/1.1 200 OK\r\n" + b"X-Padding: " + b"x" * 60_000)


def _drip(request: Request, content: bytes) -> None:
    with suppress(OSError):
        for byte in content:
            request.wfile.write(bytes([byte]))
            if request.tracker.well.wait(DRIP_SECONDS):
                break
    request.hang_up()


def reset(request: Request) -> None:
    """The request came, and was not done."""
    request.hang_up(reset=True)


def do_and_reset(request: Request) -> None:
    """The act happens; the connection breaks before its answer."""
    request.forward()
    request.hang_up(reset=True)


def do_and_answer_nothing(request: Request) -> None:
    """The act happens, and is answered by 200 without a body."""
    request.forward()
    request.answer(200, [("Content-Type", JSON)], b"")


def do_and_answer_page(request: Request) -> None:
    """The act happens, and is answered by a web page with status 200."""
    request.forward()
    answer_page(request)


def do_and_cut(request: Request) -> None:
    """The true answer, whose second half is missing."""
    status, headers, body = request.forward()
    request.answer(status, headers, body[: len(body) // 2], length=len(body) or 10)
    request.hang_up()


def do_and_cut_json(request: Request) -> None:
    """The true answer, whose second half is missing, and nothing in the head tells."""
    status, headers, body = request.forward()
    request.answer(status, headers, body[: len(body) // 2])


def answer_page(request: Request) -> None:
    """A page of whatever stands in front, with status 200."""
    request.answer(200, [("Content-Type", HTML)], PAGE)


def answer_empty(request: Request) -> None:
    request.answer(200, [("Content-Type", JSON)], b"")


def answer_own_json(request: Request) -> None:
    """JSON of whatever stands in front, with status 200."""
    request.answer(200, [("Content-Type", JSON)], b'{"message": "Hello", "issues": {}, "id": 10001}')


def answer_deep(request: Request) -> None:
    """JSON that nests deeper than any reader follows."""
    request.answer(200, [("Content-Type", JSON)], b'{"a":' * 200_000)


def answer_error(status: int) -> Misdeed:
    """An error with a web page."""

    def answer(request: Request) -> None:
        request.answer(status, [("Content-Type", HTML)], PAGE)

    return answer


def ask_for_pause(pause: timedelta, clock: Callable[[], datetime] | None = None) -> Misdeed:
    """429 with Retry-After in seconds; or, where a clock is given, as an HTTP date by that clock."""

    def answer(request: Request) -> None:
        headers = [("Content-Type", JSON)]
        if clock is None:
            headers.append(("Retry-After", f"{pause.total_seconds():.0f}"))
        else:
            now = clock()
            headers += [
                ("Date", format_datetime(now, usegmt=True)),
                ("Retry-After", format_datetime(now + pause, usegmt=True)),
            ]
        request.answer(429, headers, b'{"errorMessages": ["Rate limit exceeded."], "errors": {}}')

    return answer


def redirect(to: str, bomb: bytes = b"") -> Misdeed:
    """302 to the same path at another address; `bomb`: with that as its body."""

    def answer(request: Request) -> None:
        more = [("Content-Encoding", "gzip")] if bomb else []
        with suppress(OSError):
            request.answer(302, [("Location", f"{to}{request.path}"), ("Content-Type", HTML), *more], bomb)

    return answer


def explode(bomb: bytes, encoding: str = "gzip") -> Misdeed:
    """200 with a body of which unpacking makes a thousand times more."""

    def answer(request: Request) -> None:
        with suppress(OSError):
            request.answer(200, [("Content-Type", JSON), ("Content-Encoding", encoding)], bomb)

    return answer


def bomb_of(megabytes: int) -> bytes:
    """Sixteen megabytes or a multiple of it, packed into a thousandth (RFC 1952: a file may have several members)."""
    return gzip.compress(b"x" * (16 * 1024 * 1024), 6) * (megabytes // 16)


def packed(bomb: bytes) -> bytes:
    """The bomb, packed once more."""
    return gzip.compress(bomb, 6)
