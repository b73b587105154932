"""The shipped procedure against the guidance itself, and the schema of procedure files."""

import copy
import re
from datetime import date, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from marshmallow import ValidationError

import connector.inquiry.procedure
from connector.inquiry.procedure import STAGES, TEMPLATES, Contact, Office, Procedure, ProcedureSchema, Step, Wait
from connector.inquiry.wording import check
from tests.inquiry.builders import case, comments, look, procedure, shipped, shown

FILE = Path(connector.inquiry.procedure.__file__).parent / "procedures" / "service-center-inquiry.yaml"
GUIDANCE = Path(__file__).parents[3] / "shared" / "seed.txt"  # beside the checkout, where it is there

ADDRESSES = {
    "California Service Center": "csc-ncsc-followup@dhs.gov",
    "Vermont Service Center": "vsc.ncscfollowup@dhs.gov",
    "Nebraska Service Center": "ncscfollowup.nsc@dhs.gov",
    "Texas Service Center": "tsc.ncscfollowup@dhs.gov",
}


def document() -> dict[str, Any]:
    loaded = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return copy.deepcopy(loaded)


def load(**changes: Any) -> Procedure:
    loaded = ProcedureSchema().load({**document(), **changes})
    assert isinstance(loaded, Procedure)
    return loaded


def mistakes(**changes: Any) -> dict[str, Any]:
    with pytest.raises(ValidationError) as caught:
        load(**changes)
    assert isinstance(caught.value.messages, dict)
    return caught.value.messages


# ---- The guidance


def test_the_shipped_file_says_what_the_guidance_says() -> None:
    own = shipped()
    assert own.ncsc.phone == "1-800-375-5283"
    assert {center.name: center.email for center in own.service_centers.values()} == ADDRESSES
    assert own.headquarters.email == "SCOPSSCATA@dhs.gov"
    assert own.call == Step(1, Wait(30))
    assert own.email_service_center == Step(2, Wait(21))
    assert own.email_headquarters == Step(3, Wait(10))
    assert own.issued_on == date(2009, 8, 6)


@pytest.mark.skipif(not GUIDANCE.exists(), reason="the guidance is not beside this checkout")
def test_the_literals_of_these_tests_are_those_of_the_guidance() -> None:
    text = GUIDANCE.read_text(encoding="utf-8").replace("[at]", "@")
    assert dict(re.findall(r"^- (.+ Service Center): (\S+@\S+)$", text, re.MULTILINE)) == ADDRESSES
    assert set(re.findall(r"[\w.-]+@dhs\.gov", text)) == {*ADDRESSES.values(), "SCOPSSCATA@dhs.gov"}
    assert set(re.findall(r"\d-\d{3}-\d{3}-\d{4}", text)) == {"1-800-375-5283"}
    assert set(re.findall(r"within (\d+) days", text)) == {"21", "10"}


@pytest.mark.skipif(not GUIDANCE.exists(), reason="the guidance is not beside this checkout")
def test_the_call_sheet_asks_for_all_that_the_guidance_asks_for() -> None:
    text = GUIDANCE.read_text(encoding="utf-8")
    sheet = shown(comments(look(case(), "2026-02-01 10:00"))[0])
    for theirs, ours in {
        "your receipt number": "receipt number WAC1512350123",
        "alien registration number": "A-number A012345678",
        "type of application filed": "Form I-130",
        "date filed": "filed Jun 2, 2025",
        "name and/or id number of the NCSC representative": "representative's name or ID",
        "date and time of the call": "date and time",
        "service request referral number": "service request number",
        "reason the NCSC representative did not issue the request": "or why none was issued",
    }.items():
        assert theirs in text
        assert ours in sheet


def test_centers_by_prefix() -> None:
    own = shipped()
    named = {
        prefix: own.center_for_prefix(prefix)
        for prefix in ("WAC", "CSC", "EAC", "VSC", "LIN", "NSC", "SRC", "TSC", "IOE", "MSC", "NBC", "YSC", "XXX")
    }
    assert named == {
        **dict.fromkeys(("WAC", "CSC"), "california"),
        **dict.fromkeys(("EAC", "VSC"), "vermont"),
        **dict.fromkeys(("LIN", "NSC"), "nebraska"),
        **dict.fromkeys(("SRC", "TSC"), "texas"),
        **dict.fromkeys(("IOE", "MSC", "NBC", "YSC", "XXX"), None),
    }


@pytest.mark.parametrize(
    ("text", "center"),
    [
        ("california", "california"),
        ("  California  Service Center ", "california"),
        ("CSC", "california"),
        ("wac", "california"),
        ("Vermont", "vermont"),
        ("nebraska_service-center", "nebraska"),
        ("TSC", "texas"),
        ("NBC", None),
        ("National Benefits Center", None),
        ("Potomac", None),
        ("", None),
        ("California or Texas", None),
    ],
)
def test_centers_by_name(text: str, center: str | None) -> None:
    assert shipped().center_named(text) == center


def test_the_three_forms_and_the_five_questions() -> None:
    assert shipped().protected_forms == {"I-914", "I-918", "I-929"}
    assert shipped().ask_route_forms == {"I-360", "I-485", "I-751", "I-765", "I-192"}


def test_for_source_changes_nothing_else() -> None:
    office = Office(ZoneInfo("America/Chicago"), time(8, 30), internal_comments=False)
    statuses = {"answered": "Done"}
    own = shipped().for_source(office, statuses)
    statuses["answered"] = "Changed later"
    assert (own.office, dict(own.statuses)) == (office, {"answered": "Done"})
    assert own.for_source(shipped().office, {}) == shipped().for_source(shipped().office, {})


