"""`connector run` and `connector demo`: what goes on until a signal ends it."""

import signal
import threading

import click

from connector.commands.common import failures_told, quiet_logs, read_settings, see_that_there_are_mappings


@click.command(short_help="The service: webhooks, polls, attention.")
@failures_told
def run() -> None:
    """Run the service: receive webhooks, poll, and attend to every open ticket, in one process.

    It starts at once, however many tickets are open. SIGTERM or Ctrl-C finishes the tickets in hand and ends it.
    Watch it at /livez, /readyz and /metrics of CONNECTOR_LISTEN. It logs to standard error.

    \b
    Example:
      export JIRA_TOKEN=... JIRA_WEBHOOK_SECRET=...
      connector check && connector run
    """
    from connector.application import Service  # noqa: PLC0415  on demand
    from connector.telemetry import configure  # noqa: PLC0415  on demand

    stop = _stop_signals()
    settings = read_settings()
    configure(settings.log_format)
    see_that_there_are_mappings(settings.mappings)
    service = Service(settings)
    try:
        service.start()
        stop.wait()
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

    stop = _stop_signals()
    quiet_logs()
    with Demo(port) as running:
        click.echo(running.welcome())
        while not stop.is_set():
            for line in running.news():
                click.echo(line)
            stop.wait(0.2)


def _stop_signals() -> threading.Event:
    """Set by SIGTERM or Ctrl-C, from now on."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
