"""A way to the database that can be cut, go silent, or be cut at the moment of a COMMIT."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from sqlalchemy import make_url


class Proxy:
    """Forwards between clients and the server of a URL, on loopback; `url` leads through it."""

    def __init__(self, server_url: str) -> None:
        address = make_url(server_url)
        self._server = (str(address.host), int(address.port or 5432))
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = address.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        self.is_dead = False  # swallows everything, as a firewall does that has forgotten the connection
        self.cuts_at: bytes | None = None  # what the client sends last: the server gets it, the answer is lost
        self.silenced = 0  # connections that went silent for ever
        self._is_silent = False
        self._lines: list[_Line] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._listening.close()
        self.cut()

    def cut(self) -> None:
        """Close every connection, both ways."""
        while self._lines:
            self._lines.pop().close()

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Every connection that is open, or opened meanwhile, is silent for ever: neither a byte nor its end passes."""
        self._is_silent = True
        for line in self._lines:
            line.is_silent = True
        self.silenced += len(self._lines)
        yield
        self._is_silent = False

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                line = _Line(self, client, socket.create_connection(self._server), is_silent=self._is_silent)
                self.silenced += line.is_silent
                self._lines.append(line)
                line.start()


class _Line:
    """One connection of a client to the server."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket, *, is_silent: bool) -> None:
        self._proxy, self._client, self._server, self.is_silent = proxy, client, server, is_silent

    def start(self) -> None:
        for source, target in ((self._client, self._server), (self._server, self._client)):
            threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def close(self) -> None:
        self.is_silent = False  # so that its threads end
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if self.is_silent or self._proxy.is_dead:
                    continue
                cuts_at = self._proxy.cuts_at if source is self._client else None
                target.sendall(data)
                if cuts_at is not None and cuts_at in data:
                    self._proxy.cuts_at = None
                    source.shutdown(socket.SHUT_RDWR)
                    source.close()
                    return  # the server's side stays open until it has done what it was told
        if not self.is_silent:
            with suppress(OSError):
                target.shutdown(socket.SHUT_RDWR)
