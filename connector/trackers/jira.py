"""Jira, Cloud and Data Center: what the port asks, in terms of REST API v2. Facts: jira 2 and 3.

    fetch          one search by id within the scope, which gives the ticket or nothing
    fetch_many     up to 100 tickets; Cloud: jql/match, then issue/bulkfetch. Data Center: one search (jira_issues.py)
    post_comment   one POST; on a service desk internal, and looked at again to see that it is
    move           one POST, of the transition that leads to the wanted status; those that are open come with the ticket
    set_moment     one PUT; so is set_due
    changed_since  a search, page by page

Nothing is posted with a transition: Jira drops a comment without a word where the transition has no screen for it.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connector.trackers import jira_webhooks
from connector.trackers.http import masked
from connector.trackers.jira_api import JiraApi, Json, Params
from connector.trackers.jira_errors import InternalError, Rejected
from connector.trackers.jira_fields import FieldBook, JiraField
from connector.trackers.jira_issues import (
    BULK,
    bulk_fetch,
    find_one,
    histories,
    is_ticket,
    is_whole,
    lacks_comments,
    lacks_field,
    matches_in,
    search_many,
)
from connector.trackers.jira_reading import moment as read_moment
from connector.trackers.jira_reading import read_ticket, refs_in, ticket_of
from connector.trackers.jira_webhooks import KEY
from connector.trackers.jira_writes import WriteBook
from connector.trackers.paging import PAGE, Page, walk
from connector.trackers.port import (
    AccessRefused,
    CommentWentPublic,
    Connection,
    Edit,
    Kind,
    Markup,
    Misconfigured,
    NoTransition,
    RateLimited,
    Refused,
    Sighting,
    Stopping,
    Ticket,
    TicketGone,
    TrackerError,
    Turns,
    Unavailable,
)

__all__ = ["JiraTracker", "read_ticket"]

# What a service desk goes by (facts: jira 2, "Comments"). `visibility` is another thing: it restricts agents.
INTERNAL = "sd.public.comment"


class JiraTracker:
    """One project, or whatever else `scope` (JQL) says, of one Jira. Makes no call before it is used. Thread safe.

    user              the account's e-mail (Cloud) or name (Data Center); None for a personal access token
    token             read before every call
    fields            the mapped fields, by name or id
    time_zone         the office's: for a moment written into a field that holds a day
    internal_comments on service desk projects comments are made internal; others know no such thing, and there
                      comments are what they always are: for whoever may see the ticket
    timeout           seconds to connect, and to wait for an answer
    pace              asked before every call; None: as fast as can be
    gateway           where scoped tokens of Cloud work if they do not at `url`; None: Atlassian's, for its own sites
    """

    markup: Markup = "wiki"
    atomic = False
    bulk = BULK

    def __init__(
        self,
        *,
        url: str,
        user: str | None,
        token: Callable[[], str],
        scope: str,
        fields: Sequence[str],
        time_zone: ZoneInfo,
        internal_comments: bool,
        clock: Callable[[], datetime],
        timeout: tuple[float, float] = (5, 30),
        pace: Turns | None = None,
        gateway: str | None = None,
    ) -> None:
        self._scope, self._wanted = scope, tuple(fields)
        self._time_zone, self._internal = time_zone, internal_comments
        admins_words = "\n".join([scope, *fields]).casefold()
        self._keep = lambda quoted: quoted.casefold() in admins_words or quoted.startswith("customfield_")
        self._api = JiraApi(
            url=url,
            user=user,
            token=token,
            gateway=gateway,
            timeout=timeout,
            clock=clock,
            keep=self._keep,
            pace=pace,
        )
        self._writes = WriteBook(clock)
        self._fields = FieldBook(lambda: self._api.get("field", about="source"), clock)

    def close(self) -> None:
        """Give back connections."""
        self._api.close()

    # Reading

    def fetch(self, ticket_id: str, *, with_history: bool) -> Ticket | None:
        """See port. One call, also for a ticket out of scope."""
        if not _is_id(ticket_id):
            raise TicketGone("This is not the id of a Jira ticket: ids are numbers.")
        found, fields = self._with_fresh_fields(
            lambda fields: find_one(self._api, self._scope, ticket_id, fields, with_history=with_history)
        )
        if not found:
            return None
        (raw,) = found
        if not is_ticket(raw):
            raise Unavailable("Jira's answer is not the ticket that was asked for.")
        ticket = ticket_of(raw, fields, self._histories(ticket_id, raw) if with_history else ())
        return replace(ticket, refs=refs_in(self._all_comments(ticket_id))) if lacks_comments(raw) else ticket

    def fetch_many(self, ticket_ids: Collection[str], *, with_history: bool) -> Mapping[str, Ticket | None]:
        """See port. What Jira does not know to be in scope is left out: fetch is surer of it."""
        ids = sorted({ticket_id for ticket_id in ticket_ids if _is_id(ticket_id)}, key=int)
        inside = self._matching(ids) if ids and self._api.cloud else ids
        if not inside:
            return {}
        read = bulk_fetch if self._api.cloud else partial(search_many, scope=self._scope)
        found, fields = self._with_fresh_fields(
            lambda fields: read(self._api, inside, fields, with_history=with_history)
        )
        return {
            str(raw["id"]): ticket_of(raw, fields, histories(raw) if with_history else ())
            for raw in found
            if str(raw["id"]) in inside and is_whole(raw, with_history=with_history)
        }

    def _with_fresh_fields(
        self, read: Callable[[Mapping[str, JiraField]], list[Json]]
    ) -> tuple[list[Json], Mapping[str, JiraField]]:
        """What `read` gives for the mapped fields; read again if one is lacking because the list of fields is old."""
        _ = self._api.cloud  # which Jira it is comes before anything else
        fields = self._fields.find_all(self._wanted)
        found = read(fields)
        if any(lacks_field(raw, fields) for raw in found) and self._fields.read_again_if_stale():
            renewed = self._fields.find_all(self._wanted)
            if renewed != fields:
                return read(renewed), renewed
        return found, fields

    def find(self, key: str) -> str | None:
        """See port."""
        if not KEY.fullmatch(key):
            return None
        found = self._api.find_object(f"issue/{key}", params={"fields": "status"})
        return str(found["id"]) if found and "id" in found else None

    def _all_comments(self, ticket_id: str) -> Iterator[Json]:
        """All comments of a ticket, page by page."""

        def page(start: int) -> Page:
            params: Params = {"startAt": start, "maxResults": PAGE, "orderBy": "created"}
            answer = self._api.get_object(f"issue/{ticket_id}/comment", about="ticket", params=params)
            return Page.of(answer, "comments")

        return walk(page)

    def changed_since(self, moment: datetime | None) -> Iterator[Sighting]:
        """See port. In no promised order; a ticket that changes meanwhile may come twice.

        `myself` is asked each time: JQL speaks in the account's time zone, which may be changed; and an expired token
        fails here, where a search could pass as an anonymous visitor's and find nothing.
        """
        myself = self._api.get_object("myself", about="source")
        if moment is None:
            condition, order = "statusCategory != Done", "key ASC"
        else:
            condition = f'updated >= "{jql_minute(moment, _zone_of(myself))}"'
            order = "updated ASC, key ASC" if self._api.cloud else "key ASC"
        jql = f"({self._scope}) AND {condition} ORDER BY {order}"
        found = self._search_cloud(jql) if self._api.cloud else self._search_data_center(jql)
        for raw in found:
            updated = raw["fields"].get("updated") if isinstance(raw.get("fields"), Mapping) else None
            yield Sighting(str(raw["id"]), str(raw.get("key") or ""), read_moment(updated))

    def _matching(self, ids: Sequence[str]) -> Sequence[str]:
        """Those of the tickets that are in scope; Cloud only. Its index may lag behind."""
        answer = self._api.ask("jql/match", {"issueIds": [int(each) for each in ids], "jqls": [self._scope]})
        matched, errors = matches_in(answer)
        if errors:
            raise Misconfigured(f"Jira does not understand the scope: {masked(' '.join(errors), self._keep)}")
        return [each for each in ids if each in matched]

    def _histories(self, ticket_id: str, raw: Json) -> Iterator[Mapping[str, Any]]:
        changelog = raw.get("changelog")
        if not isinstance(changelog, dict):
            params = {"fields": "status", "expand": "changelog"}
            answer = self._api.get_object(f"issue/{ticket_id}", about="ticket", params=params)
            changelog = answer.get("changelog")
        page = Page.of(changelog if isinstance(changelog, dict) else {}, "histories")
        cut = page.total is not None and page.total > len(page.items)
        if not (cut and self._api.cloud):
            return iter(page.items)  # Data Center gives all of it

        def further(start: int) -> Page:
            params = {"startAt": start, "maxResults": PAGE}
            answer = self._api.get_object(f"issue/{ticket_id}/changelog", about="ticket", params=params)
            return Page.of(answer, "values")

        return walk(further)

    def _search_cloud(self, jql: str) -> Iterator[Json]:
        """By page tokens; a page may be short or empty and still not be the last."""
        params: dict[str, str | int] = {"jql": jql, "fields": "updated", "maxResults": PAGE}
        used: set[str] = set()
        while True:
            answer = self._api.get_object("search/jql", about="source", params=params)
            yield from Page.of(answer, "issues").items
            token = answer.get("nextPageToken")
            if answer.get("isLast") is True or not isinstance(token, str) or not token:
                return
            if token in used:
                raise Unavailable("Jira repeats a page of its search.")
            used.add(token)
            params["nextPageToken"] = token

    def _search_data_center(self, jql: str) -> Iterator[Json]:
        """By numbers of results, which shift when tickets come and go: hence an order that changes do not disturb."""

        def page(start: int) -> Page:
            params: dict[str, str | int] = {"jql": jql, "fields": "updated", "maxResults": PAGE, "startAt": start}
            return Page.of(self._api.get_object("search", about="source", params=params), "issues")

        return walk(page)

    # Writing

    def edit(self, ticket: Ticket, edit: Edit) -> None:
        """See port. A call for each part; Jira keeps no drafts of letters."""
        for name, moment in edit.moments.items():
            self.set_moment(ticket, name, moment)
        if edit.status is not None:
            self.move(ticket, edit.status)
        if edit.due_on is not None:
            self.set_due(ticket, edit.due_on)
        if edit.comment is not None:
            self.post_comment(ticket, edit.comment)

    def post_comment(self, ticket: Ticket, body: str) -> None:
        """Post a comment, internal where that is asked for and can be, and verified to be so."""
        internal = self._internal and self._on_service_desk(ticket)
        sent: Json = {"body": body}
        if internal:
            sent["properties"] = [{"key": INTERNAL, "value": {"internal": True}}]
        self._writes.note(ticket.id)
        with self._telling("the comment"):
            comment = self._api.post(f"issue/{ticket.id}/comment", sent)
        if internal:
            self._verify_internal(ticket, comment)

    def recheck(self, ticket: Ticket, refs: Collection[str]) -> None:
        """See port. Only a service desk has comments that have to be internal."""
        if self._internal and self._on_service_desk(ticket):
            for comment in self._all_comments(ticket.id):
                if refs_in([comment]) & set(refs):
                    self._verify_internal(ticket, comment)

    def move(self, ticket: Ticket, status: str) -> None:
        """Move the ticket to the status of that name; nothing is done if it stands there already."""
        if _same(ticket.status, status):
            return
        offered = _transitions_in(ticket)
        chosen = choose_transition(offered, status)
        if chosen is None:
            # What came with the ticket only ever says that a move is open: a field written since may have opened one.
            offered = self._transitions(ticket)
            chosen = choose_transition(offered, status)
        if chosen is None:
            reachable = sorted({str(_target(each).get("name")) for each in offered})
            raise NoTransition(
                f'No transition leads from "{ticket.status}" to "{status}". '
                f"Reachable: {', '.join(reachable) or 'none (may the account transition tickets?)'}.",
                reachable=reachable,
            )
        self._writes.note(ticket.id)
        try:
            with self._telling(f'the move to "{status}"'):
                self._api.change("POST", f"issue/{ticket.id}/transitions", {"transition": {"id": str(chosen["id"])}})
        except InternalError:
            if self._api.cloud or any(each.get("id") == chosen["id"] for each in self._transitions(ticket)):
                raise
            raise Refused(f'The move to "{status}" was not open any more when it was tried.') from None

    def set_moment(self, ticket: Ticket, field: str, moment: datetime) -> None:
        """Write a moment into a field; a date gets the office's day, a text its time as people read it."""
        about = self._fields.find(field)
        try:
            self._put(ticket, about.id, self._as_value(about, moment), about.name)
        except Rejected as rejected:
            if about.id not in rejected.errors:
                raise
            self._fields.read_again()
            renewed = self._fields.find(field)
            if renewed == about:
                raise
            self._put(ticket, renewed.id, self._as_value(renewed, moment), renewed.name)

    def set_due(self, ticket: Ticket, day: date) -> None:
        """Set the due date."""
        self._put(ticket, "duedate", day.isoformat(), "the due date")

    def _put(self, ticket: Ticket, field_id: str, value: str, what: str) -> None:
        """What is there already is not sent: to an office's own rules, every edit may be an event."""
        if _stands_there(ticket, field_id, value):
            return
        self._writes.note(ticket.id)
        with self._telling(what):
            self._api.change("PUT", f"issue/{ticket.id}", {"fields": {field_id: value}})

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        """Refusals inside are told as refusals of `what`, with the fields' names instead of their ids."""
        try:
            yield
        except Rejected as rejected:
            raise rejected.told(what, self._fields.label) from None

    def _transitions(self, ticket: Ticket) -> Sequence[Json]:
        """Those open to this account from where the ticket stands."""
        return Page.of(self._api.get_object(f"issue/{ticket.id}/transitions", about="ticket"), "transitions").items

    def _as_value(self, about: JiraField, moment: datetime) -> str:
        """The moment in the form that the field's kind takes (facts: jira 1.1, "REST writes")."""
        here = moment.astimezone(self._time_zone)
        if about.kind == "datetime":
            return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        if about.kind == "date":
            return here.date().isoformat()
        if about.kind == "string":
            return here.isoformat(sep=" ", timespec="seconds" if here.second else "minutes")
        raise Refused(f'A moment cannot be written into "{about.name}", a field of the kind "{about.kind}".')

    # Internal comments

    def _on_service_desk(self, ticket: Ticket) -> bool:
        project = _project(ticket.raw)
        if project is None:
            params = {"fields": "project"}
            project = _project(self._api.get_object(f"issue/{ticket.id}", about="ticket", params=params))
        # Where Jira does not tell the kind of the project, the property does no harm and the comment is verified.
        return (project or {}).get("projectTypeKey") in {None, "service_desk"}

    def _verify_internal(self, ticket: Ticket, comment: Json) -> None:
        """Without an agent's licence Jira makes the comment public and says nothing (facts: jira 2, "Comments").

        A comment that is public, or of which that cannot be told, is taken back at once: the ticket's client may see
        it. If it can neither be looked at nor taken back, its outcome is unknown, and it is looked at again (recheck).
        """
        try:
            internal = self._is_internal(comment)
        except (Unavailable, RateLimited, AccessRefused, Stopping) as error:
            removed = self._remove(ticket, comment)
            if removed and not isinstance(error, Unavailable):
                raise
            done = "It was taken back." if removed else "It is looked for before the next try."
            message = f"A comment could not be shown to be internal. {done} {error.message}"
            # Unknown even if it was taken back: so the next try waits, and does not follow upon our own webhooks.
            raise Unavailable(message, outcome_unknown=True) from None
        except TrackerError:
            internal = False
        if not internal:
            removed = self._remove(ticket, comment)
            done = "It was removed again." if removed else "It could not be removed: do that by hand, now."
            raise CommentWentPublic(
                f"A comment on {ticket.key} that had to be internal could be seen by customers. {done} Give the "
                "connector's account the service desk's agent role (and licence), then release the source.",
                removed=removed,
            )

    def _is_internal(self, comment: Json) -> bool:
        """Cloud says so in its answer (`jsdPublic`); elsewhere the property must have been kept."""
        public = comment.get("jsdPublic")
        if isinstance(public, bool):
            return not public
        if "id" not in comment:
            raise Unavailable("Jira's answer to the comment has no id.")
        kept = self._api.find_object(f"comment/{comment['id']}/properties/{INTERNAL}")
        value = (kept or {}).get("value")
        return isinstance(value, dict) and value.get("internal") is True

    def _remove(self, ticket: Ticket, comment: Json) -> bool:
        try:
            self._api.change("DELETE", f"issue/{ticket.id}/comment/{comment['id']}")
        except TicketGone:
            return True
        except (TrackerError, KeyError):
            return False
        return True


