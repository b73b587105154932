"""`decide`, stage by stage and rule by rule (DESIGN: the case and its stages, counting, acts have refs)."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from connector.inquiry.case import Case, Moment, Problem
from connector.inquiry.decide import Decision
from connector.inquiry.procedure import STAGES, Wait
from tests.inquiry.builders import (
    called,
    case,
    changed,
    codes,
    comments,
    done,
    look,
    moment,
    only_comment,
    procedure,
    shown,
    utc,
)

SC = "service_center_emailed_at"
HQ = "headquarters_emailed_at"
CALL = "2026-03-01 10:15"
CALIFORNIA = "csc-ncsc-followup@dhs.gov"
HEADQUARTERS = "SCOPSSCATA@dhs.gov"


def emailed(at: str = "2026-04-01 11:00", **facts: Any) -> Case:
    return called(**{SC: moment(at), **facts})


def escalated(at: str = "2026-04-23 09:30", **facts: Any) -> Case:
    return emailed(**{HQ: moment(at), **facts})


def kinds(decision: Decision) -> list[tuple[str, str | None]]:
    return [(act.kind, act.to) for act in decision.acts]


def refs(decision: Decision) -> set[str]:
    return {ref for act in decision.acts for ref in act.refs}


# ---- The table of stages


@pytest.mark.parametrize(
    ("ticket", "now", "stage", "acts", "attend_at"),
    [
        (case(filed_on=None), "2026-02-01 10:00", "collect_details", [("comment", None)], None),
        (case(), "2026-02-01 10:00", "call_ncsc", [("comment", "1-800-375-5283")], None),
        (called(), "2026-03-01 10:16", "awaiting_ncsc", [("due_date", "2026-04-01")], "2026-04-01 09:00"),
        (called(), "2026-04-01 09:00", "email_service_center", [("comment", CALIFORNIA)], None),
        (emailed(), "2026-04-02 10:00", "awaiting_service_center", [("due_date", "2026-04-23")], "2026-04-23 09:00"),
        (emailed(), "2026-04-23 09:00", "email_headquarters", [("comment", HEADQUARTERS)], None),
        (escalated(), "2026-04-24 10:00", "awaiting_headquarters", [("due_date", "2026-05-04")], "2026-05-04 09:00"),
        (escalated(), "2026-05-04 09:00", "headquarters_overdue", [("comment", None)], None),
        (emailed(answered_at=moment("2026-04-10")), "2026-05-30 09:00", "answered", [], None),
        (emailed(closed=True), "2026-05-30 09:00", "answered", [], None),
        (emailed(protected=True), "2026-05-30 09:00", "protected", [("comment", None)], None),
    ],
)
def test_each_row_of_the_table(
    ticket: Case, now: str, stage: str, acts: list[tuple[str, str | None]], attend_at: str | None
) -> None:
    decision = look(ticket, now)
    assert decision.stage == stage
    assert kinds(decision) == acts
    assert decision.attend_at == (utc(attend_at) if attend_at else None)


def test_the_whole_ladder_says_each_thing_once() -> None:
    """One ticket, looked at every hour of half a year, with staff doing what each comment asks within the hour."""
    ticket, said = case(), []
    answers = {"call_ncsc": "called_at", "email_service_center": SC, "email_headquarters": HQ}
    now, do_next = utc("2026-01-05 09:00"), ""
    while now < utc("2026-07-01 09:00"):
        decision = look(ticket, now)
        said += [(decision.stage, now) for _ in comments(decision)]
        ticket = done(ticket, decision, now)
        if comments(decision):
            do_next = answers.get(decision.stage, "")
        elif do_next:
            ticket, do_next = changed(ticket, **{do_next: Moment(now), "no_service_request_reason": "in time"}), ""
        now += timedelta(hours=1)
    assert said == [
        ("call_ncsc", utc("2026-01-05 09:00")),
        ("email_service_center", utc("2026-02-05 09:00")),
        ("email_headquarters", utc("2026-02-27 09:00")),
        # Called and e-mailed at 10:00 on the same day; from here on New York keeps summer time.
        ("headquarters_overdue", utc("2026-03-10 09:00")),
    ]


def test_every_stage_is_in_the_table() -> None:
    assert set(STAGES) == {
        *("collect_details", "call_ncsc", "awaiting_ncsc", "email_service_center", "awaiting_service_center"),
        *("email_headquarters", "awaiting_headquarters", "headquarters_overdue", "answered", "protected"),
    }


# ---- Counting, to the minute


@pytest.mark.parametrize(
    ("called_at", "zone", "act_at", "days", "passes_utc"),
    [
        # The examples of DESIGN.
        ("2026-03-01 10:15", "America/New_York", time(9), 30, "2026-04-01 13:00"),
        ("2026-04-01 00:00", "America/New_York", time(9), 21, "2026-04-23 13:00"),
        ("2026-04-23 23:59", "America/New_York", time(9), 10, "2026-05-04 13:00"),
        # Clocks go forward on Mar 8 and back on Nov 1 in 2026: 09:00 stays 09:00 on the wall.
        ("2026-02-05 10:00", "America/New_York", time(9), 30, "2026-03-08 13:00"),
        ("2026-02-04 10:00", "America/New_York", time(9), 30, "2026-03-07 14:00"),
        ("2026-10-01 10:00", "America/New_York", time(9), 30, "2026-11-01 14:00"),
        ("2026-09-30 10:00", "America/New_York", time(9), 30, "2026-10-31 13:00"),
        ("2026-09-30 10:00", "America/Los_Angeles", time(9), 30, "2026-10-31 16:00"),
        ("2026-09-30 10:00", "Europe/London", time(9), 30, "2026-10-31 09:00"),
        ("2026-09-24 10:00", "Europe/London", time(9), 30, "2026-10-25 09:00"),
        # 02:30 is skipped on Mar 8 and comes twice on Nov 1.
        ("2026-02-05 10:00", "America/New_York", time(2, 30), 30, "2026-03-08 07:00"),
        ("2026-10-01 10:00", "America/New_York", time(1, 30), 30, "2026-11-01 05:30"),
        # Arizona and Hawaii keep one time all year.
        ("2026-02-05 10:00", "America/Phoenix", time(9), 30, "2026-03-08 16:00"),
        ("2026-02-05 23:59", "Pacific/Honolulu", time(9), 30, "2026-03-08 19:00"),
        # Leap day and year end.
        ("2028-01-29 10:00", "America/New_York", time(9), 30, "2028-02-29 14:00"),
        ("2027-01-29 10:00", "America/New_York", time(9), 30, "2027-03-01 14:00"),
        ("2028-02-28 10:00", "America/New_York", time(9), 0, "2028-02-29 14:00"),
        ("2026-12-01 10:00", "America/New_York", time(9), 30, "2027-01-01 14:00"),
        # The office's day, not UTC's: 23:30 in Los Angeles is the next day elsewhere.
        ("2026-06-01 23:30", "America/Los_Angeles", time(9), 10, "2026-06-12 16:00"),
        ("2026-06-02 00:30", "America/Los_Angeles", time(9), 10, "2026-06-13 16:00"),
    ],
)
def test_a_wait_passes_at_the_minute(called_at: str, zone: str, act_at: time, days: int, passes_utc: str) -> None:
    using = procedure(zone=zone, act_at=act_at)
    ticket = called(moment(called_at, zone), promised_days=days)
    passes = datetime.fromisoformat(passes_utc).replace(tzinfo=UTC)
    before, after = look(ticket, passes - timedelta(microseconds=1), using), look(ticket, passes, using)
    assert (before.stage, before.attend_at) == ("awaiting_ncsc", passes)
    assert (after.stage, after.attend_at) == ("email_service_center", None)


@pytest.mark.parametrize(
    ("called_at", "wait", "due"),
    [
        # 5 business days after Mon Jun 29, 2026: Jul 3 is the day on which Independence Day is observed.
        ("2026-06-29 10:00", Wait(5, "business"), "2026-07-08"),
        # Thanksgiving (Nov 26) and a weekend.
        ("2026-11-24 10:00", Wait(2, "business"), "2026-11-30"),
        # Called on a Saturday.
        ("2026-06-06 10:00", Wait(0, "business"), "2026-06-08"),
        # Calendar days, the act rolled over Saturday, Sunday and Labor Day (Sep 7).
        ("2026-08-14 10:00", Wait(21, "calendar", roll_forward=True), "2026-09-08"),
        ("2026-08-14 10:00", Wait(21, "calendar"), "2026-09-05"),
        # Christmas is a Friday.
        ("2026-11-24 10:00", Wait(30, "calendar", roll_forward=True), "2026-12-28"),
        ("2026-11-23 10:00", Wait(30, "calendar", roll_forward=True), "2026-12-24"),
    ],
)
def test_business_days_and_rolling(called_at: str, wait: Wait, due: str) -> None:
    decision = look(called(called_at), called_at, procedure(waits={"call": wait}))
    assert kinds(decision) == [("due_date", due)]
    assert decision.attend_at == utc(f"{due} 09:00")


def test_each_step_has_its_own_wait() -> None:
    waits = {"call": Wait(1), "email_service_center": Wait(2), "email_headquarters": Wait(3)}
    using = procedure(waits=waits)
    assert look(called(), CALL, using).attend_at == utc("2026-03-03 09:00")
    assert look(emailed(), "2026-04-01 11:00", using).attend_at == utc("2026-04-04 09:00")
    assert look(escalated(), "2026-04-23 09:30", using).attend_at == utc("2026-04-27 09:00")


def test_promised_days_replace_the_first_wait_only() -> None:
    decision = look(called(promised_days=45), CALL)
    assert decision.attend_at == utc("2026-04-16 09:00")
    assert "promised_days" in {reason.code for reason in decision.reasons}
    assert look(called(promised_days=0), CALL).attend_at == utc("2026-03-02 09:00")
    assert look(emailed(promised_days=45), "2026-04-01 11:00").attend_at == utc("2026-04-23 09:00")


# ---- Which contacts count


def test_a_contact_in_the_future_is_no_step_until_its_moment() -> None:
    ticket = called("2026-03-01 10:15")
    before, then = look(ticket, "2026-03-01 10:14"), look(ticket, "2026-03-01 10:15")
    assert (before.stage, before.attend_at) == ("call_ncsc", utc("2026-03-01 10:15"))
    assert codes(before) == {("called_at", "in_future")}
    assert then.stage == "awaiting_ncsc"
    assert codes(then) == set()


def test_a_contact_a_few_minutes_ahead_is_not_complained_of() -> None:
    ticket = emailed("2026-03-10 10:05")
    assert comments(look(ticket, "2026-03-10 10:00")) == []
    (complaint,) = comments(look(ticket, "2026-03-10 09:59"))
    assert "Service Center Emailed At (Mar 10, 2026, 10:05 a.m. Eastern) is in the future" in shown(complaint)


@pytest.mark.parametrize(
    ("ticket", "field", "stage"),
    [
        (emailed("2026-02-28 10:00"), SC, "awaiting_ncsc"),
        (escalated("2026-03-31 10:00"), HQ, "awaiting_service_center"),
        (called(**{HQ: moment("2026-02-01 10:00")}), HQ, "awaiting_ncsc"),
        (called(answered_at=moment("2026-02-01 10:00")), "answered_at", "awaiting_ncsc"),
        # An answer to the first e-mail does not answer one that was sent after it.
        (emailed("2026-04-01 11:00", answered_at=moment("2026-03-20 10:00")), "answered_at", "awaiting_service_center"),
    ],
)
def test_a_contact_before_the_one_it_follows_is_a_problem_and_no_step(ticket: Case, field: str, stage: str) -> None:
    decision = look(ticket, "2026-03-02 10:00" if stage == "awaiting_ncsc" else "2026-04-02 10:00")
    assert decision.stage == stage
    assert (field, "before_contact") in codes(decision)
    assert "contact_not_counted" in {reason.code for reason in decision.reasons}
    assert "is before" in shown(comments(decision)[0])


def test_a_day_without_an_hour_is_compared_by_day() -> None:
    """A day's first instant is before every call of that day; it must not be taken for a wrong order."""
    ticket = called("2026-03-01 10:15", **{SC: moment("2026-03-01")})
    assert look(ticket, "2026-03-01 12:00").stage == "awaiting_service_center"
    same_day = called(moment("2026-03-01"), **{SC: moment("2026-03-01 08:00")})
    assert look(same_day, "2026-03-01 12:00").stage == "awaiting_service_center"
    day_before = called("2026-03-01 00:15", **{SC: moment("2026-02-28")})
    assert codes(look(day_before, "2026-03-01 12:00")) == {(SC, "before_contact")}


