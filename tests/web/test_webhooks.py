"""Webhooks as their senders know them: who is let in, what is answered, what is due afterwards."""

import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import Connection
from sqlalchemy import event as sqlalchemy_event

from connector.store import Sources
from connector.trackers.port import News
from tests.web.conftest import NOW, PERSONAL, SECRET, SOURCE, Service, event, signature


def test_an_authentic_event_makes_its_ticket_due_and_wakes_attention(service: Service) -> None:
    answer = service.post(event(10001))
    assert (answer.status, answer.body) == (204, b"")
    assert service.due() == {"10001"}
    assert service.store.tickets.get(SOURCE, "CASE-10001") is not None
    assert service.store.sources.get(SOURCE).heard_at == service.now
    assert service.woken == [SOURCE]
    assert service.counted() == {(SOURCE, "accepted", "jira:issue_updated"): 1}


def test_attention_is_woken_after_the_commit_and_not_before(service: Service) -> None:
    seen: list[set[str]] = []
    service.tell = lambda _source: seen.append(service.due())
    service.post(event(7))
    assert seen == [{"7"}]


def test_attention_that_cannot_be_woken_does_not_undo_the_answer(service: Service) -> None:
    def fail(_source: str) -> None:
        raise RuntimeError(PERSONAL[0])

    service.tell = fail
    assert service.post(event(7)).status == 204
    assert service.due() == {"7"}
    assert "attention could not be woken" in service.log.getvalue()


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        "a4771c39",
        "sha1=" + "0" * 40,
        "sha512=" + "0" * 128,
        "SHA256",
        "sha256=ÿÿ",
        "sha256=" + "0" * 10_000,
    ],
)
def test_a_wrong_signature_is_refused_and_counted(service: Service, header: str) -> None:
    answer = service.post(event(), X_Hub_Signature=header)
    assert answer.status == 401
    assert answer.json == {"message": "The signature or secret is missing or wrong."}
    assert service.due() == set()
    assert service.woken == []
    assert service.counted() == {(SOURCE, "refused_signature", ""): 1}


def test_a_signature_of_other_bytes_is_refused(service: Service) -> None:
    body = event()
    assert service.post(body + b" ", X_Hub_Signature=signature(body)).status == 401


def test_without_signature_and_secret_nobody_is_let_in(service: Service) -> None:
    assert service.request("POST", f"/webhooks/{SOURCE}", event()).status == 401


def test_two_secrets_hold_while_one_replaces_the_other(service: Service) -> None:
    service.secrets = ["new", "old"]
    assert service.post(event(1), X_Hub_Signature=signature(event(1), "old")).status == 204
    assert service.post(event(2), X_Hub_Signature=signature(event(2), "new")).status == 204
    service.secrets = ["new"]
    assert service.post(event(3), X_Hub_Signature=signature(event(3), "old")).status == 401
    assert service.due() == {"1", "2"}


@pytest.mark.parametrize("secret", ["plain", "Ünïcödé 🔑", "with/slash and space", "a%2Fb?c#d", "ÿ"])
def test_senders_that_cannot_sign_show_the_secret_in_a_header_or_in_the_path(service: Service, secret: str) -> None:
    service.secrets = [secret]
    in_header = service.request(
        "POST", f"/webhooks/{SOURCE}", event(1), {"X-Connector-Secret": secret.encode().decode("latin-1")}
    )
    assert in_header.status == 204
    in_path = service.request("POST", f"/webhooks/{SOURCE}/{quote(secret, safe='')}", event(2))
    assert in_path.status == 204
    wrong = service.request("POST", f"/webhooks/{SOURCE}/{quote(secret + 'x', safe='')}", event(3))
    assert wrong.status == 401
    assert service.due() == {"1", "2"}
    assert secret not in service.log.getvalue()
    assert quote(secret, safe="") not in service.log.getvalue()


def test_a_secret_in_the_query_lets_nobody_in_and_is_not_logged(service: Service) -> None:
    service.secrets = ["s3cret"]
    assert service.request("POST", f"/webhooks/{SOURCE}?secret=s3cret", event()).status == 401
    assert "s3cret" not in service.log.getvalue()


