"""The acts of one look, done on the ticket: each is noted as started before the call and as done after it."""

import contextlib
import itertools
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date, datetime, timedelta

import structlog

from connector.attention.look import Look
from connector.attention.source import Source
from connector.inquiry.acts import Act
from connector.inquiry.comments import could_not_move
from connector.inquiry.markup import Markup, render
from connector.metrics import Metrics
from connector.store import Store
from connector.store.attention import Claim
from connector.store.errors import DatabaseError
from connector.trackers.late import changes_only_if
from connector.trackers.port import (
    AccessRefused,
    CommentWentPublic,
    Edit,
    Misconfigured,
    NotKept,
    NoTransition,
    Refused,
    TrackerError,
    Unavailable,
)

log = structlog.get_logger(__name__)

BRAKE_PERIOD = timedelta(hours=1)


class LeaseLost(Exception):
    """The lease ran out and the ticket was given to another thread: this one must not touch it any more."""


class Braked(Exception):
    """The source may post no comment now; the message says why."""


class Actor:
    """Does acts for all sources. Thread safe."""

    def __init__(self, store: Store, metrics: Metrics, clock: Callable[[], datetime], lease: timedelta) -> None:
        self._store, self._metrics, self._clock, self._lease = store, metrics, clock, lease

    def act(self, source: Source, claim: Claim, look: Look) -> str | None:
        """Do the acts in their order. Returns what could not be done and does not keep the others from being done.

        Raises LeaseLost, Braked, and the TrackerError that keeps a comment from being posted.
        """
        notes: list[str] = []  # for the ticket, where the tracker's own words may stand
        errors: list[str] = []  # for the store
        for batch in batches(look.decision.acts, atomic=source.tracker.atomic):
            if len(batch) > 1 and self._do_at_once(source, claim, look, batch, errors):
                continue
            for act in batch:
                try:
                    self._do(source, claim, look, [act], notes)
                except NotKept as dropped:
                    errors.append(dropped.message)
                    log.warning("act not kept", kind=act.kind, ref=act.ref, reason=dropped.message)
                except Refused as refusal:
                    if act.kind == "comment":
                        raise
                    notes.append(refusal.for_staff)
                    errors.append(refusal.message)
                    log.warning("act refused", kind=act.kind, ref=act.ref, reason=refusal.message)
                    if isinstance(refusal, NoTransition) and not any(other.concludes for other in look.decision.acts):
                        self._say_not_moved(source, claim, look, act, refusal)
        return " · ".join(errors) or None

    def drop(self, claim: Claim, refs: Collection[str]) -> None:
        """These had no effect. A late worker must not drop them: the one that has the ticket now may be at them."""
        if refs and self._store.attention.renew(claim, self._clock(), self._lease):
            for ref in refs:
                self._store.acts.drop_started(claim.source, claim.ticket_id, ref)

    def _do_at_once(self, source: Source, claim: Claim, look: Look, acts: Sequence[Act], errors: list[str]) -> bool:
        """Several acts by one call. False if the tracker refused the whole, so that each has to be tried alone."""
        try:
            self._do(source, claim, look, acts)
        except NotKept as dropped:
            errors.append(dropped.message)
            log.warning("edit kept in part", reason=dropped.message)
        except Refused as refusal:
            log.info("edit refused as a whole", reason=refusal.message, hint="its parts are tried one by one")
            return False
        return True

    def _do(self, source: Source, claim: Claim, look: Look, acts: Sequence[Act], notes: Sequence[str] = ()) -> None:
        """Acts by one call: noted as started, done, noted as done. In doubt, they stay noted as started.

        `notes` of what could not be done go into the stage's own comment, so that each is told once.
        """
        if any(act.kind == "comment" for act in acts):
            self._check_brake(source)
        in_time = self._in_time_from_now()
        refs = self._start(claim, look, acts)
        try:
            with changes_only_if(in_time):
                source.tracker.edit(look.ticket, edit_of(source, acts, notes))
        except NotKept as error:
            # The rest stands. What is lacking is tried alone at the next look, which comes within hours
            # (attend.TRY_REFUSED_AGAIN), until an admin has mended the tracker; so long the ticket tells of it.
            lacking = [act for act in acts if _is_dropped(source, act, error)]
            self._finish_but(source, claim, look, acts, lacking, "refused")
            raise
        except CommentWentPublic:
            # It was taken back, or is told to be by hand; what came with it in one call was done all the same. Whatever
            # the database says to that, the source must stop.
            with contextlib.suppress(DatabaseError):
                lacking = [act for act in acts if act.kind == "comment"]
                self._finish_but(source, claim, look, acts, lacking, "failed")
            raise
        except TrackerError as error:
            unknown = isinstance(error, Unavailable) and error.outcome_unknown
            outcome = "unknown" if unknown else "refused" if isinstance(error, Refused) else "failed"
            is_refused = isinstance(error, Refused | AccessRefused | Misconfigured)
            for act in acts if len(acts) == 1 or not is_refused else ():  # else each is tried alone, and counted then
                self._metrics.acted(source.name, act.kind, outcome)
            if not unknown:
                self.drop(claim, refs)
            if isinstance(error, AccessRefused | Misconfigured):
                # The account and the mapping have just served to fetch the ticket: what is refused is this one edit.
                raise Refused(error.message) from error
            raise
        self._finish(source, claim, look, acts)

    def _start(self, claim: Claim, look: Look, acts: Sequence[Act]) -> list[str]:
        """Note the acts as started; the refs that were not done before."""
        kinds = {
            ref: act.kind if number == 0 else "problem"  # the brake counts each comment once
            for act in acts
            for number, ref in enumerate(_new(act, look))
        }
        if not self._store.acts.start(claim, kinds, look.decision.stage, self._clock(), self._lease):
            raise LeaseLost
        return list(kinds)

    def _in_time_from_now(self) -> Callable[[], bool]:
        """Says whether an act that is noted as started now may still be sent: for half a lease, by either clock.

        A lease keeps the ticket from others for its whole length. The other half is for the tracker to finish what it
        was sent (backoff.IN_DOUBT) and for the clocks of nodes that differ by a minute: only then may another worker
        have the ticket, and look whether the act is there. Each clock may stand still or be set while a process is
        stopped, so both are asked.
        """
        clock_began, began, longest = self._clock(), time.monotonic(), self._lease / 2

        def in_time() -> bool:
            return max(self._clock() - clock_began, timedelta(seconds=time.monotonic() - began)) < longest

        return in_time

    def _finish(self, source: Source, claim: Claim, look: Look, acts: Sequence[Act]) -> None:
        refs = list(itertools.chain.from_iterable(_new(act, look) for act in acts))
        self._store.acts.finish(claim.source, claim.ticket_id, refs, self._clock())
        for act in acts:
            self._metrics.acted(source.name, act.kind, "done")
            log.info("acted", kind=act.kind, ref=act.ref, stage=look.decision.stage)

    def _finish_but(
        self, source: Source, claim: Claim, look: Look, acts: Sequence[Act], lacking: Sequence[Act], outcome: str
    ) -> None:
        """Acts of one call, of which some are lacking: those had no effect, and are counted with this outcome."""
        self._finish(source, claim, look, [act for act in acts if act not in lacking])
        for act in lacking:
            self._metrics.acted(source.name, act.kind, outcome)
        self.drop(claim, list(itertools.chain.from_iterable(_new(act, look) for act in lacking)))

    def _say_not_moved(self, source: Source, claim: Claim, look: Look, act: Act, refusal: NoTransition) -> None:
        """In a stage without a comment of its own, staff must hear by one that the ticket could not be moved."""
        comment = could_not_move(look.case, act, refusal.message)
        if comment.ref not in look.case.told:
            self._do(source, claim, look, [comment])

    def _check_brake(self, source: Source) -> None:
        """Raises Braked. A brake that another thread has put on meanwhile holds this one, too."""
        if self._store.sources.get(source.name).braked_at:
            raise Braked("the source was stopped")
        most = source.mapping.max_comments_per_hour
        if self._store.acts.comments_since(source.name, self._clock() - BRAKE_PERIOD) >= most:
            raise Braked(f"more than {most} comments in an hour")


