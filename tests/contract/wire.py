"""A way to a tracker on which things go wrong when asked: what every tracker meets is brought about in one place.

with Wire("http://127.0.0.1:8080") as wire:
    wire.url        the tracker, seen through the wire
    wire.calls      (method, path) of what came through since it was last cleared
    wire.fault = Fault(status=401)
"""

import http.client
import re
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_READING = re.compile(r"search|jql/match|bulkfetch")  # calls that only ask, though they are no GET
_NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server"}


@dataclass
class Fault:
    """What calls meet while it stands.

    of_changes  only calls that may change something meet it, and only the first of them
    status      answered with this, and nothing comes through to the tracker; None: it does come through
    silent      what came through is never answered; otherwise, without a status, the connection is cut
    """

    of_changes: bool = False
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    silent: bool = False


class Wire:
    """A proxy on 127.0.0.1. Thread safe."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream)
        self.fault: Fault | None = None
        self.calls: list[tuple[str, str]] = []
        self.ended = threading.Event()  # lets those go that wait in silence
        self.open: set[socket.socket] = set()
        self._lock = threading.Lock()
        wire = self

        class Handler(_Handler):
            of = wire

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,), name="wire", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{self.upstream.path}"

    @property
    def changes(self) -> list[tuple[str, str]]:
        """The calls that may have changed something."""
        return [call for call in self.calls if _changes(*call)]

    def met_by(self, method: str, path: str) -> Fault | None:
        """The fault that this call meets; the call is noted."""
        with self._lock:
            self.calls.append((method, path))
            met = self.fault
            if met is None or (met.of_changes and not _changes(method, path)):
                return None
            if met.of_changes:
                self.fault = None
            return met

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for connection in list(self.open):
            hang_up(connection)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # those that stay connected are cut off


class _Handler(BaseHTTPRequestHandler):
    of: Wire
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self.of.open.add(self.connection)

    def finish(self) -> None:
        self.of.open.discard(self.connection)
        try:
            super().finish()
        except OSError:
            self.close_connection = True  # it was cut

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.of.met_by(self.command, self.path)
        if fault is not None and fault.status is not None:
            kind = "text/html" if fault.body.startswith("<") else "application/json"
            self._answer(fault.status, {"Content-Type": kind, **fault.headers}, fault.body.encode())
            return
        answer = self._pass_on(body)
        if fault is None:
            self._answer(*answer)
            return
        if fault.silent:
            self.of.ended.wait(20)
        self.close_connection = True
        hang_up(self.connection)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  # the names that the base class calls

    def _pass_on(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        to = http.client.HTTPConnection(str(self.of.upstream.hostname), self.of.upstream.port, timeout=60)
        try:
            to.request(self.command, self.path, body or None, _passed_on(self.headers))
            answer = to.getresponse()
            return answer.status, _passed_on(answer.headers), answer.read()
        finally:
            to.close()

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the overridden method's name
        """Say nothing."""


def hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was faster


def _changes(method: str, path: str) -> bool:
    return method != "GET" and not _READING.search(path)


def _passed_on(headers: Message) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _NOT_PASSED_ON}
