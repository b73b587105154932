"""Jiras on loopback. Each exchange with the practice tracker, as Cloud, is held against Atlassian's contract."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from connector.practice.clock import PracticeClock
from connector.practice.sample import blank_world
from connector.practice.server import PracticeServer
from connector.practice.world import Deployment
from tests.contract_check import ContractCheck
from tests.trackers.emulator import Emulator, emulator
from tests.trackers.sites import START, EmulatorSite, PracticeSite, Site


@pytest.fixture
def clock() -> PracticeClock:
    return PracticeClock(START)


@pytest.fixture
def practice(clock: PracticeClock) -> Iterator[Callable[..., PracticeSite]]:
    """practice(deployment, project_type=...) -> a practice tracker with no tickets in CASE."""
    check = ContractCheck()
    with ExitStack() as stack:

        def start(deployment: Deployment, **more: str) -> PracticeSite:
            server = stack.enter_context(PracticeServer(blank_world(clock, deployment, **more)))
            if deployment == "cloud":
                server.on_exchange(check.exchange)
            site = PracticeSite(server, clock)
            stack.callback(site.close)
            return site

        yield start
        check.assert_clean(least=0)


@pytest.fixture
def cloud(practice: Callable[..., PracticeSite]) -> PracticeSite:
    return practice("cloud")


@pytest.fixture
def data_center(practice: Callable[..., PracticeSite]) -> PracticeSite:
    return practice("data-center")


@pytest.fixture(params=["cloud", "data-center"])
def either(request: pytest.FixtureRequest, practice: Callable[..., PracticeSite]) -> PracticeSite:
    return practice(request.param)


@pytest.fixture(scope="session")
def jira820() -> Iterator[Emulator]:
    fields = {
        "customfield_10050": ("Receipt Number", "string"),
        "customfield_10053": ("Date Filed", "date"),
        "customfield_10055": ("NCSC Called At", "datetime"),
    }
    with emulator(fields=fields) as jira:
        yield jira


@pytest.fixture(params=["cloud", "data-center", "jira820"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    if request.param != "jira820":
        yield request.getfixturevalue("practice")(request.param)
        return
    found = EmulatorSite(request.getfixturevalue("jira820"))
    yield found
    found.close()
