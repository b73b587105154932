"""An office: a practice tracker with people who edit tickets, a connector beside it, and one clock for all of them."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from connector.inquiry.markup import find_refs
from connector.practice.clock import PracticeClock
from connector.practice.fields import in_history
from connector.practice.sample import CONNECTOR_TOKEN, blank_world
from connector.practice.server import PracticeServer
from connector.practice.world import Comment, Deployment, Issue
from tests.system.process import PATIENCE, SOURCE, Connector, micros, wait_for

NEW_YORK = ZoneInfo("America/New_York")
START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)  # a Monday, 10:00 a.m. in New York
WEBHOOK_SECRET = "a-secret-for-webhooks-of-tests"
PAST_DOUBT = timedelta(seconds=100)  # longer than an act may be in doubt

DETAILS: dict[str, Any] = {
    "Receipt_Number": "WAC2590123456",
    "A-Number": "A200 555 013",
    "Form_Type": "I-130",
    "Date_Filed": date(2025, 1, 15),
}
CALL: dict[str, Any] = {"NCSC_Representative": "Ms. Rivera, ID 4471", "Service_Request_Number": "SR1220326001"}

MAPPING = """\
tracker:
  kind: jira
  url: {url}
  {user}
  token: {{file: token}}
  webhook_secrets: [{{file: webhook-secret}}]
scope: project = CASE AND issuetype = "USCIS inquiry"
office: {{time_zone: America/New_York, act_at: "09:00"}}
procedure: service-center-inquiry
comments: internal
fields:
  receipt_number: Receipt Number
  alien_number: A-Number
  form_type: Form Type
  filed_on: Date Filed
  ncsc_representative: NCSC Representative
  called_at: NCSC Called At
  service_request_number: Service Request Number
  no_service_request_reason: Reason No Service Request
  promised_days: Promised Days
  service_center: Service Center
  service_center_emailed_at: Service Center Emailed At
  headquarters_emailed_at: HQ Emailed At
  answered_at: Answered At
  protected: Protected
statuses:
  collect_details: Collect Details
  call_ncsc: Call NCSC
  awaiting_ncsc: Awaiting NCSC
  email_service_center: E-mail Service Center
  awaiting_service_center: Awaiting Service Center
  email_headquarters: E-mail Headquarters
  awaiting_headquarters: Awaiting Headquarters
  headquarters_overdue: Headquarters Overdue
  protected: Separate Route
records:
  E-mailed Service Center: service_center_emailed_at
  E-mailed Headquarters: headquarters_emailed_at
