"""`connector run` and `connector demo`: what goes on until a signal ends it."""

import signal
import time

import click

from connector.commands.common import failures_told, quiet_logs, read_settings, see_that_there_are_mappings

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
    from connector.application import Service  # noqa: PLC0415  on demand
    from connector.telemetry import configure  # noqa: PLC0415  on demand

    stop = StopSignals()
    settings = read_settings()
    configure(settings.log_format)
    see_that_there_are_mappings(settings.mappings)
    service = Service(settings, look_over_setup=True)
    try:
        service.start()
        while not stop.received:
            time.sleep(STOP_SECONDS)
    finally:
        service.stop()


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
