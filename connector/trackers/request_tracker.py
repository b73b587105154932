"""Request Tracker 5: what the port asks, in terms of its REST API 2. Facts: request-tracker.

    fetch          one search by id within the scope, which gives the ticket or nothing; then its transactions. The
                   texts of comments only where their transaction's field does not tell their refs, once each
    fetch_many     the same searches, for several ids: a search of RT asks its database and is as true as a look at one
                   ticket. A ticket whose transactions do not come down to its creation is left to be fetched alone
    edit           one call for each part, if the ticket is still open and in scope, and another look at what came of
                   it: RT answers 200 to what it refused
    changed_since  a search, page by page in the order of ids, which changes do not disturb

A comment of RT is internal: what clients see is a reply, and the connector never replies.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from connector.inquiry.markup import find_refs
from connector.trackers import request_tracker_webhooks
from connector.trackers.port import (
    Connection,
    Edit,
    Kind,
    Markup,
    Misconfigured,
    NoTransition,
    Refused,
    Sighting,
    Ticket,
    TicketGone,
    Turns,
)
from connector.trackers.request_tracker_api import UNSEEN_PAGES, Changed, Json, Page, RequestTrackerApi
from connector.trackers.request_tracker_reading import (
    REFS_FIELD,
    CustomField,
    day,
    find_fields,
    lacking,
    moment,
    read_ticket,
    ticket_of,
)
from connector.trackers.request_tracker_transactions import RefsOfTexts, any_of, comments, of_many, of_one

__all__ = ["RequestTracker", "read_ticket"]

# A due date of RT is a moment. This hour of the office falls on the same day in every American time zone, and a ticket
# is not shown as overdue while the office still works on it.
DUE_AT = time(17, 0)

WRONG_TIME_ZONE = (
    "Request Tracker reads what the connector writes in another time zone than UTC. Set the time zone of the "
    "connector's account to UTC (Admin > Users > the account > Timezone)."
)
HIDDEN = (
    "The connector's account may comment on this ticket, but not see comments, so it cannot find again what it said. "
    "Grant it ShowTicketComments on the queue."
)
CLOSED = "Somebody closed the ticket while the connector looked at it. Nothing more is written on it."
LEFT = "The ticket is not in the source's scope any more, or was deleted or merged into another."

RIPE = timedelta(seconds=5)
_WESTERNMOST = timedelta(hours=12)  # no time zone is further behind UTC
_WANTED = "Status,Due,LastUpdated,Queue,CustomFields"
BULK = 50  # tickets asked for in one call: their ids stand in its address, which servers take up to some 8 KB
_MOVES = 3  # tries to move a ticket that others change in the same moments
_ONE_OF_A_QUEUE = 10  # tickets asked for to see one
_COMMENTED_KEPT = 1_000  # tickets of which it is remembered that they have a comment


class RequestTracker:
    """What `scope` (TicketSQL) says of one Request Tracker. Makes no call before it is used. Thread safe.

    token      an authentication token, read before every call; its account's time zone must be UTC
    fields     the mapped custom fields, by name or as customfield_7
    time_zone  the office's: for a moment written into a field that holds a day, and for due dates
    timeout    seconds to connect, and to wait for an answer. RT sends its webhook before it answers
    """

    markup: Markup = "html"
    atomic = False
    bulk = BULK

    def __init__(
        self,
        *,
        url: str,
        token: Callable[[], str],
        scope: str,
        fields: Sequence[str],
        time_zone: ZoneInfo,
        clock: Callable[[], datetime],
        timeout: tuple[float, float] = (5, 30),
        pace: Turns | None = None,
    ) -> None:
        self._scope, self._fields, self._time_zone, self._clock = scope, tuple(fields), time_zone, clock
        admins_words = "\n".join([scope, *fields]).casefold()
        self._api = RequestTrackerApi(
            url=url,
            token=token,
            timeout=timeout,
            clock=clock,
            keep=lambda quoted: quoted.casefold() in admins_words,
            pace=pace,
        )
        self._texts = RefsOfTexts(self._api)
        self._commented: set[str] = set()

    def close(self) -> None:
        """Give back connections."""
        self._api.close()

    # Reading

    def fetch(self, ticket_id: str, *, with_history: bool) -> Ticket | None:
        """See port. A ticket that does not exist, was deleted, or was merged into another is out of scope, too.

        Raises Refused for a ticket whose queue lacks a field that other queues in scope have; for a field that none of
        them has, Misconfigured.
        """
        _check_id(ticket_id)
        mine = self._alone(ticket_id)
        # Which statuses are closed ones is in RT's configuration, which only its searches tell.
        raw = self._find(f"{mine} AND Status = '__Active__'", ticket_id)
        closed = raw is None
        raw = raw or self._find(mine, ticket_id)
        if raw is None:
            return None
        seen_at = self._api.now()
        fields = self._fields_of(raw)
        rows = of_one(self._api, ticket_id, [field.id for field in fields.values()] if with_history else None)
        if self._hides_comments(ticket_id, rows):
            raise Misconfigured(HIDDEN)
        return self._read(raw, rows, closed=closed, with_history=with_history, seen_at=seen_at)

    def fetch_many(self, ticket_ids: Collection[str], *, with_history: bool) -> Mapping[str, Ticket | None]:
        """See port. What would be an error if it were fetched alone is left out, to be told there."""
        ids = sorted({each for each in ticket_ids if _is_id(each)}, key=int)[:BULK]
        if not ids:
            return {}
        active = self._find_many(ids, "Status = '__Active__'")
        others = self._find_many([each for each in ids if each not in active])
        seen_at = self._api.now()
        found = active | others
        fields = {
            each: [field.id for field in find_fields(found[each], self._fields).values()]
            for each in ids
            if each in found and not lacking(found[each], self._fields)
        }
        rows_of = of_many(self._api, fields, with_history=with_history)
        # All texts by few calls; after that they are known.
        self._texts.refs(comment for rows in rows_of.values() for comment in comments(rows))
        read = {
            each: self._read(found[each], rows, closed=each in others, with_history=with_history, seen_at=seen_at)
            for each, rows in rows_of.items()
            if not self._hides_comments(each, rows)
        }
        return read | dict.fromkeys(each for each in ids if each not in found)

    def _hides_comments(self, ticket_id: str, rows: Iterable[Json]) -> bool:
        """Whether a comment was put on the ticket that the account does not see."""
        return ticket_id in self._commented and not comments(rows)

    def _read(self, raw: Json, rows: Sequence[Json], *, closed: bool, with_history: bool, seen_at: datetime) -> Ticket:
        ticket = ticket_of(
            raw,
            self._fields,
            closed=closed,
            time_zone=self._time_zone,
            rows=rows if with_history else (),
            refs=self._texts.refs(comments(rows)),
        )
        # RT's stamps are of whole seconds: a second change in that same second would leave the stamp as it is, and the
        # poll would take it for seen. So a stamp that is still fresh, by RT's own clock, is no stamp, and the poll
        # looks once more.
        fresh = ticket.updated_at is not None and seen_at - ticket.updated_at < RIPE
        return replace(ticket, updated_at=None) if fresh else ticket

    def find(self, key: str) -> str | None:
        """See port. People call a ticket of RT by its id."""
        return key if re.fullmatch(r"[1-9][0-9]{0,18}", key) else None

    def recheck(self, ticket: Ticket, refs: Collection[str]) -> None:
        """See port. A comment of RT is never seen by requestors."""

    def changed_since(self, moment: datetime | None) -> Iterator[Sighting]:
        """See port. In the order of ids; each ticket once.

        RT reads a moment in a search in the account's time zone. Should that not be UTC, changes must not be missed:
        so it is asked for half a day more, and what is too old is left out here. Tickets that the account may not see
        leave gaps in the pages; where they fill UNSEEN_PAGES in a row and RT tells no total, the search ends there.
        """
        since = moment.astimezone(UTC).replace(microsecond=0) if moment else None
        condition = f"LastUpdated >= '{_canonical(since - _WESTERNMOST)}'" if since else "Status = '__Active__'"
        last = empty = 0
        while empty < UNSEEN_PAGES:
            query = f"({self._scope}) AND {condition} AND id > {last}"
            page = self._tickets(query, {"fields": "LastUpdated", "orderby": "id", "page": empty + 1})
            for raw in page.items:
                last, updated = int(raw["id"]), _moment_of(raw, "LastUpdated")
                if since is None or updated is None or updated >= since:
                    yield Sighting(str(last), str(last), updated)
            if page.last:
                return
            empty = 0 if page.items else empty + 1

    def _alone(self, ticket_id: str) -> str:
        """TicketSQL for this ticket, if it is in scope."""
        return f"({self._scope}) AND id = {ticket_id}"

    def _find(self, query: str, ticket_id: str) -> Json | None:
        found = self._tickets(query, {"fields": _WANTED, "per_page": 2}).items
        return next((raw for raw in found if str(raw["id"]) == ticket_id), None)

    def _find_many(self, ids: Sequence[str], condition: str = "") -> dict[str, Json]:
        """Those of the tickets that are in scope, and for which the condition holds. One page holds them all."""
        if not ids:
            return {}
        query = f"({self._scope}) AND {any_of('id', ids)}" + (f" AND {condition}" if condition else "")
        found = self._tickets(query, {"fields": _WANTED, "per_page": len(ids)}).items
        return {str(raw["id"]): raw for raw in found if str(raw["id"]) in ids}

    def _finds(self, query: str) -> bool:
        return bool(self._tickets(query, {"per_page": 1}).items)

    def _tickets(self, query: str, more: dict[str, str | int]) -> Page:
        return self._api.page("tickets", about="source", params={"query": query, **more})

    def _fields_of(self, raw: Json) -> dict[str, CustomField]:
        """The mapped fields of a ticket. What only its own queue lacks is no reason to stop the others' tickets."""
        try:
            return find_fields(raw, self._fields)
        except Misconfigured as error:
            if self._are_elsewhere(lacking(raw, self._fields), raw):
                raise Refused(error.message) from None
            raise

    def _are_elsewhere(self, names: set[str], raw: Json) -> bool:
        """Whether each of these fields is found on tickets of other queues in scope. A field is applied to a queue, so
        one ticket of each tells."""
        queues = [_queue_of(raw)]
        while names and queues[-1] not in {None, *queues[:-1]}:
            others = " AND ".join(f"Queue != {queue}" for queue in queues)
            query = f"({self._scope}) AND {others}"
            found = self._tickets(query, {"fields": "Queue,CustomFields", "per_page": _ONE_OF_A_QUEUE}).items
            if not found:
                return False
            names = names & lacking(found[0], sorted(names))
            queues.append(_queue_of(found[0]))
        return not names

    # Writing

    def edit(self, ticket: Ticket, edit: Edit) -> None:
        """See port. The parts are changed one after the other, the comment last. Raises Refused for a ticket that
        somebody closed since it was fetched, TicketGone for one that left the scope."""
        _check_id(ticket.id)
        self._check_still_there(ticket)
        if edit.status is not None:
            self._move(ticket, edit.status)
        if edit.due_on is not None:
            self._set_due(ticket, edit.due_on)
        for field, at in edit.moments.items():
            self._set_moment(ticket, field, at)
        if edit.comment is not None:
            self._comment(ticket, edit.comment)

    def _move(self, ticket: Ticket, status: str) -> None:
        """Nothing is done if the ticket stands there already, nor if somebody has moved it since it was fetched: who
        moves it elsewhere wins, and closed ones take nothing more. Raises Changed if others go on changing it."""
        if _same(ticket.status, status) or not self._put_status(ticket, status):
            return
        after = self._ticket(ticket.id)
        if _same(str(after.get("Status")), ticket.status):
            reachable = _reachable(after)
            raise NoTransition(
                f'Request Tracker did not move the ticket from "{ticket.status}" to "{status}". '
                f"Offered there: {', '.join(reachable) or 'nothing (may the account modify tickets?)'}.",
                reachable=reachable,
            )

    def _put_status(self, ticket: Ticket, status: str) -> bool:
        """Send the status, if the ticket's is still the one that was fetched; whether it was.

        What changes between this look and the PUT makes RT refuse the PUT, by the ticket's ETag.
        """
        for tries_left in reversed(range(_MOVES)):
            present, tag = self._api.get_tagged(f"ticket/{ticket.id}")
            if str(present.get("id")) != ticket.id:
                raise TicketGone(LEFT)  # merged into another one, which RT shows instead
            if not _same(str(present.get("Status")), ticket.status):
                return False
            try:
                self._put(ticket, {"Status": status}, if_match=tag)
            except Changed:
                if not tries_left:
                    raise
            else:
                break
        return True

    def _set_due(self, ticket: Ticket, due_on: date) -> None:
        """A ticket that is due on that day already, at whatever hour, is left as it is."""
        if ticket.due_on == due_on:
            return
        due = datetime.combine(due_on, DUE_AT, self._time_zone).astimezone(UTC)
        said = self._put(ticket, {"Due": _canonical(due)})
        self._compare(due, _moment_of(self._ticket(ticket.id), "Due"), "the due date", said)

    def _set_moment(self, ticket: Ticket, name: str, at: datetime) -> None:
        """A value that stands there already is not written again: RT 5.0 may erase what it is given twice."""
        field = find_fields(ticket.raw, [name])[name]
        kind = self._kind(field)
        if kind == "DateTime":
            wanted = at.astimezone(UTC).replace(microsecond=0)
            if moment(field.value) != wanted:
                said, kept = self._write(ticket, name, field, _canonical(at))
                self._compare(wanted, moment(kept), f'"{field.name}"', said)
            return
        here = at.astimezone(self._time_zone)
        if kind == "Date":
            text = here.date().isoformat()
        elif kind in {"Freeform", "Text"}:
            text = here.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds" if here.second else "minutes")
        else:
            raise Refused(f'A moment cannot be written into "{field.name}", a field of the kind "{kind}".')
        if field.value != text:
            said, kept = self._write(ticket, name, field, text)
            if kept != text and (kind != "Date" or day(kept) != here.date()):
                raise Refused(f'Request Tracker did not keep what was written into "{field.name}". {said}'.strip())

    def _kind(self, field: CustomField) -> str:
        """The field's type. It is told only to accounts that have the right to see it on the field itself, not by way
        of the queue; of another one, what RT makes of a date and time is compared afterwards anyway."""
        try:
            return str(self._api.get(f"customfield/{field.id}", about="ticket").get("Type"))
        except (Refused, TicketGone):
            return "DateTime"

    def _write(self, ticket: Ticket, name: str, field: CustomField, value: str) -> tuple[str, object]:
        """(RT's words, what the field holds now)."""
        said = self._put(ticket, {"CustomFields": {field.id: value}})
        return said, find_fields(self._ticket(ticket.id), [name])[name].value

    def _compare(self, wanted: datetime, kept: datetime | None, what: str, said: str) -> None:
        if kept == wanted:
            return
        if kept is not None and abs(kept - wanted) <= timedelta(hours=14):
            raise Misconfigured(WRONG_TIME_ZONE)
        raise Refused(f"Request Tracker did not keep {what}. {said}".strip())

    def _comment(self, ticket: Ticket, body: str) -> None:
        """The refs stand in the comment's text, and in a field of its transaction as well, where RT tells them at once.

        RT makes the comment and fills the field in two steps. If it comes to the first only, or has no such field, the
        refs are read from the text.
        """
        refs = " ".join(sorted(find_refs(body)))
        sent = {"Content": body, "ContentType": "text/html", "TxnCustomFields": {REFS_FIELD: refs}}
        self._api.change("POST", f"ticket/{ticket.id}/comment", sent)
        if len(self._commented) >= _COMMENTED_KEPT:
            self._commented.clear()
        self._commented.add(ticket.id)

    def _check_still_there(self, ticket: Ticket) -> None:
        """RT takes comments on tickets that are closed, deleted or in another queue. Between this search and the call
        after it, that can still come about."""
        mine = self._alone(ticket.id)
        if self._finds(mine if ticket.closed else f"{mine} AND Status = '__Active__'"):
            return
        if ticket.closed or not self._finds(mine):
            raise TicketGone(LEFT)
        raise Refused(CLOSED)

    def _ticket(self, ticket_id: str) -> Json:
        return self._api.get(f"ticket/{ticket_id}", about="ticket")

    def _put(self, ticket: Ticket, body: Json, *, if_match: str | None = None) -> str:
        return self._api.change("PUT", f"ticket/{ticket.id}", body, if_match=if_match)


