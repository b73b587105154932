"""Whether the connector is well, as a supervisor or a monitor asks."""

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from connector import patience
from connector.store import ClocksDiffer, DatabaseError, Sources, SourceState, Store, open_database
from connector.store import sources as sources_module
from connector.web.health import Health, Limits, Reason, Role, assess, read_health
from tests.web.conftest import NOW, PERSONAL, SOURCE, Service, event

LIMITS = Limits(poll_seconds=300, started_at=NOW - timedelta(days=1))
WELL = SourceState(SOURCE, attended_at=NOW - timedelta(seconds=1), polled_at=NOW - timedelta(seconds=60))
LATELY = timedelta(seconds=1)


def codes(state: SourceState, now: datetime = NOW, limits: Limits = LIMITS) -> list[str]:
    return [reason.code for reason in assess([state], now, limits, round_age=LATELY).sources[state.source]]


def test_a_process_that_attends_to_sources_that_get_on_is_ready() -> None:
    health = assess([WELL], NOW, LIMITS, round_age=LATELY)
    assert health == Health({SOURCE: []}, [])
    assert health.is_ready
    assert health.is_clean


@pytest.mark.parametrize("role", ["run", "work"])
@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, []), (60, []), (61, ["attention_old"]), (86_400, ["attention_old"]), (None, ["attention_never"])],
)
def test_the_processes_own_attention_round_may_be_a_minute_old(
    role: Role, seconds: int | None, expected: list[str]
) -> None:
    age = None if seconds is None else timedelta(seconds=seconds)
    health = assess([WELL], NOW, LIMITS, round_age=age, role=role)
    assert [reason.code for reason in health.reasons] == expected
    assert health.is_ready == health.is_clean == (not expected)


