"""From a tracker with nothing set up to a working connection, by the commands that the README names."""

import signal
from datetime import date
from pathlib import Path

import pytest

from connector.practice.clock import PracticeClock
from connector.practice.sample import ADMIN_TOKEN, bare_world
from connector.practice.server import PracticeServer
from tests.commands.conftest import Invoke, Office, Start, json_of, until
from tests.commands.samples import FIELDS
from tests.commands.test_run import LISTEN, get, url_of

HOOK_SECRET = "a-long-random-secret"


def test_provision_discover_check_run(
    invoke: Invoke, tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN_TOKEN", ADMIN_TOKEN)
    with PracticeServer(bare_world(PracticeClock())) as server:
        office = Office(tmp_path, server)
        world = office.world
        world.add_account(world.add_user("admin", "Robin Alder", "admin@office.example", denied=set()), ADMIN_TOKEN)
        (office.folder / "hook").write_text(HOOK_SECRET, encoding="utf-8")
        path = office.mappings / "cases.yaml"
        text = path.read_text(encoding="utf-8").partition("statuses:")[0]
        text = text.replace("scope:", f"  webhook_secrets: [{{file: {office.folder / 'hook'}}}]\nscope:")
        path.write_text(text, encoding="utf-8")

        assert invoke("check").exit_code == 0
        assert invoke("check", "--live").exit_code == 1, "no field is there yet"
        process = start("run", **LISTEN)
        url = url_of(process)
        until(lambda: "set-up is broken" in process.stderr)
        assert not get(f"{url}/readyz").json()["sources"]["cases"]["ready"]
        process.signal(signal.SIGTERM)
        assert process.wait(10) == 0

        admin = ["--user", "admin@office.example", "--token-env", "ADMIN_TOKEN"]
        made = json_of(invoke("provision", "cases", "--yes", "--json", "--webhook-url", url, *admin))
        assert made["failed"] is None
        assert "webhook" in made["made"]
        drafted = invoke("discover", "cases").stdout
        assert all(f"  {fact}: {name}" in drafted for fact, (name, _) in FIELDS.items())
        assert invoke("check", "--live", "--webhook-url", url).exit_code == 0

        process = start("run", **LISTEN | {"CONNECTOR_LISTEN": url.removeprefix("http://")})
        until(lambda: get(f"{url_of(process)}/readyz").status_code == 200)
        ticket = office.case(Date_Filed=date(2025, 6, 2))
        until(lambda: ticket.comments)  # told by the webhook: the next poll is minutes away
        assert "1-800-375-5283" in ticket.comments[0].body
        process.signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert '"event": "set-up is in order"' in process.stderr
        assert HOOK_SECRET not in process.stderr