def test_a_day_without_an_hour_counts_from_its_beginning_in_the_offices_zone() -> None:
    honolulu = procedure(zone="Pacific/Honolulu")
    ticket = called(moment("2026-03-01", "Pacific/Honolulu"))
    assert look(ticket, "2026-03-01 04:59", honolulu).stage == "call_ncsc"
    today = look(ticket, "2026-03-01 05:00", honolulu)
    assert (today.stage, kinds(today)) == ("awaiting_ncsc", [("due_date", "2026-04-01")])


def test_steps_may_be_left_out() -> None:
    """Staff who e-mailed without noting the call are on Step 2, and are asked for the call before Step 3's letter."""
    ticket = case(**{SC: moment("2026-04-01 11:00"), "ncsc_representative": "x", "service_request_number": "y"})
    assert look(ticket, "2026-04-02 10:00").stage == "awaiting_service_center"
    assert comments(look(ticket, "2026-04-02 10:00")) == []
    asked = only_comment(look(ticket, "2026-04-23 09:00"))
    assert asked.to is None
    assert "NCSC Called At is missing" in shown(asked)
    straight = case(**{HQ: moment("2026-04-23 09:30")})
    assert look(straight, "2026-04-24 09:00").stage == "awaiting_headquarters"


@pytest.mark.parametrize(
    "change",
    [
        {"receipt_number": None, "problems": (Problem("receipt_number", "too_short", "Receipt Number is too short"),)},
        {"alien_number": None, "form_type": None, "filed_on": None},
        {"filed_on": date(2026, 3, 20)},
        {"filed_on": date(2027, 3, 20)},
        {"ncsc_representative": None, "service_request_number": None},
        {"service_center": None, "problems": (Problem("service_center", "unknown_center", "what is that"),)},
        {"promised_days": None, "problems": (Problem("promised_days", "bad_number", "what is that"),)},
    ],
)
def test_a_missing_or_wrong_fact_never_stops_a_running_wait(change: dict[str, Any]) -> None:
    decision = look(changed(called(), **change), "2026-03-02 10:00")
    assert decision.stage == "awaiting_ncsc"
    assert decision.attend_at in {utc("2026-04-01 09:00"), utc("2026-03-20 00:00")}
    assert decision.problems
    assert look(changed(called(), **change), "2026-04-01 09:00").stage == "email_service_center"


