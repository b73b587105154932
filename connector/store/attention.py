"""The queue: which ticket deserves attention now, and who is giving it.

A ticket is due when its `attend_at` has come. claim() leases due tickets to a worker, which looks at each and ends with
one of settle(), postpone(), stick() or forget(). Whatever arrives in between raises `news`, and news since the claim
always makes the ticket due again: no notice is ever lost. A lease that its worker outlived is given to another; the
late worker is told so (False) and has then written nothing.

claim() has two lanes, so that neither starves the other: waits that have passed, and whatever is due, news included.

All moments are aware datetimes, given by the caller.
"""

import itertools
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Connection,
    String,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    update,
)

from connector.store import lanes
from connector.store.acts import note_adopted
from connector.store.bell import Ring
from connector.store.compiled import driver_of
from connector.store.database import Database
from connector.store.errors import DatabaseError
from connector.store.news import at, has_news, is_stuck, is_ticket, noticed, raised, upsert
from connector.store.sources import Heard
from connector.store.tables import ERROR_LENGTH, NOW, Moment, tickets
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
    correlation_id: str | None = None  # of the webhook that this look is due to


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

    def __init__(self, database: Database, ring: Ring = lambda: None) -> None:
        """`ring` is called when something was made due that another process may have a free hand for."""
        self._database = database
        self._ring = ring
        self._heard = Heard(database)

    # What makes a ticket due

    def notice(
        self, source: str, ticket_id: str, key: str | None, now: datetime, *, correlation_id: str | None = None
    ) -> None:
        """An authentic webhook says that the ticket changed. Committed durably when this returns.

        Revives a stuck ticket. `correlation_id` (64 characters at most) comes with the Claim of the look this causes.
        Raises ValueError for an id or key that no tracker gives, and DatabaseError.
        """
        self._database.put(upsert, **noticed(source, ticket_id, key, now, correlation_id))
        self._heard.note(source, now)
        self._ring()

    def notice_many(self, source: str, sightings: Iterable[Seen], now: datetime) -> int:
        """A poll saw these tickets. Returns how many are due because of it.

        A ticket that has the tracker's stamp of the last look, or got stuck after its last change, is left as it is.
        `sightings` may be lazy: it is never drawn from within a transaction.
        """
        count = 0
        for batch in _batches(sightings):
            unknown = self._database.read(partial(_unknown, source, batch))
            rows = [noticed(source, seen.ticket_id, seen.key, now) for seen in unknown]
            if rows:
                self._database.write(partial(self._upsert, rows))
                self._ring()
            count += len(rows)
        return count

    def take_as_known(self, source: str, seen: Seen, refs: Iterable[str], now: datetime) -> bool:
        """Take a ticket in as it stands: the acts with these refs count as done, and it is due as notice_many has it.

        One transaction, so that no worker does one of those acts in between. False, with nothing written, while a
        worker has the ticket in hand: it decided before, and may be at one of them.
        """
        row = noticed(source, seen.ticket_id, seen.key, now)
        lease = select(tickets.c.lease_until).where(*is_ticket(source, seen.ticket_id)).with_for_update()
        done = list(refs)

        def take(connection: Connection) -> bool:
            lease_until = connection.scalar(lease)
            if lease_until is not None and lease_until > now:
                return False
            if _unknown(source, [seen], connection):
                self._upsert([row], connection)
            note_adopted(self._database, connection, source, seen.ticket_id, done, now)
            return True

        return self._database.write(take)

    def wake(self, source: str, ticket_ids: Iterable[str], now: datetime) -> None:
        """Look at these tickets again: their twin appeared, changed or went. Unknown and stuck ones stay as they are.

        Only to be called on such a change: two twins that always woke each other would never rest.
        """
        for batch in _batches(ticket_ids):
            self._raise(tickets.c.source == source, tickets.c.ticket_id.in_(batch), ~is_stuck, now=now)

    def retry(self, source: str, key_or_id: str, now: datetime) -> bool:
        """Somebody asks to look at this ticket now, stuck or not. False if there is no such ticket."""
        ticket = self._database.read(lambda connection: find(connection, source, key_or_id))
        return ticket is not None and self._raise(*is_ticket(source, ticket.ticket_id), now=now) > 0

    def retry_all_stuck(self, source: str | None, now: datetime) -> int:
        """Revive every stuck ticket, of one source or of all. Returns how many there were."""
        stuck = (
            select(tickets.c.source, tickets.c.ticket_id)
            .where(is_stuck, *([] if source is None else [tickets.c.source == source]))
            .limit(_BATCH)
        )
        count = 0
        while True:
            batch = self._database.read(lambda connection: connection.execute(stuck).all())
            if not batch:
                return count
            for name, rows in itertools.groupby(sorted(batch), key=lambda row: row.source):
                ids = [row.ticket_id for row in rows]
                count += self._raise(tickets.c.source == name, tickets.c.ticket_id.in_(ids), is_stuck, now=now)

    def mark_stale(self, source: str, config_hash: str, now: datetime, limit: int) -> int:
        """Make up to `limit` tickets due that were last looked at with another configuration. Returns how many.

        Left out: answered tickets, those in hand, those that are due or will be tried again anyway (so are all that
        never were looked at), and those that got stuck with this configuration, or with one that nobody named. So
        repeated calls come to an end, also before the tickets are attended.
        """
        other = or_(tickets.c.config_hash < config_hash, tickets.c.config_hash > config_hash)
        later = or_(tickets.c.attend_at.is_(None), tickets.c.attend_at > now)
        waiting = and_(~is_stuck, tickets.c.attempts == 0, later)
        stale = (
            select(tickets.c.ticket_id)
            .where(
                tickets.c.source == source,
                other,
                or_(waiting, is_stuck),
                or_(tickets.c.stage.is_(None), tickets.c.stage != ANSWERED),
            )
            .limit(limit)
            .with_for_update(skip_locked=True)
        )

        def mark(connection: Connection) -> int:
            # Two statements: PostgreSQL may run a subquery that locks rows more than once, and so go past the limit.
            marked = connection.scalars(stale).all()
            for batch in _batches(marked):
                connection.execute(
                    update(tickets)
                    .where(tickets.c.source == source, tickets.c.ticket_id.in_(batch))
                    .values(**raised(at(now)))
                )
            return len(marked)

        return self._database.write(mark)

    # Giving it

    def claim(self, now: datetime, limits: Mapping[str, int], lease: timedelta) -> list[Claim]:
        """Lease due tickets until `now + lease`: of each source up to its limit, the longest due first.

        At least half of those of each source (rounded up) are waits that have passed, as long as there are such, so
        that a burst of webhooks never starves them; the others are whatever has been due longest. Each source's are
        leased in a transaction of its own.
        """
        token = secrets.token_hex(16)
        claims: list[Claim] = []
        for source, limit in limits.items():
            try:
                rows = lanes.take(self._database, source, limit, now, lease, token) if limit > 0 else []
            except DatabaseError:
                if not claims:
                    raise
                break  # those of the sources before are leased: whoever asked must hear of them
            claims += [_claim(source, row, token) for row in rows]
        return claims

    def renew(self, claim: Claim, now: datetime, lease: timedelta) -> bool:
        """Keep the claim until `now + lease`. False if it has run out, whether or not another worker has the ticket.

        What a worker saw before a lease that ran out is old: the ticket is looked at anew.
        """
        return self._database.put(lanes.keep, **_values(claim), now=now, until=now + lease) == 1

    def give_back(self, claim: Claim) -> bool:
        """Nobody will look at the ticket for this claim: it is due as it was, and no look has failed.

        False if the ticket was given to another worker.
        """
        return self._update(claim, **_FREE)

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
        settled = self._database.put(
            _settle,
            **_values(claim),
            now=now,
            b_stage=stage,
            b_attend_at=attend_at,
            b_error=error and error[:ERROR_LENGTH],
            b_key=key,
            b_receipt_digest=receipt_digest,
            b_tracker_updated_at=tracker_updated_at,
            b_config_hash=config_hash,
        )
        return settled == 1

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
            attend_at=case((has_news, at(soonest)), else_=at(attend_at)),
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
            attend_at=case((has_news, at(now)), else_=None),
            stuck_since=case((has_news, None), else_=at(now)),
            not_before=None,
            error=case((has_news, None), else_=error[:ERROR_LENGTH]),
            config_hash=config_hash,
        )

    def forget(self, claim: Claim, *, now: datetime) -> bool:
        """The ticket is none of ours: leave nothing of it or its acts, or look again if there was news since the claim.

        False if the ticket was given to another worker.
        """

        def forget(connection: Connection) -> bool:
            gone = connection.execute(delete(tickets).where(*_held(claim), ~has_news)).rowcount
            again = update(tickets).where(*_held(claim)).values(**_FREE, attend_at=now)
            return gone == 1 or connection.execute(again).rowcount == 1

        return self._database.write(forget)

    # The parts

    def _upsert(self, rows: list[dict[str, Any]], connection: Connection) -> None:
        self._database.compiled(upsert).run_many(driver_of(connection), rows)

    def _raise(self, *which: ColumnElement[bool], now: datetime) -> int:
        news = update(tickets).where(*which).values(**raised(at(now)))
        count = self._database.write(lambda connection: connection.execute(news).rowcount)
        if count:
            self._ring()
        return count

    def _update(self, claim: Claim, **values: Any) -> bool:
        result = update(tickets).where(*_held(claim)).values(**values)
        return self._database.write(lambda connection: connection.execute(result).rowcount) == 1


