"""Changes that come too late are not sent.

A process can be stopped at any point and for any time: by SIGSTOP, a paused machine, one that swaps. When it goes on,
another worker may have looked whether its act stands on the ticket, not found it, and done it; and no tracker takes a
condition with a comment. So whether a change may still go is asked as the last thing before its bytes do, the body's
too, on a connection that stands. Between the answer and the system's call lie microseconds that nobody can guard.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from urllib3.connection import HTTPConnection

from connector.trackers.port import TooLate

_Question = Callable[[], bool]

_in_time: ContextVar[_Question | None] = ContextVar("in_time", default=None)
_asked: ContextVar[_Question | None] = ContextVar("asked", default=None)  # `_in_time`, while a change is sent


@contextmanager
def changes_only_if(in_time: _Question | None) -> Iterator[None]:
    """In this block and thread, a change is sent only if `in_time` says so; otherwise TooLate. None: in any case."""
    token = _in_time.set(in_time)
    try:
        yield
    finally:
        _in_time.reset(token)


@contextmanager
def sending(method: str, *, changes: bool) -> Iterator[None]:
    """What connections send in this block and thread is such a request."""
    # A DELETE takes back what should not be there: that is never too late.
    token = _asked.set(_in_time.get() if changes and method != "DELETE" else None)
    try:
        yield
    finally:
        _asked.reset(token)


class Timely(HTTPConnection):
    """A connection that sends no bytes of a change whose time is over. Raises TooLate."""

    def send(self, data: Any) -> None:
        if self.sock is None and self.auto_open:
            self.connect()  # may take long
        in_time = _asked.get()
        if in_time is not None and not in_time():
            raise TooLate("The change was not sent: its turn came too late. The ticket is looked at anew.")
        super().send(data)
