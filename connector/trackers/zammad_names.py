"""The states, groups and priorities of one Zammad, by name and by number.

Names may be changed by an admin at any time, and are read again when one is not found (facts: zammad 3.2).
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from connector.scopes.zammad import Clause, Condition, conditions
from connector.trackers.port import AccessRefused, Misconfigured, Unavailable
from connector.trackers.zammad_api import Json, ZammadApi

# What was read is read again after this time: an admin may have renamed or switched off a state.
STALE = timedelta(minutes=10)

# Types of states in which nothing is waited for any more. A merged ticket's articles are with another ticket.
CLOSED_TYPES = frozenset({"closed", "merged", "removed"})
PENDING_TYPES = frozenset({"pending reminder", "pending action"})

_PATHS = {"state": "ticket_states", "group": "groups", "priority": "ticket_priorities"}


@dataclass(frozen=True, slots=True)
class Named:
    """A state, group or priority. `type` is a state's type, else ""."""

    id: int
    name: str
    type: str = ""
    active: bool = True

    @property
    def is_closed(self) -> bool:
        return self.type in CLOSED_TYPES

    @property
    def is_pending(self) -> bool:
        return self.type in PENDING_TYPES


class NameBook:
    """Read when first needed. Thread safe."""

    def __init__(self, api: ZammadApi, clock: Callable[[], datetime]) -> None:
        self._api, self._clock = api, clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[datetime, tuple[Named, ...]]] = {}

    def all(self, kind: str, *, anew: bool = False) -> Sequence[Named]:
        """Every `kind` ("state", "group", "priority"), those switched off included."""
        now = self._clock()
        with self._lock:
            read_at, known = self._known.get(kind, (None, ()))
        if not anew and read_at is not None and abs(now - read_at) < STALE:
            return known
        read = tuple(_named(each) for each in self._read(kind))
        with self._lock:
            self._known[kind] = (now, read)
        return read

    def find(self, kind: str, name: str) -> Named | None:
        """The one of that name, in whatever case; read again if it is not known."""
        return _called(self.all(kind), name) or _called(self.all(kind, anew=True), name)

    def state(self, state_id: object) -> Named:
        """The state of that number. Raises Unavailable if Zammad does not tell of it."""
        for anew in (False, True):
            found = next((each for each in self.all("state", anew=anew) if each.id == state_id), None)
            if found:
                return found
        raise Unavailable("Zammad's list of states lacks the state of a ticket.")

    def open_states(self) -> list[Named]:
        return [each for each in self.all("state", anew=True) if not each.is_closed]

    def number(self, kind: str, name: str) -> str:
        """The number of a group, state or priority that the scope names. Raises Misconfigured if there is none."""
        found = self.find(kind, name)
        if found is None:
            names = {each.name.casefold(): each.name for each in self.all(kind)}
            near = [f'"{names[each]}"' for each in get_close_matches(name.casefold(), names, n=3, cutoff=0.6)]
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise Misconfigured(f'The scope names the {kind} "{name}", which this Zammad does not have.{hint}')
        return str(found.id)

    def scope(self, clauses: Sequence[Clause]) -> list[Condition]:
        """The scope as search conditions."""
        return conditions(clauses, self.number)

    def _read(self, kind: str) -> Sequence[Json]:
        try:
            return self._api.get_list(_PATHS[kind], about="source", params={"expand": "true"})
        except AccessRefused:
            if kind != "group":
                raise
        # Before 6.5 only administrators may list groups; an agent's own come with the account.
        me = self._api.get_object("users/me", about="source", params={"full": "true"})
        groups = me.get("assets", {}).get("Group") if isinstance(me.get("assets"), Mapping) else None
        if not isinstance(groups, Mapping) or not groups:
            raise Misconfigured(
                "This account may not list Zammad's groups. Give its role and token the permission admin.group, or "
                "write the group's number in the scope: group_id = 2"
            )
        return [each for each in groups.values() if isinstance(each, dict)]


def _named(raw: Mapping[str, Any]) -> Named:
    number, name = raw.get("id"), raw.get("name")
    if not isinstance(number, int) or not isinstance(name, str):
        raise Unavailable("Zammad's answer has not the form that its documentation tells: no id and name.")
    return Named(number, name, str(raw.get("state_type") or ""), raw.get("active") is not False)


def _called(names: Sequence[Named], wanted: str) -> Named | None:
    """An active one first; one that is written exactly so first among those."""
    found = [each for each in names if fold(each.name) == fold(wanted)]
    return min(found, key=lambda each: (not each.active, each.name != wanted), default=None)


def fold(name: str) -> str:
    return " ".join(name.split()).casefold()
