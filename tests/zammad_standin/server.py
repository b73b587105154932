"""The stand-in as a web server on loopback, with faults and a log of its calls."""

import re
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tests.zammad_standin.api import make_app
from tests.zammad_standin.hooks import WAITS, Sender
from tests.zammad_standin.world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@dataclass
class Fault:
    """One answer instead of the right one, or the right one that gets lost (`drop_after`)."""

    method: str
    path: str  # a regular expression, searched in the path
    status: int = 503
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    drop_after: bool = False


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  # the name of the overridden parameter
        """Say nothing."""


class ZammadStandin:
    """Serve a world on 127.0.0.1, on a free port.

    with ZammadStandin(clock) as zammad:
        zammad.url, zammad.world, zammad.faults, zammad.calls, zammad.before, zammad.hooks
    """

    def __init__(self, clock: Callable[[], datetime], *, waits: tuple[float, ...] = WAITS, **settings: Any) -> None:
        self.world = World(clock, **settings)
        self.hooks = Sender(self.world, waits)
        self.faults: list[Fault] = []
        self.calls: list[tuple[str, str]] = []
        # (method, path as of Fault, what a person does right before the first such call is answered)
        self.before: list[tuple[str, str, Callable[[], object]]] = []
        self.app = make_app(self.world)
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        assert self._server
        return f"http://127.0.0.1:{self._server.server_port}"

    def count(self, method: str, path: str = "") -> int:
        """Calls so far; `path` is a regular expression."""
        return sum(1 for how, what in self.calls if how == method and re.search(path, what))

    def __enter__(self) -> Self:
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True, request_handler=_Quiet)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="zammad-standin", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hooks.stop()
        if self._server and self._thread:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def _serve(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = Request(environ)
        self.calls.append((request.method, request.path.removeprefix("/api/v1/")))
        for each in [each for each in self.before if each[0] == request.method and re.search(each[1], request.path)]:
            self.before.remove(each)
            each[2]()
        fault = next(
            (each for each in self.faults if each.method == request.method and re.search(each.path, request.path)), None
        )
        if fault is None:
            return self.app(environ, start_response)
        self.faults.remove(fault)
        if fault.drop_after:
            Response.from_app(self.app, environ, buffered=True)
            return _hang_up(environ)
        content_type = "text/html" if fault.body.startswith("<") else "application/json"
        return Response(fault.body, fault.status, list(fault.headers), content_type=content_type)(
            environ, start_response
        )


def _hang_up(environ: "WSGIEnvironment") -> Iterable[bytes]:
    """The connection breaks off where the answer should come."""
    connection: socket.socket = environ["werkzeug.socket"]
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("dropped on demand")