def _queue_of(raw: Json) -> int | None:
    queue = raw.get("Queue")
    number = str(queue.get("id") if isinstance(queue, dict) else queue)
    return int(number) if re.fullmatch(r"[0-9]{1,19}", number, re.ASCII) else None


def _reachable(raw: Json) -> list[str]:
    """The statuses that RT offers to this account from where the ticket stands: the actions of its lifecycle."""
    links = raw.get("_hyperlinks")
    offered = [each for each in (links if isinstance(links, list) else []) if isinstance(each, dict)]
    return sorted({str(each.get("to")) for each in offered if each.get("ref") == "lifecycle"})


def _canonical(at: datetime) -> str:
    """The one spelling that RT neither misreads nor erases (facts: request-tracker, "DateTime CF in")."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _moment_of(raw: Json, name: str) -> datetime | None:
    return moment(raw.get(name))


def _is_id(ticket_id: str) -> bool:
    # Ids come from webhooks and stand in URLs and TicketSQL.
    return re.fullmatch(r"[0-9]{1,19}", ticket_id, re.ASCII) is not None


def _check_id(ticket_id: str) -> None:
    if not _is_id(ticket_id):
        raise TicketGone("This is not the id of a ticket: ids are numbers.")


def _same(one: str, other: str) -> bool:
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()


def _make(connection: Connection) -> RequestTracker:
    return RequestTracker(
        url=connection.url,
        token=connection.token,
        scope=connection.scope,
        fields=connection.fields,
        time_zone=connection.time_zone,
        clock=connection.clock,
        pace=connection.pace,
    )


KIND = Kind(
    make=_make,
    markup=RequestTracker.markup,
    read_ticket=read_ticket,
    verify=request_tracker_webhooks.verify,
    read_news=request_tracker_webhooks.read_news,
)
