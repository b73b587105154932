"""The present taken as known, for `backfill --quiet`: which comments stay unsaid on tickets that existed before."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from connector.inquiry.acts import Act
from connector.inquiry.case import Case
from connector.inquiry.decide import decide
from connector.inquiry.procedure import Procedure
from connector.inquiry.standing import stand


def unsaid(case: Case, now: datetime, procedure: Procedure) -> tuple[Act, ...]:
    """The comments that are due now, but for that of a wait that passed today (the office's day): that is news."""
    passes, zone = stand(case, now, procedure).passes, procedure.office.time_zone
    is_news = passes is not None and passes.astimezone(zone).date() >= now.astimezone(zone).date()
    comments = (act for act in decide(case, now, procedure).acts if act.kind == "comment")
    return tuple(act for act in comments if not (act.concludes and is_news))


def not_moved(case: Case, acts: Sequence[Act], now: datetime, procedure: Procedure) -> str | None:
    """The status of its present stage, if the ticket stays out of it because these comments stay unsaid.

    The stage's own comment vouches for the move, and to move a ticket may tell its client something.
    """
    moves = [act.to for act in decide(case, now, procedure).acts if act.kind == "transition"]
    after = decide(taken_as_said(case, acts), now, procedure).acts
    return next(iter(moves), None) if all(act.kind != "transition" for act in after) else None


def taken_as_said(case: Case, acts: Sequence[Act]) -> Case:
    """The case once these comments count as posted."""
    return replace(case, told=case.told | refs_of(acts))


def refs_of(acts: Sequence[Act]) -> frozenset[str]:
    """All their refs."""
    return frozenset(ref for act in acts for ref in act.refs)


def with_twins(cases: Sequence[tuple[str, Case]], now: datetime, procedure: Procedure) -> list[Case]:
    """The cases, each with the keys of the other open ones that have its receipt number: that is known, too.

    Takes (key, case), in an order that is kept. The store knows twins only once both have been attended to.
    """
    keys: dict[str, list[str]] = defaultdict(list)
    for key, case in cases:
        if case.receipt_number and stand(case, now, procedure).stage != "answered":
            keys[case.receipt_number].append(key)
    return [
        replace(case, twins=tuple(each for each in keys.get(case.receipt_number or "", ()) if each != key))
        for key, case in cases
    ]
