"""Webhooks of Jira: who sent one, and which ticket it is about. Facts: jira 1.1 to 1.5.

A payload is unversioned and differs from site to site. So only the ticket's id and key are taken from it, each checked
for its form; everything else is read from Jira itself when the ticket is attended to.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connector.trackers import signatures
from connector.trackers.port import News

# Jira signs with sha256 and names the method in the header, as it may change (facts: jira 1.2). Others are refused.
_METHODS: Mapping[str, Callable[[], Any]] = {"sha256": hashlib.sha256}

_ID = re.compile(r"[1-9][0-9]{0,18}")
KEY = re.compile(r"[A-Z][A-Z0-9_]{0,254}-[0-9]{1,19}")
_ID_IN_LINK = re.compile(r"/issue/([1-9][0-9]{0,18})/comment/")

# What metrics may be told: a closed list, as the word comes from outside.
EVENTS = frozenset(
    {
        "jira:issue_created",
        "jira:issue_updated",
        "jira:issue_deleted",
        "comment_created",
        "comment_updated",
        "comment_deleted",
        "issue_property_set",
        "issue_property_deleted",
        "attachment_created",
        "attachment_deleted",
        "issuelink_created",
        "issuelink_deleted",
        "jira:worklog_updated",
        "worklog_created",
        "worklog_updated",
        "worklog_deleted",
    }
)
AUTOMATION = "automation"
UNREADABLE = News(None, event="unreadable")


def verify(headers: Mapping[str, str], raw: bytes, secrets: Sequence[str], *, path_secret: str | None) -> bool:
    """Whether the sender knows one of the secrets (two are valid while one replaces the other).

    A signature, where there is one, decides alone: `X-Hub-Signature: sha256=<hex>`, the HMAC of the body as it came.
    Senders that cannot sign (automation rules, Data Center before 10) show the secret itself, in the header
    `X-Connector-Secret` or in the URL's path. No secrets, no entry. Every comparison takes the same time whatever the
    secret, and all are made.
    """
    return signatures.verify(headers, raw, secrets, path_secret=path_secret, methods=_METHODS)


def read_news(raw: bytes) -> News:
    """Which ticket a webhook's body is about. Never raises: what cannot be read is News of no ticket, "unreadable".

    The id is looked for in `issue` (issue and comment events, automation rules of service desks), at the top level
    (the automation format), and in the comment's own link (comment events of Data Center carry no issue).
    """
    try:
        payload = _parsed(raw)
    except (ValueError, RecursionError):
        return UNREADABLE
    if not isinstance(payload, dict):
        return UNREADABLE
    issue = _issue(payload)
    ticket_id = _id(issue.get("id")) or _id_of_comment(payload.get("comment"))
    return News(ticket_id, _key(issue.get("key")) if ticket_id else None, _event(payload, ticket_id))


def _parsed(raw: bytes) -> Any:
    """The JSON in whatever charset: only ids are taken, so a letter that cannot be read must not lose an event."""
    try:
        return json.loads(raw)
    except UnicodeDecodeError:
        return json.loads(raw.decode("utf-8", "replace"))


def _issue(payload: dict[str, Any]) -> dict[str, Any]:
    issue = payload.get("issue")
    if isinstance(issue, dict):
        return issue
    at_top = "webhookEvent" not in payload and isinstance(payload.get("fields"), dict)
    return payload if at_top else {}


def _id(value: object) -> str | None:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**19 else value
    return text if isinstance(text, str) and _ID.fullmatch(text) else None


def _key(value: object) -> str | None:
    return value if isinstance(value, str) and KEY.fullmatch(value) else None


def _id_of_comment(comment: object) -> str | None:
    link = comment.get("self") if isinstance(comment, dict) else None
    found = _ID_IN_LINK.search(link) if isinstance(link, str) else None
    return found[1] if found else None


def _event(payload: dict[str, Any], ticket_id: str | None) -> str:
    if "webhookEvent" not in payload:
        return AUTOMATION if ticket_id else "unknown"
    event = payload["webhookEvent"]
    return event if isinstance(event, str) and event in EVENTS else "unknown"
