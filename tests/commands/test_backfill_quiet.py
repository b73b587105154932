"""`connector backfill --quiet`: an office with many old cases is not flooded, and misses nothing that comes later."""

import signal
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connector.commands import backfill
from connector.practice.world import Issue
from connector.store import Store, TicketState, open_database
from tests.commands.conftest import Invoke, Office, Process, Start, json_of, until
from tests.commands.test_run import LISTEN, get, known, url_of

FILED = date(2025, 6, 2)
OFFICE = ZoneInfo("America/New_York")
CALL = {"NCSC_Representative": "Ms. Rivera, ID 4471", "Service_Request_Number": "SR1220326001"}


def days_ago(days: int) -> datetime:
    """At noon of an office's day: a call of 31 days ago has its wait over today, from midnight on."""
    noon = datetime.now(OFFICE).replace(hour=12, minute=0, second=0, microsecond=0)
    return (noon - timedelta(days=days)).astimezone(UTC)  # the same hour of the office's clock


class Cases:
    """One ticket in each kind of place."""

    def __init__(self, office: Office) -> None:
        self.to_call = office.case(Date_Filed=FILED)
        self.lacking = office.case(Date_Filed=None)
        self.late = office.case(Date_Filed=FILED, NCSC_Called_At=days_ago(60), **CALL)
        self.today = office.case(Date_Filed=FILED, NCSC_Called_At=days_ago(31), **CALL)
        self.waiting = office.case(Date_Filed=FILED, NCSC_Called_At=days_ago(5), **CALL)
        for number, ticket in enumerate(self.all):  # no two are of one case
            receipt = office.world.field_named("Receipt Number").id
            office.world.edit(ticket, {receipt: f"LIN259001122{number}"}, office.world.human)

    @property
    def all(self) -> list[Issue]:
        return [self.to_call, self.lacking, self.late, self.today, self.waiting]


@pytest.fixture
def office(office: Office) -> Office:
    """A wait that passes today has passed, at whatever hour this runs."""
    path = office.add_mapping()
    path.write_text(path.read_text().replace("America/New_York", 'America/New_York\n  act_at: "00:00"'))
    return office


@pytest.fixture
def cases(office: Office) -> Cases:
    return Cases(office)


def settled(office: Office, tickets: list[Issue]) -> list[TicketState]:
    """The tickets, once the service has attended to each."""

    def attended() -> list[TicketState] | None:
        found = [known(office, ticket.key) for ticket in tickets]
        done = [each for each in found if each and each.stage and each.lease_until is None]
        return done if len(done) == len(tickets) else None

    states: list[TicketState] = until(attended)
    return states


def end(process: Process) -> None:
    process.signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_its_dry_run_tells_what_would_stay_unsaid(invoke: Invoke, office: Office, cases: Cases) -> None:
    rows = {row["ticket"]: row for row in json_of(invoke("backfill", "--dry-run", "--quiet", "--json"))}

    def told(ticket: Issue) -> tuple[list[str], list[str]]:
        row = rows[ticket.key]
        unsaid = [act["to"] or act["kind"] for act in row["unsaid"]]
        return [act["kind"] for act in row["acts"]], unsaid

    assert told(cases.to_call) == ([], ["1-800-375-5283"])
    assert told(cases.lacking)[1] == ["comment"]
    assert told(cases.late) == ([], ["ncscfollowup.nsc@dhs.gov"])
    assert told(cases.today)[0][-1] == "comment"
    assert told(cases.today)[1] == []
    assert told(cases.waiting) == (["due_date"], [])
    stays = {ticket.key: rows[ticket.key]["not_moved"] for ticket in cases.all}
    assert stays == {
        cases.to_call.key: None,
        cases.lacking.key: "Collect Details",
        cases.late.key: "E-mail Service Center",
        cases.today.key: None,
        cases.waiting.key: None,
    }
    table = invoke("backfill", "--dry-run", "--quiet").stdout
    assert "Left unsaid" in table
    assert " ".join(table.split()).count("status") >= 2
    assert "not moved" in table
    assert all(len(line) <= 80 for line in table.splitlines())
    assert "unsaid" not in invoke("backfill", "--dry-run").stdout
    assert all("unsaid" not in row for row in json_of(invoke("backfill", "--dry-run", "--json")))
    assert office.changes == []
    assert not (office.folder / "connector.sqlite3").exists()


