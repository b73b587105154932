"""The state of the practice tracker, and the rules for changing it.

Everything is in memory, behind one lock. Every change is told to `listeners` (the webhook sender is one), while the
lock is held, so that what they see is the moment of the change.
"""

import copy
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from connector.practice.clock import PracticeClock
from connector.practice.fields import Field, FieldError, Option, Value, in_history, parse

Deployment = Literal["cloud", "data-center"]
CATEGORIES = {
    "new": (2, "To Do", "blue-gray"),
    "indeterminate": (4, "In Progress", "yellow"),
    "done": (3, "Done", "green"),
}
SYSTEM_FIELDS = (
    Field("summary", "Summary", "text", custom=False),
    Field("description", "Description", "textarea", custom=False),
    Field("duedate", "Due date", "date", custom=False),
)
PERMISSIONS = {
    "BROWSE_PROJECTS": "Browse Projects",
    "CREATE_ISSUES": "Create Issues",
    "EDIT_ISSUES": "Edit Issues",
    "TRANSITION_ISSUES": "Transition Issues",
    "ADD_COMMENTS": "Add Comments",
    "DELETE_ISSUES": "Delete Issues",
    "DELETE_OWN_COMMENTS": "Delete Own Comments",
    "DELETE_ALL_COMMENTS": "Delete All Comments",
    "SERVICEDESK_AGENT": "Service Desk Agent",
    "ADMINISTER_PROJECTS": "Administer Projects",
    "ADMINISTER": "Administer Jira",
}
INTERNAL_PROPERTY = "sd.public.comment"
DEFAULT_SCREEN = 1


class Refused(Exception):
    """Jira would refuse this. `messages` are `errorMessages`, `errors` are per field."""

    def __init__(
        self, status: int, *messages: str, errors: Mapping[str, str] | None = None, headers: Mapping[str, str] = {}
    ) -> None:
        super().__init__(f"refused with {status}")
        self.status = status
        self.messages = list(messages)
        self.errors = dict(errors or {})
        self.headers = dict(headers)


@dataclass(eq=False)
class User:
    """`name` is the login on Data Center; `account_id` names the user on Cloud.

    `denied` are keys of PERMISSIONS this user lacks. Without SERVICEDESK_AGENT a comment meant to be internal
    becomes public all the same.
    """

    account_id: str
    name: str
    display_name: str
    email: str
    time_zone: str = "America/New_York"
    kind: str = "atlassian"
    denied: set[str] = field(default_factory=lambda: {"ADMINISTER", "ADMINISTER_PROJECTS"})

    def may(self, permission: str) -> bool:
        return permission not in self.denied


@dataclass(eq=False)
class Account:
    """How a user logs in. Cloud: basic e-mail:secret. Data Center: bearer secret, or basic name:secret.

    A `scoped` token (Cloud) works through the gateway only; the others on the site's own host only.
    """

    user: User
    secret: str
    scoped: bool = False


@dataclass(frozen=True)
class Status:
    """`category` is a key of CATEGORIES."""

    id: str
    name: str
    category: str


@dataclass(frozen=True)
class Transition:
    """`sources`: ids of the statuses it starts from, None for every one. `screen`: ids of the fields asked for
    (`comment` among them if one can be written there), None where there is no screen. `resolution` is what a
    post-function of the workflow writes: None clears it."""

    id: str
    name: str
    to: str
    sources: frozenset[str] | None = None
    screen: tuple[str, ...] | None = None
    required: frozenset[str] = frozenset()
    resolution: str | None = None


@dataclass(frozen=True)
class IssueType:
    id: str
    name: str


@dataclass(frozen=True)
class Project:
    """`type_key`: business, software or service_desk. The screens of a `plain` project show no custom field."""

    id: str
    key: str
    name: str
    type_key: str
    issue_types: tuple[IssueType, ...]
    plain: bool = False

    @property
    def is_service_desk(self) -> bool:
        return self.type_key == "service_desk"


@dataclass
class Screen:
    """A screen with one tab: the ids of the fields that can be entered there."""

    id: int
    name: str
    fields: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Context:
    """Where a custom field is offered, and with which choices. A field made through the API has a global one."""

    id: int
    name: str
    field_id: str


