"""What the stand-in holds: accounts, groups, states, attributes, tickets, articles, drafts, triggers, jobs."""

import random
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from tests.zammad_standin.conditions import InvalidCondition, Subject, parse
from tests.zammad_standin.sanitizer import sanitized

Row = dict[str, Any]

ADMIN_TOKEN = "an-administrators-token"
AGENT_TOKEN = "the-connectors-token"
ADMIN_PERMISSIONS = frozenset(
    {
        "admin.object",
        "admin.webhook",
        "admin.trigger",
        "admin.ticket_state",
        "admin.group",
        "admin.user",
        "ticket.agent",
    }
)
MAX_BODY = 1_500_000
CORE_COLUMNS: Mapping[str, str] = {
    "id": "integer",
    "number": "core",
    "title": "string",
    "group_id": "ref",
    "state_id": "ref",
    "priority_id": "ref",
    "owner_id": "ref",
    "customer_id": "ref",
    "pending_time": "datetime",
    "preferences": "core",
    "created_at": "core",
    "updated_at": "core",
    "created_by_id": "core",
    "updated_by_id": "core",
    "close_at": "core",
    "article_count": "core",
}
_READ_ONLY = {"id", "number", "created_at", "updated_at", "created_by_id", "updated_by_id", "article_count", "close_at"}
_COLUMN_OF = {
    "input": "string",
    "textarea": "string",
    "select": "string",
    "date": "date",
    "datetime": "datetime",
    "integer": "integer",
    "boolean": "boolean",
}
_SILENT = {"updated_at", "article_count"}  # changes of these alone are no event


class ApiError(Exception):
    """An answer with an error. `masked`: only administrators are told the reason."""

    def __init__(self, status: int, error: str, *, masked: bool = False) -> None:
        super().__init__(error)
        self.status, self.error, self.masked = status, error, masked


@dataclass
class User:
    id: int
    login: str
    token: str | None = None
    permissions: frozenset[str] = frozenset({"ticket.agent"})
    groups: dict[int, list[str]] = field(default_factory=dict)
    active: bool = True
    expired: bool = False

    @property
    def is_admin(self) -> bool:
        return any(each.startswith("admin") for each in self.permissions)

    def may(self, group_id: int, right: str) -> bool:
        return bool({"full", right} & set(self.groups.get(group_id, [])))


@dataclass
class Job:
    """One webhook to be sent. Rendered when it is sent; the same delivery id at every try."""

    trigger: Row
    ticket_id: int
    article_id: int | None
    due_at: datetime
    delivery: str = field(default_factory=lambda: str(uuid.uuid4()))
    tries: int = 0


@dataclass
class Event:
    """What one request did to one ticket: Zammad makes one event of it."""

    ticket_id: int
    action: str
    changes: set[str] = field(default_factory=set)
    article_id: int | None = None


