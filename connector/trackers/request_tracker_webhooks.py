"""The webhook of Request Tracker: who sent it, and which ticket it is about.

RT knows no webhooks; a scrip of ours sends them (deploy/request-tracker/initialdata). Its body says nothing but the
ticket's id: everything else is read from RT itself when the ticket is attended to.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence

from connector.trackers.port import News

_SIGNATURE, _TIMESTAMP = "x-rt-signature", "x-rt-timestamp"
_HEX = re.compile(r"sha256=([0-9a-f]{64})", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,12}")
_LARGEST_ID = 10**19

# What metrics may be told: a closed list, as the word comes from outside.
EVENTS = frozenset({"ticket.created", "ticket.commented", "ticket.corresponded", "ticket.updated"})
UNREADABLE = News(None, event="unreadable")


def verify(
    headers: Mapping[str, str],
    raw: bytes,
    secrets: Sequence[str],
    *,
    path_secret: str | None,  # noqa: ARG001  the scrip signs; a secret in an address ends up in logs
) -> bool:
    """Whether the sender knows one of the secrets (two are valid while one replaces the other).

    `X-RT-Signature: sha256=<hex>` is the HMAC of `X-RT-Timestamp`, a full stop, and the body as it came. How old the
    timestamp is does not matter: a replayed webhook makes the connector look at a ticket once more, which does no harm,
    while an RT whose clock is wrong would not be heard at all. Every comparison takes the same time, and all are made.
    """
    sent = {name.lower(): value.strip() for name, value in headers.items()}
    signature, time = _HEX.fullmatch(sent.get(_SIGNATURE, "")), sent.get(_TIMESTAMP, "")
    if signature is None or not _SECONDS.fullmatch(time):
        return False
    signed, given = time.encode() + b"." + raw, signature[1].lower().encode()
    known = [secret.encode("utf-8", "surrogateescape") for secret in secrets if secret]
    # A sum, as `any` would stop at the first that fits.
    fits = (hmac.compare_digest(hmac.new(each, signed, hashlib.sha256).hexdigest().encode(), given) for each in known)
    return sum(fits) > 0


def read_news(raw: bytes) -> News:
    """Which ticket a webhook's body is about. Never raises: what cannot be read is News of no ticket, "unreadable"."""
    try:
        payload = json.loads(raw)
    except (ValueError, RecursionError):
        return UNREADABLE
    if not isinstance(payload, dict):
        return UNREADABLE
    event = payload.get("event")
    known = event if isinstance(event, str) and event in EVENTS else "unknown"
    ticket = payload.get("ticket")
    number = ticket.get("id") if isinstance(ticket, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < _LARGEST_ID:
        return News(None, event=known)
    return News(str(number), str(number), known)
