"""What one look at a ticket has seen and decided, and what was fetched for it ahead."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from connector.inquiry.case import Case
from connector.inquiry.decide import Decision
from connector.trackers.port import Ticket


@dataclass(frozen=True, slots=True)
class Look:
    """The ticket as the tracker has it, the case read from it, and the decision."""

    ticket: Ticket
    case: Case
    decision: Decision


FRESH = 20.0  # seconds for which a ticket fetched ahead stands for the ticket as it is


@dataclass(frozen=True, slots=True)
class Ahead:
    """Tickets fetched by few calls, after they were claimed and before each is looked at.

    After: so whatever changes on a ticket once it was fetched is news since its claim, and it is looked at again.
    """

    tickets: Mapping[str, Ticket | None]  # as fetch_many gave them
    since: float = field(default_factory=time.monotonic)  # when the fetch began

    @property
    def age(self) -> float:
        """Seconds since the fetch began."""
        return time.monotonic() - self.since

    def has(self, ticket_id: str) -> bool:
        """Whether the ticket is here, and fresh. If not, it is to be fetched alone."""
        return ticket_id in self.tickets and self.age <= FRESH
