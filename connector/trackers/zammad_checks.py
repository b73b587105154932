"""What is wrong with a live Zammad, check by check, in sentences for whoever looks after it. Facts: zammad 2 and 3.

Most can be looked at with the token that the connector works with. Attributes' kinds, the webhook and the trigger are
shown to administrators only. Without their permissions the attributes are looked for on a ticket, or by a search, and
their kinds are judged by what the ticket holds; what then cannot be looked at is said to be so.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from connector.scopes.zammad import BY_NAME, Condition, ScopeError, parse_scope
from connector.trackers.port import AccessRefused, Misconfigured, TrackerError
from connector.trackers.setup_port import LEND_ADMIN, USABLE, FieldType, Finding, Task, Wanted, WantedField, unseen
from connector.trackers.zammad_api import Json, ZammadApi
from connector.trackers.zammad_names import NameBook
from connector.trackers.zammad_reading import DUE_ATTRIBUTES, attribute, moment

_MEND = "connector provision makes it."
_NO_DUE = "The connector keeps no due date on tickets. All else works."
_BREAKS: Mapping[str, str] = {
    "field": "The fact is not known, so cases do not get as far as they could.",
    "migration": "New attributes are not kept.",
    "restart": "What is written into new attributes is lost.",
    "state": "The connector cannot move tickets there, and says so on each.",
    "webhook": "Changes are found by the poll only, some minutes later.",
    "webhook certificate": "Whoever stands between Zammad and the connector can read what it sends: whole tickets.",
    "webhook former": "What changes on tickets goes on being sent there.",
    "trigger": "Changes are found by the poll only, some minutes later.",
}
# What only administrators are shown -> how it is told that it was not looked at.
_ADMINS_ONLY: Mapping[str, str] = {
    "required": "Whether an attribute must be filled in when a ticket is edited",
    "migration": "Whether unfinished changes of attributes wait in Zammad",
    "webhook": "The webhook",
    "trigger": "The trigger",
}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MINOR = frozenset({"state", "webhook", "trigger"})
_RIGHTS = frozenset({"full", "read", "change"})


class Checks:
    """Each check is made even if one before it found something, as far as it can be."""

    def __init__(
        self,
        api: ZammadApi,
        names: NameBook,
        scope: str,
        plan: Callable[[Wanted], Sequence[Task]],
        attributes: Callable[[], Sequence[Json]],
        not_shown: Callable[[Wanted], Iterable[Finding]],
    ) -> None:
        self._api, self._names, self._scope = api, names, scope
        self._plan, self._attributes, self._not_shown = plan, attributes, not_shown

    def findings(self, wanted: Wanted) -> Iterator[Finding]:
        """See setup_port.Setup.findings."""
        try:
            me = self._api.get_object("users/me", about="source", params={"expand": "true"})
        except TrackerError as error:
            yield Finding("credentials", "error", error.message, "Nothing works.", "Mend this first, then check again.")
            return
        yield Finding("credentials", "ok", "Zammad takes the connector's token.")
        sample: Json | None = None
        try:
            scope = self._names.scope(parse_scope(self._scope))
            sample = self._sample(scope)
            yield _about_scope(sample)
            yield from self._about_groups(scope, me)
        except ScopeError as error:
            yield Finding("scope", "error", f"The scope {error}.", "No ticket is found.", "Mend the scope.")
        except TrackerError as error:
            mend = (
                "The account needs the permission ticket.agent, in its role and in its token, and access to the group."
            )
            yield Finding("scope", "error", error.message, "No ticket is found.", mend)
        try:
            yield from map(_of_task, self._plan(wanted))
            yield from self._not_shown(wanted)
            yield from self._about_required(wanted)
        except (AccessRefused, Misconfigured) as error:
            yield from self._as_an_agent(wanted, sample, error)

    def _sample(self, scope: Sequence[Condition]) -> Json | None:
        """A ticket in scope."""
        return next(iter(self._found(scope)), None)

    def _found(self, conditions: Sequence[Condition]) -> list[Json]:
        condition = {"operator": "AND", "conditions": list(conditions)}
        return self._api.ask("tickets/search", {"condition": condition, "per_page": 1, "page": 1, "expand": True})

    def _about_groups(self, scope: Sequence[Condition], me: Mapping[str, Any]) -> Iterator[Finding]:
        column = f"ticket.{BY_NAME['group']}"
        numbers = [
            number for each in scope if each["name"] == column and each["operator"] == "is" for number in each["value"]
        ]
        rights = me.get("group_ids")
        known: Mapping[str, Any] = rights if isinstance(rights, Mapping) else {}
        for number in numbers if isinstance(rights, Mapping) else []:
            mine = set(known.get(number) or []) & _RIGHTS
            if "full" in mine or {"read", "change"} <= mine:
                yield Finding(f"access {number}", "ok", "The account may read and change the group's tickets.")
            else:
                breaks = "The connector cannot write on the group's tickets."
                mend = "Give the connector's user full access to the group."
                yield Finding(
                    f"access {number}", "error", "The account may not change the group's tickets.", breaks, mend
                )
        for group in self._api_groups(numbers):
            if group.get("shared_drafts") is False:
                what = f'The group "{group.get("name")}" has no shared drafts.'
                mend = "Switch on shared drafts in the group, if letters are to wait there for sending."
                yield Finding(f"drafts {group['id']}", "warning", what, "Staff do not see the letter as a draft.", mend)

    def _api_groups(self, numbers: Sequence[str]) -> list[Json]:
        try:
            listed = self._api.get_list("groups", about="source")
        except AccessRefused:
            return []
        return [group for group in listed if str(group["id"]) in numbers]

    def _about_required(self, wanted: Wanted) -> Iterator[Finding]:
        """An attribute that must be filled in stops every edit while it is empty (facts: zammad 2.3)."""
        ours = {attribute(field.name) for field in wanted.fields}
        for each in self._attributes():
            editing = _deep(each, "screens", "edit", "ticket.agent") or _deep(each, "screens", "edit", "-all-")
            custom = each.get("editable") is not False and each.get("active") is not False
            if custom and isinstance(editing, Mapping) and editing.get("required") is True:
                what = f'The attribute "{each["name"]}" must be filled in when a ticket is edited.'
                breaks = "While it is empty on a ticket, the connector can comment there, and change nothing."
                level = "the mapping's fact" if each["name"] in ours else "it"
                mend = f"In Zammad, under Objects, let {level} be optional on the edit screen."
                yield Finding(f"required {each['name']}", "warning", what, breaks, mend)

    def _as_an_agent(self, wanted: Wanted, sample: Json | None, error: TrackerError) -> Iterator[Finding]:
        """Without an administrator's permissions: what a ticket shows, and what agents may list and search for."""
        for field in wanted.fields:
            yield self._field(field, sample)
        yield from self._due_date(sample)
        yield from _about_kinds(wanted, sample)
        for name in dict.fromkeys(wanted.statuses):
            yield self._state(name)
        why = "" if isinstance(error, AccessRefused) else f" {error.message}"
        for finding, what in _ADMINS_ONLY.items():
            yield _unseen(finding, what, why)

    def _field(self, field: WantedField, sample: Json | None) -> Finding:
        name = attribute(field.name)
        finding, what = f"field {field.fact}", f'The attribute "{name}" for {field.fact}'
        is_there = self._is_there(name, sample)
        if is_there is None:
            return _unseen(finding, what)
        if not is_there:
            return Finding(finding, "error", f"{what} is not there.", _BREAKS["field"], _MEND)
        value = sample.get(name) if sample else None
        if value not in (None, "") and not shapes(value) & USABLE[field.type]:
            told = f"{what} is of a kind that cannot hold this ({field.type}): on a ticket it holds {_told(value)}."
            return Finding(finding, "error", told, _BREAKS["field"], "Name another attribute in the mapping.")
        return Finding(finding, "ok", f"{what} is there.")

    def _due_date(self, sample: Json | None) -> Iterator[Finding]:
        are_there = [self._is_there(name, sample) for name in DUE_ATTRIBUTES]
        if True not in are_there and None in are_there:
            yield _unseen("field due_on", f'The attribute "{DUE_ATTRIBUTES[0]}"')
        elif True not in are_there:
            what = f'There is no attribute "{DUE_ATTRIBUTES[0]}".'
            yield Finding("field due_on", "warning", what, _NO_DUE, _MEND)

    def _is_there(self, name: str, sample: Json | None) -> bool | None:
        """Whether tickets have the attribute; None if that cannot be told.

        Without a ticket a search tells: it asks for one that there cannot be, and to a column that it does not have
        Zammad says 422 (facts: zammad 2.3). NULL can be asked of a column of any kind.
        """
        if sample is not None:
            return name in sample
        none: Condition = {"name": "ticket.id", "operator": "is", "value": ["0"]}
        is_null: Condition = {"name": f"ticket.{name}", "operator": "is", "pre_condition": "not_set", "value": []}
        try:
            self._found([none])
        except TrackerError:
            return None
        try:
            self._found([none, is_null])
        except Misconfigured:
            return False
        except TrackerError:
            return None
        return True

    def _state(self, name: str) -> Finding:
        try:
            found = self._names.find("state", name)
        except TrackerError:
            return _unseen(f"state {name}", f'The state "{name}"')
        if found is not None and found.active:
            return Finding(f"state {name}", "ok", f'There is a state "{name}".')
        what = f'There is no active state "{name}".'
        return Finding(f"state {name}", "warning", what, _BREAKS["state"], _MEND)


