"""From Request Tracker's JSON to a Ticket. Pure. Shapes: REST 2 of RT 5; facts: request-tracker, "REST2 quirks"."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from difflib import get_close_matches
from typing import Any

from connector.inquiry.markup import find_refs
from connector.trackers.port import Change, Misconfigured, PlainValue, Ticket

# The custom field of transactions that holds a comment's refs.
REFS_FIELD = "Connector Refs"

# How RT says that a date is not set: of a date and time, of a day (which depends on the time zone of who emptied it),
# and in its history.
_UNSET = frozenset({"", "1970-01-01T00:00:00Z", "1970-01-01", "1969-12-31", "1970-01-01 00:00:00"})
_TICK = timedelta(microseconds=1)
_CLOSED = frozenset({"resolved", "rejected", "deleted", "answered", "closed"})
_REF = re.compile(r"\b[0-9a-f]{8}\b")
_FIELD_ID = re.compile(r"customfield_(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CustomField:
    """A custom field as it stands on a ticket. `values` holds what is set, oldest first."""

    id: str
    name: str
    values: tuple[str, ...] = ()

    @property
    def value(self) -> PlainValue:
        """None if nothing is set; a list where several values are."""
        return list(self.values) if len(self.values) > 1 else next(iter(self.values), None)


def read_ticket(raw: Mapping[str, Any], fields: Sequence[str], time_zone: tzinfo = UTC) -> Ticket:
    """A ticket from the JSON of GET /REST/2.0/ticket/N, without a Request Tracker.

    That JSON tells no comments and no history, nor whether a status is a closed one: here those are that RT's own
    lifecycles and ours call closed. `time_zone` is the office's, for the day on which the ticket is due. Raises
    Misconfigured, with what to do, if it is no ticket or lacks a field.
    """
    if not isinstance(raw, Mapping) or not isinstance(raw.get("CustomFields"), list):
        raise Misconfigured("This is not a ticket: the JSON of GET /REST/2.0/ticket/N is an object with CustomFields.")
    closed = str(raw.get("Status")).casefold() in _CLOSED
    return ticket_of(raw, fields, closed=closed, time_zone=time_zone)


def ticket_of(
    raw: Mapping[str, Any],
    fields: Sequence[str],
    *,
    closed: bool,
    time_zone: tzinfo,
    rows: Iterable[Mapping[str, Any]] = (),
    refs: frozenset[str] = frozenset(),
) -> Ticket:
    """The ticket, its fields by what the mapping calls them. `rows` are transactions of its history, oldest first."""
    found = find_fields(raw, fields)
    ticket_id = str(raw.get("id") or "")
    due = moment(raw.get("Due"))
    return Ticket(
        id=ticket_id,
        key=ticket_id,
        status=str(raw.get("Status") or ""),
        closed=closed,
        fields={name: field.value for name, field in found.items()},
        labels={name: field.name for name, field in found.items()},
        due_on=due.astimezone(time_zone).date() if due else None,
        updated_at=moment(raw.get("LastUpdated")),
        history=tuple(history(rows, found, time_zone)),
        refs=refs,
        raw=raw,
    )


def custom_fields(raw: Mapping[str, Any]) -> list[CustomField]:
    """The custom fields of a ticket or a transaction: those that the account may see, set or not."""
    listed = raw.get("CustomFields")
    return [
        CustomField(str(each.get("id")), str(each.get("name")), tuple(_set_values(each.get("values"))))
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, Mapping)
    ]


def find_fields(raw: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, CustomField]:
    """Each wanted field, by what the mapping calls it: the name, or `customfield_7` where names are not unique.

    Raises Misconfigured for one that the ticket does not have, and for a name that several of its fields carry.
    """
    fields = custom_fields(raw)
    return {name: _find(name, fields) for name in wanted}


def lacking(raw: Mapping[str, Any], wanted: Iterable[str]) -> set[str]:
    """Those of the wanted fields for which find_fields raises."""
    fields, found = custom_fields(raw), set()
    for name in wanted:
        try:
            _find(name, fields)
        except Misconfigured:
            found.add(name)
    return found


def _find(wanted: str, fields: Sequence[CustomField]) -> CustomField:
    by_id = _FIELD_ID.fullmatch(wanted)
    found = [each for each in fields if by_id and each.id == by_id[1]]
    found = found or [each for each in fields if each.name == wanted]
    found = found or [each for each in fields if _folded(each.name) == _folded(wanted)]
    if len(found) > 1:
        ids = ", ".join(sorted(f"customfield_{each.id}" for each in found))
        raise Misconfigured(
            f'Several custom fields are called "{wanted}": {ids}. Write the right one of these in the mapping.'
        )
    if not found:
        near = get_close_matches(wanted, [each.name for each in fields], n=1)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        raise Misconfigured(
            f'A ticket in scope has no custom field "{wanted}" that the connector\'s account can see.{hint} Apply the '
            "field to the ticket's queue, and grant the account SeeCustomField on it."
        )
    return found[0]


def history(
    rows: Iterable[Mapping[str, Any]], fields: Mapping[str, CustomField], time_zone: tzinfo = UTC
) -> Iterator[Change]:
    """The changes that transactions of the types Status and CustomField, and those of the due date (Set), tell.

    A field that takes several values tells of a new value first and of the old one's end after it; only a field in
    which nothing is left was emptied. The status is told in small letters. Stamps are of whole seconds: those of one
    second are set apart by a microsecond, so that what came later is later.
    """
    present: dict[str, str] = {}
    names = {field.id: name for name, field in fields.items()}
    last = datetime.min.replace(tzinfo=UTC)
    for row in rows:
        stamp = moment(row.get("Created"))
        new, old = _plain(row.get("NewValue")), _plain(row.get("OldValue"))
        if stamp is None:
            continue
        last = at = stamp if stamp > last else last + _TICK
        if row.get("Type") == "Status":
            yield Change("status", new, at)
        if row.get("Type") == "Set" and row.get("Field") == "Due":
            yield Change("due", _day_in_history(new, time_zone), at)
        name = names.get(str(row.get("Field")))
        if row.get("Type") == "CustomField" and name is not None:
            if not new and present.get(name, old) != old:
                continue  # the end of a value that another one has replaced
            present[name] = new
            yield Change(name, new, at)


def refs_in_field(row: Mapping[str, Any]) -> frozenset[str]:
    """The refs that a comment carries in its transaction's custom field."""
    values = [value for field in custom_fields(row) if field.name == REFS_FIELD for value in field.values]
    return frozenset(_REF.findall(" ".join(values)))


