"""The real server on a real store: nothing between the test and them but HTTP on loopback."""

import hashlib
import hmac
import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import structlog

from connector.metrics import Metrics
from connector.store import Store, open_database
from connector.telemetry import configure
from connector.trackers.jira_webhooks import read_news, verify
from connector.web.app import create_app
from connector.web.health import Limits, read_health, read_snapshots
from connector.web.server import WebServer
from connector.web.webhooks import WebSource

SECRET = "It's a Secret to Everybody"
NOW = datetime(2026, 3, 1, 15, 15, tzinfo=UTC)
SOURCE = "case"

# What a body may hold and nothing else may show.
PERSONAL = ("WAC1512350123", "012345678", "Maria Lopez", "maria.lopez@example.org", "Please advise on the status")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Service:
    """A running web server, and what stands around it."""

    store: Store
    metrics: Metrics
    now: datetime = NOW
    secrets: list[str] = field(default_factory=lambda: [SECRET])
    read_secrets: Callable[[], list[str]] | None = None  # instead of `secrets`
    tell: Callable[[str], object] | None = None  # called besides noting in `woken`
    woken: list[str] = field(default_factory=list)
    log: io.StringIO = field(default_factory=io.StringIO)
    misconfigured: dict[str, str] = field(default_factory=dict)
    server: WebServer = field(init=False)

    def clock(self) -> datetime:
        return self.now

    def on_notice(self, source: str) -> None:
        self.woken.append(source)
        if self.tell is not None:
            self.tell(source)

    def current_secrets(self) -> list[str]:
        return list(self.secrets) if self.read_secrets is None else self.read_secrets()

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own."""
        host, _, port = self.server.url.removeprefix("http://").rpartition(":")
        connection = HTTPConnection(host, int(port), timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def post(self, body: bytes, path: str = f"/webhooks/{SOURCE}", **headers: str) -> Answer:
        """A webhook signed with the secret, as Jira sends it. Headers by keyword: X_Hub_Signature="..."."""
        given = {"Content-Type": "application/json; charset=UTF-8", "X-Hub-Signature": signature(body)}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", path, body, given)

    def due(self) -> set[str]:
        """The ids of the tickets that are due."""
        claims = self.store.attention.claim(self.now, {SOURCE: 10_000}, timedelta(0))
        return {claim.ticket_id for claim in claims}

    def counted(self) -> dict[tuple[str, str, str], int]:
        """(source, result, event) -> requests."""
        found = {}
        for line in self.request("GET", "/metrics").body.decode().splitlines():
            if line.startswith("connector_webhooks_total{"):
                labels, _, value = line.partition("{")[2].rpartition("} ")
                event, result, source = (part.partition("=")[2].strip('"') for part in labels.split(","))
                found[source, result, event] = int(float(value))
        return {series: count for series, count in found.items() if count}


def signature(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def event(ticket_id: int | str = 10001, name: str = "jira:issue_updated", **more: Any) -> bytes:
    """A payload of Jira Cloud, full of what must not leak."""
    receipt, alien, person, email, text = PERSONAL
    fields = {"summary": person, "customfield_10050": receipt, "customfield_10051": "A" + alien, "description": text}
    issue = {"id": str(ticket_id), "key": f"CASE-{ticket_id}", "fields": fields}
    payload = {
        "timestamp": 1772378100000,
        "webhookEvent": name,
        "issue": issue,
        "user": {"emailAddress": email},
        **more,
    }
    return json.dumps(payload).encode()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(open_database(f"sqlite:///{tmp_path}/connector.sqlite3", exclusive=True))
    yield opened
    opened.close()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log of the process, as production writes it; afterwards the process is as it was."""
    root = logging.getLogger()
    handlers, level, hooks = list(root.handlers), root.level, (sys.excepthook, threading.excepthook)
    stream = io.StringIO()
    configure("json", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()


@pytest.fixture
def start(store: Store, log: io.StringIO) -> Iterator[Callable[[], Service]]:
    """Starts the service (a test may change what stands around it first); stopped afterwards."""
    started: list[Service] = []

    def start() -> Service:
        metrics = Metrics([SOURCE], snapshot=lambda: read_snapshots(store, [SOURCE], running.now))
        running = Service(store, metrics, log=log)
        limits = Limits(poll_seconds=300, started_at=NOW)
        app = create_app(
            {SOURCE: WebSource(SOURCE, running.current_secrets, verify, read_news)},
            store,
            metrics,
            running.clock,
            lambda: read_health(store, [SOURCE], running.now, limits, running.misconfigured),
            on_notice=running.on_notice,
        )
        running.server = WebServer(app, "127.0.0.1", 0)
        running.server.start()
        started.append(running)
        return running

    yield start
    for running in started:
        running.server.stop()


@pytest.fixture
def service(start: Callable[[], Service]) -> Service:
    return start()
