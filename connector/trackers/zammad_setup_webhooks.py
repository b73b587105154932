"""The webhook that set-up makes in Zammad, and what keeps one that is there from its work. Pure.

Facts: zammad 1.2 to 1.5, 3.3.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from connector.trackers.zammad_api import Json
from connector.trackers.zammad_names import fold
from connector.trackers.zammad_webhooks import read_news

NOTE = "Tells the inquiry connector that a case has changed."


def webhook_name(webhook_url: str) -> str:
    """The name that our webhook gets; other sources of the same Zammad have others."""
    return f"Inquiry connector ({_source_of(webhook_url)})"


def webhook_body(url: str, secret: str | None) -> Json:
    """A webhook that calls `url`, signed with the secret. What an older Zammad does not know it drops."""
    return {
        "name": webhook_name(url),
        "endpoint": url,
        "signature_token": secret,
        "ssl_verify": True,
        "customized_payload": False,
        "http_method": "post",
        "active": True,
        "note": NOTE,
        "preferences": {},
    }


def calling(webhooks: Iterable[Json], url: str) -> Json | None:
    """The webhook that calls us, an active one first."""
    ours = [each for each in webhooks if _address(each) == url.rstrip("/")]
    return min(ours, key=lambda each: each.get("active") is False, default=None)


def former(webhooks: Iterable[Json], url: str) -> list[Json]:
    """Webhooks of our name that are at work and call another address: the connector's public address has changed."""
    name = fold(webhook_name(url))
    return [
        each
        for each in webhooks
        if fold(str(each.get("name"))) == name and _address(each) != url.rstrip("/") and each.get("active") is not False
    ]


def host_of(webhook: Mapping[str, Any]) -> str:
    """The host that a webhook calls; the rest of its address may be secret."""
    return urlsplit(_address(webhook)).hostname or "?"


def is_signed(webhook: Mapping[str, Any], secret: str | None) -> bool | None:
    """Whether the webhook signs with the secret; None if that is not shown. Zammad 7 masks it."""
    token = webhook.get("signature_token", "*")
    if token and (secret is None or not str(token).strip("*")):
        return None
    return bool(token) and token == secret


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something about a webhook that keeps it from its work, in sentences; `part` is short and stable."""

    part: str
    what: str
    by_hand: str


def troubles(webhook: Mapping[str, Any], secret: str | None) -> Iterator[Trouble]:
    """What is wrong with a webhook that calls us."""
    name = webhook.get("name")
    if not webhook.get("signature_token", "*"):
        what = f'The webhook "{name}" has no HMAC SHA1 Signature Token: the connector refuses what it sends.'
        yield Trouble("secret", what, "In Zammad, under Webhook, write the secret of tracker.webhook_secrets there.")
    elif is_signed(webhook, secret) is False:
        what = f'The webhook "{name}" signs with another secret than the first one of tracker.webhook_secrets.'
        yield Trouble(
            "secret", what, "In Zammad, under Webhook, write the first one there as HMAC SHA1 Signature Token."
        )
    if webhook.get("customized_payload") and not _names_the_ticket(webhook.get("custom_payload")):
        what = f'The custom payload of the webhook "{name}" does not say which ticket has changed.'
        how = 'In Zammad, under Webhook, switch the custom payload off, or make it {"ticket_id": "#{ticket.id}"}.'
        yield Trouble("payload", what, how)
    if webhook.get("ssl_verify") is False:
        what = f'The webhook "{name}" does not check the certificate of the connector\'s address.'
        yield Trouble("certificate", what, "In Zammad, under Webhook, switch SSL verification on.")
    if webhook.get("http_method", "post") != "post":
        what = f'The webhook "{name}" does not send POST requests, and the connector takes no others.'
        yield Trouble("method", what, "In Zammad, under Webhook, choose POST.")


def _names_the_ticket(payload: object) -> bool:
    """Whether the connector finds the ticket in a custom payload: as it will read it, with the placeholder filled."""
    return isinstance(payload, str) and read_news(payload.replace("#{ticket.id}", "1").encode()).ticket_id == "1"


def _address(webhook: Mapping[str, Any]) -> str:
    return str(webhook.get("endpoint") or "").rstrip("/")


def _source_of(webhook_url: str) -> str:
    """The name of the source in the connector's address, /webhooks/NAME; what follows it may be secret."""
    parts = [part for part in urlsplit(webhook_url).path.split("/") if part]
    after = parts[parts.index("webhooks") + 1 :] if "webhooks" in parts else []
    return after[0] if after else "cases"
