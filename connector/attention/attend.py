"""One ticket, the five steps: fetch the ticket, read the case, decide, act, note when to look again.

    claim        the ticket is leased to this thread (store/attention.py); many may then be fetched ahead by one call
    in doubt?    an act was started and its end never noted: wait until nothing of it can be under way any more
    fetch        outside the scope: forget it. Gone: forget it. The refs that stand in its comments come with it
    adopt        what stands there is done, whatever this database knows; an act in doubt that does not was not done
    read, decide pure; what is done is left out
    act          each act is noted as started before the call and as done after it
    settle       stage and attend_at; news that came meanwhile makes it due again

Whatever fails, the ticket keeps a moment at which it is looked at again, or is stuck and says so.
"""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from connector.attention.acting import Actor, Braked, LeaseLost
from connector.attention.backoff import IN_DOUBT, TRIES, describe, remedy
from connector.attention.look import Ahead, Look
from connector.attention.source import Source
from connector.inquiry.decide import decide
from connector.mapping.reading import read_case
from connector.metrics import Metrics
from connector.store import Store
from connector.store.attention import Claim
from connector.telemetry import bind, new_correlation_id
from connector.tracing import span
from connector.trackers.port import (
    RateLimited,
    Stopping,
    Ticket,
    TicketGone,
    TrackerError,
    Unavailable,
)

log = structlog.get_logger(__name__)

TRY_REFUSED_AGAIN = timedelta(hours=6)


