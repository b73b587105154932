"""Spans for OpenTelemetry, where the environment asks for them; elsewhere span() does nothing.

One correlation id is one trace: the trace's id is made of it, so that a webhook at one node and the look it led to at
another lie together, with nothing handed on but the correlation id. A span has a name, a source, an outcome, the
correlation id and its times, and nothing else: no URL, no header, no message.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from connector import __version__
from connector.settings import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Tracer

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_tracer: "Tracer | None" = None  # of the process, as loggers are


@dataclass(slots=True)
class Span:
    """What is under way. `outcome` may be set until it ends; it must be one of a few words of our own."""

    outcome: str = ""


@contextmanager
def span(name: str, source: str) -> Iterator[Span]:
    """While the block runs, it is a span of that name ("webhook", "look", "fetch"). `source` must be a known one.

    It belongs to the span around it in this thread, or else to the trace of the bound correlation id.
    """
    under_way = Span()
    if _tracer is None:
        yield under_way
        return
    from opentelemetry.trace import StatusCode  # noqa: PLC0415  only there if it was asked for

    bound = structlog.contextvars.get_contextvars().get("correlation_id")
    attributes = {"connector.source": source} | ({"connector.correlation_id": str(bound)} if bound else {})
    with _tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield under_way
        except BaseException:
            current.set_status(StatusCode.ERROR)
            raise
        finally:
            if under_way.outcome:
                current.set_attribute("connector.outcome", under_way.outcome)


def is_asked_for(environ: Mapping[str, str]) -> bool:
    """Whether the standard variables name a place to send spans to.

    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
    """
    is_off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not is_off and any(environ.get(name) for name in _ENDPOINTS)


def start(environ: Mapping[str, str], processor: "SpanProcessor | None" = None) -> Callable[[], None]:
    """Send spans from now on, by OTLP over HTTP, until the returned function is called. Raises SettingsError.

    The exporter itself reads the OTEL_* variables. `processor` takes the spans in its place.
    """
    global _tracer  # noqa: PLW0603  as loggers, it is the process's
    _check(environ)
    try:
        provider = _provider(environ)
        provider.add_span_processor(processor or _sending())
    except ImportError:
        asked = next(name for name in _ENDPOINTS if environ.get(name))
        mend = "pip install 'inquiry-connector[otel]', or set OTEL_SDK_DISABLED=true"
        raise SettingsError([f"{asked}: what sends spans is not installed: {mend}"]) from None
    _tracer = provider.get_tracer("connector", __version__)

    def stop() -> None:
        global _tracer  # noqa: PLW0603  as above
        _tracer = None
        provider.shutdown()

    return stop


def _check(environ: Mapping[str, str]) -> None:
    mistakes = []
    if environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        mistakes.append("OTEL_TRACES_EXPORTER: write otlp, or none for no spans at all")
    protocol = next((name for name in _PROTOCOLS if environ.get(name)), None)
    if protocol and environ[protocol] != "http/protobuf":
        mistakes.append(f"{protocol}: write http/protobuf; collectors take it on port 4318")
    if mistakes:
        raise SettingsError(mistakes)


def _sending() -> "SpanProcessor":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  on demand
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  on demand

    return BatchSpanProcessor(OTLPSpanExporter())


def _provider(environ: Mapping[str, str]) -> "TracerProvider":
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  on demand
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  on demand
    from opentelemetry.sdk.trace.id_generator import IdGenerator  # noqa: PLC0415  on demand

    class ByCorrelation(IdGenerator):
        def generate_trace_id(self) -> int:
            bound = structlog.contextvars.get_contextvars().get("correlation_id")
            return trace_id(str(bound)) if bound else random.getrandbits(128) or 1

        def generate_span_id(self) -> int:
            return random.getrandbits(64) or 1

    about = {"service.version": __version__}
    if not environ.get("OTEL_SERVICE_NAME") and "service.name=" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        about["service.name"] = "inquiry-connector"
    return TracerProvider(resource=Resource.create(about), id_generator=ByCorrelation(), shutdown_on_exit=False)


def trace_id(correlation_id: str) -> int:
    """The trace of a correlation id, 128 bits: the first half of its SHA-256."""
    return int.from_bytes(hashlib.sha256(correlation_id.encode()).digest()[:16])
