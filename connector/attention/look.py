"""What one look at a ticket has seen and decided."""

from dataclasses import dataclass

from connector.inquiry.case import Case
from connector.inquiry.decide import Decision
from connector.trackers.port import Ticket


@dataclass(frozen=True, slots=True)
class Look:
    """The ticket as the tracker has it, the case read from it, and the decision."""

    ticket: Ticket
    case: Case
    decision: Decision
