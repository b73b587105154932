"""Laws that hold for `decide` whatever staff type: tried on cases of arbitrary well-typed facts."""

import re
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from connector.inquiry.case import FACTS, Case, Moment, Problem
from connector.inquiry.decide import Decision, decide
from connector.inquiry.identifiers import NONE_ASSIGNED, RECEIPT_PREFIXES, looks_like_ssn
from connector.inquiry.markup import Markup, find_refs, render
from connector.inquiry.procedure import STAGES, Procedure, Wait
from tests.inquiry.builders import changed, comments, done, procedure

ZONES = (
    *("America/New_York", "America/Los_Angeles", "Pacific/Honolulu", "Europe/London", "Asia/Kathmandu"),
    *("Pacific/Kiritimati", "America/Havana", "Australia/Lord_Howe", "UTC"),
)
MARKUPS: tuple[Markup, ...] = ("wiki", "html", "text")
CONTACTS = ("called_at", "service_center_emailed_at", "headquarters_emailed_at")

_NOW = datetime(2026, 3, 8, 6, 30, tzinfo=UTC)  # the night on which the clocks go forward in New York
_hours = st.integers(-24 * 80, 24 * 20).map(lambda hours: timedelta(hours=hours))
_nears = st.sampled_from([timedelta(0), timedelta(minutes=1), timedelta(minutes=4), timedelta(minutes=-1)])


@st.composite
def moments(draw: st.DrawFn, zone: ZoneInfo) -> Moment:
    at = _NOW + draw(st.one_of(_hours, _nears))
    if draw(st.booleans()):
        return Moment(at)
    day = at.astimezone(zone).date()
    return Moment(datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC), has_time=False)


texts = st.one_of(
    st.sampled_from(["", "Ms. Rivera, ID 4471", "within posted processing time", "**x** [y](http://z) {z} ```", "\\"]),
    st.text(max_size=60),
).filter(lambda text: not looks_like_ssn(text))
receipts = st.builds("{}{}".format, st.sampled_from(RECEIPT_PREFIXES), st.from_regex(r"[0-9*][0-9]{9}", fullmatch=True))
alien_numbers = st.one_of(st.just(NONE_ASSIGNED), st.from_regex(r"[0-9]{9}", fullmatch=True))
forms = st.sampled_from(["I-130", "I-485", "N-400", "I-914", "I-918A", "I-929", "I-360"])
countings: st.SearchStrategy[Literal["calendar", "business"]] = st.sampled_from(["calendar", "business"])
dates = st.dates(_NOW.date() - timedelta(400), _NOW.date() + timedelta(30))


def _or_none(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy, strategy)


@st.composite
def cases(draw: st.DrawFn, zone: ZoneInfo) -> Case:
    facts: dict[str, Any] = {
        "receipt_number": draw(_or_none(receipts)),
        "alien_number": draw(_or_none(alien_numbers)),
        "form_type": draw(_or_none(forms)),
        "filed_on": draw(_or_none(dates)),
        "ncsc_representative": draw(_or_none(texts)),
        "service_request_number": draw(_or_none(texts)),
        "no_service_request_reason": draw(_or_none(texts)),
        "promised_days": draw(st.one_of(st.none(), st.none(), st.integers(0, 60), st.just(3650))),
        "service_center": draw(st.one_of(st.none(), st.sampled_from(["california", "texas"]))),
        **{fact: draw(_or_none(moments(zone))) for fact in CONTACTS},
        "answered_at": draw(st.one_of(st.none(), st.none(), moments(zone))),
        "protected": draw(st.sampled_from([False, False, False, True])),
    }
    unread = [fact for fact in FACTS if facts[fact] is None]
    wrong = draw(st.lists(st.sampled_from(unread), unique=True, max_size=3)) if unread else []
    recordable = [fact for fact in CONTACTS if facts[fact] is not None]
    return Case(
        source="office",
        ticket_id="10001",
        **facts,
        closed=draw(st.sampled_from([False, False, False, False, True])),
        status=draw(st.sampled_from(["Open", "E-mail now", "Waiting"])),
        due_on=draw(_or_none(dates)),
        problems=tuple(Problem(fact, "too_short", f'{fact} "{draw(texts)}" is too short') for fact in wrong),
        recorded=frozenset(draw(st.lists(st.sampled_from(recordable)))) if recordable else frozenset(),
        labels=draw(st.dictionaries(st.sampled_from(FACTS), texts, max_size=3)),
        kept=frozenset(draw(st.lists(st.sampled_from(FACTS)))) if draw(st.booleans()) else frozenset(FACTS),
        entered=tuple(draw(st.lists(st.tuples(st.just("Waiting"), moments(zone).map(lambda m: m.at)), max_size=2))),
        twins=tuple(draw(st.lists(st.sampled_from(["CASE-2", "CASE-[3]"]), unique=True))),
    )


@st.composite
def procedures(draw: st.DrawFn) -> Procedure:
    waits = {
        name: Wait(draw(st.sampled_from([0, 1, days])), draw(countings), draw(st.booleans()))
        for name, days in (("call", 30), ("email_service_center", 21), ("email_headquarters", 10))
    }
    mapped = draw(st.lists(st.sampled_from(STAGES), unique=True))
    return procedure(
        zone=draw(st.sampled_from(ZONES)),
        act_at=draw(st.sampled_from([time(9), time(0), time(2, 30), time(23, 59)])),
        internal=draw(st.booleans()),
        statuses={stage: "Waiting" if "awaiting" in stage else stage for stage in mapped},
        waits=waits,
    )


