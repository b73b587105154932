"""People and programs around the one Request Tracker of the run (tests/live/running.py)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from connector.application import utc_now
from connector.trackers import request_tracker
from connector.trackers.request_tracker import RequestTracker
from tests.live.beside import Beside
from tests.live.request_tracker import MARIAS_TIME, QUEUE, Office, Receiver, Rt
from tests.live.running import second_server


@pytest.fixture(scope="session")
def uncounted(rt: Rt) -> Iterator[str]:
    """The address at which RT looks at rights after its searches, not in them: hidden tickets leave pages short or
    empty, and no total is told."""
    with second_server(rt, "Set($UseSQLForACLChecks, 0);") as url:
        yield url


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
def make_tracker(
    rt: Rt, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., RequestTracker]]:
    """make_tracker(who="staff", scope=..., ...) -> the adapter alone; nobody listens to what RT's webhook tells.

    What was just changed is no news to it any more.
    """
    monkeypatch.setattr(request_tracker, "RIPE", timedelta(0))
    with ExitStack() as stack:

        def make(who: str = "connector", **more: Any) -> RequestTracker:
            settings: dict[str, Any] = {
                "url": rt.url,
                "token": lambda: rt.tokens[who],
                "scope": f"Queue = '{QUEUE}'",
                "fields": ["Receipt Number", "NCSC Called At"],
                "time_zone": MARIAS_TIME,
                "clock": utc_now,
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
