"""Reading a list page by page while it changes."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.trackers.paging import PAGE, Page, walk
from connector.trackers.port import Unavailable


def page_of(items: list[int], start: int, size: int) -> Page:
    return Page([{"id": each} for each in items[start : start + size]], len(items))


@given(
    st.integers(0, 700),
    st.integers(2, PAGE),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 300), st.booleans()), max_size=6),
    st.integers(),
)
def test_what_stays_is_told_once_whatever_comes_and_goes(
    length: int, size: int, events: list[tuple[int, int, bool]], seed: int
) -> None:
    """Law: at the event's call, some items leave (or come, anywhere); those that stay are each told exactly once."""
    chance = random.Random(seed)
    items, calls, new = list(range(length)), 0, 10_000
    stay = set(items)

    def read(start: int) -> Page:
        nonlocal calls, new
        for at, amount, leave in events:
            if at == calls and leave:
                for each in chance.sample(items, min(amount, len(items))):
                    items.remove(each)
                    stay.discard(each)
            elif at == calls:
                for _ in range(amount):
                    items.insert(chance.randint(0, len(items)), new)
                    new += 1
        calls += 1
        return page_of(items, start, size)

    told = [item["id"] for item in walk(read)]
    assert stay <= set(told)
    assert len(told) == len(set(told))


def test_a_list_that_never_holds_still_is_given_up() -> None:
    fresh = iter(range(10**6))

    def read(_start: int) -> Page:
        return Page([{"id": next(fresh)} for _ in range(PAGE)], 10**6)

    with pytest.raises(Unavailable, match="faster"):
        list(walk(read))


@pytest.mark.parametrize("length", [0, 1, 99, 100, 101, 250])
def test_a_list_without_a_total(length: int) -> None:
    def read(start: int) -> Page:
        return Page([{"id": each} for each in range(length)][start : start + PAGE])

    assert [item["id"] for item in walk(read)] == list(range(length))


def test_a_tracker_that_gives_everything_whatever_is_asked_for() -> None:
    assert len(list(walk(lambda _start: Page([{"id": each} for each in range(300)], 300)))) == 300


@pytest.mark.parametrize("answer", [{}, {"issues": None}, {"issues": [{}]}, {"issues": [1]}, {"issues": "ab"}])
def test_an_answer_that_lists_nothing_is_an_outage(answer: dict[str, Any]) -> None:
    with pytest.raises(Unavailable, match="no issues"):
        Page.of(answer, "issues")
