"""The metronome: attend, poll and housekeeping, by APScheduler with nothing stored in it.

A beat that finds nothing to do costs one indexed look. A webhook in the same process makes the next beat come at once.
Each process runs its own; the store keeps them from attending to one ticket twice.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor as BeatExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from connector.attention.attend import Attendant
from connector.attention.poll import poll_quietly
from connector.attention.source import Source
from connector.store import Store
from connector.store.attention import Claim
from connector.store.errors import DatabaseError
from connector.trackers.port import TrackerError

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=5)  # longer than the calls of one act can take with their time-outs; renewed before each
ATTEND_SECONDS = 1
HOUSEKEEPING_SECONDS = 30
STALE_BATCH = 500  # tickets re-read after an edited mapping, each housekeeping beat: gentle on the tracker
NOTE_ROUND_EVERY = timedelta(seconds=15)


class Stopping(Exception):
    """A poll is given up because the metronome stops; the watermark has not moved."""


class Metronome:
    """Runs attention for all sources until it is stopped."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        store: Store,
        attendant: Attendant,
        clock: Callable[[], datetime],
        *,
        workers: int,
        poll_seconds: int,
        lease: timedelta = LEASE,
    ) -> None:
        self._sources, self._store, self._attendant, self._clock = sources, store, attendant, clock
        self._workers, self._lease = workers, lease
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="attend")
        self._in_hand: Counter[str] = Counter()  # looks, by source
        self._lock = threading.Lock()  # guards what is here and keeps rounds apart
        self._stopping = False
        self._woken = False  # a round that was asked for has not begun yet
        self._noted_at: datetime | None = None
        self._beats = BackgroundScheduler(
            timezone=UTC,
            executors={"default": BeatExecutor(len(sources) + 2)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        beat = self._beats.add_job
        beat(self.round, "interval", seconds=ATTEND_SECONDS, id="attend", next_run_time=datetime.now(UTC))
        for name in sources:
            at_once = datetime.now(UTC)
            beat(self.poll, "interval", [name], seconds=poll_seconds, id=f"poll {name}", next_run_time=at_once)
        beat(self.housekeeping, "interval", seconds=HOUSEKEEPING_SECONDS, id="housekeeping")

    def start(self) -> None:
        """Start the beats; the first round and the first poll come at once."""
        self._beats.start()

    def wake(self) -> None:
        """Something is due: let the next round come now. Does no work in the caller's thread."""
        with self._lock:
            if not self._stopping and not self._woken:
                self._woken = True
                self._pool.submit(self._woken_round)

    def stop(self) -> None:
        """No new claims; looks in hand are finished, polls are given up. Bounded by the trackers' time-outs."""
        with self._lock:
            self._stopping = True
        if self._beats.running:
            self._beats.shutdown(wait=True)
        self._pool.shutdown(wait=True)

    def round(self) -> None:
        """Claim what is due, as much as there are free hands, and hand it out."""
        try:
            with self._lock:
                if not self._stopping:
                    self._hand_out_due()
                    self._note_round()
        except DatabaseError as error:
            log.error("attention round failed", reason=str(error))

    def poll(self, name: str) -> None:
        """Poll one source, unless it is held."""
        try:
            if not self._stopping and self._is_active(name):
                poll_quietly(self._sources[name], self._store, self._clock, self._keep_on)
        except Stopping:
            log.info("poll given up", source=name)
        except DatabaseError as error:
            log.error("poll failed", source=name, reason=str(error))
        self.wake()

    def housekeeping(self) -> None:
        """Let tickets that were last read with another mapping be looked at again, a few at a time."""
        for source in self._sources.values():
            try:
                stale = self._store.attention.mark_stale(source.name, source.config_hash(), self._clock(), STALE_BATCH)
            except (DatabaseError, TrackerError) as error:  # the key of digests follows from the tracker's token
                log.error("housekeeping failed", source=source.name, reason=str(error))
                continue
            if stale:
                log.info("mapping changed: tickets are read again", source=source.name, tickets=stale)

    def _keep_on(self, _seen: int) -> None:
        if self._stopping:
            raise Stopping

    def _woken_round(self) -> None:
        with self._lock:
            self._woken = False
        self.round()

    def _hand_out_due(self) -> None:
        """Claim for the free hands. The last one is for a source that has none yet, as the others may be slow."""
        free = self._workers - self._in_hand.total()
        active = [name for name in self._sources if self._is_active(name)]
        if free <= 0 or not active:
            return
        for_any = free if len(active) == 1 else free - 1
        if self._hand_out(for_any, active) < for_any:
            return
        idle = [name for name in active if not self._in_hand[name]]
        self._hand_out(free - for_any, idle or active)

    def _hand_out(self, limit: int, names: Sequence[str]) -> int:
        claims = self._store.attention.claim(self._clock(), limit, self._lease, names) if limit else []
        for claim in claims:
            self._in_hand[claim.source] += 1
            self._pool.submit(self._attend, claim)
        return len(claims)

    def _note_round(self) -> None:
        now = self._clock()
        if self._noted_at is None or not timedelta(0) <= now - self._noted_at < NOTE_ROUND_EVERY:
            for name in self._sources:
                self._store.sources.attended(name, now)
            self._noted_at = now

    def _is_active(self, name: str) -> bool:
        """Whether the source is neither paused nor braked."""
        state = self._store.sources.get(name)
        return state.braked_at is None and (state.paused_until is None or state.paused_until <= self._clock())

    def _attend(self, claim: Claim) -> None:
        try:
            self._attendant.attend(self._sources[claim.source], claim)
        except DatabaseError as error:
            # Not even the outcome could be noted: the lease runs out and the ticket comes again.
            log.error("look not noted", source=claim.source, reason=str(error))
        finally:
            with self._lock:
                self._in_hand[claim.source] -= 1
        self.round()
