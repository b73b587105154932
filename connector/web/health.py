"""Health: does the process answer (/livez), can it do what it is there for (/readyz), and in numbers (/metrics).

An orchestrator goes by readiness: it takes what is not ready out of service. So readiness speaks of this process alone,
not of what others make of the same sources, and not of the sources themselves: one that is paused, stopped or
misconfigured is told with its reason, and is a matter for alerts (deploy/prometheus). No other process could do better
with it, and its webhooks can be taken in meanwhile. By role, ready means that

    web    the database can be read (that it listens is told by answering at all)
    work   the database can be read, and this process's own attention goes round
    run    the same: it is both

and, on PostgreSQL, that this machine's clock is that of the database's server.

What is asked here is answered to anybody, so it names sources and says nothing of tickets.

Every answer comes within two seconds: a database that hangs is told as one that cannot be used.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import structlog
from flask import Flask, Response, jsonify

from connector.metrics import Metrics, SourceSnapshot
from connector.patience import Patience, TooSlow
from connector.store import ClocksDiffer, DatabaseError, SourceState, Store
from connector.telemetry import mask

log = structlog.get_logger(__name__)

ROUND_LIMIT = timedelta(seconds=60)

Role = Literal["run", "web", "work"]  # what the process is there for: both, webhooks alone, attention alone


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a source does not get on, or the process is not ready. `code` is short and stable."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Health:
    """The reasons of each source (none: it gets on), and of the process itself."""

    sources: Mapping[str, Sequence[Reason]]
    reasons: Sequence[Reason] = ()

    @property
    def is_ready(self) -> bool:
        """Nothing is wrong with the process itself, whatever is with its sources."""
        return not self.reasons

    @property
    def is_clean(self) -> bool:
        """Nothing is wrong at all: every source gets on. A heartbeat tells of this and no less."""
        return self.is_ready and not any(self.sources.values())


@dataclass(frozen=True, slots=True)
class Limits:
    """How old things may be. The age of a poll counts from the start of the process, until that made its first poll."""

    poll_seconds: int
    started_at: datetime

    @property
    def poll(self) -> timedelta:
        """Three polls may fail or be late, and one may be running."""
        return timedelta(seconds=3 * self.poll_seconds + 60)


def assess(
    states: Sequence[SourceState],
    now: datetime,
    limits: Limits,
    misconfigured: Mapping[str, str] | None = None,
    *,
    round_age: timedelta | None,
    role: Role = "run",
) -> Health:
    """The health of a process, and of sources that stand as `states` say.

    `misconfigured`: source -> why it cannot work at all. `round_age`: how long ago the last good attention round of
    this very process was; None: there was none.
    """
    broken = {name: [Reason("misconfigured", mask(why))] for name, why in (misconfigured or {}).items()}
    sources = {state.source: broken.get(state.source, []) + _reasons_of(state, now, limits) for state in states}
    reasons = [] if role == "web" else _reasons_of_attention(round_age)
    if not sources and not broken:
        reasons = [Reason("no_sources", "There is no mapping: nothing is connected."), *reasons]
    return Health(broken | sources, reasons)


def _reasons_of_attention(round_age: timedelta | None) -> list[Reason]:
    if round_age is None:
        return [Reason("attention_never", "No attention round has succeeded in this process yet.")]
    if round_age > ROUND_LIMIT:
        return [Reason("attention_old", f"The last attention round of this process is {_ago(round_age)} old.")]
    return []


def _reasons_of(state: SourceState, now: datetime, limits: Limits) -> list[Reason]:
    reasons = []
    polled_at = max(state.polled_at or limits.started_at, limits.started_at)
    if now - polled_at > limits.poll:
        message = f"No poll has succeeded for {_ago(now - polled_at)}."
        reasons.append(Reason("poll_old", message))
    if state.paused_until is not None and state.paused_until > now:
        message = f"Paused for {_ago(state.paused_until - now)}: {mask(state.pause_reason or 'no reason given')}"
        reasons.append(Reason("paused", message))
    if state.braked_at is not None:
        why = mask(state.brake_reason or "no reason given")
        message = f"Stopped: {why}. Look into it, then run `connector release {state.source}`."
        reasons.append(Reason("braked", message))
    return reasons


def _ago(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


# ---- From the store


def read_health(
    store: Store,
    names: Sequence[str],
    now: datetime,
    limits: Limits,
    misconfigured: Mapping[str, str] | None = None,
    *,
    role: Role = "run",
) -> Health:
    """The health of the process that this is, and of its sources. Never ready while the store cannot be read."""
    try:
        states = [store.sources.get(name) for name in names]
        wrong_clock = _wrong_clock(store)
    except DatabaseError as error:
        log.error("health cannot be read", reason=str(error))
        unusable = [Reason("database", "The database cannot be used now.")]
        return Health(dict.fromkeys(names, unusable), unusable)
    health = assess(states, now, limits, misconfigured, round_age=store.sources.round_age(), role=role)
    return replace(health, reasons=[*wrong_clock, *health.reasons])


def _wrong_clock(store: Store) -> list[Reason]:
    try:
        store.check_clock()
    except ClocksDiffer as error:
        told = str(error)
        return [Reason("clock", f"{told[0].upper()}{told[1:]}.")]
    return []


def read_snapshots(
    store: Store, names: Sequence[str], now: datetime, misconfigured: Container[str] = ()
) -> list[SourceSnapshot]:
    """What the gauges show of the sources of that name. Raises DatabaseError."""
    return [
        SourceSnapshot(
            source=counts.source,
            open=counts.open,
            due=counts.due,
            stuck=counts.stuck,
            lag_seconds=0.0 if counts.oldest_due_at is None else (now - counts.oldest_due_at).total_seconds(),
            last_round_at=state.attended_at,
            last_poll_at=state.polled_at,
            is_braked=state.braked_at is not None,
            is_paused=state.paused_until is not None and state.paused_until > now,
            is_misconfigured=counts.source in misconfigured,
        )
        for counts in store.sources.snapshot(names, now)
        for state in [store.sources.get(counts.source)]
    ]


# ---- Over HTTP


def register(app: Flask, metrics: Metrics, health: Callable[[], Health]) -> None:
    """Add the routes."""
    asked = Patience(health)

    def livez() -> Response:
        return jsonify({"alive": True})

    def readyz() -> Response:
        try:
            found = asked()
        except TooSlow:
            log.error("health cannot be read", reason="the database does not answer in time")
            found = Health({}, [Reason("database", "The database does not answer in time.")])
        response = jsonify(
            {
                "ready": found.is_ready,
                "reasons": [_shown(reason) for reason in found.reasons],
                "sources": {
                    name: {"ready": not reasons, "reasons": [_shown(reason) for reason in reasons]}
                    for name, reasons in found.sources.items()
                },
            }
        )
        response.status_code = 200 if found.is_ready else 503
        return response

    def show_metrics() -> Response:
        return Response(metrics.render(), content_type=metrics.content_type)

    for path, view in (("/livez", livez), ("/readyz", readyz), ("/metrics", show_metrics)):
        app.add_url_rule(path, path, view, methods=["GET"], provide_automatic_options=False)


def _shown(reason: Reason) -> dict[str, str]:
    return {"code": reason.code, "message": reason.message}
