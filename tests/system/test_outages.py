"""The tracker is down, or slow while the connector is told to end: what is due is done all the same, and once."""

from datetime import timedelta

import pytest

from tests.system.office import CALL, DETAILS, START, Office
from tests.system.process import wait_for
from tests.system.test_ladders import CALIFORNIA, CALL_SHEET


def wait_for_a_try(office: Office) -> None:
    """Until one more look has failed."""

    def failed() -> float:
        return office.connector.metric("connector_looks_total", outcome="postponed")

    before = failed()
    wait_for(lambda: failed() > before, "it has tried")


@pytest.mark.parametrize("typed_meanwhile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_fell_due_while_the_tracker_was_down_is_done_once(cloud: Office, typed_meanwhile: bool) -> None:
    """Down from Sunday to Monday evening, over the morning on which three waits pass."""
    called = START - timedelta(days=3)
    waiting = [
        cloud.add(**DETAILS | CALL | {"Receipt_Number": f"WAC25901{n:05}"}, NCSC_Called_At=called) for n in range(3)
    ]
    cloud.start()
    cloud.settle()
    cloud.go_to(27.5)
    cloud.server.stop()
    if typed_meanwhile:  # on the tracker's side of a broken line: its webhook never comes
        ready = cloud.add(**DETAILS)
    for hours in range(12, 36):
        cloud.go_to(27 + hours / 24)
        if hours in {24, 30, 35}:  # it goes on trying
            wait_for_a_try(cloud)
    assert all(cloud.titles(issue) == [] for issue in waiting)
    assert cloud.connector.metric("connector_tickets", state="stuck") == 0

    cloud.server.start()
    cloud.clock.advance(minutes=6)  # longer than the longest pause of a source
    if typed_meanwhile:
        wait_for(lambda: cloud.titles(ready) == [CALL_SHEET], "the poll finds the new ticket")
        assert cloud.connector.get("/readyz").status_code == 200
    cloud.settle()
    for issue in waiting:
        assert cloud.titles(issue) == [CALIFORNIA]
        assert cloud.moves(issue) == ["Awaiting NCSC", "E-mail Service Center"]


def test_the_end_waits_for_the_comment_in_hand(cloud: Office) -> None:
    """SIGTERM while the tracker takes its time over a comment: it is noted as done, and nothing is in doubt."""
    cloud.server.faults.add("POST", "/comment$", wait=1.0)
    issue = cloud.add(**DETAILS)
    cloud.start()
    wait_for(lambda: cloud.server.faults.waiting == 0, "the comment is on its way")
    assert cloud.titles(issue) == []

    assert cloud.connector.stop() == 0

    assert cloud.titles(issue) == [CALL_SHEET]
    assert cloud.connector.count("select count(*) from acts where done_at is null") == 0
    assert cloud.connector.count("select count(*) from acts where kind = 'comment' and done_at > 0") == 1
    assert cloud.connector.count("select count(*) from tickets where lease_until is not null") == 0
    assert cloud.connector.logged("connector stopped")
    writes = cloud.writes()
    cloud.start()
    cloud.settle()
    assert cloud.connector.metric("connector_looks_total", outcome="in_doubt") == 0
    assert cloud.writes() == writes


def test_an_answer_that_is_no_ticket_is_not_acted_upon(cloud: Office) -> None:
    """A gateway may answer 200 with JSON of its own."""
    issue = cloud.add(**DETAILS)
    cloud.server.faults.add(
        "GET", rf"reconcileIssues={issue.id}", status=200, body={"id": str(issue.id), "message": "Hello"}
    )
    cloud.start()
    cloud.settle()
    assert cloud.titles(issue) == [CALL_SHEET]
    assert cloud.moves(issue) == ["Call NCSC"]
