"""Zammads that the adapter's suite runs against: the stand-in, and a live one given ZAMMAD_URL and ZAMMAD_TOKEN.

What a person does there is done over the REST API, with an administrator's token, so that it is the same for both. A
live Zammad should be one for trying things out: the suite makes two groups, attributes and states in it (once), and
tickets, which it deletes. ZAMMAD_TOKEN's user must be administrator and agent, and the token must have the permissions
that set-up takes, admin.group and admin.user. What may be set besides, in the environment:

    ZAMMAD_ADMIN_TOKEN                  people and set-up take this one; then ZAMMAD_TOKEN may be a mere agent's
    ZAMMAD_GROUP, ZAMMAD_OTHER_GROUP    groups for the cases and for what is none, to be used instead of those made
    ZAMMAD_CUSTOMER                     the e-mail address of whose tickets they are
"""

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import requests

from connector.trackers.setup_port import Wanted, WantedField
from connector.trackers.zammad import ZammadTracker
from connector.trackers.zammad_setup import ZammadSetup
from tests.zammad_standin import ZammadStandin
from tests.zammad_standin.world import ADMIN_TOKEN, AGENT_TOKEN

NEEDED = ("ZAMMAD_URL", "ZAMMAD_TOKEN")  # for a live one, in the environment
OFFICE = ZoneInfo("America/New_York")
FIELDS = ("receipt_number", "filed_on", "called_at", "protected_case")
WANTED = Wanted(
    fields=(
        WantedField("receipt_number", "receipt_number", "text", "The number on the receipt notice."),
        WantedField("filed_on", "filed_on", "date", "The date filed."),
        WantedField("called_at", "called_at", "datetime", "When the NCSC was called."),
        WantedField("protected", "protected_case", "boolean", "Tick it if the case takes the separate route."),
    ),
    statuses=(),
    webhook_url=None,
    webhook_secret=lambda: None,
)


class ZammadSite:
    """One Zammad with a group for cases and another one."""

    def __init__(
        self,
        url: str,
        *,
        admin_token: str,
        token: str,
        group: str,
        other_group: str | None,
        clock: Callable[[], datetime],
        customer: str = "applicant@office.example",
    ) -> None:
        self.url, self.token, self.group, self.other_group, self.clock = url, token, group, other_group, clock
        self._customer = customer
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Token token={admin_token}"
        self._trackers: list[ZammadTracker] = []
        self._made: list[str] = []

    def close(self) -> None:
        for ticket_id in self._made:
            self._session.delete(f"{self.url}/api/v1/tickets/{ticket_id}", timeout=10)
        for tracker in self._trackers:
            tracker.close()
        self._session.close()

    def tracker(self, **more: Any) -> ZammadTracker:
        settings: dict[str, Any] = {
            "url": self.url,
            "token": lambda: self.token,
            "scope": f'group = "{self.group}"',
            "fields": FIELDS,
            "time_zone": OFFICE,
            "internal_comments": True,
            "clock": self.clock,
            "timeout": (2, 10),
        }
        made = ZammadTracker(**(settings | more))
        self._trackers.append(made)
        return made

    def call(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, **params: str
    ) -> Any:
        url = f"{self.url}/api/v1/{path}"
        answer = self._session.request(method, url, json=body, params=params, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def create(self, title: str = "A case", *, group: str | None = None, **values: Any) -> str:
        """A new ticket's id."""
        body: dict[str, Any] = {"title": title, "group": group or self.group}
        body["customer_id"] = f"guess:{self._customer}"  # found or made by Zammad
        body["article"] = {"subject": title, "body": "Case opened.", "type": "note", "internal": True}
        ticket_id = str(self.call("POST", "tickets", body | values)["id"])
        self._made.append(ticket_id)
        return ticket_id

    def edit(self, ticket_id: str, **values: Any) -> None:
        self.call("PUT", f"tickets/{ticket_id}", values)

    def ticket(self, ticket_id: str) -> Any:
        return self.call("GET", f"tickets/{ticket_id}", expand="true")

    def articles(self, ticket_id: str) -> list[Any]:
        return list(self.call("GET", f"ticket_articles/by_ticket/{ticket_id}"))

    def draft(self, ticket_id: str) -> Any:
        answer = self.call("GET", f"tickets/{ticket_id}/shared_draft")
        number = answer["shared_draft_id"]
        return None if number is None else answer["assets"]["TicketSharedDraftZoom"][str(number)]["new_article"]

    def put_draft(self, ticket_id: str, **article: str) -> None:
        body = {"form_id": "367646073", "new_article": article, "ticket_attributes": {}}
        self.call("PUT", f"tickets/{ticket_id}/shared_draft", body)

    def delete(self, ticket_id: str) -> None:
        self.call("DELETE", f"tickets/{ticket_id}")
        self._made.remove(ticket_id)


def standin_site(
    zammad: ZammadStandin, clock: Callable[[], datetime], *, group: str = "USCIS inquiries", other: str | None = None
) -> ZammadSite:
    """The stand-in as its people use it."""
    return ZammadSite(
        zammad.url, admin_token=ADMIN_TOKEN, token=AGENT_TOKEN, group=group, other_group=other, clock=clock
    )


def live_site(wanted: Wanted = WANTED) -> ZammadSite | str:
    """The live Zammad, made ready with what is wanted; or why there is none."""
    if any(not os.environ.get(name) for name in NEEDED):
        return f"no live Zammad: set {' and '.join(NEEDED)} to run against one"
    url, token = os.environ["ZAMMAD_URL"].rstrip("/"), os.environ["ZAMMAD_TOKEN"]
    admin_token = os.environ.get("ZAMMAD_ADMIN_TOKEN") or token
    site = ZammadSite(
        url,
        admin_token=admin_token,
        token=token,
        group=os.environ.get("ZAMMAD_GROUP") or "Inquiry connector tests",
        other_group=os.environ.get("ZAMMAD_OTHER_GROUP") or "Inquiry connector tests, elsewhere",
        clock=lambda: datetime.now(UTC),
        customer=os.environ.get("ZAMMAD_CUSTOMER") or "applicant@office.example",
    )
    _open_groups(site, dict.fromkeys((admin_token, token)))
    setup = ZammadSetup(url=url, token=lambda: admin_token, scope=f'group = "{site.group}"', clock=site.clock)
    for task in setup.plan(wanted):
        if task.state == "lacking":
            setup.carry_out(wanted, task)
    setup.close()
    return site


def _open_groups(site: ZammadSite, tokens: Iterable[str]) -> None:
    """The groups are there, and the users of these tokens have full access to them."""
    known = {group["name"]: group for group in site.call("GET", "groups")}
    numbers = []
    for name in (site.group, site.other_group):
        group = known.get(name) or site.call("POST", "groups", {"name": name, "active": True})
        numbers.append(str(group["id"]))
    for token in tokens:
        me = site.call("GET", "users/me", headers={"Authorization": f"Token token={token}"}, expand="true")
        rights = me.get("group_ids") or {}
        lacking = {number: ["full"] for number in numbers if "full" not in rights.get(number, [])}
        if lacking:
            site.call("PUT", f"users/{me['id']}", {"group_ids": rights | lacking})
