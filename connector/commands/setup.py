"""`connector provision` and `connector discover`, and the live half of `connector check`: setting a tracker up.

What a command needs is loaded when it runs.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from connector.commands.common import AS_JSON, Failure, failures_told, quiet_logs, read_settings
from connector.mapping.loading import Mistake, load_mapping, load_mappings
from connector.mapping.schema import Mapping, Secret, TrackerSettings
from connector.settings import Settings
from connector.trackers.port import AccessRefused

if TYPE_CHECKING:
    from connector.store import SourceState
    from connector.trackers.setup_port import Finding, OpenSetup, Task, Wanted

WEBHOOK_URL = click.option(
    "--webhook-url",
    metavar="URL",
    help="Where the tracker reaches the connector: https://your-address, or all of it with /webhooks/SOURCE. "
    "CONNECTOR_PUBLIC_URL spares it.",
)
USER = click.option(
    "--user", metavar="NAME", help="Do it as this account, for instance an administrator, just this once."
)
TOKEN_ENV = click.option(
    "--token-env",
    metavar="VARIABLE",
    help="The environment variable with that account's token; never the token itself. Goes with --user.",
)


# provision


@click.command(short_help="Create what the tracker lacks: fields, webhook.")
@click.argument("source_name", metavar="SOURCE")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@WEBHOOK_URL
@click.option("--yes", is_flag=True, help="Do it without asking first.")
@USER
@TOKEN_ENV
@AS_JSON
@failures_told
def provision(
    source_name: str,
    dry_run: bool,
    webhook_url: str | None,
    yes: bool,
    user: str | None,
    token_env: str | None,
    as_json: bool,
) -> None:
    """Create what the mapping of SOURCE needs and its tracker lacks.

    That is: fields of the right kind with a sentence of help, their choices, their place on the screens, and the
    webhook. What cannot be made by command is told with the steps to do it by hand. It says first what it will do,
    and asks. Run it as often as you like: what is there stays as it is, and nothing is ever deleted.

    Creating fields takes an administrator's rights, which the connector's own account should not have for good. Let an
    administrator's account do it: --user and --token-env (--token-env alone for a personal access token).

    \b
    Examples:
      connector provision cases --dry-run
      connector provision cases --webhook-url https://connector.example.org
    """
    if as_json and not (dry_run or yes):
        raise click.UsageError("--json cannot ask; say --dry-run or --yes with it")
    quiet_logs()
    mapping = load_mapping(path_of(source_name))
    mapping = replace(mapping, tracker=_as_account(mapping.tracker, user, token_env))

    from connector.setup.connect import setup_of  # noqa: PLC0415  on demand
    from connector.setup.provision import lacking, plan_text  # noqa: PLC0415  on demand
    from connector.setup.wanted import wanted_of  # noqa: PLC0415  on demand

    url = _webhook_of(mapping, webhook_url)
    with _lending_told(token_env), closing(setup_of(mapping)) as setup:
        wanted = wanted_of(mapping, url)
        tasks = setup.plan(wanted)
        if not as_json:
            click.echo(plan_text(tasks))
            click.echo()
        to_make = lacking(tasks)
        if dry_run or not to_make:
            _tell_nothing_done(tasks, as_json=as_json)
            return
        if not yes:
            click.confirm(f"Make these {len(to_make)} in {mapping.tracker.url} now?", abort=True)
        _make(setup, wanted, tasks, as_json=as_json)


def _tell_nothing_done(tasks: Sequence["Task"], *, as_json: bool) -> None:
    from connector.setup.provision import by_hand, lacking, task_json  # noqa: PLC0415  on demand

    if as_json:
        _print_json({"tasks": [task_json(task) for task in tasks], "made": [], "failed": None})
    elif lacking(tasks):
        click.echo("Nothing was changed.")
    else:
        rest = len(by_hand(tasks))
        done = "Nothing is left that a command could make."
        click.echo(f"{done} By hand: {rest}, as said above." if rest else f"{done} All is there.")


def _make(setup: "OpenSetup", wanted: "Wanted", tasks: Sequence["Task"], *, as_json: bool) -> None:
    from connector.setup.provision import by_hand, carry_out, plan_text, task_json  # noqa: PLC0415  on demand

    done = carry_out(setup, wanted, tasks, lambda task: None if as_json else click.echo(f"made: {task.what}"))
    after = tasks if done.failed else setup.plan(wanted)
    if as_json:
        failed = {"id": done.failed.id, "reason": done.reason} if done.failed else None
        made = [task.id for task in done.made]
        _print_json({"tasks": [task_json(task) for task in after], "made": made, "failed": failed})
    elif done.failed is None and by_hand(after):
        click.echo(f"\nLeft to do by hand:\n{plan_text(by_hand(after))}")
    elif done.failed is None:
        click.echo("\nAll is there now. Look at it: connector check --live")
    if done.failed:
        what = f"could not be made: {done.failed.what}\n{done.reason}"
        raise Failure(f"{what}\n{len(done.made)} made before that stay. Mend the cause and run this again.")


def _as_account(tracker: TrackerSettings, user: str | None, token_env: str | None) -> TrackerSettings:
    """The tracker with another account for this one command."""
    if token_env is None:
        if user is not None:
            raise click.UsageError("--user needs --token-env: the environment variable with its token")
        return tracker
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", token_env):  # as in a mapping; never quoted: it may be a token
        raise click.UsageError(
            "--token-env takes the name of an environment variable, not the token: letters, digits and _"
        )
    return replace(tracker, user=user, token=Secret(env=token_env))


@contextmanager
def _lending_told(token_env: str | None) -> Iterator[None]:
    """An account that may not is told together with how to lend another one, unless one was lent."""
    try:
        yield
    except AccessRefused as error:
        if token_env is not None:
            raise
        raise Failure(f"{error.message}\n{_HOW_TO_LEND}") from error


_HOW_TO_LEND = (
    "If it takes an administrator: lend that account to this one command with --user NAME --token-env VARIABLE "
    "(--token-env alone for a token that needs no user beside it)."
)


# discover


@click.command(short_help="Draft a mapping from what the tracker has.")
@click.argument("source_name", metavar="SOURCE")
@USER
@TOKEN_ENV
@failures_told
def discover(source_name: str, user: str | None, token_env: str | None) -> None:
    """Look at the tracker's fields and statuses, and print a draft of the mapping for SOURCE.

    SOURCE is a mapping in CONNECTOR_MAPPINGS, or the path of one. It may hold just `tracker` and `scope`: how to reach
    the tracker, and which tickets. What it says of fields, statuses and records already is kept and marked "yours"; the
    rest is drafted. The draft says behind each line how sure it is. What is needed and was not found is left empty for
    you; `connector check` names those lines. Remarks of your own file are not taken over.

    Some trackers show their fields to administrators only. Lend such an account for this one look: --user and
    --token-env (--token-env alone for a token that needs no user beside it).

    \b
    Examples:
      connector discover cases > draft.yaml
      connector discover cases --token-env ADMIN_TOKEN > draft.yaml
    """
    from connector.setup.connect import make_setup  # noqa: PLC0415  on demand
    from connector.setup.discover import NAMED_BY_ID, read_connection  # noqa: PLC0415  on demand
    from connector.setup.draft import draft  # noqa: PLC0415  on demand

    quiet_logs()
    connection = read_connection(path_of(source_name))
    tracker = _as_account(connection.tracker, user, token_env)
    with _lending_told(token_env), closing(make_setup(connection.source, tracker, connection.scope)) as setup:
        text = draft(connection, setup.inventory(), write_ids=connection.tracker.kind in NAMED_BY_ID)
    click.echo(text, nl=False)


# check --live


def check_live(
    target: str | None, *, webhook_url: str | None, user: str | None, token_env: str | None, as_json: bool
) -> None:
    """Look at the live trackers of every source, or of one; ends with status 1 if anything is broken.

    A mapping with mistakes, or a tracker that does not answer, keeps nobody from looking at the others. A lent account
    (`user`, the variable `token_env` with its token) is shown to one tracker alone.
    """
    from connector.setup.live_check import finding_json, findings_text, is_usable  # noqa: PLC0415  on demand

    quiet_logs()
    settings = read_settings()
    mappings, mistakes = _targets(target, settings)
    if token_env is not None and len(mappings) + bool(mistakes) > 1:
        raise click.UsageError("an account is lent to one tracker alone: name its SOURCE with --token-env")
    mappings = [replace(each, tracker=_as_account(each.tracker, user, token_env)) for each in mappings]
    if token_env is not None and not as_json:
        click.echo("Looked at with the account that is lent: what is said of the account is said of that one.\n")
    found = {mapping.source: _findings(mapping, webhook_url, settings) for mapping in mappings}
    if as_json:
        _print_json({name: [finding_json(each) for each in findings] for name, findings in found.items()})
    elif found:
        click.echo("\n\n".join(f"{name}\n{findings_text(findings)}" for name, findings in found.items()))
    for mistake in mistakes:
        click.echo(str(mistake), err=True)
    if mistakes or not all(is_usable(findings) for findings in found.values()):
        sys.exit(1)


def _targets(target: str | None, settings: Settings) -> tuple[list[Mapping], list[Mistake]]:
    """The mappings that are meant: all of the settings, one source's, or those of a folder or file."""
    if target is None:
        return load_mappings(settings.mappings)
    path = path_of(target)
    if not path.exists() and Path(target).is_dir():
        return load_mappings(Path(target))
    return [load_mapping(path)], []