def test_before_the_first_run(invoke: Invoke, office: Office, cases: Cases, start: Start) -> None:
    result = invoke("backfill", "cases", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "cases: 5 open tickets taken as known, 3 comments left unsaid\n"
        "cases: 2 tickets not moved to the status of the stage; --dry-run --quiet shows which\n"
    )
    assert office.changes == []
    again = json_of(invoke("backfill", "--quiet", "--json"))
    assert again == [{"source": "cases", "seen": 5, "taken": 5, "unsaid": 0, "not_moved": 0, "error": None}]

    process = start("run", **LISTEN)
    settled(office, cases.all)
    assert [len(ticket.comments) for ticket in cases.all] == [0, 0, 0, 1, 0]
    assert "ncscfollowup.nsc@dhs.gov" in cases.today.comments[0].body
    assert cases.waiting.values["duedate"]
    # What comes later is told as usual.
    fields = {name: office.world.field_named(name.replace("_", " ")).id for name in ("NCSC_Called_At", *CALL)}
    changed = {"NCSC_Called_At": days_ago(40), **CALL}
    office.world.edit(cases.to_call, {fields[name]: value for name, value in changed.items()}, office.world.human)
    assert invoke("poll").exit_code == 0
    until(lambda: cases.to_call.comments)
    end(process)


def test_beside_a_running_service(invoke: Invoke, office: Office, start: Start) -> None:
    process = start("run", **LISTEN)
    url = url_of(process)
    until(lambda: get(f"{url}/readyz").status_code == 200)
    until(lambda: "polled" in process.stderr)
    cases = Cases(office)  # no webhook tells of them, and the next poll is minutes away
    [result] = json_of(invoke("backfill", "--quiet", "--json"))
    assert (result["taken"], result["unsaid"], result["error"]) == (5, 3, None)
    states = settled(office, cases.all)
    assert [len(ticket.comments) for ticket in cases.all] == [0, 0, 0, 1, 0]
    assert [each.error for each in states] == [None] * 5
    end(process)


def test_two_tickets_of_one_case_are_not_told_of_each_other(invoke: Invoke, office: Office, start: Start) -> None:
    twins = [office.case(Date_Filed=FILED), office.case(Date_Filed=FILED)]
    rows = json_of(invoke("backfill", "--dry-run", "--quiet", "--json"))
    assert [len(row["unsaid"]) for row in rows] == [2, 2]
    assert invoke("backfill", "--quiet").exit_code == 0
    process = start("run", **LISTEN)
    until(lambda: process.stderr.count('"event": "attended"') >= 4)  # each is looked at again when the other is known
    settled(office, twins)
    assert [len(ticket.comments) for ticket in twins] == [0, 0]
    end(process)


@pytest.fixture
def store(office: Office) -> Any:
    """The database as a running service has it."""
    store = Store(open_database(f"sqlite:///{office.folder / 'connector.sqlite3'}", exclusive=True))
    yield store
    store.close()


def test_a_ticket_in_hand_is_waited_for_and_then_left_out(
    invoke: Invoke, office: Office, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, free = office.case(Date_Filed=FILED), office.case(Date_Filed=FILED)
    now = datetime.now(UTC)
    store.attention.notice("cases", str(held.id), held.key, now)
    assert store.attention.claim(now, {"cases": 1}, timedelta(minutes=5))
    monkeypatch.setattr(backfill, "IN_HAND", 0.2)
    result = invoke("backfill", "--quiet")
    assert result.exit_code == 1
    assert f"{held.key} is in the hands of the running service" in result.stderr
    assert "run this again" in result.stderr
    assert "cases: 1 open ticket taken as known" in result.stdout
    assert store.acts.done_refs("cases", str(held.id)) == frozenset()
    assert store.acts.done_refs("cases", str(free.id))


def test_a_ticket_that_cannot_be_read_is_named_and_the_others_are_taken(invoke: Invoke, office: Office) -> None:
    first, _ = office.case(Date_Filed=FILED), office.case(Date_Filed=FILED)
    office.server.faults.bad_gateway("POST", "/bulkfetch$")  # then each is read alone
    office.server.faults.bad_gateway("GET", r"reconcileIssues=\d+")
    result = invoke("backfill", "--quiet")
    assert result.exit_code == 1
    assert f"{first.key} could not be read: " in result.stderr
    assert "1 open ticket taken as known" in result.stdout
    assert invoke("backfill", "--quiet").exit_code == 0


def test_nothing_is_noted_where_the_tracker_refuses_the_account(invoke: Invoke, office: Office) -> None:
    office.case(Date_Filed=FILED)
    (office.folder / "token").write_text("revoked")
    result = invoke("backfill", "--quiet", "--json")
    assert result.exit_code == 1
    [row] = json_of(result)
    assert row["taken"] is None
    assert row["error"].startswith("cases: ")
    assert invoke("tickets", "--json").stdout == "[]\n"
