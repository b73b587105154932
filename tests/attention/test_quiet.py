"""The present taken as known: what stays unsaid, for cases of every kind."""

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given

from connector.attention.quiet import not_moved, refs_of, taken_as_said, unsaid, with_twins
from connector.inquiry.case import Case
from connector.inquiry.decide import decide
from connector.inquiry.procedure import Procedure
from tests.inquiry.builders import called, case, comments, shipped, utc
from tests.inquiry.test_laws import LAW, looks

NOW = utc("2026-05-04 15:00")
# Called on that day, 30 days are over at the office's hour of day 31.
PASSED_TODAY, PASSED_YESTERDAY, PASSES_TOMORROW = "2026-04-03 10:00", "2026-04-02 10:00", "2026-04-04 10:00"


def kinds(ticket: Case, now: datetime = NOW) -> list[tuple[str, bool]]:
    return [(act.kind, act.concludes) for act in unsaid(ticket, now, shipped())]


def test_a_wait_that_passed_before_today_stays_unsaid_and_one_of_today_does_not() -> None:
    assert kinds(called(PASSED_YESTERDAY)) == [("comment", True)]
    assert kinds(called(PASSED_TODAY)) == []
    assert kinds(called(PASSES_TOMORROW)) == []
    assert [act.to for act in comments(decide(called(PASSED_TODAY), NOW, shipped()))] == ["csc-ncsc-followup@dhs.gov"]


def test_today_is_the_offices_day() -> None:
    assert kinds(called(PASSED_TODAY), utc("2026-05-04 23:59")) == []
    assert kinds(called(PASSED_TODAY), utc("2026-05-05 00:00")) == [("comment", True)]


def test_before_the_call_everything_due_is_known() -> None:
    assert kinds(case()) == [("comment", True)]
    assert kinds(case(receipt_number=None)) == [("comment", True)]
    assert kinds(case(closed=True)) == []


def test_beside_the_news_of_today_the_rest_stays_unsaid() -> None:
    ticket = replace(called(PASSED_TODAY), filed_on=NOW.date() + timedelta(1), twins=("CASE-2",))
    acts = unsaid(ticket, NOW, shipped())
    assert [act.concludes for act in acts] == [False] * len(acts)
    assert acts
    [news] = comments(decide(taken_as_said(ticket, acts), NOW, shipped()))
    assert news.concludes


def test_a_ticket_is_not_moved_if_what_vouches_for_the_move_stays_unsaid() -> None:
    to_call, moved = case(status="New"), case(status="Call NCSC")
    using = shipped().for_source(shipped().office, {"call_ncsc": "Call NCSC", "awaiting_ncsc": "Awaiting NCSC"})
    assert not_moved(to_call, unsaid(to_call, NOW, using), NOW, using) == "Call NCSC"
    assert not_moved(moved, unsaid(moved, NOW, using), NOW, using) is None
    assert not_moved(to_call, (), NOW, using) is None, "it is moved, and told why"
    waiting = called(PASSES_TOMORROW, status="New")
    assert not_moved(waiting, unsaid(waiting, NOW, using), NOW, using) is None, "a stage without a comment moves it"


def test_tickets_with_one_receipt_number_are_known_to_each_other() -> None:
    open_one, answered, other = case(), case(closed=True), case(receipt_number="LIN2590011223")
    told = with_twins([("A-1", open_one), ("A-2", answered), ("A-3", open_one), ("A-4", other)], NOW, shipped())
    assert [each.twins for each in told] == [("A-3",), ("A-1", "A-3"), ("A-1",), ()]
    assert len(unsaid(told[0], NOW, shipped())) == 2


@LAW
@given(looks())
def test_what_stays_unsaid_never_comes_and_nothing_else_is_lost(look: tuple[Case, datetime, Procedure]) -> None:
    ticket, now, using = look
    before = decide(ticket, now, using)
    acts = unsaid(ticket, now, using)
    after = decide(taken_as_said(ticket, acts), now, using)
    assert all(act.kind == "comment" for act in acts)
    assert not refs_of(acts) & refs_of(comments(after))
    assert len(comments(after)) <= 1
    assert (after.stage, after.attend_at, after.problems) == (before.stage, before.attend_at, before.problems)
    dues = [[act for act in each.acts if act.kind in {"due_date", "set_field"}] for each in (before, after)]
    assert dues[0] == dues[1]
    assert unsaid(taken_as_said(ticket, acts), now, using) == ()