def shapes(value: object) -> frozenset[FieldType]:
    """The kinds of fields that may hold such a value. A text may look like a date."""
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, int | float):
        return frozenset({"number"})
    if not isinstance(value, str):
        return frozenset()
    looks_like: FieldType = "date" if _DAY.fullmatch(value) else "datetime" if moment(value) else "text"
    return frozenset({looks_like, "text", "select"})


def _about_kinds(wanted: Wanted, sample: Json | None) -> Iterator[Finding]:
    """The kind of an attribute that is empty on the ticket, or holds a text, is not known."""
    names = [attribute(field.name) for field in wanted.fields]
    unknown = [name for name in names if not isinstance((sample or {}).get(name), int | float)]
    if unknown:
        yield _unseen("kinds", f"The kind of {', '.join(unknown)}")


def _told(value: object) -> str:
    """What sort of value it is; not the value, which is of a person's ticket."""
    return "yes or no" if isinstance(value, bool) else "a number" if isinstance(value, int | float) else "a list"


def _unseen(finding: str, what: str, why: str = "") -> Finding:
    return unseen(finding, f"{what} could not be looked at with this token.{why}", LEND_ADMIN)


def _about_scope(sample: Json | None) -> Finding:
    if sample is not None:
        return Finding("scope", "ok", "The scope finds tickets.")
    breaks = "If there are cases already, the connector does not see them."
    mend = "Check the scope, and the account's access to the group. An empty group is all right."
    return Finding("scope", "warning", "The scope finds no ticket.", breaks, mend)


def _of_task(task: Task) -> Finding:
    """What set-up would make or ask for, as a finding."""
    kind = task.id.partition(" ")[0]
    if task.state == "there":
        return Finding(task.id, "ok", task.what)
    minor = kind in _MINOR or task.id == "field due_on"
    breaks = _NO_DUE if task.id == "field due_on" else _BREAKS.get(task.id) or _BREAKS[kind]
    what = task.trouble or f"Lacking: {task.what}"
    return Finding(task.id, "warning" if minor else "error", what, breaks, task.by_hand or _MEND)


def _deep(value: object, *keys: str) -> object:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
