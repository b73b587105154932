"""A practice tracker on loopback, each of its exchanges held against the contract."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
import requests

from connector.practice.clock import PracticeClock
from connector.practice.sample import blank_world
from connector.practice.server import PracticeServer
from connector.practice.world import Deployment, World
from tests.contract_check import ContractCheck

START = datetime(2026, 4, 1, 14, 0, tzinfo=UTC)  # a Wednesday, 10:00 a.m. in New York


class Client:
    """Calls one server as the connector's account."""

    def __init__(self, server: PracticeServer) -> None:
        self.server = server
        self.world = server.world
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.auth = server.world.connector_auth

    def call(self, method: str, path: str, **more: object) -> requests.Response:
        """`path` without /rest/api/2/ unless it begins with a slash."""
        url = self.server.url + (path if path.startswith("/") else f"/rest/api/2/{path}")
        return self.session.request(method, url, timeout=10, **more)  # type: ignore[arg-type]  # any of requests' options

    def get(self, path: str, **params: object) -> requests.Response:
        return self.call("GET", path, params=params)

    def post(self, path: str, body: object) -> requests.Response:
        return self.call("POST", path, json=body)

    def put(self, path: str, body: object) -> requests.Response:
        return self.call("PUT", path, json=body)

    def edit(self, key: str, **fields: object) -> requests.Response:
        return self.put(f"issue/{key}", {"fields": fields})


@pytest.fixture
def clock() -> PracticeClock:
    return PracticeClock(START)


@pytest.fixture
def start(clock: PracticeClock) -> Iterator[Callable[..., Client]]:
    """start(deployment, world=...) -> Client; Cloud's exchanges must keep the contract when the test ends."""
    with ExitStack() as stack:
        checks = []

        def make(deployment: Deployment = "cloud", world: World | None = None, **settings: str) -> Client:
            world = world or blank_world(clock, deployment, **settings)
            server = stack.enter_context(PracticeServer(world))
            if world.deployment == "cloud":
                check = ContractCheck()
                checks.append(check)
                server.on_exchange(check.exchange)
            client = Client(server)
            stack.callback(client.session.close)
            return client

        yield make
        for check in checks:
            check.assert_clean(least=0)


@pytest.fixture
def cloud(start: Callable[..., Client]) -> Client:
    """A blank Cloud site with one ticket, CASE-1."""
    client = start("cloud")
    client.world.add_issue("CASE", summary="First")
    return client


@pytest.fixture
def data_center(start: Callable[..., Client]) -> Client:
    client = start("data-center")
    client.world.add_issue("CASE", summary="First")
    return client


@pytest.fixture(params=["cloud", "data-center"])
def either(request: pytest.FixtureRequest, start: Callable[..., Client]) -> Client:
    client = start(request.param)
    client.world.add_issue("CASE", summary="First")
    return client