def choose_transition(offered: Sequence[Json], status: str) -> Json | None:
    """The transition that leads to the status of that name (in any case, if none is written so); None if none does.

    Of several: one without a screen, which asks for nothing; then the one with the lowest id, so that it is always
    the same.
    """
    leading = [each for each in offered if _target(each).get("name") == status]
    leading = leading or [each for each in offered if _same(str(_target(each).get("name")), status)]
    return min(leading, key=lambda each: (each.get("hasScreen") is True, _number(each["id"])), default=None)


def jql_minute(moment: datetime, zone: tzinfo) -> str:
    """`moment` as JQL writes times: the account's wall clock, to the minute; never read by Jira as a later moment.

    In the hour that comes twice in autumn the wall clock does not tell which is meant: then an earlier one is written.
    """
    at = moment
    while True:
        wall = at.astimezone(zone).replace(second=0, microsecond=0)
        if wall.replace(fold=1).astimezone(UTC) <= moment:
            return wall.strftime("%Y-%m-%d %H:%M")
        at -= timedelta(minutes=30)


def _zone_of(myself: Json) -> tzinfo:
    """The account's time zone. Where Jira does not tell: the westernmost, by which a time is never too late."""
    try:
        return ZoneInfo(str(myself["timeZone"]))
    except (KeyError, ValueError, ZoneInfoNotFoundError, OSError):
        return timezone(timedelta(hours=-12))


