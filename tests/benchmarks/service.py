"""The connector as a process of its own, as it is shipped, with a clock that the benchmark moves."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import requests

from tests.benchmarks.payloads import SECRET
from tests.benchmarks.processes import Child, wait_until
from tests.benchmarks.tracker import TOKEN, USER
from tests.system.office import MAPPING

SOURCE = "cases"


class Service:
    """`connector run` on `folder`, with one source at `tracker`. Use as a context: it ends with the block."""

    def __init__(self, folder: Path, tracker: str, database_url: str, *, hands: int = 4, now: datetime) -> None:
        self.folder = folder
        self._clock = folder / "clock"
        self.set_clock(now)
        self.mappings = mappings = folder / "mappings"
        mappings.mkdir(exist_ok=True)
        (mappings / "token").write_text(TOKEN)
        (mappings / "webhook-secret").write_text(SECRET)
        (mappings / f"{SOURCE}.yaml").write_text(MAPPING.format(url=tracker, user=f"user: {USER}"))
        self._environment: Mapping[str, str] = {
            "CONNECTOR_MAPPINGS": str(mappings),
            "CONNECTOR_DATABASE_URL": database_url,
            "CONNECTOR_LISTEN": "127.0.0.1:0",
            "CONNECTOR_LOG_FORMAT": "json",
            "CONNECTOR_WORKERS": str(hands),
            "CONNECTOR_POLL_SECONDS": "86400",  # the poll of the start is the only one
        }
        self.url = ""
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self) -> "Service":
        self.started = time.monotonic()
        self.process = Child(["-m", "tests.benchmarks.moved", str(self._clock), "run"], self.folder, self._environment)
        try:
            wait_until(self._listens, "the connector listens", pause=0.002)
        except BaseException:
            self.process.stop()
            raise
        self.listening_after = time.monotonic() - self.started
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()
        self._session.close()

    def set_clock(self, now: datetime) -> None:
        """The process's clock runs on from there."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(repr((now - datetime.now(UTC)).total_seconds()))
        fresh.replace(self._clock)

    def is_ready(self) -> bool:
        return self._session.get(f"{self.url}/readyz", timeout=10).status_code == 200

    def metric(self, name: str) -> float:
        """The sum of that metric's samples."""
        text = self._session.get(f"{self.url}/metrics", timeout=10).text
        return sum(float(value) for value in re.findall(rf"(?m)^{name}(?:{{.*}})? (\S+)$", text))

    def _listens(self) -> bool:
        if not self.process.alive:
            raise RuntimeError(f"the connector ended:\n{self.process.log.read_text()[-2000:]}")
        line = next((each for each in self.process.log.read_text().splitlines() if "connector started" in each), "")
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
        self.url = address[0] if address else ""
        return bool(self.url)
