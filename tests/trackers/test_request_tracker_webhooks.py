"""Request Tracker's webhook: who sent it, and which ticket it is about."""

import hashlib
import hmac
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.trackers.port import News
from connector.trackers.request_tracker_webhooks import EVENTS, read_news, verify

DEPLOY = Path(__file__).parents[2] / "deploy" / "request-tracker"
BODY = b'{"event":"ticket.updated","ticket":{"id":7}}'
UNREADABLE = News(None, event="unreadable")


def signed(secret: str, body: bytes = BODY, time: str = "1795496656") -> dict[str, str]:
    digest = hmac.new(secret.encode(), time.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"X-RT-Timestamp": time, "X-RT-Signature": f"sha256={digest}"}


def accepts(headers: dict[str, str], *secrets: str, body: bytes = BODY, path_secret: str | None = None) -> bool:
    return verify(headers, body, secrets, path_secret=path_secret)


def test_a_signature_made_elsewhere() -> None:
    # printf '%s' '1795496656.{"event":"ticket.updated","ticket":{"id":7}}' | openssl dgst -sha256 -hmac s3cret
    digest = "64b74187090e18808db599b3bf8cc9211f1681f8f602a3abe7dc41a43a23d006"
    headers = {"X-RT-Timestamp": "1795496656", "X-RT-Signature": f"sha256={digest}"}
    assert accepts(headers, "s3cret")
    assert not accepts(headers, "s3creT")


def test_each_of_several_secrets_is_good() -> None:
    for secret in ("old", "new"):
        assert accepts(signed(secret), "old", "new")
    assert not accepts(signed("other"), "old", "new")
    assert not accepts(signed(""), "")
    assert not accepts(signed("s"))


def test_headers_are_read_in_any_case() -> None:
    assert accepts({name.lower(): value for name, value in signed("s").items()}, "s")
    assert accepts({name.title(): value.upper() for name, value in signed("s").items()}, "s")


def test_an_old_webhook_is_as_good_as_a_new_one() -> None:
    assert accepts(signed("s", time="0"), "s")
    assert accepts(signed("s", time="999999999999"), "s")


@pytest.mark.parametrize("time", ["", "now", "-1", "1.5", "1" * 13, "١"])
def test_what_is_no_timestamp_is_refused(time: str) -> None:
    headers = signed("s", time=time)
    assert not accepts(headers, "s")


@pytest.mark.parametrize("name", ["X-RT-Timestamp", "X-RT-Signature"])
def test_both_headers_are_needed(name: str) -> None:
    headers = signed("s")
    del headers[name]
    assert not accepts(headers, "s")


def test_another_time_or_body_is_not_what_was_signed() -> None:
    assert not accepts(signed("s") | {"X-RT-Timestamp": "1795496657"}, "s")
    assert not accepts(signed("s"), "s", body=BODY + b"\n")


@pytest.mark.parametrize("cut", [slice(None, -1), slice(7, None), slice(0, 7), slice(0, 0)])
def test_other_signatures_are_refused(cut: slice) -> None:
    headers = signed("s")
    assert not accepts(headers | {"X-RT-Signature": headers["X-RT-Signature"][cut]}, "s")
    assert not accepts(headers | {"X-RT-Signature": headers["X-RT-Signature"].replace("sha256", "sha1")}, "s")


def test_the_secret_in_an_address_is_no_signature() -> None:
    assert not accepts({}, "s", path_secret="s")


@given(st.dictionaries(st.sampled_from(["x-rt-signature", "X-RT-Timestamp", "other"]), st.text()), st.binary())
def test_nothing_that_comes_in_raises(headers: dict[str, str], body: bytes) -> None:
    assert not verify(headers, body, ["s"], path_secret=None)
    read_news(body)


def test_the_ticket_is_told() -> None:
    assert read_news(BODY) == News("7", "7", "ticket.updated")
    assert read_news(b'{"ticket":{"id":7}}') == News("7", "7", "unknown")
    assert read_news(b'{"event":"ticket.exploded","ticket":{"id":7}}') == News("7", "7", "unknown")


@pytest.mark.parametrize("ticket", ["-1", "0", "true", "1.5", "null", '"7"', "[]", "1" * 20, '{"id":7}'])
def test_what_is_no_id_is_about_no_ticket(ticket: str) -> None:
    body = f'{{"event":"ticket.updated","ticket":{{"id":{ticket}}}}}'
    assert read_news(body.encode()) == News(None, event="ticket.updated")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
def test_what_cannot_be_read(body: bytes) -> None:
    assert read_news(body) == UNREADABLE


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda part: st.dictionaries(st.text(), part))
)
def test_any_json_is_read_without_raising(payload: object) -> None:
    news = read_news(json.dumps({"event": payload, "ticket": payload}).encode())
    assert news.event in EVENTS | {"unknown"}


def test_the_events_are_those_that_the_scrip_sends() -> None:
    scrip = (DEPLOY / "initialdata").read_text(encoding="utf-8")
    names = re.search(r"my %names = \((.*?)\);", scrip)
    assert names is not None
    assert {f"ticket.{name}" for name in [*re.findall(r"'(\w+)'", names[1]), "updated"]} == EVENTS
