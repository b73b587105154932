"""What the connector would do, without doing it: for `explain`, `simulate` and `backfill --dry-run`."""

from datetime import datetime

from connector.attention.look import Look
from connector.attention.source import Source
from connector.inquiry.decide import decide
from connector.mapping.reading import read_case
from connector.mapping.schema import Mapping
from connector.trackers.port import Ticket


def preview_ticket(ticket: Ticket, mapping: Mapping, now: datetime, *, told: frozenset[str] = frozenset()) -> Look:
    """The decision on a ticket already fetched; acts whose refs are in `told`, or stand on the ticket, are left out."""
    case = read_case(ticket, mapping, told=told)
    return Look(ticket, case, decide(case, now, mapping.procedure))


def preview(source: Source, ticket_id: str, now: datetime, *, told: frozenset[str] = frozenset()) -> Look | None:
    """The decision on a ticket as the tracker has it now, or None if it is outside the source's scope.

    Raises TrackerError.
    """
    ticket = source.tracker.fetch(ticket_id, with_history=True)
    if ticket is None:
        return None
    return preview_ticket(ticket, source.mapping, now, told=told)
