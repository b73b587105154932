"""Faults on demand and the request log."""

import re
import time

import pytest
import requests

from connector.practice.faults import Faults
from tests.practice.conftest import Client


def test_rate_limits_as_the_test_words_them(either: Client) -> None:
    either.server.faults.rate_limited("POST", r"/comment$", retry_after="1.5", reason="jira-per-issue-on-write")
    limited = either.post("issue/CASE-1/comment", {"body": "x"})
    assert limited.status_code == 429
    assert limited.headers["Retry-After"] == "1.5"
    assert limited.headers["RateLimit-Reason"] == "jira-per-issue-on-write"
    assert either.world.issue("CASE-1").comments == []
    assert either.post("issue/CASE-1/comment", {"body": "x"}).status_code == 201


def test_pages_of_a_proxy(either: Client) -> None:
    either.server.faults.bad_gateway("GET", times=2)
    either.server.faults.login_page("GET")
    statuses = [either.get("myself") for _ in range(4)]
    assert [each.status_code for each in statuses] == [502, 502, 200, 200]
    assert [each.headers["Content-Type"].startswith("text/html") for each in statuses] == [True, True, True, False]


def test_a_fault_waits_for_its_method_and_path(either: Client) -> None:
    either.server.faults.add("PUT", r"/issue/CASE-1$", status=409)
    assert either.get("issue/CASE-1").status_code == 200
    assert either.server.faults.waiting == 1
    assert either.edit("CASE-1", summary="x").status_code == 409
    assert either.server.faults.waiting == 0


def test_a_fault_may_wait_for_its_query(either: Client) -> None:
    either.server.faults.add("GET", r"/issue/CASE-1\?.*expand=names", status=503)
    assert either.get("issue/CASE-1").status_code == 200
    assert either.get("issue/CASE-1", expand="names").status_code == 503
    assert either.server.requests.count("GET", "expand=names$") == 1


def test_dropped_before_nothing_is_done(either: Client) -> None:
    either.server.faults.add("POST", "comment", drop="before")
    with pytest.raises(requests.ConnectionError):
        either.post("issue/CASE-1/comment", {"body": "x"})
    assert either.world.issue("CASE-1").comments == []
    assert [each.status for each in either.server.requests] == [None]


def test_dropped_after_it_is_done_and_nobody_is_told(either: Client) -> None:
    either.server.faults.add("POST", "comment", drop="after")
    with pytest.raises(requests.ConnectionError):
        either.post("issue/CASE-1/comment", {"body": "x"})
    assert len(either.world.issue("CASE-1").comments) == 1
    assert [each.status for each in either.server.requests] == [201]


def test_a_callback_runs_between_doing_and_answering(either: Client) -> None:
    seen: list[int] = []
    issue = either.world.issue("CASE-1")
    either.server.faults.add("POST", "comment", callback=lambda: seen.append(len(issue.comments)))
    assert either.post("issue/CASE-1/comment", {"body": "x"}).status_code == 201
    assert seen == [1]


def test_a_slow_answer_outlasts_an_impatient_caller(either: Client) -> None:
    either.server.faults.add("GET", "myself", wait=30)
    began = time.monotonic()
    with pytest.raises(requests.ReadTimeout):
        either.session.get(f"{either.server.url}/rest/api/2/myself", timeout=0.1)
    either.server.stop()
    assert time.monotonic() - began < 5


def test_the_log_counts_and_keeps_what_was_sent(either: Client) -> None:
    either.post("issue/CASE-1/comment", {"body": "x"})
    either.get("issue/CASE-1", fields="summary")
    log = either.server.requests
    assert log.count("POST", r"/comment$") == 1
    assert log.count(path="CASE-1") == len(log) == 2
    first, second = log
    assert (first.json, first.status) == ({"body": "x"}, 201)
    assert (second.path, second.query, second.json) == ("/rest/api/2/issue/CASE-1", "fields=summary", None)
    log.clear()
    assert len(log) == 0


def test_another_process_orders_faults_and_reads_the_logs(cloud: Client) -> None:
    ordered = cloud.post("/practice/faults", {"method": "GET", "path": "myself", "status": 503, "body": {"a": 1}})
    assert ordered.json() == {"waiting": 1}
    assert cloud.get("myself").json() == {"a": 1}
    cloud.post("/practice/faults", {"path": "x", "drop": "before"})
    assert cloud.call("DELETE", "/practice/faults").json() == {"waiting": 0}
    for wrong in ({"drop": "later"}, {"times": 0}, {"colour": "red"}):
        assert cloud.post("/practice/faults", wrong).status_code == 400
    logged = cloud.get("/practice/requests").json()
    assert [(each["path"], each["status"]) for each in logged] == [("/rest/api/2/myself", 503)]
    hook = {"url": "http://127.0.0.1:9/", "events": ["comment_created"], "headers": [["X-A", "b"]]}
    assert cloud.post("/practice/hooks", hook).json() == {"registered": 1}
    assert cloud.post("/practice/hooks", {"url": "http://127.0.0.1:9/", "events": ["x"]}).status_code == 400
    cloud.edit("CASE-1", summary="Changed")
    assert cloud.get("/practice/deliveries").json() == []


def test_a_broken_pattern_is_refused_when_it_is_ordered() -> None:
    with pytest.raises(re.error):
        Faults().add("GET", "(")


def test_what_a_listener_raises_reaches_the_test(cloud: Client) -> None:
    def object_to(_exchange: object) -> None:
        raise ValueError("not as agreed")

    cloud.server.on_exchange(object_to)
    assert cloud.get("myself").status_code == 200
    with pytest.raises(ValueError, match="not as agreed"):
        cloud.server.stop()


def test_a_stopped_server_can_serve_again_on_its_port(cloud: Client) -> None:
    port = cloud.server.port
    cloud.server.stop()
    with pytest.raises(requests.ConnectionError):
        cloud.get("myself")
    cloud.server.start()
    assert cloud.server.port == port
    assert cloud.get("issue/CASE-1").status_code == 200
