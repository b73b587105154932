"""What is known of each source: how far it was polled, when it last worked, whether it is paused or braked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select, update

from connector.store.database import Database
from connector.store.tables import ERROR_LENGTH, sources, tickets
from connector.store.tickets import ANSWERED

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

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, source: str) -> SourceState:
        """The source as it stands."""
        with self._database.read() as connection:
            row = connection.execute(select(sources).where(sources.c.source == source)).first()
        return SourceState(source) if row is None else SourceState(**row._mapping)

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
        with self._database.write() as connection:
            record_heard(self._database, connection, source, now)

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
        with self._database.write() as connection:
            released = connection.execute(
                update(sources)
                .where(sources.c.source == source, or_(sources.c.braked_at.is_not(None), sources.c.paused_until > now))
                .values(braked_at=None, brake_reason=None, paused_until=None, pause_reason=None, allowance_from=now)
            )
            return released.rowcount == 1

    def snapshot(self, names: Sequence[str], now: datetime) -> list[SourceCounts]:
        """The counts of these sources, in this order, as they are at one moment."""
        with self._database.read() as connection:
            return [_counts(connection, source, now) for source in names]

    def _set(self, source: str, where: ColumnElement[bool] | None = None, **values: Any) -> None:
        """Write the values; over those of a known source only `where` that holds."""
        with self._database.write() as connection:
            connection.execute(
                self._database.insert(sources)
                .values(source=source, **values)
                .on_conflict_do_update(index_elements=[sources.c.source], set_=values, where=where)
            )


def record_heard(database: Database, connection: Connection, source: str, now: datetime) -> None:
    """Note that a webhook was heard, once in ten seconds: else each would wait for the one before to be committed."""
    stale = or_(sources.c.heard_at.is_(None), sources.c.heard_at <= now - _HEARD_EVERY)
    known = connection.execute(update(sources).where(sources.c.source == source, stale).values(heard_at=now))
    if known.rowcount == 0:
        connection.execute(database.insert(sources).values(source=source, heard_at=now).on_conflict_do_nothing())


def _counts(connection: Connection, source: str, now: datetime) -> SourceCounts:
    mine = tickets.c.source == source
    by_stage = select(tickets.c.stage, func.count().label("tickets")).where(mine).group_by(tickets.c.stage)
    stages = {row.stage: row.tickets for row in connection.execute(by_stage)}
    unattended = stages.pop(None, 0)
    due = select(func.count(), func.min(tickets.c.attend_at)).where(mine, tickets.c.attend_at <= now)
    due_count, oldest_due_at = connection.execute(due).one()
    stuck = select(func.count()).where(mine, tickets.c.stuck_since.is_not(None))
    return SourceCounts(
        source=source,
        open=unattended + sum(stages.values()) - stages.get(ANSWERED, 0),
        due=due_count,
        oldest_due_at=oldest_due_at,
        stuck=connection.scalar(stuck) or 0,
        unattended=unattended,
        stages=stages,
    )
