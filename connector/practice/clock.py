"""A clock that tests and visitors of the demo can move."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class PracticeClock:
    """Calling the clock gives the moment it shows, aware and in UTC.

    `PracticeClock()` runs along with real time; `PracticeClock(moment)` stands still until it is moved.
    Each function in `on_move` is called with the new moment after every move.
    """

    def __init__(self, at: datetime | None = None) -> None:
        self._lock = threading.Lock()
        self._stands_at = None if at is None else _aware(at)
        self._offset = timedelta(0)
        self.on_move: list[Callable[[datetime], None]] = []

    def now(self) -> datetime:
        with self._lock:
            return self._stands_at if self._stands_at is not None else datetime.now(UTC) + self._offset

    __call__ = now

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move by an exact span of time: a day is 24 hours here."""
        self.set(self.now() + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds))

    def set(self, moment: datetime) -> None:
        """Show `moment` (aware). A running clock runs on from there."""
        moment = _aware(moment)
        with self._lock:
            if self._stands_at is not None:
                self._stands_at = moment
            else:
                self._offset = moment - datetime.now(UTC)
        for told in list(self.on_move):
            told(moment)


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("the clock needs a moment with its time zone")
    return moment.astimezone(UTC)
