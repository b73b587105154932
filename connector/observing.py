"""Errors to Sentry and spans to OpenTelemetry, for an operator who asks for them. Nothing is imported for others.

An error is sent as the log shows it, and no more: the masked event and the masked message of an exception of ours,
types and places of the others. Sentry's own collecting is off (no integrations, no breadcrumbs, no variables, no source
lines, no requests), so it sees nothing that does not pass _event().
"""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from connector import __version__, tracing
from connector.settings import SettingsError
from connector.telemetry import forward

if TYPE_CHECKING:
    from sentry_sdk.transport import Transport
    from sentry_sdk.types import Event

AGAIN_SECONDS = 60.0  # the same error of the same source is sent no sooner: a database that is down fails every round
FLUSH_SECONDS = 2.0  # that stopping waits for what is not sent yet

_TAGS = ("source", "correlation_id", "ticket_id", "key")
_EXTRA = ("reason", "hint", "kind", "stage", "attempts", "outcome", "finding", "what")


class Observing:
    """What was started by observe()."""

    def __init__(self, stops: list[Callable[[], None]]) -> None:
        self._stops = stops

    def stop(self) -> None:
        """Send what is left, for at most some seconds, and end."""
        for stop in self._stops:
            stop()


def observe(sentry_dsn: str | None, environ: Mapping[str, str]) -> Observing:
    """Start what is asked for; after telemetry.configure(). Raises SettingsError if what it needs is not installed."""
    stops = []
    if tracing.is_asked_for(environ):
        stops.append(tracing.start(environ))
    if sentry_dsn:
        stops.append(start_sentry(sentry_dsn))
    return Observing(stops)


def start_sentry(dsn: str, transport: "type[Transport] | None" = None) -> Callable[[], None]:
    """Send every error that is logged, until the returned function is called. Raises SettingsError."""
    try:
        import sentry_sdk  # noqa: PLC0415  only there if it was asked for
    except ImportError:
        mend = "pip install 'inquiry-connector[sentry]', or unset it"
        raise SettingsError([f"CONNECTOR_SENTRY_DSN: what sends errors is not installed: {mend}"]) from None
    client = sentry_sdk.Client(
        dsn=dsn,
        transport=transport,
        release=f"inquiry-connector@{__version__}",
        integrations=[],
        default_integrations=False,
        auto_enabling_integrations=False,
        auto_session_tracking=False,
        max_breadcrumbs=0,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        enable_backpressure_handling=False,
        shutdown_timeout=FLUSH_SECONDS,
    )
    last: dict[tuple[str, str, str], float] = {}

    def send(shown: dict[str, Any]) -> None:
        what = (str(shown.get("logger")), str(shown.get("event")), str(shown.get("source")))
        now = time.monotonic()
        if what not in last or now - last[what] >= AGAIN_SECONDS:
            last[what] = now
            client.capture_event(_event(shown))

    end = forward(send)

    def stop() -> None:
        end()
        client.close()

    return stop


def _event(shown: Mapping[str, Any]) -> "Event":
    """Sentry's event for a line of the log. https://develop.sentry.dev/sdk/foundations/transport/event-payloads/"""
    event: Event = {
        "level": "fatal" if shown.get("level") == "critical" else "error",
        "logger": str(shown.get("logger", "")),
        "logentry": {"formatted": str(shown.get("event", ""))},
        "tags": {name: str(shown[name]) for name in _TAGS if shown.get(name)},
        "extra": {name: shown[name] for name in _EXTRA if name in shown},
    }
    raised = shown.get("raised")
    if isinstance(raised, Mapping):
        event["exception"] = {"values": _exceptions(raised)}
    return event


def _exceptions(raised: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Sentry's exceptions for what described() tells of one: the cause before what it led to."""
    shown: dict[str, Any] = {"type": raised["type"], "value": raised.get("message", "")}
    if raised.get("at"):
        shown["stacktrace"] = {"frames": [_frame(place) for place in raised["at"]]}
    cause = raised.get("cause")
    return [*(_exceptions(cause) if isinstance(cause, Mapping) else []), shown]


def _frame(place: str) -> dict[str, Any]:
    file, line, function = place.rsplit(":", 2)
    return {"filename": file, "lineno": int(line), "function": function, "in_app": file.startswith("connector/")}
