"""What is known of each source: how far it was polled, when it last worked, whether it is paused or braked."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from sqlalchemy import ClauseElement, ColumnElement, Connection, bindparam, func, or_, select, update

from connector.store.bell import Ring
from connector.store.database import Database
from connector.store.errors import DatabaseError
from connector.store.tables import ERROR_LENGTH, sources, tickets
from connector.store.tickets import ANSWERED

_T = TypeVar("_T")
_STAGES_SECONDS = 5.0  # that the count of a source's tickets by stage is kept at least: each of them is counted
_KEPT_COSTS = 50  # a count is kept for so many times as long as it took, so that counting takes 2 % of the time at most
_KEPT_SECONDS = 60.0  # and no longer, whatever it took
_HEARD_EVERY = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source as it stands. One that nothing is known of has the name alone."""

    source: str
    watermark: datetime | None = None
    polled_at: datetime | None = None
    attended_at: datetime | None = None
    heard_at: datetime | None = None
    paused_until: datetime | None = None
    pause_reason: str | None = None
    braked_at: datetime | None = None
    brake_reason: str | None = None
    allowance_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """How many tickets of a source are in which condition."""

    source: str
    open: int  # not answered, those never attended among them
    due: int  # their moment has come, those in hand among them
    oldest_due_at: datetime | None
    stuck: int
    unattended: int  # never attended yet
    stages: dict[str, int] = field(default_factory=dict)  # stage -> tickets, for those attended


class Sources:
    """The sources of one database. Thread safe. Every setter makes the source known if it was not."""

    def __init__(self, database: Database, ring: Ring = lambda: None) -> None:
        """`ring` is called when a source was let go, for which another process may have a free hand."""
        self._database = database
        self._ring = ring
        self._round_at: float | None = None  # monotonic
        self._stages = _Tally[dict[str | None, int]](_STAGES_SECONDS)
        self._due = _Tally[tuple[int, datetime | None, int]]()

    def get(self, source: str) -> SourceState:
        """The source as it stands."""
        rows = self._database.look(_state, b_source=source)
        return SourceState(*rows[0]) if rows else SourceState(source)

    def polled(self, source: str, *, watermark: datetime | None, now: datetime) -> None:
        """A poll succeeded. None leaves the watermark where it is."""
        if watermark is None:
            self._set(source, polled_at=now)
        else:
            self._set(source, polled_at=now, watermark=watermark)

    def attended(self, source: str, now: datetime) -> None:
        """An attention round succeeded."""
        self._set(source, attended_at=now)
        self._round_at = time.monotonic()

    def round_age(self) -> timedelta | None:
        """How long ago this process noted a good attention round, by no clock that can be set; None: never yet."""
        return None if self._round_at is None else timedelta(seconds=time.monotonic() - self._round_at)

    def heard(self, source: str, now: datetime) -> None:
        """An authentic webhook came that is about no ticket. (Attention.notice notes it for the others.)"""
        record_heard(self._database, source, now)

    def pause(self, source: str, until: datetime, reason: str) -> None:
        """Leave the source alone until then. `reason` is a short text of our own. A longer pause is not cut short."""
        longer = or_(sources.c.paused_until.is_(None), sources.c.paused_until < until)
        self._set(source, longer, paused_until=until, pause_reason=reason[:ERROR_LENGTH])

    def resume(self, source: str) -> None:
        """End a pause (its cause was mended). The brake stays."""
        self._set(source, paused_until=None, pause_reason=None)

    def brake(self, source: str, now: datetime, reason: str) -> None:
        """Stop the source until somebody releases it. A brake that is on keeps its moment and its reason."""
        self._set(source, sources.c.braked_at.is_(None), braked_at=now, brake_reason=reason[:ERROR_LENGTH])

    def release(self, source: str, now: datetime) -> bool:
        """Let the source go: brake off, pause ended, and the brake counts from now on. False if neither was on."""
        is_held = or_(sources.c.braked_at.is_not(None), sources.c.paused_until > now)
        release = (
            update(sources)
            .where(sources.c.source == source, is_held)
            .values(braked_at=None, brake_reason=None, paused_until=None, pause_reason=None, allowance_from=now)
        )
        released = self._database.write(lambda connection: connection.execute(release).rowcount) == 1
        if released:
            self._ring()
        return released

    def snapshot(self, names: Sequence[str], now: datetime) -> list[SourceCounts]:
        """The counts of these sources, in this order.

        Each is kept for 50 times as long as it took, that of the stages for five seconds at least, and none for more
        than a minute: so old may they be, however often they are asked for.
        """
        return [self._counts(source, now) for source in names]

    def _counts(self, source: str, now: datetime) -> SourceCounts:
        stages = dict(self._stages.get(source, lambda: self._database.read(partial(_count_stages, source))))
        unattended = stages.pop(None, 0)
        due_count, oldest_due_at, stuck = self._due.get(
            source, lambda: self._database.read(partial(_count_due, source, now))
        )
        return SourceCounts(
            source=source,
            open=unattended + sum(stages.values()) - stages.get(ANSWERED, 0),
            due=due_count,
            oldest_due_at=oldest_due_at,
            stuck=stuck,
            unattended=unattended,
            stages={stage: count for stage, count in stages.items() if stage is not None},
        )

    def _set(self, source: str, where: ColumnElement[bool] | None = None, **values: Any) -> None:
        """Write the values; over those of a known source only `where` that holds."""
        put = (
            self._database.insert(sources)
            .values(source=source, **values)
            .on_conflict_do_update(index_elements=[sources.c.source], set_=values, where=where)
        )
        self._database.write(lambda connection: connection.execute(put))


