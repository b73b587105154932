"""A real Request Tracker, shared by the tests (tests/live), with Maria at work in it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from connector.application import utc_now
from connector.trackers import request_tracker as tracker
from connector.trackers import request_tracker_api
from connector.trackers.port import Connection
from connector.trackers.request_tracker import KIND
from tests.contract.site import Holds, Hook, Said, Statuses, Value
from tests.contract.wire import Wire
from tests.live.request_tracker import MARIAS_TIME, QUEUE, Receiver, Rt

FIELDS: Mapping[Holds, str] = {
    "text": "Receipt Number",
    "date": "Date Filed",
    "datetime": "NCSC Called At",
    "number": "Promised Days",
    "choice": "Service Center",
    "flag": "Route",
}
_ALWAYS_INTERNAL = "what Request Tracker calls a comment is never seen by requestors"
OUTSIDE = "Separate Route"  # a status that is out of scope


class RequestTrackerSite:
    """Deleting tickets and other queues are root's affair. Pages are small, as each call takes its time."""

    name = "request tracker"
    kind = KIND
    fields = FIELDS
    statuses = Statuses(first="New", second="Call NCSC", third="E-mail Service Center", closed="Closed")
    page = 5
    no_moment: Holds = "choice"
    cannot: Mapping[str, str] = {
        "a_comment_is_public_where_the_source_says_so": _ALWAYS_INTERNAL,
        "a_comment_that_went_public_is_taken_back_and_told": _ALWAYS_INTERNAL,
        "a_comment_that_went_public_unseen_is_found_by_recheck": _ALWAYS_INTERNAL,
    }

    def __init__(self, rt: Rt, receiver: Receiver, wire: Wire) -> None:
        self.rt, self.receiver, self.wire = rt, receiver, wire
        self.connection = Connection(
            url=wire.url,
            user=None,
            token=lambda: rt.tokens["connector"],
            scope=f"Queue = '{QUEUE}' AND Status != '{OUTSIDE}' AND id > {rt.latest()}",
            fields=tuple(FIELDS.values()),
            time_zone=MARIAS_TIME,
            internal_comments=True,
            clock=utc_now,
        )

    def create(self, **values: Value) -> str:
        return self.rt.create(**_named(values))

    def foreign(self) -> str:
        made = self.rt.call("POST", "ticket", who="root", json={"Queue": "Housekeeping", "Subject": "Order toner"})
        return str(made.json()["id"])

    def edit(self, ticket_id: str, **values: Value) -> None:
        self.rt.fill(ticket_id, **{name: [] if value is None else value for name, value in _named(values).items()})

    def set_due(self, ticket_id: str, day: date | None) -> None:
        self.rt.put(ticket_id, Due=f"{day} 17:00:00" if day else "")

    def due(self, ticket_id: str) -> date | None:
        kept = str(self.rt.ticket(ticket_id).get("Due") or "")
        if not kept or kept.startswith("1970"):
            return None
        return datetime.fromisoformat(kept).astimezone(MARIAS_TIME).date()

    def value(self, ticket_id: str, holds: Holds) -> object:
        return self.rt.values(ticket_id, FIELDS[holds])

    def move(self, ticket_id: str, status: str) -> None:
        self.rt.put(ticket_id, Status=status)

    def delete(self, ticket_id: str) -> None:
        self.rt.put(ticket_id, "root", Status="deleted")

    def leave_scope(self, ticket_id: str) -> None:
        self.move(ticket_id, OUTSIDE)

    def comment(self, ticket_id: str, text: str) -> None:
        self.rt.comment(ticket_id, text, "text/html")

    def comments(self, ticket_id: str) -> list[Said]:
        return [Said(text, internal=True) for text in self.rt.comments(ticket_id)]

    def publish_comments(self) -> None:
        raise NotImplementedError(_ALWAYS_INTERNAL)

    def raw(self, ticket_id: str) -> object:
        return self.rt.ticket(ticket_id)

    def hook(self, ticket_id: str) -> Hook:
        self.edit(ticket_id, text="WAC2690000001")
        hook = self.receiver.hooks[-1]
        return Hook(hook.headers, hook.body, self.rt.hook_secret)

    def later(self) -> None:
        time.sleep(1.1)  # RT stamps to the second


def _named(values: Mapping[str, Value]) -> dict[str, Any]:
    return {FIELDS[holds].replace(" ", "_"): _typed(holds, value) for holds, value in values.items()}  # type: ignore[index]  # one of these


def _typed(holds: str, value: Value) -> Any:
    if holds == "flag":
        return "Separate" if value else None
    return str(value) if isinstance(value, int | float) else value


@contextmanager
def request_tracker(rt: Rt) -> Iterator[RequestTrackerSite]:
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(request_tracker_api, "PAGE", RequestTrackerSite.page)
        patch.setattr(tracker, "RIPE", timedelta(0))  # what was just changed is no news any more
        receiver = Receiver(rt.hook_port)
        stack.callback(receiver.close)
        yield RequestTrackerSite(rt, receiver, stack.enter_context(Wire(rt.url)))
