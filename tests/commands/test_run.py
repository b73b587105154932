"""`connector run` as a process of its own, and the other commands beside it."""

import json
import re
import signal
import socket
import threading
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.store import TicketState
from connector.store.tables import tickets
from tests.commands.conftest import Invoke, Office, Process, Start, json_of, until
from tests.commands.samples import issue, write_issue, write_mapping

FILED = date(2025, 6, 2)
LISTEN = {"CONNECTOR_LISTEN": "127.0.0.1:0", "CONNECTOR_LOG_FORMAT": "json"}


def url_of(process: Process) -> str:
    """Where it listens, as its log tells."""
    found = until(lambda: re.search(r'"url": "(http://[^"]+)"', process.stderr))
    return str(found[1])


def get(url: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=5)


def known(office: Office, key: str) -> TicketState | None:
    store = office.store()
    try:
        return store.tickets.get("cases", key)
    finally:
        store.close()


def test_it_serves_attends_and_ends_in_order(office: Office, start: Start, invoke: Invoke) -> None:
    ticket = office.case(Date_Filed=FILED)
    process = start("run", **LISTEN)
    url = url_of(process)
    assert get(f"{url}/livez").json() == {"alive": True}
    until(lambda: get(f"{url}/readyz").status_code == 200)
    until(lambda: ticket.comments)
    until(lambda: (state := known(office, ticket.key)) and state.stage)
    assert 'connector_acts_total{kind="comment"' in get(f"{url}/metrics").text

    # The other commands work on the same database at the same time.
    [row] = json_of(invoke("tickets", "--json"))
    assert (row["ticket"], row["stage"], row["error"]) == (ticket.key, "call_ncsc", None)
    explained = invoke("explain", ticket.key)
    assert "Nothing is left to be done now." in explained.stdout
    assert "The connector last attended to it on " in explained.stdout
    office.world.edit(ticket, {office.world.field_named("Receipt Number").id: "LIN25"}, office.world.human)
    assert invoke("poll").exit_code == 0
    until(lambda: len(ticket.comments) == 2)
    assert invoke("retry", ticket.key).exit_code == 0
    assert invoke("backfill").exit_code == 0
    assert invoke("release", "cases").exit_code == 0

    process.signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert "connector stopped" in process.stderr
    assert process.stdout == ""
    assert len(ticket.comments) == 2
    for secret in ("LIN2590011223", "200555027", "Marchetti", "practice-token"):
        assert secret not in process.stderr


def test_sigterm_finishes_what_is_in_hand(office: Office, start: Start) -> None:
    ticket = office.case(Date_Filed=FILED)
    posted, told = threading.Event(), threading.Event()

    def hold() -> None:
        posted.set()
        told.wait(5)

    office.server.faults.add("POST", r"/comment$", callback=hold)
    process = start("run", **LISTEN)
    assert posted.wait(15)
    process.signal(signal.SIGTERM)
    time.sleep(0.3)  # long enough for a process that does not wait to be gone
    told.set()
    assert process.wait(10) == 0
    assert len(ticket.comments) == 1
    state = known(office, ticket.key)
    assert state is not None
    assert (state.stage, state.lease_until) == ("call_ncsc", None)
    store = office.store()
    assert not store.acts.started("cases", str(ticket.id))
    store.close()


def test_a_second_one_on_the_same_database_is_refused(office: Office, start: Start) -> None:
    first = start("run", **LISTEN)
    url_of(first)
    second = start("run", **LISTEN)
    assert second.wait() == 1
    assert f"is in use by another connector (process {first._popen.pid})" in second.stderr
    assert "Traceback" not in second.stderr
    first.signal(signal.SIGINT)
    assert first.wait(10) == 0


def test_a_port_that_is_taken(office: Office, start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start("run", CONNECTOR_LISTEN=f"127.0.0.1:{port}", CONNECTOR_LOG_FORMAT="json")
        assert process.wait() == 1
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in process.stderr
    assert "CONNECTOR_LISTEN" in process.stderr
    assert "Traceback" not in process.stderr


def test_bad_settings_are_told_all_at_once(office: Office, start: Start) -> None:
    bad = {
        "CONNECTOR_LISTEN": "here",
        "CONNECTOR_POLL_SECONDS": "1",
        "CONNECTOR_WORKERS": "many",
        "CONNECTOR_PROT": "1",
    }
    process = start("run", **bad)
    assert process.wait() == 1
    assert {line.partition(":")[0] for line in process.stderr.splitlines()} == set(bad)


def test_a_token_that_is_not_there_is_told_and_waited_for(office: Office, start: Start, invoke: Invoke) -> None:
    token = office.folder / "token"
    secret = token.read_text()
    token.unlink()
    ticket = office.case(Date_Filed=FILED)
    process = start("run", **LISTEN)
    url = url_of(process)

    def codes() -> list[str]:
        return [each["code"] for each in get(f"{url}/readyz").json()["sources"]["cases"]["reasons"]]

    until(lambda: "paused" in codes())
    assert "cannot be read: No such file or directory" in process.stderr
    token.write_text(secret)
    assert "`connector poll cases`" in invoke("release", "cases").stdout
    assert invoke("poll", "cases").exit_code == 0
    until(lambda: ticket.comments)


@pytest.fixture
def many(office: Office) -> int:
    """20,000 open tickets in the database, attended to and waiting."""
    office.make_database()
    number, now = 20_000, datetime.now(UTC)
    store = office.store()
    rows = [
        {
            "source": "cases",
            "ticket_id": str(100_000 + each),
            "key": f"CASE-{each}",
            "stage": "awaiting_ncsc",
            "attend_at": now + timedelta(days=1 + each % 30),
            "first_seen_at": now,
            "attended_at": now,
            "attempts": 0,
            "failures": 0,
            "news": 0,
            "claimed_news": 0,
            "config_hash": "x",
        }
        for each in range(number)
    ]
    _insert(store, rows)
    store.close()
    return number


def _insert(store: Any, rows: list[dict[str, Any]]) -> None:
    store._database.write(lambda connection: connection.execute(tickets.insert(), rows))


def test_it_starts_at_once_with_20_000_open_tickets(office: Office, start: Start, many: int) -> None:
    began = time.monotonic()
    process = start("run", **LISTEN)
    assert get(f"{url_of(process)}/livez").status_code == 200
    assert time.monotonic() - began < 8  # about one second on a machine that does nothing else
    process.signal(signal.SIGTERM)
    assert process.wait(10) == 0


@pytest.mark.parametrize("command", ["check", "simulate"])
def test_commands_that_ask_nobody_start_at_once(tmp_path: Path, start: Start, command: str) -> None:
    """What is slow to load is not loaded by them; the time itself depends on the machine."""
    mapping, ticket = write_mapping(tmp_path), write_issue(tmp_path, issue())
    options = [str(mapping)] if command == "check" else ["--mapping", str(mapping), "--ticket", str(ticket)]
    process = start(command, *options, PYTHONPROFILEIMPORTTIME="1")
    process.wait()
    loaded = set(re.findall(r"\|\s+(\S+)$", process.stderr, re.MULTILINE))
    heavy = {"flask", "apscheduler", "waitress"} | ({"sqlalchemy", "requests", "jira"} if command == "check" else set())
    assert "connector.mapping.loading" in loaded
    assert not heavy & loaded


def test_json_logs_are_json(office: Office, start: Start) -> None:
    process = start("run", **LISTEN)
    url_of(process)
    process.signal(signal.SIGTERM)
    assert process.wait(10) == 0
    for line in process.stderr.splitlines():
        assert json.loads(line)["event"]
