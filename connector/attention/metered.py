"""A tracker whose calls are counted and timed."""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from connector.metrics import Metrics
from connector.tracing import span
from connector.trackers.port import (
    AccessRefused,
    Edit,
    Markup,
    Misconfigured,
    RateLimited,
    Refused,
    Sighting,
    Ticket,
    TicketGone,
    Tracker,
    Unavailable,
)

_OUTCOMES: tuple[tuple[type[Exception], str], ...] = (
    (Unavailable, "unavailable"),
    (RateLimited, "rate_limited"),
    (AccessRefused, "access_refused"),
    (Misconfigured, "misconfigured"),
    (TicketGone, "gone"),
    (Refused, "refused"),
)


class Metered:
    """Tracker (see port) that passes every call on, and tells the metrics how it ended and how long it took."""

    def __init__(self, tracker: Tracker, metrics: Metrics, source: str) -> None:
        self._tracker, self._metrics, self._source = tracker, metrics, source
        self.markup: Markup = tracker.markup
        self.atomic, self.bulk = tracker.atomic, tracker.bulk

    def fetch(self, ticket_id: str, *, with_history: bool) -> Ticket | None:
        with self._timed("fetch"):
            return self._tracker.fetch(ticket_id, with_history=with_history)

    def fetch_many(self, ticket_ids: Collection[str], *, with_history: bool) -> Mapping[str, Ticket | None]:
        with self._timed("fetch_many"):
            return self._tracker.fetch_many(ticket_ids, with_history=with_history)

    def edit(self, ticket: Ticket, edit: Edit) -> None:
        with self._timed("edit"):
            self._tracker.edit(ticket, edit)

    def recheck(self, ticket: Ticket, refs: Collection[str]) -> None:
        with self._timed("recheck"):
            self._tracker.recheck(ticket, refs)

    def find(self, key: str) -> str | None:
        with self._timed("find"):
            return self._tracker.find(key)

    def changed_since(self, moment: datetime | None) -> Iterator[Sighting]:
        with self._timed("changed_since"):
            yield from self._tracker.changed_since(moment)

    def close(self) -> None:
        self._tracker.close()

    @contextmanager
    def _timed(self, call: str) -> Iterator[None]:
        began, outcome = time.monotonic(), "ok"
        with span(call, self._source) as told:
            try:
                yield
            except Exception as error:
                outcome = next((name for kind, name in _OUTCOMES if isinstance(error, kind)), "failed")
                if isinstance(error, RateLimited):
                    self._metrics.pause_asked(self._source, error.retry_after)
                raise
            finally:
                told.outcome = outcome
                self._metrics.called(self._source, outcome, time.monotonic() - began)