def test_without_any_secret_configured_nobody_is_let_in(service: Service) -> None:
    service.secrets = []
    assert service.post(event(), X_Hub_Signature=signature(event(), "")).status == 401
    assert service.request("POST", f"/webhooks/{SOURCE}/", event()).status == 401


def test_a_slash_at_the_end_does_not_lose_the_event(service: Service) -> None:
    assert service.post(event(5), path=f"/webhooks/{SOURCE}/").status == 204
    assert service.due() == {"5"}


def test_an_unknown_source_is_told_so_and_counted_without_its_name(service: Service) -> None:
    answer = service.post(event(), path="/webhooks/other/s3cret")
    assert answer.status == 404
    assert answer.json == {"message": "There is no such source."}
    assert service.counted() == {("(unknown)", "unknown_source", ""): 1}
    assert "other" not in service.log.getvalue()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_only_post_is_taken(service: Service, method: str) -> None:
    answer = service.request(method, f"/webhooks/{SOURCE}/s3cret")
    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"
    assert b"s3cret" not in answer.body


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"]
)
def test_the_bytes_are_judged_whatever_their_type_is_said_to_be(service: Service, content_type: str) -> None:
    assert service.post(event(), Content_Type=content_type).status == 204
    assert service.due() == {"10001"}


def test_an_event_about_no_ticket_is_ignored_and_the_source_still_heard(service: Service) -> None:
    body = b'{"webhookEvent": "jira:version_released"}'
    answer = service.post(body)
    assert answer.status == 200
    assert answer.json["message"]
    assert service.due() == set()
    assert service.woken == []
    assert service.store.sources.get(SOURCE).heard_at == service.now
    assert service.counted() == {(SOURCE, "ignored", "unknown"): 1}


def test_an_ignored_event_writes_at_most_once_in_ten_seconds(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[datetime] = []
    monkeypatch.setattr(Sources, "heard", lambda _self, _source, now: writes.append(now))
    for seconds in (0, 9, 10, 19, 20, 5):  # the last: the clock was set back
        service.now = NOW + timedelta(seconds=seconds)
        assert service.post(b"{}").status == 200
    assert [int((moment - NOW).total_seconds()) for moment in writes] == [0, 10, 20, 5]


def test_events_sent_twice_late_or_in_any_order_leave_the_ticket_due_once(service: Service) -> None:
    for body in (event(1), event(1, "jira:issue_created"), event(1), event(1, "comment_created")):
        assert service.post(body).status == 204
    assert service.due() == {"1"}


def test_many_senders_at_once_lose_nothing(service: Service) -> None:
    def send(number: int) -> int:
        return service.post(event(number)).status

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(send, range(1, 101))) == {204}
    assert service.due() == {str(number) for number in range(1, 101)}
    assert service.counted() == {(SOURCE, "accepted", "jira:issue_updated"): 100}


# ---- When the event cannot be noted


def test_secrets_that_cannot_be_read_are_our_fault_and_the_sender_tries_again(service: Service) -> None:
    def fail() -> list[str]:
        raise OSError(f"/run/secrets/{SECRET}")

    service.read_secrets = fail
    answer = service.post(event())
    assert answer.status == 503
    assert SECRET not in service.log.getvalue() + answer.body.decode()
    service.read_secrets = None
    assert service.post(event()).status == 204
    assert service.counted()[SOURCE, "unavailable", ""] == 1


