"""What the set-up commands ask of a tracker: what is there, what is lacking, and to make it.

Used by `connector provision`, `discover` and `check --live` alone; attention never changes a tracker's configuration.
Nothing that this port did not make is ever edited or deleted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Literal, Protocol

FieldType = Literal["text", "date", "datetime", "number", "select", "boolean"]

# How what only administrators are shown can be looked at all the same.
LEND_ADMIN = (
    "Lend an administrator's account: connector check --live SOURCE --user NAME --token-env VARIABLE "
    "(--token-env alone for a token that needs no user beside it)."
)

# A fact that is at home in the kind on the left can also live in those on the right: connector.mapping.reading reads
# them, whatever the tracker, and moments can be written into them.
USABLE: Mapping[FieldType, frozenset[FieldType]] = MappingProxyType(
    {
        "text": frozenset({"text", "select", "number"}),
        "date": frozenset({"date", "datetime", "text"}),
        "datetime": frozenset({"datetime", "date", "text"}),
        "number": frozenset({"number", "text", "select"}),
        "select": frozenset({"select", "text"}),
        "boolean": frozenset({"boolean", "select", "text"}),
    }
)


@dataclass(frozen=True, slots=True)
class WantedField:
    """A field that the mapping names. `name` is what the mapping calls it (name or id)."""

    fact: str
    name: str
    type: FieldType
    help: str  # one sentence for staff, shown beside the field where the tracker can
    options: tuple[str, ...] = ()  # for select


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a source needs in its tracker. `webhook_url` is where the tracker reaches the connector; None: not known."""

    fields: tuple[WantedField, ...]
    statuses: tuple[str, ...]
    webhook_url: str | None
    webhook_secret: Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that set-up would do. `by_hand` says how, where the tracker's API does not allow it."""

    id: str  # stable and short: "field receipt_number", "webhook"
    what: str  # one sentence: what is made
    state: Literal["there", "lacking", "by_hand"]
    by_hand: str = ""
    trouble: str = ""  # a sentence: what is there in its place and cannot serve, such as a field of the wrong kind


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of the live tracker. `id` is stable; `breaks` and `mend` are sentences, empty where all is well.

    `unseen` is what could not be looked at: neither well nor wrong.
    """

    id: str
    level: Literal["ok", "unseen", "warning", "error"]
    what: str
    breaks: str = ""
    mend: str = ""


def well(finding: str, what: str) -> Finding:
    """A check that found nothing wrong."""
    return Finding(finding, "ok", what)


def unseen(finding: str, what: str, mend: str = "") -> Finding:
    """A check that could not be made. `what` says that it was not looked at, and why; `mend` how it could be."""
    return Finding(finding, "unseen", what, mend=mend)


def wrong(finding: str, what: str, breaks: str, mend: str) -> Finding:
    """A check that found something broken."""
    return Finding(finding, "error", what, breaks, mend)


@dataclass(frozen=True, slots=True)
class FoundField:
    """A field that the tracker has. `type` is None for kinds that no fact can live in."""

    id: str
    name: str
    type: FieldType | None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the tracker has, for drafting a mapping."""

    fields: tuple[FoundField, ...]
    statuses: tuple[str, ...]


class Setup(Protocol):
    """The set-up side of one tracker. Raises TrackerError like the tracker port."""

    def inventory(self) -> Inventory:
        """Fields and statuses within the source's scope."""

    def plan(self, wanted: Wanted) -> Sequence[Task]:
        """Everything that is wanted, and whether it is there. Changes nothing."""

    def carry_out(self, wanted: Wanted, task: Task) -> None:
        """Make one lacking thing. Made twice, it is there once."""

    def findings(self, wanted: Wanted) -> Sequence[Finding]:
        """Credentials, permissions one by one, fields with usable types, statuses reachable, comments internal,
        webhook there, enabled and pointing at us. Changes nothing; goes on after a finding wherever it can."""


class OpenSetup(Setup, Protocol):
    """A Setup with connections to give back."""

    def close(self) -> None:
        """Give back connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupConnection:
    """What a mapping says of its tracker, as far as set-up needs it."""

    source: str  # the source's name, by which its webhook is known where our own address is not
    url: str
    user: str | None
    token: Callable[[], str]  # read when it is used; raises AccessRefused
    scope: str
    internal_comments: bool
    clock: Callable[[], datetime]
