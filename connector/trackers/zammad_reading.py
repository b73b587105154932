"""From Zammad's JSON of a ticket (`?expand=true`) and its articles to a Ticket. Pure. Facts: zammad 1.4, 2.3."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from connector.inquiry.markup import find_refs
from connector.trackers.port import Change, Misconfigured, PlainValue, Ticket

# Where an article keeps its refs: Zammad stores an article's preferences as they are sent (facts: zammad 2.4).
PREFERENCE = "inquiry_connector"

# Zammad has no due date of its own. An attribute of one of these names is taken for it, the first that is there.
DUE_ATTRIBUTES = ("due_on", "due_date")

# As everybody writes them who will read a label. Internal names have small letters only.
_ABBREVIATIONS = {word.lower(): word for word in ("NCSC", "USCIS", "RFE", "HQ", "DHS", "ID")}

# Where only the ticket is at hand, the names that Zammad's own closed states have tell which is one.
_CLOSED_NAMES = frozenset({"closed", "merged"})

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def read_ticket(raw: Mapping[str, Any], fields: Sequence[str]) -> Ticket:
    """A ticket from the JSON of GET /api/v1/tickets/N?expand=true, without a Zammad.

    Beside it may stand `articles`, the list of GET /api/v1/ticket_articles/by_ticket/N, and `history`, the list in
    GET /api/v1/ticket_history/N. `fields` are attributes' internal names. What the JSON leaves out is empty. A ticket
    counts as closed if its state is called so. Raises Misconfigured, with what to do, if it is no such ticket or has
    none of the fields.
    """
    if not isinstance(raw, Mapping) or "number" not in raw:
        raise Misconfigured("This is not a ticket: the JSON of GET /api/v1/tickets/N?expand=true is an object.")
    if not isinstance(raw.get("state"), str):
        raise Misconfigured("This JSON has numbers instead of names. Fetch the ticket with ?expand=true.")
    if fields and not any(attribute(name) in raw for name in fields):
        raise Misconfigured(
            "None of the mapping's attributes is in this JSON. Write their internal names in the mapping."
        )
    return ticket_of(
        raw,
        fields,
        status=raw["state"],
        closed=raw["state"].casefold() in _CLOSED_NAMES,
        articles=_objects(raw.get("articles")),
        histories=_objects(raw.get("history")),
    )


def ticket_of(
    raw: Mapping[str, Any],
    fields: Sequence[str],
    *,
    status: str,
    closed: bool,
    articles: Iterable[Mapping[str, Any]],
    histories: Iterable[Mapping[str, Any]] = (),
) -> Ticket:
    """The ticket, its fields by what the mapping calls them. `histories` are entries of its history, in any order."""
    due = due_attribute(raw, fields)
    return Ticket(
        id=str(raw.get("id") or ""),
        key=str(raw.get("number") or ""),
        status=status,
        closed=closed,
        fields={name: plain(raw.get(attribute(name))) for name in fields},
        labels={name: label(name) for name in fields},
        due_on=day(raw.get(due)) if due else None,
        updated_at=moment(raw.get("updated_at")),
        history=tuple(_changes(histories, fields, due)),
        refs=refs_in(articles),
        raw=raw,
    )


def attribute(name: str) -> str:
    """The internal name of the attribute that the mapping means: always in small letters (facts: zammad 3.1)."""
    return name.strip().lower()


def label(name: str) -> str:
    """An attribute as staff may be told of it. What the screen calls it only administrators may ask Zammad for."""
    words = " ".join(_ABBREVIATIONS.get(word, word) for word in attribute(name).split("_") if word)
    words = re.sub(r"\ba number\b", "A-number", words)
    return words[:1].upper() + words[1:]


def due_attribute(raw: Mapping[str, Any], fields: Sequence[str]) -> str | None:
    """The attribute that holds the due date; None if this Zammad has none, or the mapping uses it for a fact."""
    taken = {attribute(name) for name in fields}
    return next((name for name in DUE_ATTRIBUTES if name in raw and name not in taken), None)


def refs_in(articles: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The refs of articles, whoever wrote them: those kept beside the text, and those that can be read in it."""
    refs: set[str] = set()
    for article in articles:
        refs |= kept_refs(article)
        body = article.get("body")
        if isinstance(body, str):
            refs |= find_refs(body)
    return frozenset(refs)


def kept_refs(article: Mapping[str, Any]) -> frozenset[str]:
    """The refs in an article's preferences."""
    preferences = article.get("preferences")
    ours = preferences.get(PREFERENCE) if isinstance(preferences, Mapping) else None
    refs = ours.get("refs") if isinstance(ours, Mapping) else None
    return frozenset(ref for ref in refs if isinstance(ref, str)) if isinstance(refs, list) else frozenset()


def plain(value: object) -> PlainValue:
    """A value as the port has it. A list to choose from gives its key, an external source what is shown of it."""
    if isinstance(value, list):
        return [str(single) for each in value if (single := plain(each)) is not None and not isinstance(single, list)]
    if isinstance(value, Mapping):
        shown = value.get("label") or value.get("value")
        return shown if isinstance(shown, str) else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float) and value != "" else None


def moment(value: object) -> datetime | None:
    """`2026-03-01T12:00:00.333Z` as an aware moment in UTC, or None."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def day(value: object) -> date | None:
    """The day of `2026-05-01`; of a date-time its day in UTC, which is how a day is kept in such an attribute."""
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def _changes(histories: Iterable[Mapping[str, Any]], fields: Sequence[str], due: str | None) -> Iterator[Change]:
    """Changes of the state, the due date and mapped fields, oldest first; those of one moment in the order of ids."""
    names = {attribute(name): name for name in fields}
    names["state"] = "status"
    if due:
        names[due] = "due"
    for entry in sorted(histories, key=_age):
        at, name = moment(entry.get("created_at")), names.get(str(entry.get("attribute")))
        if at and name and entry.get("object", "Ticket") == "Ticket" and entry.get("type") == "updated":
            to = str(entry.get("value_to") or "")
            if name == "due":
                became = day(to)  # whatever the attribute's kind
                to = became.isoformat() if became else ""
            yield Change(name, to, at)


def _age(entry: Mapping[str, Any]) -> tuple[datetime, int]:
    number = entry.get("id")
    return moment(entry.get("created_at")) or _LONG_AGO, number if isinstance(number, int) else 0


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    yield from (each for each in value if isinstance(each, Mapping)) if isinstance(value, list) else ()