# ---- Step 1


@pytest.mark.parametrize("fact", ["receipt_number", "alien_number", "form_type", "filed_on"])
def test_each_fact_of_step_1_is_asked_for(fact: str) -> None:
    decision = look(case(**{fact: None}), "2026-02-01 10:00")
    assert decision.stage == "collect_details"
    assert (fact, "missing") in codes(decision)
    assert "is missing" in shown(only_comment(decision))


def test_none_assigned_is_an_a_number() -> None:
    decision = look(case(alien_number="none assigned"), "2026-02-01 10:00")
    assert decision.stage == "call_ncsc"
    assert "A-number none assigned" in shown(only_comment(decision))


def test_a_date_filed_in_the_future_is_wrong_until_its_day_begins_in_the_offices_zone() -> None:
    ticket = case(filed_on=date(2026, 2, 2))
    before = look(ticket, "2026-02-01 23:59")
    assert (before.stage, before.attend_at) == ("collect_details", utc("2026-02-02 00:00"))
    assert codes(before) == {("filed_on", "in_future")}
    assert look(ticket, "2026-02-02 00:00").stage == "call_ncsc"


def test_a_date_filed_after_the_call_is_told_and_on_its_day_is_not() -> None:
    assert codes(look(called(filed_on=date(2026, 3, 1)), "2026-03-05 10:00")) == set()
    decision = look(called(filed_on=date(2026, 3, 2)), "2026-03-05 10:00")
    assert codes(decision) == {("filed_on", "after_call")}
    assert "Date Filed (Mar 2, 2026) is after NCSC Called At" in shown(only_comment(decision))


