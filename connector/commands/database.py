"""`connector db`: the tables of the database, brought up to date and looked over."""

import sys
from dataclasses import asdict

import click

from connector.commands.common import AS_JSON, failures_told, quiet_logs, read_settings


@click.group(short_help="The database: bring it up to date, look it over.")
def db() -> None:
    """Bring the tables of CONNECTOR_DATABASE_URL up to date, or look the database over.

    `connector run` brings them up to date by itself. Before `connector web` and `connector work` of a later version are
    started, `connector db upgrade` does; processes of the version before go on working beside it.

    \b
    Examples:
      connector db upgrade
      connector db check --json
    """


@db.command(short_help="Bring the tables up to date.")
@failures_told
def upgrade() -> None:
    """Bring the tables up to date with this version. Twice in a row changes nothing.

    On PostgreSQL it may be run while nodes of the version before are at work, and by several machines at once. On
    SQLite no `connector run` may be using the file.
    """
    from connector.store.checking import upgrade as bring_up_to_date  # noqa: PLC0415  on demand

    quiet_logs()
    before, after = bring_up_to_date(read_settings().database_url)
    if before == after:
        click.echo(f"The tables are up to date ({after}).")
    else:
        click.echo(f"The tables were brought from {before or 'nothing'} to {after}.")


@db.command(short_help="Find what is wrong with the database.")
@AS_JSON
@failures_told
def check(as_json: bool) -> None:
    """Look the database over: reachable, writable, its tables, its server or file. Changes nothing.

    Ends with status 1 if something is to be done, and says what.
    """
    from connector.commands.showing import print_json  # noqa: PLC0415  on demand
    from connector.store.checking import check as look_over  # noqa: PLC0415  on demand

    quiet_logs()
    findings = look_over(read_settings().database_url)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mark = "ok " if finding.advice is None else "!! "
            click.echo(f"{mark} {finding.what}: {finding.found}" + (f" - {finding.advice}" if finding.advice else ""))
    if any(finding.advice for finding in findings):
        sys.exit(1)
