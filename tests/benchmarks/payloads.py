"""Jira webhooks as a site with some apps sends them: about 12 KB, most of it fields that say nothing."""

import hashlib
import hmac
import json
from typing import Any

SECRET = "a-secret-for-webhooks-of-benchmarks"
SITE = "https://office.example"
BYTES = 12 * 1024


def jira_payload(ticket_id: int) -> bytes:
    """An `issue_updated` event of a ticket, at least BYTES long."""
    fields: dict[str, Any] = {
        "summary": f"Case {ticket_id}",
        "statuscategorychangedate": "2026-03-02T10:15:00.000-0500",
        "issuetype": _named("issuetype", 10010, "USCIS inquiry"),
        "project": {**_named("project", 10000, "Cases"), "key": "CASE", "projectTypeKey": "service_desk"},
        "status": {**_named("status", 10003, "Awaiting NCSC"), "statusCategory": {"id": 4, "key": "indeterminate"}},
        "priority": _named("priority", 3, "Medium"),
        "assignee": _person(1),
        "reporter": _person(2),
        "creator": _person(2),
        "description": "What the caller said, word by word. " * 40,
        "labels": [],
        "duedate": None,
        "updated": "2026-03-02T10:15:00.000-0500",
    }
    payload = {
        "timestamp": 1_772_464_500_000,
        "webhookEvent": "jira:issue_updated",
        "issue_event_type_name": "issue_updated",
        "user": _person(1),
        "issue": {
            "id": str(ticket_id),
            "self": f"{SITE}/rest/api/2/{ticket_id}",
            "key": f"CASE-{ticket_id}",
            "fields": fields,
        },
        "changelog": {
            "id": "10500",
            "items": [
                {
                    "field": "NCSC Called At",
                    "fieldtype": "custom",
                    "fieldId": "customfield_10105",
                    "from": None,
                    "fromString": None,
                    "to": "2026-03-02T10:15:00-0500",
                    "toString": "2026-03-02T10:15:00-0500",
                }
            ],
        },
    }
    number = 10_000
    while len(body := json.dumps(payload, separators=(",", ":")).encode()) < BYTES:
        for _ in range(20):  # apps leave fields on every issue; most are empty
            number += 1
            fields[f"customfield_{number}"] = _person(number) if number % 7 == 0 else None
    return body


def signature(body: bytes) -> str:
    """The value of X-Hub-Signature."""
    return "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def _named(kind: str, number: int, name: str) -> dict[str, Any]:
    return {"self": f"{SITE}/rest/api/2/{kind}/{number}", "id": str(number), "name": name}


def _person(number: int) -> dict[str, Any]:
    account = f"557058:00000000-0000-0000-0000-{number:012}"
    pictures = {f"{size}x{size}": f"{SITE}/avatar/{number}/{size}.png" for size in (16, 24, 32, 48)}
    return {
        "self": f"{SITE}/rest/api/2/user?accountId={account}",
        "accountId": account,
        "avatarUrls": pictures,
        "displayName": f"Person {number}",
        "active": True,
        "timeZone": "America/New_York",
        "accountType": "atlassian",
    }
