"""To the minute: an act falls due at 09:00 of the office's clock, through summer time, leap days and year ends."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.system.office import CALL, DETAILS, MAPPING, Office
from tests.system.test_ladders import CALIFORNIA, HEADQUARTERS, OVERDUE

# (the contacts made, the morning on which the act falls due, the act's comment)
MORNINGS = [
    (["2026-02-05T23:59"], "2026-03-08T09:00", CALIFORNIA),  # that night the clocks go forward
    (["2026-03-20T08:00", "2026-10-10T00:00"], "2026-11-01T09:00", HEADQUARTERS),  # that night they go back
    (["2026-12-01T12:00"], "2027-01-01T09:00", CALIFORNIA),
    (["2027-01-15T10:00", "2028-02-07T17:45"], "2028-02-29T09:00", HEADQUARTERS),
    (["2027-01-15T10:00", "2027-10-07T10:00", "2028-12-21T23:30"], "2029-01-01T09:00", OVERDUE),
]
CONTACTS = ("NCSC_Called_At", "Service_Center_Emailed_At", "HQ_Emailed_At")


@pytest.mark.parametrize(
    "zone", ["America/New_York", pytest.param("America/Los_Angeles", marks=pytest.mark.slow)], ids=["east", "west"]
)
def test_an_act_falls_due_at_nine_and_not_a_minute_before(cloud: Office, zone: str) -> None:
    office = ZoneInfo(zone)
    user = cloud.world.connector_auth[0]
    mapping = MAPPING.format(url=cloud.server.url, user=f"user: {user}")
    cloud.write_mapping(mapping.replace("America/New_York", zone))
    cloud.start()
    cloud.settle()
    for number, (contacts, morning, title) in enumerate(MORNINGS):
        made = [datetime.fromisoformat(contact).replace(tzinfo=office) for contact in contacts]
        due = datetime.fromisoformat(morning).replace(tzinfo=office)
        cloud.clock.set(made[-1] + timedelta(seconds=1))
        receipt = f"WAC25901{number:05}"
        fields: dict[str, Any] = dict(zip(CONTACTS, made, strict=False))
        issue = cloud.add(**DETAILS | CALL | {"Receipt_Number": receipt}, **fields)
        cloud.settle()
        assert cloud.due_days(issue) == [morning[:10]]
        cloud.clock.set(due - timedelta(minutes=1))
        looked = cloud.server.requests.count("GET", rf"reconcileIssues={issue.id}")
        cloud.fill(issue, description="Somebody looks in early")
        cloud.settle()
        assert cloud.server.requests.count("GET", rf"reconcileIssues={issue.id}") > looked
        assert cloud.titles(issue) == [], morning
        cloud.clock.set(due)
        cloud.settle()
        assert cloud.titles(issue) == [title], morning
        assert due <= cloud.comments(issue)[0].created < due + timedelta(minutes=1)
        assert cloud.moves(issue)[1:] == [cloud.world.issue(issue.id).status.name]
        cloud.fill(issue, Answered_At=cloud.clock.now())
