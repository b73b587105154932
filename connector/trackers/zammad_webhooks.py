"""Webhooks of Zammad: who sent one, and which ticket it is about. Facts: zammad 1.

A payload is made when it is sent, not when the event happened, and says neither what changed nor who did it. So it is a
hint only: the ticket's id and number are taken from it, each checked for its form, and nothing is ever dropped because
of who changed the ticket last.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connector.trackers import signatures
from connector.trackers.port import News

# The one method that Zammad signs with (facts: zammad 1.3).
_METHODS: Mapping[str, Callable[[], Any]] = {"sha1": hashlib.sha1}

_ID = re.compile(r"[1-9][0-9]{0,18}")
_NUMBER = re.compile(r"[0-9A-Za-z._-]{1,60}")  # how tickets are numbered is a setting of Zammad

# What metrics may be told: a closed list, as the word comes from outside. Zammad itself names no event.
EVENTS = frozenset({"ticket", "article", "minimal"})
UNREADABLE = News(None, event="unreadable")


def verify(headers: Mapping[str, str], raw: bytes, secrets: Sequence[str], *, path_secret: str | None) -> bool:
    """Whether the sender knows one of the secrets: `X-Hub-Signature: sha1=<hex>` over the raw body.

    Without a signature, the secret itself counts, in `X-Connector-Secret` or in the URL's path, as for other trackers.
    """
    return signatures.verify(headers, raw, secrets, path_secret=path_secret, methods=_METHODS)


def read_news(raw: bytes) -> News:
    """Which ticket a webhook's body is about. Never raises: what cannot be read is News of no ticket, "unreadable".

    Read are the default payload, `{"ticket": {"id": 81, "number": "10081", ...}, "article": {...}}`, and the smallest
    customized one, `{"ticket_id": 81}`. In a customized payload a placeholder that Zammad does not know becomes a text
    about that (facts: zammad 1.5), which is no id.
    """
    try:
        payload = json.loads(raw.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return UNREADABLE
    if not isinstance(payload, dict):
        return UNREADABLE
    ticket = payload.get("ticket")
    if isinstance(ticket, dict):
        ticket_id = _id(ticket.get("id"))
        event = "article" if payload.get("article") else "ticket"
        return News(ticket_id, _number(ticket.get("number")) if ticket_id else None, event)
    if "ticket_id" in payload:
        ticket_id = _id(payload["ticket_id"])
        return News(ticket_id, event="minimal") if ticket_id else UNREADABLE
    return News(None, event="unknown")


def _id(value: object) -> str | None:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**19 else value
    return text if isinstance(text, str) and _ID.fullmatch(text) else None


def _number(value: object) -> str | None:
    return value if isinstance(value, str) and _NUMBER.fullmatch(value) else None
