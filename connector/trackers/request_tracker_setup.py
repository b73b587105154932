"""Setting up Request Tracker 5: an administrator loads deploy/request-tracker/initialdata; this tells what is there.

RT's REST API 2 shows queues, and custom fields to whoever has the right to see each of them; it shows neither
lifecycles nor scrips nor rights. So nothing is made from here, and of what it does not show, only that is known which
the tickets tell: the statuses that they have and that RT offers, and whether it offers to comment.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from connector.trackers.port import Misconfigured, Refused, TicketGone, TrackerError
from connector.trackers.request_tracker import WRONG_TIME_ZONE
from connector.trackers.request_tracker_api import PAGE, UNSEEN_PAGES, Json, Page, Params, RequestTrackerApi
from connector.trackers.request_tracker_reading import REFS_FIELD
from connector.trackers.setup_port import (
    USABLE,
    FieldType,
    Finding,
    FoundField,
    Inventory,
    SetupConnection,
    Task,
    Wanted,
    WantedField,
)

# The lifecycle of deploy/request-tracker/inquiry-connector.pm, and its statuses.
LIFECYCLE = "uscis-inquiry"
STATUSES = (
    "New",
    "Collect Details",
    "Call NCSC",
    "Called NCSC",
    "Awaiting NCSC",
    "E-mail Service Center",
    "E-mailed Service Center",
    "Awaiting Service Center",
    "E-mail Headquarters",
    "E-mailed Headquarters",
    "Awaiting Headquarters",
    "Headquarters Overdue",
    "Separate Route",
    "Answered",
    "Closed",
)

LOAD = "Load deploy/request-tracker/initialdata, as the README.md beside it says"
_CONFIG = "inquiry-connector.pm"
_BY_HAND = "Request Tracker is set up by its administrator: its API cannot make this."

# RT's type -> ours. Everything else holds no fact: images, files, addresses, formatted text.
_READ: Mapping[str, FieldType] = {
    "Freeform": "text",
    "Text": "text",
    "Autocomplete": "text",
    "Combobox": "select",
    "Select": "select",
    "Date": "date",
    "DateTime": "datetime",
}
# What RT's page for a new custom field calls the kind that a wanted field is best made of.
_MENU: Mapping[FieldType, str] = {
    "text": "Enter one value",
    "number": "Enter one value",
    "date": "Select date",
    "datetime": "Select datetime",
    "select": "Select one value",
    "boolean": "Select one value",
}
_TICKETS_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class _Queue:
    name: str
    lifecycle: str
    fields: Mapping[str, str]  # id -> name, of its tickets
    has_refs_field: bool


@dataclass(frozen=True, slots=True)
class _Kind:
    """What RT tells of one custom field, if it shows it. `type` is None for kinds that hold no fact."""

    shown: bool
    type: FieldType | None = None
    several: bool = False  # takes more than one value
    options: tuple[str, ...] = ()


class RequestTrackerSetup:
    """The set-up side of what `scope` (TicketSQL) says of one Request Tracker. See setup_port."""

    def __init__(
        self,
        *,
        url: str,
        token: Callable[[], str],
        scope: str,
        clock: Callable[[], datetime],
        timeout: tuple[float, float] = (5, 30),
    ) -> None:
        self._scope = scope
        folded = scope.casefold()
        self._api = RequestTrackerApi(
            url=url, token=token, timeout=timeout, clock=clock, keep=lambda quoted: quoted.casefold() in folded
        )

    def close(self) -> None:
        """Give back connections."""
        self._api.close()

    def inventory(self) -> Inventory:
        """Fields of the queues that the scope names; statuses as far as they can be told."""
        queues, tickets = self._queues(), self._tickets()
        named = {field_id: name for queue in queues for field_id, name in queue.fields.items()}
        found = [(field_id, name, self._kind(field_id)) for field_id, name in named.items()]
        return Inventory(
            tuple(FoundField(f"customfield_{i}", name, _drafted(kind), kind.options) for i, name, kind in found),
            tuple(_statuses(queues, tickets)),
        )

    def plan(self, wanted: Wanted) -> Sequence[Task]:
        """Everything that is wanted is either there or to be made by hand."""
        queues = self._queues()
        statuses = {_folded(each) for each in _statuses(queues, self._tickets())}
        tasks = [_task("queue", "The queue that the scope names.", there=bool(queues), how=f"{LOAD}.")]
        for field in wanted.fields:
            there = bool(queues) and all(_find(field.name, queue.fields) for queue in queues)
            what = f'The custom field "{field.name}" for {field.fact}.'
            tasks.append(_task(f"field {field.fact}", what, there=there, how=_field_by_hand(field)))
        refs = f'The custom field "{REFS_FIELD}" of comments, by which the connector finds again what it has said.'
        there = bool(queues) and all(queue.has_refs_field for queue in queues)
        tasks.append(_task("refs field", refs, there=there, how=f"{LOAD}. Without it, every comment's text is read."))
        for status in wanted.statuses:
            how = f"Put it into the queue's lifecycle, as deploy/request-tracker/{_CONFIG} does, and restart RT."
            what = f'The status "{status}".'
            tasks.append(_task(f"status {status}", what, there=_folded(status) in statuses, how=how))
        address = wanted.webhook_url or "the connector's address, ending in /webhooks/ and the source's name"
        how = (
            f"{LOAD}: it brings the scrip. In {_CONFIG} set $InquiryConnectorURL to {address}. RT does not show scrips."
        )
        return [*tasks, Task("webhook", "The scrip that tells the connector what changed.", "by_hand", how)]

    def carry_out(self, wanted: Wanted, task: Task) -> None:  # noqa: ARG002  the port's
        """Nothing can be made from here. Raises Misconfigured."""
        raise Misconfigured(f"{_BY_HAND} {task.by_hand}".strip())

    def findings(self, wanted: Wanted) -> Sequence[Finding]:
        """See setup_port. Without an answer that lets the account in, nothing else is looked at."""
        try:
            version = self._api.get("rt", about="source").get("Version")
        except TrackerError as error:
            breaks = "Nothing works: no ticket can be read."
            return [Finding("credentials", "error", "Request Tracker does not let us in.", breaks, error.message)]
        found = [_ok("credentials", f"Request Tracker {version} lets the connector's account in.")]
        for look in (
            self._time_zone,
            self._tickets_and_rights,
            lambda: self._fields(wanted),
            lambda: self._status_findings(wanted),
        ):
            found += _going_on(look)
        what = "Request Tracker does not show whether its webhook is there."
        mend = f"{LOAD}, change a ticket, and look whether the connector has heard of it."
        return [*found, Finding("webhook", "warning", what, "Without it, changes are found by the poll.", mend)]

    # What RT tells

    def _queues(self) -> list[_Queue]:
        """The queues that the scope names; if it names none, those of the tickets in scope."""
        listed = self._api.walk("queues/all", about="source", params={"fields": "Name"}, sees_all=False)
        named = [str(each["id"]) for each in listed if _folded(str(each.get("Name"))) in _folded(self._scope)]
        ids = named or sorted({_id_of(ticket.get("Queue")) for ticket in self._tickets()})
        return [_queue(self._api.get(f"queue/{each}", about="source")) for each in ids]

    def _tickets(self) -> list[Json]:
        return self._page_of_tickets().items

    def _page_of_tickets(self) -> Page:
        """Some tickets in scope, with what RT offers to do with each."""
        fields = "Status,Queue,_hyperlinks"
        params: Params = {"query": self._scope, "fields": fields, "per_page": _TICKETS_LOOKED_AT}
        return self._api.page("tickets", about="source", params=params)

    def _kind(self, field_id: str) -> _Kind:
        try:
            told = self._api.get(f"customfield/{field_id}", about="ticket")
        except (Refused, TicketGone):
            return _Kind(shown=False)
        options = told.get("Values")
        texts = tuple(map(str, options)) if isinstance(options, list) else ()
        return _Kind(True, _READ.get(str(told.get("Type"))), str(told.get("MaxValues")) != "1", texts)

    # Findings

    def _time_zone(self) -> Iterator[Finding]:
        # A token names the account that it is of: version, id, and the secret part.
        of = re.match(r"\d+-(\d+)-", self._api.current_token())
        zone = self._api.get(f"user/{of[1]}", about="ticket").get("Timezone") if of else None
        breaks = "Dates that the connector writes would be hours off, so it refuses to write them."
        if zone in {"UTC", "GMT", "Etc/UTC"}:
            yield _ok("time zone", "The connector's account has the time zone UTC.")
        elif zone:
            yield Finding(
                "time zone", "error", f"The connector's account has the time zone {zone}.", breaks, WRONG_TIME_ZONE
            )
        else:
            what = "It cannot be seen whether the time zone of the connector's account is UTC."
            yield Finding("time zone", "warning", what, breaks, WRONG_TIME_ZONE)

    def _tickets_and_rights(self) -> Iterator[Finding]:
        page = self._page_of_tickets()
        tickets = page.items
        if page.last is None:
            what = "Request Tracker does not tell how many tickets the scope finds, as it leaves hidden ones out later."
            breaks = (
                f"Where {UNSEEN_PAGES * PAGE} tickets of the scope in a row are hidden from the connector's account, "
                "changes of later ones are told by the webhook only."
            )
            mend = (
                "Let the scope name only queues of which the account may see all tickets, or set $UseSQLForACLChecks "
                "to 1, which is RT's default."
            )
            yield Finding("hidden tickets", "warning", what, breaks, mend)
        if not tickets:
            what = "The scope finds no ticket that the connector's account can see."
            breaks = "As long as that is so, nothing is attended to, and rights and statuses cannot be checked."
            mend = (
                "If there are such tickets: try the scope in RT's own search (Advanced). Where a queue or a field is "
                "misspelt, or the account lacks SeeQueue or ShowTicket, RT finds nothing and does not say why."
            )
            yield Finding("scope", "warning", what, breaks, mend)
            return
        yield _ok("scope", "The scope finds tickets.")
        if all(_links(ticket, "comment") for ticket in tickets):
            yield _ok("permission comment", "The connector's account may comment.")
        else:
            what = "There are tickets on which the connector's account may not comment."
            mend = "Grant it CommentOnTicket on the queue."
            yield Finding("permission comment", "error", what, "Call sheets and letters are not posted.", mend)
        if any(_links(ticket, "lifecycle") for ticket in tickets):
            yield _ok("permission modify", "The connector's account may change tickets.")
        else:
            what = "Request Tracker offers the connector's account no change of status."
            mend = (
                "Grant it ModifyTicket on the queue. (The lifecycle may also name no actions; then this says nothing.)"
            )
            yield Finding("permission modify", "warning", what, "Tickets are not moved and dates not written.", mend)

    def _fields(self, wanted: Wanted) -> Iterator[Finding]:
        queues = self._queues()
        if not queues:
            what = "The scope names no queue that the connector's account can see."
            yield Finding("queue", "error", what, "Nothing can be checked further.", f"{LOAD}, or grant SeeQueue.")
        for queue in queues:
            for field in wanted.fields:
                yield self._field(field, queue, somewhere=any(_find(field.name, each.fields) for each in queues))
            if not queue.has_refs_field:
                what = f'"{queue.name}" has no custom field "{REFS_FIELD}" of comments that the account can see.'
                breaks = "The text of every comment is read once to find out what was said: slower, but right."
                yield Finding("refs field", "warning", what, breaks, f"{LOAD}.")
            else:
                yield _ok("refs field", f'"{queue.name}" keeps the refs of comments.')

    def _field(self, field: WantedField, queue: _Queue, *, somewhere: bool) -> Finding:
        finding = f"field {field.fact}"
        field_id = _find(field.name, queue.fields)
        if field_id is None:
            what = f'"{queue.name}" has no custom field "{field.name}" that the connector\'s account can see.'
            breaks = (
                "Tickets of this queue are not attended to."
                if somewhere
                else "The source stops at the first ticket: the mapping names a field that is not there."
            )
            return Finding(finding, "error", what, breaks, _field_by_hand(field))
        kind = self._kind(field_id)
        grant = "Grant the account SeeCustomField on the field itself (Admin > Custom Fields, the field, User Rights)."
        if not kind.shown:
            what = f'Of which kind "{field.name}" is cannot be seen.'
            return Finding(finding, "warning", what, "If it is no date and time, none can be written into it.", grant)
        if kind.type is None or kind.type not in USABLE[field.type]:
            what = f'"{field.name}" is of a kind that cannot hold {field.fact}.'
            return Finding(finding, "error", what, "What staff write there is not understood.", _field_by_hand(field))
        if kind.several and kind.type in {"date", "datetime"}:
            what = f'"{field.name}" takes several dates.'
            mend = f'Change its type to "{_MENU[kind.type]}" (Admin > Custom Fields).'
            return Finding(finding, "warning", what, "A ticket with two dates there gets a comment that asks.", mend)
        return _ok(finding, f'"{field.name}" can hold {field.fact}.')

    def _status_findings(self, wanted: Wanted) -> Iterator[Finding]:
        known = {_folded(each) for each in _statuses(self._queues(), self._tickets())}
        for status in wanted.statuses:
            if _folded(status) in known:
                yield _ok(f"status {status}", f'There is a status "{status}".')
                continue
            what = f'No ticket that was looked at has the status "{status}" or is offered it.'
            breaks = "If the lifecycle has no such status, tickets are not moved there, and each says so in a comment."
            mend = f"Look into the queue's lifecycle; deploy/request-tracker/{_CONFIG} shows one with all statuses."
            yield Finding(f"status {status}", "warning", what, breaks, mend)


def _queue(raw: Json) -> _Queue:
    def listed(key: str) -> list[Json]:
        found = raw.get(key)
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    return _Queue(
        name=str(raw.get("Name")),
        lifecycle=str(raw.get("Lifecycle")),
        fields={str(each.get("id")): str(each.get("name")) for each in listed("TicketCustomFields")},
        has_refs_field=any(each.get("name") == REFS_FIELD for each in listed("TicketTransactionCustomFields")),
    )


def _statuses(queues: Iterable[_Queue], tickets: Iterable[Json]) -> list[str]:
    """Those of our lifecycle where a queue has it; those that tickets have, and those that RT offers for them."""
    known = list(STATUSES) if any(queue.lifecycle == LIFECYCLE for queue in queues) else []
    for ticket in tickets:
        known += [str(ticket.get("Status")), *(str(link.get("to")) for link in _links(ticket, "lifecycle"))]
    unique: dict[str, str] = {}
    for status in known:
        unique.setdefault(_folded(status), status)
    return list(unique.values())


def _links(ticket: Json, ref: str) -> list[Json]:
    links = ticket.get("_hyperlinks")
    return (
        [each for each in links if isinstance(each, dict) and each.get("ref") == ref] if isinstance(links, list) else []
    )


def _find(name: str, fields: Mapping[str, str]) -> str | None:
    """The id of the field that the mapping means."""
    ways = ({f"customfield_{i}": i for i in fields}, {_folded(own): i for i, own in fields.items()})
    return next((way[_folded(name)] for way in ways if _folded(name) in way), None)


def _drafted(kind: _Kind) -> FieldType | None:
    # A field whose kind is not shown is taken for text: the mapping reads dates in texts, too.
    return kind.type if kind.shown else "text"


def _field_by_hand(field: WantedField) -> str:
    options = f" with the values {', '.join(field.options)}" if field.options else ""
    return (
        f'{LOAD}; or Admin > Custom Fields > Create: Name "{field.name}", Type "{_MENU[field.type]}"{options}, Applies '
        "to Tickets; then apply it to the queue, and grant SeeCustomField and ModifyCustomField on it."
    )


def _task(task: str, what: str, *, there: bool, how: str) -> Task:
    return Task(task, what, "there") if there else Task(task, what, "by_hand", how)


def _ok(finding: str, what: str) -> Finding:
    return Finding(finding, "ok", what)


def _going_on(look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What one look finds; what keeps it from looking is a finding, too."""
    found: list[Finding] = []
    try:
        found.extend(look())
    except TrackerError as error:
        what = "Something could not be looked at."
        found.append(Finding("tracker", "warning", what, "It may be in order or not.", error.message))
    return found


def _id_of(value: object) -> str:
    return str(value.get("id") if isinstance(value, dict) else value)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def make(connection: SetupConnection) -> RequestTrackerSetup:
    """The set-up side that the entry point offers (connector/kinds.py)."""
    return RequestTrackerSetup(
        url=connection.url,
        token=connection.token,
        scope=connection.scope,
        clock=connection.clock,
    )
