"""The ladder on jira820, a Jira Data Center 8.20 that this project did not write.

It sends no webhooks: what people do is found by the poll.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connector.inquiry.markup import find_refs
from connector.practice.clock import PracticeClock
from connector.practice.sample import FIELDS, STATUSES
from tests.system.office import MAPPING, START, write_clock
from tests.system.process import PATIENCE, SOURCE, Connector
from tests.system.test_ladders import CALIFORNIA, CALL_SHEET, DETAILS_WANTED, HEADQUARTERS, OVERDUE, SEPARATE, WHOLE_WAY
from tests.trackers.emulator import Emulator, emulator

IDS = {name: f"customfield_{number}" for number, (name, _) in enumerate(FIELDS, 10050)}
DETAILS = {
    "Receipt Number": "WAC2590123456",
    "A-Number": "A200 555 013",
    "Form Type": "I-130",
    "Date Filed": "2025-01-15",
}


class EmulatedOffice:
    """jira820 with a person who edits, a connector beside it, and one clock for both."""

    def __init__(self, folder: Path, jira: Emulator) -> None:
        self.jira, self.clock = jira, PracticeClock()
        self.clock.on_move += [lambda moment: write_clock(folder / "clock", moment), jira.set_clock]
        self.clock.set(START)
        self.connector = Connector(folder, folder / "clock")
        mapping = MAPPING.format(url=jira.url, user="").replace("comments: internal", "comments: public")
        (self.connector.mappings / f"{SOURCE}.yaml").write_text(mapping)
        (self.connector.mappings / "token").write_text("any")
        (self.connector.mappings / "webhook-secret").write_text("of no use here")

    def create(self, **fields: Any) -> str:
        return self.jira.create("A case", **{IDS[name]: value for name, value in fields.items()})

    def fill(self, ticket_id: str, **fields: Any) -> None:
        self.jira.edit(ticket_id, **{IDS[name]: value for name, value in fields.items()})

    def now(self) -> str:
        return f"{self.clock.now():%Y-%m-%dT%H:%M:%S.000+0000}"

    def go_to(self, days: float) -> None:
        self.clock.set(START + timedelta(days=days))

    def settle(self) -> None:
        """Poll as an operator would, and wait until all that it found is attended to."""
        asked = self.connector.command("poll")
        assert asked.returncode == 0, asked.stderr
        deadline = time.monotonic() + PATIENCE
        while self.connector.is_busy(self.clock.now()) or self.connector.is_held_up(self.clock.now()):
            assert time.monotonic() < deadline, "the connector comes to no rest"
            time.sleep(0.02)

    def comments(self, ticket_id: str) -> list[str]:
        """Oldest first; jira820 gives the newest first."""
        return [body.replace("*", "") for body in reversed(self.jira.comments(ticket_id))]

    def titles(self, ticket_id: str) -> list[str]:
        return [body.splitlines()[0] for body in self.comments(ticket_id)]

    def moves(self, ticket_id: str) -> list[str]:
        """The statuses the ticket was moved to, by whomever."""
        histories = self.jira.issue(ticket_id)["changelog"]["histories"]
        entries = sorted(histories, key=lambda entry: (entry["created"], int(entry["id"])))
        return [item["toString"] for entry in entries for item in entry["items"] if item["field"] == "status"]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[EmulatedOffice]:
    kinds = {"date": "date", "datetime": "datetime", "number": "number"}
    fields = {IDS[name]: (name, kinds.get(kind, "string")) for name, kind in FIELDS}
    with emulator(statuses=[name for name, _ in STATUSES], fields=fields) as jira:
        place = EmulatedOffice(tmp_path, jira)
        try:
            yield place
        finally:
            place.connector.close()


@pytest.mark.slow
def test_a_ladder_on_a_jira_that_is_not_ours(office: EmulatedOffice) -> None:
    ticket = office.create()
    protected = office.create(**DETAILS | {"Receipt Number": "EAC2590076543", "Form Type": "I-918"})
    answered = office.create(**DETAILS | {"Receipt Number": "LIN2590011223"})
    office.connector.start()
    office.settle()
    office.go_to(1)
    office.fill(ticket, **DETAILS)
    office.settle()
    office.go_to(2)
    call = {"NCSC Called At": office.now(), "NCSC Representative": "ID 4471", "Service Request Number": "SR1"}
    office.fill(ticket, **call)
    office.fill(answered, **call)
    office.settle()
    assert office.jira.issue(ticket)["fields"]["duedate"] == "2026-04-04"
    office.go_to(20)
    office.fill(answered, **{"Answered At": office.now()})
    office.settle()
    office.go_to(33)
    office.settle()
    office.go_to(34)
    office.jira.move(ticket, "E-mailed Service Center")
    office.settle()
    written = office.jira.issue(ticket)["fields"][IDS["Service Center Emailed At"]]
    recorded = datetime.fromisoformat(written).astimezone(UTC)
    assert abs(recorded - office.clock.now()) < timedelta(minutes=2)
    assert office.jira.issue(ticket)["fields"]["duedate"] == "2026-04-27"
    office.go_to(56)
    office.settle()
    office.go_to(57)
    office.fill(ticket, **{"HQ Emailed At": office.now()})
    office.settle()
    assert office.jira.issue(ticket)["fields"]["duedate"] == "2026-05-09"
    office.go_to(68)
    office.settle()

    assert office.titles(ticket) == [DETAILS_WANTED, CALL_SHEET, CALIFORNIA, HEADQUARTERS, OVERDUE]
    way = [*WHOLE_WAY[:4], "E-mailed Service Center", *WHOLE_WAY[4:]]
    assert office.moves(ticket) == way
    *_, letter, headquarters, overdue = office.comments(ticket)
    assert "Subject: WAC2590123456, Form I-130: follow-up to NCSC inquiry of Mar 4, 2026" in letter
    assert "e-mailed California Service Center (csc-ncsc-followup@dhs.gov) on Apr 5, 2026" in headquarters
    assert "Apr 28, 2026, 11:00 a.m. Eastern: e-mailed USCIS Headquarters" in overdue
    assert office.titles(protected) == [SEPARATE]
    assert office.titles(answered) == [CALL_SHEET]
    assert office.moves(answered) == ["Call NCSC", "Awaiting NCSC"]
    refs = [
        ref for each in (ticket, protected, answered) for body in office.jira.comments(each) for ref in find_refs(body)
    ]
    assert len(refs) == len(set(refs)) == 7

    assert office.connector.stop() == 0
    office.connector.lose_database()
    office.connector.start()
    office.settle()
    assert len(office.titles(ticket)) == 5
    assert office.moves(ticket) == way
