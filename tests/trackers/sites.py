"""Jiras that the adapter's suite runs against, each with what a person would do in it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from connector.practice.clock import PracticeClock
from connector.practice.sample import CONNECTOR_TOKEN
from connector.practice.server import PracticeServer
from connector.practice.world import Issue
from connector.trackers.jira import JiraTracker
from tests.trackers.emulator import Emulator

START = datetime(2026, 4, 1, 14, 0, tzinfo=UTC)  # a Wednesday, 10:00 a.m. in New York
OFFICE = ZoneInfo("America/New_York")
FIELDS = ("Receipt Number", "Date Filed", "NCSC Called At")
SCOPE = 'project = CASE AND issuetype = "USCIS inquiry"'


def make_tracker(**settings: Any) -> JiraTracker:
    """A tracker of the sample's scope and fields, with short time-outs, but for what `settings` says."""
    usual: dict[str, Any] = {
        "scope": SCOPE,
        "fields": FIELDS,
        "time_zone": OFFICE,
        "internal_comments": True,
        "timeout": (2, 5),
    }
    return JiraTracker(**(usual | settings))


class Site(Protocol):
    """A Jira with the project CASE, and OTHER-1, a ticket out of scope."""

    def tracker(self, **more: Any) -> JiraTracker: ...
    def create(self, summary: str, receipt: str = "", filed: date | None = None) -> str: ...
    def move(self, ticket_id: str, status: str) -> None: ...
    def foreign(self) -> str: ...


class PracticeSite:
    """The practice tracker, as Cloud or as Data Center."""

    def __init__(self, server: PracticeServer, clock: PracticeClock) -> None:
        self.server, self.world, self.clock = server, server.world, clock
        self.cloud = self.world.deployment == "cloud"
        self._trackers: list[JiraTracker] = []
        self._foreign = str(self.world.add_issue("OTHER", summary="Order toner").id)

    def tracker(self, **more: Any) -> JiraTracker:
        user = self.world.connector_auth[0] if self.cloud else None
        settings = {"url": self.server.url, "user": user, "token": lambda: CONNECTOR_TOKEN, "clock": self.clock}
        made = make_tracker(**(settings | more))
        self._trackers.append(made)
        return made

    def issue(self, ticket_id: str) -> Issue:
        return self.world.issue(ticket_id)

    def create(self, summary: str, receipt: str = "", filed: date | None = None) -> str:
        values: dict[str, Any] = {"Receipt_Number": receipt or None, "Date_Filed": filed}
        return str(self.world.add_issue("CASE", summary=summary, **values).id)

    def edit_receipt(self, ticket_id: str, receipt: str) -> None:
        field = self.world.field_named("Receipt Number")
        self.world.edit(self.issue(ticket_id), {field.id: receipt}, self.world.human)

    def move(self, ticket_id: str, status: str) -> None:
        self.world.move_to(self.issue(ticket_id), status)

    def foreign(self) -> str:
        return self._foreign

    def bodies(self, ticket_id: str) -> list[str]:
        return [comment.body for comment in self.issue(ticket_id).comments]

    def value(self, ticket_id: str, field: str) -> Any:
        """What a field holds, as the practice tracker keeps it."""
        return self.issue(ticket_id).values.get(self.world.field_named(field).id)

    def calls(self) -> list[tuple[str, str]]:
        """(method, path below the API) of the calls since the last asking."""
        made = [(each.method, each.path.rpartition("/rest/api/2/")[2]) for each in self.server.requests]
        self.server.requests.clear()
        return made

    def close(self) -> None:
        for tracker in self._trackers:
            tracker.close()


class EmulatorSite:
    """jira820."""

    def __init__(self, jira: Emulator) -> None:
        self.jira = jira
        self._trackers: list[JiraTracker] = []

    def tracker(self, **more: Any) -> JiraTracker:
        settings = {"url": self.jira.url, "user": None, "token": lambda: "any", "clock": lambda: datetime.now(UTC)}
        made = make_tracker(**(settings | more))
        self._trackers.append(made)
        return made

    def create(self, summary: str, receipt: str = "", filed: date | None = None) -> str:
        day = filed and filed.isoformat()
        values: dict[str, Any] = {"customfield_10050": receipt or None, "customfield_10053": day}
        return self.jira.create(summary, **values)

    def move(self, ticket_id: str, status: str) -> None:
        self.jira.move(ticket_id, status)

    def foreign(self) -> str:
        found: Sequence[Any] = self.jira.call("GET", "search", jql="project = OTHER")["issues"]
        return str(found[0]["id"])

    def close(self) -> None:
        for tracker in self._trackers:
            tracker.close()
