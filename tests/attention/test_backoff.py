"""The laws of backoff: bounded, growing up to a cap, and an answer to every kind of failure."""

import random
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from connector.attention.backoff import (
    FIRST,
    LONGEST,
    LONGEST_PAUSE,
    PAUSE_FOR_ADMIN,
    SILENT_IN_A_ROW,
    delay,
    describe,
    remedy,
)
from connector.store import DatabaseError
from connector.trackers.port import (
    AccessRefused,
    CommentWentPublic,
    Misconfigured,
    NoTransition,
    RateLimited,
    Refused,
    TicketGone,
    TrackerError,
    Unavailable,
)

NOTHING = timedelta(0)
attempts = st.integers(0, 10**6)
chances = st.builds(random.Random, st.integers())
limits = st.builds(
    RateLimited, st.just("later"), retry_after=st.floats(0, 86400, allow_nan=False), whole_source=st.booleans()
)
silences = st.builds(Unavailable, st.just("silent"), outcome_unknown=st.booleans())
tracker_errors = st.one_of(
    limits,
    silences,
    st.builds(CommentWentPublic, st.just("public"), removed=st.booleans()),
    st.builds(NoTransition, st.just("no way"), reachable=st.just(())),
    st.sampled_from([AccessRefused, Misconfigured, TicketGone, Refused, TrackerError]).map(
        lambda kind: kind("message")
    ),
)
failures = st.one_of(tracker_errors, st.sampled_from([ValueError("secret"), KeyError(), DatabaseError("busy")]))


class Least(random.Random):
    """No luck at all."""

    def uniform(self, a: float, b: float) -> float:
        return a


class Most(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return b


@given(attempts, chances)
def test_a_delay_is_bounded(count: int, chance: random.Random) -> None:
    assert FIRST / 2 <= delay(count, chance) <= LONGEST


@given(attempts, st.integers(0, 1000))
def test_a_delay_grows_with_the_attempts_up_to_the_cap(count: int, more: int) -> None:
    for chance in (Least(), Most()):
        assert delay(count, chance) <= delay(count + more, chance)
    assert delay(16, Most()) == LONGEST
    assert delay(16, Least()) == LONGEST / 2


@given(failures, attempts, st.integers(0, 10**6), chances)
def test_there_is_a_remedy_for_every_failure(error: Exception, count: int, silent: int, chance: random.Random) -> None:
    cure = remedy(error, count, silent, chance)
    assert NOTHING <= cure.delay <= timedelta(days=1, seconds=5)
    assert cure.pause is None or NOTHING < cure.pause <= timedelta(days=1, seconds=5)
    assert not (cure.counts and (cure.pause or cure.brake)), "what is the source's fault is not the ticket's"
    assert cure.brake is isinstance(error, CommentWentPublic)


@given(tracker_errors, attempts, chances)
def test_only_what_is_the_tickets_own_uses_up_its_tries(error: TrackerError, count: int, chance: random.Random) -> None:
    of_the_source = (Unavailable, RateLimited, AccessRefused, Misconfigured)
    assert remedy(error, count, 0, chance).counts is not isinstance(error, of_the_source)
    assert not remedy(DatabaseError("busy"), count, 0, chance).counts


@given(limits, attempts, chances)
def test_a_limit_is_kept(error: RateLimited, count: int, chance: random.Random) -> None:
    cure = remedy(error, count, 0, chance)
    assert timedelta(seconds=error.retry_after) <= cure.delay <= timedelta(seconds=error.retry_after) + FIRST
    assert (cure.pause is not None) is error.whole_source


@given(silences, attempts, st.integers(0, 10**6), chances)
def test_a_silent_source_is_paused_and_its_tickets_wait_no_longer(
    error: Unavailable, count: int, silent: int, chance: random.Random
) -> None:
    cure = remedy(error, count, silent, chance)
    if silent < SILENT_IN_A_ROW:
        assert cure.pause is None
    else:
        assert cure.pause is not None
        assert cure.delay <= cure.pause <= LONGEST_PAUSE


def test_what_an_admin_must_mend_is_tried_every_five_minutes() -> None:
    for error in (AccessRefused("token"), Misconfigured("field")):
        cure = remedy(error, 99, 99, random.Random(1))
        assert cure.pause == cure.delay == PAUSE_FOR_ADMIN


def test_a_foreign_error_is_not_quoted() -> None:
    assert "A200555013" not in describe(ValueError("A200555013"))
    assert describe(Refused("put it on the screen")) == "put it on the screen"