def test_a_locked_database_is_answered_503_and_nothing_is_lost_on_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr("connector.store.database.BUSY_SECONDS", 0)
    service: Service = request.getfixturevalue("service")
    other = sqlite3.connect(tmp_path / "connector.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        answer = service.post(event(1))
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert service.woken == []
        # What is about no ticket needs no commit.
        assert service.post(b"{}").status == 200
    finally:
        other.close()
    assert service.due() == set()
    assert service.post(event(1)).status == 204
    assert service.due() == {"1"}
    assert service.counted()[SOURCE, "unavailable", ""] == 1


def test_a_full_disk_is_answered_503_and_nothing_acknowledged_is_lost(service: Service) -> None:
    pages = 0

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages or 2**30}")

    engine = service.store._database.engine
    sqlalchemy_event.listen(engine, "begin", limit)
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + 1
    statuses = {number: service.post(event(number)).status for number in range(1, 81)}
    assert set(statuses.values()) == {204, 503}
    acknowledged = {str(number) for number, status in statuses.items() if status == 204}
    pages = 0
    assert service.due() == acknowledged
    for number, status in statuses.items():
        if status == 503:
            assert service.post(event(number)).status == 204
    assert service.due() == {str(number) for number in statuses}


def test_an_unexpected_failure_is_a_503_without_a_word_of_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError(PERSONAL[0])

    with monkeypatch.context() as broken:
        broken.setattr(type(service.store.attention), "notice", fail)
        answer = service.post(event(1))
    assert answer.status == 503
    assert set(answer.json) == {"message"}
    assert "KeyError" in service.log.getvalue()
    assert "webhooks.py" in service.log.getvalue()
    assert PERSONAL[0] not in service.log.getvalue() + answer.body.decode()
    assert service.post(event(1)).status == 204


def test_an_id_that_no_tracker_gives_is_not_tried_again(
    start: Callable[[], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.web.conftest.read_news", lambda raw: News(raw.decode(), None, "x"))
    service = start()
    assert service.post(b"a\tb").status == 200
    assert service.counted() == {(SOURCE, "unreadable", "x"): 1}


def test_a_reader_that_fails_is_not_asked_again(start: Callable[[], Service], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.web.conftest.read_news", lambda raw: 1 / len(raw[:0]))
    service = start()
    assert service.post(event()).status == 200
    assert service.counted() == {(SOURCE, "unreadable", "unreadable"): 1}
    assert "ZeroDivisionError" in service.log.getvalue()


# ---- What is told elsewhere


def test_every_line_of_one_request_has_one_correlation_id(service: Service) -> None:
    service.post(event(1))
    service.post(event(2))
    lines = [json.loads(line) for line in service.log.getvalue().splitlines()]
    assert [line["ticket_id"] for line in lines] == ["1", "2"]
    assert len({line["correlation_id"] for line in lines}) == 2
    assert {line["source"] for line in lines} == {SOURCE}


def test_a_flood_of_refused_requests_does_not_fill_the_log(service: Service) -> None:
    for _ in range(20):
        service.post(event(), X_Hub_Signature="sha256=00")
    assert service.log.getvalue().count("refused_signature") == 1
    service.now += timedelta(seconds=10)
    service.post(event(), X_Hub_Signature="sha256=00")
    assert service.log.getvalue().count("refused_signature") == 2
    assert service.counted()[SOURCE, "refused_signature", ""] == 21


def test_nothing_personal_and_no_secret_is_shown_anywhere(service: Service, tmp_path: Path) -> None:
    service.secrets = [SECRET, "s3cret"]
    answers = [
        service.post(event(1)),
        service.post(event(2), X_Hub_Signature="sha256=00"),
        service.post(event(3)[:-1]),
        service.request("POST", f"/webhooks/{SOURCE}/s3cret", event(4)),
        service.request("POST", f"/webhooks/{SOURCE}/s3cret-mistyped", event(5)),
        service.request("GET", f"/webhooks/{SOURCE}/s3cret"),
        service.request("POST", "/webhook/s3cret", event(6)),
        service.post(event(7), path="/webhooks/nobody"),
        service.request("GET", "/metrics"),
        service.request("GET", "/readyz"),
    ]
    assert service.due() == {"1", "4"}
    database = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    everything = service.log.getvalue().encode() + database
    for answer in answers:
        everything += answer.body + repr(answer.headers).encode()
    for word in (*PERSONAL, "s3cret", SECRET):
        assert word.encode() not in everything
