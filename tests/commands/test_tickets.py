"""Commands that ask the tracker and the database: explain, tickets, poll, backfill, retry, release."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from connector.store.attention import Claim
from tests.commands.conftest import Invoke, Office, json_of

FILED = date(2025, 6, 2)


def claim_one(office: Office) -> Claim:
    store = office.store()
    [claim] = store.attention.claim(datetime.now(UTC), {"cases": 1}, timedelta(minutes=3))
    store.close()
    return claim


# Before there is anything


@pytest.mark.parametrize("words", [["tickets"], ["poll"], ["backfill"], ["retry", "CASE-1"], ["release", "cases"]])
def test_without_a_database_it_tells_how_to_make_one(invoke: Invoke, office: Office, words: list[str]) -> None:
    result = invoke(*words)
    assert result.exit_code == 1
    assert result.stderr == (
        f"there is no database at {office.folder / 'connector.sqlite3'}: start `connector run` once to make it\n"
    )


@pytest.mark.parametrize("words", [["explain", "CASE-1"], ["poll"], ["backfill", "--dry-run"], ["run"]])
def test_without_a_mapping_it_tells_what_to_copy(invoke: Invoke, tmp_path: Path, words: list[str]) -> None:
    result = invoke(*words)
    assert result.exit_code == 1
    assert "field_mappings is not there; copy the example for your tracker" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["explain", "CASE-1", "--source", "csaes"],
        ["tickets", "--source", "csaes"],
        ["poll", "csaes"],
        ["backfill", "csaes", "--dry-run"],
        ["retry", "CASE-1", "--source", "csaes"],
        ["retry", "--all-stuck", "--source", "csaes"],
        ["release", "csaes"],
    ],
)
def test_a_source_that_is_none(invoke: Invoke, office: Office, words: list[str]) -> None:
    office.make_database()
    result = invoke(*words)
    assert (result.exit_code, result.stderr) == (1, "there is no source csaes; there is only cases\n")


@pytest.mark.parametrize("words", [["explain", "1"], ["poll"], ["backfill", "--dry-run"], ["retry", "1"], ["run"]])
def test_mistakes_in_a_mapping_are_told_as_check_tells_them(invoke: Invoke, office: Office, words: list[str]) -> None:
    office.make_database()
    path = office.add_mapping(more="fileds: 1")
    result = invoke(*words)
    assert result.exit_code == 1
    assert result.stderr == invoke("check").stdout.replace("ok", "")
    assert f"{path.relative_to(office.folder)}:" in result.stderr


def test_a_database_of_a_later_version(invoke: Invoke, office: Office) -> None:
    office.make_database()
    engine = create_engine(f"sqlite:///{office.folder / 'connector.sqlite3'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("UPDATE schema_floor SET revision = '9999'"))  # it says that ours cannot use them
    engine.dispose()
    for words in (["tickets"], ["run"]):
        result = invoke(*words)
        assert result.exit_code == 1
        assert "was made by a later version of the connector" in result.stderr


def test_a_file_that_is_no_database(invoke: Invoke, office: Office) -> None:
    (office.folder / "connector.sqlite3").write_text("These are notes.\n" * 100)
    result = invoke("tickets")
    assert result.exit_code == 1
    assert "is not a SQLite database" in result.stderr


# What the tracker may answer


def _stopped(office: Office) -> None:
    office.server.stop()


def _wrong_token(office: Office) -> None:
    (office.folder / "token").write_text("revoked")


def _no_token(office: Office) -> None:
    (office.folder / "token").unlink()


def _login_page(office: Office) -> None:
    office.server.faults.login_page(times=50)


def _wrong_field(office: Office) -> None:
    path = office.add_mapping()
    path.write_text(path.read_text().replace("HQ Emailed At", "HQ Emailed"))


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (_stopped, "cannot be reached"),
        (_wrong_token, "token"),
        (_no_token, "cannot be read"),
        (_login_page, "Check"),
    ],
)
def test_trouble_with_the_tracker_is_told_with_its_source(
    invoke: Invoke, office: Office, trouble: Callable[[Office], None], told: str
) -> None:
    office.make_database()
    ticket = office.case(Date_Filed=FILED)
    trouble(office)
    for words in (["explain", ticket.id], ["poll"], ["backfill"], ["backfill", "--dry-run"]):
        result = invoke(*words)
        assert result.exit_code == 1
        assert result.stderr.startswith("cases: ")
        assert told in result.stderr
        assert result.stdout == ""


def test_a_field_that_jira_does_not_have(invoke: Invoke, office: Office) -> None:
    ticket = office.case(Date_Filed=FILED)
    _wrong_field(office)
    for words in (["explain", ticket.id], ["backfill", "--dry-run"]):
        result = invoke(*words)
        assert result.exit_code == 1
        assert 'no field "HQ Emailed"' in result.stderr
        assert 'Did you mean "HQ Emailed At"' in result.stderr


# explain


def test_explain_changes_nothing_and_needs_no_database(invoke: Invoke, office: Office) -> None:
    ticket = office.case(Date_Filed=FILED)
    result = invoke("explain", ticket.key)
    assert (result.exit_code, result.stderr) == (0, "")
    for line in (
        f"{ticket.key}, status New",
        "Stage:      call_ncsc: ready to call the NCSC",
        "Next look:  when the ticket changes",
    ):
        assert line in result.stdout.splitlines()
    assert "  Comment for the call to 1-800-375-5283 (ref " in result.stdout
    assert "Nothing is known of what was done before: there is no database" in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines() if str(office.folder) not in line)
    assert office.changes == []
    assert not (office.folder / "connector.sqlite3").exists()


def test_explain_tells_whether_it_was_attended_to(invoke: Invoke, office: Office) -> None:
    office.make_database()
    ticket = office.case(Date_Filed=FILED)
    unknown = invoke("explain", ticket.key).stdout
    assert "database does not know this ticket yet: a webhook or the next poll" in " ".join(unknown.split())
    invoke("poll")
    assert "The connector knows this ticket and has not attended to it yet." in invoke("explain", ticket.key).stdout


def test_explain_as_json(invoke: Invoke, office: Office) -> None:
    office.make_database()
    office.add_mapping(more="dry_run: true")
    ticket = office.case(Date_Filed=FILED)
    invoke("poll")
    for name in (ticket.key, ticket.id):
        told = json_of(invoke("explain", name, "--json"))
        assert told["stage"] == "call_ncsc"
        assert (told["source"], told["ticket"]) == ("cases", ticket.key)
        assert told["known"]["ticket_id"] == str(ticket.id)
        assert told["held"] == ["The mapping says dry_run: true, so nothing is written to tickets."]
        assert [act["kind"] for act in told["acts"]] == ["comment"]


def test_explain_tells_what_holds_the_source(invoke: Invoke, office: Office) -> None:
    office.make_database()
    ticket = office.case(Date_Filed=FILED)
    invoke("poll")
    store = office.store()
    store.sources.brake("cases", datetime.now(UTC), "more than 600 comments in an hour")
    store.close()
    told = " ".join(invoke("explain", ticket.key).stdout.split())
    assert "The brake is on: more than 600 comments in an hour. Look into it, then: connector release cases" in told


def test_explain_of_a_ticket_outside_or_unknown(invoke: Invoke, office: Office) -> None:
    office.make_database()
    other = office.world.add_issue("OTHER", summary="Order toner")
    outside = invoke("explain", other.id)
    assert outside.exit_code == 1
    assert f"{other.id} is outside the scope of cases" in outside.stderr
    unknown = invoke("explain", "CASE-99")
    assert unknown.exit_code == 1
    assert "cases has no ticket CASE-99" in unknown.stderr


def test_several_sources_must_be_told_apart(invoke: Invoke, office: Office) -> None:
    office.make_database()
    office.add_mapping("others", scope="project = OTHER")
    ticket = office.case(Date_Filed=FILED)
    first = invoke("explain", ticket.key)
    assert first.exit_code == 1
    assert f"no source knows a ticket {ticket.key} yet: name one with --source (cases, others)" in first.stderr
    assert invoke("explain", ticket.key, "--source", "cases").exit_code == 0
    assert invoke("poll").exit_code == 0
    assert invoke("explain", ticket.key).exit_code == 0  # by now one source knows it
    store = office.store()
    store.attention.notice("others", str(ticket.id), ticket.key, datetime.now(UTC))
    store.close()
    for words in (["explain", ticket.key], ["retry", ticket.key]):
        both = invoke(*words)
        assert both.exit_code == 1
        assert f"several sources know a ticket {ticket.key}: name one with --source (cases, others)" in both.stderr


# poll, backfill, tickets


def test_poll_and_tickets(invoke: Invoke, office: Office) -> None:
    office.make_database()
    assert "No tickets are known yet: `connector poll`" in invoke("tickets").stdout
    keys = [office.case(Date_Filed=FILED).key for _ in range(3)]
    first = invoke("poll")
    assert (first.exit_code, first.stdout) == (0, "cases: 3 tickets seen, 3 to be looked at\n")
    assert json_of(invoke("poll", "cases", "--json"))[0]["error"] is None
    listed = invoke("tickets")
    assert all(len(line) <= 80 for line in listed.stdout.splitlines())
    assert [line.split()[1] for line in listed.stdout.splitlines()[2:]] == keys
    assert "(not yet attended)" in listed.stdout
    assert invoke("tickets", "--limit", "2").stdout.endswith("There are more: --limit shows them.\n")
    rows = json_of(invoke("tickets", "--limit", "2", "--json"))
    assert [row["ticket"] for row in rows] == keys[:2]
    assert invoke("tickets", "--stuck").stdout == "No ticket is stuck.\n"


def test_poll_goes_on_with_the_other_sources(invoke: Invoke, office: Office) -> None:
    office.make_database()
    office.case(Date_Filed=FILED)
    office.add_mapping("broken", scope="projekt = CASE")
    result = invoke("poll", "--json")
    assert result.exit_code == 1
    broken, cases = json_of(result)
    assert (broken["source"], broken["seen"], cases["seen"], cases["error"]) == ("broken", None, 1, None)
    assert result.stderr.startswith("broken: ")
    assert broken["error"] in result.stderr


def test_backfill_notices_what_a_poll_would_not(invoke: Invoke, office: Office) -> None:
    office.make_database()
    office.case(Date_Filed=FILED)
    invoke("poll")
    claim = claim_one(office)
    store = office.store()
    store.attention.settle(
        claim,
        now=datetime.now(UTC),
        stage="call_ncsc",
        attend_at=None,
        key="CASE-1",
        receipt_digest=None,
        tracker_updated_at=None,
        config_hash="x",
    )
    store.close()
    assert json_of(invoke("backfill", "--json")) == [{"source": "cases", "seen": 1, "noticed": 1, "error": None}]


def test_a_dry_run_of_the_backfill(invoke: Invoke, office: Office) -> None:
    ready = office.case(Date_Filed=FILED)
    lacking = office.case(Date_Filed=None, Receipt_Number="LIN25")
    result = invoke("backfill", "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("cases: 2 open tickets in scope; nothing was changed\n")
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    lines = result.stdout.splitlines()
    assert any(line.startswith(f"{ready.key}") and "comment 1-800-375-5283" in line for line in lines)
    told = next(line for line in lines if line.startswith(f"  - {lacking.key}: receipt_number ("))
    assert told.endswith("filed_on (missing)")
    assert office.changes == []
    assert not (office.folder / "connector.sqlite3").exists()
    rows = json_of(invoke("backfill", "--dry-run", "--json"))
    assert [row["stage"] for row in rows] == ["call_ncsc", "collect_details"]
    assert "LIN25" not in json.dumps(rows)


def test_progress_is_shown_on_a_terminal(office: Office) -> None:
    office.case(Date_Filed=FILED)
    office.case(Date_Filed=FILED)
    terminal, its_end = os.openpty()
    words = [sys.executable, "-m", "connector", "backfill", "--dry-run"]
    ended = subprocess.run(words, cwd=office.folder, stdout=subprocess.PIPE, stderr=its_end, timeout=20, check=True)
    os.close(its_end)
    shown = os.read(terminal, 10_000).decode()
    os.close(terminal)
    assert b"cases: 2 open tickets in scope" in ended.stdout
    assert "\rSearching cases: 2 tickets" in shown
    assert "Reading cases" in shown
    assert "100%" in shown


def test_a_dry_run_reads_on_after_one_ticket_fails(invoke: Invoke, office: Office) -> None:
    keys = [office.case(Date_Filed=FILED).key for _ in range(3)]
    office.server.faults.add("POST", "/bulkfetch$", times=2, status=503)  # then each is read alone
    office.server.faults.bad_gateway("GET", r"reconcileIssues=\d+")
    office.server.faults.rate_limited("GET", r"reconcileIssues=\d+", retry_after="1")
    result = invoke("backfill", "--dry-run", "--json")
    assert result.exit_code == 1
    rows = json_of(result)
    assert [row["ticket"] for row in rows] == keys
    assert [bool(row["error"]) for row in rows] == [True, False, False]
    office.server.faults.bad_gateway("GET", r"reconcileIssues=\d+", times=9)
    down = invoke("backfill", "--dry-run")
    assert (down.exit_code, down.stdout) == (1, "")
    assert office.server.faults.waiting == 1  # it gave up early
    office.server.faults.clear()
    office.server.faults.add("POST", "/bulkfetch$", status=503)
    office.server.faults.rate_limited("GET", r"reconcileIssues=\d+", retry_after="1847", times=3)
    assert "pause of 1847 seconds" in json_of(invoke("backfill", "--dry-run", "--json"))[0]["error"]


# retry, release


def test_retry(invoke: Invoke, office: Office) -> None:
    office.make_database()
    ticket = office.case(Date_Filed=FILED)
    unknown = invoke("retry", ticket.key)
    assert unknown.exit_code == 1
    assert "is known; if it is new, `connector poll` finds it" in unknown.stderr
    invoke("poll")
    for words in ([ticket.key], [ticket.id], ["--all-stuck"]):
        claim = claim_one(office)
        store = office.store()
        store.attention.stick(claim, now=datetime.now(UTC), error='Jira refused the move to "X".')
        store.close()
        stuck = invoke("tickets", "--stuck").stdout
        assert f"  - {ticket.key}: stuck, Jira refused the move to" in stuck
        explained = invoke("explain", ticket.key).stdout
        assert "Stuck: its tries are used up since " in explained
        assert f"connector retry {ticket.key}" in explained
        assert invoke("retry", *words).exit_code == 0
        assert invoke("tickets", "--stuck").stdout == "No ticket is stuck.\n"
    assert json_of(invoke("retry", "--all-stuck", "--json")) == {"retried": 0}
    assert json_of(invoke("retry", ticket.key, "--json")) == {"retried": 1}


def test_release(invoke: Invoke, office: Office) -> None:
    office.make_database()
    assert invoke("release", "cases").stdout == "cases was neither stopped nor paused\n"
    ticket = office.case(Date_Filed=FILED)
    invoke("poll")
    store = office.store()
    store.sources.brake("cases", datetime.now(UTC), "more than 600 comments in an hour")
    store.close()
    assert "The brake is on" in invoke("retry", ticket.key).stdout
    assert json_of(invoke("release", "cases", "--json")) == {"source": "cases", "released": True}
    assert json_of(invoke("release", "cases", "--json")) == {"source": "cases", "released": False}
