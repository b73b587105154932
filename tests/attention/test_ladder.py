"""The whole procedure on one ticket, with the clock moved: each stage's status, comment and due date, once."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from connector.practice.world import Issue
from tests.attention.conftest import NAME, OFFICE, STEP_1, Desk


def at_the_office(month: int, day: int, hour: int = 9, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=OFFICE).astimezone(UTC)


def nothing_more(desk: Desk, issue: Issue) -> None:
    """Looks that write nothing: at once, and after news."""
    desk.attend()
    desk.calls()
    desk.store.attention.notice(NAME, str(issue.id), issue.key, desk.clock())
    assert desk.attend() == 1
    assert {record.method for record in desk.server.requests} == {"GET"}


@pytest.mark.parametrize("deployment", ["cloud", "data-center"])
def test_the_whole_ladder(start: Callable[..., Desk], deployment: str) -> None:
    desk = start(deployment, checked=True)
    issue = desk.create(Receipt_Number="WAC2590123456")
    desk.attend()
    assert desk.state(issue).stage == "collect_details"
    assert desk.said(issue) == ["Before the call, please complete this ticket"]
    nothing_more(desk, issue)

    desk.fill(issue, **{name: value for name, value in STEP_1.items() if name != "A-Number"})
    desk.fill(issue, **{"A-Number": "none assigned"})
    desk.attend()
    assert desk.said(issue)[-1] == "Ready to call the NCSC: 1-800-375-5283"
    assert desk.state(issue).attend_at is None
    nothing_more(desk, issue)

    desk.fill(issue, NCSC_Called_At=desk.clock(), NCSC_Representative="ID 4471", Service_Request_Number="SR1220326001")
    desk.attend()
    assert desk.state(issue).stage == "awaiting_ncsc"
    assert desk.state(issue).attend_at == at_the_office(4, 2)  # called on March 2, and more than 30 days pass
    assert issue.values["duedate"] == date(2026, 4, 2)
    nothing_more(desk, issue)

    desk.clock.set(at_the_office(4, 2) - timedelta(seconds=1))
    assert desk.attend() == 0
    desk.wait(seconds=1)
    desk.attend()
    assert desk.said(issue)[-1] == "E-mail the California Service Center now: csc-ncsc-followup@dhs.gov"
    nothing_more(desk, issue)

    desk.wait(hours=5)
    desk.world.move_to(issue, "E-mailed Service Center")  # records the moment, and the connector moves on
    emailed = desk.clock()
    desk.attend()
    assert desk.value(issue, "Service Center Emailed At") == emailed
    assert desk.state(issue).attend_at == at_the_office(4, 24)
    assert issue.values["duedate"] == date(2026, 4, 24)
    nothing_more(desk, issue)

    desk.clock.set(at_the_office(4, 24))
    desk.attend()
    assert desk.said(issue)[-1] == "E-mail Headquarters now: SCOPSSCATA@dhs.gov"
    desk.fill(issue, HQ_Emailed_At=desk.clock())
    desk.attend()
    assert desk.state(issue).attend_at == at_the_office(5, 5)
    assert issue.values["duedate"] == date(2026, 5, 5)
    nothing_more(desk, issue)

    desk.clock.set(at_the_office(5, 5))
    desk.attend()
    assert desk.state(issue).stage == "headquarters_overdue"
    assert len(desk.said(issue)) == 5
    nothing_more(desk, issue)

    assert desk.own_moves(issue) == [
        "Collect Details",
        "Call NCSC",
        "Awaiting NCSC",
        "E-mail Service Center",
        "Awaiting Service Center",
        "E-mail Headquarters",
        "Awaiting Headquarters",
        "Headquarters Overdue",
    ]
    desk.fill(issue, Answered_At=desk.clock())
    desk.attend()
    assert desk.state(issue).stage == "answered"
    assert desk.state(issue).attend_at is None
    nothing_more(desk, issue)
    desk.assert_nothing_doubled()
