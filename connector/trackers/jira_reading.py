"""From Jira's JSON of an issue (REST v2, both deployments) to a Ticket. Pure. Shapes: facts, jira 1.1."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from connector.inquiry.markup import find_refs
from connector.trackers.jira_fields import JiraField, find_field
from connector.trackers.port import Change, Misconfigured, PlainValue, Ticket

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_FIELD_ID = re.compile(r"customfield_\d+")


def read_ticket(raw: Mapping[str, Any], fields: Sequence[str]) -> Ticket:
    """A ticket from the JSON of GET /rest/api/2/issue/KEY, without a Jira.

    `fields` are named as in the mapping: by id, or by name if the JSON was fetched with `?expand=names` (or names its
    fields so itself). What the JSON leaves out is empty. Comments and history that stand in it are read, too. Raises
    Misconfigured, with what to do, if it is no issue or none of the names can be found in it.
    """
    if not isinstance(raw, Mapping):
        raise Misconfigured("This is not a ticket: the JSON of GET /rest/api/2/issue/KEY is an object.")
    changelog = raw.get("changelog")
    histories = changelog.get("histories") if isinstance(changelog, Mapping) else None
    return ticket_of(raw, _named_in(raw, fields), _objects(histories))


def ticket_of(
    raw: Mapping[str, Any], fields: Mapping[str, JiraField], histories: Iterable[Mapping[str, Any]] = ()
) -> Ticket:
    """The ticket, its fields by what the mapping calls them. `histories` are entries of its changelog, in any order."""
    values = _object(raw.get("fields"))
    status = _object(values.get("status"))
    return Ticket(
        id=str(raw.get("id") or ""),
        key=str(raw.get("key") or ""),
        status=str(status.get("name") or ""),
        closed=_object(status.get("statusCategory")).get("key") == "done",
        fields={name: plain(values.get(field.id)) for name, field in fields.items()},
        labels={name: field.name for name, field in fields.items()},
        due_on=_day(values.get("duedate")),
        updated_at=moment(values.get("updated")),
        history=tuple(change for entry in sorted(histories, key=_age) for change in _changes(entry, fields)),
        refs=refs_in(_objects(_object(values.get("comment")).get("comments"))),
        raw=raw,
    )


def refs_in(comments: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The refs in comments, whoever wrote them: people share accounts, and an account may be replaced."""
    bodies = [comment.get("body") for comment in comments]
    return frozenset().union(*(find_refs(body) for body in bodies if isinstance(body, str)))


def plain(value: object) -> PlainValue:
    """A field's value without Jira's wrapping.

    A select is the text of its choice, a cascading one "A / B", a person the name shown; a list is a list of those.
    None for what is empty, and for objects of apps that nobody can read.
    """
    if isinstance(value, list):
        return [text for text in map(_text, value) if text is not None]
    if isinstance(value, Mapping):
        return _text_of_object(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float) else None


def moment(value: object) -> datetime | None:
    """`2026-03-01T10:15:00.000-0500` as an aware moment in UTC, or None."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _text(value: object) -> str | None:
    single = plain(value)
    return str(single) if single is not None and not isinstance(single, list) else None


def _text_of_object(value: Mapping[str, Any]) -> str | None:
    # displayName before name: on Data Center a person's name is the login.
    whole = next((text for key in ("value", "displayName", "name") if (text := _text(value.get(key)))), None)
    child = value.get("child")
    part = _text_of_object(child) if isinstance(child, Mapping) else None
    return f"{whole} / {part}" if whole and part else whole


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _age(entry: Mapping[str, Any]) -> tuple[datetime, int]:
    """What orders entries of the history, oldest first. Those of one moment are told apart by their ids, which rise."""
    number = str(entry.get("id") or "")
    return moment(entry.get("created")) or _LONG_AGO, int(number) if number.isdecimal() and len(number) < 20 else 0


def _changes(entry: Mapping[str, Any], fields: Mapping[str, JiraField]) -> Iterator[Change]:
    at = moment(entry.get("created"))
    if at is None:
        return
    for item in _objects(entry.get("items")):
        to = str(item.get("toString") or "")  # the key is called so; it is no function of JavaScript
        yield from (Change(name, to, at) for name in _changed(item, fields))
        if _is_system_field(item, "duedate"):
            day = _day(str(item.get("to") or to)[:10])
            yield Change("due", day.isoformat() if day else "", at)


def _changed(item: Mapping[str, Any], fields: Mapping[str, JiraField]) -> Iterator[str]:
    """What the item is about: "status", or the mapped fields. Only Cloud gives `fieldId`; elsewhere the name counts."""
    if _is_system_field(item, "status"):
        yield "status"
    field_id, name = item.get("fieldId"), str(item.get("field") or "")
    for mapped, field in fields.items():
        if field_id == field.id or (field_id is None and name.casefold() in {field.id, field.name.casefold()}):
            yield mapped


def _is_system_field(item: Mapping[str, Any], name: str) -> bool:
    if item.get("fieldId") is not None:
        return bool(item["fieldId"] == name)
    return item.get("field") == name and item.get("fieldtype") != "custom"


def _named_in(raw: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, JiraField]:
    values, names = _object(raw.get("fields")), _object(raw.get("names"))
    known = [JiraField(field_id, str(name)) for field_id, name in names.items()]
    found = {
        name: JiraField(name, str(names.get(name) or name)) if name in values else find_field(name, known)
        for name in wanted
    }
    by_name = [name for name in wanted if not _FIELD_ID.fullmatch(name)]
    if by_name and not any(found[name] for name in by_name):
        raise Misconfigured(
            "The mapping calls fields by their names, and this JSON has none. Fetch the ticket with ?expand=names, or "
            "write the fields' ids in the mapping."
        )
    return {name: field or JiraField(name, name) for name, field in found.items()}


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    """The objects of a list; nothing if it is none."""
    yield from (each for each in value if isinstance(each, Mapping)) if isinstance(value, list) else ()