@pytest.mark.parametrize(
    ("kept", "missing"),
    [
        ({"service_request_number", "no_service_request_reason", "ncsc_representative"}, "service_request_number"),
        ({"no_service_request_reason"}, "no_service_request_reason"),
        ({"service_request_number"}, "service_request_number"),
        (set(), None),
    ],
)
def test_a_fact_that_the_office_does_not_keep_is_not_asked_for(kept: set[str], missing: str | None) -> None:
    """The request's number, or the reason for none, holds up the letter; the representative does not."""
    ticket = called(service_request_number=None, ncsc_representative=None, kept=frozenset({"called_at", *kept}))
    decision = look(ticket, "2026-04-01 09:00")
    text = shown(only_comment(decision))
    assert (only_comment(decision).to is None) == (missing is not None)
    assert ("is missing" in text) == (missing is not None)
    assert {field for field, _ in codes(decision)} >= ({missing} if missing else set())
    assert (("ncsc_representative", "missing") in codes(decision)) == ("ncsc_representative" in kept)


def test_the_reason_for_no_service_request_is_enough() -> None:
    ticket = called(service_request_number=None, no_service_request_reason="within posted processing time")
    letter = only_comment(look(ticket, "2026-04-01 09:00"))
    assert letter.to == CALIFORNIA
    assert "No service request was issued. Reason given: within posted processing time" in shown(letter)


