"""Where a case stands: which contacts count, the stage they amount to, the Service Center, and what is wrong."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from connector.inquiry.calendar import wait_passes
from connector.inquiry.case import CONTACTS, HAVE_BEFORE_CALL, Case, Moment, Problem
from connector.inquiry.identifiers import base_form, receipt_prefix
from connector.inquiry.procedure import Procedure, Step, Wait
from connector.inquiry.wording import day_text, moment_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A case on the ladder at one moment (`now`, aware UTC)."""

    case: Case
    now: datetime
    procedure: Procedure
    stage: str
    follows: Moment | None = None  # the contact, or the answer, that the stage follows
    step: Step | None = None  # the step of that contact, with the wait in force
    passes: datetime | None = None  # when that wait passes, or passed (aware UTC)
    wrong_contacts: tuple[Problem, ...] = ()
    center: str | None = None  # the Service Center's key
    problems: tuple[Problem, ...] = ()


def stand(case: Case, now: datetime, procedure: Procedure) -> Standing:
    """The stage of DESIGN's table that the case is in. A missing or wrong fact never stops a running wait."""
    wrong_contacts = () if case.closed else tuple(_wrong_contacts(case, now, procedure))
    uncounted = {problem.field for problem in wrong_contacts}
    wrong_dates = tuple(_wrong_dates(case, now, procedure, uncounted))
    bare = Standing(case=case, now=now, procedure=procedure, stage="", wrong_contacts=wrong_contacts)
    staged = _staged(bare, uncounted, wrong_dates)
    placed = replace(staged, center=_center(staged))
    return replace(placed, problems=(*case.problems, *wrong_contacts, *_missing(placed), *wrong_dates))


def passes_at(contact: datetime, wait: Wait, procedure: Procedure) -> datetime:
    """When the wait after a contact passes, in the office's own days (aware UTC)."""
    office = procedure.office
    return wait_passes(contact, wait.days, office.time_zone, office.act_at, wait.counting, wait.roll_forward)


def call_step(case: Case, procedure: Procedure) -> Step:
    """Step 1, with the days that the NCSC itself promised in place of the usual wait (facts: guidance 1.2)."""
    step, promised = procedure.call, case.promised_days
    return step if promised is None else replace(step, wait=replace(step.wait, days=promised))


def center_names(procedure: Procedure) -> str:
    return ", ".join(center.name for center in procedure.service_centers.values())


def _wrong_contacts(case: Case, now: datetime, procedure: Procedure) -> Iterator[Problem]:
    """Contacts that do not count: in the future, or before a contact they follow (DESIGN, the case and its stages).

    The order is judged among all contacts, future ones too, so that it never changes as time passes.
    """
    zone = procedure.office.time_zone
    earlier: list[tuple[str, Moment]] = []
    for fact in (*CONTACTS, "answered_at"):
        moment: Moment | None = getattr(case, fact)
        if moment is None:
            continue
        label, written = case.label(fact), moment_text(moment, zone)
        before = next((name for name, other in earlier if moment.is_before(other, zone)), None)
        if before:
            yield Problem(fact, "before_contact", f"{label} ({written}) is before {case.label(before)}")
        elif moment.at > now:
            yield Problem(fact, "in_future", f"{label} ({written}) is in the future")
        earlier.append((fact, moment))


def _wrong_dates(case: Case, now: datetime, procedure: Procedure, uncounted: set[str]) -> Iterator[Problem]:
    """The date filed is neither in the future nor after the call (facts: guidance 3.5)."""
    filed, called, zone = case.filed_on, case.called_at, procedure.office.time_zone
    if filed is None or case.closed:
        return
    written = f"{case.label('filed_on')} ({day_text(filed)})"
    if filed > now.astimezone(zone).date():
        yield Problem("filed_on", "in_future", f"{written} is in the future")
    elif called and "called_at" not in uncounted and filed > called.at.astimezone(zone).date():
        yield Problem("filed_on", "after_call", f"{written} is after {case.label('called_at')}")


def _staged(bare: Standing, uncounted: set[str], wrong_dates: tuple[Problem, ...]) -> Standing:
    case, procedure = bare.case, bare.procedure

    def counted(fact: str) -> Moment | None:
        moment: Moment | None = getattr(case, fact)
        return None if fact in uncounted else moment

    if case.closed or counted("answered_at"):
        # Each answer is an occurrence of its own: a case that is answered again is moved to its status again.
        return replace(bare, stage="answered", follows=counted("answered_at"))
    if case.protected or (case.form_type and base_form(case.form_type) in procedure.protected_forms):
        return replace(bare, stage="protected")
    if emailed := counted("headquarters_emailed_at"):
        return _waiting(bare, "awaiting_headquarters", "headquarters_overdue", emailed, procedure.email_headquarters)
    if emailed := counted("service_center_emailed_at"):
        return _waiting(bare, "awaiting_service_center", "email_headquarters", emailed, procedure.email_service_center)
    if called := counted("called_at"):
        return _waiting(bare, "awaiting_ncsc", "email_service_center", called, call_step(case, procedure))
    wrong = {problem.field for problem in (*case.problems, *wrong_dates)}
    ready = all(getattr(case, fact) is not None and fact not in wrong for fact in HAVE_BEFORE_CALL)
    return replace(bare, stage="call_ncsc" if ready else "collect_details")


def _waiting(bare: Standing, before: str, after: str, follows: Moment, step: Step) -> Standing:
    passes = passes_at(follows.at, step.wait, bare.procedure)
    stage = after if bare.now >= passes else before
    return replace(bare, stage=stage, follows=follows, step=step, passes=passes)


def _center(standing: Standing) -> str | None:
    """What staff filled in wins, even when it cannot be read; else the receipt's prefix (facts: guidance 2.3)."""
    case = standing.case
    if case.service_center or any(problem.field == "service_center" for problem in case.problems):
        return case.service_center
    if case.receipt_number is None or standing.stage == "protected":
        return None
    return standing.procedure.center_for_prefix(receipt_prefix(case.receipt_number))


def _missing(standing: Standing) -> Iterator[Problem]:
    """Facts that the stage needs and the ticket lacks."""
    case = standing.case
    if standing.stage in {"answered", "protected"}:
        return
    unreadable = {problem.field for problem in case.problems}
    for fact in _needed(standing):
        if getattr(case, fact) is None and fact not in unreadable:
            yield Problem(fact, "missing", f"{case.label(fact)} is missing{_hint(standing, fact)}")


def _needed(standing: Standing) -> Iterator[str]:
    case, stage = standing.case, standing.stage
    yield from HAVE_BEFORE_CALL
    if standing.center is None and stage in {"call_ncsc", "awaiting_ncsc", "email_service_center"}:
        yield "service_center"
    if stage in {"collect_details", "call_ncsc"}:
        return
    yield from (fact for fact in ("called_at", "ncsc_representative") if fact in case.kept)
    requests = [fact for fact in ("service_request_number", "no_service_request_reason") if fact in case.kept]
    if requests and not any(getattr(case, fact) for fact in requests):
        yield requests[0]
    if stage in {"awaiting_headquarters", "headquarters_overdue"}:
        yield "service_center_emailed_at"


def _hint(standing: Standing, fact: str) -> str:
    if fact == "alien_number":
        return ' (if the person has none, write "none assigned")'
    if fact == "service_request_number" and "no_service_request_reason" in standing.case.kept:
        return f'; if none was issued, give the reason in "{standing.case.label("no_service_request_reason")}"'
    if fact == "service_center":
        return f" ({center_names(standing.procedure)})"
    return ""
