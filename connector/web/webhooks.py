"""Webhooks: a tracker says that a ticket changed.

    known source?   404
    read the body   413 above 25 MB
    verify          401: no signature or secret of the source fits the bytes as they came
    read the news   200 if it is about no ticket, or cannot be understood: nor could it be the next time
    note it         204 once the ticket is due, committed durably; 503 if that failed, and the sender tries again

Nothing else happens in the request: no call to the tracker, no look at the mapping. Jira Cloud retries 5xx but no other
4xx than 408, 409, 425 and 429, and counts 200 and 204 as taken (announcement of its webhook delivery success rate); so
whatever fails on our side is a 503. The path may hold a shared secret: it is never logged, nor repeated in an answer.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from connector.metrics import UNKNOWN_SOURCE, Metrics
from connector.store import DatabaseError, Store
from connector.telemetry import bind, new_correlation_id
from connector.tracing import span
from connector.trackers.port import News

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 25 * 1024 * 1024  # Jira's largest payloads; what is refused here is lost until the next poll
RETRY_AFTER_SECONDS = 30
_SELDOM = timedelta(seconds=10)

# Result -> status, and one sentence for whoever reads the sender's log. None: nothing to say.
_ANSWERS: Mapping[str, tuple[int, str | None]] = {
    "accepted": (204, None),
    "ignored": (200, "This event is about no ticket: nothing to do."),
    "unreadable": (200, "This event cannot be understood: nothing to do."),
    "unknown_source": (404, "There is no such source."),
    "refused_signature": (401, "The signature or secret is missing or wrong."),
    "too_large": (413, "The body is larger than 25 MB."),
    "unavailable": (503, "The event could not be noted now. Try again later."),
}


class Verify(Protocol):
    """Says whether a request comes from somebody who knows a secret of the source. Never raises for what came in.

    `headers` are as WSGI hands them over (PEP 3333): each byte of a value one character, the names as X-Hub-Signature.
    """

    def __call__(
        self, headers: Mapping[str, str], raw: bytes, secrets: Sequence[str], *, path_secret: str | None
    ) -> bool: ...


@dataclass(frozen=True, slots=True)
class WebSource:
    """What webhooks need of a source. `secrets` is asked at each request, so that a rotated one counts at once."""

    name: str
    secrets: Callable[[], Sequence[str]]
    verify: Verify
    read_news: Callable[[bytes], News]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a request."""

    result: str
    event: str = ""
    ticket_id: str | None = None


class Webhooks:
    """The requests of all sources. Thread safe. `on_notice` is called with the source's name after each commit."""

    def __init__(
        self,
        sources: Mapping[str, WebSource],
        store: Store,
        metrics: Metrics,
        clock: Callable[[], datetime],
        on_notice: Callable[[str], None],
    ) -> None:
        self._sources, self._store, self._metrics = sources, store, metrics
        self._clock, self._on_notice = clock, on_notice
        self._heard, self._complaints = _Seldom(), _Seldom()

    def register(self, app: Flask) -> None:
        """Add the routes. A slash at the end is forgiven: a 404 would lose the event."""
        for rule in ("/webhooks/<source>", "/webhooks/<source>/", "/webhooks/<source>/<path:path_secret>"):
            app.add_url_rule(rule, "webhook", self.receive, methods=["POST"], provide_automatic_options=False)

    def receive(self, source: str, path_secret: str | None = None) -> Response:
        """Answer one request."""
        known = self._sources.get(source)
        correlation_id, name = new_correlation_id(), UNKNOWN_SOURCE if known is None else source
        with bind(correlation_id=correlation_id, source=name), span("webhook", name) as told:
            if known is None:
                verdict = Verdict("unknown_source")
            else:
                verdict = self._judge_safely(known, path_secret, correlation_id)
            told.outcome = verdict.result
            self._metrics.webhook(source, verdict.result, verdict.event)
            self._log(name, verdict)
            if verdict.result == "accepted":
                self._tell(source)
        return _answer(verdict)

    def _judge_safely(self, source: WebSource, path_secret: str | None, correlation_id: str) -> Verdict:
        try:
            return self._judge(source, path_secret, correlation_id)
        except RequestEntityTooLarge:
            return Verdict("too_large")
        except DatabaseError as error:
            log.error("webhook not noted", reason=str(error))
        except Exception:
            log.exception("webhook not noted")  # whatever fails here may pass, and the sender tries again
        return Verdict("unavailable")

    def _judge(self, source: WebSource, path_secret: str | None, correlation_id: str) -> Verdict:
        raw = request.get_data(cache=False)
        if not source.verify(dict(request.headers.items()), raw, source.secrets(), path_secret=path_secret):
            return Verdict("refused_signature")
        news = self._read(source, raw)
        if news.ticket_id is not None:
            try:
                self._store.attention.notice(
                    source.name, news.ticket_id, news.key, self._clock(), correlation_id=correlation_id
                )
            except ValueError:
                return Verdict("unreadable", news.event)  # no tracker gives such an id or key
            return Verdict("accepted", news.event, news.ticket_id)
        self._note_heard(source.name)
        return Verdict("unreadable" if news.event == "unreadable" else "ignored", news.event)

    def _read(self, source: WebSource, raw: bytes) -> News:
        try:
            return source.read_news(raw)
        except Exception:
            log.exception("webhook not understood")  # nor would it be the next time: there is no use in a retry
            return News(None, event="unreadable")

    def _note_heard(self, source: str) -> None:
        """Note that the source is heard from, though about nothing. (A notice does so itself.)"""
        now = self._clock()
        if self._heard.is_due(source, now):
            try:
                self._store.sources.heard(source, now)
            except DatabaseError as error:
                log.warning("not noted that the source was heard", reason=str(error))  # nothing is lost by that

    def _tell(self, source: str) -> None:
        try:
            self._on_notice(source)
        except Exception:
            log.exception("attention could not be woken")  # its next round comes anyway

    def _log(self, source: str, verdict: Verdict) -> None:
        if verdict.result in {"accepted", "ignored"}:
            log.info("webhook", result=verdict.result, about=verdict.event, ticket_id=verdict.ticket_id)
        elif self._complaints.is_due(f"{source} {verdict.result}", self._clock()):
            # Anybody can send what is refused, so the log tells of it seldom. The metrics count each.
            log.warning("webhook", result=verdict.result, about=verdict.event)


class _Seldom:
    """Says of each name whether ten seconds have passed since it last said so. The names must be few. Thread safe."""

    def __init__(self) -> None:
        self._last: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def is_due(self, name: str, now: datetime) -> bool:
        with self._lock:
            last = self._last.get(name)
            # A clock that was set back must not keep it silent.
            if last is not None and timedelta(0) <= now - last < _SELDOM:
                return False
            self._last[name] = now
            return True


def _answer(verdict: Verdict) -> Response:
    status, sentence = _ANSWERS[verdict.result]
    if sentence is None:
        return Response(status=status)
    response = jsonify({"message": sentence})
    response.status_code = status
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
