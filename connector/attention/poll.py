"""The poll: finds the changes that no webhook told.

It asks for tickets changed since the watermark, less an overlap: search indexes lag behind, clocks differ, and Jira
compares whole minutes. What was seen already is recognised by the tracker's own stamp and costs nothing more. The
watermark is the tracker's time, and moves only when everything the poll saw is committed; never past our own now, so
that a ticket stamped in the future, or a clock set back, hides no change. Without a watermark (a new or lost database)
every open ticket in scope is noticed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from connector.attention.backoff import PAUSE_FOR_ADMIN, describe
from connector.attention.source import Source
from connector.store import Store
from connector.trackers.port import AccessRefused, Misconfigured, RateLimited, Sighting, TrackerError

log = structlog.get_logger(__name__)

OVERLAP = timedelta(minutes=10)


@dataclass(slots=True)
class Polled:
    """What a poll came to: tickets seen, and how many of them are due because of it."""

    seen: int = 0
    noticed: int = 0
    latest: datetime | None = None


def poll(
    source: Source,
    store: Store,
    clock: Callable[[], datetime],
    *,
    everything: bool = False,
    progress: Callable[[int], object] = lambda _: None,
) -> Polled:
    """Notice what changed since the last poll, or every open ticket in scope.

    Raises TrackerError; then nothing is lost, for the watermark stays. `progress` is told the number of tickets so far.
    """
    watermark = store.sources.get(source.name).watermark
    since = None if everything or watermark is None else min(watermark, clock()) - OVERLAP
    polled = Polled()
    sightings = _counted(source.tracker.changed_since(since), polled, progress)
    polled.noticed = store.attention.notice_many(source.name, sightings, clock())
    now = clock()
    known = [moment for moment in (watermark, polled.latest) if moment]
    store.sources.polled(source.name, watermark=min(max(known), now) if known else None, now=now)
    log.info("polled", source=source.name, seen=polled.seen, noticed=polled.noticed)
    return polled


def poll_quietly(
    source: Source, store: Store, clock: Callable[[], datetime], progress: Callable[[int], object] = lambda _: None
) -> bool:
    """A poll of the metronome: failures are noted and the next beat tries again. Whether it succeeded."""
    try:
        poll(source, store, clock, progress=progress)
    except TrackerError as error:
        pause = timedelta(seconds=error.retry_after) if isinstance(error, RateLimited) else PAUSE_FOR_ADMIN
        if isinstance(error, RateLimited | AccessRefused | Misconfigured):
            store.sources.pause(source.name, clock() + pause, describe(error))
        log.warning("poll failed", source=source.name, kind=type(error).__name__, reason=describe(error))
        return False
    return True


def _counted(sightings: Iterable[Sighting], polled: Polled, progress: Callable[[int], object]) -> Iterator[Sighting]:
    for sighting in sightings:
        polled.seen += 1
        if sighting.updated_at and (polled.latest is None or sighting.updated_at > polled.latest):
            polled.latest = sighting.updated_at
        progress(polled.seen)
        yield sighting
