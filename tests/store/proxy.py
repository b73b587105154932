"""A way to the database that can be cut, go dead, or be cut at the moment of a COMMIT."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from sqlalchemy import make_url


class Proxy:
    """Forwards between the client and the server of a URL, on loopback; `url` leads through it."""

    def __init__(self, server_url: str) -> None:
        address = make_url(server_url)
        self._server = (str(address.host), int(address.port or 5432))
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = address.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        self.is_dead = False  # swallows everything, as a firewall does that has forgotten the connection
        self.cuts_at: bytes | None = None  # what the client sends last: the server gets it, the answer is lost
        self._open: list[socket.socket] = []

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
        while self._open:
            end = self._open.pop()
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._server)
                self._open += [client, server]
                threading.Thread(target=self._forward, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._forward, args=(server, client, False), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, from_client: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if self.is_dead:
                    continue
                is_last = from_client and self.cuts_at is not None and self.cuts_at in data
                target.sendall(data)
                if is_last:
                    self.cuts_at = None
                    source.shutdown(socket.SHUT_RDWR)
                    source.close()
                    return  # the server's side stays open until it has done what it was told
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
