"""The clock that can be moved."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from connector.practice.clock import PracticeClock

NOON = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)


def test_a_standing_clock_stands_until_it_is_moved() -> None:
    clock = PracticeClock(NOON)
    told: list[datetime] = []
    clock.on_move.append(told.append)
    assert clock() == clock.now() == NOON
    clock.advance(days=1, hours=1, minutes=1, seconds=1)
    assert clock.now() == NOON + timedelta(days=1, hours=1, minutes=1, seconds=1)
    clock.set(datetime(2026, 4, 1, 9, 0, tzinfo=timezone(timedelta(hours=-4))))
    assert clock.now() == datetime(2026, 4, 1, 13, 0, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    assert len(told) == 2


def test_a_running_clock_runs_on_from_where_it_is_set() -> None:
    clock = PracticeClock()
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    clock.set(NOON)
    first = clock.now()
    assert NOON <= first < NOON + timedelta(seconds=5)
    clock.advance(days=31)
    assert clock.now() >= first + timedelta(days=31)


def test_a_moment_without_its_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        PracticeClock(datetime(2026, 4, 1))  # noqa: DTZ001  # the very thing that is refused