@pytest.mark.parametrize("role", ["run", "web", "work"])
def test_a_process_on_a_machine_with_a_wrong_clock_is_not_ready(
    store: Store, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong() -> None:
        raise ClocksDiffer("this machine's clock is 3600 s ahead: set it by NTP")

    monkeypatch.setattr(store, "check_clock", wrong)
    health = read_health(store, [SOURCE], NOW, LIMITS, role=role)
    assert not health.is_ready
    assert health.reasons[0] == Reason("clock", "This machine's clock is 3600 s ahead: set it by NTP.")


def test_what_attention_others_give_makes_no_difference() -> None:
    # Regression: a node whose attention was dead looked ready as long as another one worked.
    forgotten = replace(WELL, attended_at=None)
    assert assess([forgotten], NOW, LIMITS, round_age=LATELY).is_ready
    assert not assess([WELL], NOW, LIMITS, round_age=None).is_ready


@pytest.mark.parametrize(("seconds", "expected"), [(960, []), (961, ["poll_old"])])
def test_a_poll_may_be_three_polls_and_a_minute_old(seconds: int, expected: list[str]) -> None:
    assert codes(replace(WELL, polled_at=NOW - timedelta(seconds=seconds))) == expected


@pytest.mark.parametrize("polled_at", [None, NOW - timedelta(days=30)])
def test_the_first_poll_has_its_time_from_the_start_of_the_process(polled_at: datetime | None) -> None:
    state = replace(WELL, polled_at=polled_at)
    assert codes(state, limits=Limits(300, NOW - timedelta(seconds=960))) == []
    assert codes(state, limits=Limits(300, NOW - timedelta(seconds=961))) == ["poll_old"]


def test_a_pause_counts_until_it_is_over_and_tells_its_reason_masked() -> None:
    state = replace(WELL, paused_until=NOW + timedelta(minutes=5), pause_reason=f"Jira refused {PERSONAL[0]}")
    (reason,) = assess([state], NOW, LIMITS, round_age=LATELY).sources[SOURCE]
    assert reason == Reason("paused", "Paused for 5 min: Jira refused [receipt number]")
    assert codes(replace(state, paused_until=NOW)) == []


def test_a_brake_says_how_to_release_it() -> None:
    state = replace(WELL, braked_at=NOW, brake_reason=f"a comment about {PERSONAL[0]} went public")
    (reason,) = assess([state], NOW, LIMITS, round_age=LATELY).sources[SOURCE]
    expected = "Stopped: a comment about [receipt number] went public. Look into it, then run `connector release case`."
    assert reason == Reason("braked", expected)


@pytest.mark.parametrize("role", ["run", "web", "work"])
def test_what_is_wrong_with_its_sources_is_told_and_leaves_the_process_ready(role: Role) -> None:
    # Regression: with every source paused or stopped an orchestrator took the process out of service, and its webhooks
    # with it, although they could be taken in.
    paused = replace(WELL, paused_until=NOW + timedelta(minutes=5), pause_reason="the token is refused")
    braked = replace(WELL, source="other", braked_at=NOW)
    broken = {SOURCE: "Jira does not let the connector in.", "third": "no such field"}
    health = assess([paused, braked], NOW, LIMITS, broken, round_age=LATELY, role=role)
    found = {source: [reason.code for reason in reasons] for source, reasons in health.sources.items()}
    assert found == {SOURCE: ["misconfigured", "paused"], "other": ["braked"], "third": ["misconfigured"]}
    assert health.sources["third"] == [Reason("misconfigured", "no such field")]
    assert health.is_ready
    assert not health.is_clean


def test_a_process_that_takes_webhooks_in_needs_no_attention_of_its_own() -> None:
    assert assess([WELL], NOW, LIMITS, round_age=None, role="web").is_ready


def test_clean_is_when_every_source_gets_on() -> None:
    other = replace(WELL, source="other")
    assert assess([WELL, other], NOW, LIMITS, round_age=LATELY).is_clean
    assert not assess([WELL, replace(other, braked_at=NOW)], NOW, LIMITS, round_age=LATELY).is_clean
    assert not assess([WELL, other], NOW, LIMITS, {"third": "no such field"}, round_age=LATELY).is_clean


@pytest.mark.parametrize("role", ["run", "web", "work"])
def test_without_any_source_the_process_is_not_ready(role: Role) -> None:
    health = assess([], NOW, LIMITS, round_age=LATELY, role=role)
    assert not health.is_ready
    assert not health.is_clean
    assert [reason.code for reason in health.reasons] == ["no_sources"]


moments = st.none() | st.timedeltas(timedelta(days=-30), timedelta(days=30)).map(lambda age: NOW - age)


@settings(deadline=None, derandomize=True)
@given(moments, moments, moments)
def test_time_alone_mends_nothing_but_a_pause_that_ends(
    polled_at: datetime | None, paused_until: datetime | None, braked_at: datetime | None
) -> None:
    state = SourceState(SOURCE, polled_at=polled_at, paused_until=paused_until, braked_at=braked_at)
    later = codes(state, now=NOW + timedelta(hours=1))
    assert set(codes(state)) - {"paused"} <= set(later)


# ---- Over HTTP


def test_livez_answers_whatever_else_is_wrong(service: Service) -> None:
    service.store.close()
    answer = service.request("GET", "/livez")
    assert (answer.status, answer.json) == (200, {"alive": True})


def test_readyz_tells_the_reasons_of_the_process(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {SOURCE: {"ready": True, "reasons": []}}
    answer = service.request("GET", "/readyz")
    assert answer.status == 503
    reason = {"code": "attention_never", "message": "No attention round has succeeded in this process yet."}
    assert answer.json == {"ready": False, "reasons": [reason], "sources": sources}
    service.store.sources.attended(SOURCE, service.now)
    answer = service.request("GET", "/readyz")
    assert answer.status == 200
    assert answer.json == {"ready": True, "reasons": [], "sources": sources}
    monkeypatch.setattr(Sources, "round_age", lambda _: timedelta(minutes=2))
    answer = service.request("GET", "/readyz")
    assert answer.status == 503
    assert answer.json["reasons"][0]["message"] == "The last attention round of this process is 2 min old."


def test_readyz_tells_the_reasons_of_each_source_and_stays_ready(service: Service) -> None:
    service.store.sources.attended(SOURCE, service.now)
    service.store.sources.pause(SOURCE, service.now + timedelta(seconds=90), "The tracker does not answer.")
    answer = service.request("GET", "/readyz")
    assert answer.status == 200
    reason = {"code": "paused", "message": "Paused for 90 s: The tracker does not answer."}
    assert answer.json["sources"] == {SOURCE: {"ready": False, "reasons": [reason]}}
    service.now += timedelta(hours=1)
    reason = {"code": "poll_old", "message": "No poll has succeeded for 60 min."}
    assert service.request("GET", "/readyz").json["sources"] == {SOURCE: {"ready": False, "reasons": [reason]}}


def test_another_process_that_attends_does_not_make_this_one_ready(service: Service, tmp_path: Path) -> None:
    other = Store(open_database(f"sqlite:///{tmp_path}/connector.sqlite3", exclusive=False))
    other.sources.attended(SOURCE, service.now)
    other.close()
    assert service.store.sources.get(SOURCE).attended_at == service.now
    assert [reason["code"] for reason in service.request("GET", "/readyz").json["reasons"]] == ["attention_never"]


def test_a_clock_that_is_set_makes_no_attention_old_or_new(service: Service) -> None:
    service.store.sources.attended(SOURCE, service.now)
    for step in (timedelta(days=1), timedelta(days=-2)):
        service.now += step
        assert service.request("GET", "/readyz").status == 200


def test_readyz_says_that_the_database_cannot_be_used_and_not_why(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> SourceState:
        raise DatabaseError("the file /var/lib/connector/x.sqlite3 is damaged")

    monkeypatch.setattr(Sources, "get", fail)
    answer = service.request("GET", "/readyz")
    assert answer.status == 503
    assert answer.json["reasons"] == [{"code": "database", "message": "The database cannot be used now."}]
    assert not answer.json["sources"][SOURCE]["ready"]
    assert b"/var" not in answer.body
    assert service.request("GET", "/metrics").status == 200


@pytest.mark.parametrize("role", ["run", "web", "work"])
def test_no_role_is_ready_without_its_database(service: Service, monkeypatch: pytest.MonkeyPatch, role: Role) -> None:
    service.store.sources.attended(SOURCE, NOW)
    limits = Limits(300, NOW)
    assert read_health(service.store, [SOURCE], NOW, limits, role=role).is_ready

    def fail(*_: object) -> SourceState:
        raise DatabaseError("gone")

    monkeypatch.setattr(Sources, "get", fail)
    assert not read_health(service.store, [SOURCE], NOW, limits, role=role).is_ready


def test_a_database_that_hangs_is_told_in_time_and_holds_no_more_than_two_threads(
    start: Callable[[], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert patience.ANSWER_SECONDS < 2
    monkeypatch.setattr("connector.patience.ANSWER_SECONDS", 0.2)
    service = start()
    service.store.sources.attended(SOURCE, service.now)
    goes_on, genuine = threading.Event(), Sources.get

    def hang(sources: Sources, source: str) -> SourceState:
        goes_on.wait(20)
        return genuine(sources, source)

    monkeypatch.setattr(Sources, "get", hang)
    before, began = threading.active_count(), time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda path: service.request("GET", path), ["/readyz", "/metrics", "/livez"] * 2))
    assert time.monotonic() - began < 2
    assert threading.active_count() <= before + 2
    assert [answer.status for answer in answers] == [503, 200, 200] * 2
    reason = {"code": "database", "message": "The database does not answer in time."}
    assert answers[0].json == {"ready": False, "reasons": [reason], "sources": {}}
    assert b"connector_gauges_read_timestamp_seconds 0.0" in answers[1].body
    goes_on.set()
    assert service.request("GET", "/readyz").status == 200


def test_readyz_that_fails_unexpectedly_is_a_503_without_a_word_of_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> SourceState:
        raise KeyError(PERSONAL[0])

    monkeypatch.setattr(Sources, "get", fail)
    answer = service.request("GET", "/readyz")
    assert answer.status == 503
    assert set(answer.json) == {"message"}
    assert PERSONAL[0] not in service.log.getvalue()


def test_metrics_are_prometheus_text_and_tell_how_the_queue_stands(service: Service) -> None:
    service.post(event(1))
    service.post(event(2))
    service.store.sources.attended(SOURCE, service.now)
    service.store.sources.brake(SOURCE, service.now, "more than 600 comments in an hour")
    service.now += timedelta(seconds=90)
    answer = service.request("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = [line.rpartition(" ") for line in answer.body.decode().splitlines() if not line.startswith("#")]
    found = {name: float(value) for name, _, value in lines}
    assert found[f'connector_tickets{{source="{SOURCE}",state="open"}}'] == 2
    assert found[f'connector_tickets{{source="{SOURCE}",state="due"}}'] == 2
    assert found[f'connector_tickets{{source="{SOURCE}",state="stuck"}}'] == 0
    assert found[f'connector_attention_lag_seconds{{source="{SOURCE}"}}'] == 90
    assert found[f'connector_last_round_timestamp_seconds{{source="{SOURCE}"}}'] == NOW.timestamp()
    assert found[f'connector_brake{{source="{SOURCE}"}}'] == 1
    assert found[f'connector_paused{{source="{SOURCE}"}}'] == 0


def test_scrapers_share_one_count_of_the_tickets(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    # Regression: a source of fewer than 50,000 tickets was counted anew at each scrape.
    counted, genuine = [], sources_module._count_stages

    def count(source: str, connection: Connection) -> dict[str | None, int]:
        counted.append(source)
        return genuine(source, connection)

    monkeypatch.setattr(sources_module, "_count_stages", count)
    monkeypatch.setattr(sources_module, "_STAGES_SECONDS", 60.0)  # however slow this machine is
    service.store.sources = Sources(service.store._database)
    service.post(event(1))
    with ThreadPoolExecutor(2) as scrapers:
        answers = list(scrapers.map(lambda _: service.request("GET", "/metrics").body.decode(), range(20)))
    for text in answers:
        assert f'connector_tickets{{source="{SOURCE}",state="open"}} 1.0' in text
        assert "# HELP connector_tickets Tickets, as counted a minute ago at most; " in text
    assert counted == [SOURCE]


def test_the_metrics_that_are_served_are_those_that_are_described(service: Service) -> None:
    service.post(event(1))
    readme = Path(__file__).parents[2] / "deploy/prometheus/README.md"
    described = set(re.findall(r"^\| `(\w+)` \|", readme.read_text(), re.M))
    served = set(re.findall(r"^# TYPE (\w+) ", service.request("GET", "/metrics").body.decode(), re.M))
    assert served == described


def test_an_accepted_webhook_is_timed_and_no_other(service: Service) -> None:
    service.post(event(1))
    service.post(event(2))
    service.post(b"{}")
    service.post(event(3), X_Hub_Signature="sha256=00")
    service.post(event(4), path="/webhooks/other")
    text = service.request("GET", "/metrics").body.decode()
    assert f'connector_webhook_seconds_count{{source="{SOURCE}"}} 2.0' in text
    assert f'connector_webhook_seconds_bucket{{le="10.0",source="{SOURCE}"}} 2.0' in text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/livez"),
        ("HEAD", "/livez"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("POST", "/metrics"),
        ("GET", "/"),
        ("GET", "/webhooks/case/s3cret"),
        ("POST", "/webhooks/case"),
        ("POST", "/webhooks/other"),
        ("POST", "//webhooks//case"),
        ("GET", "/static/x"),
        ("GET", "/livez/"),
    ],
)
def test_what_is_true_of_every_answer(service: Service, method: str, path: str) -> None:
    answer = service.request(method, path)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not {"Server", "Via", "Set-Cookie", "Location"} & set(answer.headers)
    assert b"s3cret" not in answer.body
    if answer.status >= 400 and path != "/readyz":
        assert list(answer.json) == ["message"]