def _is_id(ticket_id: str) -> bool:
    # Ids come from webhooks and stand in URLs and JQL.
    return re.fullmatch(r"[0-9]{1,19}", ticket_id) is not None


def _stands_there(ticket: Ticket, field_id: str, value: str) -> bool:
    values = ticket.raw.get("fields")
    kept = values.get(field_id) if isinstance(values, Mapping) else None
    at = read_moment(value)
    return kept == value or (at is not None and read_moment(kept) == at)


def _transitions_in(ticket: Ticket) -> Sequence[Json]:
    """The transitions that came with the ticket, as far as they did."""
    listed = ticket.raw.get("transitions")
    return [each for each in listed if isinstance(each, dict) and "id" in each] if isinstance(listed, list) else []


def _project(raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
    fields = raw.get("fields")
    project = fields.get("project") if isinstance(fields, Mapping) else None
    return project if isinstance(project, Mapping) else None


def _target(transition: Json) -> Mapping[str, Any]:
    to = transition.get("to")
    return to if isinstance(to, Mapping) else {}


def _number(text: object) -> tuple[int, str]:
    return (int(str(text)), "") if str(text).isdecimal() else (0, str(text))


def _same(one: str, other: str) -> bool:
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()


def _make(connection: Connection) -> JiraTracker:
    return JiraTracker(
        url=connection.url,
        user=connection.user,
        token=connection.token,
        scope=connection.scope,
        fields=connection.fields,
        time_zone=connection.time_zone,
        internal_comments=connection.internal_comments,
        clock=connection.clock,
        pace=connection.pace,
    )


KIND = Kind(
    make=_make,
    markup=JiraTracker.markup,
    read_ticket=lambda raw, fields, _zone: read_ticket(raw, fields),
    verify=jira_webhooks.verify,
    read_news=jira_webhooks.read_news,
)