max_comments_per_hour: 100000
"""


class Office:
    """Made by `office()`; the practice tracker runs, the connector does not yet."""

    def __init__(self, folder: Path, server: PracticeServer, clock: PracticeClock) -> None:
        self.server, self.world, self.clock = server, server.world, clock
        clock_file = folder / "clock"
        clock.on_move.append(lambda moment: write_clock(clock_file, moment))
        clock.set(clock.now())
        self.connector = Connector(folder, clock_file)
        user = f"user: {self.world.connector_auth[0]}" if self.world.deployment == "cloud" else ""
        self.write_mapping(MAPPING.format(url=server.url, user=user))
        (self.connector.mappings / "token").write_text(CONNECTOR_TOKEN)
        (self.connector.mappings / "webhook-secret").write_text(WEBHOOK_SECRET)
        self._launched_at = clock.now()

    def write_mapping(self, text: str) -> None:
        (self.connector.mappings / f"{SOURCE}.yaml").write_text(text)

    # The connector

    def start(self, deaths: Sequence[str] = ()) -> bool:
        """Start it, webhooks going to it. False if it died before it listened."""
        self._launched_at = self.clock.now()
        self.server.hooks.webhooks.clear()
        if not self.connector.start(deaths):
            return False
        self.server.hooks.register(f"{self.connector.url}/webhooks/{SOURCE}", WEBHOOK_SECRET)
        return True

    def restart(self) -> None:
        assert self.connector.stop() == 0
        self.start()

    def quiet(self, give_up: Callable[[], object] = lambda: False) -> bool:
        """Wait until it has attended to everything, moving the clock over backoffs and doubts. True if it has.

        `give_up` is asked all the time; once it says so, or the connector is dead, the answer is False.
        """
        deadline = time.monotonic() + PATIENCE
        while self.connector.alive and not give_up():
            assert time.monotonic() < deadline, "the connector comes to no rest"
            if not self._news_arrived():
                time.sleep(0.02)
            elif self.connector.is_held_up(self.clock.now()):
                self.clock.advance(seconds=PAST_DOUBT.total_seconds())
            elif self._is_busy():
                time.sleep(0.02)
            else:
                return True
        return False

    def settle(self) -> None:
        """quiet(), and it must come to that."""
        assert self.quiet(), "the connector died"

    def _news_arrived(self) -> bool:
        """The webhooks are delivered or given up, and there is a database."""
        with contextlib.suppress(TimeoutError, sqlite3.OperationalError):
            self.server.hooks.drain(0.01)
            return self.connector.count("select count(*) from alembic_version") > 0
        return False

    def _is_busy(self) -> bool:
        """Something is due, or this process has not polled yet."""
        polled = f"select count(*) from sources where polled_at >= {micros(self._launched_at)}"
        return self.connector.is_busy(self.clock.now()) or self.connector.count(polled) == 0

    def tracker_at_rest(self) -> None:
        """Wait until every request of a connector that is dead has been processed: its connections are at their end."""
        wait_for(
            lambda: not any("process_request_thread" in thread.name for thread in threading.enumerate()),
            "the tracker has nothing in hand",
        )

    # Its people

    def add(self, summary: str = "A case", **fields: Any) -> Issue:
        return self.world.add_issue("CASE", summary=summary, **fields)

    def add_foreign(self, summary: str = "A case", **fields: Any) -> Issue:
        """A ticket outside the scope."""
        return self.world.add_issue("OTHER", summary=summary, **fields)

    def fill(self, issue: Issue, **fields: Any) -> None:
        """Edit fields by name (`_` for a space) as a person."""
        values = {}
        for name, value in fields.items():
            about = self.world.fields.get(name) or self.world.field_named(name.replace("_", " "))
            options = {option.value: option for option in about.options}
            values[about.id] = options[value] if about.type == "select" else value
        self.world.edit(issue, values, self.world.human)

    def move(self, issue: Issue, status: str) -> None:
        self.world.move_to(issue, status)

    def go_to(self, days: float) -> None:
        """Set the clock to so many days after START; never back, so that it may stand on that day already."""
        moment, now = START + timedelta(days=days), self.clock.now()
        assert now - moment < timedelta(hours=8), "the day has passed"
        self.clock.set(max(moment, now))

    def office_day(self, days: int = 0) -> date:
        return self.clock.now().astimezone(NEW_YORK).date() + timedelta(days=days)

    # What came of it

    def comments(self, issue: Issue) -> list[Comment]:
        return [comment for comment in issue.comments if comment.author is self.world.connector]

    def titles(self, issue: Issue) -> list[str]:
        """The first line of each of the connector's comments, without the markup for bold."""
        return [comment.body.splitlines()[0].replace("*", "") for comment in self.comments(issue)]

    def refs(self, issue: Issue) -> list[str]:
        return [ref for comment in self.comments(issue) for ref in sorted(find_refs(comment.body))]

    def moves(self, issue: Issue) -> list[str]:
        """The statuses the connector moved the ticket to."""
        return self._set_by_connector(issue, "status", 1)

    def due_days(self, issue: Issue) -> list[str]:
        """The due dates that the connector set."""
        return self._set_by_connector(issue, "duedate", 0)

    def recorded(self, issue: Issue, field: str) -> list[str]:
        """What the connector wrote into that field."""
        return self._set_by_connector(issue, field, 0)

    def _set_by_connector(self, issue: Issue, field: str, part: int) -> list[str]:
        changes = [change for change in issue.history if change.author is self.world.connector]
        return [item.after[part] or "" for change in changes for item in change.items if item.field == field]

    def in_history(self, moment: datetime) -> str:
        return in_history(moment.replace(microsecond=0), self.world.zone)[0] or ""

    def writes(self) -> int:
        """How many changes the connector has made to tickets, of any kind."""
        changes = self.server.requests.matching("POST", "/comment$|/transitions$") + self.server.requests.matching(
            "PUT"
        )
        return sum(1 for each in changes if each.status is not None and each.status < 300)


@contextlib.contextmanager
def office(
    folder: Path, deployment: Deployment = "cloud", *, project_type: str = "service_desk", start: datetime = START
) -> Iterator[Office]:
    """An office whose clock runs on from `start`."""
    clock = PracticeClock()
    clock.set(start)
    with PracticeServer(blank_world(clock, deployment, project_type=project_type)) as server:
        place = Office(folder, server, clock)
        try:
            yield place
        finally:
            place.connector.close()


def write_clock(file: Path, moment: datetime) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(repr((moment - datetime.now(UTC)).total_seconds()))
    fresh.replace(file)