@st.composite
def looks(draw: st.DrawFn) -> tuple[Case, datetime, Procedure]:
    using = draw(procedures())
    now = _NOW + draw(st.one_of(st.just(timedelta(0)), _hours))
    return draw(cases(using.office.time_zone)), now, using


LAW = settings(deadline=None, derandomize=True, max_examples=80)


def _seen(decision: Decision) -> tuple[str, frozenset[tuple[str, str]]]:
    return decision.stage, frozenset((problem.field, problem.code) for problem in decision.problems)


@LAW
@given(looks())
def test_every_case_gets_the_same_decision_each_time(look: tuple[Case, datetime, Procedure]) -> None:
    ticket, now, using = look
    decision = decide(ticket, now, using)
    assert decision == decide(ticket, now, using)
    assert decision.stage in STAGES
    assert decision.reasons
    assert decision.service_center is None or decision.service_center in using.service_centers


@LAW
@given(looks())
def test_after_its_acts_nothing_is_left_to_do(look: tuple[Case, datetime, Procedure]) -> None:
    ticket, now, using = look
    decision = decide(ticket, now, using)
    assert decide(done(ticket, decision, now), now, using).acts == ()


@LAW
@given(looks())
def test_acts_known_from_the_ticket_alone_are_not_done_again(look: tuple[Case, datetime, Procedure]) -> None:
    """An empty database: only the comments on the ticket tell what was done (DESIGN, acts have refs)."""
    ticket, now, using = look
    decision = decide(ticket, now, using)
    assume(any(act.concludes for act in decision.acts))
    found = frozenset(ref for act in comments(decision) for ref in find_refs(render(act.signed(), "wiki")))
    again = decide(replace(ticket, told=found), now, using)
    assert {act.kind for act in again.acts} <= {"set_field", "due_date"}  # both look at the field itself


@LAW
@given(looks(), st.one_of(_hours.map(abs), st.integers(0, 2000).map(lambda days: timedelta(days=days))))
def test_a_later_now_never_moves_a_case_to_an_earlier_stage(
    look: tuple[Case, datetime, Procedure], later: timedelta
) -> None:
    ticket, now, using = look
    before, after = decide(ticket, now, using), decide(ticket, now + later, using)
    assert STAGES.index(before.stage) <= STAGES.index(after.stage)


@LAW
@given(looks(), st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_nothing_changes_before_attend_at(look: tuple[Case, datetime, Procedure], part: float) -> None:
    ticket, now, using = look
    decision = decide(ticket, now, using)
    if decision.attend_at is None:
        moments_between = [now + timedelta(days=20_000 * part)]
    else:
        assert decision.attend_at > now
        last = decision.attend_at - timedelta(microseconds=1)
        moments_between = [min(now + (last - now) * part, last), last]
    after = done(ticket, decision, now)
    for between in moments_between:
        assert _seen(decide(ticket, between, using)) == _seen(decision)
        assert decide(after, between, using).acts == ()


@LAW
@given(looks())
def test_waiting_for_attend_at_walks_to_the_end(look: tuple[Case, datetime, Procedure]) -> None:
    """Only looks at attend_at are needed: no stage that a look in between would have seen is passed over."""
    ticket, now, using = look
    decision, number = decide(ticket, now, using), 0
    while decision.attend_at:
        now, number = decision.attend_at, number + 1
        assert number < 20
        decision = decide(ticket, now, using)
    assert _seen(decide(ticket, now + timedelta(days=20_000), using)) == _seen(decision)


@LAW
@given(looks())
def test_no_social_security_number_is_made_up(look: tuple[Case, datetime, Procedure]) -> None:
    ticket, now, using = look
    for act in comments(decide(ticket, now, using)):
        for markup in MARKUPS:
            assert not looks_like_ssn(unquote(render(act.signed(), markup)))


@LAW
@given(looks())
def test_the_subject_carries_neither_name_nor_a_number(look: tuple[Case, datetime, Procedure]) -> None:
    ticket, now, using = look
    named = {"ncsc_representative": "Rosalind Quimby", "alien_number": "987654321"}
    ticket = changed(ticket, receipt_number="EAC1512350123", **named)
    for act in comments(decide(ticket, now, using)):
        for subject in re.findall(r"(?:Subject: |subject=)([^\n&]*)", act.body or ""):
            assert "EAC1512350123" in subject
            assert not re.search("Rosalind|Quimby|987654321", unquote(subject))


@LAW
@given(looks())
def test_a_protected_case_never_hears_of_the_ordinary_route(look: tuple[Case, datetime, Procedure]) -> None:
    ticket, now, using = look
    ticket = replace(ticket, protected=True, closed=False, answered_at=None, labels={})
    decision = decide(ticket, now, using)
    assert decision.stage == "protected"
    for act in decision.acts:
        said = f"{act.to} {act.body}"
        assert "@" not in said
        assert "mailto" not in said
        assert not re.search(r"\d{3}[ -]\d{4}\b", said)
        assert not re.search(r"vawa|visa|victim|abuse|traffick|violence|I-\d|\b[TU]\b|1367", said, re.IGNORECASE)


@LAW
@given(looks())
def test_every_ref_is_found_again_in_every_markup(look: tuple[Case, datetime, Procedure]) -> None:
    ticket, now, using = look
    acts = decide(ticket, now, using).acts
    refs = [ref for act in acts for ref in act.refs]
    assert len(refs) == len(set(refs))
    for act in acts:
        if act.kind == "comment":
            for markup in MARKUPS:
                assert set(act.refs) <= find_refs(render(act.signed(), markup))