class World:
    """Everything behind the API. Thread safe by `lock`, which the server holds for each request."""

    def __init__(self, clock: Callable[[], datetime], *, version: str = "6.5.2", workers: int = 1) -> None:
        self.clock, self.version = clock, version
        self.lock = threading.RLock()
        self.maintenance = False
        self.auto_restart = True
        self.allow_group_list = True  # agents may list groups since 6.5
        self.restrict: dict[str, set[Any]] = {}  # core workflow: attribute -> values allowed
        self.publish_notes = False  # a core workflow or trigger of the office that makes notes public
        self.groups = [self._named(1, "Users"), self._named(2, "USCIS inquiries"), self._named(3, "Donations")]
        self.priorities = [self._named(1, "1 low"), self._named(2, "2 normal"), self._named(3, "3 high")]
        self.states = [
            self._state(1, "new", 1, "new"),
            self._state(2, "open", 2, "open"),
            self._state(3, "pending reminder", 3, "pending reminder"),
            self._state(4, "closed", 5, "closed"),
            self._state(5, "merged", 6, "merged"),
            self._state(6, "pending close", 4, "pending action"),
        ]
        full = {1: ["full"], 2: ["full"], 3: ["full"]}
        self.admin = User(3, "chris@office.example", ADMIN_TOKEN, ADMIN_PERMISSIONS, full)
        self.agent = User(4, "connector@office.example", AGENT_TOKEN, groups={2: ["full"]})
        self.users = [User(1, "-"), self.admin, self.agent]
        self.attributes: list[Row] = [
            self._core_attribute(1, "title", "input"),
            self._core_attribute(2, "state_id", "select"),
        ]
        self.columns: dict[str, str] = dict(CORE_COLUMNS)
        self.workers = [set(self.columns) for _ in range(workers)]
        self._turn = 0
        self.tickets: dict[int, Row] = {}
        self.articles: dict[int, Row] = {}
        self.tags: dict[int, set[str]] = {}
        self.history: list[Row] = []
        self.drafts: dict[int, Row] = {}
        self.webhooks: list[Row] = []
        self.triggers: list[Row] = []
        self.jobs: list[Job] = []
        self.failed_jobs: list[Job] = []
        self.searches = 0
        self._ids = dict.fromkeys(("ticket", "article", "history", "draft", "webhook", "trigger", "attribute"), 80)
        self._event: Event | None = None

    @staticmethod
    def _named(number: int, name: str) -> Row:
        return {"id": number, "name": name, "active": True, "note": ""}

    @staticmethod
    def _state(number: int, name: str, type_id: int, type_name: str) -> Row:
        return {"id": number, "name": name, "state_type_id": type_id, "state_type": type_name, "active": True}

    @staticmethod
    def _core_attribute(number: int, name: str, kind: str) -> Row:
        body = {"object": "Ticket", "name": name, "display": name.title(), "data_type": kind, "data_option": {}}
        return {"id": number, **body, "screens": {}, "editable": False, "active": True, **_NOT_PENDING}

    def next_id(self, kind: str) -> int:
        self._ids[kind] += 1
        return self._ids[kind]

    def stamp(self) -> str:
        return iso(self.clock())

    # Attributes and the restart after them

    def add_attribute(self, body: Row) -> Row:
        name = str(body.get("name"))
        if any(each["name"] == name for each in self.attributes) or name in self.columns:
            raise ApiError(422, f"{name} already exists")
        check_attribute(body)
        defaults: Row = {"null": True, "options": {}, "relation": "", "default": None}
        made = {"id": self.next_id("attribute"), **deepcopy(body), **_NOT_PENDING, "editable": True, "to_create": True}
        made["data_option"] = defaults | made["data_option"]
        made.setdefault("screens", {})
        self.attributes.append(made)
        return made

    def migrate(self) -> None:
        for each in list(self.attributes):
            if each["to_delete"]:
                self.attributes.remove(each)
                self.columns.pop(each["name"], None)
                continue
            if each["to_create"]:
                self.columns[each["name"]] = _COLUMN_OF[each["data_type"]]
                for row in self.tickets.values():
                    row[each["name"]] = None
            if each.get("data_option_new"):
                each["data_option"] = each.pop("data_option_new")
            each.update(_NOT_PENDING)
        if self.auto_restart:
            self.restart()

    def restart(self) -> None:
        """Every worker knows the columns there are now; until then it goes by those it knew."""
        self.workers = [set(self.columns) for _ in self.workers]

    def provide(self, **kinds: str) -> None:
        """Attributes that are there already: name -> data_type."""
        options: dict[str, Row] = {
            "input": {"type": "text", "maxlength": 250},
            "datetime": {"future": True, "past": True, "diff": None},
            "integer": {"min": 0, "max": 999},
            "select": {"options": {}, "nulloption": True},
            "boolean": {"options": {"true": "yes", "false": "no"}},
        }
        for name, kind in kinds.items():
            body = {"object": "Ticket", "name": name, "display": name, "data_type": kind, "active": True}
            self.add_attribute(body | {"data_option": options.get(kind, {})})
        self.migrate()
        self.restart()

    def next_worker(self) -> set[str]:
        """The columns that the worker which takes this request knows: each in its turn."""
        self._turn = (self._turn + 1) % len(self.workers)
        return self.workers[self._turn]

    # Tickets

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request: its changes are one event, told to the triggers at its end. What fails is undone."""
        kept = deepcopy((self.tickets, self.articles, self.history))
        self._event = None
        try:
            yield
        except ApiError:
            self.tickets, self.articles, self.history = kept
            self._event = None
            raise
        self._end_request()

    def _end_request(self) -> None:
        event, self._event = self._event, None
        if event is not None:
            self._run_triggers(event)

    def ticket(self, ticket_id: int) -> Row:
        if ticket_id not in self.tickets:
            raise ApiError(404, f"Couldn't find Ticket with 'id'={ticket_id}")
        return self.tickets[ticket_id]

    def create(self, user: User, body: Row, known: set[str]) -> Row:
        sent = dict(body)
        article = sent.pop("article", None)
        if not sent.get("title") or not (sent.get("group") or sent.get("group_id")):
            raise ApiError(422, "Missing required value for field 'group'!", masked=True)
        ticket_id, now = self.next_id("ticket"), self.stamp()
        row: Row = dict.fromkeys(self.columns)
        row |= {"id": ticket_id, "number": str(10000 + ticket_id), "state_id": 1, "priority_id": 2, "owner_id": 1}
        row |= {"customer_id": user.id, "preferences": {}, "article_count": 0, "created_at": now, "updated_at": now}
        row |= {"created_by_id": user.id, "updated_by_id": user.id}
        row |= self._cast(sent, known)
        self.tickets[ticket_id] = row
        self._event = Event(ticket_id, "create")
        if article:
            self.add_article(user, row, article)
        return row

    def update(self, user: User, row: Row, body: Row, known: set[str]) -> Row:
        """A PUT of a ticket, with an article in it if there is one: wholly or not at all."""
        sent = dict(body)
        article = sent.pop("article", None)
        values = self._cast(sent, known)
        if (
            "state_id" in values
            and self._type(row).startswith("pending")
            and not self._type(values).startswith("pending")
        ):
            values["pending_time"] = None
        self._core_workflow(row, values)
        self._change(user, row, values)
        if article:
            self.add_article(user, row, article)
        return row

    def _type(self, row: Row) -> str:
        return str(next(each["state_type"] for each in self.states if each["id"] == row["state_id"]))

    def _cast(self, sent: Row, known: set[str]) -> Row:
        """Names to numbers, texts to the columns' kinds. Unknown keys are dropped without a word."""
        values: Row = {}
        for name, listed in (("state", self.states), ("group", self.groups), ("priority", self.priorities)):
            if name in sent:
                found = next((each for each in listed if each["name"] == sent[name]), None)
                if found is None:
                    raise ApiError(422, f"No lookup value found for '{name}': \"{sent[name]}\"")
                values[f"{name}_id"] = found["id"]
        for key, value in sent.items():
            if key in known and key in self.columns and key not in _READ_ONLY:
                values[key] = self._cast_one(key, value)
        return values

    def _cast_one(self, key: str, value: Any) -> Any:
        kind = self.columns[key]
        if kind == "date":
            return cast_date(value)
        if kind == "datetime":
            return self._cast_moment(key, value)
        if kind == "boolean":
            return {"true": True, "false": False}.get(str(value).lower())
        if kind in {"integer", "ref"}:
            return int(value) if str(value).lstrip("-").isdecimal() else None
        return value

    def _cast_moment(self, key: str, value: Any) -> str | None:
        at = cast_moment(value)
        option: Row = next((each["data_option"] for each in self.attributes if each["name"] == key), {})
        if at is not None and option.get("past") is False and at < self.clock():
            raise ApiError(422, f"{key} does not allow past dates")
        if at is not None and key == "pending_time":
            at = at.replace(second=0, microsecond=0)
        return iso(at) if at else None

    def _core_workflow(self, row: Row, values: Row) -> None:
        after = row | values
        for each in self.attributes:
            edit = each["screens"].get("edit", {}).get("ticket.agent", {})
            if edit.get("required") and each["active"] and after.get(each["name"]) in {None, ""}:
                raise ApiError(422, f"Missing required value for field '{each['name']}'!", masked=True)
        for name, allowed in self.restrict.items():
            if name in values and values[name] not in allowed:
                raise ApiError(422, f"Invalid value '{values[name]}' for field '{name}'!", masked=True)
        if self._type(after).startswith("pending") and not after.get("pending_time"):
            raise ApiError(422, "Missing required value for field 'pending_time'!", masked=True)

    def _change(self, user: User, row: Row, values: Row) -> None:
        changed = {key for key, value in values.items() if row.get(key) != value}
        if row["updated_by_id"] != user.id:
            changed.add("updated_by_id")  # before the change is looked at: even a PUT of nothing new is an event
        if not changed:
            return
        now = self.stamp()
        for key in sorted(changed - {"updated_by_id"}):
            self._remember(user, row, key, values[key], now)
        row |= {key: values[key] for key in changed - {"updated_by_id"}}
        row |= {"updated_by_id": user.id, "updated_at": now}
        self._note(row, changed)

    def _remember(self, user: User, row: Row, key: str, value: Any, now: str) -> None:
        listed = {"state_id": self.states, "group_id": self.groups, "priority_id": self.priorities}.get(key)

        def shown(one: Any) -> str:
            if listed is None:
                return "" if one is None else str(one)
            return next((str(each["name"]) for each in listed if each["id"] == one), "")

        entry = {"id": self.next_id("history"), "o_id": row["id"], "object": "Ticket", "type": "updated"}
        entry |= {"attribute": key.removesuffix("_id") if listed else key, "created_by_id": user.id, "created_at": now}
        self.history.append(entry | {"value_from": shown(row.get(key)), "value_to": shown(value)})

    def _note(self, row: Row, changes: set[str]) -> None:
        if changes <= _SILENT:
            return
        if self._event is None:
            self._event = Event(row["id"], "update")
        self._event.changes |= changes

    def add_article(self, user: User, row: Row, sent: Row) -> Row:
        if not sent.get("body"):
            raise ApiError(422, "Missing required value for field 'body'!", masked=True)
        if len(sent["body"]) > MAX_BODY:
            raise ApiError(422, "body is too long (maximum is 1500000 characters)")
        kind = sent.get("type", "note")
        if kind == "email" and "@" not in str(sent.get("to") or ""):
            raise ApiError(422, "Sending an email without a valid recipient is not possible.")
        html = sent.get("content_type") == "text/html"
        now = self.stamp()
        article = {
            "id": self.next_id("article"),
            "ticket_id": row["id"],
            "type": kind,
            "sender": sent.get("sender", "Agent"),
            "subject": sent.get("subject"),
            "to": sent.get("to"),
            "body": sanitized(sent["body"]) if html else sent["body"],
            "content_type": "text/html" if html else "text/plain",
            "internal": bool(sent.get("internal", False)) and not self.publish_notes,
            "preferences": deepcopy(sent.get("preferences", {})),
            "created_by_id": user.id,
            "created_at": now,
            "updated_at": now,
        }
        self.articles[article["id"]] = article
        row |= {"article_count": row["article_count"] + 1, "updated_at": now}
        if self._event is None:
            self._event = Event(row["id"], "update")
        self._event.article_id = article["id"]
        return article

    def articles_of(self, ticket_id: int) -> list[Row]:
        return [each for each in self.articles.values() if each["ticket_id"] == ticket_id]

    def merge(self, user: User, row: Row, target: Row) -> None:
        """The articles move to the other ticket; this one stays, in the state merged."""
        for article in self.articles_of(row["id"]):
            article["ticket_id"] = target["id"]
        self._change(user, row, {"state_id": 5})

    def delete(self, ticket_id: int) -> None:
        self.ticket(ticket_id)
        del self.tickets[ticket_id]
        self.drafts.pop(ticket_id, None)
        self.articles = {key: each for key, each in self.articles.items() if each["ticket_id"] != ticket_id}

    def touch(self, row: Row) -> None:
        """Tags, links and drafts move the stamp only, which is no event."""
        row["updated_at"] = self.stamp()

    # How they are shown

    def shown(self, row: Row, known: set[str], *, expand: bool) -> Row:
        out = {key: value for key, value in row.items() if key in known}
        out["article_ids"] = [each["id"] for each in self.articles_of(row["id"])]
        if expand:
            for name, listed in (("state", self.states), ("group", self.groups), ("priority", self.priorities)):
                out[name] = next((each["name"] for each in listed if each["id"] == row[f"{name}_id"]), None)
            out["owner"] = out["customer"] = None
        return out

    def search(self, user: User, body: Row, known: set[str]) -> list[Row]:
        """By condition alone. One that cannot be put into SQL finds nothing; an unknown column is an error."""
        try:
            condition = parse(body.get("condition"))
            for name in condition.attributes - set(self.columns) - {"action", "tags"}:
                raise InvalidCondition(f"column tickets.{name} does not exist")  # if there are no tickets, too
            found = [row for row in self.tickets.values() if condition.holds(self._subject(row))]
        except InvalidCondition as error:
            if "column" in str(error):
                raise ApiError(422, f"PG::UndefinedColumn: ERROR: {error}") from None
            return []
        found = [row for row in found if user.may(row["group_id"], "read")]
        self.searches += 1
        # Rows that no column tells apart come in whatever order: here in another one at each search.
        random.Random(self.searches).shuffle(found)
        sort_by, order_by = _texts(body.get("sort_by")), _texts(body.get("order_by"))
        for number, column in reversed(list(enumerate(sort_by))):
            if column in known:
                down = order_by[number : number + 1] == ["desc"]
                found.sort(key=lambda row, column=column: (row[column] is None, row[column]), reverse=down)  # type: ignore[misc]
        size = min(int(body.get("per_page") or 50), 200)
        start = (max(int(body.get("page") or 1), 1) - 1) * size
        return found[start : start + size]

    def _subject(self, row: Row, event: Event | None = None) -> Subject:
        subject = Subject(row, frozenset(self.columns), frozenset(self.tags.get(row["id"], ())))
        if event is None:
            return subject
        article = event.article_id is not None
        return replace(subject, changes=frozenset(event.changes), action=event.action, article=article)

    # Triggers and their webhooks

    def check_trigger(self, body: Row) -> None:
        """The condition is tried as SQL when it is saved."""
        try:
            condition = parse(body.get("condition"))
            if condition.attributes - set(self.columns) - {"action", "tags"}:
                raise InvalidCondition("column does not exist")
        except InvalidCondition:
            raise ApiError(422, "Invalid object selector conditions") from None

    def _run_triggers(self, event: Event) -> None:
        row = self.tickets.get(event.ticket_id)
        if row is None:
            return
        for trigger in sorted(self.triggers, key=lambda each: str(each["name"]).lower()):
            condition = parse(trigger["condition"])
            selective = trigger["execution_condition_mode"] == "selective" and event.action == "update"
            told = event.changes & condition.attributes or event.article_id
            if trigger["active"] and (told or not selective) and condition.holds(self._subject(row, event)):
                self.jobs.append(Job(trigger, event.ticket_id, event.article_id, self.clock()))


_NOT_PENDING = {"to_create": False, "to_migrate": False, "to_delete": False, "to_config": False}


def check_attribute(body: Row) -> None:
    """What Zammad asks of a new attribute's options."""
    option, kind = body.get("data_option"), body.get("data_type")
    if kind not in _COLUMN_OF or not isinstance(option, dict):
        raise ApiError(422, "data_type or data_option is missing")
    name = str(body.get("name"))
    if not name.replace("_", "").isalnum() or name != name.lower() or name.endswith(("_id", "_ids")):
        raise ApiError(422, "Name is invalid")
    needed = {"input": ("type", "maxlength"), "datetime": ("future", "past"), "integer": ("min", "max")}
    missing = [key for key in needed.get(str(kind), ()) if option.get(key) is None]
    if missing:
        raise ApiError(422, f"data_option must have {missing[0]}")


def iso(at: datetime) -> str:
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


def cast_date(value: Any) -> str | None:
    """A date column takes the day that stands in an ISO text; anything else becomes nothing, without a word."""
    try:
        return date.fromisoformat(str(value)[:10]).isoformat() if value else None
    except ValueError:
        return None


def cast_moment(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(value)) if value else None
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at and not at.tzinfo else at


def _texts(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)] if value else []