def test_an_incomplete_letter_becomes_the_letter_as_soon_as_the_facts_are_there() -> None:
    now = utc("2026-04-01 09:00")
    ticket = called(form_type=None)
    first = look(ticket, now)
    assert "Form Type is missing" in shown(only_comment(first))
    ticket = done(ticket, first, now)
    assert look(ticket, now + timedelta(days=3)).acts == ()
    completed = look(changed(ticket, form_type="I-130"), now + timedelta(days=4))
    assert only_comment(completed).to == CALIFORNIA


@pytest.mark.parametrize("ladder", [called, emailed])
def test_a_fact_that_goes_missing_after_the_letter_does_not_announce_another(ladder: Any) -> None:
    """The letter is not written again for the same contact and addressee, so nothing may promise it."""
    now = utc("2026-04-30 09:00")
    ticket = done(ladder(), look(ladder(), now), now)
    assert look(changed(ticket, form_type=None), now).acts == ()
    wrong = Problem("form_type", "not_a_form", 'Form Type "x" is not a form number')
    told = only_comment(look(changed(ticket, form_type=None, problems=(wrong,)), now))
    assert "Please correct this ticket" in shown(told)
    assert "letter" not in shown(told)


# ---- The Service Center


@pytest.mark.parametrize(
    ("receipt", "center", "address"),
    [
        ("WAC1512350123", "california", CALIFORNIA),
        ("CSC1512350123", "california", CALIFORNIA),
        ("EAC1512350123", "vermont", "vsc.ncscfollowup@dhs.gov"),
        ("VSC1512350123", "vermont", "vsc.ncscfollowup@dhs.gov"),
        ("LIN1512350123", "nebraska", "ncscfollowup.nsc@dhs.gov"),
        ("NSC1512350123", "nebraska", "ncscfollowup.nsc@dhs.gov"),
        ("SRC1512350123", "texas", "tsc.ncscfollowup@dhs.gov"),
        ("TSC*512350123", "texas", "tsc.ncscfollowup@dhs.gov"),
    ],
)
def test_the_prefix_suggests_the_center(receipt: str, center: str, address: str) -> None:
    decision = look(called(receipt_number=receipt), "2026-04-01 09:00")
    assert decision.service_center == center
    assert only_comment(decision).to == address
    assert "center_from_prefix" in {reason.code for reason in decision.reasons}


def test_what_staff_filled_in_always_wins() -> None:
    decision = look(called(service_center="texas"), "2026-04-01 09:00")
    assert decision.service_center == "texas"
    assert only_comment(decision).to == "tsc.ncscfollowup@dhs.gov"
    assert "center_from_ticket" in {reason.code for reason in decision.reasons}


@pytest.mark.parametrize("prefix", ["IOE", "MSC", "NBC", "YSC"])
def test_a_prefix_that_names_no_center_is_asked_about_and_no_address_is_guessed(prefix: str) -> None:
    now = utc("2026-04-01 09:00")
    ticket = called(receipt_number=f"{prefix}1512350123")
    decision = look(ticket, now)
    assert (decision.service_center, codes(decision)) == (None, {("service_center", "missing")})
    asked = only_comment(decision)
    assert f"Which Service Center has this case? {prefix} receipt numbers do not tell." in shown(asked)
    assert "@" not in shown(asked)
    filled = changed(done(ticket, decision, now), service_center="nebraska")
    assert only_comment(look(filled, now)).to == "ncscfollowup.nsc@dhs.gov"


def test_a_service_center_that_cannot_be_read_is_not_replaced_by_the_prefix() -> None:
    wrong = Problem("service_center", "unknown_center", 'Service Center "Potomac" is not one of the four')
    ticket = called(problems=(wrong,))
    decision = look(ticket, "2026-04-01 09:00")
    assert decision.service_center is None
    asked = only_comment(decision)
    assert asked.to is None
    assert '"Potomac" is not one of the four' in shown(asked)
    assert "center_unreadable" in {reason.code for reason in decision.reasons}
    before_call = look(case(problems=(wrong,)), "2026-02-01 09:00")
    assert "WAC receipt numbers" not in "".join(shown(act) for act in comments(before_call))


def test_step_3_does_not_wait_for_the_center() -> None:
    decision = look(emailed(receipt_number="IOE1512350123"), "2026-04-23 09:00")
    assert only_comment(decision).to == HEADQUARTERS


# ---- Protected cases, answers, closed tickets


