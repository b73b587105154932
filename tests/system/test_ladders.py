"""Whole ladders: cases in every stage walk the procedure to its end while the clock moves."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest

from connector.practice.world import Issue
from tests.system.office import CALL, DETAILS, Office

DETAILS_WANTED = "Before the call, please complete this ticket"
CALL_SHEET = "Ready to call the NCSC: 1-800-375-5283"
CALIFORNIA = "E-mail the California Service Center now: csc-ncsc-followup@dhs.gov"
TEXAS = "E-mail the Texas Service Center now: tsc.ncscfollowup@dhs.gov"
VERMONT = "E-mail the Vermont Service Center now: vsc.ncscfollowup@dhs.gov"
NEBRASKA = "E-mail the Nebraska Service Center now: ncscfollowup.nsc@dhs.gov"
WHICH = "Which Service Center has this case? IOE receipt numbers do not tell."
HEADQUARTERS = "E-mail Headquarters now: SCOPSSCATA@dhs.gov"
OVERDUE = "Decide in the office what comes next: Headquarters has not answered within its 10 days"
SEPARATE = "Use the office's separate route for this case"
WHOLE_WAY = [
    "Collect Details",
    "Call NCSC",
    "Awaiting NCSC",
    "E-mail Service Center",
    "Awaiting Service Center",
    "E-mail Headquarters",
    "Awaiting Headquarters",
    "Headquarters Overdue",
]


@dataclass
class Walk:
    """A ticket, and what must stand on it in the end."""

    issue: Issue
    titles: list[str]
    moves: list[str]
    due_days: list[str] = field(default_factory=list)


def people_at_work(office: Office, number: int = 0) -> Iterator[dict[str, Walk]]:
    """Ten weeks of an office; each `yield` lets the connector do what is due. The days are those after Mar 2, 2026.

    Several may be at work in one office: `number` keeps their receipt numbers apart.
    """
    fill = office.fill
    own = {"Receipt_Number": f"WAC25901234{56 + number}"}

    def add(summary: str, **fields: Any) -> Issue:
        if "Receipt_Number" in fields:
            fields["Receipt_Number"] = fields["Receipt_Number"][:-2] + f"{10 + number}"
        return office.add(summary, **fields)

    walks = {
        "whole": Walk(
            add("Adams"),
            [DETAILS_WANTED, CALL_SHEET, CALIFORNIA, HEADQUARTERS, OVERDUE],
            WHOLE_WAY,
            ["2026-04-04", "2026-04-27", "2026-05-09"],
        ),
        "IOE": Walk(
            add("Baker", **DETAILS | {"Receipt_Number": "ioe 09-0012-3457"}),
            [CALL_SHEET, WHICH, TEXAS],
            WHOLE_WAY[1:5],
            ["2026-04-04", "2026-04-28"],
        ),
        "promised": Walk(
            add("Chen", **DETAILS | {"Receipt_Number": "EAC2490087654"}),
            [CALL_SHEET, VERMONT],
            WHOLE_WAY[1:4],
            ["2026-03-15"],
        ),
        "protected": Walk(
            add("Diaz", **DETAILS | {"Receipt_Number": "EAC2590076543", "Form_Type": "I-918"}),
            [SEPARATE],
            ["Separate Route"],
        ),
        "answered": Walk(
            add("Evans", **DETAILS | {"Receipt_Number": "LIN2590011223"}),
            [CALL_SHEET, NEBRASKA],
            WHOLE_WAY[1:4],
            ["2026-04-04"],
        ),
        "closed": Walk(add("Fox", **DETAILS | {"Receipt_Number": "SRC2490045678"}), [CALL_SHEET], ["Call NCSC"]),
        "foreign": Walk(office.add_foreign("Toner"), [], []),
    }
    each = {name: walk.issue for name, walk in walks.items()}
    yield walks
    office.go_to(1)
    fill(each["whole"], **DETAILS | own)
    office.move(each["closed"], "Done")
    yield walks
    office.go_to(2)  # Mar 4: everybody calls; 31 days later it is Apr 4
    for name in ("whole", "answered"):
        fill(each[name], NCSC_Called_At=office.clock.now(), **CALL)
    fill(each["IOE"], NCSC_Called_At=office.clock.now(), NCSC_Representative="ID 2208")
    fill(each["IOE"], Reason_No_Service_Request="Within posted processing time")
    fill(each["promised"], NCSC_Called_At=office.clock.now(), Promised_Days=10.0, **CALL)
    yield walks
    office.go_to(13)  # Mar 15: the promised ten days are over
    yield walks
    office.go_to(33)  # Apr 4: so are the thirty
    yield walks
    office.go_to(34)  # Apr 5: the centre is e-mailed, and a status says so; 22 days later it is Apr 27
    office.move(each["whole"], "E-mailed Service Center")
    fill(each["answered"], Answered_At=office.clock.now())
    fill(each["IOE"], Service_Center="Texas Service Center")
    yield walks
    office.go_to(35)
    fill(each["IOE"], Service_Center_Emailed_At=office.clock.now())
    yield walks
    office.go_to(56)
    fill(each["IOE"], Answered_At=office.clock.now())
    yield walks
    office.go_to(57)  # Apr 28: Headquarters is e-mailed; 11 days later it is May 9
    fill(each["whole"], HQ_Emailed_At=office.clock.now())
    yield walks
    office.go_to(68)
    yield walks


def assert_walked(office: Office, walks: dict[str, Walk]) -> None:
    """Each act once, in its order, on each ticket; and nothing else."""
    for name, walk in walks.items():
        assert office.titles(walk.issue) == walk.titles, name
        assert office.moves(walk.issue) == walk.moves, name
        assert office.due_days(walk.issue) == walk.due_days, name
    refs = [ref for walk in walks.values() for ref in office.refs(walk.issue)]
    assert len(refs) == len(set(refs)) == sum(len(walk.titles) for walk in walks.values())


def slow(*parameters: Any) -> Any:
    return pytest.param(*parameters, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("deployment", "project_type"),
    [
        ("cloud", "service_desk"),
        slow("cloud", "business"),
        slow("data-center", "service_desk"),
        slow("data-center", "business"),
    ],
)
def test_cases_are_walked_to_the_end(open_office: Callable[..., Office], deployment: str, project_type: str) -> None:
    office = open_office(deployment, project_type=project_type)
    script = people_at_work(office)
    walks = next(script)
    assert office.start()
    office.settle()
    for _ in script:
        office.settle()

    assert_walked(office, walks)
    assert_well_written(office, walks)
    desk = project_type == "service_desk"
    assert all(c.public is not desk for walk in walks.values() for c in office.comments(walk.issue))
    assert office.connector.stop() == 0
    assert office.server.requests.unimplemented == []


def assert_well_written(office: Office, walks: dict[str, Walk]) -> None:
    """The places that matter: facts, dates, addressees, the letter, the line with the ref."""
    details, call, letter, headquarters, overdue = (c.body for c in office.comments(walks["whole"].issue))
    assert 'A-Number is missing (if the person has none, write "none assigned")' in details
    assert "receipt number WAC2590123456 · A-number A200555013 · Form I-130 · filed Jan 15, 2025" in call
    assert "the next step falls on Apr 3, 2026" in call  # had they called on Mar 3
    assert (
        "To: csc-ncsc-followup@dhs.gov\n"
        "Subject: WAC2590123456, Form I-130: follow-up to NCSC inquiry of Mar 4, 2026\n\n"
        "Receipt number: WAC2590123456\n"
        "A-number: A200555013\n"
        "Application: Form I-130, filed Jan 15, 2025\n"
        "NCSC call: Mar 4, 2026, 10:00 a.m. Eastern, Ms. Rivera, ID 4471\n"
        "Service request: SR1220326001\n"
    ) in letter
    assert "More than 30 days have passed since the call of Mar 4, 2026" in letter
    assert "mailto:csc-ncsc-followup@dhs.gov?subject=WAC2590123456%2C%20Form%20I-130" in letter
    assert "the next step falls on Apr 26, 2026: Headquarters" in letter  # had they written on Apr 4
    assert "21 days have passed since the e-mail to the California Service Center of Apr 5, 2026" in headquarters
    assert (
        "e-mailed California Service Center (csc-ncsc-followup@dhs.gov) on Apr 5, 2026, 11:00 a.m. Ea" in headquarters
    )
    assert "* Mar 4, 2026, 10:00 a.m. Eastern: called the NCSC" in overdue
    assert "* Apr 28, 2026, 11:00 a.m. Eastern: e-mailed USCIS Headquarters" in overdue
    for step, body in zip("11233", (details, call, letter, headquarters, overdue), strict=True):
        assert body.splitlines()[-1].startswith(f"Inquiry connector, Step {step}, ref ")
    written = office.recorded(walks["whole"].issue, "Service Center Emailed At")
    assert written == ["2026-04-05T11:00:00-0400"]

    *_, no_request = (c.body for c in office.comments(walks["IOE"].issue))
    assert "No service request was issued. Reason given: Within posted processing time" in no_request
    *_, promised = (c.body for c in office.comments(walks["promised"].issue))
    assert "The NCSC promised an answer within 10 days of the call of Mar 4, 2026" in promised
    (separate,) = (c.body for c in office.comments(walks["protected"].issue))
    assert not any(word in separate for word in ("dhs.gov", "1-800", "I-918", "VAWA", "victim"))


def test_a_new_office_adopts_tickets_that_stand_in_the_middle(cloud: Office) -> None:
    """The contacts were made before there was a connector: each ticket gets the one thing that is due now."""
    day = cloud.clock.now
    called = DETAILS | CALL | {"Date_Filed": date(2024, 1, 15)}
    tickets = {
        CALIFORNIA: cloud.add("Ahn", **called, NCSC_Called_At=day().replace(month=1)),
        HEADQUARTERS: cloud.add(
            "Bell",
            **called | {"Receipt_Number": "SRC2490045678"},
            NCSC_Called_At=day().replace(year=2025, month=11),
            Service_Center_Emailed_At=day().replace(month=1),
        ),
        OVERDUE: cloud.add(
            "Cruz",
            **called | {"Receipt_Number": "EAC2490087654"},
            NCSC_Called_At=day().replace(year=2025, month=11),
            Service_Center_Emailed_At=day().replace(year=2025, month=12),
            HQ_Emailed_At=day().replace(month=1),
        ),
    }
    assert cloud.start()
    cloud.settle()
    for title, issue in tickets.items():
        assert cloud.titles(issue) == [title]
    assert [cloud.moves(issue) for issue in tickets.values()] == [
        ["E-mail Service Center"],
        ["E-mail Headquarters"],
        ["Headquarters Overdue"],
    ]
