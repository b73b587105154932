"""The decision: which stage a case is in, what that stage calls for, and when to look again.

Everything here is pure and level-triggered: it looks at what is, never at what happened. The laws that hold for it are
in tests/inquiry/test_laws.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from connector.inquiry.acts import Act, make_ref
from connector.inquiry.calendar import at_office_hour
from connector.inquiry.case import CONTACTS, Case, Moment, Problem
from connector.inquiry.comments import comments
from connector.inquiry.identifiers import receipt_prefix
from connector.inquiry.procedure import Procedure
from connector.inquiry.standing import Standing, stand
from connector.inquiry.wording import moment_text, wait_text


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the decision is what it is; `code` is stable."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one look at a ticket comes to. `attend_at` is aware UTC, later than now, or None: only a change matters."""

    stage: str
    acts: tuple[Act, ...]
    attend_at: datetime | None
    problems: tuple[Problem, ...]
    reasons: tuple[Reason, ...]
    service_center: str | None  # the centre's key


def decide(case: Case, now: datetime, procedure: Procedure) -> Decision:
    """The whole procedure (seed, Steps 1 to 3) applied to one case at one moment (`now`, aware UTC)."""
    standing = stand(case, now, procedure)
    return Decision(
        stage=standing.stage,
        acts=tuple(act for act in _acts(standing) if act.kind == "due_date" or not set(act.refs) <= case.told),
        attend_at=_attend_at(standing),
        problems=standing.problems,
        reasons=tuple(_reasons(standing)),
        service_center=standing.center,
    )


def _attend_at(standing: Standing) -> datetime | None:
    """The earliest moment at which time alone can change the decision."""
    case, zone = standing.case, standing.procedure.office.time_zone
    if case.closed:
        return None
    contacts: list[Moment | None] = [getattr(case, fact) for fact in (*CONTACTS, "answered_at")]
    turns = [contact.at for contact in contacts if contact]
    if standing.passes:
        turns.append(standing.passes)
    if case.filed_on:
        turns.append(at_office_hour(case.filed_on, zone, time.min))
    return min((turn for turn in turns if turn > standing.now), default=None)


def _acts(standing: Standing) -> Iterator[Act]:
    """In the order in which they are to happen: the stage's own comment last, because it vouches for the others."""
    if standing.case.closed:
        return
    said = list(comments(standing))
    concluded = any(act.concludes and act.ref in standing.case.told for act in said)
    yield from _recorded(standing)
    if not concluded:
        yield from _transition(standing)
    yield from _due_date(standing)
    yield from said


def _recorded(standing: Standing) -> Iterator[Act]:
    """Moments that a status recorded, to be written into their empty fields."""
    for fact in sorted(standing.case.recorded):
        moment: Moment = getattr(standing.case, fact)
        ref = make_ref(standing.case, f"record:{fact}", moment)
        yield Act(kind="set_field", ref=ref, to=fact, body=moment.at.astimezone(UTC).isoformat())


def _transition(standing: Standing) -> Iterator[Act]:
    """The status of this stage, once for each occurrence: a person who moves the ticket elsewhere wins."""
    case, follows = standing.case, standing.follows
    status = standing.procedure.statuses.get(standing.stage)
    if not status or status.casefold() == case.status.casefold():
        return
    since = follows.at if follows else datetime.min.replace(tzinfo=UTC)
    if any(name.casefold() == status.casefold() and at >= since for name, at in case.entered):
        return
    yield Act(kind="transition", ref=make_ref(case, f"stage:{standing.stage}", follows, status), to=status)


def _due_date(standing: Standing) -> Iterator[Act]:
    """While a wait runs, the ticket is due on the day of the next act.

    A day set before is set again only over another day of ours (promised days came and went): a date that a person
    put there instead stays, and no rule of the tracker can draw the connector into a quarrel over it. With an empty
    database the ticket's history tells that the day was set before.
    """
    case, passes = standing.case, standing.passes
    if not standing.stage.startswith("awaiting_") or not passes:
        return

    def ref_of(day: date) -> str:
        return make_ref(case, f"due:{standing.stage}", standing.follows, day.isoformat())

    day = passes.astimezone(standing.procedure.office.time_zone).date()
    is_ours = case.due_on is not None and ref_of(case.due_on) in case.told
    was_set = ref_of(day) in case.told or day in case.due_before
    if day != case.due_on and (is_ours or not was_set):
        yield Act(kind="due_date", ref=ref_of(day), to=day.isoformat())


_MAIN_REASONS = {
    "answered": ("answered", "An answer is recorded: all waits stop"),
    "protected": ("separate_route", "The office's separate route applies"),
    "collect_details": ("facts_missing", "Facts that Step 1 asks for are missing or cannot be read"),
    "call_ncsc": ("ready_to_call", "All Step 1 facts are here and no call is recorded"),
    "awaiting_ncsc": ("called", "The NCSC was called"),
    "email_service_center": ("no_answer_to_call", "The call has not been answered in time"),
    "awaiting_service_center": ("service_center_emailed", "The Service Center was e-mailed"),
    "email_headquarters": ("no_answer_from_service_center", "The Service Center has not answered in time"),
    "awaiting_headquarters": ("headquarters_emailed", "Headquarters was e-mailed"),
    "headquarters_overdue": ("no_answer_from_headquarters", "Headquarters has not answered in time"),
}


def _reasons(standing: Standing) -> Iterator[Reason]:
    case, stage = standing.case, standing.stage
    if case.closed:
        yield Reason("ticket_closed", "The ticket is closed: all waits stop")
        return
    yield Reason(*_MAIN_REASONS[stage])
    yield from _wait_reasons(standing)
    yield from (Reason("contact_not_counted", problem.message) for problem in standing.wrong_contacts)
    if case.receipt_number and stage not in {"answered", "protected"}:
        yield _center_reason(standing)


def _wait_reasons(standing: Standing) -> Iterator[Reason]:
    step, follows, passes = standing.step, standing.follows, standing.passes
    if not (step and follows and passes):
        return
    zone, over = standing.procedure.office.time_zone, standing.now >= passes
    since = f"{wait_text(step.wait)} after {moment_text(follows, zone)}"
    verb = "passed on" if over else "pass on"
    yield Reason("wait_passed" if over else "wait_running", f"{since} {verb} {moment_text(passes, zone)}")
    promised = standing.case.promised_days
    if promised is not None and step.number == 1:
        usual = wait_text(standing.procedure.call.wait)
        yield Reason("promised_days", f"The NCSC promised {wait_text(step.wait)}, in place of the usual {usual}")


def _center_reason(standing: Standing) -> Reason:
    if standing.case.service_center:
        return Reason("center_from_ticket", "The ticket names the Service Center")
    prefix = receipt_prefix(standing.case.receipt_number or "")
    if standing.center:
        return Reason("center_from_prefix", f"{prefix} receipt numbers suggest this Service Center")
    if any(problem.field == "service_center" and not problem.missing for problem in standing.problems):
        return Reason("center_unreadable", "The Service Center on the ticket cannot be read")
    return Reason("center_unknown", f"{prefix} receipt numbers name no Service Center, and the ticket does not say")
