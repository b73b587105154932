"""Metrics of bounded size, which show nothing of a case."""

import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import prometheus_client
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.metrics import (
    ACT_KINDS,
    ACT_OUTCOMES,
    DATABASE_ERRORS,
    HEARTBEATS,
    LOOK_OUTCOMES,
    OTHER,
    UNKNOWN_SOURCE,
    WEBHOOK_RESULTS,
    Metrics,
    SourceSnapshot,
)

LAW = settings(deadline=None, derandomize=True)  # a busy machine is no mistake

RECEIPT = "WAC1512350123"


def samples(metrics: Metrics) -> dict[str, float]:
    """Sample (as the text format writes it, labels in alphabetical order) -> value."""
    lines = [line for line in metrics.render().decode().splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_what_happens_is_counted() -> None:
    metrics = Metrics(["case"], version="1.2.3")
    metrics.webhook("case", "accepted", "jira:issue_updated")
    metrics.webhook("case", "accepted", "jira:issue_updated")
    metrics.webhook("case", "refused_signature")
    metrics.acted("case", "comment", "done")
    metrics.looked("case", "attended")
    metrics.called("case", "ok", 0.3)
    metrics.pause_asked("case", 30)
    metrics.pause_asked("case", 12.5)
    metrics.took_in("case", 0.02)
    metrics.noticed("node")
    metrics.database_failed("read_only")
    metrics.beat("sent")
    found = samples(metrics)
    assert found['connector_webhooks_total{event="jira:issue_updated",result="accepted",source="case"}'] == 2
    assert found['connector_webhooks_total{event="",result="refused_signature",source="case"}'] == 1
    assert found['connector_acts_total{kind="comment",outcome="done",source="case"}'] == 1
    assert found['connector_looks_total{outcome="attended",source="case"}'] == 1
    assert found['connector_tracker_call_seconds_bucket{le="0.25",outcome="ok",source="case"}'] == 0
    assert found['connector_tracker_call_seconds_bucket{le="0.5",outcome="ok",source="case"}'] == 1
    assert found['connector_rate_limit_pause_seconds_total{source="case"}'] == 42.5
    assert found['connector_webhook_seconds_bucket{le="0.01",source="case"}'] == 0
    assert found['connector_webhook_seconds_bucket{le="0.025",source="case"}'] == 1
    assert found['connector_notices_total{by="node"}'] == 1
    assert found['connector_database_errors_total{kind="read_only"}'] == 1
    assert found['connector_heartbeats_total{outcome="sent"}'] == 1
    assert found['connector_build_info{version="1.2.3"}'] == 1
    assert found["process_resident_memory_bytes"] > 1_000_000


def test_what_alerts_watch_is_shown_before_it_first_happens() -> None:
    # An increase from nothing to one cannot be seen.
    found = samples(Metrics(["case"]))
    assert found['connector_acts_total{kind="comment",outcome="failed",source="case"}'] == 0
    assert found['connector_webhooks_total{event="",result="unavailable",source="case"}'] == 0
    assert found['connector_database_errors_total{kind="full"}'] == 0
    assert found['connector_heartbeats_total{outcome="failed"}'] == 0


def test_the_version_is_that_of_the_package_unless_given() -> None:
    assert re.search(r'connector_build_info\{version="\d+\.\d+', Metrics([]).render().decode())


@LAW
@given(st.lists(st.tuples(st.text(), st.text(), st.text()), min_size=1, max_size=100))
def test_no_label_holds_what_came_from_outside(calls: list[tuple[str, str, str]]) -> None:
    metrics = Metrics(["case"])
    for source, kind, event in calls:
        metrics.webhook(source, kind, RECEIPT + event)
        metrics.acted(source, kind, event + "!")
        metrics.looked(source, kind + "!")
        metrics.called(source, kind + "!", 1)
        metrics.pause_asked(source, 1)
        metrics.took_in(source, 1)
        metrics.noticed(kind)
        metrics.database_failed(kind + "!")
        metrics.beat(event + "!")
    text = metrics.render().decode()
    labels = set(re.findall(r'(?:source|result|event|kind|outcome)="((?:[^"\\]|\\.)*)"', text))
    foreseen = WEBHOOK_RESULTS | ACT_KINDS | ACT_OUTCOMES | DATABASE_ERRORS | HEARTBEATS
    assert labels <= {"case", "", UNKNOWN_SOURCE, OTHER} | foreseen


def test_events_get_a_bounded_number_of_series() -> None:
    metrics = Metrics(["case"])
    words = [f"{first}_{second}" for first in "abcdefghij" for second in "abcdefghij"]
    for word in words:
        metrics.webhook("case", "accepted", word)
    events = set(re.findall(r'connector_webhooks_total\{event="(\w+)"', metrics.render().decode()))
    assert events == {*words[:50], OTHER}


SNAPSHOT = SourceSnapshot(
    source="case",
    open=5,
    due=2,
    stuck=1,
    lag_seconds=12.5,
    last_round_at=datetime(2026, 3, 1, tzinfo=UTC),
    last_poll_at=None,
    is_braked=True,
    is_paused=False,
    is_misconfigured=True,
)


def test_gauges_tell_of_the_moment_they_are_read() -> None:
    sources: list[SourceSnapshot] = []
    metrics = Metrics(["case"], snapshot=lambda: sources)
    assert "connector_tickets{" not in metrics.render().decode()
    sources.append(SNAPSHOT)
    before = time.time()
    found = samples(metrics)
    assert found['connector_tickets{source="case",state="open"}'] == 5
    assert found['connector_tickets{source="case",state="due"}'] == 2
    assert found['connector_tickets{source="case",state="stuck"}'] == 1
    assert found['connector_attention_lag_seconds{source="case"}'] == 12.5
    assert (
        found['connector_last_round_timestamp_seconds{source="case"}'] == datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    )
    assert found['connector_last_poll_timestamp_seconds{source="case"}'] == 0
    assert found['connector_brake{source="case"}'] == 1
    assert found['connector_paused{source="case"}'] == 0
    assert found['connector_misconfigured{source="case"}'] == 1
    assert before <= found["connector_gauges_read_timestamp_seconds"] <= time.time()


def test_gauges_that_cannot_be_read_any_more_are_shown_for_a_minute_and_then_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[list[SourceSnapshot]] = [[SNAPSHOT]]
    metrics = Metrics(["case"], snapshot=answers.pop)
    first = samples(metrics)
    second = samples(metrics)
    assert second['connector_tickets{source="case",state="open"}'] == 5
    assert second["connector_gauges_read_timestamp_seconds"] == first["connector_gauges_read_timestamp_seconds"]
    monkeypatch.setattr("connector.metrics._FRESH_SECONDS", -1.0)
    answers.append([SNAPSHOT])
    third = samples(metrics)
    assert 'connector_tickets{source="case",state="open"}' not in third
    assert third["connector_gauges_read_timestamp_seconds"] > first["connector_gauges_read_timestamp_seconds"]


def test_a_database_that_hangs_holds_neither_the_scrape_nor_more_than_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("connector.patience.ANSWER_SECONDS", 0.05)
    goes_on = threading.Event()

    def hang() -> list[SourceSnapshot]:
        goes_on.wait(10)
        return [SNAPSHOT]

    metrics = Metrics(["case"], snapshot=hang)
    metrics.looked("case", "stuck")
    before, began = threading.active_count(), time.monotonic()
    for _ in range(5):
        found = samples(metrics)
        assert found['connector_looks_total{outcome="stuck",source="case"}'] == 1
        assert found["connector_gauges_read_timestamp_seconds"] == 0
    assert time.monotonic() - began < 2
    assert threading.active_count() == before + 1
    goes_on.set()
    assert eventually(lambda: samples(metrics).get('connector_tickets{source="case",state="open"}') == 5)


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 5
    while not (held := holds()) and time.monotonic() < end:
        time.sleep(0.01)
    return held


def test_counters_can_be_read_while_the_gauges_cannot() -> None:
    def fail() -> list[SourceSnapshot]:
        raise RuntimeError(RECEIPT)

    metrics = Metrics(["case"], snapshot=fail)
    metrics.looked("case", "stuck")
    assert samples(metrics)['connector_looks_total{outcome="stuck",source="case"}'] == 1
    assert RECEIPT not in metrics.render().decode()


def test_the_global_registry_stays_out_of_it() -> None:
    Metrics(["case"])
    Metrics(["case"])
    assert "connector_" not in prometheus_client.generate_latest().decode()


def test_every_outcome_that_attention_tells_is_one_of_the_foreseen() -> None:
    text = (Path(__file__).parent.parent / "connector/attention/attend.py").read_text()
    told = set(re.findall(r'return "([a-z_]+)"', text))
    assert set() < told <= LOOK_OUTCOMES
