"""What the connector counts, and how its sources stand, for Prometheus. No label holds what came from outside."""

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

log = structlog.get_logger(__name__)

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
OTHER = "other"  # stands for every label value that is not foreseen
UNKNOWN_SOURCE = "(unknown)"  # no source can have this name

_EVENT = re.compile(r"[a-z][a-z_:]{0,39}")
_EVENTS = 50  # different ones that get a series of their own


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

    def render(self) -> bytes:
        """All metrics in Prometheus' text format. Without the gauges of the sources if their snapshot cannot be had."""
        return generate_latest(self._registry)

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
    """What is read from the store at the moment somebody asks."""

    def __init__(self, snapshot: Callable[[], Iterable[SourceSnapshot]]) -> None:
        self._snapshot = snapshot

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # registering must not read the store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            sources = list(self._snapshot())
        except Exception as error:  # whatever it is: the counters can be read all the same
            log.warning("gauges cannot be read", exc_info=error)
            sources = []
        tickets = GaugeMetricFamily("connector_tickets", "Tickets.", labels=["source", "state"])
        for one in sources:
            for state, count in (("open", one.open), ("due", one.due), ("stuck", one.stuck)):
                tickets.add_metric([one.source, state], count)
        yield tickets
        for name, help_text, value in _GAUGES:
            gauge = GaugeMetricFamily(name, help_text, labels=["source"])
            for one in sources:
                gauge.add_metric([one.source], value(one))
            yield gauge


def _timestamp(moment: datetime | None) -> float:
    return 0.0 if moment is None else moment.timestamp()


_GAUGES: tuple[tuple[str, str, Callable[[SourceSnapshot], float]], ...] = (
    ("connector_attention_lag_seconds", "How long the longest due ticket has been due.", lambda one: one.lag_seconds),
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
)
