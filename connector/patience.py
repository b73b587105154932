"""Asking something that may not answer: at most one question at a time, and nobody waits for long.

Whoever asks while a question is under way waits for that one's answer, so a database that hangs holds one thread of
ours, however often /readyz and /metrics are asked.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

_T = TypeVar("_T")

ANSWER_SECONDS = 1.5  # monitors of every kind wait two seconds at least


class TooSlow(Exception):
    """There is no answer yet; the question goes on, and whoever asks next may have it."""


class Patience(Generic[_T]):
    """Calls `ask` in a thread of its own. Thread safe."""

    def __init__(self, ask: Callable[[], _T], seconds: float | None = None) -> None:
        self._ask, self._seconds = ask, ANSWER_SECONDS if seconds is None else seconds
        self._lock = threading.Lock()
        self._under_way: Future[_T] | None = None

    def __call__(self) -> _T:
        """The answer. Raises what `ask` raised, and TooSlow after `seconds`."""
        with self._lock:
            answer = self._under_way
            if answer is None:
                answer = self._under_way = Future()
                threading.Thread(target=self._run, args=[answer], name="patience", daemon=True).start()
        try:
            return answer.result(self._seconds)
        except TimeoutError:
            if answer.done():  # just now, or the time-out is what the question itself ran into
                return answer.result()
            raise TooSlow from None

    def _run(self, answer: Future[_T]) -> None:
        try:
            found = self._ask()
        except BaseException as error:  # noqa: BLE001  whoever asked is told
            self._forget()
            answer.set_exception(error)
        else:
            self._forget()
            answer.set_result(found)

    def _forget(self) -> None:
        with self._lock:
            self._under_way = None
