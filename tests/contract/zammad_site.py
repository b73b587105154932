"""Zammads: the stand-in as 6.x and as 7.x, and a live one (tests/trackers/zammad_sites.py tells what it should be)."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import pytest

from connector.practice.clock import PracticeClock
from connector.trackers import zammad as adapter
from connector.trackers.port import Connection
from connector.trackers.setup_port import Wanted, WantedField
from connector.trackers.zammad import KIND
from tests.contract.jira_sites import OFFICE, START
from tests.contract.site import CHOICE, HOOK_SECRET, OTHER_CHOICE, Holds, Hook, Said, Statuses, Value
from tests.contract.wire import Wire
from tests.practice.receiver import Receiver
from tests.trackers.zammad_sites import NEEDED, ZammadSite, live_site, standin_site
from tests.zammad_standin import ZammadStandin

__all__ = ["NEEDED", "live", "live_people", "zammad_6", "zammad_7"]

CHOICES = (CHOICE, OTHER_CHOICE)
FIELDS: Mapping[Holds, str] = {
    "text": "receipt_number",
    "date": "filed_on",
    "datetime": "called_at",
    "number": "promised_days",
    "choice": "office",
    "flag": "protected_case",
}
KINDS = {"text": "input", "date": "date", "datetime": "datetime", "number": "integer", "flag": "boolean"}


class Zammad:
    """What people do there is done over the REST API, with an administrator's token.

    The adapter asks for small pages, so that few tickets fill several.
    """

    kind = KIND
    fields = FIELDS
    statuses = Statuses(first="new", second="open", third="awaiting NCSC", closed="closed")
    page = 5
    no_moment: Holds = "number"
    cannot: Mapping[str, str] = {}

    def __init__(self, name: str, people: ZammadSite, wire: Wire) -> None:
        self.name, self.people, self.wire = name, people, wire
        self.connection = Connection(
            url=wire.url,
            user=None,
            token=lambda: people.token,
            scope=f'group = "{people.group}"',
            fields=tuple(FIELDS.values()),
            time_zone=OFFICE,
            internal_comments=True,
            clock=people.clock,
        )

    def create(self, **values: Value) -> str:
        return self.people.create(**_json(values))

    def foreign(self) -> str:
        return self.people.create(group=self.people.other_group)

    def edit(self, ticket_id: str, **values: Value) -> None:
        self.people.edit(ticket_id, **_json(values))

    def set_due(self, ticket_id: str, day: date | None) -> None:
        self.people.edit(ticket_id, due_on=day and day.isoformat())

    def due(self, ticket_id: str) -> date | None:
        kept = self.people.ticket(ticket_id)["due_on"]
        return date.fromisoformat(kept) if kept else None

    def value(self, ticket_id: str, holds: Holds) -> object:
        return self.people.ticket(ticket_id)[FIELDS[holds]]

    def move(self, ticket_id: str, status: str) -> None:
        self.people.edit(ticket_id, state=status)

    def delete(self, ticket_id: str) -> None:
        self.people.delete(ticket_id)

    def leave_scope(self, ticket_id: str) -> None:
        self.people.edit(ticket_id, group=self.people.other_group)

    def comment(self, ticket_id: str, text: str) -> None:
        note = {"body": text, "content_type": "text/html", "type": "note", "internal": True}
        self.people.call("POST", "ticket_articles", {"ticket_id": int(ticket_id), **note})

    def comments(self, ticket_id: str) -> list[Said]:
        """Without the first article, by which the ticket was opened."""
        return [Said(each["body"], each["internal"]) for each in self.people.articles(ticket_id)[1:]]

    def raw(self, ticket_id: str) -> object:
        history = self.people.call("GET", f"ticket_history/{ticket_id}")["history"]
        articles = self.people.articles(ticket_id)
        return {**self.people.ticket(ticket_id), "articles": articles, "history": history}


def _json(values: Mapping[str, Value]) -> dict[str, Any]:
    return {FIELDS[holds]: _sent(value) for holds, value in values.items()}  # type: ignore[index]  # one of these


def _sent(value: Value) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return value.isoformat() if isinstance(value, date) else value


class StandIn(Zammad):
    """Its clock stands still."""

    def __init__(self, name: str, zammad: ZammadStandin, people: ZammadSite, wire: Wire) -> None:
        super().__init__(name, people, wire)
        self.zammad = zammad
        choices = {"options": {each: each for each in CHOICES}, "nulloption": True}
        body = {"object": "Ticket", "name": FIELDS["choice"], "display": "Office", "data_type": "select"}
        zammad.world.add_attribute({**body, "active": True, "data_option": choices})
        zammad.world.provide(due_on="date", **{FIELDS[holds]: KINDS[holds] for holds in FIELDS if holds in KINDS})
        people.call("POST", "ticket_states", {"name": self.statuses.third, "state_type_id": 2})

    def publish_comments(self) -> None:
        self.zammad.world.publish_notes = True

    def hook(self, ticket_id: str) -> Hook:
        with Receiver() as receiver:
            hook = {"name": "connector", "endpoint": receiver.url, "signature_token": HOOK_SECRET}
            number = self.people.call("POST", "webhooks", hook)["id"]
            trigger: dict[str, Any] = {"name": "connector", "activator": "action", "active": True}
            trigger |= {"execution_condition_mode": "always", "condition": {}}
            trigger |= {"perform": {"notification.webhook": {"webhook_id": number}}}
            trigger["condition"] = {"ticket.group_id": {"operator": "is", "value": [2]}}
            self.people.call("POST", "triggers", trigger)
            self.edit(ticket_id, text="WAC2690000001")
            self.zammad.hooks.run()
        headers, body = receiver.received[0]
        return Hook(headers, body)

    def later(self) -> None:
        assert isinstance(self.people.clock, PracticeClock)
        self.people.clock.advance(minutes=1)


class Live(Zammad):
    """A live one, shared by the tests, and prepared by the connector's own set-up."""

    cannot: Mapping[str, str] = {
        "a_comment_that_went_public_is_taken_back_and_told": "it has no core workflow that makes notes public",
        "a_comment_that_went_public_unseen_is_found_by_recheck": "it has no core workflow that makes notes public",
        "a_webhook_is_known_by_its_secret": "its webhooks do not reach the tests",
        "a_webhook_tells_its_ticket": "its webhooks do not reach the tests",
    }

    def publish_comments(self) -> None:
        raise NotImplementedError

    def hook(self, ticket_id: str) -> Hook:
        raise NotImplementedError

    def later(self) -> None:
        time.sleep(0.05)  # it stamps to the millisecond


