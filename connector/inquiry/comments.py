"""The comments that a stage calls for, as acts. Which template, which ref, and the words that go in."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from connector.inquiry import wording
from connector.inquiry.acts import Act, make_ref
from connector.inquiry.case import HAVE_BEFORE_CALL, Case, Moment, Problem
from connector.inquiry.identifiers import base_form, receipt_prefix
from connector.inquiry.markup import literal
from connector.inquiry.procedure import Step
from connector.inquiry.standing import Standing, call_step, center_names, passes_at
from connector.inquiry.wording import Words, day_text, moment_text, wait_text

# Staff type to the minute and clocks differ by seconds: a contact this little ahead is waited for, not complained of.
_NOT_WORTH_A_WORD = timedelta(minutes=5)


def comments(standing: Standing) -> Iterator[Act]:
    """In the order in which they are posted; the stage's own comment is the last."""
    if standing.stage == "answered":
        return
    if standing.stage == "protected":
        yield _comment(standing, "protected", make_ref(standing.case, "protected"), concludes=True)
        return
    for key in sorted(standing.case.twins):
        yield _comment(standing, "same_receipt", make_ref(standing.case, "same_receipt", None, key), ticket=key)
    write = _OWN.get(standing.stage)
    own = write(standing) if write else None
    if not (own and own.also):
        yield from _correction(standing)
    if own:
        yield own


def _correction(standing: Standing) -> Iterator[Act]:
    """One comment for all facts that are wrong in a way not told before."""
    refs = {_problem_ref(standing, problem): problem.message for problem in _wrong(standing)}
    news = {ref: message for ref, message in refs.items() if ref not in standing.case.told}
    if news:
        first, *also = news
        yield _comment(standing, "correct_facts", first, also=tuple(also), problems=tuple(news.values()))


def _wrong(standing: Standing) -> tuple[Problem, ...]:
    """Facts that are wrong, rather than missing: each is told once."""

    def soon(problem: Problem) -> bool:
        moment = getattr(standing.case, problem.field) if problem.code == "in_future" else None
        return isinstance(moment, Moment) and moment.at <= standing.now + _NOT_WORTH_A_WORD

    return tuple(problem for problem in standing.problems if not problem.missing and not soon(problem))


def _problem_ref(standing: Standing, problem: Problem) -> str:
    moment = getattr(standing.case, problem.field, None)
    follows = moment if isinstance(moment, Moment) else None
    return make_ref(standing.case, "problem", follows, f"{problem.field}:{problem.code}")


def _collect_details(standing: Standing) -> Act:
    return _listing(standing, "collect_details", make_ref(standing.case, "1", None, "details"), standing.problems)


def _call_sheet(standing: Standing) -> Act:
    phone = standing.procedure.ncsc.phone or ""
    return _comment(
        standing,
        "call_ncsc",
        make_ref(standing.case, "1", None, phone),
        to=phone,
        concludes=True,
        ask_route=base_form(standing.case.form_type or "") in standing.procedure.ask_route_forms,
        next_on=_next_on(standing, call_step(standing.case, standing.procedure)),
    )


def _email_service_center(standing: Standing) -> Act:
    """The letter of Step 2; or, where a fact that it needs is missing, what to fill in first."""
    needs = _lacking_for_letter(standing, "service_center", "called_at")
    addresses = [center.email or "" for center in standing.procedure.service_centers.values()]
    if needs and (letter := _told_letter(standing, 2, addresses)):
        return letter
    if [problem.field for problem in needs] == ["service_center"] and needs[0].missing:
        ref = make_ref(standing.case, "2", standing.follows, "which centre")
        return _comment(standing, "which_service_center", ref, step=2, concludes=True)
    if needs:
        ref = make_ref(standing.case, "2", standing.follows, "facts")
        return _listing(standing, "incomplete_letter", ref, needs, step=2, addressee="the Service Center")
    address = standing.procedure.service_centers[standing.center or ""].email or ""
    next_on = _next_on(standing, standing.procedure.email_service_center)
    return _letter(standing, "email_service_center", address, 2, next_on=next_on)


def _email_headquarters(standing: Standing) -> Act:
    needs = _lacking_for_letter(standing, "called_at")
    address = standing.procedure.headquarters.email or ""
    if needs and (letter := _told_letter(standing, 3, [address])):
        return letter
    if needs:
        ref = make_ref(standing.case, "3", standing.follows, "facts")
        return _listing(standing, "incomplete_letter", ref, needs, step=3, addressee="Headquarters")
    step = standing.procedure.email_headquarters
    words = {"next_on": _next_on(standing, step), "next_wait": wait_text(step.wait)}
    return _letter(standing, "email_headquarters", address, 3, **words)


def _overdue(standing: Standing) -> Act:
    ref = make_ref(standing.case, "3", standing.follows, "overdue")
    record = tuple(_record(standing))
    return _comment(standing, "headquarters_overdue", ref, step=3, concludes=True, record=record)


