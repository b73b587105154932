"""Mappings in, sources with their trackers out. With service.py the only place that wires parts together."""

import hashlib
import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from connector import kinds
from connector.attention.source import Source
from connector.mapping.loading import Mistake, load_mappings
from connector.mapping.reading import wanted_fields
from connector.mapping.schema import Mapping, Secret, SecretError
from connector.trackers.pace import Pace
from connector.trackers.port import AccessRefused, Connection, Kind, Markup, Misconfigured, Ticket, Tracker

Clock = Callable[[], datetime]

TICKET_FILE_BYTES = 25 * 1024**2  # as much as a tracker may send in a webhook about one ticket


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
    raw, kind, zone = _read_json(path), mapping.tracker.kind, mapping.procedure.office.time_zone
    if not isinstance(raw, dict) or not raw.get("id"):  # an error's answer, a list of tickets, a webhook's payload
        raise Misconfigured(f"{path}: is not a ticket: save what the tracker's API answers for one ticket, unchanged")
    try:
        ticket = kind_of(mapping).read_ticket(raw, wanted_fields(mapping), zone)
        if _is_whole(ticket):
            return ticket
        why = f"is not a ticket of {kind}, or not all of one: it has no key or no status: save {_what_to_save(kind)}"
    except Misconfigured as error:
        why = error.message
    if other := next((name for name in kinds.names() if name != kind and _is_ticket_of(name, raw, zone)), None):
        why = f"looks like a ticket of {other}, but the mapping is for {kind}: take a mapping for {other}, or save "
        why += _what_to_save(kind)
    raise Misconfigured(f"{path}: {why}")


def _what_to_save(kind: str) -> str:
    return f"what {kind} answers for one ticket, unchanged (`connector simulate --help` says how)"


def _read_json(path: Path) -> Any:
    """What a file of bounded size holds. A pipe might never end, and a device have no end: only a file is read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Misconfigured(f"{path}: is not a file: save the ticket into one and name that")
        with path.open("rb") as file:
            content = file.read(TICKET_FILE_BYTES + 1)
        if len(content) > TICKET_FILE_BYTES:
            most = TICKET_FILE_BYTES // 1024**2
            raise Misconfigured(f"{path}: is larger than {most} MB: save what the tracker answers for one ticket alone")
        return json.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Misconfigured(f"{path}: is not JSON: {_why_not_json(error)}") from error


def _is_whole(ticket: Ticket) -> bool:
    """Whether it has what every ticket of every tracker has."""
    return bool(ticket.key and ticket.status)


def _is_ticket_of(kind: str, raw: Any, zone: ZoneInfo) -> bool:
    found = kinds.load(kind)
    try:
        return isinstance(found, Kind) and _is_whole(found.read_ticket(raw, [], zone))
    except Misconfigured:
        return False


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
