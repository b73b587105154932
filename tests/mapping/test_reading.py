"""From a ticket's fields to the Case."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.inquiry.case import FACTS, Case, Moment
from connector.inquiry.identifiers import NONE_ASSIGNED, looks_like_ssn
from connector.mapping.reading import read_case, wanted_fields
from connector.mapping.schema import Mapping
from connector.trackers import port
from tests.mapping.samples import MAPPING, SampleChange, SampleTicket, at, sample_mapping


@pytest.fixture(scope="module")
def mapping(tmp_path_factory: pytest.TempPathFactory) -> Mapping:
    return sample_mapping(tmp_path_factory.mktemp("mapping"))


def read(mapping: Mapping, fact: str, value: Any) -> Case:
    return read_case(SampleTicket({mapping.fields[fact].field: value}), mapping)


def test_whole_ticket(mapping: Mapping) -> None:
    """A ticket of the port itself, with every fact, as Jira sends them."""
    ticket = port.Ticket(
        id="10001",
        key="CASE-1",
        status="Waiting",
        closed=False,
        fields={
            "Receipt Number": " wac-15-123-50123 ",
            "customfield_10051": "A 12 345 678",
            "Form Type": "I130",
            "Date Filed": "2025-06-02",
            "NCSC Representative": "Ms.  Rivera,\nID 4471",
            "NCSC Called At": "2026-03-01T10:15:00.000-0500",
            "Service Request Number": "SR12203260001",
            "Reason No Service Request": None,
            "Promised Days": 45.0,
            "Service Center": "west",
            "Service Center Emailed At": "2026-04-20",
            "HQ Emailed At": "",
            "Answered At": None,
            "Route": "Ordinary",
        },
        labels={"customfield_10051": "Alien Registration Number"},
        due_on=date(2026, 5, 12),
        history=(port.Change("status", "Waiting", at(2)), port.Change("Form Type", "I130", at(1))),
        refs=frozenset({"7c3e19a2"}),
    )
    case = read_case(ticket, mapping, twins=["CASE-2"], told=frozenset({"5d01b7f4"}))
    assert case == Case(
        source="case",
        ticket_id="10001",
        receipt_number="WAC1512350123",
        alien_number="012345678",
        form_type="I-130",
        filed_on=date(2025, 6, 2),
        ncsc_representative="Ms. Rivera, ID 4471",
        called_at=Moment(at(1, 15, 15)),
        service_request_number="SR12203260001",
        promised_days=45,
        service_center="california",
        service_center_emailed_at=Moment(datetime(2026, 4, 20, 4, tzinfo=UTC), has_time=False),
        status="Waiting",
        due_on=date(2026, 5, 12),
        labels=case.labels,
        kept=frozenset(FACTS),
        told=frozenset({"7c3e19a2", "5d01b7f4"}),
        entered=(("Waiting", at(2)),),
        twins=("CASE-2",),
    )
    assert case.label("alien_number") == "Alien Registration Number"
    assert case.label("headquarters_emailed_at") == "HQ Emailed At"


def test_empty_ticket(mapping: Mapping) -> None:
    case = read_case(SampleTicket(closed=True), mapping)
    assert case.closed
    assert case.problems == ()
    assert all(not getattr(case, fact) for fact in FACTS)
    assert case.label("alien_number") == "A-Number"


def test_facts_that_an_office_does_not_keep(tmp_path: Path) -> None:
    text = MAPPING.replace("  promised_days: Promised Days\n", "")
    small = sample_mapping(tmp_path, text)
    case = read_case(SampleTicket({"Promised Days": 10}), small)
    assert case.promised_days is None
    assert case.kept == frozenset(FACTS) - {"promised_days"}
    assert "Promised Days" not in wanted_fields(small)


def test_wanted_fields(mapping: Mapping) -> None:
    assert wanted_fields(mapping)[:3] == ["Receipt Number", "customfield_10051", "Form Type"]
    assert len(wanted_fields(mapping)) == len(FACTS)


@pytest.mark.parametrize("blank", [None, "", "  \t\n", [], ["", " "], "\u200b", "\u00a0", False, "\x00", float("nan")])
@pytest.mark.parametrize("fact", FACTS)
def test_blank_is_absent(mapping: Mapping, fact: str, blank: Any) -> None:
    case = read(mapping, fact, blank)
    assert not getattr(case, fact)
    assert case.problems == ()


@pytest.mark.parametrize(
    ("fact", "value", "expected"),
    [
        ("service_request_number", 12345.0, "12345"),
        ("service_request_number", 12345678901234, "12345678901234"),
        ("service_request_number", " SR 1 \x00\u202e2 ", "SR 1 2"),
        ("service_request_number", "N/A", None),
        ("service_request_number", "none", None),
        ("no_service_request_reason", ["Within posted time", "Not on file"], "Within posted time, Not on file"),
        ("no_service_request_reason", "x" * 400, "x" * 300),
        ("ncsc_representative", "R\u200cosa \ud800", "R\u200cosa"),
        ("ncsc_representative", True, "yes"),
        ("alien_number", 12345678, "012345678"),
        ("alien_number", 12345678.0, "012345678"),
        ("alien_number", "None assigned", NONE_ASSIGNED),
        ("form_type", ["I-130"], "I-130"),
        ("promised_days", 30, 30),
        ("promised_days", 30.0, 30),
        ("promised_days", "30", 30),
        ("promised_days", "30 days", 30),
        ("promised_days", 0, 0),
        ("promised_days", "3650", 3650),
        ("service_center", "Texas Service Center", "texas"),
        ("service_center", "TSC", "texas"),
        ("service_center", " WEST ", "california"),
        ("service_center", "not known", None),
        ("filed_on", "2026-03-02T03:30:00.000+0000", date(2026, 3, 1)),  # the office's day
        ("filed_on", "3/1/2026", date(2026, 3, 1)),
        ("called_at", "1970-01-01T00:00:00Z", None),
        ("filed_on", "1970-01-01T00:00:00Z", None),
    ],
)
def test_values(mapping: Mapping, fact: str, value: Any, expected: Any) -> None:
    case = read(mapping, fact, value)
    assert getattr(case, fact) == expected
    assert case.problems == ()


@pytest.mark.parametrize("no", [False, "no", "No.", "false", 0, 0.0, "0", "none", "N/A", "not protected", "Ordinary"])
def test_clearly_not_protected(mapping: Mapping, no: Any) -> None:
    assert read(mapping, "protected", no).protected is False
    assert read(mapping, "protected", [no]).protected is False


@pytest.mark.parametrize(
    "yes", [True, "yes", "x", 1, ["Separate"], ["no", "maybe"], "1367", "ask Ana", {"value": "no"}]
)
def test_in_doubt_protected(mapping: Mapping, yes: Any) -> None:
    assert read(mapping, "protected", yes).protected is True


@pytest.mark.parametrize(
    ("fact", "value", "code", "words"),
    [
        ("receipt_number", "WAC15123", "too_short", 'Receipt Number "WAC15123" is too short: three letters and ten'),
        ("alien_number", "123-45-6789", "looks_like_ssn", "A-Number "),
        ("form_type", "123-45-6789", "looks_like_ssn", "Form Type "),
        ("filed_on", "31/12/2026", "ambiguous_date", 'Date Filed "31/12/2026" has the day where the month is expected'),
        ("called_at", "3/1/26", "ambiguous_date", 'NCSC Called At "3/1/26" can be read in more than one way'),
        ("called_at", "soon", "bad_date", 'NCSC Called At "soon" is not a date: write it as 03/01/2026 or 2026-03-01'),
        ("answered_at", "2026-02-30", "bad_date", 'Answered At "2026-02-30" is a day that does not exist'),
        ("promised_days", "a month", "bad_number", 'Promised Days "a month" is not a number of days'),
        ("promised_days", 30.5, "bad_number", 'Promised Days "30.5" is not a number of days'),
        ("promised_days", -1, "bad_number", 'Promised Days "-1" is not a number of days'),
        ("promised_days", 3651, "bad_number", 'Promised Days "3651" is not a number of days'),
        ("promised_days", 123456789, "bad_number", "Promised Days is not a number of days"),
        (
            "service_center",
            "Dallas",
            "unknown_center",
            'Service Center "Dallas" is not a Service Center: write one of Cal',
        ),
        ("service_center", ["Texas", "Vermont"], "unknown_center", 'Service Center "Texas, Vermont" is not'),
        ("service_center", "123-45-6789", "unknown_center", "Service Center is not a Service Center"),
        ("called_at", "123-45-6789", "bad_date", "NCSC Called At is not a date"),
        ("ncsc_representative", "Rosa 123 45 6789", "looks_like_ssn", "NCSC Representative holds what looks like"),
        ("service_request_number", "123-45-6789", "looks_like_ssn", "Service Request Number holds what looks like"),
        ("no_service_request_reason", "for 123–45–6789", "looks_like_ssn", "Reason No Service Request holds what"),
        (
            "no_service_request_reason",
            "123\u00ad45\u00ad6789",
            "looks_like_ssn",
            "Reason No Service Request holds what",
        ),
        # cut at 300 characters, the digits would become one
        ("no_service_request_reason", "x" * 288 + " 123-45-67890", "looks_like_ssn", "Reason No Service Request holds"),
    ],
)
def test_problems(mapping: Mapping, fact: str, value: Any, code: str, words: str) -> None:
    case = read(mapping, fact, value)
    assert getattr(case, fact) is None
    [problem] = case.problems
    assert (problem.field, problem.code) == (fact, code)
    assert problem.message.startswith(words)


def test_quotes_are_short(mapping: Mapping) -> None:
    [problem] = read(mapping, "service_center", 'a "b" ' * 30).problems
    assert problem.message.startswith("Service Center \"a 'b' a 'b' a 'b' a 'b' a 'b' a 'b' a '…\" is not")


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("WAC 15-123-50123", "same_as_receipt"),
        ("wac1512350123", "same_as_receipt"),
        ("A012345678", "same_as_alien_number"),
        ("12345678", "same_as_alien_number"),
        ("A-012-345-678", "same_as_alien_number"),
    ],
)
def test_identifier_in_place_of_the_request(mapping: Mapping, number: str, code: str) -> None:
    ticket = SampleTicket(
        {"Receipt Number": "WAC1512350123", "customfield_10051": "A12345678", "Service Request Number": number}
    )
    case = read_case(ticket, mapping)
    assert case.service_request_number is None
    assert [(problem.field, problem.code) for problem in case.problems] == [("service_request_number", code)]


def test_problems_come_in_the_order_of_the_facts(mapping: Mapping) -> None:
    bad = {mapping.fields[fact].field: "?!" for fact in ("answered_at", "filed_on", "receipt_number", "promised_days")}
    fields = [problem.field for problem in read_case(SampleTicket(bad), mapping).problems]
    assert fields == ["receipt_number", "filed_on", "promised_days", "answered_at"]


# --- records ----------------------------------------------------------------------------------------------------------


def moved(status: str, day: int) -> SampleChange:
    return SampleChange("status", status, at(day))


CALLED_AT = "NCSC Called At"


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([moved("Called", 2)], at(2)),
        ([moved("called", 2), moved("Waiting", 3)], at(2)),  # moved on since
        ([moved("Called", 2), moved("Open", 3), moved("Called", 5)], at(5)),  # the latest
        ([moved("Called", 2), moved("Called  Again", 6)], at(6)),
        ([moved("Waiting", 2)], None),
        ([moved("Called", 2), SampleChange(CALLED_AT, "", at(3))], None),  # a person took it back
        ([moved("Called", 2), SampleChange(CALLED_AT, "", at(3)), moved("Called", 4)], at(4)),
        ([moved("Called", 2), SampleChange(CALLED_AT, "2026-03-03", at(3))], at(2)),
        ([moved("Called", 2), SampleChange("HQ Emailed At", "", at(3))], at(2)),
        ([SampleChange("Called", "Called", at(2))], None),
    ],
)
def test_status_records_a_fact(mapping: Mapping, history: list[SampleChange], expected: datetime | None) -> None:
    case = read_case(SampleTicket({CALLED_AT: " "}, history=tuple(history)), mapping)
    assert case.called_at == (Moment(expected) if expected else None)
    assert case.recorded == (frozenset({"called_at"}) if expected else frozenset())
    assert case.problems == ()


def test_what_staff_typed_wins_over_the_status(mapping: Mapping) -> None:
    case = read_case(SampleTicket({CALLED_AT: "2026-03-01"}, history=(moved("Called", 5),)), mapping)
    assert case.called_at == Moment(at(1, 5), has_time=False)
    assert case.recorded == frozenset()


def test_unreadable_is_not_empty(mapping: Mapping) -> None:
    case = read_case(SampleTicket({CALLED_AT: "last week"}, history=(moved("Called", 5),)), mapping)
    assert case.called_at is None
    assert [problem.code for problem in case.problems] == ["bad_date"]


def test_unset_date_is_empty(mapping: Mapping) -> None:
    case = read_case(SampleTicket({CALLED_AT: "1970-01-01T00:00:00Z"}, history=(moved("Called", 5),)), mapping)
    assert case.called_at == Moment(at(5))


def test_moment_unknown(mapping: Mapping) -> None:
    """A ticket created in a recording status has no change into it."""
    case = read_case(SampleTicket(status="e-mailed"), mapping)
    [problem] = case.problems
    assert (problem.field, problem.code) == ("service_center_emailed_at", "moment_unknown")
    assert problem.message.startswith("Service Center Emailed At is empty")
    taken_back = SampleChange("Service Center Emailed At", "", at(3))
    assert read_case(SampleTicket(status="e-mailed", history=(taken_back,)), mapping).problems == ()


# --- whatever a tracker sends -----------------------------------------------------------------------------------------

_digits = st.integers(0, 999_999_999).map("{:09}".format)
_ssn = st.builds(lambda d, a, b: f"{d[:3]}{a}{d[3:5]}{b}{d[5:]}", _digits, *[st.sampled_from(["-", " ", "–", "."])] * 2)
_typed = st.one_of(
    st.text(max_size=30),
    _ssn,
    st.builds("{}{}{}".format, st.text(max_size=8), _ssn, st.text(max_size=8)),
    st.builds("{}{}".format, st.sampled_from(["WAC", "A", "I-", "2026-", "3/1/", "SR", "45 "]), _digits | _ssn),
    st.from_regex(r"[0-9]{1,4}[-/. ][0-9]{1,2}[-/. ][0-9]{1,4}", fullmatch=True),
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _typed,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_reading_never_fails_and_never_repeats_a_social_security_number(mapping: Mapping, data: st.DataObject) -> None:
    fields = {ref.field: data.draw(_json, label=fact) for fact, ref in mapping.fields.items()}
    case = read_case(SampleTicket(fields), mapping)
    for problem in case.problems:
        assert not looks_like_ssn(problem.message)
        assert len(problem.message) < 400
        assert problem.field == "service_request_number" or getattr(case, problem.field) is None
    for fact in ("ncsc_representative", "service_request_number", "no_service_request_reason"):
        assert not looks_like_ssn(getattr(case, fact) or "")
    case.status.encode()
    "".join(problem.message for problem in case.problems).encode()


ABSURD = {
    "long number": 10**5000,
    "long negative": -(10**400),
    "large float": 1e308,
    "infinity": float("inf"),
    "long text": "9" * 100_000,
    "long list": ["x"] * 5000,
    "deep list": [[["x"]]],
}


@pytest.mark.parametrize("value", ABSURD.values(), ids=ABSURD)
@pytest.mark.parametrize("fact", ["promised_days", "called_at", "ncsc_representative", "receipt_number", "protected"])
def test_absurd_values(mapping: Mapping, fact: str, value: Any) -> None:
    read(mapping, fact, value)
