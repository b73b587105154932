"""The office of office.py on Zammad: people who edit tickets of the stand-in, a connector beside it, and one clock."""

import contextlib
import hashlib
import hmac
import html
import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from connector.inquiry.markup import find_refs
from connector.practice.clock import PracticeClock
from connector.trackers.setup_port import Wanted, WantedField
from connector.trackers.zammad_setup import ZammadSetup
from tests.system.office import MAPPING, START, WEBHOOK_SECRET, Office, write_clock
from tests.system.process import SOURCE, Connector
from tests.zammad_standin import ZammadStandin
from tests.zammad_standin.world import ADMIN_TOKEN, AGENT_TOKEN, Row, iso

GROUP, ELSEWHERE = "USCIS inquiries", "Donations"
SCOPE = f'group = "{GROUP}"'
# Our name for a field in office.py -> the internal name of the attribute, and its kind.
ATTRIBUTES = {
    "Receipt Number": ("receipt_number", "input"),
    "A-Number": ("alien_number", "input"),
    "Form Type": ("form_type", "input"),
    "Date Filed": ("filed_on", "date"),
    "NCSC Representative": ("ncsc_representative", "input"),
    "NCSC Called At": ("called_at", "datetime"),
    "Service Request Number": ("service_request_number", "input"),
    "Reason No Service Request": ("no_service_request_reason", "input"),
    "Promised Days": ("promised_days", "integer"),
    "Service Center": ("service_center", "select"),
    "Service Center Emailed At": ("service_center_emailed_at", "datetime"),
    "HQ Emailed At": ("headquarters_emailed_at", "datetime"),
    "Answered At": ("answered_at", "datetime"),
    "Protected": ("protected_case", "boolean"),
}
CLOSED = "Done"
STATES = (
    "Collect Details",
    "Call NCSC",
    "Awaiting NCSC",
    "E-mail Service Center",
    "E-mailed Service Center",
    "Awaiting Service Center",
    "E-mail Headquarters",
    "E-mailed Headquarters",
    "Awaiting Headquarters",
    "Headquarters Overdue",
    "Separate Route",
)


def mapping_for(url: str) -> str:
    """The mapping of office.py with this tracker in it."""
    text = MAPPING.format(url=url, user="").replace("kind: jira", "kind: zammad")
    text = re.sub(r"^scope: .*$", f"scope: {SCOPE}", text, flags=re.MULTILINE)
    for name, (attribute, _) in ATTRIBUTES.items():
        text = re.sub(rf": {re.escape(name)}$", f": {attribute}", text, flags=re.MULTILINE)
    return text


