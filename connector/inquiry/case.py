"""The case: the facts that staff wrote on a ticket, and what is wrong with one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

# The facts, by the part of the procedure that asks for them (seed, Step 1 to Step 3).
HAVE_BEFORE_CALL = ("receipt_number", "alien_number", "form_type", "filed_on")
NOTE_DURING_CALL = (
    "ncsc_representative",
    "called_at",
    "service_request_number",
    "no_service_request_reason",
    "promised_days",
)
CONTACTS = ("called_at", "service_center_emailed_at", "headquarters_emailed_at")
FACTS = (
    *HAVE_BEFORE_CALL,
    *NOTE_DURING_CALL,
    "service_center",
    "service_center_emailed_at",
    "headquarters_emailed_at",
    "answered_at",
    "protected",
)

# What a fact is called where the tracker's own name of the field is not known.
DEFAULT_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "receipt_number": "Receipt Number",
        "alien_number": "A-Number",
        "form_type": "Form Type",
        "filed_on": "Date Filed",
        "ncsc_representative": "NCSC Representative",
        "called_at": "NCSC Called At",
        "service_request_number": "Service Request Number",
        "no_service_request_reason": "Reason No Service Request",
        "promised_days": "Promised Days",
        "service_center": "Service Center",
        "service_center_emailed_at": "Service Center Emailed At",
        "headquarters_emailed_at": "HQ Emailed At",
        "answered_at": "Answered At",
        "protected": "Protected",
    }
)


@dataclass(frozen=True, slots=True)
class Moment:
    """When a contact was made.

    `at` is an aware UTC instant. Where the tracker keeps only a day, `at` is the first instant of that day in
    the office's time zone and `has_time` is false: such a moment is compared by day, never by hour.
    """

    at: datetime
    has_time: bool = True

    def is_before(self, other: "Moment", time_zone: ZoneInfo) -> bool:
        """Whether this moment is certainly earlier; two moments of one day are not, if either has no hour."""
        if self.has_time and other.has_time:
            return self.at < other.at
        return self.at.astimezone(time_zone).date() < other.at.astimezone(time_zone).date()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one fact. `field` is the fact, `code` is stable, `message` is a sentence for staff.

    The message may quote a receipt number or a form, never anything that could be a Social Security number.
    """

    field: str
    code: str
    message: str

    @property
    def missing(self) -> bool:
        return self.code == "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the connector knows of one pending case at one look at its ticket. Nothing of it is stored.

    A fact is None where the ticket has none, or one that cannot be read; the latter is told in `problems`.
    """

    source: str
    ticket_id: str

    receipt_number: str | None = None
    alien_number: str | None = None  # nine digits, or identifiers.NONE_ASSIGNED
    form_type: str | None = None
    filed_on: date | None = None
    ncsc_representative: str | None = None
    called_at: Moment | None = None
    service_request_number: str | None = None
    no_service_request_reason: str | None = None
    promised_days: int | None = None
    service_center: str | None = None  # the key of a centre of the procedure
    service_center_emailed_at: Moment | None = None
    headquarters_emailed_at: Moment | None = None
    answered_at: Moment | None = None
    protected: bool = False

    closed: bool = False  # the tracker says that the ticket is done
    status: str = ""  # the ticket's present status, by name
    due_on: date | None = None
    problems: tuple[Problem, ...] = ()  # facts that are there and cannot be read
    recorded: frozenset[str] = frozenset()  # facts taken from a status change, whose field is still empty
    labels: Mapping[str, str] = field(default_factory=dict)  # fact -> the field's name as staff see it
    kept: frozenset[str] = frozenset(FACTS)  # the facts that this office's tickets have fields for
    told: frozenset[str] = frozenset()  # refs of acts known to be done
    entered: tuple[tuple[str, datetime], ...] = ()  # statuses the ticket was moved into, with the moment, if known
    due_before: frozenset[date] = frozenset()  # days that were the due date at some time, if known
    twins: tuple[str, ...] = ()  # keys of other open tickets with the same receipt number

    def label(self, fact: str) -> str:
        """The name under which staff find the fact on the ticket."""
        return self.labels.get(fact) or DEFAULT_LABELS[fact]
