"""Zammad 6 and 7: what the port asks, in terms of its REST API. Facts: zammad 1 to 3.

    fetch          one search for the ticket within the scope, then its articles, and its history if that is asked for.
                   Zammad gives articles and history of one ticket a call, so there is little to be had of several
                   tickets at once (docs/decisions/0016)
    edit           one PUT: state, attributes and the internal note together, wholly or not at all; before it the draft
                   of the letter, if there is one to send, and a second look at the ticket if the first was not just now
    changed_since  searches in the order of change, each from where the last one ended

An edit whose values are all there is not sent: to Zammad even that would be an event. What Zammad says it made of an
edit is held against what was sent, as it drops unknown attributes and empties unreadable dates without a word.
"""

import contextlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from connector.inquiry.markup import find_refs
from connector.inquiry.wording import Letter
from connector.scopes.zammad import Condition, ScopeError, check_scope, parse_scope
from connector.trackers import zammad_webhooks
from connector.trackers.late import changes_only_if
from connector.trackers.port import (
    CommentWentPublic,
    Connection,
    Edit,
    Kind,
    Markup,
    Misconfigured,
    NotKept,
    NoTransition,
    OneByOne,
    Refused,
    Sighting,
    Ticket,
    TicketGone,
    TrackerError,
    Turns,
    Unavailable,
)
from connector.trackers.zammad_api import Json, ZammadApi
from connector.trackers.zammad_drafts import leave_draft, take_back
from connector.trackers.zammad_errors import Rejected
from connector.trackers.zammad_names import NameBook, Named, fold
from connector.trackers.zammad_reading import (
    PREFERENCE,
    attribute,
    day,
    due_attribute,
    kept_refs,
    label,
    read_ticket,
    ticket_of,
)
from connector.trackers.zammad_reading import moment as read_moment

__all__ = ["ZammadTracker", "check_scope", "read_ticket"]

log = structlog.get_logger(__name__)

PAGE = 100  # tickets asked for at once; Zammad gives at most 200 (facts: zammad 2.3)
_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)

# Zammad has nothing like If-Match: of two writers the last one wins (facts: zammad 2.2). So a ticket that was looked at
# longer ago than this is looked at again right before it is changed. What somebody does within this time is overruled
# without our seeing it; the ticket's history shows both moves, and whoever moves it again has their way, as a stage
# moves a ticket once. A note may come to stand on a ticket that was closed in that time, where only staff see it.
JUST_NOW = timedelta(seconds=1)
LOOK = "inquiry_connector_look"  # in Ticket.raw: its Look

NOT_PROVISIONED = (
    "This Zammad has no ticket attribute {names}, or has not been restarted since it was made. Check the names in the "
    "mapping, and restart Zammad after its database has been brought up to date."
)


@dataclass(slots=True)
class Look:
    """When a ticket was looked at, and where it stood; kept up to date by our own edits of it."""

    at: datetime | None  # the moment before Zammad was asked; None once the ticket was edited
    state_id: object


@dataclass(frozen=True, slots=True)
class Value:
    """One attribute of an edit: what is sent, and how it is seen to be there."""

    part: str  # of the edit, as NotKept names it
    key: str
    sent: str
    told: str  # how people are told of it
    is_there: Callable[[Mapping[str, Any]], bool]
    answered_as: str  # the key of the answer that shows it


