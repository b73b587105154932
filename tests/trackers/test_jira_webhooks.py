"""Who sent a webhook, and which ticket it is about."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from connector.practice.server import PracticeServer
from connector.trackers.jira_webhooks import EVENTS, read_news, verify
from connector.trackers.port import News

BODY = b'{"webhookEvent": "jira:issue_updated"}'
UNREADABLE = News(None, event="unreadable")


def signed(secret: str, body: bytes = BODY, method: str = "sha256") -> str:
    return f"{method}={hmac.new(secret.encode(), body, getattr(hashlib, method)).hexdigest()}"


def accepts(headers: Any, *secrets: str, body: bytes = BODY, path_secret: str | None = None) -> bool:
    return verify(headers, body, secrets, path_secret=path_secret)


# Signatures


def test_the_documented_example() -> None:
    signature = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
    assert accepts({"X-Hub-Signature": signature}, "It's a Secret to Everybody", body=b"Hello World!")
    assert not accepts({"X-Hub-Signature": signature}, "It's a Secret to Everybody", body=b"Hello World?")


def test_each_of_several_secrets_is_good() -> None:
    for secret in ("old", "new"):
        assert accepts({"X-Hub-Signature": signed(secret)}, "old", "new")
    assert not accepts({"X-Hub-Signature": signed("other")}, "old", "new")


def test_headers_are_read_in_any_case() -> None:
    assert accepts({"x-hub-signature": signed("s")}, "s")
    assert accepts(Headers({"X-HUB-SIGNATURE": signed("s").upper()}), "s")


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "sha256",
        "sha256=",
        "=",
        signed("s")[:-1],
        signed("s").replace("sha256=", ""),
        signed("s").replace("sha256", "sha999"),
        signed("s", method="sha1"),
        signed("s", method="md5"),
        signed("s", method="sha512"),
        signed("s").replace("=", "= "),
        signed("s") + "é",
        signed("s") + "ż\udcff",
        f"{signed('s')},{signed('s')}",
    ],
)
def test_other_signatures_are_refused(signature: str) -> None:
    assert not accepts({"X-Hub-Signature": signature}, "s")


def test_a_signature_decides_alone() -> None:
    headers = {"X-Hub-Signature": signed("wrong"), "X-Connector-Secret": "s"}
    assert not accepts(headers, "s", path_secret="s")
    assert not accepts({"X-Hub-Signature": "", "X-Connector-Secret": "s"}, "s")


def test_without_secrets_nobody_gets_in() -> None:
    for secrets in ((), ("",), ("", "")):
        assert not accepts({"X-Hub-Signature": signed("")}, *secrets)
        assert not accepts({"X-Connector-Secret": ""}, *secrets, path_secret="")
        assert not accepts({}, *secrets)


# Shared secrets


def test_a_secret_may_be_shown_in_a_header_or_in_the_path() -> None:
    for secret in ("s", "two words", "żółw"):
        as_wsgi_hands_it_over = secret.encode().decode("latin-1")
        assert accepts({"X-Connector-Secret": as_wsgi_hands_it_over}, "other", secret)
        assert accepts({}, secret, path_secret=secret)
        assert not accepts({"X-Connector-Secret": as_wsgi_hands_it_over + "x"}, secret)
        assert not accepts({}, secret, path_secret=secret[:-1])
    assert not accepts({}, "s")


@given(st.text(), st.text(), st.text(), st.one_of(st.none(), st.text()))
def test_verification_never_raises_and_only_the_secret_gets_in(
    signature: str, shown: str, secret: str, path_secret: str | None
) -> None:
    assert not accepts({"X-Hub-Signature": signature, "X-Connector-Secret": shown}, secret, path_secret=path_secret)
    let_in = accepts({"X-Connector-Secret": shown}, secret, path_secret=path_secret)
    encoded = [each.encode("utf-8", "surrogatepass") for each in (shown, path_secret or "", secret)]
    as_latin_1 = shown.encode("latin-1", "ignore")
    if let_in:
        assert secret
        assert encoded[2] in {encoded[0], encoded[1], as_latin_1}


# Shapes


def news(payload: Any) -> News:
    return read_news(json.dumps(payload).encode())


@pytest.mark.parametrize("event", ["jira:issue_created", "jira:issue_updated", "jira:issue_deleted"])
def test_events_of_an_issue(event: str) -> None:
    payload = {"timestamp": 1, "webhookEvent": event, "issue": {"id": "10042", "key": "CASE-7", "fields": {}}}
    assert news(payload) == News("10042", "CASE-7", event)
    assert news({**payload, "bulkOperationMetaData": {}, "changelog": {"id": 1, "items": []}}).ticket_id == "10042"


def test_events_of_a_comment_with_and_without_an_issue() -> None:
    link = "https://jira.example.org/context/rest/api/2/issue/10042/comment/10100"
    comment = {"self": link, "id": "10100", "body": "x"}
    on_cloud = {"webhookEvent": "comment_created", "comment": comment, "issue": {"id": "10042", "key": "CASE-7"}}
    assert news(on_cloud) == News("10042", "CASE-7", "comment_created")
    on_data_center = {"webhookEvent": "comment_updated", "comment": comment}
    assert news(on_data_center) == News("10042", None, "comment_updated")
    assert news({**on_data_center, "issue": None}).ticket_id == "10042"
    assert news({**on_data_center, "issue": {"key": "CASE-7"}}).ticket_id == "10042"


def test_automation_rules() -> None:
    issue = {"id": 10042, "key": "CASE-7", "fields": {"summary": "x"}, "changelog": {"histories": None}}
    assert news(issue) == News("10042", "CASE-7", "automation")
    assert news({"timestamp": 1, "issue": issue, "comment": {}}) == News("10042", "CASE-7", "automation")


@pytest.mark.parametrize(
    "payload",
    [
        {"webhookEvent": "worklog_created", "worklog": {"id": "1", "issueId": "10042"}},
        {"webhookEvent": "issuelink_created", "issueLink": {"id": 10042}},
        {"webhookEvent": "issue_property_set", "property": {"key": "x"}},
    ],
)
def test_events_without_an_issue_are_about_no_ticket(payload: dict[str, Any]) -> None:
    assert news(payload) == News(None, None, payload["webhookEvent"])


def test_an_event_of_another_kind_with_an_issue_is_about_it() -> None:
    payload = {"webhookEvent": "issue_property_set", "issue": {"id": "10042"}, "property": {}}
    assert news(payload) == News("10042", None, "issue_property_set")


@pytest.mark.parametrize(
    "event", ["jira:version_released", "x" * 5000, "A-number A012345678", 5, None, ["comment_created"]]
)
def test_metrics_hear_no_other_words(event: Any) -> None:
    assert news({"webhookEvent": event, "issue": {"id": "1"}}) == News("1", None, "unknown")
    assert news({"webhookEvent": event, "id": "1", "key": "CASE-1", "fields": {}}) == News(None, None, "unknown")


@pytest.mark.parametrize(
    "ticket_id",
    [
        "",
        "0",
        "-1",
        "1.5",
        1.5,
        1e3,
        True,
        "1 OR 1=1",
        "../1",
        "1\n",
        "١٢",
        "1" * 20,
        10**19,
        0,
        -7,
        None,
        ["1"],
        {},
        " 1",
    ],
)
def test_an_id_that_is_none_is_no_ticket(ticket_id: Any) -> None:
    payload = {"webhookEvent": "jira:issue_updated", "issue": {"id": ticket_id, "key": "CASE-1"}}
    assert news(payload) == News(None, None, "jira:issue_updated")


@pytest.mark.parametrize(
    ("key", "read"),
    [
        ("CASE-1", "CASE-1"),
        ("C_2-99", "C_2-99"),
        ("case-1", None),
        ("CASE", None),
        ("CASE-1\n", None),
        ("CASE-" + "1" * 20, None),
        ("<b>-1", None),
        (7, None),
        ("\ud800-1", None),
    ],
)
def test_a_key_has_its_form(key: Any, read: str | None) -> None:
    assert news({"issue": {"id": "1", "key": key}}).key == read


@pytest.mark.parametrize(
    "raw",
    [
        '{"issue": {"id": "1", "x": "ż"}}'.encode("iso8859-2"),
        b'{"issue": {"id": "1"}, "x": NaN}',
        b'{"issue": {"id": "1"}, "x": -Infinity}',
        b'{"issue": {"id": "2"}, "issue": {"id": "1"}}',
    ],
)
def test_an_event_is_not_lost_to_what_is_wrong_elsewhere_in_its_body(raw: bytes) -> None:
    """Looking at a ticket once too often costs a call; not looking could cost a deadline."""
    assert read_news(raw).ticket_id == "1"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe\xfa",
        b"[" * 200_000,
        b'{"issue":' * 100_000,
        b'{"issue": {"id": "1"}, "x": ' + b"9" * 5000 + b"}",
        b"issue=1&x=2",
    ],
)
def test_what_cannot_be_read_is_told_so(raw: bytes) -> None:
    assert read_news(raw) == UNREADABLE


def test_half_a_character_in_a_text_hides_no_ticket() -> None:
    """Some senders cut texts in the middle of an emoji; the ticket is known all the same."""
    raw = b'{"webhookEvent": "jira:issue_updated", "issue": {"id": "1", "fields": {"summary": "\\ud83d"}}}'
    assert read_news(raw).ticket_id == "1"


def test_a_body_of_ten_megabytes() -> None:
    raw = json.dumps({"issue": {"id": "1", "fields": {"description": "x" * 10_000_000}}}).encode()
    assert read_news(raw).ticket_id == "1"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
words = st.sampled_from(["webhookEvent", "issue", "comment", "id", "key", "self", "fields"])


@given(st.one_of(st.binary(), st.dictionaries(words, json_values | st.dictionaries(words, json_values))))
def test_nothing_makes_it_raise(body: bytes | dict[str, Any]) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = read_news(raw)
    assert found.ticket_id is None or 1 <= len(found.ticket_id) <= 19
    assert found.event in EVENTS | {"unknown", "automation", "unreadable"}


# The practice tracker's own


@pytest.mark.parametrize("deployment", ["cloud", "data-center"])
def test_what_the_practice_tracker_sends_is_verified_and_read(practice: Callable[..., Any], deployment: str) -> None:
    site = practice(deployment)
    server: PracticeServer = site.server
    received: list[tuple[dict[str, str], bytes]] = []

    @server.app.post("/received")
    def receive() -> tuple[str, int]:
        from flask import request  # noqa: PLC0415  of the request under way

        received.append((dict(request.headers), request.get_data()))
        return "", 204

    server.hooks.register(f"{server.url}/received", secret="s")
    ticket_id = site.create("One")
    site.edit_receipt(ticket_id, "WAC2590123456")
    site.world.add_comment(site.issue(ticket_id), site.world.new_comment(site.issue(ticket_id), "x", site.world.human))
    site.world.delete(site.issue(ticket_id), site.world.human)
    server.hooks.drain()
    assert len(received) >= 4
    for headers, body in received:
        assert verify(headers, body, ["new", "s"], path_secret=None)
        assert not verify(headers, body + b" ", ["s"], path_secret=None)
        found = read_news(body)
        assert found.ticket_id == ticket_id
        assert found.event in EVENTS
