"""The queue: which ticket deserves attention now, and who is giving it.

A ticket is due when its `attend_at` has come. claim() leases due tickets to a worker, which looks at each and ends with
one of settle(), postpone(), stick() or forget(). Whatever arrives in between raises `news`, and news since the claim
always makes the ticket due again: no notice is ever lost. A lease that its worker outlived is given to another; the
late worker is told so (False) and has then written nothing.

All moments are aware datetimes, given by the caller.
"""

import itertools
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)

from connector.store.acts import note_adopted
from connector.store.database import Database
from connector.store.sources import record_heard
from connector.store.tables import ERROR_LENGTH, ID_LENGTH, Moment, tickets
from connector.store.tickets import ANSWERED, find

_T = TypeVar("_T")
_BATCH = 500  # rows in one transaction: long enough to be quick, short enough for a webhook to wait for


@dataclass(frozen=True, slots=True)
class Claim:
    """A ticket leased to one worker, as it was when claimed."""

    source: str
    ticket_id: str
    key: str | None
    stage: str | None
    token: str
    attempts: int  # failed looks in a row, those cut short by a crash or an outlived lease among them
    failures: int  # those of them that were the ticket's own
    config_hash: str | None
    receipt_digest: str | None
    first_look: bool  # nobody has ever settled it: what was done on it before is to be looked up on the ticket