class ZammadTracker(OneByOne):
    """The tickets that `scope` says (see connector.scopes.zammad), of one Zammad.

    Makes no call before it is used. Thread safe.

    token             read before every call
    fields            the mapped attributes, by their internal names
    time_zone         the office's: for a moment written into an attribute that holds a day
    internal_comments whether notes are internal: customers never see those
    timeout           seconds to connect, and to wait for an answer
    """

    markup: Markup = "html"
    atomic = True

    def __init__(
        self,
        *,
        url: str,
        token: Callable[[], str],
        scope: str,
        fields: Sequence[str],
        time_zone: ZoneInfo,
        internal_comments: bool,
        clock: Callable[[], datetime],
        timeout: tuple[float, float] = (5, 30),
        pace: Turns | None = None,
    ) -> None:
        self._scope, self._wanted, self._clock = scope, tuple(fields), clock
        self._time_zone, self._internal = time_zone, internal_comments
        admins_words = "\n".join([scope, *fields]).casefold()
        self._api = ZammadApi(
            url=url,
            token=token,
            timeout=timeout,
            clock=clock,
            keep=lambda quoted: quoted == "state" or quoted.casefold() in admins_words,
            pace=pace,
        )
        self._names = NameBook(self._api, clock)

    def close(self) -> None:
        """Give back connections."""
        self._api.close()

    # Reading

    def fetch(self, ticket_id: str, *, with_history: bool) -> Ticket | None:
        """See port."""
        _check_id(ticket_id)
        began = self._clock()
        found = self._search([{"name": "ticket.id", "operator": "is", "value": [ticket_id]}], sort_by="id")
        raw = next((each for each in found if str(each["id"]) == ticket_id), None)
        if raw is None:
            self._must_exist(ticket_id)
            return None
        self._check_attributes(raw)
        state, look = self._names.state(raw.get("state_id")), Look(began, raw.get("state_id"))
        articles = self._api.get_list(f"ticket_articles/by_ticket/{ticket_id}", about="ticket")
        return ticket_of(
            {**raw, "article_ids": [article["id"] for article in articles], LOOK: look},
            self._wanted,
            status=state.name,
            closed=state.is_closed,
            articles=articles,
            histories=self._history(ticket_id) if with_history else (),
        )

    def _must_exist(self, ticket_id: str) -> None:
        """Raises TicketGone if there is no such ticket. One of a group that the account may not see does exist."""
        with contextlib.suppress(Rejected):
            self._api.get_object(f"tickets/{ticket_id}", about="ticket")

    def find(self, key: str) -> str | None:
        """See port. People call a ticket by its number; one outside the scope is not found."""
        if not re.fullmatch(r"[0-9A-Za-z._-]{1,60}", key):
            return None
        found = self._search([{"name": "ticket.number", "operator": "is", "value": key}], sort_by="id")
        return next((str(raw["id"]) for raw in found if str(raw.get("number")) == key), None)

    def recheck(self, ticket: Ticket, refs: Collection[str]) -> None:
        """See port."""
        for article in self._api.get_list(f"ticket_articles/by_ticket/{ticket.id}", about="ticket"):
            if kept_refs(article) & set(refs):
                self._see_that_it_is_internal(ticket, article)

    def changed_since(self, moment: datetime | None) -> Iterator[Sighting]:
        """See port. A ticket that changes meanwhile comes once, and with the next poll again."""
        if moment is None:
            ids = [str(state.id) for state in self._names.open_states()]
            still_open: Condition = {"name": "ticket.state_id", "operator": "is", "value": ids}
            found = self._walk([still_open], "created_at", _BEFORE_ALL)
        else:
            found = self._walk([], "updated_at", moment)
        for raw in found:
            yield Sighting(str(raw["id"]), str(raw.get("number") or ""), read_moment(raw.get("updated_at")))

    def _walk(self, conditions: Sequence[Condition], column: str, since: datetime) -> Iterator[Json]:
        """Every ticket with `column` at or after `since`, in that order, each once.

        Each search begins at the last moment seen instead of at a number of tickets, so that one that changes, and so
        goes to the end of the list, moves no other out of sight. Further pages are for moments that fill one.
        """
        seen: set[str] = set()
        page = 1
        while True:
            after: Condition = {"name": f"ticket.{column}", "operator": "after (absolute)", "value": _stamp(since)}
            found = self._search([*conditions, after], sort_by=column, page=page)
            for raw in found:
                if str(raw["id"]) not in seen:
                    seen.add(str(raw["id"]))
                    yield raw
            if len(found) < PAGE:
                return
            last = max((at for raw in found if (at := read_moment(raw.get(column)))), default=since)
            since, page = (last, 1) if last > since else (since, page + 1)

    def _search(self, conditions: Sequence[Condition], *, sort_by: str, page: int = 1) -> list[Json]:
        """Tickets in scope. By `condition` alone Zammad asks its database: at once true, whatever an index holds."""
        scope = self._scope_conditions()
        found = self._api.ask(
            "tickets/search",
            {
                "condition": {"operator": "AND", "conditions": [*scope, *conditions]},
                "sort_by": [sort_by, "id"],
                "order_by": ["asc", "asc"],
                "page": page,
                "per_page": PAGE,
                "expand": True,
            },
        )
        groups = next(each for each in scope if each["name"] == "ticket.group_id" and each["operator"] == "is")
        if any(str(raw.get("group_id")) not in groups["value"] for raw in found):
            # To a condition it cannot read Zammad answers as if there were none (facts: zammad 2.3).
            raise Misconfigured("Zammad did not keep to the scope. Check the names of attributes in it.")
        return found

    def _scope_conditions(self) -> list[Condition]:
        try:
            return self._names.scope(parse_scope(self._scope))
        except ScopeError as error:
            raise Misconfigured(f"The scope {error}.") from None

    def _check_attributes(self, raw: Mapping[str, Any]) -> None:
        missing = [name for name in self._wanted if attribute(name) not in raw]
        if missing:
            raise _not_provisioned(missing)

    def _history(self, ticket_id: str) -> list[Json]:
        answer = self._api.get_object(f"ticket_history/{ticket_id}", about="ticket")
        entries = answer.get("history")
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise Unavailable("Zammad's answer has not the form that its documentation tells: no history.")
        return entries

    # Writing

    def edit(self, ticket: Ticket, edit: Edit) -> None:
        """See port. What is there already is not sent again. The letter is left as a draft, if that can be done.

        The draft comes first: where the comment is found, nothing is done again, and a draft that was to follow it
        would be lost with the process. One that is there already is recognised.

        A ticket that somebody has moved since it was looked at is left as it is: Refused, so that it is looked at anew.
        """
        values = _lacking(self._values(ticket, edit), ticket.raw)
        if edit.letter is not None:
            values = self._with_letter(ticket, edit, edit.letter, values)
        elif (values or edit.comment is not None) and not self._is_just_now(ticket):
            values = _lacking(values, self._as_it_is_now(ticket, edit))
        body: Json = {value.key: value.sent for value in values}
        if edit.comment is not None:
            body["article"] = self._article(edit.comment)
        if body:
            answer = self._send(ticket, edit, body)
            look = _look(ticket)
            look.at = None
            if "state" in body:
                look.state_id = answer.get("state_id")
            if edit.comment is not None:
                self._verify_comment(ticket, answer, edit.comment)
            _verify(values, answer)

    def _with_letter(self, ticket: Ticket, edit: Edit, letter: Letter, values: Sequence[Value]) -> list[Value]:
        """Leave the letter; what of the values is still to be sent. If the ticket was moved, the letter goes."""
        left = self._leave_letter(ticket, letter)
        try:
            return _lacking(values, self._as_it_is_now(ticket, edit))
        except Refused:
            if left:
                self._take_back(ticket, letter)
            raise

    def _is_just_now(self, ticket: Ticket) -> bool:
        at = _look(ticket).at
        return at is not None and abs(self._clock() - at) <= JUST_NOW

    def _as_it_is_now(self, ticket: Ticket, edit: Edit) -> Json:
        """Raises Refused if the ticket is not where it was: then nothing is sent any more without such a look before
        it, however soon it comes. To have been moved where it is to go, and open, is well, and as our own move."""
        now, look = self._api.get_object(f"tickets/{ticket.id}", about="ticket"), _look(ticket)
        state = self._names.state(now.get("state_id"))
        if edit.status is not None and fold(edit.status) == fold(state.name) and not state.is_closed:
            look.state_id = state.id
        has_left = now.get("group_id") != ticket.raw.get("group_id")
        if has_left or state.id != look.state_id:
            look.at = None
            where = "another group" if has_left else f'"{state.name}"'
            raise Refused(f"Nothing was changed: somebody has moved the ticket to {where} since it was looked at.")
        return now

    def _values(self, ticket: Ticket, edit: Edit) -> Iterator[Value]:
        if edit.status is not None and fold(edit.status) != fold(ticket.status):
            state = self._state(ticket, edit.status)
            yield _state_value(state)
            if state.is_pending:
                yield self._pending_till(ticket, edit, state)
        if edit.due_on is not None and (due := due_attribute(ticket.raw, self._wanted)):
            yield _due_value(due, edit.due_on)
        for name, at in edit.moments.items():
            if attribute(name) not in ticket.raw:
                raise _not_provisioned([name])
            yield self._moment_value(name, at)

    def _state(self, ticket: Ticket, name: str) -> Named:
        state = self._names.find("state", name)
        if state is None or not state.active or state.type == "merged":
            raise self._no_transition(ticket, name, "There is no active state of that name.")
        return state

    def _no_transition(self, ticket: Ticket, name: str, why: str) -> NoTransition:
        active = sorted(each.name for each in self._names.all("state") if each.active and each.type != "merged")
        others = [each for each in active if each != ticket.status]
        message = f'The ticket cannot be moved to "{name}". {why} States of this Zammad: {", ".join(others)}.'
        return NoTransition(message, reachable=others)

    def _pending_till(self, ticket: Ticket, edit: Edit, state: Named) -> Value:
        """A pending state needs its time (facts: zammad 2.3): the beginning of the due day, in the office."""
        due_on = edit.due_on or ticket.due_on
        if due_on is None:
            raise self._no_transition(ticket, state.name, "It is a pending state, which needs a due date.")
        at = datetime.combine(due_on, time.min, self._time_zone).astimezone(UTC)
        return Value(
            "status",
            "pending_time",
            at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "the time it is pending till",
            lambda raw: read_moment(raw.get("pending_time")) == at,
            "pending_time",
        )

    def _moment_value(self, name: str, at: datetime) -> Value:
        """Written in the office's time, which fits every kind of attribute that may hold it, unknown as it is here.

        A date-time becomes the moment, as the offset is written with it; a date becomes the office's day; a text can
        be read.
        """
        at = at.replace(microsecond=0)
        here = at.astimezone(self._time_zone)
        key, sent = attribute(name), here.isoformat()

        def is_there(raw: Mapping[str, Any]) -> bool:
            value = raw.get(key)
            return value in {sent, here.date().isoformat()} or read_moment(value) == at

        return Value(name, key, sent, f'"{label(name)}"', is_there, key)

    def _article(self, comment: str) -> Json:
        return {
            "type": "note",
            "internal": self._internal,
            "content_type": "text/html",
            "body": comment,
            "preferences": {PREFERENCE: {"refs": sorted(find_refs(comment))}},
        }

    def _send(self, ticket: Ticket, edit: Edit, body: Json) -> Json:
        """One PUT. A comment alone that it refuses is tried once more as a note by itself.

        The edit screen's rules hold for a PUT, even one of a comment alone: one attribute that must be filled in and is
        empty would keep every comment from the ticket (facts: zammad 2.3).
        """
        try:
            return self._put(ticket, edit, body)
        except Rejected as refusal:
            if set(body) != {"article"}:
                raise
            try:
                made = self._api.change(
                    "POST", "ticket_articles", {"ticket_id": int(ticket.id), **body["article"]}, about="ticket"
                )
            except Rejected:
                raise refusal from None
            return {"article_ids": [made.get("id")]}

    def _put(self, ticket: Ticket, edit: Edit, body: Json) -> Json:
        try:
            return self._api.change("PUT", f"tickets/{ticket.id}", body, about="ticket", params={"expand": "true"})
        except Rejected as rejected:
            if edit.status is not None and "'state'" in rejected.reason:
                raise self._no_transition(ticket, edit.status, f"{rejected.reason}.") from None
            what = " and ".join(["the comment" if key == "article" else f'"{label(key)}"' for key in body])
            raise rejected.told(f"the change of {what}") from None

    def _leave_letter(self, ticket: Ticket, letter: Letter) -> bool:
        """Whether a draft was left. The comment holds the letter, too: without a draft, staff copy it from there."""
        try:
            outcome = leave_draft(self._api, ticket.id, letter)
        except TrackerError as error:
            log.warning("no draft left", ticket_id=ticket.id, kind=type(error).__name__, reason=error.message)
            return isinstance(error, Unavailable) and error.outcome_unknown
        if outcome == "another's":
            log.info("no draft left", ticket_id=ticket.id, reason="there is another draft on the ticket")
        return outcome == "left"

    def _take_back(self, ticket: Ticket, letter: Letter) -> None:
        """A letter that a ticket does not want any more should not wait there to be sent."""
        try:
            take_back(self._api, ticket.id, letter)
        except TrackerError as error:
            log.warning("draft not taken back", ticket_id=ticket.id, kind=type(error).__name__, reason=error.message)

    # Comments

    def _verify_comment(self, ticket: Ticket, answer: Json, comment: str) -> None:
        """The comment must stand on the ticket, and internal if it is to be. If that cannot be told, it is in doubt."""
        try:
            article = self._find_article(ticket, answer, find_refs(comment))
        except TrackerError as error:
            message = f"A comment could not be looked at after it was made. {error.message}"
            raise Unavailable(message, outcome_unknown=True) from None
        if article is None:
            raise Unavailable("Zammad took a comment, but it does not stand on the ticket.", outcome_unknown=True)
        self._see_that_it_is_internal(ticket, article)

    def _see_that_it_is_internal(self, ticket: Ticket, article: Json) -> None:
        if self._internal and article.get("internal") is not True:
            hidden = self._hide(article)
            done = "It was made internal." if hidden else "It could not be made internal: do that by hand, now."
            raise CommentWentPublic(
                f"A comment on {ticket.key} that had to be internal could be seen by customers. {done} Look for what "
                "makes notes public (a trigger or a core workflow), then release the source.",
                removed=hidden,
            )

    def _find_article(self, ticket: Ticket, answer: Json, refs: frozenset[str]) -> Json | None:
        """The article with these refs among those that are new since the ticket was fetched."""
        ids = answer.get("article_ids")
        new = set(ids if isinstance(ids, list) else []) - set(ticket.raw.get("article_ids", []))
        for article_id in sorted(new, reverse=True):
            article = self._api.get_object(f"ticket_articles/{article_id}", about="ticket")
            if kept_refs(article) == refs:
                return article
        return None

    def _hide(self, article: Json) -> bool:
        try:
            with changes_only_if(None):  # it takes back what should not be there: that is never too late
                made = self._api.change("PUT", f"ticket_articles/{article['id']}", {"internal": True}, about="ticket")
        except TrackerError:
            return False
        return made.get("internal") is True


