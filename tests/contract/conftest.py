"""Each test of the contract runs against each site (tests/contract/sites.py)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
import requests

from connector.trackers.port import Tracker
from tests.contract import sites
from tests.contract.jira_sites import EMULATED, EMULATED_STATUSES
from tests.contract.site import Site
from tests.contract.table import PROPERTY
from tests.contract.wire import Wire
from tests.contract.zammad_site import live_people
from tests.trackers.emulator import Emulator, emulator
from tests.trackers.zammad_sites import ZammadSite

Connect = Callable[..., Tracker]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "site" in metafunc.fixturenames:
        marks = {name: [pytest.mark.live, pytest.mark.timeout(600)] for name in sites.LIVE}
        params = [pytest.param(name, marks=marks.get(name, [])) for name in sites.names()]
        metafunc.parametrize("site", params, indirect=True)


@pytest.fixture(scope="session")
def emulated_jira() -> Iterator[Emulator]:
    with emulator(fields=EMULATED, statuses=EMULATED_STATUSES) as jira:
        yield jira


@pytest.fixture(scope="session")
def live_zammad() -> Iterator[ZammadSite]:
    people = live_people()
    yield people
    people.close()


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """The site, unless it cannot show what the test is about: then the test is skipped, with the reason."""
    behaviour = behaviour_of(request.function)
    request.node.user_properties.append((PROPERTY, f"{behaviour} | {request.param}"))
    opened, needed = sites.OURS.get(request.param, (None, None))
    if opened is None:
        opened = sites.foreign()[request.param].load()
    with ExitStack() as stack:
        site = stack.enter_context(opened(*([request.getfixturevalue(needed)] if needed else [])))
        assert set(site.cannot) <= {name.removeprefix("test_") for name in vars(request.module)}
        if behaviour in site.cannot:
            pytest.skip(site.cannot[behaviour])
        yield site


def behaviour_of(test: Callable[..., Any]) -> str:
    return test.__name__.removeprefix("test_")


@pytest.fixture
def connect(site: Site) -> Iterator[Connect]:
    """connect(scope=..., ...) -> a tracker of the site's connection, but for what is said."""
    with ExitStack() as stack:

        def made(**changes: Any) -> Tracker:
            tracker = site.kind.make(replace(site.connection, **changes))
            stack.callback(tracker.close)
            return tracker

        yield made


@pytest.fixture
def tracker(connect: Connect) -> Tracker:
    return connect()


@pytest.fixture
def wire(site: Site) -> Wire:
    if site.wire is None:
        pytest.skip("it is not reached over HTTP")
    return site.wire


@pytest.fixture
def impatient(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a fault stands, nobody waits long for an answer. Adapters choose their time-outs; ours are long."""
    request = requests.Session.request

    def hasty(self: requests.Session, *args: Any, **more: Any) -> requests.Response:
        return request(self, *args, **(more | {"timeout": (2, 0.2)} if wire.fault else more))

    monkeypatch.setattr(requests.Session, "request", hasty)