@pytest.mark.parametrize("form", ["I-914", "I-914A", "I-914B", "I-918", "I-918A", "I-918B", "I-929"])
def test_forms_that_are_always_protected(form: str) -> None:
    for ticket in (case(form_type=form), called(form_type=form), escalated(form_type=form)):
        decision = look(ticket, "2026-06-01 09:00")
        assert decision.stage == "protected"
        assert form not in shown(only_comment(decision))


@pytest.mark.parametrize(
    ("form", "asks"), [("I-360", True), ("I-485", True), ("I-751", True), ("I-130", False), ("N-400", False)]
)
def test_forms_that_may_be_protected_are_asked_about(form: str, asks: bool) -> None:
    decision = look(case(form_type=form), "2026-02-01 09:00")
    assert decision.stage == "call_ncsc"
    assert ("separate route" in shown(only_comment(decision))) == asks


def test_the_flag_protects_whatever_is_missing_or_running() -> None:
    for ticket in (case(receipt_number=None, filed_on=None), called(), emailed(), escalated()):
        decision = look(changed(ticket, protected=True, twins=("CASE-2",)), "2026-06-01 09:00")
        assert decision.stage == "protected"
        assert "missing" not in {code for _, code in codes(decision)}
        assert "Use the office's separate route" in shown(only_comment(decision))


@pytest.mark.parametrize("protected", [False, True])
def test_an_answer_stops_all_waits(protected: bool) -> None:
    ticket = emailed(answered_at=moment("2026-04-10 12:00"), protected=protected)
    decision = look(ticket, "2026-05-30 09:00")
    assert (decision.stage, decision.acts, decision.attend_at) == ("answered", (), None)


def test_a_contact_after_an_answer_starts_its_own_wait() -> None:
    ticket = escalated(answered_at=moment("2026-04-10 12:00"))
    assert look(ticket, "2026-04-24 09:00").stage == "awaiting_headquarters"


def test_an_answer_in_the_future_stops_nothing_yet() -> None:
    ticket = called(answered_at=moment("2026-03-20 12:00"))
    decision = look(ticket, "2026-03-10 09:00")
    assert (decision.stage, decision.attend_at) == ("awaiting_ncsc", utc("2026-03-20 12:00"))
    assert look(ticket, "2026-03-20 12:00").stage == "answered"


def test_a_closed_ticket_is_left_alone_whatever_it_says() -> None:
    using = procedure(statuses={"answered": "Done", "awaiting_ncsc": "Waiting"})
    ticket = called("2027-01-01 10:00", closed=True, recorded=frozenset({"called_at"}), twins=("CASE-2",))
    decision = look(ticket, "2026-03-01 09:00", using)
    assert (decision.stage, decision.acts, decision.attend_at) == ("answered", (), None)
    assert [reason.code for reason in decision.reasons] == ["ticket_closed"]
    reopened = look(changed(ticket, closed=False, called_at=moment(CALL)), "2026-04-01 09:00", using)
    assert reopened.stage == "email_service_center"


# ---- Acts on the ticket


def test_a_recorded_moment_is_written_into_its_empty_field_and_counts_at_once() -> None:
    ticket = emailed("2026-04-01 11:00", recorded=frozenset({SC}))
    decision = look(ticket, "2026-04-01 11:01")
    written = decision.acts[0]
    assert (written.kind, written.to, written.body) == ("set_field", SC, "2026-04-01T15:00:00+00:00")
    assert decision.stage == "awaiting_service_center"


def test_the_stages_own_comment_comes_last() -> None:
    """Where it is found on the ticket, everything before it was done."""
    wrong = Problem("promised_days", "bad_number", "Promised Days is not a number")
    ticket = called(recorded=frozenset({"called_at"}), twins=("CASE-3", "CASE-2"), problems=(wrong,))
    decision = look(ticket, "2026-04-01 09:00", procedure(statuses={"email_service_center": "E-mail now"}))
    assert [act.kind for act in decision.acts] == ["set_field", "transition", *["comment"] * 4]
    assert [act.concludes for act in decision.acts] == [False] * 5 + [True]
    assert decision.acts[-1].to == CALIFORNIA


STATUSES = {"email_service_center": "E-mail now", "awaiting_service_center": "Waiting", "answered": "Done"}


def moves(ticket: Case, now: str) -> list[str | None]:
    return [act.to for act in look(ticket, now, procedure(statuses=STATUSES)).acts if act.kind == "transition"]


