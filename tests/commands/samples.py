"""A mapping and tickets as Jira's JSON."""

import json
from pathlib import Path
from typing import Any

# Fact -> (name, id) of its field in the practice tracker.
FIELDS = {
    "receipt_number": ("Receipt Number", "customfield_10050"),
    "alien_number": ("A-Number", "customfield_10051"),
    "form_type": ("Form Type", "customfield_10052"),
    "filed_on": ("Date Filed", "customfield_10053"),
    "ncsc_representative": ("NCSC Representative", "customfield_10054"),
    "called_at": ("NCSC Called At", "customfield_10055"),
    "service_request_number": ("Service Request Number", "customfield_10056"),
    "no_service_request_reason": ("Reason No Service Request", "customfield_10057"),
    "promised_days": ("Promised Days", "customfield_10058"),
    "service_center": ("Service Center", "customfield_10059"),
    "service_center_emailed_at": ("Service Center Emailed At", "customfield_10060"),
    "headquarters_emailed_at": ("HQ Emailed At", "customfield_10061"),
    "answered_at": ("Answered At", "customfield_10062"),
    "protected": ("Protected", "customfield_10063"),
}


def mapping_text(*, by_id: bool = False, **changes: str) -> str:
    """A mapping of all facts. `changes`: url, token, and `more`, lines to add at the end."""
    fields = "\n".join(f"  {fact}: {names[by_id]}" for fact, names in FIELDS.items())
    return f"""\
tracker:
  kind: jira
  url: {changes.get("url", "https://example.atlassian.net")}
  user: connector@office.example
  token: {changes.get("token", "{env: JIRA_TOKEN}")}
scope: {changes.get("scope", "project = CASE")}
office:
  time_zone: America/New_York
fields:
{fields}
statuses:
  collect_details: Collect Details
  email_service_center: E-mail Service Center
records:
  E-mailed Service Center: service_center_emailed_at
{changes.get("more", "")}
"""


def write_mapping(folder: Path, *, by_id: bool = False, name: str = "cases", **changes: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(mapping_text(by_id=by_id, **changes), encoding="utf-8")
    return path


def issue(status: str = "Open", *, done: bool = False, **facts: Any) -> dict[str, Any]:
    """An issue as GET /rest/api/2/issue/KEY answers it: a case ready for the call, but for what `facts` say."""
    case = {
        "receipt_number": "WAC1512350123",
        "alien_number": "A012345678",
        "form_type": "I-130",
        "filed_on": "2025-06-02",
    }
    fields: dict[str, Any] = {field_id: None for _, field_id in FIELDS.values()}
    fields |= {FIELDS[fact][1]: value for fact, value in (case | facts).items()}
    category = {"id": 3 if done else 4, "key": "done" if done else "indeterminate"}
    fields["status"] = {"name": status, "id": "1", "statusCategory": category}
    fields |= {"summary": "Pending case", "duedate": None, "updated": "2026-03-01T10:20:00.000-0500"}
    fields["comment"] = {"comments": [], "total": 0, "startAt": 0, "maxResults": 0}
    return {"id": "10001", "key": "CASE-1", "self": "https://example.invalid/rest/api/2/issue/10001", "fields": fields}


def write_issue(folder: Path, raw: Any, name: str = "ticket.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(raw), encoding="utf-8")
    return path


CALLED: dict[str, Any] = {
    "ncsc_representative": "Ms. Rivera, ID 4471",
    "called_at": "2026-03-01T10:15:00.000-0500",
    "service_request_number": "SR12203260001",
}
CENTER_EMAILED = CALLED | {"service_center_emailed_at": "2026-04-01T09:30:00.000-0400"}
HEADQUARTERS_EMAILED = CENTER_EMAILED | {"headquarters_emailed_at": "2026-04-23T11:00:00.000-0400"}
