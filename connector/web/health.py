"""Health: does the process answer (/livez), are its sources looked after (/readyz), and in numbers (/metrics).

A source that cannot work is told with its reason and does not make the others unready: the process is ready as long as
one source works. What is asked here is answered to anybody, so it names sources and says nothing of tickets.

Every answer comes within two seconds: a database that hangs is told as one that cannot be used.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import structlog
from flask import Flask, Response, jsonify

from connector.metrics import Metrics, SourceSnapshot
from connector.patience import Patience, TooSlow
from connector.store import DatabaseError, SourceState, Store
from connector.telemetry import mask

log = structlog.get_logger(__name__)

ROUND_LIMIT = timedelta(seconds=60)

# What the process is there for. One that only takes webhooks in ("web") is well as long as it can note them: were it
# taken out of service for what workers do not do, events would be lost together with the work.
Role = Literal["run", "web", "work"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a source, or the whole process, is not ready. `code` is short and stable."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Health:
    """The reasons of each source (none: it is ready), and of the process itself."""

    sources: Mapping[str, Sequence[Reason]]
    reasons: Sequence[Reason] = ()

    @property
    def is_ready(self) -> bool:
        """At least one source works, and nothing is wrong with the process itself."""
        return not self.reasons and any(not reasons for reasons in self.sources.values())

    @property
    def is_clean(self) -> bool:
        """Nothing is wrong at all: every source works. A heartbeat tells of this and no less."""
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
    role: Role = "run",
) -> Health:
    """The health of sources that stand as `states` say. `misconfigured`: source -> why it cannot work at all.

    For a `role` of "web" a source that could be read is ready, whatever attention makes of it.
    """
    if role == "web":
        broken: dict[str, list[Reason]] = {}
        sources: dict[str, list[Reason]] = {state.source: [] for state in states}
    else:
        broken = {name: [Reason("misconfigured", mask(why))] for name, why in (misconfigured or {}).items()}
        sources = {state.source: broken.get(state.source, []) + _reasons(state, now, limits) for state in states}
    nothing = [] if sources or broken else [Reason("no_sources", "There is no mapping: nothing is connected.")]
    return Health(broken | sources, nothing)


def _reasons(state: SourceState, now: datetime, limits: Limits) -> list[Reason]:
    reasons = []
    if state.attended_at is None:
        reasons.append(Reason("attention_never", "No attention round has succeeded yet."))
    elif now - state.attended_at > ROUND_LIMIT:
        message = f"The last attention round is {_ago(now - state.attended_at)} old."
        reasons.append(Reason("attention_old", message))
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
    """The health of the sources of that name as the store knows them. Never ready while the store cannot be read."""
    try:
        states = [store.sources.get(name) for name in names]
    except DatabaseError as error:
        log.error("health cannot be read", reason=str(error))
        unusable = [Reason("database", "The database cannot be used now.")]
        return Health(dict.fromkeys(names, unusable), unusable)
    return assess(states, now, limits, misconfigured, role=role)


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
