"""Offices whose tracker is to be set up: the practice tracker over HTTP, a mapping, and the commands."""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from connector.cli import main
from connector.mapping.loading import load_mapping
from connector.practice.clock import PracticeClock
from connector.practice.sample import ADMIN_TOKEN, CONNECTOR_TOKEN, bare_world, blank_world
from connector.practice.server import PracticeServer
from connector.practice.world import Deployment, World
from connector.setup.wanted import wanted_of
from connector.trackers.jira_setup import JiraSetup
from connector.trackers.setup_port import Finding, Wanted
from tests.contract_check import ContractCheck

START = datetime(2026, 4, 1, 14, 0, tzinfo=UTC)
SECRET = "a secret/with=signs"
HOOK = "https://connector.example/webhooks/cases"
FACTS = {
    "receipt_number": "Receipt Number",
    "alien_number": "A-Number",
    "form_type": "Form Type",
    "filed_on": "Date Filed",
    "ncsc_representative": "NCSC Representative",
    "called_at": "NCSC Called At",
    "service_request_number": "Service Request Number",
    "no_service_request_reason": "Reason No Service Request",
    "promised_days": "Promised Days",
    "service_center": "Service Center",
    "service_center_emailed_at": "Service Center Emailed At",
    "headquarters_emailed_at": "HQ Emailed At",
    "answered_at": "Answered At",
    "protected": "Protected",
}
STATUSES = {"call_ncsc": "Call NCSC", "email_service_center": "E-mail Service Center"}
RECORDS = {"E-mailed Service Center": "service_center_emailed_at"}


class Office:
    """One practice tracker with a mapping `cases` for it, and the commands, in a folder of their own."""

    def __init__(self, folder: Path, server: PracticeServer) -> None:
        self.folder, self.server, self.world = folder, server, server.world
        self.mappings = folder / "field_mappings"
        self.mappings.mkdir()
        self.path = self.mappings / "cases.yaml"
        (folder / "token").write_text(CONNECTOR_TOKEN, encoding="utf-8")
        (folder / "hook").write_text(SECRET, encoding="utf-8")
        self._setups: list[JiraSetup] = []
        if all(each.secret != ADMIN_TOKEN for each in self.world.accounts):
            admin = self.world.add_user("admin", "Robin Alder", "admin@office.example", denied=set())
            self.world.add_account(admin, ADMIN_TOKEN)

    @property
    def cloud(self) -> bool:
        return self.world.deployment == "cloud"

    def connection(self) -> str:
        user = f"user: {self.world.connector.email}" if self.cloud else ""
        return f"""\
tracker:
  kind: jira
  url: {self.server.url}
  {user}
  token: {{file: {self.folder / "token"}}}
  webhook_secrets: [{{file: {self.folder / "hook"}}}]
scope: project = CASE
"""

    def map(
        self,
        facts: Mapping[str, Any] = FACTS,
        statuses: Mapping[str, str] = STATUSES,
        records: Mapping[str, str] = RECORDS,
        more: str = "",
        **scope: str,
    ) -> Wanted:
        """Write the mapping; returns what it wants."""
        text = self.connection()
        for old, new in scope.items():
            text = text.replace(f"{old}: project = CASE", f"{old}: {new}")
        text += "office: {time_zone: America/New_York}\n" + more
        text += f"fields: {json.dumps(facts)}\nstatuses: {json.dumps(statuses)}\nrecords: {json.dumps(records)}\n"
        self.path.write_text(text, encoding="utf-8")
        return self.wanted()

    def wanted(self, webhook_url: str | None = HOOK) -> Wanted:
        return wanted_of(load_mapping(self.path), webhook_url)

    def setup(
        self,
        *,
        token: str = ADMIN_TOKEN,
        internal: bool = True,
        scope: str = "project = CASE",
        url: str | None = None,
    ) -> JiraSetup:
        """As the administrator, unless another token is given."""
        email = "admin@office.example" if token == ADMIN_TOKEN else self.world.connector.email
        made = JiraSetup(
            source="cases",
            url=url or self.server.url,
            user=email if self.cloud else None,
            token=lambda: token,
            scope=scope,
            internal_comments=internal,
            clock=lambda: START,
            timeout=(2, 5),
        )
        self._setups.append(made)
        return made

    def close(self) -> None:
        for each in self._setups:
            each.close()

    def findings(self, wanted: Wanted | None = None, **settings: Any) -> dict[str, Finding]:
        """What the live check finds as the connector's own account, by id."""
        setup = self.setup(**({"token": CONNECTOR_TOKEN} | settings))
        found = setup.findings(wanted or self.wanted())
        assert len({each.id for each in found}) == len(found), "an id stands for one thing"
        return {each.id: each for each in found}

    def state(self) -> tuple[Any, ...]:
        """All of the configuration that set-up may touch."""
        world = self.world
        screens = {each.name: sorted(each.fields) for each in world.screens.values()}
        return dict(world.fields), screens, list(world.statuses), list(self.server.hooks.webhooks)

    def run(self, *words: object, **more: Any) -> Result:
        result = CliRunner().invoke(main, [str(word) for word in words], **more)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert SECRET not in result.output
        return result

    def as_admin(self) -> list[str]:
        user = ["--user", "admin@office.example"] if self.cloud else []
        return [*user, "--token-env", "ADMIN_TOKEN"]


@pytest.fixture
def clock() -> PracticeClock:
    return PracticeClock(START)


@pytest.fixture
def office_of(
    clock: PracticeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[World], Office]]:
    """office_of(world) -> Office. Cloud's exchanges must keep the contract when the test ends."""
    for name in [name for name in os.environ if name.startswith("CONNECTOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ADMIN_TOKEN", ADMIN_TOKEN)
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    with ExitStack() as stack:
        checks = []

        def make(world: World) -> Office:
            server = stack.enter_context(PracticeServer(world))
            if world.deployment == "cloud":
                contract = ContractCheck()
                checks.append(contract)
                server.on_exchange(contract.exchange)
            office = Office(tmp_path, server)
            stack.callback(office.close)
            return office

        yield make
        for each in checks:
            each.assert_clean(least=0)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(params=["cloud", "data-center"])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    found: Deployment = request.param
    return found


@pytest.fixture
def bare(office_of: Callable[[World], Office], clock: PracticeClock, deployment: Deployment) -> Office:
    """Nothing is set up."""
    office = office_of(bare_world(clock, deployment))
    office.map()
    return office


@pytest.fixture
def ready(office_of: Callable[[World], Office], clock: PracticeClock, deployment: Deployment) -> Office:
    """All but the webhook is set up, one ticket is there."""
    office = office_of(blank_world(clock, deployment))
    office.world.add_issue("CASE", summary="First")
    office.map()
    return office