def batches(acts: Sequence[Act], *, atomic: bool) -> Iterator[Sequence[Act]]:
    """The acts as they are sent, in order: one at a time, or, to an atomic tracker, all with the last comment.

    An edit holds one comment, and the last one, the stage's own, vouches for the other acts.
    """
    comments = [act for act in acts if act.kind == "comment"]
    if not atomic or len(acts) == len(comments):
        yield from ([act] for act in acts)
        return
    yield from ([comment] for comment in comments[:-1])
    yield [*(act for act in acts if act.kind != "comment"), *comments[-1:]]


def edit_of(source: Source, acts: Sequence[Act], notes: Sequence[str]) -> Edit:
    """The edit that these acts come to. At most one of each kind, but for set_field."""
    by_kind = {act.kind: act for act in acts}
    comment, move, due = by_kind.get("comment"), by_kind.get("transition"), by_kind.get("due_date")
    markup: Markup = source.tracker.markup
    return Edit(
        status=move.to if move else None,
        due_on=date.fromisoformat(due.to or "") if due else None,
        moments={
            source.mapping.fields[act.to or ""].field: datetime.fromisoformat(act.body or "")
            for act in acts
            if act.kind == "set_field"
        },
        comment=render(comment.signed(notes if comment.concludes else ()), markup) if comment else None,
        letter=comment.letter if comment else None,
    )


def _is_dropped(source: Source, act: Act, error: NotKept) -> bool:
    """Whether the act is one that the tracker has not kept. Where it does not say: any but the comment."""
    if act.kind == "comment":
        return False
    part = {"transition": "status", "due_date": "due_on"}.get(act.kind)
    return not error.dropped or (part or source.mapping.fields[act.to or ""].field) in error.dropped


def _new(act: Act, look: Look) -> list[str]:
    return [ref for ref in act.refs if ref not in look.case.told]
