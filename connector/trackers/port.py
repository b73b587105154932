"""What the connector asks of a tracker, and what a tracker may answer.

A tracker is one file in this folder (docs in CONTRIBUTING.md). It knows URLs, field ids and markup; it knows nothing
of the procedure. Every call is made once: whether and when to try again is decided by attention/backoff.py.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, Protocol
from zoneinfo import ZoneInfo

from connector.inquiry.wording import Letter

Markup = Literal["wiki", "html", "text"]

# A field's value without the tracker's wrapping: a select is the text of its choice, a checkbox list a list of texts.
PlainValue = str | int | float | bool | None | list[str]


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of a ticket's history: a field that became `to` ("" when it was emptied)."""

    field: str  # "status", "due" (its `to` is an ISO day), or the field as the mapping names it
    to: str
    at: datetime  # aware UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One look at a ticket. `fields` is keyed by what the mapping calls each field (its name or id)."""

    id: str
    key: str
    status: str
    closed: bool  # its status is of the tracker's "done" kind
    fields: Mapping[str, PlainValue]
    labels: Mapping[str, str] = field(default_factory=dict)  # mapping's field -> name shown to staff
    due_on: date | None = None
    updated_at: datetime | None = None  # aware UTC, the tracker's own stamp
    history: tuple[Change, ...] = ()  # oldest first; empty where it was not asked for
    refs: frozenset[str] = frozenset()  # the refs found in all its comments
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)  # the tracker's own, for its adapter only


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What is to change on a ticket, in one go where the tracker can (`Tracker.atomic`).

    `comment` is in the tracker's markup and ends with its ref line; `letter` is the e-mail it asks to send, for
    trackers that can keep a draft of it beside the comment.
    """

    status: str | None = None
    due_on: date | None = None
    moments: Mapping[str, datetime] = field(default_factory=dict)  # field, as the mapping names it -> aware UTC
    comment: str | None = None
    letter: Letter | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A ticket in scope as the poll sees it."""

    ticket_id: str
    key: str
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class News:
    """What a webhook is about. `ticket_id` is None when it is authentic but about nothing we attend to."""

    ticket_id: str | None
    key: str | None = None
    event: str = "unknown"


class TrackerError(Exception):
    """A call to the tracker failed. `message` says what to do and carries no personal data and no secret."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unavailable(TrackerError):
    """The tracker did not answer, or answered that it cannot now. Try again later.

    `outcome_unknown` is true if the call may have had its effect (a time-out, a dropped connection after sending):
    then it is looked up by its ref before any second try.
    """

    def __init__(self, message: str, *, outcome_unknown: bool = False) -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown


class RateLimited(TrackerError):
    """The tracker asks for a pause of `retry_after` seconds: of this one ticket, or of the whole source."""

    def __init__(self, message: str, *, retry_after: float, whole_source: bool) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.whole_source = whole_source


class AccessRefused(TrackerError):
    """The credentials do not work at all (expired token, wrong URL, CAPTCHA), or cannot be shown to whoever answers
    there (a certificate that is not trusted). The whole source waits."""


class Misconfigured(TrackerError):
    """The source cannot work until an admin mends the mapping or the tracker (an unknown or ambiguous field)."""


class CommentWentPublic(Misconfigured):
    """A comment that had to be internal was created public. It was removed again if `removed`; the source stops."""

    def __init__(self, message: str, *, removed: bool) -> None:
        super().__init__(message)
        self.removed = removed


class Stopping(TrackerError):
    """The connector is stopping: the call was not made. The ticket is nobody's fault and comes again at once."""


class TooLate(TrackerError):
    """The change was not sent: so long after its worker was given the ticket, another may be at it. Try again later."""


class TicketGone(TrackerError):
    """There is no such ticket, or this account may no longer see it."""


class Refused(TrackerError):
    """The tracker understood the call and refused it for this ticket (not on the screen, no permission, bad value).

    `for_staff` may hold more than `message`: the tracker's own words, which may name people. It goes into the
    ticket and nowhere else.
    """

    def __init__(self, message: str, *, for_staff: str | None = None) -> None:
        super().__init__(message)
        self.for_staff = for_staff or message


class NoTransition(Refused):
    """The wanted status cannot be reached from the present one; `reachable` names those that can."""

    def __init__(self, message: str, *, reachable: Sequence[str]) -> None:
        super().__init__(message)
        self.reachable = tuple(reachable)