class _Tally(Generic[_T]):
    """What was counted of each source, kept for a time that grows with what it cost to count."""

    def __init__(self, at_least: float = 0.0) -> None:
        """`at_least`: seconds for which it is kept even if it cost nothing."""
        self._at_least = at_least
        self._found: dict[str, tuple[float, _T]] = {}  # source -> until when (monotonic), what

    def get(self, source: str, count: Callable[[], _T]) -> _T:
        """What was counted, or counted anew."""
        began = time.monotonic()
        known = self._found.get(source)
        if known is not None and began < known[0]:
            return known[1]
        found, ended = count(), time.monotonic()
        keep = min(max(self._at_least, _KEPT_COSTS * (ended - began)), _KEPT_SECONDS)
        self._found[source] = (ended + keep, found)
        return found


def _state(_database: Database) -> ClauseElement:
    columns = [sources.c[each.name] for each in fields(SourceState)]
    return select(*columns).where(sources.c.source == bindparam("b_source"))


def record_heard(database: Database, source: str, now: datetime) -> None:
    """Note that a webhook was heard, to within ten seconds."""
    stale = or_(sources.c.heard_at.is_(None), sources.c.heard_at <= now - _HEARD_EVERY)
    put = (
        database.insert(sources)
        .values(source=source, heard_at=now)
        .on_conflict_do_update(index_elements=[sources.c.source], set_={"heard_at": now}, where=stale)
    )
    database.write(lambda connection: connection.execute(put))


class Heard:
    """Notes that sources are heard from, seldom enough to cost a webhook nothing. Thread safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[str, datetime] = {}

    def note(self, source: str, now: datetime) -> None:
        """A webhook came. That it could not be noted is no reason to refuse it."""
        noted = self._noted.get(source)
        if noted is not None and timedelta(0) <= now - noted < _HEARD_EVERY:  # a clock may be set back
            return
        self._noted[source] = now
        with contextlib.suppress(DatabaseError):
            record_heard(self._database, source, now)


def _count_stages(source: str, connection: Connection) -> dict[str | None, int]:
    query = select(tickets.c.stage, func.count().label("tickets")).where(tickets.c.source == source)
    return {row.stage: row.tickets for row in connection.execute(query.group_by(tickets.c.stage))}


def _count_due(source: str, now: datetime, connection: Connection) -> tuple[int, datetime | None, int]:
    """How many are due, the oldest of them, and how many are stuck."""
    mine = tickets.c.source == source
    due = select(func.count(), func.min(tickets.c.attend_at)).where(mine, tickets.c.attend_at <= now)
    stuck = select(func.count()).where(mine, tickets.c.stuck_since.is_not(None))
    count, oldest = connection.execute(due).one()
    return count, oldest, connection.scalar(stuck) or 0
