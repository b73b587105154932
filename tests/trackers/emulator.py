"""jira820, a Data Center 8.20 emulator that this project did not write, in a process of its own on loopback.

    with emulator(project="CASE", fields={"customfield_10050": ("Receipt Number", "string")}) as jira:
        jira.url, jira.create("A case", customfield_10050="WAC2590123456")

A second opinion, and a lenient one. What it does not do is listed in CANNOT: a test that needs one of these says so
and is skipped. What it has no words for is added in front of it, and nothing else is: the custom fields asked for,
true time stamps (it stamps everything 09:00 of the day it started), and tickets found by id as well as by key
(emulator_process.py).
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

CANNOT = {
    "comment properties": "jira820 has no service desks and no comment properties: it cannot make a comment internal",
    "strict jql": "jira820 ignores what it does not understand in JQL, and unknown ids, where Jira answers 400",
    "edit screens": "jira820 takes any field, where Jira refuses one that is unknown or not on the screen",
    "value formats": "jira820 keeps any value, where Jira refuses a date in the wrong form",
    "minutes in jql": "jira820 compares `updated` by the day, where Jira does by the minute",
    "history of fields": "jira820 keeps the history of the status only",
    "comments in a search": "jira820 gives no comments with what a search finds, so each ticket is fetched alone",
    "login": "jira820 lets everybody in",
    "webhooks": "jira820 sends no webhooks",
}

DEFAULT_STATUSES = ("New", "Collect Details", "Call NCSC", "Awaiting NCSC", "E-mail Service Center", "Done")


class Emulator:
    """The running emulator, and what a person would do in it."""

    def __init__(self, url: str, project: str, issue_type: str) -> None:
        self.url, self.project, self.issue_type = url, project, issue_type
        self._session = requests.Session()
        self._session.trust_env = False

    def call(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        """`path` below /rest/api/2/, or from the root if it starts with a slash."""
        url = self.url + (path if path.startswith("/") else f"/rest/api/2/{path}")
        response = self._session.request(method, url, json=body, params=params, timeout=10)
        response.raise_for_status()
        return response.json() if response.content else None

    def create(self, summary: str, *, project: str | None = None, **fields: Any) -> str:
        """A new ticket's id; fields by their ids."""
        what = {"project": {"key": project or self.project}, "issuetype": {"name": self.issue_type}, "summary": summary}
        return str(self.call("POST", "issue", {"fields": what | fields})["id"])

    def edit(self, ticket_id: str, **fields: Any) -> None:
        self.call("PUT", f"issue/{ticket_id}", {"fields": fields})

    def move(self, ticket_id: str, status: str) -> None:
        offered = self.call("GET", f"issue/{ticket_id}/transitions")["transitions"]
        chosen = next(each["id"] for each in offered if each["to"]["name"] == status)
        self.call("POST", f"issue/{ticket_id}/transitions", {"transition": {"id": chosen}})

    def issue(self, ticket_id: str) -> Any:
        return self.call("GET", f"issue/{ticket_id}", expand="changelog")

    def comments(self, ticket_id: str) -> list[str]:
        answer = self.call("GET", f"issue/{ticket_id}/comment", maxResults="1000")
        return [each["body"] for each in answer["comments"]]

    def set_clock(self, moment: datetime) -> None:
        """From now on the emulator's time is this, running on."""
        self.call("PUT", "/emulator/clock", {"ahead": (moment - datetime.now(UTC)).total_seconds()})

    def close(self) -> None:
        self._session.close()


@contextlib.contextmanager
def emulator(
    *,
    project: str = "CASE",
    issue_type: str = "USCIS inquiry",
    statuses: Sequence[str] = DEFAULT_STATUSES,
    fields: Mapping[str, tuple[str, str]] = {},
) -> Iterator[Emulator]:
    """A running emulator with no tickets but one, foreign: OTHER-1.

    `statuses`: the first is where tickets start, the last is done. `fields`: id -> (name, type of its schema).
    """
    wanted = {"project": project, "issue_type": issue_type, "statuses": list(statuses), "fields": dict(fields)}
    command = [sys.executable, "-m", "tests.trackers.emulator_process", json.dumps(wanted)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()  # told when it listens; empty if it could not start
            assert port.isdecimal(), "jira820 did not start"
            jira = Emulator(f"http://127.0.0.1:{port}", project, issue_type)
            yield jira
            jira.close()
        finally:
            process.terminate()