class NotKept(Refused):
    """The edit was done, but for a part that the tracker dropped without a word; the message says which.

    `dropped` names those parts as Edit does: "status", "due_on", or the field of a moment. Empty: it cannot be told.
    """

    def __init__(self, message: str, *, dropped: Collection[str] = ()) -> None:
        super().__init__(message)
        self.dropped = frozenset(dropped)


class Tracker(Protocol):
    """One connected project. Thread safe: several attention threads use one object."""

    markup: Markup
    atomic: bool  # whether an Edit with several parts is one call that happens wholly or not at all
    bulk: int  # tickets that fetch_many gives at most; 1: the tracker gives them one by one (OneByOne)

    def fetch(self, ticket_id: str, *, with_history: bool) -> Ticket | None:
        """The ticket as it is now, or None if it is outside the source's scope (the tracker decides, not we).

        Raises TicketGone if there is none.
        """

    def fetch_many(self, ticket_ids: Collection[str], *, with_history: bool) -> Mapping[str, Ticket | None]:
        """As fetch, of at most `bulk` tickets by few calls: each whole, with the refs of all its comments, or None if
        it is outside the scope.

        What is not in the answer is to be fetched alone: it may be gone, not yet in an index, or too long to come whole
        among others. Raises only what concerns all of them; never TicketGone.
        """

    def edit(self, ticket: Ticket, edit: Edit) -> None:
        """Change the ticket. If `atomic`, all of it in one call that happens wholly or not at all; otherwise the
        connector sends edits of one part each, in its own order.

        A comment is internal if the source asks for it, and verified to be so. A moment in a date field is the office's
        day. What the tracker says it did is held against what was asked. Raises NoTransition if the status cannot be
        reached, NotKept for a part that was dropped without the rest, Refused for what this ticket does not take, and
        the other TrackerErrors.

        Who closes or moves the ticket after it was looked at wins: then nothing more is put on it, as far as that can
        be known before the call (Refused), or the move alone is left out where the ticket is still open.

        Every change goes out by http.exchange, which holds it back where its turn comes too late (TooLate).
        """

    def recheck(self, ticket: Ticket, refs: Collection[str]) -> None:
        """The comments with these refs were posted, and how that ended was not seen: hold them against what the source
        asks. Raises CommentWentPublic."""

    def find(self, key: str) -> str | None:
        """The id of the ticket that people call `key`, in scope or not; None if there is none."""

    def changed_since(self, moment: datetime | None) -> Iterator[Sighting]:
        """Tickets in scope changed at or after `moment` (aware UTC); all open ones if None. Lazily, page by page."""

    def close(self) -> None:
        """Give back connections."""


class OneByOne:
    """For trackers that give one ticket a call: what `bulk` and `fetch_many` are there."""

    bulk = 1

    def fetch_many(
        self,
        ticket_ids: Collection[str],  # noqa: ARG002  the port's
        *,
        with_history: bool,  # noqa: ARG002  the port's
    ) -> Mapping[str, Ticket | None]:
        """See Tracker: nothing is given, and each is fetched alone."""
        return {}


class Turns(Protocol):
    """Says when a call to the tracker may go (connector/trackers/pace.py)."""

    def wait(self) -> None:
        """Wait for this call's turn. Raises RateLimited or Stopping, and then the call must not be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What a mapping says of its tracker, as far as an adapter needs it."""

    url: str
    user: str | None
    token: Callable[[], str]  # read when it is used, so that a rotated one counts; raises AccessRefused
    scope: str
    fields: Sequence[str]  # names or ids, as the mapping writes them
    time_zone: ZoneInfo  # the office's
    internal_comments: bool
    clock: Callable[[], datetime]
    pace: Turns | None = None  # asked before every call (http.exchange); None: as fast as can be


class Verify(Protocol):
    """Says whether a webhook comes from somebody who knows a secret of the source. Never raises for what came in.

    `headers` are as WSGI hands them over (PEP 3333): each byte of a value one character, the names as X-Hub-Signature.
    """

    def __call__(
        self, headers: Mapping[str, str], raw: bytes, secrets: Sequence[str], *, path_secret: str | None
    ) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of tracker, as its entry point offers it (connector/kinds.py)."""

    make: Callable[[Connection], Tracker]
    markup: Markup
    read_ticket: Callable[[Any, Sequence[str], ZoneInfo], Ticket]  # its own JSON of a ticket, fields, the office's zone
    verify: Verify
    read_news: Callable[[bytes], News]  # never raises