def test_entering_a_stage_moves_the_ticket_once_and_a_human_wins() -> None:
    now = "2026-04-01 09:00"
    assert moves(called(status="Open"), now) == ["E-mail now"]
    assert moves(called(status="e-mail NOW"), now) == []
    ticket = called(status="Open")
    after = done(ticket, look(ticket, now, procedure(statuses=STATUSES)), utc(now))
    assert after.status == "E-mail now"
    assert moves(changed(after, status="On hold"), now) == []


def test_a_stage_without_a_status_moves_nothing() -> None:
    assert moves(called(status="Open"), "2026-03-02 09:00") == []


@pytest.mark.parametrize("entered_at", ["2026-03-01 10:15", "2026-04-01 09:00"])
def test_the_history_shows_that_the_ticket_was_moved_already(entered_at: str) -> None:
    """An empty database, and a stage without a comment: the tracker's history tells (DESIGN, the case)."""
    ticket = called(status="On hold", entered=(("E-MAIL NOW", utc(entered_at)),))
    assert moves(ticket, "2026-04-02 09:00") == []


def test_a_move_of_an_earlier_occurrence_does_not_count() -> None:
    ticket = emailed("2026-04-01 11:00", status="Open", entered=(("Waiting", utc("2026-03-31 09:00")),))
    assert moves(ticket, "2026-04-02 09:00") == ["Waiting"]
    told = done(ticket, look(ticket, "2026-04-02 09:00", procedure(statuses=STATUSES)), utc("2026-04-02 09:00"))
    again = changed(told, **{"status": "Open", SC: moment("2026-04-05 11:00")})
    assert moves(again, "2026-04-06 09:00") == ["Waiting"]


def test_the_stages_comment_on_the_ticket_means_that_it_was_moved() -> None:
    now = "2026-04-01 09:00"
    ticket = called(status="On hold")
    letter = only_comment(look(ticket, now, procedure(statuses=STATUSES)))
    assert moves(changed(ticket, told=frozenset(letter.refs)), now) == []


def test_each_answer_moves_the_ticket_once() -> None:
    """Regression: after a first answer, further contacts and a second answer, the ticket stayed where it was."""
    first = called(status="Open", answered_at=moment("2026-03-05 10:00"))
    assert moves(first, "2026-03-06 09:00") == ["Done"]
    after = done(first, look(first, "2026-03-06 09:00", procedure(statuses=STATUSES)), utc("2026-03-06 09:00"))
    assert moves(changed(after, status="Review"), "2026-03-07 09:00") == []
    second = changed(
        after, **{"status": "Waiting", SC: moment("2026-03-10"), "answered_at": moment("2026-03-20 10:00")}
    )
    assert moves(second, "2026-03-21 09:00") == ["Done"]


def test_the_due_date_is_kept_to_the_next_act() -> None:
    now = "2026-03-02 09:00"
    assert kinds(look(called(due_on=date(2026, 4, 1)), now)) == []
    assert kinds(look(called(due_on=date(2026, 12, 24)), now)) == [("due_date", "2026-04-01")]
    assert kinds(look(called(due_on=date(2026, 4, 1), promised_days=45), now)) == [("due_date", "2026-04-16")]
    assert kinds(look(called(due_on=date(2026, 12, 24), told=refs(look(called(), now))), now)) == []


def test_a_due_date_of_ours_gives_way_again_and_a_persons_does_not() -> None:
    """Guards against a due date left too late when promised days came and went."""
    now = "2026-03-02 10:00"
    usual = refs(look(called(), now))
    longer = refs(look(called(promised_days=45, due_on=date(2026, 4, 1)), now))
    told = usual | longer
    assert kinds(look(called(due_on=date(2026, 4, 16), told=told), now)) == [("due_date", "2026-04-01")]
    assert kinds(look(called(due_on=date(2026, 4, 10), told=told), now)) == []
    assert kinds(look(called(due_on=None, told=told), now)) == []


def test_the_due_date_is_the_offices_day() -> None:
    """Half past midnight in Kiritimati, fourteen hours ahead of UTC."""
    using = procedure(zone="Pacific/Kiritimati", act_at=time(0, 30))
    ticket = called(moment("2026-03-01 00:10", "Pacific/Kiritimati"))
    assert kinds(look(ticket, "2026-03-01 00:00", using)) == [("due_date", "2026-04-01")]


# ---- Nothing is said twice, and nothing is forgotten


def test_twins_are_told_of_each_other_once() -> None:
    now = utc("2026-03-02 09:00")
    ticket = called(twins=("CASE-2",), due_on=date(2026, 4, 1))
    first = look(ticket, now)
    assert "CASE-2 has the same receipt number" in shown(only_comment(first))
    ticket = done(ticket, first, now)
    assert look(ticket, now).acts == ()
    third = look(changed(ticket, twins=("CASE-2", "CASE-3")), now)
    assert "CASE-3" in shown(only_comment(third))


