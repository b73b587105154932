"""From a Zammad with nothing set up to a working connection, by the commands that the README names.

The same on practice Jira: tests/commands/test_from_nothing.py; on a real Request Tracker: tests/live.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from connector.application import utc_now
from tests.system.process import Connector, wait_for
from tests.zammad_standin import ZammadStandin
from tests.zammad_standin.world import ADMIN_TOKEN, AGENT_TOKEN

EXAMPLE = Path(__file__).parents[2] / "field_mappings" / "zammad.example.yaml"
GROUP = "USCIS inquiries"
HOOK_SECRET = "a-long-random-secret"
DETAILS = {
    "receipt_number": "WAC2590123456",
    "alien_number": "A200555013",
    "form_type": "I-130",
    "filed_on": "2025-06-02",
}


class Admin(Connector):
    """The commands of an admin, and the service that they start in the end, in one folder."""

    def __init__(self, folder: Path, tracker_url: str) -> None:
        clock = folder / "clock"
        clock.write_text("0", encoding="utf-8")
        super().__init__(folder, clock)
        text = EXAMPLE.read_text(encoding="utf-8").replace("https://zammad.example.org", tracker_url)
        (self.mappings / "zammad.yaml").write_text(text, encoding="utf-8")
        self.token = AGENT_TOKEN

    def environment(self) -> dict[str, str]:
        secrets = {"ZAMMAD_TOKEN": self.token, "ZAMMAD_WEBHOOK_SECRET": HOOK_SECRET, "ADMIN_TOKEN": ADMIN_TOKEN}
        return super().environment() | secrets

    def types(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "connector", *words],
            cwd=self.folder,
            env=os.environ | self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def zammad() -> Iterator[ZammadStandin]:
    with ZammadStandin(utc_now, waits=(0.1, 0.1, 0.1, 0.1)) as running:
        running.hooks.start()
        yield running
        running.hooks.stop()


def test_provision_discover_check_run(
    zammad: ZammadStandin, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    admin = Admin(tmp_path, zammad.url)
    began = time.monotonic()
    assert admin.types("check").returncode == 0
    assert "connector provision makes it" in admin.types("check", "--live").stdout
    assert admin.start()
    where = ["--webhook-url", admin.url]
    planned = admin.types("provision", "zammad", "--dry-run", *where, "--token-env", "ADMIN_TOKEN")
    assert "Nothing was changed." in planned.stdout
    made = admin.types("provision", "zammad", "--yes", *where, "--token-env", "ADMIN_TOKEN")
    assert made.returncode == 0, made.stderr
    again = admin.types("provision", "zammad", "--yes", *where, "--token-env", "ADMIN_TOKEN")
    assert "All is there." in again.stdout
    admin.token = ADMIN_TOKEN
    drafted = admin.types("discover", "zammad").stdout
    assert "  receipt_number: receipt_number" in drafted
    looked = admin.types("check", "--live", "zammad", *where)
    assert looked.returncode == 0, looked.stdout
    admin.token = AGENT_TOKEN

    case = {"title": "A case", "group": GROUP, **DETAILS}
    answer = requests.post(
        f"{zammad.url}/api/v1/tickets", json=case, headers={"Authorization": f"Token token={AGENT_TOKEN}"}, timeout=10
    )
    ticket = answer.json()
    wait_for(lambda: _says(zammad, ticket["id"], "1-800-375-5283"), "the call sheet arrives")
    assert admin.stop() == 0
    with capsys.disabled():
        print(f"\nZammad stand-in: from nothing to the first comment in {time.monotonic() - began:.1f} s")  # noqa: T201  told, as the README tells it
    assert HOOK_SECRET not in admin.outputs[-1].read_text(encoding="utf-8")


def _says(zammad: ZammadStandin, ticket_id: int, words: str) -> bool:
    return any(words in article["body"] for article in zammad.world.articles_of(ticket_id))