def test_stages_of_the_ladder_are_in_their_order() -> None:
    assert STAGES[-2:] == ("protected", "answered")
    assert (
        list(STAGES).index("call_ncsc") < list(STAGES).index("awaiting_ncsc") < list(STAGES).index("email_headquarters")
    )


# ---- The schema


@pytest.mark.parametrize(
    "written",
    ["x@dhs.gov", "x[at]dhs.gov", "x(at)dhs.gov", "x [AT] dhs.gov", " x [ at ] dhs.gov "],
)
def test_addresses_as_the_guidance_prints_them(written: str) -> None:
    own = load(headquarters={"name": "HQ", "email": written})
    assert own.headquarters == Contact("headquarters", "HQ", "HQ", email="x@dhs.gov")


@pytest.mark.parametrize(
    "written",
    *[
        [
            "",
            "dhs.gov",
            "x at dhs.gov",
            "x@",
            "@dhs.gov",
            "x@dhs",
            "x@@dhs.gov",
            "a@b.c, d@e.f",
            "x@dhs.gov?cc=y@z.org",
            5,
        ]
    ],
)
def test_what_is_no_address(written: object) -> None:
    assert "email" in mistakes(headquarters={"name": "HQ", "email": written})["headquarters"]


WAIT = {"days": 5}
CENTER = {"name": "One", "email": "one@example.org"}


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"ncsc": {"name": "x"}}, ["ncsc", "phone", 0], "Missing data"),
        ({"ncsc": {"name": "x", "phone": "call us"}}, ["ncsc", "phone", 0], "write a phone number such as"),
        ({"ncsc": {"name": "", "phone": "1-800-375-5283"}}, ["ncsc", "name", 0], "Shorter than"),
        ({"headquarters": {"name": "HQ"}}, ["headquarters", "email", 0], "Missing data"),
        ({"waits": {"ncsc": WAIT, "service_center": WAIT}}, ["waits", "headquarters", 0], "Missing data"),
        ({"waits": {"ncsc": {"days": -1}}}, ["waits", "ncsc", "days", 0], "greater than or equal to 0"),
        ({"waits": {"ncsc": {"days": "30"}}}, ["waits", "ncsc", "days", 0], "Not a valid integer"),
        ({"waits": {"ncsc": {"days": 30.5}}}, ["waits", "ncsc", "days", 0], "Not a valid integer"),
        ({"waits": {"ncsc": {"days": 5000}}}, ["waits", "ncsc", "days", 0], "less than or equal to 3650"),
        ({"waits": {"ncsc": {"days": 5, "counting": "working"}}}, ["waits", "ncsc", "counting", 0], "Must be one of"),
        ({"waits": {"ncsc": {"days": 5, "roll_forward": "yes"}}}, ["waits", "ncsc", "roll_forward", 0], "Not a valid"),
        ({"waits": {"ncsc": {"day": 5}}}, ["waits", "ncsc", "day", 0], "Unknown field"),
        ({"service_centers": {}}, ["service_centers", 0], "Shorter than"),
        ({"service_centers": {"One": CENTER}}, ["service_centers", "One", "key", 0], "a key is lower case"),
        (
            {"service_centers": {"one": {**CENTER, "prefixes": ["wac"]}}},
            ["service_centers", "one", "value", "prefixes", 0, 0],
            "a receipt prefix is three capital letters",
        ),
        (
            {"service_centers": {"one": {**CENTER, "prefixes": ["WAC"]}, "two": {**CENTER, "prefixes": ["WAC"]}}},
            ["service_centers", 0],
            "prefix WAC is given to both one and two",
        ),
        ({"protected_forms": ["U visa"]}, ["protected_forms", 0, 0], '"U visa" is not a form number'),
        ({"issued_on": "August 2009"}, ["issued_on", 0], "Not a valid date"),
        ({"wording": {"call_sheet": "x"}}, ["wording", "call_sheet", 0], "Unknown field"),
        ({"wording": {"call_ncsc": ""}}, ["wording", "call_ncsc", 0], "Shorter than"),
        (
            {"wording": {"call_ncsc": "Call"}},
            ["wording", 0],
            "there is no template collect_details, email_service_center",
        ),
        ({"contacts": {}}, ["contacts", 0], "Unknown field"),
    ],
)
def test_schema_mistakes(changes: dict[str, Any], path: list[str | int], message: str) -> None:
    found: Any = mistakes(**changes)
    for part in path:
        found = found[part]
    assert message in found


def test_all_mistakes_are_told_at_once() -> None:
    assert set(mistakes(ncsc={}, headquarters={}, waits={}, title=5)) == {"ncsc", "headquarters", "waits", "title"}


def test_forms_may_be_written_as_people_write_them() -> None:
    assert load(protected_forms=["i914", "Form I-918"], ask_route_forms=[]).protected_forms == {"I-914", "I-918"}


def test_an_offices_own_waits_and_contacts() -> None:
    waits = {"ncsc": {"days": 15, "counting": "business"}, "service_center": WAIT, "headquarters": {"days": 0}}
    own = load(waits=waits, service_centers={"one": {**CENTER, "short_name": "O", "prefixes": ["IOE"]}})
    assert (own.call.wait, own.email_headquarters.wait) == (Wait(15, "business"), Wait(0))
    assert own.center_for_prefix("IOE") == "one"
    assert own.center_named("o") == "one"


def test_every_template_of_the_list_is_shipped_and_used() -> None:
    assert set(document()["wording"]) == set(TEMPLATES)
    assert check(procedure().wording) == []
