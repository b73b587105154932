"""What Sentry and OpenTelemetry get to see: that something failed and where, and nothing of any case."""

import io
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from connector import observing, tracing
from connector.attention.metered import Metered
from connector.attention.source import Source
from connector.metrics import Metrics
from connector.observing import observe, start_sentry
from connector.settings import SettingsError
from connector.telemetry import bind
from connector.trackers.port import RateLimited, Tracker, TrackerError
from tests.attention.conftest import STEP_1, Desk, clock, desk, empty_database, start
from tests.web.conftest import log

__all__ = ["clock", "desk", "empty_database", "log", "start"]  # fixtures

DSN = "https://5ecret@sentry.invalid/42"
PERSONAL = ("WAC2590123456", "2590123456", "200555013", "Ms. Rivera", "Marchetti")
OTLP = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


class Kept(Transport):
    """Keeps what would be sent."""

    envelopes: list[Envelope]

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        type(self).envelopes = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)


@pytest.fixture
def sentry(log: io.StringIO) -> Iterator[Callable[[], list[Any]]]:
    """Sentry is on: sentry() -> the events that were sent."""
    stop = start_sentry(DSN, transport=Kept)
    yield lambda: [json.loads(item.payload.get_bytes()) for each in Kept.envelopes for item in each.items]
    stop()


@pytest.fixture
def spans() -> Iterator[Callable[[], tuple[ReadableSpan, ...]]]:
    """Spans are on: spans() -> those that have ended."""
    kept = InMemorySpanExporter()
    stop = tracing.start(OTLP, SimpleSpanProcessor(kept))
    yield kept.get_finished_spans
    stop()


def everything(sent: object) -> str:
    return json.dumps(sent, ensure_ascii=False, default=str)


class Broken(Metered):
    """A tracker with a mistake of ours in it, that has a ticket's words in hand."""

    def fetch(self, ticket_id: str, *, with_history: bool) -> Any:
        quoted = f"{PERSONAL[0]} of Marchetti, {ticket_id}, {with_history}"
        raise KeyError(quoted)


def fail_in_every_way(desk: Desk) -> None:
    """Looks that fail, with what must not leave in every message and variable: refused, unforeseen, and braked."""
    desk.map(("comments: internal", "comments: internal\nmax_comments_per_hour: 1"))
    ticket = desk.create(**STEP_1)
    quoted = f"{PERSONAL[0]} of Marchetti, {STEP_1['A-Number']}"
    desk.server.faults.add("POST", "/comment$", status=400, body={"errorMessages": [quoted], "errors": {"a": quoted}})
    desk.attend()
    genuine = desk.source
    desk.source = Source(
        genuine.mapping, Broken(genuine.tracker, desk.metrics, genuine.name), genuine.digest_key, genuine.silence
    )
    desk.fill(ticket, Receipt_Number="LIN2590123456")
    desk.attend_once()
    desk.source = genuine
    desk.create(**STEP_1 | {"Receipt_Number": "EAC2590123499"})
    desk.wait(minutes=5)
    desk.attend()


def test_a_failing_look_is_sent_without_a_word_of_the_ticket(desk: Desk, sentry: Callable[[], list[Any]]) -> None:
    fail_in_every_way(desk)
    sent = sentry()
    assert [event["logentry"]["formatted"] for event in sent] == ["look failed", "source stopped"]
    event, stopped = sent
    assert stopped["extra"]["reason"] == "more than 1 comments in an hour"
    assert event["level"] == "error"
    assert event["logger"] == "connector.attention.attend"
    assert event["tags"]["source"] == "cases"
    assert event["release"].startswith("inquiry-connector@")
    (raised,) = event["exception"]["values"]
    assert (raised["type"], raised["value"]) == ("KeyError", "")
    assert raised["stacktrace"]["frames"][-1]["function"] == "fetch"
    assert raised["stacktrace"]["frames"][0]["filename"].endswith("attention/attend.py")
    for word in (*PERSONAL, "5ecret"):
        assert word not in everything(sent)


def test_an_event_holds_nothing_but_what_was_meant_for_it(desk: Desk, sentry: Callable[[], list[Any]]) -> None:
    fail_in_every_way(desk)
    event = sentry()[0]
    meant = {"level", "logger", "logentry", "tags", "extra", "exception"}
    of_the_sdk = {"event_id", "timestamp", "platform", "release", "environment", "server_name", "sdk"}
    assert set(event) <= meant | of_the_sdk
    assert set(event["extra"]) <= {"reason", "hint", "kind", "stage", "attempts", "outcome", "finding", "what"}
    frames = event["exception"]["values"][0]["stacktrace"]["frames"]
    assert {key for frame in frames for key in frame} <= {"filename", "lineno", "function", "in_app"}


def test_our_own_messages_are_masked_and_causes_are_told(sentry: Callable[[], list[Any]]) -> None:
    try:
        try:
            raise ValueError(PERSONAL[0])
        except ValueError as error:
            raise TrackerError(f"Jira refused {PERSONAL[0]}.") from error
    except TrackerError:
        structlog.get_logger("connector.here").exception(
            "it failed", source="cases", reason=PERSONAL[0], body=PERSONAL[3]
        )
    (event,) = sentry()
    assert [(each["type"], each["value"]) for each in event["exception"]["values"]] == [
        ("ValueError", ""),
        ("TrackerError", "Jira refused [receipt number]."),
    ]
    assert event["extra"] == {"reason": "[receipt number]"}


