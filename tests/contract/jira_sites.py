"""Jiras: the practice tracker as Cloud and as Data Center, and jira820."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import requests

from connector.practice.clock import PracticeClock
from connector.practice.fields import Field
from connector.practice.fields import Value as Kept
from connector.practice.sample import CONNECTOR_TOKEN, blank_world
from connector.practice.server import PracticeServer
from connector.practice.world import Deployment, Issue
from connector.trackers.jira import KIND
from connector.trackers.port import Connection
from tests.contract.site import CHOICE, HOOK_SECRET, OTHER_CHOICE, Holds, Hook, Said, Statuses, Value
from tests.contract.wire import Wire
from tests.contract_check import ContractCheck
from tests.practice.receiver import Receiver
from tests.trackers.emulator import CANNOT, Emulator

START = datetime(2026, 4, 1, 14, 0, tzinfo=UTC)  # a Wednesday, 10:00 a.m. in New York
OFFICE = ZoneInfo("America/New_York")
OUTSIDE = "Separate Route"  # a status that is out of scope
SCOPE = f'project = CASE AND status != "{OUTSIDE}"'
FIELDS: Mapping[Holds, str] = {
    "text": "Receipt Number",
    "date": "Date Filed",
    "datetime": "NCSC Called At",
    "number": "Promised Days",
    "choice": "Office",
    "flag": "Protected",
}
STATUSES = Statuses(first="New", second="Call NCSC", third="Awaiting NCSC", closed="Done")


class PracticeJira:
    """The practice tracker; CASE is a service desk. Its clock stands still, so that all stamps are the same."""

    kind = KIND
    fields = FIELDS
    statuses = STATUSES
    page = 5
    no_moment: Holds = "choice"
    cannot: Mapping[str, str] = {}

    def __init__(self, name: str, server: PracticeServer, wire: Wire) -> None:
        self.name, self.wire, self.server, self.world = name, wire, server, server.world
        self.world.add_field("Office", "select", options=(CHOICE, OTHER_CHOICE))
        self.world.page_limit = self.page
        clock = self.world.movable_clock
        assert clock is not None
        self.clock = clock
        self.connection = Connection(
            url=wire.url,
            user=self.world.connector_auth[0] if self.world.deployment == "cloud" else None,
            token=lambda: CONNECTOR_TOKEN,
            scope=SCOPE,
            fields=tuple(FIELDS.values()),
            time_zone=OFFICE,
            internal_comments=True,
            clock=clock,
        )

    def create(self, **values: Value) -> str:
        made = self.world.add_issue("CASE", summary="A case")
        made.values.update(self._typed(values))
        return str(made.id)

    def foreign(self) -> str:
        return str(self.world.add_issue("OTHER", summary="Order toner").id)

    def edit(self, ticket_id: str, **values: Value) -> None:
        self.world.edit(self._issue(ticket_id), self._typed(values), self.world.human)

    def set_due(self, ticket_id: str, day: date | None) -> None:
        self.world.edit(self._issue(ticket_id), {"duedate": day}, self.world.human)

    def due(self, ticket_id: str) -> date | None:
        kept = self._issue(ticket_id).values.get("duedate")
        assert kept is None or isinstance(kept, date)
        return kept

    def value(self, ticket_id: str, holds: Holds) -> object:
        return self._issue(ticket_id).values.get(self._field(holds).id)

    def move(self, ticket_id: str, status: str) -> None:
        self.world.move_to(self._issue(ticket_id), status)

    def delete(self, ticket_id: str) -> None:
        self.world.delete(self._issue(ticket_id), self.world.human)

    def leave_scope(self, ticket_id: str) -> None:
        self.move(ticket_id, OUTSIDE)

    def comment(self, ticket_id: str, text: str) -> None:
        issue = self._issue(ticket_id)
        self.world.add_comment(issue, self.world.new_comment(issue, text, self.world.human))

    def comments(self, ticket_id: str) -> list[Said]:
        return [Said(each.body, internal=not each.public) for each in self._issue(ticket_id).comments]

    def publish_comments(self) -> None:
        self.world.connector.denied.add("SERVICEDESK_AGENT")  # whoever is no agent writes publicly

    def raw(self, ticket_id: str) -> object:
        user, token = self.world.connector_auth
        key = base64.b64encode(f"{user}:{token}".encode()).decode()
        return _get(f"{self.server.url}/rest/api/2/issue/{ticket_id}", Authorization=f"Basic {key}")

    def hook(self, ticket_id: str) -> Hook:
        with Receiver() as receiver:
            self.server.hooks.register(receiver.url, HOOK_SECRET)
            self.edit(ticket_id, text="WAC2690000001")
            self.server.hooks.drain()
        headers, body = receiver.received[0]
        return Hook(headers, body)

    def later(self) -> None:
        self.clock.advance(minutes=1)

    def _issue(self, ticket_id: str) -> Issue:
        return self.world.issue(ticket_id)

    def _field(self, holds: str) -> Field:
        return self.world.field_named(FIELDS[holds])  # type: ignore[index]  # a keyword, which is one of these

    def _typed(self, values: Mapping[str, Value]) -> dict[str, Kept]:
        """By the fields' ids, as the practice tracker keeps them."""
        return {(about := self._field(holds)).id: _kept(about, value) for holds, value in values.items()}


def _kept(about: Field, value: Value) -> Kept:
    if about.type == "select":
        return next((option for option in about.options if option.value == value), None)
    if about.type == "checkbox":
        return about.options if value else None
    return float(value) if isinstance(value, int) else value


