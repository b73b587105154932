"""The heartbeat as the service that counts on it sees it."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from structlog.testing import capture_logs

from connector.heartbeat import Heartbeat
from tests.serving import serving

SECRET = "5ecret-5ecret"


class Listener:
    """Counts what it is asked for on 127.0.0.1, and answers `status`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                listener.asked.append(self.path)
                self.send_response(listener.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/ping/{SECRET}"


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    with serving(made.server):
        yield made


@pytest.fixture
def beat() -> Iterator[Callable[..., tuple[Heartbeat, list[str]]]]:
    """beat(url, is_well) -> one that is beating quickly, and what it told; stopped at the end."""
    made: list[Heartbeat] = []

    def start(url: str, is_well: Callable[[], bool]) -> tuple[Heartbeat, list[str]]:
        told: list[str] = []
        made.append(Heartbeat(url, is_well, tell=told.append, every=0.02))
        made[-1].start()
        return made[-1], told

    yield start
    for each in made:
        each.stop()


def eventually(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < end, "it has not come"
        time.sleep(0.005)


def test_it_beats_while_all_is_well_and_no_longer(
    listener: Listener, beat: Callable[..., tuple[Heartbeat, list[str]]]
) -> None:
    well = [True]
    _, told = beat(listener.url, lambda: well[0])
    eventually(lambda: told.count("sent") >= 2)
    assert set(listener.asked) == {f"/ping/{SECRET}"}
    well[0] = False
    eventually(lambda: told[-1] == "held_back")
    before = len(listener.asked)
    eventually(lambda: told.count("held_back") >= 4)
    assert len(listener.asked) == before
    well[0] = True
    eventually(lambda: len(listener.asked) > before)


def test_health_that_cannot_be_read_is_not_well(
    listener: Listener, beat: Callable[..., tuple[Heartbeat, list[str]]]
) -> None:
    def fail() -> bool:
        raise RuntimeError("WAC1512350123")

    _, told = beat(listener.url, fail)
    eventually(lambda: len(told) >= 2)
    assert set(told) == {"held_back"}
    assert listener.asked == []


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_refused_beat_is_told_by_its_status_alone(
    listener: Listener, beat: Callable[..., tuple[Heartbeat, list[str]]], status: int
) -> None:
    listener.status = status
    with capture_logs() as logs:
        _, told = beat(listener.url, lambda: True)
        eventually(lambda: len(told) >= 3)
    assert set(told) == {"failed"}
    assert "/elsewhere" not in listener.asked
    warnings = [line for line in logs if line["event"] == "heartbeat"]
    assert [(line["outcome"], line["reason"]) for line in warnings] == [("failed", f"answered {status}")]  # once


@pytest.mark.parametrize("url", [f"http://127.0.0.1:9/{SECRET}", f"http://no-such-host.invalid/{SECRET}"])
def test_a_beat_that_does_not_arrive_shows_nothing_of_its_url(
    url: str, beat: Callable[..., tuple[Heartbeat, list[str]]], caplog: pytest.LogCaptureFixture
) -> None:
    shown = io.StringIO()
    with capture_logs() as logs:
        _, told = beat(url, lambda: True)
        eventually(lambda: told)
        print(logs, caplog.text, file=shown)
    assert told[0] == "failed"
    assert "no answer" in shown.getvalue()
    assert SECRET not in shown.getvalue()


def test_stopping_waits_for_no_server(
    beat: Callable[..., tuple[Heartbeat, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.heartbeat.JOIN_SECONDS", 0.1)
    asked = threading.Event()

    def hang() -> bool:
        asked.set()
        time.sleep(0.5)
        return False

    beating, told = beat("http://127.0.0.1:9/", hang)
    assert asked.wait(5)
    began = time.monotonic()
    beating.stop()
    assert time.monotonic() - began < 0.4
    assert told == []


def test_one_that_never_began_can_be_stopped() -> None:
    Heartbeat("http://127.0.0.1:9/", lambda: True).stop()