_OWN: dict[str, Callable[[Standing], Act]] = {
    "collect_details": _collect_details,
    "call_ncsc": _call_sheet,
    "email_service_center": _email_service_center,
    "email_headquarters": _email_headquarters,
    "headquarters_overdue": _overdue,
}


def _lacking_for_letter(standing: Standing, *others: str) -> tuple[Problem, ...]:
    """What the letter cannot do without: Step 1's facts, and the request or the reason for none (seed, Step 2)."""
    facts = {*HAVE_BEFORE_CALL, "service_request_number", "no_service_request_reason", *others}
    return tuple(problem for problem in standing.problems if problem.field in facts)


def _told_letter(standing: Standing, step: int, addresses: Iterable[str]) -> Act | None:
    """The letter of this occurrence, if it has been told: facts that went missing since do not announce it again."""
    refs = (make_ref(standing.case, str(step), standing.follows, address) for address in addresses)
    told = next((ref for ref in refs if ref in standing.case.told), None)
    return Act(kind="comment", ref=told, step=step, concludes=True) if told else None


def _listing(
    standing: Standing, template: str, ref: str, problems: tuple[Problem, ...], *, step: int = 1, addressee: str = ""
) -> Act:
    """A comment that lists problems: it comes again only when a fact is wrong in a way not told before."""
    wrong = _wrong(standing)
    also = tuple(_problem_ref(standing, problem) for problem in wrong)
    missing = (problem for problem in problems if problem.missing)
    shown = tuple(problem.message for problem in (*missing, *wrong))
    return _comment(standing, template, ref, step=step, also=also, concludes=True, problems=shown, addressee=addressee)


def _letter(standing: Standing, template: str, address: str, step: int, **words: Any) -> Act:
    procedure = standing.procedure
    prefix = "headquarters_" if step == 3 else ""
    letter = wording.write_letter(procedure.wording, prefix, address, _words(standing, address=address, **words))
    linked = wording.letter_words(letter, linked=procedure.office.internal_comments)
    ref = make_ref(standing.case, str(step), standing.follows, address)
    comment = _comment(
        standing, template, ref, to=address, step=step, concludes=True, address=address, **words, **linked
    )
    return replace(comment, letter=letter)


def _comment(
    standing: Standing,
    template: str,
    ref: str,
    *,
    to: str | None = None,
    step: int | None = None,
    also: tuple[str, ...] = (),
    concludes: bool = False,
    **words: Any,
) -> Act:
    body = wording.write_comment(standing.procedure.wording, template, _words(standing, **words))
    number = step or (standing.step.number if standing.step else 1)
    return Act(kind="comment", ref=ref, to=to, body=body, step=number, also=also, concludes=concludes)


def _words(standing: Standing, **words: Any) -> Words:
    case, procedure = standing.case, standing.procedure
    center = procedure.service_centers.get(standing.center or "")
    wait = standing.step.wait if standing.step else None
    known: dict[str, Any] = {
        **wording.ticket_words(case, procedure.office.time_zone),
        "prefix": receipt_prefix(case.receipt_number) if case.receipt_number else "",
        "ncsc": procedure.ncsc.short_name,
        "phone": procedure.ncsc.phone,
        "center": center.name if center else "",
        "center_address": center.email if center else "",
        "center_names": center_names(procedure),
        "headquarters": procedure.headquarters.name,
        "promised": case.promised_days is not None,
        "waited": wait_text(wait) if wait else "",
        "wait_over_on": _day_of(standing, standing.passes) if standing.passes else "",
    }
    return Words(**{**known, **words})


def _next_on(standing: Standing, step: Step) -> str:
    """The day of the next act if this one is done today."""
    return _day_of(standing, passes_at(standing.now, step.wait, standing.procedure))


def _day_of(standing: Standing, moment: datetime) -> str:
    return day_text(moment.astimezone(standing.procedure.office.time_zone).date())


def _record(standing: Standing) -> Iterator[str]:
    """Every contact so far, as proof of what was tried (facts: guidance 6, audit trail)."""
    case, procedure, words = standing.case, standing.procedure, _words(standing)
    if case.called_at:
        details = "; ".join(filter(None, (words.representative, words.service_request))) or "details not noted"
        yield f"{words.called_at}: called the {words.ncsc}, {words.phone} ({details})"
    if case.service_center_emailed_at:
        center = f"the {words.center}, {words.center_address}" if words.center else "the Service Center"
        yield f"{words.center_emailed_at}: e-mailed {center}"
    if case.headquarters_emailed_at:
        written = moment_text(case.headquarters_emailed_at, procedure.office.time_zone)
        yield f"{written}: e-mailed {words.headquarters}, {procedure.headquarters.email}"


def could_not_move(case: Case, transition: Act, reason: str) -> Act:
    """What staff are told where a stage without a comment of its own could not move the ticket."""
    ref = make_ref(case, "not moved", None, transition.ref)
    return Act(kind="comment", ref=ref, body=f"**{literal(reason)}**", step=transition.step)
