"""What a Jira has, as far as set-up looks at it: the place of the source's tickets, fields, screens, statuses, rights.

screens   the project's own, known by the prefix of their names ("CASE: ..."), else the Default Screen
choices   of a list, by context and option (Cloud alone), or as a ticket's edit screen shows them
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from connector.trackers.jira_api import JiraApi, Json, Params
from connector.trackers.jira_fields import JiraField, find_field
from connector.trackers.paging import PAGE, Page, walk
from connector.trackers.port import Misconfigured, Refused, TicketGone, TrackerError, Unavailable
from connector.trackers.setup_port import USABLE, FieldType, WantedField

TYPE = "com.atlassian.jira.plugin.system.customfieldtypes:"
# Our type -> (custom field type, its searcher, what Jira's pages call it).
MADE: Mapping[FieldType, tuple[str, str, str]] = {
    "text": ("textfield", "textsearcher", "Short text (Text Field, single line)"),
    "date": ("datepicker", "daterange", "Date Picker"),
    "datetime": ("datetime", "datetimerange", "Date Time Picker (time stamp)"),
    "number": ("float", "exactnumber", "Number Field"),
    "select": ("select", "multiselectsearcher", "Select List (single choice)"),
    "boolean": ("multicheckboxes", "multiselectsearcher", "Checkboxes"),
}
# Custom field type -> our type. Everything else holds no fact: users, labels, versions, what apps bring.
_READ: Mapping[str, FieldType] = {
    "textfield": "text",
    "textarea": "text",
    "url": "text",
    "datepicker": "date",
    "datetime": "datetime",
    "float": "number",
    "select": "select",
    "radiobuttons": "select",
    "multicheckboxes": "boolean",
}
_CHOICES: Mapping[FieldType, tuple[str, ...]] = {"boolean": ("Yes",)}  # where the mapping's own are not told

_SAMPLES = 50  # tickets looked at for their project and statuses; one of each status is asked for its transitions
_MOST_STATUSES = 8

_PROJECT_IN_JQL = re.compile(
    r"""\bproject\s*(?:=|in\s*\()\s*(?:"([^"]+)"|'([^']+)'|([A-Za-z][A-Za-z0-9_]*))""", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A ticket in scope."""

    id: str
    key: str
    status: str
    issue_type: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where the source's tickets live. `key` is None if that is not known: no ticket, and no project in the scope."""

    key: str | None = None
    type_key: str | None = None
    team_managed: bool = False
    samples: tuple[Sample, ...] = ()

    @property
    def service_desk(self) -> bool:
        return self.type_key == "service_desk"


