"""The laws of the queue, on any order of events: whatever is noticed is looked at, and by one worker at a time."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from connector.store import Claim, Store
from tests.store.helpers import LEASE, Sighting, at

TICKETS = st.sampled_from(["1", "2", "3"])
MINUTES = st.integers(0, 12)
SOURCE_NUMBERS = itertools.count()


@dataclass
class Expected:
    """What is expected of one ticket."""

    news: bool = True  # something happened that no worker has been given since
    holder: str | None = None  # the token of the worker that may still write
    lease_ends: int = 0  # minute
    attend_at: int | None = None  # minute, while nobody holds it
    not_before: int = 0  # minute until which a rate limit holds
    stuck: bool = False


class Queue(RuleBasedStateMachine):
    """Events in any order, against a model that keeps only what the laws speak of."""

    store: Store
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.source = f"source-{next(SOURCE_NUMBERS)}"  # each example has the database's one table to itself
        self.minute = 0
        self.expected: dict[str, Expected] = {}

    # What happens outside

    @rule(minutes=MINUTES)
    def time_passes(self, minutes: int) -> None:
        self.minute += minutes

    @rule(ticket=TICKETS)
    def a_webhook_comes(self, ticket: str) -> None:
        self.store.attention.notice(self.source, ticket, f"CASE-{ticket}", at(self.minute))
        self._something_happened(self.expected.setdefault(ticket, Expected()))

    @rule(ticket=TICKETS)
    def a_poll_sees_a_change(self, ticket: str) -> None:
        sighting = Sighting(ticket, f"CASE-{ticket}", at(self.minute))
        assert self.store.attention.notice_many(self.source, [sighting], at(self.minute)) == 1
        self._something_happened(self.expected.setdefault(ticket, Expected()))

    @rule(ticket=TICKETS)
    def a_twin_changes(self, ticket: str) -> None:
        self.store.attention.wake(self.source, [ticket], at(self.minute))
        if ticket in self.expected and not self.expected[ticket].stuck:
            self._something_happened(self.expected[ticket])

    def _something_happened(self, ticket: Expected) -> None:
        ticket.news, ticket.stuck = True, False
        if self._in_hand(ticket):
            return
        if ticket.not_before > self.minute:
            ticket.attend_at = ticket.not_before
        else:
            ticket.attend_at = self.minute if ticket.attend_at is None else min(ticket.attend_at, self.minute)

    # What workers do

    @rule(target=claims, limit=st.integers(1, 3))
    def a_worker_claims(self, limit: int) -> list[Claim]:
        got = self.store.attention.claim(at(self.minute), {self.source: limit}, LEASE)
        due = [
            (ticket.attend_at, ticket.news)
            for ticket in self.expected.values()
            if not self._in_hand(ticket) and ticket.attend_at is not None and ticket.attend_at <= self.minute
        ]
        waits = sorted(moment for moment, news in due if not news)
        first = waits[: (limit + 1) // 2]
        others = sorted([*waits[len(first) :], *(moment for moment, news in due if news)])
        served = sorted([*first, *others[: limit - len(first)]])
        moments = [self.expected[one.ticket_id].attend_at for one in got]
        assert moments == served
        for one in got:
            ticket = self.expected[one.ticket_id]
            ticket.news, ticket.holder = False, one.token
            ticket.lease_ends = self.minute + int(LEASE / timedelta(minutes=1))
        return got

    @rule(claims=claims, minutes=MINUTES)
    def a_worker_renews(self, claims: list[Claim], minutes: int) -> None:
        for one in claims:
            if self._agrees(one, self.store.attention.renew(one, at(self.minute), timedelta(minutes=minutes))):
                self.expected[one.ticket_id].lease_ends = self.minute + minutes

    @rule(claims=consumes(claims), wait=st.none() | MINUTES)
    def a_worker_settles(self, claims: list[Claim], wait: int | None) -> None:
        next_look = None if wait is None else self.minute + wait

        def settle(one: Claim) -> bool:
            return self.store.attention.settle(
                one,
                now=at(self.minute),
                stage="call_ncsc",
                attend_at=None if next_look is None else at(next_look),
                key=None,
                receipt_digest=None,
                tracker_updated_at=at(self.minute - 1),
                config_hash="c1",
            )

        self._ends(claims, settle, attend_at=next_look)

    @rule(claims=consumes(claims), wait=MINUTES, limit=st.integers(0, 6))
    def a_worker_fails(self, claims: list[Claim], wait: int, limit: int) -> None:
        def postpone(one: Claim) -> bool:
            return self.store.attention.postpone(
                one,
                now=at(self.minute),
                attend_at=at(self.minute + limit + wait),
                error="no answer",
                not_before=at(self.minute + limit),
            )

        self._ends(claims, postpone, attend_at=self.minute + limit + wait, not_before=self.minute + limit)

    @rule(claims=consumes(claims))
    def a_worker_gives_up(self, claims: list[Claim]) -> None:
        def stick(one: Claim) -> bool:
            return self.store.attention.stick(one, now=at(self.minute), error="refused")

        self._ends(claims, stick, attend_at=None, stuck=True)

    @rule(claims=consumes(claims))
    def a_worker_forgets(self, claims: list[Claim]) -> None:
        for one in claims:
            if self._agrees(one, self.store.attention.forget(one, now=at(self.minute))):
                ticket = self.expected[one.ticket_id]
                if ticket.news:
                    ticket.holder, ticket.attend_at = None, self.minute
                else:
                    del self.expected[one.ticket_id]

    def _ends(
        self,
        claims: list[Claim],
        call: Callable[[Claim], bool],
        *,
        attend_at: int | None,
        not_before: int = 0,
        stuck: bool = False,
    ) -> None:
        for one in claims:
            if self._agrees(one, call(one)):
                ticket = self.expected[one.ticket_id]
                ticket.holder, ticket.not_before = None, not_before
                ticket.stuck = stuck and not ticket.news
                ticket.attend_at = max(self.minute, not_before) if ticket.news else attend_at

    def _agrees(self, one: Claim, held: bool) -> bool:
        """A worker is told the truth about whether it still holds the ticket."""
        ticket = self.expected.get(one.ticket_id)
        assert held == (ticket is not None and ticket.holder == one.token)
        return held

    def _in_hand(self, ticket: Expected) -> bool:
        return ticket.holder is not None and ticket.lease_ends > self.minute

    # The laws

    @invariant()
    def no_notice_is_lost(self) -> None:
        for name, ticket in self.expected.items():
            if ticket.news and not self._in_hand(ticket):
                row = self.store.tickets.get(self.source, name)
                assert row is not None
                assert row.stuck_since is None
                assert row.attend_at is not None
                assert row.attend_at <= max(at(self.minute), at(ticket.not_before))

    @invariant()
    def nothing_else_is_there(self) -> None:
        rows = {row.ticket_id: row for row in self.store.tickets.list_tickets(self.source)}
        assert rows.keys() == self.expected.keys()
        for name, ticket in self.expected.items():
            assert (rows[name].stuck_since is not None) == ticket.stuck
            if not self._in_hand(ticket):
                assert rows[name].attend_at == (None if ticket.attend_at is None else at(ticket.attend_at))


def test_whatever_happens_nothing_is_lost_and_nobody_works_twice(store: Store) -> None:
    class QueueOfThisStore(Queue):
        pass

    QueueOfThisStore.store = store
    run_state_machine_as_test(
        QueueOfThisStore,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
