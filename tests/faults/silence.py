"""A way to a server that goes silent without being closed, as a line does whose firewall has forgotten it."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from sqlalchemy import make_url


class Way:
    """Forwards between clients and the server of a database URL, on loopback; `url` leads through it."""

    def __init__(self, server_url: str) -> None:
        address = make_url(server_url)
        self._server = (str(address.host), int(address.port or 5432))
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = address.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        self.silenced = 0  # connections that went silent so far
        self._silent = False
        self._lines: list[_Line] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._listening.close()
        for line in self._lines:
            line.close()

    @contextlib.contextmanager
    def silence(self) -> Iterator[None]:
        """Every connection that is open, or opened meanwhile, is silent for ever: neither a byte nor its end passes."""
        self._silent = True
        for line in self._lines:
            line.silent = True
        self.silenced += len(self._lines)
        yield
        self._silent = False

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                line = _Line(client, socket.create_connection(self._server), silent=self._silent)
                self.silenced += line.silent
                self._lines.append(line)
                line.start()


class _Line:
    """One connection."""

    def __init__(self, client: socket.socket, server: socket.socket, *, silent: bool) -> None:
        self._client, self._server, self.silent = client, server, silent

    def start(self) -> None:
        for source, target in ((self._client, self._server), (self._server, self._client)):
            threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def close(self) -> None:
        self.silent = False  # so that its threads end
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if not self.silent:
                    target.sendall(data)
            if not self.silent:
                target.shutdown(socket.SHUT_RDWR)
