"""Zammads that the adapter's suite runs against: the stand-in, and a live one given ZAMMAD_URL and ZAMMAD_TOKEN.

What a person does there is done over the REST API, with an administrator's token, so that it is the same for both. A
live Zammad should be one for trying things out: the suite makes attributes (once), tickets and states in it. The
token's user must be administrator and agent; ZAMMAD_GROUP names the group for the tickets, "Users" unless set.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import requests

from connector.trackers.setup_port import Wanted, WantedField
from connector.trackers.zammad import ZammadTracker
from connector.trackers.zammad_setup import ZammadSetup

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
    ) -> None:
        self.url, self.token, self.group, self.other_group, self.clock = url, token, group, other_group, clock
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

    def call(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        answer = self._session.request(method, f"{self.url}/api/v1/{path}", json=body, params=params, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def create(self, title: str = "A case", *, group: str | None = None, **values: Any) -> str:
        """A new ticket's id."""
        body: dict[str, Any] = {"title": title, "group": group or self.group}
        body["customer_id"] = "guess:applicant@office.example"
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


def live_site() -> ZammadSite | str:
    """The live Zammad, made ready; or why there is none."""
    url, token = os.environ.get("ZAMMAD_URL", "").rstrip("/"), os.environ.get("ZAMMAD_TOKEN", "")
    if not (url and token):
        return "no live Zammad: set ZAMMAD_URL and ZAMMAD_TOKEN to run against one"
    site = ZammadSite(
        url,
        admin_token=token,
        token=token,
        group=os.environ.get("ZAMMAD_GROUP", "Users"),
        other_group=None,
        clock=lambda: datetime.now(UTC),
    )
    setup = ZammadSetup(url=url, token=lambda: token, scope=f'group = "{site.group}"', clock=site.clock)
    for task in setup.plan(WANTED):
        if task.state == "lacking" and task.id.startswith(("field", "migration")):
            setup.carry_out(WANTED, task)
    setup.close()
    return site
