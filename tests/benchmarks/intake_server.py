"""The product's web application on a server of choice: what the intake benchmark measures, as a process.

    python -m tests.benchmarks.intake_server waitress|granian|gunicorn DATABASE_URL|bare

`bare` reads the body, checks the signature, finds the ticket's id, counts and logs, and stores nothing. Prints the
address once it listens, and serves until SIGTERM. waitress is the product's own server (connector/web/server.py) with
its settings; the others get as many threads as there are clients.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from connector.metrics import Metrics
from connector.store import Store, open_database
from connector.telemetry import configure
from connector.trackers.jira_webhooks import read_news, verify
from connector.web.app import create_app
from connector.web.server import WebServer
from connector.web.webhooks import WebSource
from tests.benchmarks.payloads import SECRET

THREADS = 16
DATABASE = "BENCHMARK_DATABASE"  # the environment's name for it: workers of other servers are processes of their own


def main() -> None:
    server, os.environ[DATABASE] = sys.argv[1:]
    {"waitress": on_waitress, "granian": on_granian, "gunicorn": on_gunicorn}[server]()


def make_app() -> Callable[..., Iterable[bytes]]:
    """The WSGI application as the service makes it, its store or none behind it."""
    configure("json")
    url = os.environ[DATABASE]
    store: Any = _Nothing() if url == "bare" else Store(open_database(url, exclusive=True))
    sources = {"cases": WebSource("cases", lambda: [SECRET], verify, read_news)}
    return create_app(sources, store, Metrics(sources), lambda: datetime.now(UTC), _no_health, on_notice=lambda _: None)


def make_loop_app() -> Callable[..., Iterable[bytes]]:
    """The name that granian imports."""
    return make_app()


class _Nothing:
    """A store that keeps nothing, of which webhooks use two parts."""

    def __init__(self) -> None:
        self.attention = self.sources = self

    def notice(self, *_: object, **__: object) -> None:
        """Keep nothing."""

    heard = notice


def _no_health() -> Any:
    raise NotImplementedError("nobody asks for health here")


def on_waitress() -> None:
    server = WebServer(make_app(), "127.0.0.1", 0)
    server.start()
    _say(server.url)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    while not ended.wait(0.2):
        pass
    server.stop()


def on_granian() -> None:
    from granian import Granian  # noqa: PLC0415  each server is loaded only where it is measured
    from granian.constants import Interfaces  # noqa: PLC0415  as above

    port = _free_port()
    server = Granian(
        "tests.benchmarks.intake_server:make_loop_app",
        factory=True,
        interface=Interfaces.WSGI,
        address="127.0.0.1",
        port=port,
        workers=1,
        blocking_threads=THREADS,
        log_enabled=False,
    )
    _say(f"http://127.0.0.1:{port}")
    server.serve()


def on_gunicorn() -> None:
    from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]  # noqa: PLC0415  as above

    port = _free_port()

    class Application(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
        def load_config(self) -> None:
            for name, value in {
                "bind": f"127.0.0.1:{port}",
                "worker_class": "gthread",
                "workers": 1,
                "threads": THREADS,
                "keepalive": 30,
                "loglevel": "critical",
            }.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return make_app()

    _say(f"http://127.0.0.1:{port}")
    Application().run()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _say(url: str) -> None:
    print(url, flush=True)  # noqa: T201  whoever started this waits for it


if __name__ == "__main__":
    main()