class Seen(Protocol):
    """A ticket as a poll sees it: a Sighting of the trackers' port."""

    @property
    def ticket_id(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def updated_at(self) -> datetime | None: ...


class Attention:
    """The queue of one database. Thread safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = itertools.count()

    # What makes a ticket due

    def notice(self, source: str, ticket_id: str, key: str | None, now: datetime) -> None:
        """An authentic webhook says that the ticket changed. Committed durably when this returns.

        Revives a stuck ticket. Raises ValueError for an id or key that no tracker gives, and DatabaseError.
        """
        row = self._noticed(source, ticket_id, key, now)
        with self._database.write() as connection:
            record_heard(self._database, connection, source, now)
            self._upsert(connection, [row], now)

    def notice_many(self, source: str, sightings: Iterable[Seen], now: datetime) -> int:
        """A poll saw these tickets. Returns how many are due because of it.

        A ticket that has the tracker's stamp of the last look, or got stuck after its last change, is left as it is.
        `sightings` may be lazy: it is never drawn from within a transaction.
        """
        raised = 0
        for batch in _batches(sightings):
            with self._database.read() as connection:
                unknown = _unknown(connection, source, batch)
            rows = [self._noticed(source, seen.ticket_id, seen.key, now) for seen in unknown]
            if rows:
                with self._database.write() as connection:
                    self._upsert(connection, rows, now)
            raised += len(rows)
        return raised

    def take_as_known(self, source: str, seen: Seen, refs: Iterable[str], now: datetime) -> bool:
        """Take a ticket in as it stands: the acts with these refs count as done, and it is due as notice_many has it.

        One transaction, so that no worker does one of those acts in between. False, with nothing written, while a
        worker has the ticket in hand: it decided before, and may be at one of them.
        """
        row = self._noticed(source, seen.ticket_id, seen.key, now)
        lease = select(tickets.c.lease_until).where(*_is(source, seen.ticket_id)).with_for_update()
        with self._database.write() as connection:
            lease_until = connection.scalar(lease)
            if lease_until is not None and lease_until > now:
                return False
            if _unknown(connection, source, [seen]):
                self._upsert(connection, [row], now)
            note_adopted(self._database, connection, source, seen.ticket_id, refs, now)
            return True

    def wake(self, source: str, ticket_ids: Iterable[str], now: datetime) -> None:
        """Look at these tickets again: their twin appeared, changed or went. Unknown and stuck ones stay as they are.

        Only to be called on such a change: two twins that always woke each other would never rest.
        """
        for batch in _batches(ticket_ids):
            self._raise(tickets.c.source == source, tickets.c.ticket_id.in_(batch), ~_stuck, now=now)

    def retry(self, source: str, key_or_id: str, now: datetime) -> bool:
        """Somebody asks to look at this ticket now, stuck or not. False if there is no such ticket."""
        with self._database.read() as connection:
            ticket = find(connection, source, key_or_id)
        return ticket is not None and self._raise(*_is(source, ticket.ticket_id), now=now) > 0

    def retry_all_stuck(self, source: str | None, now: datetime) -> int:
        """Revive every stuck ticket, of one source or of all. Returns how many there were."""
        return self._raise(_stuck, *([] if source is None else [tickets.c.source == source]), now=now)

    def mark_stale(self, source: str, config_hash: str, now: datetime, limit: int) -> int:
        """Make up to `limit` tickets due that were last looked at with another configuration. Returns how many.

        Left out: answered tickets, those in hand, those that are due or will be tried again anyway (so are all that
        never were looked at), and those that got stuck with this configuration, or with one that nobody named. So
        repeated calls come to an end, also before the tickets are attended.
        """
        other = or_(tickets.c.config_hash < config_hash, tickets.c.config_hash > config_hash)
        waiting = and_(~_stuck, tickets.c.attempts == 0, or_(tickets.c.attend_at.is_(None), tickets.c.attend_at > now))
        stale = (
            select(tickets.c.ticket_id)
            .where(
                tickets.c.source == source,
                other,
                or_(waiting, _stuck),
                or_(tickets.c.stage.is_(None), tickets.c.stage != ANSWERED),
            )
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with self._database.write() as connection:
            # Two statements: PostgreSQL may run a subquery that locks rows more than once, and so go past the limit.
            marked = connection.scalars(stale).all()
            for batch in _batches(marked):
                connection.execute(
                    update(tickets)
                    .where(tickets.c.source == source, tickets.c.ticket_id.in_(batch))
                    .values(**_news(now))
                )
        return len(marked)

    def next_attend_at(self, sources: Sequence[str]) -> datetime | None:
        """The earliest moment at which a ticket of these sources is due, or None. It may be past."""
        with self._database.read() as connection:
            # One source at a time: only then is it the first entry of the index.
            moments = [
                connection.scalar(
                    select(func.min(tickets.c.attend_at)).where(
                        tickets.c.source == source, tickets.c.attend_at.is_not(None)
                    )
                )
                for source in sources
            ]
        return min((moment for moment in moments if moment is not None), default=None)

    # Giving it

    def claim(self, now: datetime, limit: int, lease: timedelta, sources: Sequence[str]) -> list[Claim]:
        """Lease up to `limit` due tickets of these sources until `now + lease`, the longest due of each source first.

        Each goes to the source with the fewest in hand, and among equals to each in turn, so that neither a slow source
        nor one with ten thousand due tickets starves the others.
        """
        with self._database.write() as connection:
            due = {source: _due(connection, source, now, limit) for source in sources}
            if not any(due.values()):
                return []
            in_hand = _in_hand(connection, sources, now)
            rows = list(itertools.islice(_dealt(due, in_hand, next(self._turn)), limit))
            claims = [_claimed(row) for row in rows]
            connection.execute(
                update(tickets)
                .where(tickets.c.source == bindparam("b_source"), tickets.c.ticket_id == bindparam("b_ticket_id"))
                .values(
                    lease_token=bindparam("b_token"),
                    lease_until=now + lease,
                    claimed_news=tickets.c.news,
                    attempts=bindparam("b_attempts"),
                ),
                [
                    {
                        "b_source": claim.source,
                        "b_ticket_id": claim.ticket_id,
                        "b_token": claim.token,
                        "b_attempts": claim.attempts,
                    }
                    for claim in claims
                ],
            )
            return claims

    def renew(self, claim: Claim, now: datetime, lease: timedelta) -> bool:
        """Keep the claim until `now + lease`. False if the ticket was given to another worker."""
        return self._update(claim, lease_until=now + lease)

    def settle(
        self,
        claim: Claim,
        *,
        now: datetime,
        stage: str,
        attend_at: datetime | None,
        key: str | None,
        receipt_digest: str | None,
        tracker_updated_at: datetime | None,
        config_hash: str,
        error: str | None = None,
    ) -> bool:
        """The look succeeded: note its result and look again at `attend_at`, or now if there was news since the claim.

        `error` is a short text of our own on what could not be done and need not be tried again by itself. False if the
        ticket was given to another worker.
        """
        return self._update(
            claim,
            **_FREE,
            stage=stage,
            attend_at=case((_has_news, literal(now, Moment())), else_=literal(attend_at, Moment())),
            not_before=None,
            attempts=0,
            failures=0,
            error=error and error[:ERROR_LENGTH],
            key=func.coalesce(key, tickets.c.key),
            receipt_digest=receipt_digest,
            tracker_updated_at=tracker_updated_at,
            config_hash=config_hash,
            attended_at=now,
        )

    def postpone(
        self,
        claim: Claim,
        *,
        now: datetime,
        attend_at: datetime,
        error: str,
        not_before: datetime | None = None,
        counts: bool = False,
    ) -> bool:
        """The look failed: count it and try again at `attend_at`, or now if there was news since the claim.

        `not_before` is a rate limit of this ticket: until then nothing makes it due, not even news. `error` is a short
        text of our own; `counts` if the failure was the ticket's own. False if the ticket was given to another worker.
        """
        soonest = now if not_before is None else max(now, not_before)
        return self._update(
            claim,
            **_FREE,
            attend_at=case((_has_news, literal(soonest, Moment())), else_=literal(attend_at, Moment())),
            not_before=not_before,
            attempts=tickets.c.attempts + 1,
            failures=tickets.c.failures + (1 if counts else 0),
            error=error[:ERROR_LENGTH],
        )

    def stick(self, claim: Claim, *, now: datetime, error: str, config_hash: str | None = None) -> bool:
        """Tries are used up: leave the ticket until a notice, a retry, or (mark_stale) another configuration.

        News since the claim revives it at once. False if the ticket was given to another worker.
        """
        return self._update(
            claim,
            **_FREE,
            attend_at=case((_has_news, literal(now, Moment())), else_=None),
            stuck_since=case((_has_news, None), else_=literal(now, Moment())),
            not_before=None,
            error=case((_has_news, None), else_=error[:ERROR_LENGTH]),
            config_hash=config_hash,
        )

    def forget(self, claim: Claim, *, now: datetime) -> bool:
        """The ticket is none of ours: leave nothing of it or its acts, or look again if there was news since the claim.

        False if the ticket was given to another worker.
        """
        with self._database.write() as connection:
            gone = connection.execute(delete(tickets).where(*_held(claim), ~_has_news)).rowcount
            return (
                gone == 1
                or connection.execute(update(tickets).where(*_held(claim)).values(**_FREE, attend_at=now)).rowcount == 1
            )

    # The parts

    def _noticed(self, source: str, ticket_id: str, key: str | None, now: datetime) -> dict[str, Any]:
        return {
            "source": source,
            "ticket_id": _identifier(ticket_id),
            "key": None if key is None else _identifier(key),
            "attend_at": now,
            "attempts": 0,
            "failures": 0,
            "news": 1,
            "claimed_news": 0,
            "first_seen_at": now,
        }

    def _upsert(self, connection: Connection, rows: list[dict[str, Any]], now: datetime) -> None:
        insert = self._database.insert(tickets)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=[tickets.c.source, tickets.c.ticket_id],
                set_={**_news(now), "key": func.coalesce(insert.excluded.key, tickets.c.key)},
            ),
            rows,
        )

    def _raise(self, *which: ColumnElement[bool], now: datetime) -> int:
        with self._database.write() as connection:
            return connection.execute(update(tickets).where(*which).values(**_news(now))).rowcount

    def _update(self, claim: Claim, **values: Any) -> bool:
        with self._database.write() as connection:
            return connection.execute(update(tickets).where(*_held(claim)).values(**values)).rowcount == 1


_CLOCKS_DIFFER = timedelta(minutes=1)
_FREE = {"lease_until": None, "lease_token": None}
_stuck = tickets.c.stuck_since.is_not(None)
_has_news = tickets.c.news > tickets.c.claimed_news


def _is(source: str, ticket_id: str) -> tuple[ColumnElement[bool], ...]:
    return (tickets.c.source == source, tickets.c.ticket_id == ticket_id)


def _held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return (*_is(claim.source, claim.ticket_id), tickets.c.lease_token == claim.token)


def _leased(now: datetime) -> ColumnElement[bool]:
    return and_(tickets.c.lease_until.is_not(None), tickets.c.lease_until > now)


def _news(now: datetime) -> dict[str, Any]:
    """What news changes in a row. One in hand stays as it is: its worker will find the news when it ends."""
    at = literal(now, Moment())
    return {
        "news": tickets.c.news + 1,
        "attend_at": case(
            (_leased(now), tickets.c.attend_at), (tickets.c.not_before > now, tickets.c.not_before), else_=at
        ),
        "attempts": 0,
        "failures": 0,
        "stuck_since": None,
        "error": None,
    }


def _unknown(connection: Connection, source: str, batch: Sequence[Seen]) -> list[Seen]:
    """The sightings that tell something new, the last of each ticket.

    Nothing new: what the last look saw; and a ticket that got stuck well after its last change.
    """
    seen = {one.ticket_id: one for one in batch}
    query = select(tickets.c.ticket_id, tickets.c.tracker_updated_at, tickets.c.stuck_since).where(
        tickets.c.source == source,
        tickets.c.ticket_id.in_(list(seen)),
        or_(_stuck, and_(tickets.c.attended_at.is_not(None), tickets.c.tracker_updated_at.is_not(None))),
    )
    for row in connection.execute(query):
        updated_at = seen[row.ticket_id].updated_at
        if row.stuck_since is None:
            is_old = updated_at == row.tracker_updated_at
        else:
            is_old = updated_at is not None and updated_at < row.stuck_since - _CLOCKS_DIFFER
        if is_old:
            del seen[row.ticket_id]
    # In one order, so that two nodes that poll at once cannot wait for each other's rows.
    return sorted(seen.values(), key=lambda one: one.ticket_id)


def _due(connection: Connection, source: str, now: datetime, limit: int) -> list[Any]:
    """The tickets of a source that are due and not in hand, the longest due first; locked where rows can be."""
    query = (
        select(tickets)
        .where(tickets.c.source == source, tickets.c.attend_at <= now, ~_leased(now))
        .order_by(tickets.c.attend_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(query))


def _in_hand(connection: Connection, sources: Sequence[str], now: datetime) -> Counter[str]:
    """How many tickets of each source are leased."""
    query = (
        select(tickets.c.source, func.count().label("leases"))
        .where(tickets.c.source.in_(sources), tickets.c.lease_until > now)
        .group_by(tickets.c.source)
    )
    return Counter({row.source: row.leases for row in connection.execute(query)})


def _claimed(row: Any) -> Claim:
    return Claim(
        source=row.source,
        ticket_id=row.ticket_id,
        key=row.key,
        stage=row.stage,
        token=secrets.token_hex(16),
        # A lease still noted here was outlived: that look failed, and a ticket that kills its worker must not go on.
        attempts=row.attempts + (row.lease_token is not None),
        failures=row.failures,
        config_hash=row.config_hash,
        receipt_digest=row.receipt_digest,
        first_look=row.attended_at is None,
    )


def _dealt(due: dict[str, list[Any]], in_hand: Counter[str], turn: int) -> Iterator[Any]:
    """The due rows in the order in which they are served: see claim()."""
    order = list(due)
    order = order[turn % len(order) :] + order[: turn % len(order)]
    heads = {source: iter(due[source]) for source in order}
    while heads:
        source = min(heads, key=lambda name: in_hand[name])
        row = next(heads[source], None)
        if row is None:
            del heads[source]
        else:
            in_hand[source] += 1
            yield row


def _identifier(text: str) -> str:
    """An id or key, unless no tracker gives such a one: databases refuse some characters, and not all the same."""
    if not 0 < len(text) <= ID_LENGTH or not text.isprintable():
        raise ValueError("no tracker gives such an id or key to a ticket")
    return text


def _batches(things: Iterable[_T]) -> Iterator[list[_T]]:
    iterator = iter(things)
    while batch := list(itertools.islice(iterator, _BATCH)):
        yield batch
