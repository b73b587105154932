"""Mappings in, sources with their trackers out. With service.py the only place that wires parts together."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from connector import kinds
from connector.attention.source import Source
from connector.mapping.loading import Mistake, load_mappings
from connector.mapping.reading import wanted_fields
from connector.mapping.schema import Mapping, Secret, SecretError
from connector.trackers.pace import Pace
from connector.trackers.port import AccessRefused, Connection, Kind, Markup, Misconfigured, Ticket, Tracker

Clock = Callable[[], datetime]


class ConfigurationError(Exception):
    """The mappings cannot be used; `mistakes` says why, line by line."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


def load_sources(path: Path, clock: Clock = utc_now) -> dict[str, Source]:
    """Every source of a mapping file or folder. Raises ConfigurationError with all mistakes at once."""
    mappings, mistakes = load_mappings(path)
    if mistakes:
        raise ConfigurationError(mistakes)
    return {mapping.source: make_source(mapping, clock) for mapping in mappings}


def make_source(mapping: Mapping, clock: Clock = utc_now) -> Source:
    """A source with its tracker. Makes no call and reads no secret yet."""
    pace = Pace(mapping.tracker.calls_per_second)
    return Source(mapping, make_tracker(mapping, clock, pace), lambda: _digest_key(mapping), pace=pace)


def make_tracker(mapping: Mapping, clock: Clock = utc_now, pace: Pace | None = None) -> Tracker:
    """The adapter for the mapping's kind of tracker. `pace` is asked before each of its calls."""
    settings = mapping.tracker
    connection = Connection(
        url=settings.url,
        user=settings.user,
        token=lambda: _read(settings.token),
        scope=mapping.scope,
        fields=wanted_fields(mapping),
        time_zone=mapping.procedure.office.time_zone,
        internal_comments=mapping.comments == "internal",
        clock=clock,
        pace=pace,
    )
    return kind_of(mapping).make(connection)


def kind_of(mapping: Mapping) -> Kind:
    """The kind of tracker that the mapping names, by its entry point. Loaded when it is wanted."""
    kind = kinds.load(mapping.tracker.kind)
    if not isinstance(kind, Kind):
        raise TypeError(f"the entry point of {mapping.tracker.kind} must stand for a connector.trackers.port.Kind")
    return kind


def markup_of(mapping: Mapping) -> Markup:
    """The markup of the mapping's kind of tracker."""
    return kind_of(mapping).markup


def read_ticket_file(path: Path, mapping: Mapping) -> Ticket:
    """A ticket from a file with the tracker's own JSON. Raises Misconfigured with what to do."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Misconfigured(f"{path}: is not JSON: {_why_not_json(error)}") from error
    if not isinstance(raw, dict) or not raw.get("id"):  # an error's answer, a list of tickets, a webhook's payload
        raise Misconfigured(f"{path}: is not a ticket: save what the tracker's API answers for one ticket, unchanged")
    try:
        return kind_of(mapping).read_ticket(raw, wanted_fields(mapping), mapping.procedure.office.time_zone)
    except Misconfigured as error:
        raise Misconfigured(f"{path}: {error.message}") from error


def _why_not_json(error: Exception) -> str:
    # The parser's own words, without the text it could not parse.
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}: {error.msg}"
    if isinstance(error, UnicodeError):
        return "it is not UTF-8 text"
    return "it is nested too deep" if isinstance(error, RecursionError) else "it holds a number that is far too long"


def _read(secret: Secret) -> str:
    try:
        return secret.read()
    except SecretError as error:
        raise AccessRefused(str(error)) from error


def _digest_key(mapping: Mapping) -> bytes:
    """The key of receipt digests. It follows from the tracker's token, so it is kept nowhere (docs/decisions)."""
    return hashlib.sha256(b"receipt digests of " + _read(mapping.tracker.token).encode()).digest()
