"""What the tests of the procedure are built from: one ordinary case, moments in words, and acting on a decision."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from connector.inquiry.acts import Act
from connector.inquiry.case import Case, Moment
from connector.inquiry.decide import Decision, decide
from connector.inquiry.markup import Markup, render
from connector.inquiry.procedure import Office, Procedure, Step, Wait
from connector.mapping.loading import load_procedure

NEW_YORK = ZoneInfo("America/New_York")

STEP_1 = {
    "receipt_number": "WAC1512350123",
    "alien_number": "012345678",
    "form_type": "I-130",
    "filed_on": date(2025, 6, 2),
}
NOTED = {"ncsc_representative": "Ms. Rivera, ID 4471", "service_request_number": "SR12203260001"}


@cache
def shipped() -> Procedure:
    """The procedure that comes with the connector, read as production reads it."""
    return load_procedure("service-center-inquiry", Path())


def procedure(
    *,
    zone: str = "America/New_York",
    act_at: time = time(9, 0),
    internal: bool = True,
    statuses: Mapping[str, str] | None = None,
    wording: Mapping[str, str] | None = None,
    waits: Mapping[str, Wait] | None = None,
) -> Procedure:
    """The shipped procedure with an office's own settings; `waits` by step: call, email_service_center, ..."""
    office = Office(time_zone=ZoneInfo(zone), act_at=act_at, internal_comments=internal)
    own = shipped().for_source(office, statuses or {})
    steps: dict[str, Any] = {name: Step(getattr(own, name).number, wait) for name, wait in (waits or {}).items()}
    return replace(own, wording={**own.wording, **(wording or {})}, **steps)


def case(**facts: Any) -> Case:
    """A case with all Step 1 facts, before the call; `facts` are set over it."""
    return Case(**{"source": "office", "ticket_id": "10001", **STEP_1, **facts})


def changed(ticket: Case, **facts: Any) -> Case:
    return replace(ticket, **facts)


def called(at: "str | Moment" = "2026-03-01 10:15", **facts: Any) -> Case:
    """A case after a call about which everything was noted."""
    return case(**{"called_at": moment(at) if isinstance(at, str) else at, **NOTED, **facts})


def utc(text: str, zone: str = "America/New_York") -> datetime:
    """A wall-clock time of a zone as aware UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def moment(text: str, zone: str = "America/New_York") -> Moment:
    """A Moment from a wall-clock time, or, where the text is only a date, from a day without an hour."""
    return Moment(utc(text, zone), has_time=len(text) > len("2026-03-01"))


def look(ticket: Case, now: "str | datetime", using: Procedure | None = None) -> Decision:
    """One look at the ticket at a New York wall-clock time, or an aware moment."""
    return decide(ticket, utc(now) if isinstance(now, str) else now, using or procedure())


def comments(decision: Decision) -> list[Act]:
    return [act for act in decision.acts if act.kind == "comment"]


def only_comment(decision: Decision) -> Act:
    (comment,) = comments(decision)
    return comment


def shown(act: Act, markup: Markup = "text") -> str:
    """A comment as it is posted, with its last line."""
    return render(act.signed(), markup)


def codes(decision: Decision) -> set[tuple[str, str]]:
    return {(problem.field, problem.code) for problem in decision.problems}


def done(ticket: Case, decision: Decision, now: datetime) -> Case:
    """The ticket after the decision's acts: what a tracker and the record of acts would say of it next."""
    for act in decision.acts:
        ticket = replace(ticket, told=ticket.told | set(act.refs))
        if act.kind == "transition":
            ticket = replace(ticket, status=act.to or "", entered=(*ticket.entered, (act.to or "", now)))
        elif act.kind == "due_date":
            ticket = replace(ticket, due_on=date.fromisoformat(act.to or ""))
        elif act.kind == "set_field":
            ticket = replace(ticket, recorded=ticket.recorded - {act.to or ""})
    return ticket