def test_the_same_error_is_sent_once_a_minute(sentry: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    log = structlog.get_logger("connector.here")
    for source in ("one", "two", "one", "two"):
        log.error("attention round failed", source=source)
    assert len(sentry()) == 2
    later = time.monotonic() + observing.AGAIN_SECONDS
    monkeypatch.setattr("connector.observing.time.monotonic", lambda: later)
    log.error("attention round failed", source="one")
    assert len(sentry()) == 3


def test_what_is_no_error_is_not_sent(sentry: Callable[[], list[Any]]) -> None:
    structlog.get_logger("connector.here").warning("poll failed", reason="no answer")
    logging.getLogger("sentry_sdk.errors").error("its own")
    logging.getLogger("opentelemetry.exporter").error("its own")
    assert sentry() == []


# ---- Spans


def test_spans_lie_in_the_trace_of_their_correlation_id(spans: Callable[[], tuple[ReadableSpan, ...]]) -> None:
    with bind(correlation_id="0123456789ab"), tracing.span("webhook", "cases") as told:
        told.outcome = "accepted"
    # Another node, another thread: all that came over is the id.
    with bind(correlation_id="0123456789ab"), tracing.span("look", "cases"), tracing.span("fetch", "cases"):
        pass
    with bind(correlation_id="ba9876543210"), tracing.span("webhook", "cases"):
        pass
    with tracing.span("poll", "cases"):
        pass
    webhook, fetch, look, other, poll = spans()
    assert [span.name for span in spans()] == ["webhook", "fetch", "look", "webhook", "poll"]
    assert trace(webhook) == trace(look) == trace(fetch) == tracing.trace_id("0123456789ab")
    assert len({trace(webhook), trace(other), trace(poll)}) == 3
    assert fetch.parent is not None
    assert look.context is not None
    assert fetch.parent.span_id == look.context.span_id
    assert dict(webhook.attributes or {}) == {
        "connector.source": "cases",
        "connector.correlation_id": "0123456789ab",
        "connector.outcome": "accepted",
    }


def trace(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.trace_id)


class Limited:
    """As much of a tracker as is called. It asks for a pause."""

    markup, atomic, bulk = "text", False, 1

    def find(self, key: str) -> str | None:
        raise RateLimited(f"Too many requests about {PERSONAL[0]}, {key}.", retry_after=42.0, whole_source=True)


def test_a_call_to_a_tracker_is_a_span_and_the_pause_it_asked_for_is_counted(
    spans: Callable[[], tuple[ReadableSpan, ...]],
) -> None:
    metrics = Metrics(["cases"])
    with pytest.raises(RateLimited):
        Metered(cast(Tracker, Limited()), metrics, "cases").find(PERSONAL[0])
    (span,) = spans()
    assert span.name == "find"
    assert dict(span.attributes or {}) == {"connector.source": "cases", "connector.outcome": "rate_limited"}
    assert PERSONAL[0] not in span.to_json()
    assert b'connector_rate_limit_pause_seconds_total{source="cases"} 42.0' in metrics.render()


def test_a_span_that_fails_tells_that_and_not_why(spans: Callable[[], tuple[ReadableSpan, ...]]) -> None:
    def look() -> None:
        with tracing.span("look", "cases"):
            raise KeyError(PERSONAL[0])

    with pytest.raises(KeyError):
        look()
    (span,) = spans()
    assert not span.status.is_ok
    assert span.status.description is None
    assert span.events == ()
    assert PERSONAL[0] not in span.to_json()


def test_a_span_says_whose_it_is(spans: Callable[[], tuple[ReadableSpan, ...]]) -> None:
    with tracing.span("look", "cases"):
        pass
    about = spans()[0].resource.attributes
    assert about["service.name"] == "inquiry-connector"
    assert {"process.command_args", "process.command_line", "host.name"}.isdisjoint(about)


# ---- What is not asked for


def test_nothing_is_started_or_imported_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sentry_sdk", "opentelemetry.sdk.trace"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it fails
    off = {**OTLP, "OTEL_SDK_DISABLED": "true"}
    for environ in ({}, off, {**OTLP, "OTEL_TRACES_EXPORTER": "none"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}):
        observe(None, environ).stop()
    with tracing.span("look", "cases") as told:
        told.outcome = "attended"


def test_what_is_asked_for_and_not_installed_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sentry_sdk", "opentelemetry.sdk.trace"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        SettingsError, match=r"CONNECTOR_SENTRY_DSN: .* pip install 'inquiry-connector\[sentry\]'"
    ) as dsn:
        observe(DSN, {})
    assert "5ecret" not in str(dsn.value)
    with pytest.raises(SettingsError, match=r"OTEL_EXPORTER_OTLP_ENDPOINT: .* pip install 'inquiry-connector\[otel\]'"):
        observe(None, OTLP)


@pytest.mark.parametrize(
    ("environ", "advice"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: write otlp"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL: write http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: write http/protobuf"),
    ],
)
def test_what_cannot_be_had_is_told(environ: dict[str, str], advice: str) -> None:
    with pytest.raises(SettingsError, match=advice):
        observe(None, OTLP | environ)
