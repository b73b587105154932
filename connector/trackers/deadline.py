"""Answers that end: each must have come, to its last byte, within ANSWER_SECONDS of its request.

The time-outs of `requests` bound each wait for bytes, not all of them together: an answer that drips a byte a second
would hold a thread for days, its head included. So what is read from the socket is read with the time that is left.
"""

import http.client
import io
import socket
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPSConnection

from connector.trackers.late import Timely

ANSWER_SECONDS = 60.0  # the calls of one act, each as long as this, are over before the lease of the ticket is


def tame(session: requests.Session) -> None:
    """Let the session's answers end in time, and let it look at no redirect: it would read that answer whole first."""
    for prefix, adapter in list(session.adapters.items()):
        if type(adapter) is HTTPAdapter:
            session.mount(prefix, _Adapter())
    session.get_redirect_target = _nowhere  # type: ignore[method-assign]  # requests has no setting for it


def _nowhere(resp: requests.Response) -> str | None:  # noqa: ARG001  the overridden method's
    return None


class _Received(io.RawIOBase):
    """What a socket receives, with its time-out for each read, until the deadline. Raises TimeoutError."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket, self._raw = connection, connection.makefile("rb", buffering=0)
        self._patience = connection.gettimeout()  # seconds between two bytes; None: any
        self._deadline = time.monotonic() + ANSWER_SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer has taken too long")
        self._socket.settimeout(left if self._patience is None else min(self._patience, left))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Received(sock))


class _Plain(Timely):
    response_class = _Response


class _Encrypted(Timely, HTTPSConnection):
    response_class = _Response


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _EncryptedPool(HTTPSConnectionPool):
    ConnectionCls = _Encrypted


_POOLS = {"http": _PlainPool, "https": _EncryptedPool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        if isinstance(manager, ProxyManager):  # not one for SOCKS, whose connections are another kind
            manager.pool_classes_by_scheme = _POOLS
        return manager
