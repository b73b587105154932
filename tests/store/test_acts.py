import pytest

from connector.store import Claim, Store
from tests.store.helpers import LEASE, at, claim_one, start


@pytest.fixture
def held(store: Store) -> Claim:
    store.attention.notice("office", "1", "CASE-1", at(0))
    return claim_one(store, 0)


def refs(store: Store) -> tuple[set[str], set[str]]:
    """The refs that are started, and those that are done."""
    return set(store.acts.started("office", "1")), set(store.acts.done_refs("office", "1"))


def test_an_act_is_started_then_done(store: Store, held: Claim) -> None:
    assert refs(store) == (set(), set())
    assert start(store, held, "r1", 1)
    assert start(store, held, "r2", 1, "transition")
    assert refs(store) == ({"r1", "r2"}, set())
    store.acts.finish("office", "1", ["r1", "never-started"], at(1))
    assert refs(store) == ({"r2"}, {"r1"})
    store.acts.finish("office", "1", [], at(1))
    assert refs(store) == ({"r2"}, {"r1"})


def test_acts_belong_to_one_ticket(store: Store, held: Claim) -> None:
    start(store, held, "r1", 1)
    assert store.acts.started("office", "2") == {}
    assert store.acts.started("clinic", "1") == {}


def test_starting_again_changes_nothing_that_is_done(store: Store, held: Claim) -> None:
    assert start(store, held, "r1", 1)
    assert start(store, held, "r1", 2)
    assert refs(store) == ({"r1"}, set())
    store.acts.finish("office", "1", ["r1"], at(2))
    assert start(store, held, "r1", 3)
    assert refs(store) == (set(), {"r1"})
    assert store.acts.comments_since("office", at(2)) == 1
    assert store.acts.comments_since("office", at(3)) == 0


def test_nothing_is_started_once_the_lease_has_run_out_or_gone_to_another(store: Store, held: Claim) -> None:
    assert not start(store, held, "r2", 5)
    second = claim_one(store, 5)
    assert not start(store, held, "r3", 5)
    assert start(store, second, "r4", 5)
    assert refs(store) == ({"r4"}, set())


def test_to_start_acts_keeps_the_lease(store: Store, held: Claim) -> None:
    assert start(store, held, "r1", 4.9)
    assert start(store, held, "r2", 9.8)
    assert not start(store, held, "r3", 14.8)
    assert refs(store) == ({"r1", "r2"}, set())


def test_acts_of_one_edit_are_noted_together(store: Store, held: Claim) -> None:
    kinds = {"r1": "comment", "r2": "problem", "r3": "transition"}
    assert store.acts.start(held, kinds, "call_ncsc", at(1), LEASE)
    assert refs(store) == ({"r1", "r2", "r3"}, set())
    assert store.acts.comments_since("office", at(0)) == 1


def test_a_renewed_lease_starts_acts_for_longer(store: Store, held: Claim) -> None:
    assert store.attention.renew(held, at(4), LEASE)
    assert start(store, held, "r1", 6)


def test_a_lease_that_has_run_out_is_not_renewed_though_nobody_took_the_ticket(store: Store, held: Claim) -> None:
    assert not start(store, held, "r1", 6)
    assert not store.attention.renew(held, at(6), LEASE)
    assert not start(store, held, "r1", 6)


def test_an_act_that_had_no_effect_is_dropped_but_never_one_that_is_done(store: Store, held: Claim) -> None:
    start(store, held, "r1", 1)
    start(store, held, "r2", 1)
    store.acts.finish("office", "1", ["r2"], at(1))
    store.acts.drop_started("office", "1", "r1")
    store.acts.drop_started("office", "1", "r2")
    assert refs(store) == (set(), {"r2"})


def test_refs_found_on_the_ticket_are_done_started_here_or_not(store: Store, held: Claim) -> None:
    start(store, held, "r1", 1)
    store.acts.adopt("office", "1", ["r1", "r2"], at(2))
    store.acts.adopt("office", "1", ["r2"], at(3))
    store.acts.adopt("office", "1", [], at(3))
    assert refs(store) == (set(), {"r1", "r2"})


def test_nothing_is_adopted_for_a_ticket_that_was_forgotten(store: Store, held: Claim) -> None:
    store.attention.forget(held, now=at(1))
    store.acts.adopt("office", "1", ["r1"], at(2))
    assert refs(store) == (set(), set())
    assert not start(store, held, "r1", 2)


class TestCommentsSince:
    def test_counts_comments_started_or_done_from_the_moment_on(self, store: Store, held: Claim) -> None:
        start(store, held, "r0", 0.9)
        start(store, held, "r1", 1)
        start(store, held, "r2", 2)
        start(store, held, "r3", 2, "transition")
        store.acts.finish("office", "1", ["r0", "r1", "r3"], at(2))
        assert store.acts.comments_since("office", at(1)) == 2
        assert store.acts.comments_since("clinic", at(0)) == 0

    def test_does_not_count_what_was_found_on_the_tickets(self, store: Store, held: Claim) -> None:
        store.acts.adopt("office", "1", [f"r{number}" for number in range(100)], at(1))
        assert store.acts.comments_since("office", at(0)) == 0

    def test_counts_an_act_where_it_was_last_started(self, store: Store, held: Claim) -> None:
        start(store, held, "r1", 0)
        start(store, held, "r1", 3)
        assert store.acts.comments_since("office", at(2)) == 1

    def test_begins_anew_when_the_brake_is_released(self, store: Store, held: Claim) -> None:
        start(store, held, "r1", 1)
        store.sources.brake("office", at(2), "too many comments")
        assert store.acts.comments_since("office", at(0)) == 1
        assert store.sources.release("office", at(3))
        assert store.acts.comments_since("office", at(0)) == 0
        start(store, held, "r2", 4)
        assert store.acts.comments_since("office", at(0)) == 1