@dataclass(frozen=True, slots=True)
class Screens:
    """Which fields can be edited. `on_edit` is None where no ticket shows it; `choices` by field id, where shown."""

    on_edit: frozenset[str] | None = None
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab of a screen that new fields are put on, and what it shows now."""

    screen: str
    path: str
    fields: frozenset[str]


class Site:
    """Looks at one Jira. Every method may raise TrackerError."""

    def __init__(self, api: JiraApi, scope: str) -> None:
        self._api, self._scope = api, scope

    def place(self) -> Place:
        """Where the tickets in scope are, from the latest of them, or else from the project that the scope names."""
        jql = f"({self._scope}) ORDER BY updated DESC"
        path = "search/jql" if self._api.cloud else "search"
        params: Params = {"jql": jql, "fields": "status,project,issuetype", "maxResults": _SAMPLES}
        issues = Page.of(self._api.get_object(path, about="source", params=params), "issues").items
        samples = tuple(_sample(each) for each in issues)
        if issues:
            project = _inside(issues[0], "fields", "project")
            key, type_key = project.get("key"), project.get("projectTypeKey")
            return Place(_text(key), _text(type_key), project.get("simplified") is True, samples)
        named = _PROJECT_IN_JQL.search(self._scope)
        name = next((each for each in named.groups() if each), None) if named else None
        if name is None:
            return Place()
        try:
            project = self._api.get_object(f"project/{quote(name, safe='')}", about="ticket")
        except (TicketGone, Refused):
            return Place()
        key, type_key = project.get("key"), project.get("projectTypeKey")
        return Place(_text(key), _text(type_key), project.get("simplified") is True)

    def fields(self) -> list[tuple[JiraField, FieldType | None]]:
        """Every field with the kind of fact that it can hold."""
        listed = self._api.get("field", about="source")
        fields = (
            [each for each in listed if isinstance(each, dict) and "id" in each] if isinstance(listed, list) else []
        )
        return [(JiraField(str(each["id"]), str(each.get("name") or each["id"])), _type_of(each)) for each in fields]

    def screens(self, place: Place) -> Screens:
        """What the edit screen of the latest ticket in scope shows."""
        if not place.samples:
            return Screens()
        meta = self._api.find_object(f"issue/{place.samples[0].id}/editmeta") or {}
        fields = meta.get("fields")
        if not isinstance(fields, dict) or not fields:
            return Screens()  # also what an account that may not edit is told
        choices = {
            name: tuple(str(each.get("value")) for each in about["allowedValues"] if isinstance(each, dict))
            for name, about in fields.items()
            if isinstance(about, dict) and isinstance(about.get("allowedValues"), list)
        }
        return Screens(frozenset(fields), choices)

    def statuses(self, place: Place) -> list[str]:
        """The names of the statuses that a ticket in scope can have; of all of Jira's if its project is not known."""
        if place.key is None:
            listed = self._api.get("status", about="source")
            return _names(listed)
        kinds = self._api.get(f"project/{quote(place.key, safe='')}/statuses", about="source")
        kinds = [each for each in kinds if isinstance(each, dict)] if isinstance(kinds, list) else []
        used = {each.issue_type for each in place.samples}
        mine = [each for each in kinds if each.get("name") in used] or kinds
        return list(dict.fromkeys(name for each in mine for name in _names(each.get("statuses"))))

    def may(self, permission: str, place: Place) -> bool:
        """Whether the account has one permission."""
        return self.permissions([permission], place).get(permission, False)

    def permissions(self, keys: Sequence[str], place: Place) -> dict[str, bool]:
        """Which of these the account has. Cloud must be told which; Data Center tells all that it knows."""
        params: dict[str, str | int] = {"permissions": ",".join(keys)}
        if place.key is not None:
            params["projectKey"] = place.key
        answer = self._api.get_object("mypermissions", about="source", params=params)
        told = answer.get("permissions")
        told = told if isinstance(told, dict) else {}
        return {key: isinstance(told.get(key), dict) and told[key].get("havePermission") is True for key in keys}

    def choices(self, field_id: str, screens: Screens) -> tuple[str, ...] | None:
        """The choices of a list, from wherever they are shown; None where nothing shows them."""
        if field_id in screens.choices:
            return screens.choices[field_id]
        if not self._api.cloud:
            return None
        try:
            context = self.context(field_id)
            listed = self._api.get_object(f"field/{field_id}/context/{context}/option", about="source")
        except TrackerError:
            return None  # only administrators are told
        values = listed.get("values")
        return tuple(str(each.get("value")) for each in values) if isinstance(values, list) else None

    def context(self, field_id: str) -> str:
        """The id of the context that is offered most widely. Raises Misconfigured if there is none."""
        contexts = Page.of(self._api.get_object(f"field/{field_id}/context", about="source"), "values").items
        ordered = sorted(contexts, key=lambda each: each.get("isGlobalContext") is not True)
        if not ordered:
            raise Misconfigured("The field is offered in no project: it has no context.")
        return str(ordered[0]["id"])

    def tabs(self, place: Place) -> list[Tab]:
        """The first tab of each screen that a new field belongs on. Empty if none can be told apart."""

        def page(start: int) -> Page:
            params: Params = {"startAt": start, "maxResults": PAGE}
            answer = self._api.get("screens", about="source", params=params)
            return Page.of(answer if isinstance(answer, dict) else {"values": answer}, "values")

        try:
            screens = list(walk(page))
        except (Misconfigured, Refused, Unavailable):
            # No list, as older Data Center has none, or one of another form: its first screen can still be asked for.
            screens = [{"id": "1", "name": "Default Screen"}]
        own = [each for each in screens if place.key and str(each.get("name")).startswith(f"{place.key}:")]
        default = [each for each in screens if str(each["id"]) == "1"]  # "Default Screen", Jira's first
        try:
            return [self._tab(each) for each in own or default]
        except (Misconfigured, Refused):
            return []

    def _tab(self, screen: Json) -> Tab:
        tabs = self._api.get(f"screens/{screen['id']}/tabs", about="source")
        first = tabs[0]["id"] if isinstance(tabs, list) and tabs and isinstance(tabs[0], dict) else 0
        path = f"screens/{screen['id']}/tabs/{first}/fields"
        shown = self._api.get(path, about="source")
        ids = (str(each.get("id")) for each in shown if isinstance(each, dict)) if isinstance(shown, list) else ()
        return Tab(str(screen.get("name")), path, frozenset(ids))

    def reachable(self, place: Place) -> set[str]:
        """Statuses that one transition leads to, from one ticket of each status."""
        one_each = {each.status: each for each in reversed(place.samples)}
        reached: set[str] = set()
        for sample in list(one_each.values())[:_MOST_STATUSES]:
            answer = self._api.find_object(f"issue/{sample.id}/transitions") or {}
            offered = answer.get("transitions")
            for each in offered if isinstance(offered, list) else ():
                reached.add(folded(str(_inside(each, "to").get("name"))))
        return reached


