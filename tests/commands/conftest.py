"""Commands as a person types them: in this process for speed, as processes of their own where that matters."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from connector.cli import main
from connector.practice.clock import PracticeClock
from connector.practice.sample import CONNECTOR_TOKEN, blank_world
from connector.practice.server import PracticeServer
from connector.practice.world import Issue
from connector.store import Store, open_database
from tests.commands.samples import mapping_text

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Invoke]:
    """invoke("check", path) -> Result, in an empty folder and without settings.

    Logging and signals are afterwards as they were before.
    """
    for name in [name for name in os.environ if name.startswith(("CONNECTOR_", "JIRA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
    level, handlers = root.level, list(root.handlers)
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*words: object) -> Result:
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        return result

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    for number, handler in signals.items():
        signal.signal(number, handler)
    structlog.reset_defaults()


class Office:
    """A practice tracker over HTTP, a mapping for it in the folder `field_mappings`, and a database beside it."""

    def __init__(self, folder: Path, server: PracticeServer) -> None:
        self.folder, self.server, self.world = folder, server, server.world
        self.mappings = folder / "field_mappings"
        self.mappings.mkdir()
        (folder / "token").write_text(CONNECTOR_TOKEN, encoding="utf-8")
        self.add_mapping()

    def add_mapping(self, name: str = "cases", **changes: str) -> Path:
        path = self.mappings / f"{name}.yaml"
        settings: dict[str, Any] = {"url": self.server.url, "token": f"{{file: {self.folder / 'token'}}}"} | changes
        path.write_text(mapping_text(**settings), encoding="utf-8")
        return path

    def make_database(self) -> None:
        """As a first `connector run` leaves it."""
        Store(open_database(f"sqlite:///{self.folder / 'connector.sqlite3'}", exclusive=True)).close()

    def store(self) -> Store:
        return Store(open_database(f"sqlite:///{self.folder / 'connector.sqlite3'}", exclusive=False))

    def case(self, **fields: Any) -> Issue:
        """A ticket that is ready for the call, but for what `fields` say."""
        given = {"Receipt_Number": "LIN2590011223", "A-Number": "A200555027", "Form_Type": "I-485"} | fields
        return self.world.add_issue("CASE", summary="Marchetti, Paolo", **given)

    @property
    def changes(self) -> list[str]:
        """The calls that changed something at the tracker."""
        asked = {"/rest/api/2/jql/match", "/rest/api/2/issue/bulkfetch"}
        return [each.path for each in self.server.requests if each.method != "GET" and each.path not in asked]


@pytest.fixture
def office(tmp_path: Path, invoke: Invoke) -> Iterator[Office]:
    with PracticeServer(blank_world(PracticeClock())) as server:  # the clock of the machine, as commands have it
        yield Office(tmp_path, server)


def json_of(result: Result) -> Any:
    """What the command printed, which must be JSON and nothing else."""
    return json.loads(result.stdout)


class Process:
    """A command as a process of its own. What it writes is read while it runs."""

    def __init__(self, *words: str, folder: Path, **environment: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONNECTOR_", "JIRA_"))}
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "connector", *words],
            cwd=folder,
            env=kept | {"PYTHONUNBUFFERED": "1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._written: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._readers = [
            threading.Thread(target=self._read, args=(name, stream))
            for name, stream in (("stdout", self._popen.stdout), ("stderr", self._popen.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, stream: Any) -> None:
        with stream:
            for line in stream:
                self._written[name].append(line)

    @property
    def stdout(self) -> str:
        return "".join(self._written["stdout"])

    @property
    def stderr(self) -> str:
        return "".join(self._written["stderr"])

    def signal(self, number: int) -> None:
        self._popen.send_signal(number)

    def wait(self, seconds: float = 15) -> int:
        """The exit status, once it has ended and all that it wrote is read."""
        status = self._popen.wait(seconds)
        for reader in self._readers:
            reader.join()
        return status

    def close(self) -> None:
        if self._popen.poll() is None:
            self._popen.kill()
        self.wait()


def until(what: Callable[[], Any], seconds: float = 15) -> Any:
    """What it returns as soon as that is true; fails after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.03)
    raise AssertionError(f"not so within {seconds} seconds")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """start("run", CONNECTOR_LISTEN=...) -> Process, in the test's folder; killed when the test ends."""
    with ExitStack() as stack:

        def starting(*words: str, **environment: str) -> Process:
            process = Process(*words, folder=tmp_path, **environment)
            stack.callback(process.close)
            return process

        yield starting


Start = Callable[..., Process]