@contextmanager
def practice(deployment: Deployment) -> Iterator[PracticeJira]:
    """What is asked of it as Cloud, and what it answers, is held against Atlassian's own description."""
    check = ContractCheck()
    with ExitStack() as stack:
        world = blank_world(PracticeClock(START), deployment, project_type="service_desk")
        server = stack.enter_context(PracticeServer(world))
        if deployment == "cloud":
            server.on_exchange(check.exchange)
        yield PracticeJira(f"jira {deployment}", server, stack.enter_context(Wire(server.url)))
    check.assert_clean(least=0)


practice_cloud = partial(practice, "cloud")
practice_data_center = partial(practice, "data-center")


EMULATED = {
    "customfield_10050": (FIELDS["text"], "string"),
    "customfield_10053": (FIELDS["date"], "date"),
    "customfield_10055": (FIELDS["datetime"], "datetime"),
    "customfield_10058": (FIELDS["number"], "number"),
    "customfield_10059": (FIELDS["choice"], "option"),
    "customfield_10063": (FIELDS["flag"], "array"),
}
EMULATED_STATUSES = (STATUSES.first, STATUSES.second, STATUSES.third, OUTSIDE, STATUSES.closed)


class Jira820:
    """The emulator, a Data Center, shared by the tests."""

    name = "jira820"
    kind = KIND
    fields = FIELDS
    statuses = STATUSES
    page = 100
    no_moment: Holds = "choice"
    cannot: Mapping[str, str] = {
        "a_comment_is_internal": CANNOT["comment properties"],
        "a_comment_is_public_where_the_source_says_so": CANNOT["comment properties"],
        "a_comment_that_went_public_is_taken_back_and_told": CANNOT["comment properties"],
        "a_comment_that_went_public_unseen_is_found_by_recheck": CANNOT["comment properties"],
        "the_history_of_the_due_date": CANNOT["history of fields"],
        "the_history_of_fields": CANNOT["history of fields"],
        "tickets_changed_since_a_moment": CANNOT["minutes in jql"],
        "many_are_fetched_as_each_alone_is": CANNOT["comments in a search"],
        "a_ticket_fetched_among_many_can_be_edited": CANNOT["comments in a search"],
        "those_out_of_scope_and_those_gone_are_not_given_among_many": CANNOT["comments in a search"],
        "a_wrong_token_is_refused": CANNOT["login"],
        "a_webhook_is_known_by_its_secret": CANNOT["webhooks"],
        "a_webhook_tells_its_ticket": CANNOT["webhooks"],
    }

    def __init__(self, jira: Emulator, wire: Wire) -> None:
        self.jira, self.wire = jira, wire
        self._ids = {name: field_id for field_id, (name, _) in EMULATED.items()}
        self.connection = Connection(
            url=wire.url,
            user=None,
            token=lambda: "a token",
            scope=SCOPE,
            fields=tuple(FIELDS.values()),
            time_zone=OFFICE,
            internal_comments=True,
            clock=lambda: datetime.now(UTC),
        )

    def create(self, **values: Value) -> str:
        return self.jira.create("A case", **self._json(values))

    def foreign(self) -> str:
        return str(self.jira.call("GET", "search", jql="project = OTHER")["issues"][0]["id"])

    def edit(self, ticket_id: str, **values: Value) -> None:
        self.jira.edit(ticket_id, **self._json(values))

    def set_due(self, ticket_id: str, day: date | None) -> None:
        self.jira.edit(ticket_id, duedate=day and day.isoformat())

    def due(self, ticket_id: str) -> date | None:
        kept = self.jira.issue(ticket_id)["fields"]["duedate"]
        return date.fromisoformat(kept) if kept else None

    def value(self, ticket_id: str, holds: Holds) -> object:
        return self.jira.issue(ticket_id)["fields"][self._ids[FIELDS[holds]]]

    def move(self, ticket_id: str, status: str) -> None:
        self.jira.move(ticket_id, status)

    def delete(self, ticket_id: str) -> None:
        self.jira.call("DELETE", f"issue/{ticket_id}")

    def leave_scope(self, ticket_id: str) -> None:
        self.move(ticket_id, OUTSIDE)

    def comment(self, ticket_id: str, text: str) -> None:
        self.jira.call("POST", f"issue/{ticket_id}/comment", {"body": text})

    def comments(self, ticket_id: str) -> list[Said]:
        return [Said(text, internal=False) for text in self.jira.comments(ticket_id)]

    def publish_comments(self) -> None:
        raise NotImplementedError(CANNOT["comment properties"])

    def raw(self, ticket_id: str) -> object:
        names = {field_id: name for name, field_id in self._ids.items()}
        return {
            **_get(f"{self.jira.url}/rest/api/2/issue/{ticket_id}"),
            "names": names,
        }  # it does not know expand=names

    def hook(self, ticket_id: str) -> Hook:
        raise NotImplementedError(self.cannot["a_webhook_tells_its_ticket"])

    def later(self) -> None:
        """Its time runs on by itself, and it stamps to the second."""

    def _json(self, values: Mapping[str, Value]) -> dict[str, Any]:
        return {
            self._ids[FIELDS[holds]]: _sent(holds, value)  # type: ignore[index]  # a keyword, which is one of these
            for holds, value in values.items()
        }


def _sent(holds: str, value: Value) -> Any:
    """As Jira's REST API takes it."""
    if value is None:
        return None
    if holds == "choice":
        return {"value": value}
    if holds == "flag":
        return [{"value": "Yes"}] if value else None
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return value.isoformat() if isinstance(value, date) else value


@contextmanager
def jira820(jira: Emulator) -> Iterator[Jira820]:
    with Wire(jira.url) as wire:
        yield Jira820(jira, wire)


def _get(url: str, **headers: str) -> Any:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(url, headers=headers, params={"expand": "names,changelog"}, timeout=10)
        answer.raise_for_status()
        return answer.json()
