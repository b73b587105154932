"""A real Request Tracker 5 for the whole session, on loopback, set up from deploy/request-tracker."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from connector.application import utc_now
from connector.trackers.request_tracker import RequestTracker
from tests.live.beside import Beside
from tests.live.request_tracker import MARIAS_TIME, QUEUE, Office, Receiver, Rt

HERE = Path(__file__).parent
CANNOT_BE_INSTALLED = 3  # exit status of rt-up.sh


@pytest.fixture(scope="session")
def rt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rt]:
    folder = tmp_path_factory.mktemp("rt")
    port, hook_port = _free_ports()
    environment = {
        **os.environ,
        "PORT": str(port),
        "STATE_DIR": str(folder),
        "HOOK_URL": f"http://127.0.0.1:{hook_port}/webhooks/request-tracker",
    }
    up = subprocess.run([HERE / "rt-up.sh"], env=environment, stderr=subprocess.PIPE, text=True, check=False)
    try:
        if up.returncode == CANNOT_BE_INSTALLED:
            pytest.skip(f"no Request Tracker: {up.stderr.strip().splitlines()[-1]}")
        assert up.returncode == 0, up.stderr
        lines = (folder / "env").read_text(encoding="utf-8").splitlines()
        told = dict(line.split("=", 1) for line in lines)
        tokens = {who: told[f"{who.upper()}_TOKEN"] for who in ("connector", "staff", "blind", "root")}
        running = Rt(told["RT_URL"], tokens, hook_port, told["HOOK_SECRET"], folder)
        yield running
        running.session.close()
    finally:
        subprocess.run([HERE / "rt-down.sh"], env=environment, check=True)


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """What was logged: events with their values."""
    with capture_logs() as captured:
        yield captured


@pytest.fixture
def office(rt: Rt, tmp_path: Path) -> Iterator[Office]:
    """The connector, listening."""
    office = Office(rt, tmp_path)
    office.listen()
    yield office
    office.close()


@pytest.fixture
def receiver(rt: Rt) -> Iterator[Receiver]:
    receiver = Receiver(rt.hook_port)
    yield receiver
    receiver.close()


@pytest.fixture
def make_tracker(rt: Rt, receiver: Receiver) -> Iterator[Callable[..., RequestTracker]]:
    """make_tracker(who="staff", scope=..., ...) -> the adapter alone; nobody listens to what RT's webhook tells."""
    with ExitStack() as stack:

        def make(who: str = "connector", **more: Any) -> RequestTracker:
            settings: dict[str, Any] = {
                "url": rt.url,
                "token": lambda: rt.tokens[who],
                "scope": f"Queue = '{QUEUE}'",
                "fields": ["Receipt Number", "NCSC Called At"],
                "time_zone": MARIAS_TIME,
                "clock": lambda: utc_now() + timedelta(minutes=1),  # what was just changed is no news any more
            }
            made = RequestTracker(**(settings | more))
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def tracker(make_tracker: Callable[..., RequestTracker]) -> RequestTracker:
    return make_tracker()


@pytest.fixture
def beside(rt: Rt, tmp_path: Path) -> Iterator[Beside]:
    connector = Beside(tmp_path, rt)
    yield connector
    connector.close()
