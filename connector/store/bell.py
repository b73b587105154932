"""Telling the other nodes that something is due: LISTEN and NOTIFY, on PostgreSQL alone.

A convenience, not a promise: each node looks every second anyway, so nothing here retries for the sake of one message,
and nothing here ever raises. NOTIFY takes a lock on the whole database at its commit, so it never stands in a webhook's
transaction, and each process sends at most fifty in a second.
https://www.postgresql.org/docs/current/sql-notify.html
"""

import contextlib
import secrets
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

if TYPE_CHECKING:  # an extra
    from connector.store.postgresql import PatientConnection

Ring = Callable[[], None]

_CHANNEL = "connector_due"
_PAUSE_SECONDS = 0.02  # between two messages
_STOP_SECONDS = 1.0  # how long stopping may take
_GLANCE_SECONDS = 0.5  # how soon a listener sees that it should stop
_PROOF_EVERY = 20  # quiet glances until the connection has to prove that it stands
_LONGEST_BACKOFF = 5.0


class Bell:
    """One node's bell. Thread safe. On SQLite it is silent: there is no other node."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_silent = engine.dialect.name == "sqlite"
        self._node = secrets.token_hex(8)
        self._changed = threading.Condition()
        self._rung = self._stopping = False
        self._ringer: threading.Thread | None = None
        self._listeners: list[Listener] = []

    def ring(self) -> None:
        """Something is due: tell the others soon. Returns at once."""
        if self._is_silent or self._rung:  # a message that is still to be sent will do
            return
        with self._changed:
            self._rung = True
            self._changed.notify()
            if self._ringer is None and not self._stopping:
                self._ringer = threading.Thread(target=self._keep_ringing, name="bell", daemon=True)
                self._ringer.start()

    def listen(self, on_due: Callable[[], None]) -> "Listener":
        """Call `on_due`, in a thread of its own, when another node rings, and after each new connection."""
        listener = Listener(None if self._is_silent else self._connect, self._node, on_due)
        self._listeners.append(listener)
        return listener

    def close(self) -> None:
        """Send what is still to be sent, and stop. Takes a second or two at most. May be called twice."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._ringer is not None:
            self._ringer.join(_STOP_SECONDS)
        for listener in self._listeners:
            listener.stop()

    def _connect(self) -> "PatientConnection":
        from connector.store.postgresql import connect  # noqa: PLC0415  # an extra

        return connect(self._engine)

    def _keep_ringing(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._rung or self._stopping)
                if not self._rung:
                    return
                self._rung = False  # before it is sent: what becomes due from here on rings again
            # Whatever fails: the others look by themselves.
            with contextlib.suppress(Exception), self._engine.connect() as connection:
                connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (_CHANNEL, self._node))
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, _PAUSE_SECONDS)


class Listener:
    """Hears the other nodes' bells until it is stopped."""

    def __init__(
        self, connect: "Callable[[], PatientConnection] | None", node: str, on_due: Callable[[], None]
    ) -> None:
        self._node, self._on_due = node, on_due
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        if connect is not None:
            self._thread = threading.Thread(target=self._keep_listening, args=[connect], name="listener", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Hear no more. Takes a second at most. May be called twice."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)

    def _keep_listening(self, connect: "Callable[[], PatientConnection]") -> None:
        backoff = 0.0
        while not self._stopping.wait(backoff):
            backoff = min(2 * backoff + 0.1, _LONGEST_BACKOFF)
            # Whatever fails: this node looks by itself meanwhile.
            with contextlib.suppress(Exception), connect() as connection:
                connection.execute(f"LISTEN {_CHANNEL}")
                backoff = 0.1
                self._tell()  # something may have been said before
                self._hear(connection)

    def _hear(self, connection: Any) -> None:
        quiet = 0
        while not self._stopping.is_set():
            quiet += 1
            for message in connection.notifies(timeout=_GLANCE_SECONDS, stop_after=1):
                quiet = 0
                if message.payload != self._node:
                    self._tell()
            if quiet >= _PROOF_EVERY:
                connection.execute("SELECT 1")
                quiet = 0

    def _tell(self) -> None:
        with contextlib.suppress(Exception):  # whose it is has its own log; the next message must be heard
            self._on_due()
