"""`connector run`, `web`, `work` and `demo`: what goes on until a signal ends it."""

import os
import signal
import time
from typing import TYPE_CHECKING

import click

from connector.commands.common import (
    Failure,
    failures_told,
    quiet_logs,
    read_settings,
    see_that_there_are_mappings,
)

if TYPE_CHECKING:
    from connector.web.health import Role

STOP_SECONDS = 0.2  # how soon a signal is noticed


@click.command(short_help="The service: webhooks, polls, attention.")
@failures_told
def run() -> None:
    """Run the service: receive webhooks, poll, and attend to every open ticket, in one process.

    It starts at once, however many tickets are open. SIGTERM or Ctrl-C finishes the tickets in hand and ends it.
    Watch it at /livez, /readyz and /metrics of CONNECTOR_LISTEN. It logs to standard error. At its start and every
    hour it looks over the trackers as `connector check --live` does; what is broken is logged, and /readyz tells of a
    source that cannot work at all, without stopping the others.

    \b
    Example:
      export JIRA_TOKEN=... JIRA_WEBHOOK_SECRET=...
      connector check && connector run
    """
    serve("run")


@click.command(short_help="One part of the service: takes webhooks in.")
@failures_told
def web() -> None:
    """Take webhooks in, and leave the tickets to `connector work`. Any number of both, on one PostgreSQL.

    A webhook is answered once it is noted durably; workers on other machines hear of it at once. It needs the secrets
    of webhooks alone, and makes no call to a tracker. /readyz tells whether it can note webhooks, not whether anybody
    attends to the tickets.

    \b
    Example:
      export CONNECTOR_DATABASE_URL=postgresql://connector@db/connector
      connector db upgrade && connector web
    """
    serve("web")


@click.command(short_help="One part of the service: attends to tickets.")
@failures_told
def work() -> None:
    """Poll, and attend to every open ticket. Any number of them, on one PostgreSQL, beside `connector web`.

    No ticket is ever in the hands of two; when one is killed, another goes on with its tickets. CONNECTOR_LISTEN is
    where it answers /livez, /readyz and /metrics; it takes no webhooks.

    \b
    Example:
      export CONNECTOR_DATABASE_URL=postgresql://connector@db/connector
      connector db upgrade && connector work
    """
    serve("work")


def serve(role: "Role") -> None:
    """Be one process of the service until a signal ends it."""
    from connector.observing import observe  # noqa: PLC0415  on demand
    from connector.service import Service  # noqa: PLC0415  on demand
    from connector.telemetry import configure  # noqa: PLC0415  on demand

    stop = StopSignals()
    settings = read_settings()
    configure(settings.log_format)
    if role != "run" and settings.database_url.startswith("sqlite"):
        raise Failure(
            f"connector {role} needs PostgreSQL, which many processes can share: set CONNECTOR_DATABASE_URL to "
            "postgresql://..., or use `connector run`, which does everything in one process"
        )
    see_that_there_are_mappings(settings.mappings)
    observing = observe(settings.sentry_dsn, os.environ)
    try:
        service = Service(settings, role=role, look_over_setup=True)
        try:
            service.start()
            while not stop.received:
                time.sleep(STOP_SECONDS)
        finally:
            service.stop()
    finally:
        observing.stop()


@click.command(short_help="See it work, with nothing to set up.")
@click.option(
    "--port",
    default=8090,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port of the practice page; 0 takes any free one.",
)
@failures_told
def demo(port: int) -> None:
    """See it work: a practice tracker with sample cases and the connector beside it, on this machine only.

    Open the printed address, edit a ticket, move the clock by days, and watch comments and statuses arrive. Nothing is
    kept, and nothing leaves this machine. Ctrl-C ends it.

    \b
    Examples:
      connector demo
      connector demo --port 0
    """
    from connector.demo import Demo  # noqa: PLC0415  the practice tracker is loaded for nobody else

    stop = StopSignals()
    quiet_logs()
    with Demo(port) as running:
        click.echo(running.welcome())
        while not stop.received:
            for line in running.news():
                click.echo(line)
            time.sleep(STOP_SECONDS)


class StopSignals:
    """Whether SIGTERM or Ctrl-C has come since this was made.

    A plain flag, looked at again and again: a thread that waits for an event without end can sleep through a signal
    that comes just before it does, and setting the event in the handler can wait for a lock that this thread holds.
    """

    def __init__(self) -> None:
        self.received = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def _receive(self, *_: object) -> None:
        self.received = True