_CLOCKS_DIFFER = timedelta(minutes=1)
_FREE = {"lease_until": None, "lease_token": None}


def _values(claim: Claim) -> dict[str, str]:
    """Which ticket it is, and that it is still this worker's."""
    return {"b_source": claim.source, "b_ticket_id": claim.ticket_id, "b_token": claim.token}


def _settle(_database: Database) -> ClauseElement:
    return lanes.of_claim().values(
        **_FREE,
        stage=bindparam("b_stage"),
        attend_at=case((has_news, NOW), else_=bindparam("b_attend_at", type_=Moment())),
        not_before=None,
        attempts=0,
        failures=0,
        error=bindparam("b_error"),
        key=func.coalesce(bindparam("b_key", type_=String()), tickets.c.key),
        receipt_digest=bindparam("b_receipt_digest"),
        tracker_updated_at=bindparam("b_tracker_updated_at", type_=Moment()),
        config_hash=bindparam("b_config_hash"),
        attended_at=NOW,
        correlation_id=case((has_news, tickets.c.correlation_id), else_=None),
    )


def _held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return (*is_ticket(claim.source, claim.ticket_id), tickets.c.lease_token == claim.token)


def _claim(source: str, row: Any, token: str) -> Claim:
    """A Claim of a row of lanes.take()."""
    _, ticket_id, key, stage, attempts, failures, config_hash, receipt_digest, first_look, correlation_id = row
    return Claim(
        source=source,
        ticket_id=ticket_id,
        key=key,
        stage=stage,
        token=token,
        attempts=attempts,
        failures=failures,
        config_hash=config_hash,
        receipt_digest=receipt_digest,
        first_look=bool(first_look),  # SQLite has no booleans
        correlation_id=correlation_id,
    )


def _unknown(source: str, batch: Sequence[Seen], connection: Connection) -> list[Seen]:
    """The sightings that tell something new, the last of each ticket.

    Nothing new: what the last look saw; and a ticket that got stuck well after its last change.
    """
    seen = {one.ticket_id: one for one in batch}
    query = select(tickets.c.ticket_id, tickets.c.tracker_updated_at, tickets.c.stuck_since).where(
        tickets.c.source == source,
        tickets.c.ticket_id.in_(list(seen)),
        or_(is_stuck, and_(tickets.c.attended_at.is_not(None), tickets.c.tracker_updated_at.is_not(None))),
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


def _batches(things: Iterable[_T]) -> Iterator[list[_T]]:
    iterator = iter(things)
    while batch := list(itertools.islice(iterator, _BATCH)):
        yield batch