class ZammadOffice(Office):
    """Made by `zammad_office()`. A ticket is known by its number in the database (an int)."""

    server: Any  # the stand-in, in place of the practice tracker
    world: Any

    def __init__(self, folder: Path, server: ZammadStandin, clock: PracticeClock) -> None:
        self.server, self.world, self.clock = server, server.world, clock
        clock_file = folder / "clock"
        clock.on_move.append(lambda moment: write_clock(clock_file, moment))
        clock.set(clock.now())
        self.connector = Connector(folder, clock_file)
        self.write_mapping(mapping_for(server.url))
        (self.connector.mappings / "token").write_text(AGENT_TOKEN)
        (self.connector.mappings / "webhook-secret").write_text(WEBHOOK_SECRET)
        self._launched_at = clock.now()
        self.world.provide(**dict(ATTRIBUTES.values()), due_on="date")
        for number, name in enumerate((*STATES, CLOSED), 20):
            kind = (5, "closed") if name == CLOSED else (2, "open")
            self.world.states.append(self.world._state(number, name, *kind))
        server.hooks.start(every=0.02)

    # The connector

    def start(self, deaths: Sequence[str] = ()) -> bool:
        """Start it, webhooks going to it. False if it died before it listened."""
        self._launched_at = self.clock.now()
        if not self.connector.start(deaths):
            return False
        if self.world.webhooks:
            self.world.webhooks[0]["endpoint"] = f"{self.connector.url}/webhooks/{SOURCE}"
        else:
            self._set_up_webhook(f"{self.connector.url}/webhooks/{SOURCE}")
        return True

    def _set_up_webhook(self, url: str) -> None:
        """The webhook and the trigger that `connector provision` makes."""
        fields = tuple(WantedField(name, name, "text", "") for name, _ in ATTRIBUTES.values())
        wanted = Wanted(fields=fields, statuses=STATES, webhook_url=url, webhook_secret=lambda: WEBHOOK_SECRET)
        setup = ZammadSetup(url=self.server.url, token=lambda: ADMIN_TOKEN, scope=SCOPE, clock=self.clock)
        for task in setup.plan(wanted):
            if task.id in {"webhook", "trigger"}:
                setup.carry_out(wanted, task)
        setup.close()
        assert self.world.triggers

    def _news_arrived(self) -> bool:
        with contextlib.suppress(sqlite3.OperationalError):
            return self.server.hooks.is_idle and self.connector.count("select count(*) from alembic_version") > 0
        return False

    # Its people

    def add(self, summary: str = "A case", **fields: Any) -> Any:
        return self._create(GROUP, summary, fields)

    def add_foreign(self, summary: str = "A case", **fields: Any) -> Any:
        return self._create(ELSEWHERE, summary, fields)

    def _create(self, group: str, summary: str, fields: Row) -> int:
        with self.world.lock, self.world.request():
            body = {"title": summary, "group": group, **_values(fields)}
            row = self.world.create(self.world.admin, body, set(self.world.columns))
        return int(row["id"])

    def fill(self, issue: Any, **fields: Any) -> None:
        self.put(issue, _values(fields))

    def move(self, issue: Any, status: str) -> None:
        self.put(issue, {"state": status})

    def put(self, ticket: int, body: Row) -> None:
        """A person's PUT."""
        with self.world.lock, self.world.request():
            self.world.update(self.world.admin, self.row(ticket), body, set(self.world.columns))

    def nudge(self, ticket: int) -> None:
        """A webhook of the smallest customized payload: look at this ticket again."""
        body = json.dumps({"ticket_id": ticket}).encode()
        digest = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha1).hexdigest()
        answer = self.connector.post(f"/webhooks/{SOURCE}", body, {"X-Hub-Signature": f"sha1={digest}"})
        assert answer.status_code == 204

    def state_id(self, name: str) -> int:
        return next(int(each["id"]) for each in self.world.states if each["name"] == name)

    def row(self, ticket: int) -> Row:
        row: Row = self.world.tickets[ticket]
        return row

    # What came of it

    def comments(self, issue: Any) -> list[Any]:
        """The connector's articles."""
        mine = self.world.agent.id
        return [each for each in self.world.articles_of(issue) if each["created_by_id"] == mine]

    def texts(self, ticket: int) -> list[str]:
        """Its comments as a browser would show them."""
        return [text_of(each["body"]) for each in self.comments(ticket)]

    def titles(self, issue: Any) -> list[str]:
        return [text.splitlines()[0] for text in self.texts(issue)]

    def refs(self, issue: Any) -> list[str]:
        return [ref for each in self.comments(issue) for ref in sorted(find_refs(each["body"]))]

    def moves(self, issue: Any) -> list[str]:
        return self._set_on(issue, "state")

    def due_days(self, issue: Any) -> list[str]:
        return self._set_on(issue, "due_on")

    def recorded(self, issue: Any, field: str) -> list[str]:
        return self._set_on(issue, ATTRIBUTES[field][0])

    def _set_on(self, ticket: int, attribute: str) -> list[str]:
        mine = [each for each in self.world.history if each["created_by_id"] == self.world.agent.id]
        return [each["value_to"] for each in mine if each["o_id"] == ticket and each["attribute"] == attribute]

    def letter(self, ticket: int) -> Row | None:
        """The draft on the ticket."""
        draft = self.world.drafts.get(ticket, {})
        article: Row | None = draft.get("new_article")
        return article

    def puts(self, ticket: int | None = None) -> int:
        """How often the connector has edited the ticket, or any."""
        return int(self.server.count("PUT", rf"^tickets/{ticket or '[0-9]+'}$"))

    def writes(self) -> int:
        return self.puts() + int(self.server.count("PUT", "shared_draft$"))


@contextlib.contextmanager
def zammad_office(folder: Path, *, version: str = "6.5.2", start: datetime = START) -> Iterator[ZammadOffice]:
    """An office whose clock runs on from `start`."""
    clock = PracticeClock()
    clock.set(start)
    with ZammadStandin(clock, version=version) as server:
        place = ZammadOffice(folder, server, clock)
        try:
            yield place
        finally:
            place.connector.close()


def text_of(body: str) -> str:
    """HTML as text: a line for each line that a reader sees."""
    lines = re.sub(r"<br ?/?>\n?|</(?:p|li|ul|ol|pre|div|h\d)>\n?", "\n", body)
    return html.unescape(re.sub(r"<[^>]+>", "", lines)).strip()


def _values(fields: Row) -> Row:
    """Values by the names of office.py, as its people type them, by attributes' names."""
    return {ATTRIBUTES[name.replace("_", " ")][0]: _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return int(value)
    return value == ["Yes"] if isinstance(value, list) else value
