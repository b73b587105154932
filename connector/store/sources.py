"""What is known of each source: how far it was polled, when it last worked, whether it is paused or braked."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ClauseElement, ColumnElement, Connection, bindparam, func, or_, select, update

from connector.store.bell import Ring
from connector.store.database import Database
from connector.store.errors import DatabaseError
from connector.store.tables import ERROR_LENGTH, sources, tickets
from connector.store.tickets import ANSWERED

_LARGE, _KEEP_SECONDS = 50_000, 15.0
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
        self._kept: dict[str, tuple[float, dict[str | None, int]]] = {}

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
        """The counts of these sources, in this order. Of a large source the stages are up to 15 seconds old."""
        return [self._counts(source, now) for source in names]

    def _counts(self, source: str, now: datetime) -> SourceCounts:
        stages = dict(self._stages(source))
        unattended = stages.pop(None, 0)
        due_count, oldest_due_at, stuck = self._database.read(partial(_count_due, source, now))
        return SourceCounts(
            source=source,
            open=unattended + sum(stages.values()) - stages.get(ANSWERED, 0),
            due=due_count,
            oldest_due_at=oldest_due_at,
            stuck=stuck,
            unattended=unattended,
            stages={stage: count for stage, count in stages.items() if stage is not None},
        )

    def _stages(self, source: str) -> dict[str | None, int]:
        """How many tickets are in which stage. A million of them take a database a tenth of a second to count."""
        kept = self._kept.get(source)
        if kept is not None and time.monotonic() < kept[0]:
            return kept[1]
        stages = self._database.read(partial(_count_stages, source))
        if sum(stages.values()) >= _LARGE:
            self._kept[source] = (time.monotonic() + _KEEP_SECONDS, stages)
        return stages

    def _set(self, source: str, where: ColumnElement[bool] | None = None, **values: Any) -> None:
        """Write the values; over those of a known source only `where` that holds."""
        put = (
            self._database.insert(sources)
            .values(source=source, **values)
            .on_conflict_do_update(index_elements=[sources.c.source], set_=values, where=where)
        )
        self._database.write(lambda connection: connection.execute(put))


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
