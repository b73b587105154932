"""The practice tracker as a web server on loopback, with its request log and its faults."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from flask import Flask, Response, jsonify
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request as WsgiRequest
from werkzeug.wrappers import Response as WsgiResponse

from connector.practice.api import UNIMPLEMENTED, Answer, api, unknown_call
from connector.practice.configuration import hooks_api
from connector.practice.faults import Fault, Faults, is_meant
from connector.practice.hooks import WebhookSender
from connector.practice.page import page
from connector.practice.world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_GATEWAY = re.compile(r"/ex/jira/([^/]+)(/rest/.*)")
_PAGE = re.compile(r"/($|browse/|practice/|favicon\.ico$)")


@dataclass(frozen=True)
class RequestRecord:
    """One call of the API. `status` is None where the connection was dropped before an answer was made."""

    method: str
    path: str
    query: str
    json: Any
    status: int | None
    unimplemented: bool = False


class RequestLog:
    """The API calls made so far, oldest first."""

    def __init__(self) -> None:
        self._records: list[RequestRecord] = []

    def __iter__(self) -> Iterator[RequestRecord]:
        return iter(list(self._records))

    def __len__(self) -> int:
        return len(self._records)

    def append(self, record: RequestRecord) -> None:
        self._records.append(record)

    def clear(self) -> None:
        self._records.clear()

    def matching(self, method: str = "*", path: str = "") -> list[RequestRecord]:
        """`path` is a regular expression, searched in the path, and in the path with its query."""
        return [each for each in self if method in {"*", each.method} and is_meant(path, each.path, each.query)]

    def count(self, method: str = "*", path: str = "") -> int:
        return len(self.matching(method, path))

    @property
    def unimplemented(self) -> list[RequestRecord]:
        """Calls of something this tracker, or this deployment of it, does not have."""
        return [each for each in self if each.unimplemented]


@dataclass(frozen=True)
class Exchange:
    """One genuine exchange, as told to the callbacks of `on_exchange`; answers made up by faults are not."""

    method: str
    url: str
    request_headers: dict[str, str]
    request_body: bytes
    status: int
    response_headers: dict[str, str]
    response_body: bytes


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  # the name of the overridden method's parameter
        """Say nothing: paths hold issue keys."""


class PracticeServer:
    """Serve a world on 127.0.0.1; `port` 0 takes a free one.

    with PracticeServer(world) as server:
        server.url, server.world, server.faults, server.requests, server.hooks
    """

    def __init__(self, world: World, port: int = 0) -> None:
        self.world = world
        self.faults = Faults()
        self.requests = RequestLog()
        self.hooks = WebhookSender(world)
        self.app = make_app(self)
        self._port = port
        self._told: list[Callable[[Exchange], None]] = []
        self._callback_errors: list[Exception] = []
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None
        self.stopping = threading.Event()

    @property
    def port(self) -> int:
        return self._server.server_port if self._server else self._port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def gateway_url(self) -> str:
        """Where Cloud's scoped tokens go."""
        return f"{self.url}/ex/jira/{self.world.cloud_id}"

    def on_exchange(self, callback: Callable[[Exchange], None]) -> None:
        """Tell `callback` of every genuine exchange. What it raises is raised again by `stop`."""
        self._told.append(callback)

    def start(self) -> Self:
        self.stopping.clear()
        app = _Exchanges(self)
        self._server = make_server("127.0.0.1", self._port, app, threaded=True, request_handler=_Quiet)
        self._port = self._server.server_port
        self.world.base_url = self.url
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="practice-server", daemon=True
        )
        self._thread.start()
        self.hooks.start()
        return self

    def stop(self) -> None:
        """Stop serving and sending; the world stays as it is and can be served again on the same port."""
        self.stopping.set()
        self.hooks.stop()
        if self._server and self._thread:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = self._thread = None
        if self._callback_errors:
            raise self._callback_errors.pop(0)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except Exception:
            if error is None:  # else the test's own error tells more
                raise

    def tell(self, exchange: Exchange) -> None:
        for callback in self._told:
            try:
                callback(exchange)
            except Exception as error:  # noqa: BLE001  # kept, and raised where the test can see it
                self._callback_errors.append(error)


def make_app(server: PracticeServer) -> Flask:
    app = Flask(__name__)
    app.extensions["practice_world"] = server.world
    app.extensions["practice_server"] = server
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider, which is the one in use
    app.register_blueprint(api)
    app.register_blueprint(hooks_api)
    app.register_blueprint(page)

    @app.get("/_edge/tenant_info")
    def tenant_info() -> Answer:
        if server.world.deployment != "cloud":
            return unknown_call()
        return jsonify({"cloudId": server.world.cloud_id})

    @app.errorhandler(NotFound)
    @app.errorhandler(MethodNotAllowed)
    def unknown(_error: Exception) -> Answer:
        return unknown_call()

    return app


class _Exchanges:
    """Around the app: the gateway's paths, the faults, the log, and who listens to exchanges."""

    def __init__(self, server: PracticeServer) -> None:
        self.server = server

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = WsgiRequest(environ)
        path = request.path
        if _PAGE.match(path):
            return self.server.app(environ, start_response)
        sent = request.get_data(cache=True)
        _replay(environ, sent)
        fault = self.server.faults.take(request.method, path, request.query_string.decode())
        if fault and fault.wait:
            self.server.stopping.wait(fault.wait)
        if fault and fault.drop == "before":
            self._note(request, sent, None)
            return _hang_up(environ)
        response = self._answer(environ, path, fault)
        self._note(request, sent, response)
        if fault and fault.callback:
            fault.callback()
        if fault is None or fault.status is None:
            self.server.tell(_exchange(request, sent, response))
        if fault and fault.drop == "after":
            return _hang_up(environ)
        return response(environ, start_response)

    def _answer(self, environ: "WSGIEnvironment", path: str, fault: Fault | None) -> WsgiResponse:
        if fault and fault.status is not None:
            made, kind = fault.payload()
            return WsgiResponse(made, fault.status, dict(fault.headers), content_type=kind)
        through = _GATEWAY.fullmatch(path)
        if through:
            if self.server.world.deployment != "cloud" or through[1] != self.server.world.cloud_id:
                return WsgiResponse(status=404)
            environ["PATH_INFO"] = through[2]
            environ["practice.gateway"] = True
        response = Response.from_app(self.server.app, environ, buffered=True)
        if fault:
            response.headers.update(fault.headers)
        return response

    def _note(self, request: WsgiRequest, sent: bytes, response: WsgiResponse | None) -> None:
        query = request.query_string.decode()
        status = None if response is None else response.status_code
        strange = response is not None and UNIMPLEMENTED in response.headers
        record = RequestRecord(request.method, request.path, query, _json(sent), status, strange)
        self.server.requests.append(record)


def _replay(environ: "WSGIEnvironment", sent: bytes) -> None:
    environ["wsgi.input"] = BytesIO(sent)
    environ["CONTENT_LENGTH"] = str(len(sent))


def _json(sent: bytes) -> Any:
    try:
        return json.loads(sent)
    except ValueError:
        return None


def _exchange(request: WsgiRequest, sent: bytes, response: WsgiResponse) -> Exchange:
    return Exchange(
        request.method,
        request.url,
        dict(request.headers),
        sent,
        response.status_code,
        dict(response.headers),
        response.get_data(),
    )


def _hang_up(environ: "WSGIEnvironment") -> Iterable[bytes]:
    """Close the connection without a byte of answer."""
    connection: socket.socket = environ["werkzeug.socket"]
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("dropped on demand")
