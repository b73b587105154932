"""Webhooks of Zammad: the signature over the raw bytes, and which ticket a body is about."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.trackers.port import News
from connector.trackers.zammad_webhooks import EVENTS, UNREADABLE, read_news, verify

# Made with ActiveSupport and OpenSSL (facts: zammad 1.3).
SECRET = "s3cr3t-t0k3n"
BODY = (
    '{"ticket":{"id":81,"number":"10081","title":"\\u003cb\\u003eGröße\\u003c/b\\u003e \\u0026 co","state":"open",'
    '"due_date":"2026-03-29","due_at":"2026-03-29T01:30:00.000Z","updated_at":"2026-03-01T12:00:00.333Z",'
    '"updated_by":{"id":3,"login":"chris@example.com"},"organization":{}},"article":{}}'
).encode()
SIGNATURE = "sha1=bd2ec4159c4c379f27f209719bf8e574f8c70da3"


def signed(signature: str, raw: bytes = BODY, secrets: tuple[str, ...] = (SECRET,)) -> bool:
    return verify({"X-Hub-Signature": signature}, raw, secrets, path_secret=None)


def test_the_vector() -> None:
    assert len(BODY) == 288
    assert signed(SIGNATURE)
    assert verify({"x-hub-signature": f" {SIGNATURE} "}, BODY, [SECRET], path_secret=None)
    assert signed(SIGNATURE, secrets=("the new one", SECRET))
    assert signed(SIGNATURE.upper().replace("SHA1", "sha1"))


@pytest.mark.parametrize(
    "signature",
    ["", "sha1=", SIGNATURE[5:], SIGNATURE[:-1], SIGNATURE[:-1] + "0", "sha256=" + SIGNATURE[5:], "md5=" + "0" * 32],
)
def test_other_signatures_are_refused(signature: str) -> None:
    assert not signed(signature)


def test_other_methods_are_refused_even_if_they_fit() -> None:
    digest = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
    assert not signed(f"sha256={digest}")


@pytest.mark.parametrize(
    "raw", [b"", BODY + b"\n", BODY.replace(b"}", b"}\r\n"), json.dumps(json.loads(BODY)).encode()]
)
def test_a_body_that_was_written_anew_is_refused(raw: bytes) -> None:
    assert not signed(SIGNATURE, raw)


def test_no_secrets_no_entry() -> None:
    assert not signed(SIGNATURE, secrets=())
    assert not verify({}, BODY, [], path_secret="")
    assert not verify({"X-Connector-Secret": ""}, BODY, [""], path_secret="")


def test_the_secret_itself_counts_where_nothing_is_signed() -> None:
    assert verify({"X-Connector-Secret": SECRET}, BODY, [SECRET], path_secret=None)
    assert verify({}, BODY, [SECRET], path_secret=SECRET)
    assert not verify({}, BODY, [SECRET], path_secret="another")
    assert not verify({"X-Hub-Signature": "sha1=00"}, BODY, [SECRET], path_secret=SECRET)
    mojibake = "schlüssel".encode().decode("latin-1")  # as WSGI hands a header over
    assert verify({"X-Connector-Secret": mojibake}, BODY, ["schlüssel"], path_secret=None)


@pytest.mark.parametrize(
    ("payload", "news"),
    [
        (json.loads(BODY), News("81", "10081", "ticket")),
        ({"ticket": {"id": 81, "number": "10081"}, "article": {"id": 4}}, News("81", "10081", "article")),
        ({"ticket": {"id": 81, "number": "T 1\n"}}, News("81", None, "ticket")),
        ({"ticket_id": 81}, News("81", None, "minimal")),
        ({"ticket_id": "81"}, News("81", None, "minimal")),
        ({"ticket_id": "#{ticket.idd / no such method}"}, UNREADABLE),
        ({"ticket": {}, "article": {}}, News(None, None, "ticket")),
        ({"ticket": {"id": True}}, News(None, None, "ticket")),
        ({"alert": "?"}, News(None, None, "unknown")),
        ([1], UNREADABLE),
    ],
)
def test_which_ticket(payload: Any, news: News) -> None:
    assert read_news(json.dumps(payload).encode()) == news


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b'{"ticket_id": 8' + b"1" * 5000 + b"}"])
def test_what_cannot_be_read(raw: bytes) -> None:
    assert read_news(raw) == UNREADABLE


def test_letters_in_another_charset_lose_no_event() -> None:
    assert read_news('{"ticket": {"id": 81, "title": "Größe"}}'.encode("latin-1")).ticket_id == "81"


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_whatever_comes_in_is_answered(raw: bytes) -> None:
    assert read_news(raw).event in EVENTS | {"unknown", "unreadable"}
    assert not verify({"X-Hub-Signature": "sha1=" + "0" * 40}, raw, ["a secret"], path_secret=None)
