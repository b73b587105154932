"""A webhook that fails, as Sentry sees it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from connector.observing import start_sentry
from connector.store import DatabaseError
from tests.web.conftest import PERSONAL, SECRET, SOURCE, Service, event


class Kept(Transport):
    """Keeps what would be sent."""

    envelopes: list[Envelope]

    def capture_envelope(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)


@pytest.fixture
def sent(service: Service) -> Iterator[list[Envelope]]:
    """What is sent, from now on. (The service has set the log up.)"""
    Kept.envelopes = []
    stop = start_sentry("https://5ecret@sentry.invalid/42", transport=Kept)
    yield Kept.envelopes
    stop()


def events(sent: list[Envelope]) -> list[Any]:
    return [json.loads(item.payload.get_bytes()) for envelope in sent for item in envelope.items]


def test_a_webhook_that_fails_is_sent_without_a_word_of_it(
    service: Service, sent: list[Envelope], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object, **more: object) -> None:
        raise KeyError(*PERSONAL, given, more)

    monkeypatch.setattr(type(service.store.attention), "notice", fail)
    service.secrets = [SECRET, "s3cret"]
    assert service.request("POST", f"/webhooks/{SOURCE}/s3cret?a={PERSONAL[0]}", event(10001)).status == 503
    (told,) = events(sent)
    assert told["logentry"]["formatted"] == "webhook not noted"
    assert told["exception"]["values"][0]["type"] == "KeyError"
    assert set(told["tags"]) == {"source", "correlation_id"}
    for word in (*PERSONAL, SECRET, "s3cret", "10001", "/webhooks/"):
        assert word not in json.dumps(told)


def test_a_database_that_is_down_is_sent_once_for_many_webhooks(
    service: Service, sent: list[Envelope], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseError("the disk that holds the database is full: make room on it")

    monkeypatch.setattr(type(service.store.attention), "notice", fail)
    for number in range(5):
        service.post(event(number))
    (told,) = events(sent)
    assert told["extra"] == {"reason": "the disk that holds the database is full: make room on it"}
