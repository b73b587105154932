"""`connector check` and `connector simulate`: trying a mapping, without a tracker or a database unless --live."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from connector.commands.common import AS_JSON, HOW_TO_BEGIN, counted, failures_told, read_settings
from connector.commands.setup import TOKEN_ENV, USER, WEBHOOK_URL, check_live, path_of
from connector.mapping.loading import MappingError, Mistake, load_mapping, load_mappings
from connector.mapping.schema import Mapping, SecretError


@click.command(short_help="Find what is wrong in mappings, or --live.")
@click.argument("target", metavar="[SOURCE|PATH]", required=False)
@click.option("--live", is_flag=True, help="Look at the trackers, too: what is wrong there, and how to mend it.")
@WEBHOOK_URL
@USER
@TOKEN_ENV
@AS_JSON
@failures_told
def check(
    target: str | None, live: bool, webhook_url: str | None, user: str | None, token_env: str | None, as_json: bool
) -> None:
    """Check field mappings: every mistake at once, as file:line: path: message.

    Name a source, a mapping file or a folder of them; otherwise all of CONNECTOR_MAPPINGS is checked. This is the
    loader that `connector run` uses: what passes here starts there. No tracker is asked. Ends with status 1 if there
    are mistakes. With --json, prints a list of {file, line, path, message}.

    --live looks at the trackers themselves, and changes nothing there: the account and its permissions one by one, the
    fields and their kinds, whether statuses can be reached and comments are internal, and the webhook: that it is
    there, enabled, points here, and has been heard from. Each finding says what it breaks and how to mend it. Ends
    with status 1 if anything is wrong. With --json, prints {source: [{id, level, what, breaks, mend}]}; level is ok,
    unseen (not looked at), warning or error.

    Some things are shown to administrators only: webhooks, and in Zammad the kinds of fields. What this account is not
    shown is told as not looked at. Lend an administrator's account for one look: --user and --token-env (--token-env
    alone for a token that needs no user beside it).

    \b
    Examples:
      connector check
      connector check field_mappings/cases.yaml
      connector check --live cases
      connector check --live cases --user admin@example.org --token-env ADMIN_TOKEN
    """
    if live:
        check_live(target, webhook_url=webhook_url, user=user, token_env=token_env, as_json=as_json)
        return
    if webhook_url is not None or user is not None or token_env is not None:
        raise click.UsageError("--webhook-url, --user and --token-env go with --live")
    mappings, mistakes = _checked(_meant(target))
    if as_json:
        from connector.commands.showing import print_json  # noqa: PLC0415  on demand

        print_json(
            [
                {"file": mistake.file, "line": mistake.line, "path": mistake.path, "message": mistake.message}
                for mistake in mistakes
            ]
        )
    else:
        _tell_checked(mappings, mistakes)
        _tell_unread(_meant(target))
        if mappings:
            click.echo("The trackers themselves were not looked at: connector check --live does that.")
    if mistakes:
        sys.exit(1)


def _meant(target: str | None) -> Path:
    """The mappings of the settings; the file or folder of that path; the mapping file of that source."""
    if target is None:
        return read_settings().mappings
    path = Path(target)
    return path if path.exists() or not path_of(target).exists() else path_of(target)


def _checked(path: Path) -> tuple[list[Mapping], list[Mistake]]:
    """A folder is read as `connector run` reads it; a file that is named is checked even if it is an example."""
    if path.is_dir():
        return load_mappings(path)
    if not path.exists():
        return [], [Mistake(str(path), 1, "(file)", f"is not there; {HOW_TO_BEGIN}")]
    try:
        return [load_mapping(path)], []
    except MappingError as error:
        return [], error.mistakes


def _tell_checked(mappings: Sequence[Mapping], mistakes: Sequence[Mistake]) -> None:
    for mistake in mistakes:
        click.echo(str(mistake))
    for mapping in mappings:
        parts = [f"{len(mapping.fields)} facts", f"{len(mapping.statuses)} statuses"]
        parts += ["dry run: nothing is written to tickets"] if mapping.dry_run else []
        click.echo(f"{mapping.path}: ok, source {mapping.source} ({', '.join(parts)})")
        for secret in (mapping.tracker.token, *mapping.tracker.webhook_secrets):
            try:
                secret.read()
            except SecretError as error:
                click.echo(f"{mapping.path}: note: {error}; `connector run` will need it", err=True)
    if mistakes:
        click.echo(f"{counted(len(mistakes), 'mistake')}", err=True)


def _tell_unread(path: Path) -> None:
    """A mapping that is never read, for its name alone, is not noticed otherwise."""
    for each in sorted(path.glob("*.yml")) if path.is_dir() else ():
        click.echo(f"{each}: note: is not read: rename it to {each.stem}.yaml if it is a mapping", err=True)


def _moment(_context: click.Context, _option: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a moment; write it as 2026-04-01T09:00:00-04:00") from None
    if moment.tzinfo is None:
        raise click.BadParameter(
            f"{value!r} has no time zone; write the hour and end with Z or an offset: 2026-04-01T09:00:00-04:00"
        )
    if not 1900 <= moment.year < 3000:
        raise click.BadParameter(f"{value!r} is not a moment of our times")
    return moment.astimezone(UTC)


@click.command(short_help="What would happen on one ticket, offline.")
@click.option(
    "--mapping",
    "mapping_path",
    required=True,
    type=click.Path(path_type=Path),
    help="The mapping file; an example will do.",
)
@click.option(
    "--ticket", "ticket_path", required=True, type=click.Path(path_type=Path), help="The ticket, as the tracker's JSON."
)
@click.option(
    "--at",
    callback=_moment,
    metavar="ISO-8601",
    help="The moment to decide at, with its time zone: 2026-04-01T09:00:00-04:00. Default: now.",
)
@AS_JSON
@failures_told
def simulate(mapping_path: Path, ticket_path: Path, at: datetime | None, as_json: bool) -> None:
    """Show what the connector would do with one ticket at one moment. Offline: no tracker, no database.

    Use it to try a mapping, or to see what the next weeks bring: the same ticket, a later --at.

    The ticket file is the tracker's own JSON of one ticket, saved as it comes, in a file of at most 25 MB:

    Jira: /rest/api/2/issue/KEY, with ?expand=changelog where the mapping has `records`. Fields are found by the ids
    that the mapping names; by their names too if the file was fetched with ?expand=names. What the connector's own
    comments on the ticket have said already is left out.

    Zammad: /api/v1/tickets/ID?expand=true, where ID is the number in the browser's address. Beside its attributes may
    stand, put there by hand, "articles", the list from /api/v1/ticket_articles/by_ticket/ID, and "history", the list
    of that name from /api/v1/ticket_history/ID. Without the first, what the connector has said already is told
    again; without the other, `records` record nothing.

    Request Tracker: /REST/2.0/ticket/ID. It tells no comments and no history: what the connector has said already is
    told again, and `records` record nothing.

    \b
    Examples:
      curl -u "$JIRA_USER:$JIRA_TOKEN" -o ticket.json \\
        "https://example.atlassian.net/rest/api/2/issue/CASE-1?expand=names,changelog"
      curl -H "Authorization: Token token=$ZAMMAD_TOKEN" -o ticket.json \\
        "https://zammad.example.org/api/v1/tickets/17?expand=true"
      curl -H "Authorization: token $RT_TOKEN" -o ticket.json \\
        "https://rt.example.org/REST/2.0/ticket/17"
      connector simulate --mapping field_mappings/cases.yaml --ticket ticket.json \\
        --at 2026-04-01T09:00:00-04:00
    """
    mapping = load_mapping(mapping_path)

    from connector.application import markup_of, read_ticket_file, utc_now  # noqa: PLC0415  on demand
    from connector.attention.preview import preview_ticket  # noqa: PLC0415  on demand
    from connector.commands.showing import decision_json, decision_text, echo, print_json  # noqa: PLC0415  on demand

    look = preview_ticket(read_ticket_file(ticket_path, mapping), mapping, at or utc_now())
    if as_json:
        print_json(decision_json(look, markup_of(mapping)))
    else:
        echo(decision_text(look, mapping.procedure))
