"""The tracker is the only record: a connector that has lost its memory says and does nothing twice."""

from pathlib import Path
from typing import Any

import pytest

from connector.practice.world import Issue
from tests.system.office import CALL, DETAILS, START, Office
from tests.system.test_ladders import CALIFORNIA, assert_walked, people_at_work


def snapshot(office: Office) -> list[tuple[Any, ...]]:
    """All that a person sees on the tickets."""
    return [
        (issue.key, issue.status.name, dict(issue.values), [c.body for c in issue.comments], len(issue.history))
        for issue in office.world.issues.values()
    ]


def in_every_stage(office: Office) -> list[Issue]:
    """Tickets at every stage after the connector was there; two have one receipt number; one was moved by a person."""
    called = START.replace(month=2, day=27)
    long_ago = {"called": START.replace(year=2025, month=10), "center": START.replace(year=2025, month=12)}
    waiting = DETAILS | CALL | {"NCSC_Called_At": called}
    mailed = DETAILS | CALL | {"NCSC_Called_At": long_ago["called"]}
    tickets = [
        office.add("collect_details", Receipt_Number="WAC26901"),
        office.add("call_ncsc", **DETAILS | {"Receipt_Number": "WAC2590120001"}),
        office.add("its twin", **DETAILS | {"Receipt_Number": "WAC2590120001"}),
        office.add("awaiting_ncsc", **waiting | {"Receipt_Number": "WAC2590120002"}),
        office.add("awaiting_ncsc, moved", **waiting | {"Receipt_Number": "WAC2590120003"}),
        office.add("email_service_center", **mailed | {"Receipt_Number": "WAC2590120004"}),
        office.add("recorded", **mailed | {"Receipt_Number": "WAC2590120005"}),
        office.add(
            "email_headquarters",
            **mailed | {"Receipt_Number": "WAC2590120006"},
            Service_Center_Emailed_At=long_ago["center"],
        ),
        office.add(
            "awaiting_headquarters",
            **mailed | {"Receipt_Number": "WAC2590120007"},
            Service_Center_Emailed_At=long_ago["center"],
            HQ_Emailed_At=called,
        ),
        office.add(
            "headquarters_overdue",
            **mailed | {"Receipt_Number": "WAC2590120008"},
            Service_Center_Emailed_At=long_ago["center"],
            HQ_Emailed_At=START.replace(month=1),
        ),
        office.add("protected", **DETAILS | {"Receipt_Number": "EAC2590076543"}, Protected=["Yes"]),
        office.add(
            "in the future",
            **DETAILS | {"Receipt_Number": "WAC2590120009", "Date_Filed": START.replace(year=2027).date()},
        ),
    ]
    office.start()
    office.settle()
    office.move(tickets[4], "Collect Details")  # whatever for: a person who moves a ticket wins
    office.move(tickets[6], "E-mailed Service Center")
    office.settle()
    return tickets


def test_an_empty_database_repeats_nothing_on_tickets_handled_before(cloud: Office) -> None:
    tickets = in_every_stage(cloud)
    assert cloud.moves(tickets[6])[-1] == "Awaiting Service Center"
    before, writes = snapshot(cloud), cloud.writes()
    assert writes > 20
    assert cloud.connector.stop() == 0
    cloud.connector.lose_database()
    cloud.clock.advance(minutes=5)
    cloud.start()
    cloud.settle()
    assert snapshot(cloud) == before
    assert cloud.writes() == writes


@pytest.mark.slow
def test_an_empty_database_still_finds_what_is_due(cloud: Office) -> None:
    """Lost overnight, and in the morning a wait has passed."""
    tickets = in_every_stage(cloud)
    assert cloud.connector.stop() == 0
    cloud.connector.lose_database()
    cloud.go_to(28)  # Mar 30: 31 days after the calls
    cloud.start()
    cloud.settle()
    for issue in tickets[3:5]:
        assert cloud.titles(issue) == [CALIFORNIA]
    assert len(cloud.titles(tickets[1])) == 2  # the call sheet and the twin, as before


@pytest.mark.slow
@pytest.mark.parametrize("restored", [False, True], ids=["lost", "old copy"])
def test_losing_the_database_at_every_step_changes_nothing(cloud: Office, tmp_path: Path, restored: bool) -> None:
    """As test_ladders, but before each step the database is lost, or replaced by a copy from the first day."""
    script = people_at_work(cloud)
    walks = next(script)
    cloud.start()
    cloud.settle()
    cloud.connector.stop()
    cloud.connector.copy_database(tmp_path / "kept")
    for _ in script:
        if restored:
            cloud.connector.restore_database(tmp_path / "kept")
        else:
            cloud.connector.lose_database()
        cloud.start()
        cloud.settle()
        assert cloud.connector.stop() == 0
    assert_walked(cloud, walks)