def refs_in_text(content: object) -> frozenset[str]:
    """The refs in a comment's own text, whoever wrote it."""
    return find_refs(content) if isinstance(content, str) else frozenset()


def moment(value: object) -> datetime | None:
    """`2026-11-24T05:02:31Z` as an aware moment in UTC; None for what is not set, or no moment of ours."""
    if not isinstance(value, str) or value in _UNSET:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    # At either end of the calendar another time zone's day would lie outside of it.
    return at.astimezone(UTC) if at.tzinfo and 1 < at.year < 9999 else None


def day(value: object) -> date | None:
    """`2026-11-24` as a day; None for what is not set."""
    try:
        return date.fromisoformat(value) if isinstance(value, str) and value not in _UNSET else None
    except ValueError:
        return None


def _set_values(values: object) -> Iterator[str]:
    # What is not set may be an empty list, [null], or the year 1970. Images and files are objects, and no facts.
    for value in values if isinstance(values, list) else []:
        if isinstance(value, str | int | float) and str(value) not in _UNSET:
            yield str(value)


def _plain(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return "" if text in _UNSET else text


def _day_in_history(text: str, time_zone: tzinfo) -> str:
    """`2026-05-01 21:00:00`, in UTC and without saying so, as the office's day; "" for what is not set."""
    at = moment(f"{text}+00:00") if text else None
    return at.astimezone(time_zone).date().isoformat() if at else ""


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()