@contextmanager
def stand_in(version: str) -> Iterator[StandIn]:
    clock = PracticeClock(START)
    with small_pages(), ZammadStandin(clock, version=version) as zammad, Wire(zammad.url) as wire:
        people = standin_site(zammad, clock, other="Donations")
        yield StandIn(f"zammad {version[0]}", zammad, people, wire)
        people.close()


zammad_6 = partial(stand_in, "6.5.2")
zammad_7 = partial(stand_in, "7.1.1")


@contextmanager
def live(people: ZammadSite) -> Iterator[Live]:
    with small_pages(), Wire(people.url) as wire:
        yield Live("zammad live", people, wire)


@contextmanager
def small_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter, "PAGE", Zammad.page)
        yield


WANTED = Wanted(
    fields=(
        WantedField("text", FIELDS["text"], "text", "The number on the receipt notice."),
        WantedField("date", FIELDS["date"], "date", "The date filed."),
        WantedField("datetime", FIELDS["datetime"], "datetime", "When the NCSC was called."),
        WantedField("number", FIELDS["number"], "number", "How many days were promised."),
        WantedField("choice", FIELDS["choice"], "select", "Which office.", CHOICES),
        WantedField("flag", FIELDS["flag"], "boolean", "Tick it if the case takes the separate route."),
    ),
    statuses=(Zammad.statuses.third,),
    webhook_url=None,
    webhook_secret=lambda: None,
)


def live_people() -> ZammadSite:
    """Those of the live Zammad, which gets the attributes and the state that it lacks."""
    people = live_site(WANTED)
    assert isinstance(people, ZammadSite), people
    return people