def _look(ticket: Ticket) -> Look:
    look = ticket.raw.get(LOOK)
    return look if isinstance(look, Look) else Look(None, ticket.raw.get("state_id"))


def _lacking(values: Iterable[Value], raw: Mapping[str, Any]) -> list[Value]:
    return [value for value in values if not value.is_there(raw)]


def _state_value(state: Named) -> Value:
    told = f'the state "{state.name}"'
    return Value("status", "state", state.name, told, lambda raw: raw.get("state_id") == state.id, "state_id")


def _due_value(key: str, due_on: date) -> Value:
    return Value("due_on", key, due_on.isoformat(), "the due date", lambda raw: day(raw.get(key)) == due_on, key)


def _verify(values: Sequence[Value], answer: Json) -> None:
    """Raises if Zammad says 200 and has not kept what was sent."""
    unknown = [value for value in values if value.answered_as not in answer]
    lost = [value for value in values if value.answered_as in answer and not value.is_there(answer)]
    said = [NOT_PROVISIONED.format(names=_listed([value.key for value in unknown]))] if unknown else []
    if lost:
        what = " and ".join(value.told for value in lost)
        said.append(f"Zammad did not keep {what}: another value came out. Is the attribute of that kind?")
    if said:
        raise NotKept(" ".join(said), dropped={value.part for value in [*unknown, *lost]})


def _not_provisioned(names: Sequence[str]) -> Misconfigured:
    return Misconfigured(NOT_PROVISIONED.format(names=_listed(names)))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _stamp(moment: datetime) -> str:
    """As Zammad writes moments, to the millisecond, never later than `moment`."""
    at = moment.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


def _check_id(ticket_id: str) -> None:
    # Ids come from webhooks and stand in URLs and conditions.
    if not re.fullmatch(r"[1-9][0-9]{0,8}", ticket_id):
        raise TicketGone("This is not the id of a Zammad ticket: ids are numbers.")


def _make(connection: Connection) -> ZammadTracker:
    return ZammadTracker(
        url=connection.url,
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
    markup=ZammadTracker.markup,
    read_ticket=lambda raw, fields, _zone: read_ticket(raw, fields),
    verify=zammad_webhooks.verify,
    read_news=zammad_webhooks.read_news,
)