class InDoubt(Exception):
    """An act of this ticket may still be under way at the tracker, until `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until


class Attendant:
    """Attends to claimed tickets of all sources. Thread safe: one look uses nothing of another."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        clock: Callable[[], datetime],
        *,
        lease: timedelta,
        chance: random.Random | None = None,
        in_doubt: timedelta = IN_DOUBT,
    ) -> None:
        self._store, self._metrics, self._clock = store, metrics, clock
        self._actor, self._lease, self._in_doubt = Actor(store, metrics, clock, lease), lease, in_doubt
        self._chance = chance or random.Random()  # noqa: S311  jitter, not a secret
        self._in_hand: dict[tuple[str, str], int] = {}  # ticket -> the thread that is at it
        self._taking = threading.Lock()

    def attend(self, source: Source, claim: Claim, ahead: Ahead | None = None) -> str:
        """Attend to one claimed ticket. What happened is noted in the store, the log and the metrics.

        Returns its outcome, one of metrics.LOOK_OUTCOMES. A failure may have paused or stopped the source.

        Raises DatabaseError if not even that could be noted: then the lease runs out and the ticket comes again.
        """
        with _told(source, claim), span("look", source.name) as told, self._alone(claim) as is_alone:
            told.outcome = outcome = self._outcome(source, claim, ahead, is_alone=is_alone)
            self._metrics.looked(source.name, outcome)
        return outcome

    def fetch_ahead(self, source: Source, claims: Sequence[Claim]) -> tuple[Sequence[Claim], Ahead]:
        """Fetch tickets that have just been claimed by as few calls as the tracker allows; the first `tracker.bulk`.

        Returns the claims that are still to be attended to, and what was fetched for them. Where the tracker gave no
        answer or asked for a pause, that counts as the failed look of each, but as one silence of the tracker, and is
        noted: those claims are over. Raises DatabaseError as attend does.

        A ticket whose last look failed is left to be fetched alone, and so are all while the tracker is silent: what is
        wrong with one ticket, or with fetching many, holds no other up for longer than once.
        """
        wanted = [claim for claim in claims if claim.attempts == 0 and not source.silence.lasts]
        wanted = wanted[: source.tracker.bulk]
        if len(wanted) < 2:
            return claims, Ahead({})
        ahead = Ahead({})
        try:
            found = source.tracker.fetch_many(
                [claim.ticket_id for claim in wanted], with_history=_needs_history(source)
            )
        except (Unavailable, RateLimited, Stopping) as error:
            silent = source.silence.unheard() if isinstance(error, Unavailable) else 0
            for claim in wanted:
                with _told(source, claim):
                    self._metrics.looked(source.name, self._failed(source, claim, error, silent))
            return [claim for claim in claims if claim not in wanted], ahead
        except Exception as error:  # noqa: BLE001  whatever it is, one look alone tells whether it is the source's
            log.warning("not fetched ahead", source=source.name, kind=type(error).__name__, reason=describe(error))
            return claims, ahead
        return claims, replace(ahead, tickets=found)

    @contextlib.contextmanager
    def _alone(self, claim: Claim) -> Iterator[bool]:
        """Whether no other thread of this process is at the ticket; none begins while this one is at it.

        A clock that is set forward ends leases early, and the ticket may be claimed again while an act is under way.
        """
        ticket, this = (claim.source, claim.ticket_id), threading.get_ident()
        with self._taking:
            is_alone = self._in_hand.setdefault(ticket, this) == this
        try:
            yield is_alone
        finally:
            if is_alone:
                with self._taking:
                    self._in_hand.pop(ticket, None)

    def _outcome(self, source: Source, claim: Claim, ahead: Ahead | None, *, is_alone: bool) -> str:
        try:
            if not is_alone:
                raise InDoubt(self._clock() + self._in_doubt)  # noqa: TRY301  it ends as any other doubt does
            outcome = self._five_steps(source, claim, ahead)
        except LeaseLost:
            log.warning("lease lost", hint="another worker has the ticket")
            return "lease_lost"
        except TicketGone:
            self._store.attention.forget(claim, now=self._clock())
            log.info("ticket gone")
            return "gone"
        except InDoubt as doubt:
            error = "an act may still be under way; its outcome is looked up then"
            self._postpone(claim, doubt.until, error, not_before=doubt.until)
            return "in_doubt"
        except Braked as braked:
            self._brake(source, claim, str(braked))
            return "braked"
        except Exception as error:  # noqa: BLE001  whatever fails, the ticket must not be lost
            return self._failed(source, claim, error, source.silence.unheard() if isinstance(error, Unavailable) else 0)
        source.silence.heard()
        return outcome

    # The five steps

    def _five_steps(self, source: Source, claim: Claim, ahead: Ahead | None) -> str:
        if ahead is not None and ahead.age > self._lease.total_seconds() / 4:
            self._keep(claim)  # it has waited long for this hand
        in_doubt = self._acts_in_doubt(claim)
        if ahead is not None and not in_doubt and ahead.has(claim.ticket_id):
            ticket = ahead.tickets[claim.ticket_id]
        else:
            ticket = source.tracker.fetch(claim.ticket_id, with_history=_needs_history(source))
        if ticket is None:
            self._store.attention.forget(claim, now=self._clock())
            return "out_of_scope"
        if found := ticket.refs & set(in_doubt):
            source.tracker.recheck(ticket, found)
        look = self._decide(source, claim, ticket, self._adopt(claim, ticket, in_doubt))
        if source.mapping.dry_run:
            log.info("dry run", stage=look.decision.stage, would=[act.kind for act in look.decision.acts])
            error = None
        else:
            error = self._actor.act(source, claim, look)
        self._settle(source, claim, look, error)
        return "attended"

    def _keep(self, claim: Claim) -> None:
        if not self._store.attention.renew(claim, self._clock(), self._lease):
            raise LeaseLost

    def _acts_in_doubt(self, claim: Claim) -> Sequence[str]:
        """The refs of acts started and never noted as done, once none of them can be under way any more."""
        started = self._store.acts.started(claim.source, claim.ticket_id)
        if started:
            latest = max(started.values())
            # One that lies further ahead was started before the clock was set back.
            if abs(self._clock() - latest) < self._in_doubt:
                raise InDoubt(latest + self._in_doubt)
        return tuple(started)

    def _adopt(self, claim: Claim, ticket: Ticket, in_doubt: Sequence[str]) -> frozenset[str]:
        """The refs of all acts that are done: by this database, or found on the ticket, which is the record."""
        done = self._store.acts.done_refs(claim.source, claim.ticket_id)
        self._store.acts.adopt(claim.source, claim.ticket_id, ticket.refs - done, self._clock())
        self._actor.drop(claim, set(in_doubt) - ticket.refs)
        return done | ticket.refs

    def _decide(self, source: Source, claim: Claim, ticket: Ticket, done: frozenset[str]) -> Look:
        case = read_case(ticket, source.mapping, told=done)
        twins = self._store.tickets.twins(claim.source, claim.ticket_id, source.receipt_digest(case.receipt_number))
        case = replace(case, twins=tuple(key or ticket_id for ticket_id, key in twins))
        return Look(ticket, case, decide(case, self._clock(), source.mapping.procedure))

    def _settle(self, source: Source, claim: Claim, look: Look, error: str | None) -> None:
        now, decision = self._clock(), look.decision
        digest = None if decision.stage == "answered" else source.receipt_digest(look.case.receipt_number)
        has_new_digest = digest is not None and digest != claim.receipt_digest
        if has_new_digest:
            # Before the digest is noted, so that a kill after it leaves nobody untold.
            self._wake_twins(claim, digest, now)
        kept = self._store.attention.settle(
            claim,
            now=now,
            stage=decision.stage,
            attend_at=_sooner(decision.attend_at, now) if error else decision.attend_at,
            key=look.ticket.key,
            receipt_digest=digest,
            tracker_updated_at=look.ticket.updated_at,
            config_hash=source.config_hash(),
            error=error,
        )
        if not kept:
            raise LeaseLost
        if has_new_digest:
            # After it, so that two tickets looked at in the same moment, which have not seen each other, look again.
            self._wake_twins(claim, digest, now)
        log.info("attended", stage=decision.stage, attend_at=decision.attend_at, first_look=claim.first_look)

    def _wake_twins(self, claim: Claim, digest: str | None, now: datetime) -> None:
        others = [ticket_id for ticket_id, _ in self._store.tickets.twins(claim.source, claim.ticket_id, digest)]
        if others:
            self._store.attention.wake(claim.source, [*others, claim.ticket_id], now)

    # Failures

    def _failed(self, source: Source, claim: Claim, error: Exception, silent: int) -> str:
        """`silent`: so many looks in a row have been left without an answer, this one among them."""
        now = self._clock()
        cure = remedy(error, claim.attempts, silent, self._chance)
        text = describe(error)
        known = isinstance(error, TrackerError)
        log.warning("look failed", kind=type(error).__name__, reason=text, attempts=claim.attempts, exc_info=not known)
        if cure.brake:
            self._brake(source, claim, text)
            return "braked"
        if cure.pause:
            self._store.sources.pause(source.name, now + cure.pause, text)
        if cure.counts and claim.failures + 1 >= TRIES:
            self._store.attention.stick(claim, now=now, error=text, config_hash=source.config_hash())
            log.error("ticket stuck", reason=text, hint="mend the cause, then: connector retry")
            return "stuck"
        not_before = self._not_before(error, now, cure.delay)
        self._postpone(claim, now + cure.delay, text, not_before=not_before, counts=cure.counts)
        return "postponed"

    def _not_before(self, error: Exception, now: datetime, delay: timedelta) -> datetime | None:
        """News does not shorten a rate limit, nor the time that an act is in doubt; it does shorten a backoff."""
        if isinstance(error, Unavailable) and error.outcome_unknown:
            return now + self._in_doubt
        return now + delay if isinstance(error, RateLimited) else None

    def _postpone(
        self, claim: Claim, at: datetime, error: str, *, not_before: datetime | None, counts: bool = False
    ) -> None:
        at, now = max(at, not_before) if not_before else at, self._clock()
        self._store.attention.postpone(claim, now=now, attend_at=at, error=error, not_before=not_before, counts=counts)

    def _brake(self, source: Source, claim: Claim, reason: str) -> None:
        now = self._clock()
        self._store.sources.brake(source.name, now, reason)
        self._postpone(claim, now, reason, not_before=None)
        log.error("source stopped", reason=reason, hint=f"look into it, then: connector release {source.name}")


def _told(source: Source, claim: Claim) -> AbstractContextManager[Any]:
    """What every log line of a look says: of which ticket, and which webhook led to it, if one did."""
    return bind(
        source=source.name,
        ticket_id=claim.ticket_id,
        key=claim.key,
        correlation_id=claim.correlation_id or new_correlation_id(),
    )


def _needs_history(source: Source) -> bool:
    # Without its history a ticket that was moved on by a person would be moved back by an old copy of the database.
    return bool(source.mapping.records or source.mapping.statuses)


def _sooner(attend_at: datetime | None, now: datetime) -> datetime:
    """What the tracker refused or dropped is tried again within hours, for nothing may tell us that it was mended."""
    again = now + TRY_REFUSED_AGAIN
    return min(attend_at, again) if attend_at else again
