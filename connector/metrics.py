"""What the connector counts, and how its sources stand, for Prometheus. No label holds what came from outside.

Every metric is described in deploy/prometheus/README.md. Counters are of this process; the gauges of sources are read
from the store, so that all nodes of one database show the same.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from connector.patience import Patience, TooSlow

log = structlog.get_logger(__name__)

# They would be a second series beside each counter, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus-client types most, but not this

WEBHOOK_RESULTS = frozenset(
    {"accepted", "ignored", "refused_signature", "unreadable", "too_large", "unavailable", "unknown_source"}
)
ACT_KINDS = frozenset({"comment", "transition", "set_field", "due_date"})
ACT_OUTCOMES = frozenset({"done", "refused", "failed", "unknown"})
LOOK_OUTCOMES = frozenset(
    {"attended", "out_of_scope", "gone", "in_doubt", "braked", "lease_lost", "stuck", "postponed"}
)
CALL_OUTCOMES = frozenset(
    {"ok", "unavailable", "rate_limited", "access_refused", "misconfigured", "gone", "refused", "failed"}
)
NOTICES = frozenset({"webhook", "node"})
DATABASE_ERRORS = frozenset({"busy", "damaged", "full", "read_only", "unreachable"})
HEARTBEATS = frozenset({"sent", "held_back", "failed"})
OTHER = "other"  # stands for every label value that is not foreseen
UNKNOWN_SOURCE = "(unknown)"  # no source can have this name

_EVENT = re.compile(r"[a-z][a-z_:]{0,39}")
_EVENTS = 50  # different ones that get a series of their own
_FRESH_SECONDS = 60.0  # how long gauges are shown while they cannot be read anew: counting may take long


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSnapshot:
    """What the gauges tell of a source, as it is when they are read. Moments are aware; None: never yet."""

    source: str
    open: int
    due: int
    stuck: int
    lag_seconds: float  # how long the longest due ticket has been due
    last_round_at: datetime | None
    last_poll_at: datetime | None
    is_braked: bool
    is_paused: bool
    is_misconfigured: bool = False


class Metrics:
    """The counters, and the gauges of `snapshot()`, in a registry of their own. Thread safe.

    Labels never hold what came from outside: an unknown source, kind or outcome is counted as another one.
    """

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(
        self,
        sources: Iterable[str],
        *,
        snapshot: Callable[[], Iterable[SourceSnapshot]] = tuple,
        version: str | None = None,
    ) -> None:
        self._sources = frozenset(sources)
        self._events: set[str] = set()
        self._lock = threading.Lock()
        self._registry = registry = CollectorRegistry()
        self._webhooks = Counter(
            "connector_webhooks_total", "Webhook requests.", ["source", "result", "event"], registry=registry
        )
        self._acts = Counter("connector_acts_total", "Acts.", ["source", "kind", "outcome"], registry=registry)
        self._looks = Counter("connector_looks_total", "Looks at tickets.", ["source", "outcome"], registry=registry)
        self._calls = Histogram(
            "connector_tracker_call_seconds",
            "Calls to the tracker.",
            ["source", "outcome"],
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=registry,
        )
        self._pauses = Counter(
            "connector_rate_limit_pause_seconds_total",
            "Seconds of pause that trackers have asked for.",
            ["source"],
            registry=registry,
        )
        self._intake = Histogram(
            "connector_webhook_seconds",
            "Accepted webhooks, from the request to its answer, the commit included.",
            ["source"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )
        self._notices = Counter(
            "connector_notices_total", "Notices that a ticket became due, by who told.", ["by"], registry=registry
        )
        self._database_errors = Counter(
            "connector_database_errors_total", "Failures of the database.", ["kind"], registry=registry
        )
        self._heartbeats = Counter(
            "connector_heartbeats_total", "Heartbeats to the outside.", ["outcome"], registry=registry
        )
        self._show_from_the_start()
        ProcessCollector(registry=registry)
        build = Gauge("connector_build_info", "The version that runs.", ["version"], registry=registry)
        build.labels(version or metadata.version("inquiry-connector")).set(1)
        registry.register(_Gauges(snapshot))

    def webhook(self, source: str, result: str, event: str = "") -> None:
        """Count a webhook request. `event` is what its tracker calls the event; "" where it was not read."""
        self._webhooks.labels(self._source(source), _one_of(WEBHOOK_RESULTS, result), self._event(event)).inc()

    def acted(self, source: str, kind: str, outcome: str) -> None:
        """Count an act."""
        self._acts.labels(self._source(source), _one_of(ACT_KINDS, kind), _one_of(ACT_OUTCOMES, outcome)).inc()

    def looked(self, source: str, outcome: str) -> None:
        """Count a look at a ticket."""
        self._looks.labels(self._source(source), _one_of(LOOK_OUTCOMES, outcome)).inc()

    def called(self, source: str, outcome: str, seconds: float) -> None:
        """Count a call to the tracker, and how long it took."""
        self._calls.labels(self._source(source), _one_of(CALL_OUTCOMES, outcome)).observe(seconds)

    def pause_asked(self, source: str, seconds: float) -> None:
        """A tracker has asked for a pause of so many seconds (429)."""
        self._pauses.labels(self._source(source)).inc(max(seconds, 0))

    def took_in(self, source: str, seconds: float) -> None:
        """A webhook about a ticket was answered, its commit included, so many seconds after it came."""
        self._intake.labels(self._source(source)).observe(seconds)

    def noticed(self, by: str) -> None:
        """A ticket became due. `by`: a "webhook" of this process, or another "node", by way of the database."""
        self._notices.labels(_one_of(NOTICES, by)).inc()

    def database_failed(self, kind: str) -> None:
        """The database could not be used. `kind` is the class of the DatabaseError, such as "read_only"."""
        self._database_errors.labels(_one_of(DATABASE_ERRORS, kind)).inc()

    def beat(self, outcome: str) -> None:
        """A heartbeat was due."""
        self._heartbeats.labels(_one_of(HEARTBEATS, outcome)).inc()

    def render(self) -> bytes:
        """All metrics in Prometheus' text format. Without the gauges of the sources if their snapshot cannot be had."""
        return generate_latest(self._registry)

    def _show_from_the_start(self) -> None:
        """Zero what alerts ask for: an increase of a series that did not exist before cannot be seen."""
        for source in self._sources:
            self._pauses.labels(source)
            self._intake.labels(source)
            for result in sorted(WEBHOOK_RESULTS):
                self._webhooks.labels(source, result, "")
            for kind in sorted(ACT_KINDS):
                for outcome in sorted(ACT_OUTCOMES):
                    self._acts.labels(source, kind, outcome)
        for by in sorted(NOTICES):
            self._notices.labels(by)
        for kind in sorted(DATABASE_ERRORS):
            self._database_errors.labels(kind)
        for outcome in sorted(HEARTBEATS):
            self._heartbeats.labels(outcome)

    def _source(self, name: str) -> str:
        return name if name in self._sources else UNKNOWN_SOURCE

    def _event(self, event: str) -> str:
        if not event:
            return event
        with self._lock:
            if event not in self._events and len(self._events) < _EVENTS and _EVENT.fullmatch(event):
                self._events.add(event)
            return event if event in self._events else OTHER


