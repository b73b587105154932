"""A ticket taken in as it stands: some acts count as done before anybody looks at it."""

import pytest

from connector.store import Claim, Store
from tests.store.helpers import LEASE, Sighting, at, attended, claim, claim_one, settle, start, state

SEEN = Sighting("1", "CASE-1", at(-10))


def test_a_new_ticket_is_there_and_due_with_its_acts_done(store: Store) -> None:
    assert store.attention.take_as_known("office", SEEN, ["r1", "r2"], at(0))
    assert store.acts.done_refs("office", "1") == {"r1", "r2"}
    assert (state(store).key, state(store).stage, state(store).attend_at) == ("CASE-1", None, at(0))
    assert claim_one(store, 0).first_look
    assert store.acts.comments_since("office", at(-60)) == 0, "nothing was posted, so the brake counts nothing"


def test_without_acts_it_is_just_noticed(store: Store) -> None:
    assert store.attention.take_as_known("office", SEEN, [], at(0))
    assert store.acts.done_refs("office", "1") == frozenset()
    assert state(store).attend_at == at(0)


def test_one_in_hand_is_left_as_it_is_until_the_lease_has_ended(store: Store) -> None:
    store.attention.notice("office", "1", "CASE-1", at(0))
    held = claim_one(store, 0)
    before = state(store)
    assert not store.attention.take_as_known("office", SEEN, ["r1"], at(1))
    assert state(store) == before
    assert store.acts.done_refs("office", "1") == frozenset()
    assert settle(store, held, 1)
    assert store.attention.take_as_known("office", SEEN, ["r1"], at(1))
    assert store.acts.done_refs("office", "1") == {"r1"}


def test_a_lease_that_was_outlived_keeps_nobody_waiting(store: Store) -> None:
    store.attention.notice("office", "1", "CASE-1", at(0))
    late = claim_one(store, 0)
    assert store.attention.take_as_known("office", SEEN, ["r1"], at(0) + LEASE)
    assert not store.acts.start(late, {"r1": "comment"}, "call_ncsc", at(0) + LEASE, LEASE)


def test_the_trackers_stamp_of_the_last_look_makes_it_no_sooner_due(store: Store) -> None:
    attended(store, "1", 0, tracker_updated_at=at(-10), attend_at=at(60))
    assert store.attention.take_as_known("office", SEEN, ["r1"], at(1))
    assert store.acts.done_refs("office", "1") == {"r1"}, "what a wait that passed calls for, all the same"
    assert state(store).attend_at == at(60)
    assert store.attention.take_as_known("office", Sighting("1", "CASE-1", at(0.5)), [], at(2))
    assert state(store).attend_at == at(2)


def test_one_that_is_stuck_stays_so(store: Store) -> None:
    store.attention.notice("office", "1", "CASE-1", at(0))
    assert store.attention.stick(claim_one(store, 0), now=at(0), error="refused")
    assert store.attention.take_as_known("office", SEEN, ["r1"], at(1))
    assert state(store).stuck_since == at(0)
    assert claim(store, 2) == []


def test_what_was_started_or_done_before_is_done_and_keeps_its_kind(store: Store) -> None:
    store.attention.notice("office", "1", "CASE-1", at(0))
    held: Claim = claim_one(store, 0)
    start(store, held, "r1", 0)
    start(store, held, "r2", 0)
    store.acts.finish("office", "1", ["r2"], at(0))
    settle(store, held, 0)
    assert store.attention.take_as_known("office", SEEN, ["r1", "r2"], at(1))
    assert store.acts.started("office", "1") == {}
    assert store.acts.done_refs("office", "1") == {"r1", "r2"}
    assert store.acts.comments_since("office", at(0)) == 2


def test_an_id_that_no_tracker_gives_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="no tracker gives"):
        store.attention.take_as_known("office", Sighting("1\0", "CASE-1", None), ["r1"], at(0))
