"""What the attention threads share about a source."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from connector.attention.source import Silence
from connector.trackers.pace import Pace
from tests.attention.conftest import Desk


@pytest.mark.parametrize(
    ("concurrency", "per_second", "hands"),
    [
        (None, None, 4),
        (12, None, 12),
        (None, 100.0, 4),
        (12, 1.0, 10),  # each of ten waits ten seconds for its turn
        (12, 0.5, 5),
        (12, 0.01, 1),
    ],
)
def test_as_many_hands_as_the_pace_lets_work(
    start: Callable[..., Desk], concurrency: int | None, per_second: float | None, hands: int
) -> None:
    desk = start()
    tracker = replace(desk.source.mapping.tracker, concurrency=concurrency)
    mapping = replace(desk.source.mapping, tracker=tracker)
    assert replace(desk.source, mapping=mapping, pace=Pace(per_second)).hands(4) == hands


def test_a_silence_lasts_until_the_tracker_is_heard() -> None:
    silence = Silence()
    assert not silence.lasts
    assert [silence.unheard(), silence.unheard()] == [1, 2]
    assert silence.lasts
    silence.heard()
    assert not silence.lasts