def _one_of(allowed: frozenset[str], value: str) -> str:
    return value if value in allowed else OTHER


class _Gauges(Collector):
    """What is read from the store when somebody asks, or has been read less than a minute ago."""

    def __init__(self, snapshot: Callable[[], Iterable[SourceSnapshot]]) -> None:
        self._snapshot = snapshot
        self._read = Patience(self._read_now)
        self._found: tuple[SourceSnapshot, ...] = ()
        self._fresh_until = 0.0  # monotonic
        self._read_at = 0.0  # seconds since 1970; 0: never

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # registering must not read the store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        sources = self._current()
        tickets = GaugeMetricFamily("connector_tickets", _TICKETS, labels=["source", "state"])
        for one in sources:
            for state, count in (("open", one.open), ("due", one.due), ("stuck", one.stuck)):
                tickets.add_metric([one.source, state], count)
        yield tickets
        for name, help_text, value in _GAUGES:
            gauge = GaugeMetricFamily(name, help_text, labels=["source"])
            for one in sources:
                gauge.add_metric([one.source], value(one))
            yield gauge
        yield GaugeMetricFamily(
            "connector_gauges_read_timestamp_seconds",
            "When the gauges of the sources were read from the store; 0: not yet.",
            value=self._read_at,
        )

    def _current(self) -> tuple[SourceSnapshot, ...]:
        try:
            self._read()
        except TooSlow:
            log.warning("gauges cannot be read", reason="the database does not answer in time")
        except Exception as error:  # whatever it is: the counters can be read all the same
            log.warning("gauges cannot be read", exc_info=error)
        return self._found if time.monotonic() < self._fresh_until else ()

    def _read_now(self) -> None:
        self._found = tuple(self._snapshot())
        self._fresh_until = time.monotonic() + _FRESH_SECONDS
        self._read_at = time.time()


def _timestamp(moment: datetime | None) -> float:
    return 0.0 if moment is None else moment.timestamp()


# How old counts may be is store.sources' matter: as old as they are costly, and never more than this.
_TICKETS = "Tickets, as counted a minute ago at most; open ones a few seconds ago, or longer if there are very many."

_GAUGES: tuple[tuple[str, str, Callable[[SourceSnapshot], float]], ...] = (
    (
        "connector_attention_lag_seconds",
        "How long the longest due ticket has been due, as found a minute ago at most.",
        lambda one: one.lag_seconds,
    ),
    (
        "connector_last_round_timestamp_seconds",
        "The last attention round; 0: none yet.",
        lambda one: _timestamp(one.last_round_at),
    ),
    (
        "connector_last_poll_timestamp_seconds",
        "The last poll that succeeded; 0: none yet.",
        lambda one: _timestamp(one.last_poll_at),
    ),
    ("connector_brake", "1 while the brake is on.", lambda one: one.is_braked),
    ("connector_paused", "1 while the source is left alone for a time.", lambda one: one.is_paused),
    (
        "connector_misconfigured",
        "1 while the tracker is not as the mapping needs it.",
        lambda one: one.is_misconfigured,
    ),
)
