"""The web server: waitress on one address, with limits for slow and greedy clients and an orderly end.

What waitress refuses to read (a malformed request, a body beyond all limits) is answered here, in our own words and
with nothing of the request in it; and its log never shows a path, which may hold a shared secret.
"""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

from waitress import wasyncore  # type: ignore[import-untyped]  # waitress ships no types
from waitress.adjustments import Adjustments  # type: ignore[import-untyped]  # the same
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]  # the same
from waitress.server import TcpWSGIServer  # type: ignore[import-untyped]  # the same
from waitress.task import ThreadedTaskDispatcher, WSGITask  # type: ignore[import-untyped]  # the same

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

THREADS = 8
CONNECTIONS = 200
IDLE_SECONDS = 30  # a kept connection without a request
REQUEST_SECONDS = 60  # from the first to the last byte of a request, however slowly they drip
STOP_SECONDS = 10  # how long requests in hand may take to end

# Well above what the application takes (25 MB), so that it can answer a body that is a little too large in peace.
_READ_LIMIT_BYTES = 32 * 1024 * 1024
_HEADER_LIMIT_BYTES = 64 * 1024
_SWEEP_SECONDS = 5


class ListenError(Exception):
    """The address cannot be listened on. The message says which, why, and what to do."""


class WebServer:
    """Serves `app` on `host` (a name or address) and `port` (0: any free one) in threads of its own."""

    def __init__(self, app: WsgiApp, host: str, port: int) -> None:
        self._app, self._host, self._port = app, host, port
        self._map: dict[int, Any] = {}
        self._dispatcher: Any = ThreadedTaskDispatcher()
        self._stopping = threading.Event()
        self._waking = threading.Lock()  # nothing is closed while stop() still wakes the loop
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._server: Any = None

    @property
    def url(self) -> str:
        """Where the server listens, once it is started."""
        host = self._server.effective_host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._server.effective_port}"

    def start(self) -> None:
        """Listen, and serve until stop(). Raises ListenError."""
        try:
            self._server = self._listen()
        except (OSError, ValueError) as error:
            wasyncore.close_all(self._map, ignore_all=True)
            raise ListenError(self._why_not(error)) from error
        self._dispatcher.set_thread_count(THREADS)
        self._thread.start()

    def stop(self) -> None:
        """Accept nothing more, let the requests in hand end (for at most ten seconds), close every connection."""
        if self._server is None or self._stopping.is_set():
            return
        with self._waking:
            self._stopping.set()
            self._server.pull_trigger()
        self._thread.join()

    def _listen(self) -> Any:
        limits = Adjustments(
            host=f"[{self._host}]" if ":" in self._host else self._host,
            port=self._port,
            ident=None,  # no Server header
            connection_limit=CONNECTIONS,
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=_SWEEP_SECONDS,
            max_request_header_size=_HEADER_LIMIT_BYTES,
            max_request_body_size=_READ_LIMIT_BYTES,
            log_socket_errors=False,  # a client that goes away is no news
            asyncore_use_poll=True,
        )
        # A name may stand for an IPv6 and an IPv4 address; one is enough, and all clients speak the latter.
        address = min(limits.listen, key=lambda info: info[0] != socket.AF_INET)
        return _Server(self._app, map=self._map, dispatcher=self._dispatcher, adj=limits, sockinfo=address)

    def _why_not(self, error: Exception) -> str:
        where = f"{self._host}:{self._port}"
        reason = error.strerror if isinstance(error, OSError) else "there is no such host"
        return (
            f"cannot listen on {where} ({reason}): end what listens there, or set CONNECTOR_LISTEN to another address"
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._turn(1.0)
        with self._waking:
            pass
        wasyncore.dispatcher.close(self._server)  # the listening socket alone; connections go on
        deadline = time.monotonic() + STOP_SECONDS
        while self._close_idle() and time.monotonic() < deadline:
            self._turn(0.1)
        self._dispatcher.shutdown(timeout=0.5)
        wasyncore.close_all(self._map, ignore_all=True)

    def _turn(self, timeout: float) -> None:
        wasyncore.loop(timeout=timeout, use_poll=True, map=self._map, count=1)

    def _close_idle(self) -> bool:
        """Close the connections that have no request in hand. True if others are left."""
        channels = list(self._server.active_channels.values())
        for channel in channels:
            if not channel.is_busy:
                channel.will_close = True
        return any(channel.is_busy or channel.will_close for channel in channels)


class _Server(TcpWSGIServer):  # type: ignore[misc]  # waitress ships no types
    """Closes, besides idle connections, those whose request takes too long to arrive."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.channel_class = _Channel
        super().__init__(*args, **kwargs)

    def maintenance(self, now: float) -> None:
        super().maintenance(now)
        for channel in self.active_channels.values():
            if channel.request is not None and channel.request_since < now - REQUEST_SECONDS:
                channel.will_close = True


class _WithoutPath(logging.LoggerAdapter[logging.Logger]):
    """Waitress ends some messages with the path of a request."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return str(msg).partition(" while serving ")[0], kwargs


class _ErrorTask(WSGITask):  # type: ignore[misc]  # waitress ships no types
    """Answers a request that waitress would not read to its end."""

    def execute(self) -> None:
        code = self.request.error.code
        if code == 413:
            self._let_application_answer()
            return
        # Waitress says 501 of an unknown transfer encoding: to us it is one more request that cannot be read.
        self.status = {431: "431 Request Header Fields Too Large", 500: "503 Service Unavailable"}.get(
            code, "400 Bad Request"
        )
        body = json.dumps({"message": "The request cannot be answered."}).encode()
        self.response_headers += [
            ("Content-Type", "application/json"),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        self.complete, self.content_length = True, len(body)
        self.set_close_on_finish()
        self.write(body)

    def _let_application_answer(self) -> None:
        """The application knows the source and counts; told the true length, it refuses without reading."""
        length = max(self.request.content_length, self.request.body_bytes_received)
        self.request.headers["CONTENT_LENGTH"] = str(length)
        self.set_close_on_finish()
        super().execute()


class _Task(WSGITask):  # type: ignore[misc]  # waitress ships no types
    """Keeps the connection after an answer that has no body by its status, such as 204.

    Waitress closes it then, though the length of such an answer is known (RFC 9110 section 6.4.1, RFC 9112 section
    6.3): every webhook would need a connection of its own, through a proxy too.
    """

    close_on_finish: bool

    def build_response_header(self) -> bytes:
        asked_to_close = "close" in self.request.headers.get("CONNECTION", "").lower()
        keeps = self.version == "1.1" and not (self.has_body or self.close_on_finish or asked_to_close)
        head: bytes = super().build_response_header()
        if keeps:
            self.close_on_finish = False
            head = head.replace(b"\r\nConnection: close\r\n", b"\r\n", 1)
        return head


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress ships no types
    """One connection."""

    task_class = _Task
    error_task_class = _ErrorTask
    logger = _WithoutPath(logging.getLogger("waitress"))
    request_since = 0.0  # when the first byte of the request came that is being received

    def received(self, data: bytes) -> bool:
        before = self.request
        taken: bool = super().received(data)
        if self.request is not before:
            self.request_since = time.time()
        return taken

    @property
    def is_busy(self) -> bool:
        """A request is being received or answered, or its answer is not sent yet."""
        return self.request is not None or bool(self.requests) or bool(self.total_outbufs_len)
