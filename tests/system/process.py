"""One `connector run` after the other on one folder: started, watched, stopped, killed."""

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("child.py")
SOURCE = "cases"
PATIENCE = 30.0  # seconds until a test gives up waiting


def wait_for(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Return as soon as the condition holds; AssertionError with `what` if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain until {what}"
        time.sleep(0.02)


class Connector:
    """`folder` holds its mapping, its secrets, its database and the output of each of its processes."""

    def __init__(self, folder: Path, clock_file: Path) -> None:
        self.folder, self.clock_file = folder, clock_file
        self.mappings = folder / "mappings"
        self.mappings.mkdir()
        self.database = folder / "connector.sqlite3"
        self.outputs: list[Path] = []
        self.log_format = "json"
        self.beat = 0.1
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._session = requests.Session()
        self._session.trust_env = False

    # Life

    def launch(self, deaths: Sequence[str] = ()) -> None:
        """Start a process, and do not wait for it. `deaths`: see child.py."""
        assert not self.alive
        output = self.folder / f"output-{len(self.outputs) + 1}.log"
        self.outputs.append(output)
        options = [f"--die={where}" for where in deaths]
        command = [sys.executable, str(CHILD), str(self.clock_file), f"--beat={self.beat}", *options, "run"]
        with output.open("wb") as stream:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment(), stdout=stream, stderr=stream, stdin=subprocess.DEVNULL
            )

    def start(self, deaths: Sequence[str] = ()) -> bool:
        """Start a process and wait until it listens. False if it died before."""
        self.launch(deaths)
        wait_for(lambda: self._listens() or not self.alive, "the connector listens")
        return self.alive

    def environment(self) -> dict[str, str]:
        passed = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
        return passed | {
            "PYTHONPATH": str(ROOT),
            "CONNECTOR_MAPPINGS": str(self.mappings),
            "CONNECTOR_DATABASE_URL": f"sqlite:///{self.database}",
            "CONNECTOR_LISTEN": "127.0.0.1:0",
            "CONNECTOR_LOG_FORMAT": self.log_format,
            "CONNECTOR_POLL_SECONDS": "5",
        }

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command beside it, as an operator would type it."""
        command = [sys.executable, str(CHILD), str(self.clock_file), *words]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _listens(self) -> bool:
        line = re.search(rb".*connector started.*\n", self.outputs[-1].read_bytes())
        address = line and re.search(rb"http://127\.0\.0\.1:\d+", line[0])
        self.url = address[0].decode() if address else ""
        return address is not None

    def kill(self) -> None:
        """kill -9, and wait for the end."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """The exit status, once it has ended."""
        assert self._process is not None
        return self._process.wait(PATIENCE)

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        self.terminate()
        return self.wait()

    def close(self) -> None:
        self.kill()
        self._session.close()

    # What it tells

    def get(self, path: str) -> requests.Response:
        return self._session.get(self.url + path, timeout=10)

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> requests.Response:
        return self._session.post(self.url + path, data=body, headers=headers, timeout=10)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name with these labels."""
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            found = re.fullmatch(rf"{name}(\{{.*\}})? (\S+)", line)
            if found and all(f'{label}="{value}"' in (found[1] or "") for label, value in labels.items()):
                total += float(found[2])
        return total

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log lines with that event, of all its processes (JSON format)."""
        lines = [line for output in self.outputs for line in output.read_text().splitlines() if line.startswith("{")]
        return [line for line in map(json.loads, lines) if line.get("event") == event]

    # What it keeps

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)
        try:
            yield connection
        finally:
            connection.close()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._reading() as connection:
            return connection.execute(query, values).fetchall()

    def count(self, query: str, *values: object) -> int:
        return int(self.rows(query, *values)[0][0])

    def is_busy(self, now: datetime) -> bool:
        """A ticket is due or in hand."""
        return self.count(f"select count(*) from tickets where attend_at <= {micros(now)} or lease_until > 0") > 0

    def is_held_up(self, now: datetime) -> bool:
        """Nothing is in hand, and what is left to do is done later: after a backoff, a doubt or a pause."""
        if self.count("select count(*) from tickets where lease_until > 0"):
            return False
        if self.count(f"select count(*) from sources where paused_until > {micros(now)}"):
            return True
        postponed = "select count(*) from tickets where attend_at > 0 and (attempts > 0 or not_before > 0)"
        return not self.is_busy(now) and self.count(postponed) > 0

    def lose_database(self) -> None:
        for path in self.folder.glob("connector.sqlite3*"):
            path.unlink()

    def copy_database(self, to: Path) -> None:
        """The file and its log, of a connector that is stopped."""
        to.mkdir()
        for path in self.folder.glob("connector.sqlite3*"):
            shutil.copy(path, to)

    def restore_database(self, kept: Path) -> None:
        self.lose_database()
        for path in kept.iterdir():
            shutil.copy(path, self.folder)


def micros(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)
