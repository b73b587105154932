"""The only place that wires parts together: settings and mappings in, a running service or a single command out."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from connector import __version__, kinds
from connector.attention.source import Source
from connector.mapping.loading import Mistake, load_mappings
from connector.mapping.reading import wanted_fields
from connector.mapping.schema import Mapping, Secret, SecretError
from connector.settings import Settings
from connector.trackers.port import AccessRefused, Connection, Kind, Markup, Misconfigured, Ticket, Tracker

if TYPE_CHECKING:
    from connector.web.health import Health
    from connector.web.webhooks import WebSource

log = structlog.get_logger(__name__)

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
    return Source(mapping, make_tracker(mapping, clock), lambda: _digest_key(mapping))


def make_tracker(mapping: Mapping, clock: Clock = utc_now) -> Tracker:
    """The adapter for the mapping's kind of tracker."""
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


class Service:
    """`connector run`: web and attention in one process."""

    def __init__(self, settings: Settings, clock: Clock = utc_now, *, look_over_setup: bool = False) -> None:
        """`look_over_setup`: also look, now and then, whether the trackers are set up as the mappings need it."""
        # Only a service needs the web, the database and the metronome: without them the other commands start sooner.
        from connector.attention.attend import Attendant  # noqa: PLC0415  as said
        from connector.attention.clock import LEASE, Metronome  # noqa: PLC0415  as said
        from connector.attention.metered import Metered  # noqa: PLC0415  as said
        from connector.metrics import Metrics  # noqa: PLC0415  as said
        from connector.setup.live_check import look_over  # noqa: PLC0415  as said
        from connector.setup.lookout import Lookout  # noqa: PLC0415  as said
        from connector.setup.wanted import webhook_of  # noqa: PLC0415  as said
        from connector.store import Store, open_database  # noqa: PLC0415  as said
        from connector.web.app import create_app  # noqa: PLC0415  as said
        from connector.web.health import Limits, read_health, read_snapshots  # noqa: PLC0415  as said
        from connector.web.server import WebServer  # noqa: PLC0415  as said

        self._clock = clock
        self._limits, self._read_health = Limits(settings.poll_seconds, started_at=clock()), read_health
        sources = load_sources(settings.mappings, clock)
        self.store = Store(open_database(settings.database_url, exclusive=True))
        self.metrics = Metrics(sources, snapshot=lambda: read_snapshots(self.store, list(sources), clock()))
        self.sources = {
            name: replace(source, tracker=Metered(source.tracker, self.metrics, name))
            for name, source in sources.items()
        }
        watched = sources.values() if look_over_setup else ()
        self._lookout = Lookout(
            {
                source.name: partial(look_over, source.mapping, webhook_of(source.name, settings.public_url))
                for source in watched
            }
        )
        self.metronome = Metronome(
            self.sources,
            self.store,
            Attendant(self.store, self.metrics, clock, lease=LEASE),
            clock,
            workers=settings.workers,
            poll_seconds=settings.poll_seconds,
        )
        app = create_app(
            {name: _web_source(source.mapping) for name, source in self.sources.items()},
            self.store,
            self.metrics,
            clock,
            self.health,
            on_notice=lambda _source: self.metronome.wake(),
        )
        self.web = WebServer(app, *settings.listen)

    def start(self) -> None:
        """Listen and attend. Returns at once, however many tickets are open."""
        self.web.start()
        self.metronome.start()
        self._lookout.start()
        log.info("connector started", url=self.web.url, sources=list(self.sources), version=__version__)

    def stop(self) -> None:
        """Take no more requests, finish the looks in hand, and give everything back."""
        self._lookout.stop()
        self.web.stop()
        self.metronome.stop()
        for source in self.sources.values():
            source.tracker.close()
        self.store.close()
        log.info("connector stopped")

    def health(self) -> "Health":
        """What /readyz tells."""
        misconfigured = self._lookout.misconfigured()
        return self._read_health(self.store, list(self.sources), self._clock(), self._limits, misconfigured)


def _web_source(mapping: Mapping) -> "WebSource":
    from connector.web.webhooks import WebSource  # noqa: PLC0415  as in Service

    def secrets() -> list[str]:
        return [secret.read() for secret in mapping.tracker.webhook_secrets]

    kind = kind_of(mapping)
    return WebSource(mapping.source, secrets, kind.verify, kind.read_news)