@dataclass
class Comment:
    """`public` says whether customers of a service desk see it; elsewhere it means nothing."""

    id: int
    author: User
    body: str
    created: datetime
    public: bool = True
    properties: dict[str, Any] = field(default_factory=dict)
    visibility: dict[str, str] | None = None


@dataclass(frozen=True)
class ChangeItem:
    field: str
    fieldtype: str
    field_id: str
    before: tuple[str | None, str | None]
    after: tuple[str | None, str | None]


@dataclass(frozen=True)
class Change:
    """One entry of an issue's history."""

    id: int
    author: User
    created: datetime
    items: tuple[ChangeItem, ...]
    metadata: dict[str, Any] | None = None


@dataclass
class Issue:
    """`values` holds summary, description, duedate and the custom fields by id; a missing key is an empty field."""

    id: int
    key: str
    project: Project
    issue_type: IssueType
    status: Status
    reporter: User
    created: datetime
    updated: datetime
    values: dict[str, Value] = field(default_factory=dict)
    resolution: str | None = None
    comments: list[Comment] = field(default_factory=list)
    history: list[Change] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        return str(self.values.get("summary") or "")


@dataclass(frozen=True)
class Event:
    """What happened. `kind`: issue_created, issue_updated, issue_deleted, comment_created, comment_deleted.
    A transition is an issue_updated with `by_transition`. `cascade`: a side effect of another event."""

    kind: str
    issue: Issue
    actor: User
    at: datetime
    change: Change | None = None
    comment: Comment | None = None
    by_transition: bool = False
    cascade: bool = False


