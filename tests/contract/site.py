"""What the contract suite asks of whoever brings a tracker to it.

A site is one tracker with a place for cases, and what people would do there. The suite knows fields by what they hold
(`text`, `date`, ...), and nothing of the tracker. What a site has no way to show stands in `cannot`, with the reason.

A tracker in a package of its own registers a site by an entry point, and is then held to the same suite:

    [project.entry-points."inquiry_connector.contract_sites"]
    notebook = "notebook.contract:site"     # called without arguments: a context manager of a Site

and is tried in a checkout of this project, with that package installed beside it: pytest tests/contract -k notebook
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol

from connector.trackers.port import Connection, Kind
from tests.contract.wire import Wire

GROUP = "inquiry_connector.contract_sites"

# What a field holds. `flag` is a box to tick, or whatever else says yes.
Holds = Literal["text", "date", "datetime", "number", "choice", "flag"]
Value = str | date | datetime | float | bool | None

CHOICE = "California"
OTHER_CHOICE = "Texas"
HOOK_SECRET = "a secret that signs webhooks"


@dataclass(frozen=True)
class Statuses:
    """Tickets begin in `first`; each leads to each of the others."""

    first: str
    second: str
    third: str
    closed: str


@dataclass(frozen=True)
class Said:
    """A comment on a ticket. `internal`: customers do not see it."""

    text: str
    internal: bool


@dataclass(frozen=True)
class Hook:
    """A webhook as it came, signed with HOOK_SECRET or with `secret`."""

    headers: Mapping[str, str]
    body: bytes
    secret: str = HOOK_SECRET


class Site(Protocol):
    """One tracker and its people.

    connection  for tickets in scope, with all of `fields`, comments internal; its url leads over `wire`
    wire        the way there; None if it is not reached by HTTP, and then what goes wrong on the way is not tried
    fields      what the mapping calls the field that holds each of these; one for every Holds
    page        so many tickets fill a page of a search
    no_moment   what is held by a field into which no moment can be written
    cannot      behaviour (a test's name without test_) -> why it cannot be tried here
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def connection(self) -> Connection: ...
    @property
    def wire(self) -> Wire | None: ...
    @property
    def fields(self) -> Mapping[Holds, str]: ...
    @property
    def statuses(self) -> Statuses: ...
    @property
    def page(self) -> int: ...
    @property
    def no_moment(self) -> Holds: ...
    @property
    def cannot(self) -> Mapping[str, str]: ...

    def create(self, **values: Value) -> str:
        """A new ticket in scope, in the first status; its id. Values by what the fields hold."""

    def foreign(self) -> str:
        """The id of a ticket that is not in scope."""

    def edit(self, ticket_id: str, **values: Value) -> None:
        """A person fills fields in; None empties one."""

    def set_due(self, ticket_id: str, day: date | None) -> None: ...

    def due(self, ticket_id: str) -> date | None: ...

    def value(self, ticket_id: str, holds: Holds) -> object:
        """What the field holds, however the tracker keeps it."""

    def move(self, ticket_id: str, status: str) -> None: ...

    def delete(self, ticket_id: str) -> None: ...

    def leave_scope(self, ticket_id: str) -> None:
        """A person puts the ticket out of scope."""

    def comment(self, ticket_id: str, text: str) -> None:
        """A person comments, in the tracker's markup."""

    def comments(self, ticket_id: str) -> list[Said]:
        """All comments, oldest first."""

    def publish_comments(self) -> None:
        """From now on the tracker makes comments public that were to be internal, and says nothing."""

    def raw(self, ticket_id: str) -> object:
        """The ticket in the tracker's own JSON, as people save it for `connector simulate`."""

    def hook(self, ticket_id: str) -> Hook:
        """A person changes the ticket; the webhook that tells of it."""

    def later(self) -> None:
        """Let some time pass, so that changes have another stamp."""