# What one field comes to


@dataclass(frozen=True, slots=True)
class Match:
    """The field that a mapping's entry means. `id` is None if there is none; `trouble` says what stands in the way."""

    id: str | None = None
    type: FieldType | None = None
    trouble: str = ""


def match_field(wanted: WantedField, fields: Sequence[tuple[JiraField, FieldType | None]]) -> Match:
    """The field that is meant, by id or name, and whether it can hold the fact."""
    try:
        match = find_field(wanted.name, [each for each, _ in fields])
    except Misconfigured as ambiguous:
        return Match(trouble=ambiguous.message)
    if match is None:
        return Match()
    kind = next(kind for each, kind in fields if each.id == match.id)
    if kind not in USABLE[wanted.type]:
        usual = MADE[wanted.type][2]
        there = f'There is a field "{match.name}" ({match.id}), but of the wrong kind'
        trouble = f"{there}{f' ({kind})' if kind else ''}: {wanted.fact} needs {usual}."
        return Match(match.id, kind, trouble)
    return Match(match.id, kind)


def choices_of(wanted: WantedField) -> tuple[str, ...]:
    """The choices that a list of ours gets; empty for what is no list."""
    return wanted.options or _CHOICES.get(wanted.type, ())


def _type_of(raw: Json) -> FieldType | None:
    """By the custom field's type; a system field by its schema's, as far as a fact can live in it."""
    schema = raw.get("schema")
    schema = schema if isinstance(schema, dict) else {}
    custom = schema.get("custom")
    if isinstance(custom, str):
        return _READ.get(custom.removeprefix(TYPE)) if custom.startswith(TYPE) else None
    system: Mapping[str, FieldType] = {"string": "text", "date": "date", "datetime": "datetime", "number": "number"}
    return system.get(str(schema.get("type")))


def _sample(raw: Json) -> Sample:
    status, kind = _inside(raw, "fields", "status"), _inside(raw, "fields", "issuetype")
    return Sample(str(raw["id"]), str(raw.get("key") or ""), str(status.get("name")), str(kind.get("name")))


def _inside(raw: Any, *path: str) -> Mapping[str, Any]:
    """The object at that path, or an empty one."""
    for each in path:
        raw = raw.get(each) if isinstance(raw, dict) else None
    return raw if isinstance(raw, dict) else {}


def _names(listed: object) -> list[str]:
    """The names of what a list of objects holds, each once."""
    items = listed if isinstance(listed, list) else []
    return list(dict.fromkeys(str(each["name"]) for each in items if isinstance(each, dict) and each.get("name")))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def folded(text: str) -> str:
    """As names of statuses and choices are compared."""
    return " ".join(text.split()).casefold()
