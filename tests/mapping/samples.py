"""A mapping and tickets for the tests of this folder."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from connector.mapping.loading import Mapping, load_mapping

MAPPING = """\
tracker:
  kind: jira
  url: https://example.atlassian.net
  user: connector@example.org
  token: {env: JIRA_TOKEN}
scope: project = CASE
office:
  time_zone: America/New_York
fields:
  receipt_number: Receipt Number
  alien_number: customfield_10051
  form_type: Form Type
  filed_on: Date Filed
  ncsc_representative: NCSC Representative
  called_at: NCSC Called At
  service_request_number: Service Request Number
  no_service_request_reason: Reason No Service Request
  promised_days: Promised Days
  service_center:
    field: Service Center
    values: {West: california, "Not known": ""}
  service_center_emailed_at: Service Center Emailed At
  headquarters_emailed_at: HQ Emailed At
  answered_at: Answered At
  protected:
    field: Route
    values: {Ordinary: false, Separate: true}
records:
  Called: called_at
  Called Again: called_at
  E-mailed: service_center_emailed_at
"""


@dataclass(frozen=True)
class SampleChange:
    field: str
    to: str
    at: datetime


@dataclass(frozen=True)
class SampleTicket:
    """What a tracker hands over, as far as reading looks at it."""

    fields: dict[str, Any] = field(default_factory=dict)
    id: str = "10001"
    status: str = "Open"
    closed: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    due_on: date | None = None
    history: tuple[SampleChange, ...] = ()
    refs: frozenset[str] = frozenset()


def at(day: int, hour: int = 15, minute: int = 0) -> datetime:
    """A moment in March 2026, UTC."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


def write_mapping(folder: Path, text: str = MAPPING, name: str = "case.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def sample_mapping(folder: Path, text: str = MAPPING) -> Mapping:
    return load_mapping(write_mapping(folder, text))