class World:
    """One tracker site.

    Switches for tests: `off_edit_screen` (ids of fields nobody can edit), `page_limit` (most issues in one page
    of a search), `comment_limit` (per issue; more answers 413), `comments_shown` (most comments that an issue comes
    with in answers of many: the latest), `empty_401`,
    `rate_limit_headers` (Data Center sends them on every answer), `freeze_index()`/`thaw_index()`.
    """

    def __init__(
        self,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        deployment: Deployment = "cloud",
        *,
        time_zone: str = "America/New_York",
    ) -> None:
        self.clock = clock
        self.movable_clock = clock if isinstance(clock, PracticeClock) else None
        self.deployment = deployment
        self.zone = ZoneInfo(time_zone)
        self.base_url = "http://127.0.0.1"  # the server writes its own address here
        self.cloud_id = "5f0c1d1e-7a35-4a53-9a4f-6f3f0f1f2e3d"
        self.version = "1001.0.0-SNAPSHOT" if deployment == "cloud" else "10.3.5"
        self.lock = threading.RLock()
        self.listeners: list[Callable[[Event], None]] = []
        self.revision = 0
        self.accounts: list[Account] = []
        self.fields: dict[str, Field] = {each.id: each for each in SYSTEM_FIELDS}
        self.screens = {DEFAULT_SCREEN: Screen(DEFAULT_SCREEN, "Default Screen", set(self.fields))}
        self.screen_of: dict[str, int] = {}  # project key -> its own screen; the others have the default one
        self.contexts: list[Context] = []
        self.statuses: dict[str, Status] = {}
        self.projects: dict[str, Project] = {}
        self.transitions: list[Transition] = []
        self.issues: dict[int, Issue] = {}
        self._keys: dict[str, int] = {}
        self.off_edit_screen: set[str] = set()
        self.roles = {"Administrators", "Service Desk Team"}
        self.page_limit = 100
        self.comment_limit: int | None = None
        self.comments_shown: int | None = None
        self.empty_401 = False
        self.rate_limit_headers = False
        self._index: dict[int, Issue] | None = None
        self._last_id = 10000
        self._last_number: dict[str, int] = {}
        system = User("557058:practice", "system", "Practice Tracker", "system@practice.example")
        self.connector = system
        self.human = system

    # -- building ----------------------------------------------------------------------------------------------

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def add_user(self, name: str, display_name: str, email: str, **more: Any) -> User:
        return User(f"712020:{name}", name, display_name, email, **more)

    def add_account(self, user: User, secret: str, *, scoped: bool = False) -> Account:
        account = Account(user, secret, scoped)
        self.accounts.append(account)
        return account

    def auth_of(self, account: Account) -> tuple[str, str]:
        """(user, secret) for basic authentication."""
        user = account.user
        return (user.email if self.deployment == "cloud" else user.name), account.secret

    @property
    def connector_auth(self) -> tuple[str, str]:
        """Basic credentials of the connector's own account that work on the site's host."""
        return next(self.auth_of(a) for a in self.accounts if a.user is self.connector and not a.scoped)

    def add_field(
        self,
        name: str,
        kind: str,
        *,
        options: Iterable[str] = (),
        field_id: str | None = None,
        on_screens: bool = True,
    ) -> Field:
        """A custom field with its global context. Names need not be unique, as in Jira."""
        number = 1 + max((f.number for f in self.fields.values() if f.custom), default=10049)
        choices = tuple(Option(str(self._next_id()), value) for value in options)
        made = Field(field_id or f"customfield_{number}", name, kind, choices)
        self.fields[made.id] = made
        self.contexts.append(Context(self._next_id(), f"Default Configuration Scheme for {name}", made.id))
        for screen in self.screens.values() if on_screens else ():
            screen.fields.add(made.id)
        return made

    def add_options(self, about: Field, values: Iterable[str]) -> tuple[Option, ...]:
        """More choices for a select or checkbox field; returns those that were added."""
        added = tuple(Option(str(self._next_id()), value) for value in values)
        self.fields[about.id] = replace(about, options=(*about.options, *added))
        return added

    def add_screen(self, name: str, project_key: str) -> Screen:
        """A screen of the project's own, with the system fields alone."""
        system = {each.id for each in SYSTEM_FIELDS}
        screen = Screen(self._next_id(), name, system)
        self.screens[screen.id] = screen
        self.screen_of[project_key] = screen.id
        return screen

    def add_status(self, name: str, category: str = "indeterminate") -> Status:
        status = Status(str(10000 + len(self.statuses)), name, category)
        self.statuses[status.id] = status
        return status

    def add_project(
        self, key: str, name: str, type_key: str, issue_types: Iterable[str], *, plain: bool = False
    ) -> Project:
        kinds = tuple(IssueType(str(self._next_id()), each) for each in issue_types)
        project = Project(str(self._next_id()), key, name, type_key, kinds, plain)
        self.projects[key] = project
        return project

    def open_workflow(self) -> None:
        """Every status leads to every other by a transition named "Move to ...", without screens."""
        self.transitions = [
            Transition(
                id=str(number),
                name=f"Move to {status.name}",
                to=status.id,
                sources=frozenset(self.statuses) - {status.id},
                resolution="Done" if status.category == "done" else None,
            )
            for number, status in enumerate(self.statuses.values(), start=11)
        ]

    # -- finding -----------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        return self.clock().astimezone(UTC)

    def field_named(self, name: str) -> Field:
        """The one field of that name; KeyError if there is none or more than one."""
        found = [each for each in self.fields.values() if each.name == name]
        if len(found) != 1:
            raise KeyError(name)
        return found[0]

    def status_named(self, name: str) -> Status:
        return next(each for each in self.statuses.values() if each.name == name)

    def issue(self, id_or_key: str | int) -> Issue:
        """By id or key; Refused (404) if there is none."""
        wanted = str(id_or_key)
        number = int(wanted) if wanted.isdecimal() else self._keys.get(wanted.upper(), 0)
        if number in self.issues:
            return self.issues[number]
        raise Refused(404, "Issue does not exist or you do not have permission to see it.")

    def comment(self, issue: Issue, comment_id: str) -> Comment:
        for comment in issue.comments:
            if str(comment.id) == comment_id:
                return comment
        raise Refused(404, f"Can not find a comment for the id: {comment_id}.")

    def open_transitions(self, issue: Issue, actor: User) -> list[Transition]:
        """What the workflow offers this user from where the issue stands."""
        if not actor.may("TRANSITION_ISSUES"):
            return []
        return [t for t in self.transitions if t.sources is None or issue.status.id in t.sources]

    # -- the search index --------------------------------------------------------------------------------------

    def freeze_index(self) -> None:
        """From now on searches match issues as they are at this moment (Cloud's eventual consistency)."""
        with self.lock:
            self._index = {number: _snapshot(issue) for number, issue in self.issues.items()}

    def thaw_index(self) -> None:
        with self.lock:
            self._index = None

    def indexed(self, reconcile: Iterable[int] = ()) -> list[Issue]:
        """The issues as a search sees them; those in `reconcile` are as they really are."""
        if self._index is None:
            return list(self.issues.values())
        seen = dict(self._index)
        for number in reconcile:
            seen.pop(number, None)
            if number in self.issues:
                seen[number] = self.issues[number]
        return list(seen.values())

    # -- changing ----------------------------------------------------------------------------------------------

    def parse_fields(self, raw: Mapping[str, object], screen: set[str]) -> dict[str, Value]:
        """Field values for a screen, or Refused (400) naming every field that is wrong."""
        parsed: dict[str, Value] = {}
        errors: dict[str, str] = {}
        for name, value in raw.items():
            if name not in self.fields or name not in screen:
                errors[name] = f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
                continue
            try:
                parsed[name] = parse(self.fields[name], value)
            except FieldError as error:
                errors[name] = str(error)
            else:
                if name == "summary" and parsed[name] is None:
                    errors[name] = "You must specify a summary of the issue."
        if errors:
            raise Refused(400, errors=errors)
        return parsed

    def create_screen(self, project: Project) -> set[str]:
        shown = self.screens[self.screen_of.get(project.key, DEFAULT_SCREEN)].fields
        return {each.id for each in self.fields.values() if each.id in shown and not (each.custom and project.plain)}

    def edit_screen(self, project: Project) -> set[str]:
        return self.create_screen(project) - self.off_edit_screen

    def create(self, project: Project, issue_type: IssueType, values: dict[str, Value], actor: User) -> Issue:
        with self.lock:
            number = self._last_number[project.key] = self._last_number.get(project.key, 0) + 1
            at = self.now()
            first = next(iter(self.statuses.values()))
            issue = Issue(
                self._next_id(), f"{project.key}-{number}", project, issue_type, first, actor, at, at, dict(values)
            )
            self.issues[issue.id] = issue
            self._keys[issue.key] = issue.id
            # Only in the webhook: Cloud tells the fields set at creation, the issue's history does not keep them.
            change = Change(self._next_id(), actor, at, self._differences({}, values))
            self._tell(Event("issue_created", issue, actor, at, change))
            return issue

    def add_issue(self, project_key: str, actor: User | None = None, **by_name: Any) -> Issue:
        """A ticket for tests and samples; fields by name with `_` for a space, already typed.

        Selects and checkboxes take the option's text. Example: add_issue("CASE", summary="...", Receipt_Number="...")
        """
        project = self.projects[project_key]
        values: dict[str, Value] = {}
        for name, value in by_name.items():
            target = self.fields.get(name) or self.field_named(name.replace("_", " "))
            values[target.id] = _typed(target, value)
        return self.create(project, project.issue_types[0], values, actor or self.human)

    def edit(
        self, issue: Issue, values: Mapping[str, Value], actor: User, metadata: dict[str, Any] | None = None
    ) -> Change | None:
        """Write the values; None (and no event) if that changes nothing."""
        with self.lock:
            items = self._differences(issue.values, values)
            if not items:
                return None
            issue.values.update(values)
            change = self._record(issue, items, actor, metadata)
            self._tell(Event("issue_updated", issue, actor, change.created, change))
            return change

    def move(
        self,
        issue: Issue,
        transition: Transition,
        actor: User,
        values: Mapping[str, Value] = {},
        *,
        comment: Comment | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Change:
        """Take the transition, with what its screen was given."""
        with self.lock:
            target = self.statuses[transition.to]
            status = ChangeItem(
                "status", "jira", "status", (issue.status.id, issue.status.name), (target.id, target.name)
            )
            items = [*self._differences(issue.values, values)]
            if transition.resolution != issue.resolution:
                before, after = issue.resolution, transition.resolution
                items.append(ChangeItem("resolution", "jira", "resolution", (before, before), (after, after)))
            issue.values.update(values)
            issue.status, issue.resolution = target, transition.resolution
            change = self._record(issue, (*items, status), actor, metadata)
            if comment:
                issue.comments.append(comment)
            event = Event("issue_updated", issue, actor, change.created, change, comment, by_transition=True)
            self._tell(event)
            if comment:
                self._tell(Event("comment_created", issue, actor, change.created, comment=comment, cascade=True))
            return change

    def move_to(self, issue: Issue, status_name: str, actor: User | None = None) -> Change:
        """For tests and the page: by the first open transition that leads there."""
        actor = actor or self.human
        for transition in self.open_transitions(issue, actor):
            if self.statuses[transition.to].name == status_name:
                return self.move(issue, transition, actor)
        raise Refused(400, f"No transition leads from {issue.status.name} to {status_name}.")

    def new_comment(
        self,
        issue: Issue,
        body: str,
        actor: User,
        properties: Mapping[str, Any] | None = None,
        visibility: dict[str, str] | None = None,
    ) -> Comment:
        """A comment not yet on the issue. On a service desk it is internal only if an agent asks for that."""
        kept = dict(properties or {})
        wanted = kept.get(INTERNAL_PROPERTY)
        internal = isinstance(wanted, dict) and wanted.get("internal") is True
        if internal and issue.project.is_service_desk and not actor.may("SERVICEDESK_AGENT"):
            # Whoever is no agent writes publicly, and is not told so.
            internal = False
            del kept[INTERNAL_PROPERTY]
        return Comment(
            self._next_id(), actor, body, self.now(), public=not internal, properties=kept, visibility=visibility
        )

    def add_comment(self, issue: Issue, comment: Comment) -> Comment:
        with self.lock:
            if self.comment_limit is not None and len(issue.comments) >= self.comment_limit:
                raise Refused(413, "The per-issue comment limit has been reached.")
            issue.comments.append(comment)
            issue.updated = comment.created
            self._tell(Event("comment_created", issue, comment.author, comment.created, comment=comment))
            return comment

    def delete_comment(self, issue: Issue, comment: Comment, actor: User) -> None:
        with self.lock:
            issue.comments.remove(comment)
            issue.updated = self.now()
            self._tell(Event("comment_deleted", issue, actor, issue.updated, comment=comment))

    def delete(self, issue: Issue, actor: User) -> None:
        with self.lock:
            del self.issues[issue.id]
            at = self.now()
            self._tell(Event("issue_deleted", issue, actor, at))
            for comment in issue.comments:
                self._tell(Event("comment_deleted", issue, actor, at, comment=comment, cascade=True))

    def _differences(self, old: Mapping[str, Value], new: Mapping[str, Value]) -> tuple[ChangeItem, ...]:
        items = []
        for name, value in new.items():
            if old.get(name) != value:
                about = self.fields[name]
                label, kind = (about.name, "custom") if about.custom else (about.id, "jira")
                before, after = in_history(old.get(name), self.zone), in_history(value, self.zone)
                items.append(ChangeItem(label, kind, about.id, before, after))
        return tuple(items)

    def _record(
        self, issue: Issue, items: tuple[ChangeItem, ...], actor: User, metadata: dict[str, Any] | None
    ) -> Change:
        change = Change(self._next_id(), actor, self.now(), items, metadata)
        issue.history.append(change)
        issue.updated = change.created
        return change

    def _tell(self, event: Event) -> None:
        self.revision += 1
        for listener in self.listeners:
            listener(event)


def _snapshot(issue: Issue) -> Issue:
    twin = copy.copy(issue)
    twin.values = dict(issue.values)
    return twin


def _typed(target: Field, value: Any) -> Value:
    if target.type == "select" and isinstance(value, str):
        return next(option for option in target.options if option.value == value)
    if target.type == "checkbox" and isinstance(value, list):
        return tuple(option for option in target.options if option.value in value)
    if target.type == "datetime" and isinstance(value, datetime):
        return value.astimezone(UTC)
    if target.type == "number" and isinstance(value, int):
        return float(value)
    typed: Value = value
    return typed
