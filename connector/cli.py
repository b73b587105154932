"""The command line. Tables for people, --json for programs; errors say what to do and end with status 1."""

import io
import sys

import click

from connector import __version__
from connector.commands import backfill, checking, database, service, setup, sources, tickets


class InOrder(click.Group):
    """Lists its commands in the order in which one comes to need them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click gives it
        return list(self.commands)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="connector")
def main() -> None:
    """Walk tickets of pending immigration cases along the USCIS Service Center inquiry procedure.

    \b
    Start here:
      connector demo           see it work on a practice tracker, nothing to set up
      connector provision      create what your tracker lacks: fields, webhook
      connector discover       draft a mapping from what your tracker has
      connector check          find the mistakes in your field mapping
      connector check --live   find what is wrong in your tracker
      connector simulate       what would happen on one ticket, without a tracker
      connector backfill --dry-run
                               what would happen on every open ticket
      connector run            the service: webhooks and attention
      connector web, work      the same in many processes, on PostgreSQL

    \b
    Settings come from the environment:
      CONNECTOR_MAPPINGS       mapping file, or folder of them (default field_mappings/)
      CONNECTOR_DATABASE_URL   default sqlite:///connector.sqlite3, a file in this folder; or
                               postgresql://user@host/name for many processes
      CONNECTOR_LISTEN         address of webhooks and health (default 127.0.0.1:8080)
      CONNECTOR_PUBLIC_URL     where trackers reach it from outside: https://your-address
      CONNECTOR_POLL_SECONDS   how often to look for changes no webhook told (default 300)
      CONNECTOR_WORKERS        tickets of each source attended to at the same time (default 4)
      CONNECTOR_LOG_FORMAT     console or json (default: console on a terminal)
      CONNECTOR_HEARTBEAT_URL  asked for every minute while all is well (default: none)
      CONNECTOR_SENTRY_DSN     where errors are sent, nothing personal in them (default: none)
      OTEL_EXPORTER_OTLP_ENDPOINT and others: spans for OpenTelemetry, by its own variables

    \b
    Every command ends with status 0 if all went well, 1 if something is wrong (and says what),
    2 if it was called in a wrong way.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows ? instead


for _command in (
    setup.provision,
    setup.discover,
    checking.check,
    checking.simulate,
    backfill.backfill,
    service.run,
    service.web,
    service.work,
    database.db,
    tickets.explain,
    tickets.tickets,
    sources.poll,
    tickets.retry,
    sources.release,
    service.demo,
):
    main.add_command(_command)