def _findings(mapping: Mapping, webhook_url: str | None, settings: Settings) -> list["Finding"]:
    from connector.setup.live_check import look_over, store_findings  # noqa: PLC0415  on demand

    url = _webhook_of(mapping, webhook_url)
    state, unusable = _state(settings, mapping.source)
    known = unusable or store_findings(state, datetime.now(UTC), poll_seconds=settings.poll_seconds)
    return [*look_over(mapping, url), *known]


def _state(settings: Settings, source: str) -> tuple["SourceState | None", list["Finding"]]:
    """What the database knows of the source, None if there is no database yet; and a finding if it cannot be used."""
    from connector.store import Store, open_database  # noqa: PLC0415  on demand
    from connector.store.errors import DatabaseError, NoDatabase  # noqa: PLC0415  on demand
    from connector.trackers.setup_port import Finding  # noqa: PLC0415  on demand

    try:
        with closing(Store(open_database(settings.database_url, exclusive=False))) as store:
            return store.sources.get(source), []
    except NoDatabase:
        return None, []
    except DatabaseError as error:
        what, breaks = "The connector's database cannot be used.", "`connector run` does not start."
        return None, [Finding("database", "error", what, breaks, str(error))]


# What they share


def path_of(source_name: str) -> Path:
    """The mapping file of a source, or the one whose path is given."""
    given = Path(source_name)
    if given.suffix in {".yaml", ".yml"}:
        return given
    mappings = read_settings().mappings
    return mappings if mappings.is_file() and mappings.stem == source_name else mappings / f"{source_name}.yaml"


def _webhook_of(mapping: Mapping, webhook_url: str | None) -> str | None:
    """Where the tracker reaches the connector: as the option says, or else the settings."""
    from connector.setup.wanted import webhook_of  # noqa: PLC0415  on demand

    if webhook_url:
        return _full_url(webhook_url, mapping.source)
    return webhook_of(mapping.source, read_settings().public_url)


def _full_url(url: str, source: str) -> str:
    """The webhook's address, whether or not its path was given. Raises BadParameter; it may hold no secret."""
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"} or parts.query or parts.fragment or "@" in parts.netloc:
        raise click.BadParameter("write it as https://your-address", param_hint="--webhook-url")
    base, end = url.strip().rstrip("/"), f"/webhooks/{source}"
    if "/webhooks/" in parts.path and not base.endswith(end):
        raise click.BadParameter(f"its path must end with {end}", param_hint="--webhook-url")
    return base if base.endswith(end) else base + end


def _print_json(value: object) -> None:
    from connector.commands.showing import print_json  # noqa: PLC0415  on demand

    print_json(value)
