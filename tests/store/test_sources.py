import time
from datetime import timedelta
from typing import Any

import pytest

from connector.store import Database, DatabaseError, SourceCounts, SourceState, Store
from connector.store import sources as sources_module
from tests.store.helpers import at, attended, claim


def test_a_source_never_heard_of_has_a_name_and_nothing_else(store: Store) -> None:
    assert store.sources.get("office") == SourceState("office")


def test_moments_are_kept_each_for_itself(store: Store) -> None:
    store.sources.polled("office", watermark=at(-5), now=at(1))
    store.sources.attended("office", at(2))
    store.sources.heard("office", at(3))
    assert store.sources.get("office") == SourceState(
        "office", watermark=at(-5), polled_at=at(1), attended_at=at(2), heard_at=at(3)
    )
    assert store.sources.get("clinic") == SourceState("clinic")


def test_a_poll_that_saw_nothing_leaves_the_watermark(store: Store) -> None:
    store.sources.polled("office", watermark=at(-5), now=at(1))
    store.sources.polled("office", watermark=None, now=at(2))
    assert (store.sources.get("office").watermark, store.sources.get("office").polled_at) == (at(-5), at(2))


def test_being_heard_is_noted_to_within_ten_seconds(store: Store) -> None:
    store.sources.heard("office", at(0))
    store.sources.heard("office", at(0.1))
    assert store.sources.get("office").heard_at == at(0)
    store.sources.heard("office", at(0.2))
    assert store.sources.get("office").heard_at == at(0.2)


def test_a_longer_pause_is_not_cut_short_and_ends_when_told(store: Store) -> None:
    store.sources.pause("office", at(30), "rate limit")
    store.sources.pause("office", at(10), "rate limit, shorter")
    assert (store.sources.get("office").paused_until, store.sources.get("office").pause_reason) == (
        at(30),
        "rate limit",
    )
    store.sources.pause("office", at(40), "x" * 1000)
    assert (store.sources.get("office").paused_until, store.sources.get("office").pause_reason) == (
        at(40),
        "x" * 300,
    )
    store.sources.brake("office", at(1), "too many comments")
    store.sources.resume("office")
    assert store.sources.get("office") == SourceState("office", braked_at=at(1), brake_reason="too many comments")


def test_the_brake_holds_from_the_first_moment_until_released(store: Store) -> None:
    assert not store.sources.release("office", at(0))
    store.sources.brake("office", at(1), "too many comments")
    store.sources.brake("office", at(2), "again")
    assert store.sources.get("office").braked_at == at(1)
    assert store.sources.release("office", at(3))
    assert store.sources.get("office") == SourceState("office", allowance_from=at(3))
    assert not store.sources.release("office", at(4))
    assert store.sources.get("office").allowance_from == at(3)


def test_release_also_ends_a_pause(store: Store) -> None:
    store.sources.pause("office", at(30), "access refused")
    assert not store.sources.release("office", at(30))
    assert store.sources.release("office", at(29))
    assert store.sources.get("office").paused_until is None


class Counting:
    """A clock that only counting moves: by `cost` seconds each time that something is counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, what: str, cost: float) -> None:
        self.now, self.times = 100.0, 0
        genuine = getattr(sources_module, what)

        def count(*args: Any) -> Any:
            self.now += cost
            self.times += 1
            return genuine(*args)

        monkeypatch.setattr(sources_module, what, count)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.mark.parametrize(
    ("cost", "kept"),
    [(0.0, 5.0), (0.1, 5.0), (0.25, 12.5), (1.5, 60.0), (10.0, 60.0)],  # seconds
)
def test_tickets_by_stage_are_counted_every_five_seconds_or_as_seldom_as_it_is_costly(
    store: Store, monkeypatch: pytest.MonkeyPatch, cost: float, kept: float
) -> None:
    counting = Counting(monkeypatch, "_count_stages", cost)

    def open_tickets() -> int:
        return store.sources.snapshot(["office"], at(1))[0].open

    attended(store, "1", 0, stage="call_ncsc")
    assert open_tickets() == 1
    attended(store, "2", 0, stage="call_ncsc")
    counted_at = counting.now
    for later in (0, kept / 2, kept - 0.01):
        counting.now = counted_at + later
        assert open_tickets() == 1
    assert counting.times == 1
    counting.now = counted_at + kept
    assert open_tickets() == 2


def test_a_scrape_each_second_counts_for_two_hundredths_of_the_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch, "_count_due", 0.5)
    for second in range(100):
        counting.now = max(counting.now, 100.0 + second)
        store.sources.snapshot(["office"], at(1))
    assert counting.times == 4  # of half a second each


def test_what_costs_nothing_to_count_is_as_it_is_now(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    Counting(monkeypatch, "_count_due", 0.0)
    for number in range(1, 4):
        store.attention.notice("office", str(number), None, at(1))
        assert store.sources.snapshot(["office"], at(1))[0].due == number


def test_each_source_is_counted_for_itself(store: Store) -> None:
    attended(store, "1", 0, stage="call_ncsc")
    assert [each.open for each in store.sources.snapshot(["office", "clinic", "office"], at(1))] == [1, 0, 1]


def test_the_age_of_a_round_is_of_those_that_this_store_noted(store: Store, database: Database) -> None:
    other = Store(database)
    assert store.sources.round_age() is None
    other.sources.attended("office", at(2))
    assert store.sources.round_age() is None
    age = other.sources.round_age()
    assert age is not None
    assert timedelta(0) <= age < timedelta(minutes=1)


def test_a_round_that_could_not_be_noted_is_not_a_good_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(Database, "write", fail)
    with pytest.raises(DatabaseError):
        store.sources.attended("office", at(2))
    assert store.sources.round_age() is None


def test_snapshot_counts_each_condition(store: Store) -> None:
    attended(store, "waiting", 0, stage="awaiting_ncsc", attend_at=at(1000))
    attended(store, "due", 0, stage="awaiting_ncsc", attend_at=at(7))
    attended(store, "done", 0, stage="answered")
    attended(store, "stuck", 0, stage="call_ncsc")
    store.attention.notice("office", "stuck", None, at(1))
    [held] = claim(store, 1)
    store.attention.stick(held, now=at(1), error="refused")
    store.attention.notice("office", "new", None, at(5))
    attended(store, "elsewhere", 0, source="clinic", stage="call_ncsc")
    assert store.sources.snapshot(["office", "clinic", "nowhere"], at(8)) == [
        SourceCounts(
            "office",
            open=4,
            due=2,
            oldest_due_at=at(5),
            stuck=1,
            unattended=1,
            stages={"awaiting_ncsc": 2, "answered": 1, "call_ncsc": 1},
        ),
        SourceCounts("clinic", open=1, due=0, oldest_due_at=None, stuck=0, unattended=0, stages={"call_ncsc": 1}),
        SourceCounts("nowhere", open=0, due=0, oldest_due_at=None, stuck=0, unattended=0),
    ]
