"""The pace of calls: never faster than allowed, nobody waits for ever, and a stop ends all waiting."""

import itertools
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.application import make_source
from connector.mapping.loading import load_mapping
from connector.trackers.pace import LONGEST_WAIT, Pace
from connector.trackers.port import Edit, RateLimited, Stopping, Unavailable
from tests.trackers.sites import PracticeSite

EXAMPLES = Path(__file__).parents[2] / "field_mappings"


@given(st.floats(0.05, 1000), st.lists(st.floats(0, 3), min_size=1, max_size=40))
def test_calls_are_never_closer_than_the_pace_allows(per_second: float, gaps: list[float]) -> None:
    """Turns as they are given, whenever they are asked for."""
    now = 0.0
    pace = Pace(per_second, now=lambda: now)
    turns = []
    for gap in gaps:
        now += gap
        try:
            turns.append(now + pace._turn())
        except RateLimited as limit:
            now += limit.retry_after
    assert all(later - earlier >= 0.999 / per_second for earlier, later in itertools.pairwise(turns))
    assert all(turn - turns[0] >= 0 for turn in turns)


def test_without_a_limit_nobody_waits() -> None:
    pace = Pace()
    began = time.monotonic()
    for _ in range(10_000):
        pace.wait()
    assert time.monotonic() - began < 1


def test_threads_share_the_pace() -> None:
    pace, at = Pace(100), list[float]()

    def call(_: int) -> None:
        pace.wait()
        at.append(time.monotonic())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(21)))
    assert max(at) - min(at) >= 0.19
    assert len(at) == 21


def test_nobody_waits_longer_than_an_act_may_take() -> None:
    pace = Pace(0.1, now=lambda: 0.0)
    for _ in range(7):
        pace._turn()
    with pytest.raises(RateLimited) as limit:
        pace.wait()
    assert not limit.value.whole_source
    assert limit.value.retry_after > LONGEST_WAIT


def test_a_stop_ends_the_waiting_and_all_calls() -> None:
    pace = Pace(0.05)
    pace.wait()
    ended: list[type[Exception]] = []

    def waits() -> None:
        try:
            pace.wait()
        except Stopping as error:
            ended.append(type(error))

    waiting = [threading.Thread(target=waits) for _ in range(2)]
    for each in waiting:
        each.start()
    pace.stop()
    for each in waiting:
        each.join(5)
    assert ended == [Stopping] * 2
    with pytest.raises(Stopping):
        pace.wait()


def test_every_call_to_jira_waits_for_its_turn(either: PracticeSite) -> None:
    asked: list[int] = []

    class Counted:
        def wait(self) -> None:
            asked.append(len(either.server.requests))

    tracker = either.tracker(pace=Counted())
    ticket_id = either.create("A case")
    ticket = tracker.fetch(ticket_id, with_history=True)
    assert ticket is not None
    tracker.fetch_many([ticket_id], with_history=True)
    tracker.edit(ticket, Edit(status="Call NCSC", comment="Call"))
    list(tracker.changed_since(None))
    assert asked == list(range(len(either.server.requests)))


def test_a_stop_between_a_comment_and_its_proof_does_not_pass_for_a_public_one(
    practice: Callable[..., PracticeSite],
) -> None:
    """Guards against a source that is stopped by its brake because the service was restarted."""
    site = practice("data-center", project_type="service_desk")
    tracker, ticket_id = site.tracker(pace=(pace := Pace(1000))), site.create("A case")
    ticket = tracker.fetch(ticket_id, with_history=True)
    assert ticket is not None
    site.server.faults.add("POST", "/comment$", callback=pace.stop)
    with pytest.raises(Unavailable) as stopped:
        tracker.edit(ticket, Edit(comment="Inquiry connector, Step 1, ref 7c3e19a2"))
    assert stopped.value.outcome_unknown
    again = site.tracker().fetch(ticket_id, with_history=True)
    assert again is not None
    site.tracker().recheck(again, ["7c3e19a2"])


def test_a_call_whose_turn_does_not_come_is_not_made(either: PracticeSite) -> None:
    tracker, ticket_id = either.tracker(pace=(pace := Pace(1000))), either.create("A case")
    ticket = tracker.fetch(ticket_id, with_history=True)
    assert ticket is not None
    pace.stop()
    either.calls()
    with pytest.raises(Stopping):
        tracker.edit(ticket, Edit(comment="Call"))
    assert either.calls() == []


@pytest.mark.parametrize("example", ["jira-cloud", "jira-data-center", "request-tracker", "zammad"])
def test_a_mapping_s_pace_is_asked_before_every_call_of_its_tracker(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against a `calls_per_second` that the mapping takes and nobody heeds."""
    text = (EXAMPLES / f"{example}.example.yaml").read_text(encoding="utf-8")
    text = re.sub(r"^(  url:\s*)\S+", r"\1http://127.0.0.1:9", text, flags=re.MULTILINE)
    text = re.sub(
        r"^  token:.*$", f"  token: {{file: {tmp_path}/token}}\n  calls_per_second: 50", text, flags=re.MULTILINE
    )
    (tmp_path / "token").write_text("1-2-3-4")
    (tmp_path / "cases.yaml").write_text(text, encoding="utf-8")
    source = make_source(load_mapping(tmp_path / "cases.yaml"))
    turns: list[Pace] = []

    def wait(pace: Pace) -> None:
        turns.append(pace)

    monkeypatch.setattr(Pace, "wait", wait)
    with pytest.raises(Unavailable):  # nobody listens there
        list(source.tracker.changed_since(None))
    source.tracker.close()
    assert source.pace.per_second == 50
    assert turns == [source.pace]
