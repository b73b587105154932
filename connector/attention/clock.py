"""The metronome: attend, poll and housekeeping, by APScheduler with nothing stored in it.

A beat that finds nothing to do costs one indexed look. A webhook makes the next beat come at once. Each process runs
its own; the store keeps them from attending to one ticket twice.

APScheduler goes by the wall clock: set back by an hour, it would not beat for an hour. A watch that goes by the
monotonic clock sees such a step and lets every beat come at once.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor as BeatExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from connector.attention.attend import Attendant
from connector.attention.hands import Hands
from connector.attention.poll import poll_quietly
from connector.attention.source import Source
from connector.store import Store
from connector.store.errors import DatabaseError
from connector.trackers.port import TrackerError

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=5)  # longer than the calls of one act can take with their time-outs; renewed before each
ATTEND_SECONDS = 1
HOUSEKEEPING_SECONDS = 30
STALE_BATCH = 500  # tickets re-read after an edited mapping, each housekeeping beat: gentle on the tracker
NOTE_ROUND_EVERY = timedelta(seconds=15)
WATCH_SECONDS = 1.0
SLACK = timedelta(seconds=2)  # by so much further ahead than usual a beat may be


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
        self._sources, self._store, self._clock, self._lease = sources, store, clock, lease
        self._hands = {
            name: Hands(
                source,
                store,
                attendant,
                source.hands(workers),
                is_held=partial(self._is_held, name),
                on_room=self.wake,
            )
            for name, source in sources.items()
        }
        self._rounds = ThreadPoolExecutor(1, thread_name_prefix="rounds")  # of its own, so that no look delays a round
        self._round = threading.Lock()  # keeps rounds apart
        self._waking = threading.Lock()  # never held for long: a webhook waits for it
        self._woken = False  # a round that was asked for has not begun yet
        self._stopped = threading.Event()
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
        self._watch = threading.Thread(target=self._watch_the_clock, name="clock watch", daemon=True)

    def start(self) -> None:
        """Start the beats; the first round and the first poll come at once."""
        self._beats.start()
        self._watch.start()

    def wake(self) -> None:
        """Something is due: let the next round come now. Does no work in the caller's thread."""
        with self._waking:
            if not self._stopped.is_set() and not self._woken:
                self._woken = True
                self._rounds.submit(self._woken_round)

    def stop(self) -> None:
        """No new claims; looks in hand are finished, polls are given up. Bounded by the trackers' time-outs."""
        with self._waking:
            self._stopped.set()
        for source in self._sources.values():
            source.pace.stop()
        if self._beats.running:
            self._beats.shutdown(wait=True)
        self._rounds.shutdown(wait=True)
        for hands in self._hands.values():
            hands.close()

    def round(self) -> None:
        """Claim what is due, as much as there are free hands, and hand it out."""
        try:
            with self._round:
                if not self._stopped.is_set():
                    self._store.check_clock()
                    self._hand_out_due()
                    self._note_round()
        except DatabaseError as error:
            log.error("attention round failed", reason=str(error))

    def poll(self, name: str) -> None:
        """Poll one source, unless it is held."""
        try:
            if not self._stopped.is_set() and not self._is_held(name):
                self._store.check_clock()
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
        if self._stopped.is_set():
            raise Stopping

    def _woken_round(self) -> None:
        with self._waking:
            self._woken = False
        self.round()

    def _hand_out_due(self) -> None:
        """Claim for the free hands of every source that is not held: its earliest first."""
        limits = {}
        for name, hands in self._hands.items():
            hands.held = self._is_held(name)
            if not hands.held and hands.room:
                limits[name] = hands.room
        claims = self._store.attention.claim(self._clock(), limits, self._lease) if limits else []
        for name in limits:
            self._hands[name].take([claim for claim in claims if claim.source == name])

    def _note_round(self) -> None:
        now = self._clock()
        if self._noted_at is None or not timedelta(0) <= now - self._noted_at < NOTE_ROUND_EVERY:
            for name in self._sources:
                self._store.sources.attended(name, now)
            self._noted_at = now

    def _is_held(self, name: str) -> bool:
        """Whether the source is paused or braked."""
        state = self._store.sources.get(name)
        return state.braked_at is not None or (state.paused_until is not None and state.paused_until > self._clock())

    def _watch_the_clock(self) -> None:
        """Let no beat wait for a time that the wall clock has left: the scheduler goes by it, and may be set anew.

        Set back, the clock leaves beats further ahead than one comes after the other; set back and forth within a
        moment, it leaves the scheduler asleep until a time that lies far ahead.
        """
        while not self._stopped.wait(WATCH_SECONDS):
            now = datetime.now(UTC)
            for beat in self._beats.get_jobs():
                if beat.next_run_time - now > beat.trigger.interval + SLACK:
                    log.warning("the clock was set back", beat=beat.id)
                    beat.modify(next_run_time=now)
            self._beats.wakeup()
