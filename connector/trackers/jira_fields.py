"""Which of Jira's fields the mapping means: by id (`customfield_10051`, `duedate`) or by name.

Ids are opaque and differ from site to site, and names need not be unique (facts: jira 2, "Metadata"): a name that two
fields carry is refused rather than guessed.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from connector.trackers.port import Misconfigured, Unavailable

# A list older than this is read again when a ticket lacks a field that the mapping names.
STALE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class JiraField:
    """A field of this Jira. `kind` is its schema's type: string, date, datetime, number, option, array, ..."""

    id: str
    name: str
    kind: str = ""


def find_field(wanted: str, fields: Sequence[JiraField]) -> JiraField | None:
    """The field with that id; else with that name; else with that name but for upper and lower case; else None.

    Raises Misconfigured, naming the ids, if several fields carry the name.
    """
    ways: tuple[Callable[[JiraField], bool], ...] = (
        lambda each: each.id == wanted,
        lambda each: each.name == wanted,
        lambda each: _folded(each.name) == _folded(wanted),
        lambda each: each.id.casefold() == _folded(wanted),
    )
    for is_it in ways:
        found = [each for each in fields if is_it(each)]
        if len(found) > 1:
            ids = ", ".join(sorted(each.id for each in found))
            raise Misconfigured(
                f'Several fields of this Jira are called "{wanted}": {ids}. '
                "Write the id of the right one in the mapping."
            )
        if found:
            return found[0]
    return None


def unknown_field(wanted: str, fields: Iterable[JiraField]) -> Misconfigured:
    """What to tell the admin about a field that is not there, or not visible to the account."""
    names = sorted({each.name for each in fields})
    folded = {_folded(name): name for name in names}
    near = [f'"{folded[each]}"' for each in get_close_matches(_folded(wanted), folded, n=3, cutoff=0.6)]
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return Misconfigured(f'This Jira has no field "{wanted}" that the connector\'s account can see.{hint}')


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


class FieldBook:
    """The fields of one Jira, read when first needed and again when they prove to have changed. Thread safe."""

    def __init__(self, load: Callable[[], Any], clock: Callable[[], datetime]) -> None:
        self._load, self._clock = load, clock
        self._lock = threading.Lock()
        self._fields: tuple[JiraField, ...] = ()
        self._read_at: datetime | None = None

    def find(self, wanted: str) -> JiraField:
        """The field the mapping means. Raises Misconfigured if there is none, or more than one."""
        fields, fresh = self._known()
        found = find_field(wanted, fields)
        if found is None and not fresh:
            fields = self.read_again()
            found = find_field(wanted, fields)
        if found is None:
            raise unknown_field(wanted, fields)
        return found

    def find_all(self, wanted: Iterable[str]) -> Mapping[str, JiraField]:
        """Each of the wanted fields, by what the mapping calls it."""
        return {name: self.find(name) for name in wanted}

    def label(self, field_id: str) -> str:
        """The name of the field with that id as far as it is known by now; makes no call."""
        return next((each.name for each in self._fields if each.id == field_id), field_id)

    def read_again(self) -> Sequence[JiraField]:
        """Ask Jira for its fields, whatever is known."""
        fields = tuple(_fields(self._load()))
        with self._lock:
            self._fields, self._read_at = fields, self._clock()
        return fields

    def read_again_if_stale(self) -> bool:
        """Whether the list was older than STALE, and so was read again."""
        with self._lock:
            stale = self._read_at is not None and self._clock() - self._read_at > STALE
        if stale:
            self.read_again()
        return stale

    def _known(self) -> tuple[Sequence[JiraField], bool]:
        """(the fields, whether they were read just now)."""
        with self._lock:
            fields, known = self._fields, self._read_at is not None
        return (fields, False) if known else (self.read_again(), True)


def _fields(listed: object) -> Iterable[JiraField]:
    """The answer of GET /field: objects with id, name and schema (status and a few others have no schema)."""
    if not isinstance(listed, list):
        raise Unavailable("Jira's list of fields has not the form that its documentation tells.")
    for each in listed:
        if isinstance(each, dict) and isinstance(each.get("id"), str):
            schema = each.get("schema")
            kind = schema.get("type") if isinstance(schema, dict) else None
            yield JiraField(each["id"], str(each.get("name") or each["id"]), kind if isinstance(kind, str) else "")