def test_the_same_problem_is_not_told_twice_but_a_new_one_is() -> None:
    now = utc("2026-03-02 09:00")
    days = Problem("promised_days", "bad_number", "Promised Days is not a number")
    request = Problem("service_request_number", "same_as_receipt", "Service Request Number is the receipt number")
    ticket = called(due_on=date(2026, 4, 1), problems=(days,))
    first = look(ticket, now)
    assert "Promised Days is not a number" in shown(only_comment(first))
    ticket = done(ticket, first, now)
    assert look(ticket, now).acts == ()
    second = only_comment(look(changed(ticket, problems=(days, request)), now))
    assert "Service Request Number is the receipt number" in shown(second)
    assert "Promised Days" not in shown(second)
    assert not set(second.refs) & ticket.told
    other_code = look(changed(ticket, problems=(replace(days, code="out_of_range"),)), now)
    assert len(comments(other_code)) == 1


def test_another_wrong_moment_of_the_same_contact_is_a_new_problem() -> None:
    now = utc("2026-03-02 09:00")
    ticket = emailed("2026-02-01 10:00", due_on=date(2026, 4, 1))
    ticket = done(ticket, look(ticket, now), now)
    assert look(ticket, now).acts == ()
    assert len(comments(look(changed(ticket, **{SC: moment("2026-02-02 10:00")}), now))) == 1


def test_details_are_asked_for_again_only_where_they_are_wrong_in_a_new_way() -> None:
    now = utc("2026-02-01 09:00")
    ticket = case(receipt_number=None, filed_on=None)
    ticket = done(ticket, look(ticket, now), now)
    assert look(changed(ticket, filed_on=date(2025, 6, 2)), now).acts == ()
    wrong = Problem("receipt_number", "too_short", 'Receipt Number "WAC15123" is too short')
    listing = only_comment(look(changed(ticket, problems=(wrong,)), now))
    assert '"WAC15123" is too short' in shown(listing)
    assert "Date Filed is missing" in shown(listing)
    ticket = done(ticket, look(changed(ticket, problems=(wrong,)), now), now)
    assert look(changed(ticket, problems=(wrong,)), now).acts == ()


def ref_of(ticket: Case, now: str = "2026-04-30 09:00", **settings: Any) -> str:
    return comments(look(ticket, now, procedure(**settings)))[-1].ref


def test_a_ref_depends_on_ticket_step_contact_and_addressee() -> None:
    letter = ref_of(called())
    others = [
        ref_of(called(ticket_id="10002")),
        ref_of(called("2026-03-01 10:16")),
        ref_of(called(service_center="texas")),
        ref_of(emailed()),
        ref_of(case()),
    ]
    assert len({letter, *others}) == 6


def test_a_ref_never_depends_on_text_wording_status_or_look() -> None:
    letter = ref_of(called())
    assert letter == ref_of(called(), "2026-06-30 09:00")
    assert letter == ref_of(called(ncsc_representative="Someone else", service_request_number="Another"))
    assert letter == ref_of(called(alien_number="999999999", form_type="N-400", filed_on=date(2024, 1, 1)))
    assert letter == ref_of(called(labels={SC: "Sent"}, status="Open", kept=frozenset()))
    assert letter == ref_of(called(), wording={"email_service_center": "Write now!", "letter_body": "Hello"})
    assert letter == ref_of(called(), internal=False)
    assert letter == ref_of(called(source="the-same-file-renamed"))
    assert letter == ref_of(called(moment("2026-03-01 07:15", "America/Los_Angeles")))


def test_refs_stay_what_they_are_between_releases() -> None:
    """A changed ref would post every open ticket's comment once more."""
    assert ref_of(case()) == "81227c10"
    assert ref_of(called()) == "39130b7b"
    assert ref_of(emailed()) == "2c198604"


def test_a_new_call_begins_again() -> None:
    """A contact's moment that is moved is another contact: its wait runs, and its letter is written."""
    now = utc("2026-04-01 09:00")
    ticket = done(called(), look(called(), now), now)
    assert look(ticket, now).acts == ()
    again = changed(ticket, called_at=moment("2026-03-31 16:00"))
    assert look(again, now).stage == "awaiting_ncsc"
    assert comments(look(again, "2026-05-01 09:00"))[0].to == CALIFORNIA
