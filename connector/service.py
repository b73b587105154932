"""The running service: the web, attention, or both, wired together from the settings.

`run` is everything in one process. `web` takes webhooks in and `work` attends to tickets: any number of each, on one
PostgreSQL. A webhook at one node wakes the workers of all (store.listen); the beat of each is the net below.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import structlog

from connector import __version__
from connector.application import Clock, kind_of, load_sources, utc_now
from connector.attention.attend import Attendant
from connector.attention.clock import LEASE, Metronome
from connector.attention.metered import Metered
from connector.attention.source import Source
from connector.heartbeat import Heartbeat
from connector.mapping.schema import Mapping as SourceMapping
from connector.metrics import Metrics, SourceSnapshot
from connector.settings import Settings
from connector.setup.live_check import look_over
from connector.setup.lookout import Lookout
from connector.setup.wanted import webhook_of
from connector.store import DatabaseError, Store, open_database
from connector.web.app import create_app
from connector.web.health import Health, Limits, Role, read_health, read_snapshots
from connector.web.server import WebServer
from connector.web.webhooks import WebSource

log = structlog.get_logger(__name__)


class Service:
    """One process of the connector. `role` says what it is there for."""

    def __init__(
        self, settings: Settings, clock: Clock = utc_now, *, role: Role = "run", look_over_setup: bool = False
    ) -> None:
        """`look_over_setup`: also look, now and then, whether the trackers are set up as the mappings need it."""
        self._clock, self._role = clock, role
        self._limits = Limits(settings.poll_seconds, started_at=clock())
        sources = load_sources(settings.mappings, clock)
        self.store = Store(open_database(settings.database_url, exclusive=True, migrate=role == "run"))
        self._lookout = _lookout(sources if look_over_setup and role != "web" else {}, settings.public_url)
        self.metrics = Metrics(sources, snapshot=self._snapshot)
        self.store.count_errors(self._count_error)
        self.sources = {name: _metered(source, self.metrics) for name, source in sources.items()}
        self.metronome = None if role == "web" else self._metronome(settings)
        taking_in = {} if role == "work" else {name: _web_source(source.mapping) for name, source in sources.items()}
        app = create_app(taking_in, self.store, self.metrics, clock, self.health, on_notice=lambda _source: self.wake())
        self.web = WebServer(app, *settings.listen)
        self._listener = self.store.listen(self._hear_of_another) if self.metronome else None
        self._heartbeat = self._heart(settings.heartbeat_url) if settings.heartbeat_url and role != "web" else None

    def start(self) -> None:
        """Listen and attend. Returns at once, however many tickets are open."""
        self.web.start()
        if self.metronome:
            self.metronome.start()
        self._lookout.start()
        if self._heartbeat:
            self._heartbeat.start()
        log.info(
            "connector started", url=self.web.url, role=self._role, sources=list(self.sources), version=__version__
        )

    def wake(self) -> None:
        """Something is due: let the next round come now."""
        if self.metronome:
            self.metronome.wake()

    def stop(self) -> None:
        """Take no more requests, finish the looks in hand, and give everything back."""
        if self._heartbeat:
            self._heartbeat.stop()
        self._lookout.stop()
        if self._listener:
            self._listener.stop()
        self.web.stop()
        if self.metronome:
            self.metronome.stop()
        for source in self.sources.values():
            source.tracker.close()
        self.store.close()
        log.info("connector stopped")

    def health(self) -> Health:
        """What /readyz tells."""
        broken = self._lookout.misconfigured()
        return read_health(self.store, list(self.sources), self._clock(), self._limits, broken, role=self._role)

    def _snapshot(self) -> list[SourceSnapshot]:
        return read_snapshots(self.store, list(self.sources), self._clock(), self._lookout.misconfigured())

    def _heart(self, url: str) -> Heartbeat:
        return Heartbeat(url, lambda: self.health().is_clean, tell=self.metrics.beat)

    def _hear_of_another(self) -> None:
        self.metrics.noticed("node")
        self.wake()

    def _count_error(self, error: DatabaseError) -> None:
        self.metrics.database_failed(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower())

    def _metronome(self, settings: Settings) -> Metronome:
        attendant = Attendant(self.store, self.metrics, self._clock, lease=LEASE)
        return Metronome(
            self.sources,
            self.store,
            attendant,
            self._clock,
            workers=settings.workers,
            poll_seconds=settings.poll_seconds,
        )


def _metered(source: Source, metrics: Metrics) -> Source:
    return replace(source, tracker=Metered(source.tracker, metrics, source.name))


def _lookout(sources: Mapping[str, Source], public_url: str | None) -> Lookout:
    return Lookout(
        {name: partial(look_over, source.mapping, webhook_of(name, public_url)) for name, source in sources.items()}
    )


def _web_source(mapping: SourceMapping) -> WebSource:
    def secrets() -> list[str]:
        return [secret.read() for secret in mapping.tracker.webhook_secrets]

    kind = kind_of(mapping)
    return WebSource(mapping.source, secrets, kind.verify, kind.read_news)
