"""The commands. Tables for people, --json for programs; errors say what to do and end with status 1.

What a command needs is loaded when it runs, so that `check` and `simulate` start at once.
"""

import functools
import io
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from connector import __version__
from connector.mapping.loading import MappingError, Mistake, load_mapping, load_mappings
from connector.mapping.schema import Mapping, SecretError
from connector.settings import Settings, SettingsError
from connector.trackers.port import (
    AccessRefused,
    Misconfigured,
    RateLimited,
    Sighting,
    TicketGone,
    TrackerError,
    Unavailable,
)

if TYPE_CHECKING:
    from connector.attention.look import Look
    from connector.attention.source import Source
    from connector.showing import Preview
    from connector.store import Store, TicketState

P = ParamSpec("P")
R = TypeVar("R")

LONGEST_PAUSE = 300  # seconds that a command waits if the tracker asks for a pause; the service waits as long as asked
SILENT_IN_A_ROW = 3  # so many tickets without any answer: the tracker is down

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
_SOURCE = click.option("--source", "source_name", metavar="NAME", help="The source, if there are several.")


class Failure(click.ClickException):
    """What went wrong and what to do, on one or more lines; ends the command with status 1."""

    def show(self, file: Any = None) -> None:
        click.echo(self.format_message(), err=True, file=file)


def failures_told(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command fail with a sentence rather than a traceback."""

    @functools.wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (click.ClickException, SystemExit):
            raise
        except TrackerError as error:
            raise Failure(error.message) from error
        except _failures() as error:
            raise Failure(str(error)) from error
        except OSError as error:
            if error.filename is None:  # no file of the user's: a closed pipe, which click knows how to end on
                raise
            raise Failure(f"{error.filename}: {error.strerror}") from error

    return told


def _failures() -> tuple[type[Exception], ...]:
    """The failures whose text is a message for people. Asked for only when something has failed."""
    from connector.application import ConfigurationError  # noqa: PLC0415  on demand
    from connector.store.errors import DatabaseError  # noqa: PLC0415  on demand
    from connector.web.server import ListenError  # noqa: PLC0415  on demand

    return SettingsError, MappingError, ConfigurationError, DatabaseError, ListenError


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
      connector demo       see it work on a practice tracker, nothing to set up
      connector check      find the mistakes in your field mapping
      connector simulate   what would happen on one ticket, without a tracker
      connector backfill --dry-run
                           what would happen on every open ticket
      connector run        the service: webhooks and attention

    \b
    Settings come from the environment:
      CONNECTOR_MAPPINGS       mapping file, or folder of them (default field_mappings/)
      CONNECTOR_DATABASE_URL   default sqlite:///connector.sqlite3, a file in this folder
      CONNECTOR_LISTEN         address of webhooks and health (default 127.0.0.1:8080)
      CONNECTOR_POLL_SECONDS   how often to look for changes no webhook told (default 300)
      CONNECTOR_WORKERS        tickets attended to at the same time (default 4)
      CONNECTOR_LOG_FORMAT     console or json (default: console on a terminal)

    \b
    Every command ends with status 0 if all went well, 1 if something is wrong (and says what),
    2 if it was called in a wrong way.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows ? instead


@main.command(short_help="The service: webhooks, polls, attention.")
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
    settings = _settings()
    configure(settings.log_format)
    _see_that_there_are_mappings(settings.mappings)
    service = Service(settings)
    try:
        service.start()
        stop.wait()
    finally:
        service.stop()


@main.command(short_help="Find the mistakes in field mappings.")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@_AS_JSON
@failures_told
def check(path: Path | None, as_json: bool) -> None:
    """Check field mappings: every mistake at once, as file:line: path: message.

    PATH is a mapping file or a folder of them; without it, CONNECTOR_MAPPINGS is checked. This is the loader that
    `connector run` uses: what passes here starts there. No tracker is asked. Ends with status 1 if there are mistakes.
    With --json, prints a list of {file, line, path, message}.

    \b
    Examples:
      connector check
      connector check field_mappings/cases.yaml
    """
    mappings, mistakes = _checked(path or _settings().mappings)
    if as_json:
        from connector.showing import print_json  # noqa: PLC0415  on demand

        print_json(
            [
                {"file": mistake.file, "line": mistake.line, "path": mistake.path, "message": mistake.message}
                for mistake in mistakes
            ]
        )
    else:
        _tell_checked(mappings, mistakes)
    if mistakes:
        sys.exit(1)


def _checked(path: Path) -> tuple[list[Mapping], list[Mistake]]:
    """A folder is read as `connector run` reads it; a file that is named is checked even if it is an example."""
    if path.is_dir():
        return load_mappings(path)
    if not path.exists():
        return [], [Mistake(str(path), 1, "(file)", f"is not there; {_HOW_TO_BEGIN}")]
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
        click.echo(f"{_count(len(mistakes), 'mistake')}", err=True)


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


@main.command(short_help="What would happen on one ticket, offline.")
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
@_AS_JSON
@failures_told
def simulate(mapping_path: Path, ticket_path: Path, at: datetime | None, as_json: bool) -> None:
    """Show what the connector would do with one ticket at one moment. Offline: no tracker, no database.

    Use it to try a mapping, or to see what the next weeks bring: the same ticket, a later --at.

    The ticket file is the tracker's own JSON. For Jira: GET /rest/api/2/issue/KEY, with ?expand=changelog where the
    mapping has `records`. Fields are found by the ids that the mapping names; by their names too if the file was
    fetched with ?expand=names. What the connector's own comments on the ticket have said already is left out.

    \b
    Example:
      curl -u "$JIRA_USER:$JIRA_TOKEN" -o CASE-1.json \\
        "https://example.atlassian.net/rest/api/2/issue/CASE-1?expand=names,changelog"
      connector simulate --mapping field_mappings/cases.yaml --ticket CASE-1.json \\
        --at 2026-04-01T09:00:00-04:00
    """
    mapping = load_mapping(mapping_path)

    from connector.application import markup_of, read_ticket_file, utc_now  # noqa: PLC0415  on demand
    from connector.attention.preview import preview_ticket  # noqa: PLC0415  on demand
    from connector.showing import decision_json, decision_text, echo, print_json  # noqa: PLC0415  on demand

    look = preview_ticket(read_ticket_file(ticket_path, mapping), mapping, at or utc_now())
    if as_json:
        print_json(decision_json(look, markup_of(mapping)))
    else:
        echo(decision_text(look, mapping.procedure.office.time_zone))


@main.command(short_help="Why a ticket is where it is.")
@click.argument("ticket")
@_SOURCE
@_AS_JSON
@failures_told
def explain(ticket: str, source_name: str | None, as_json: bool) -> None:
    """Explain a ticket: its stage, why, what is wrong, and what would be done now. Does nothing to it.

    TICKET is its key or id. The ticket is read from the tracker. What is left to do is told without what stands on
    the ticket, or was done, already. Use it when a ticket is not where you expect it, or a comment does not come.

    \b
    Example:
      connector explain CASE-12
    """
    from connector.application import utc_now  # noqa: PLC0415  on demand
    from connector.showing import (  # noqa: PLC0415  on demand
        decision_json,
        echo,
        explanation_text,
        print_json,
        state_json,
    )

    now = utc_now()
    with _store_if_any() as (store, why_none):
        source, state = _located(ticket, source_name, store)
        told = store.acts.done_refs(source.name, state.ticket_id) if store and state else frozenset()
        held = _held(source, store, now)
    with _asking(source):
        ticket_id = state.ticket_id if state else _id_of(source, ticket)
        look = _previewed(source, ticket_id, now, told)
    if look is None:
        raise Failure(
            f"{ticket} is outside the scope of {source.name}, or this account cannot see it: the connector leaves it "
            "alone"
        )
    if as_json:
        known = state_json(state) if state else None
        decision = decision_json(look, source.tracker.markup)
        print_json(decision | {"source": source.name, "ticket": look.ticket.key, "known": known, "held": held})
    else:
        notes = [why_none, *held] if why_none else held
        echo(explanation_text(look, state, source.mapping.procedure.office.time_zone, notes))


def _held(source: "Source", store: "Store | None", now: datetime) -> list[str]:
    """Why nothing is done on tickets of this source at present, whatever they say."""
    reasons = ["The mapping says dry_run: true, so nothing is written to tickets."] if source.mapping.dry_run else []
    state = store.sources.get(source.name) if store else None
    if state and state.braked_at:
        reason = state.brake_reason or "no reason noted"
        reasons.append(f"The brake is on: {reason}. Look into it, then: connector release {source.name}")
    if state and state.paused_until and state.paused_until > now:
        reasons.append(f"{source.name} is paused for the moment: {state.pause_reason or 'no reason noted'}")
    return reasons


@main.command(short_help="List the tickets that are known.")
@click.option("--source", "source_name", metavar="NAME", help="Only this source.")
@click.option("--stuck", is_flag=True, help="Only tickets whose tries are used up.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At the most so many.")
@_AS_JSON
@failures_told
def tickets(source_name: str | None, stuck: bool, limit: int, as_json: bool) -> None:
    """List the tickets that the connector knows, the soonest to attend first.

    It shows each ticket's stage, when it is looked at next, and what troubles it; nothing of what it says.

    \b
    Examples:
      connector tickets --stuck
      connector tickets --limit 100000 --json
    """
    from connector.application import utc_now  # noqa: PLC0415  on demand
    from connector.showing import print_json, state_json, tickets_table  # noqa: PLC0415  on demand

    with closing(_open_store()) as store:
        states = store.tickets.list_tickets(source_name, stuck_only=stuck, limit=limit + 1)
    if not states and source_name:
        _sources(source_name)  # refuses a name that is none
    shown = states[:limit]
    if as_json:
        print_json([state_json(state) for state in shown])
    elif not shown:
        click.echo("No ticket is stuck." if stuck else "No tickets are known yet: `connector poll` looks for them now.")
    else:
        click.echo(tickets_table(shown, utc_now()))
        if len(states) > limit:
            click.echo("\nThere are more: --limit shows them.")


@main.command(short_help="Look for changes in the tracker now.")
@click.argument("source_name", metavar="[SOURCE]", required=False)
@_AS_JSON
@failures_told
def poll(source_name: str | None, as_json: bool) -> None:
    """Look in the tracker now for changes that no webhook told. `connector run` does this by itself, too.

    Use it when a change must not wait for the next poll. Tickets found changed are attended to by the running service.

    \b
    Example:
      connector poll cases
    """
    _polled(source_name, as_json, everything=False)


@main.command(short_help="Adopt every open ticket, or --dry-run.")
@click.argument("source_name", metavar="[SOURCE]", required=False)
@click.option("--dry-run", is_flag=True, help="Only print the stage of each ticket and what would be done.")
@_AS_JSON
@failures_told
def backfill(source_name: str | None, dry_run: bool, as_json: bool) -> None:
    """Adopt every open ticket in scope, also those that existed before the connector.

    The first start of `connector run` does this by itself; use it after widening a scope. Nothing that stands on a
    ticket already is posted again. Look first with --dry-run: it reads every ticket, changes nothing and needs no
    database.

    \b
    Example:
      connector backfill --dry-run
    """
    if not dry_run:
        _polled(source_name, as_json, everything=True)
        return
    from connector.showing import backfill_table, echo, print_json  # noqa: PLC0415  on demand

    by_source = {source.name: _previews(source, quiet=as_json) for source in _sources(source_name)}
    rows = [row for found in by_source.values() for row in found]
    if as_json:
        print_json(rows)
    for name, found in by_source.items() if not as_json else ():
        echo(f"{name}: {_count(len(found), 'open ticket')} in scope{'; nothing was changed' if found else ''}")
        if found:
            echo(f"\n{backfill_table(found)}\n")
    if any(row["error"] for row in rows):
        sys.exit(1)


@main.command(short_help="Look at a ticket again now.")
@click.argument("ticket", required=False)
@_SOURCE
@click.option("--all-stuck", is_flag=True, help="Every ticket whose tries are used up.")
@_AS_JSON
@failures_told
def retry(ticket: str | None, source_name: str | None, all_stuck: bool, as_json: bool) -> None:
    """Look at a ticket again now, stuck or not. TICKET is its key or id.

    A ticket is stuck when its tries are used up, mostly because the tracker refuses what is to be done on it. Mend
    the cause first: `connector explain TICKET` tells it. The running service does the looking.

    \b
    Examples:
      connector retry CASE-12
      connector retry --all-stuck
    """
    from connector.application import utc_now  # noqa: PLC0415  on demand
    from connector.showing import print_json  # noqa: PLC0415  on demand

    if (ticket is None) is not all_stuck:
        raise click.UsageError("name one ticket, or use --all-stuck")
    sources = {source.name: source for source in _sources(source_name)}
    held: list[str] = []
    with closing(_open_store()) as store:
        if ticket is None:
            count = store.attention.retry_all_stuck(source_name, utc_now())
        else:
            name = _name_of_only(_knowing(ticket, list(sources), store), ticket)
            count = int(store.attention.retry(name, ticket, utc_now()))
            held = _held(sources[name], store, utc_now())
    if as_json:
        print_json({"retried": count})
    elif ticket is None:
        click.echo(f"{_count(count, 'ticket')} will be looked at again now" if count else "No ticket is stuck.")
    else:
        click.echo("\n".join([f"{ticket} will be looked at again{'; but:' if held else ' now'}", *held]))


@main.command(short_help="Let a stopped or paused source go on.")
@click.argument("source_name", metavar="SOURCE")
@_AS_JSON
@failures_told
def release(source_name: str, as_json: bool) -> None:
    """Let a source go on that the brake stopped, or that waits after a failure.

    The brake stops a source that posts more comments in an hour than its mapping allows (max_comments_per_hour).
    Look at what it posted before you release it: `connector tickets` and `connector explain` tell why.

    \b
    Example:
      connector release cases
    """
    from connector.application import utc_now  # noqa: PLC0415  on demand
    from connector.showing import print_json  # noqa: PLC0415  on demand

    _sources(source_name)  # refuses a name that is none
    with closing(_open_store()) as store:
        released = store.sources.release(source_name, utc_now())
    if as_json:
        print_json({"source": source_name, "released": released})
    else:
        goes_on = f"{source_name} goes on. `connector poll {source_name}` looks at once for what changed meanwhile."
        click.echo(goes_on if released else f"{source_name} was neither stopped nor paused")


@main.command(short_help="See it work, with nothing to set up.")
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
    _quiet_logs()
    with Demo(port) as running:
        click.echo(running.welcome())
        while not stop.is_set():
            for line in running.news():
                click.echo(line)
            stop.wait(0.2)


# Settings, sources and the database

_HOW_TO_BEGIN = (
    "copy field_mappings/jira-cloud.example.yaml or jira-data-center.example.yaml to a name of your own that ends in "
    ".yaml, or let CONNECTOR_MAPPINGS name your mapping or its folder"
)


def _settings() -> Settings:
    return Settings.from_environment(os.environ)


def _see_that_there_are_mappings(path: Path) -> None:
    if not path.exists():
        raise Failure(f"{path} is not there; {_HOW_TO_BEGIN}")


def _quiet_logs() -> None:
    """Warnings only, on standard error, and masked like those of the service."""
    from connector.telemetry import configure  # noqa: PLC0415  on demand

    configure("console")
    logging.getLogger().setLevel(logging.WARNING)


def _open_store() -> "Store":
    from connector.store import Store, open_database  # noqa: PLC0415  on demand

    return Store(open_database(_settings().database_url, exclusive=False))


@contextmanager
def _store_if_any() -> Iterator[tuple["Store | None", str | None]]:
    """The store, or None and why there is none yet."""
    from connector.store.errors import NoDatabase  # noqa: PLC0415  on demand

    try:
        store = _open_store()
    except NoDatabase as error:
        yield None, f"Nothing is known of what was done before: {error}"
        return
    with closing(store):
        yield store, None


def _sources(name: str | None) -> list["Source"]:
    """Every source, or the one of that name. Makes no call yet."""
    from connector.application import load_sources  # noqa: PLC0415  on demand

    _quiet_logs()
    mappings = _settings().mappings
    _see_that_there_are_mappings(mappings)
    sources = load_sources(mappings)
    if name is None:
        return list(sources.values())
    if name not in sources:
        raise Failure(f"there is no source {name}; there {_are(list(sources))}")
    return [sources[name]]


def _are(names: Sequence[str]) -> str:
    return f"is only {names[0]}" if len(names) == 1 else f"are: {', '.join(names)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _stop_signals() -> threading.Event:
    """Set by SIGTERM or Ctrl-C, from now on."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


# One ticket


def _knowing(ticket: str, names: Sequence[str], store: "Store | None") -> dict[str, "TicketState"]:
    """The sources that know a ticket of that key or id, each with what it knows."""
    found = {name: store.tickets.get(name, ticket) for name in names} if store else {}
    return {name: state for name, state in found.items() if state}


def _name_of_only(known: dict[str, "TicketState"], ticket: str) -> str:
    if not known:
        raise Failure(f"no ticket {ticket} is known; if it is new, `connector poll` finds it")
    if len(known) > 1:
        raise Failure(f"several sources know a ticket {ticket}: name one with --source ({', '.join(known)})")
    return next(iter(known))


def _located(ticket: str, source_name: str | None, store: "Store | None") -> tuple["Source", "TicketState | None"]:
    """The source that a ticket belongs to, and what is known of it."""
    sources = {source.name: source for source in _sources(source_name)}
    known = _knowing(ticket, list(sources), store)
    if known or len(sources) > 1:
        if not known:
            raise Failure(f"no source knows a ticket {ticket} yet: name one with --source ({', '.join(sources)})")
        name = _name_of_only(known, ticket)
        return sources[name], known[name]
    return next(iter(sources.values())), None


def _id_of(source: "Source", ticket: str) -> str:
    """The id of a ticket that the store does not know: the tracker is asked for its key."""
    found = ticket if ticket.isdecimal() else source.tracker.find(ticket)
    if found is None:
        raise Failure(f"{source.name} has no ticket {ticket} that this account can see")
    return found


def _previewed(source: "Source", ticket_id: str, now: datetime, told: frozenset[str] = frozenset()) -> "Look | None":
    from connector.attention.preview import preview  # noqa: PLC0415  on demand

    return preview(source, ticket_id, now, told=told)


@contextmanager
def _asking(source: "Source") -> Iterator[None]:
    """What the tracker answers wrongly is told with the source that it concerns."""
    try:
        yield
    except TrackerError as error:
        raise Failure(f"{source.name}: {error.message}") from error
    finally:
        source.tracker.close()


# Many tickets


def _polled(source_name: str | None, as_json: bool, *, everything: bool) -> None:
    from connector.application import utc_now  # noqa: PLC0415  on demand
    from connector.attention.poll import poll as run_poll  # noqa: PLC0415  on demand
    from connector.showing import print_json  # noqa: PLC0415  on demand

    results: list[dict[str, Any]] = []
    sources = _sources(source_name)
    with closing(_open_store()) as store:
        for source in sources:
            result: dict[str, Any] = {"source": source.name, "seen": None, "noticed": None, "error": None}
            try:
                with _asking(source), _counter(f"Reading {source.name}", quiet=as_json) as advance:
                    polled = run_poll(source, store, utc_now, everything=everything, progress=advance)
                result |= {"seen": polled.seen, "noticed": polled.noticed}
            except Failure as failure:  # the other sources can be polled all the same
                result["error"] = failure.message
                click.echo(failure.message, err=True)
            results.append(result)
            if not as_json and result["error"] is None:
                click.echo(f"{source.name}: {_count(polled.seen, 'ticket')} seen, {polled.noticed} to be looked at")
    if as_json:
        print_json(results)
    if any(result["error"] for result in results):
        sys.exit(1)


def _previews(source: "Source", *, quiet: bool) -> list["Preview"]:
    """What would be done on each open ticket. Raises Failure for what concerns all of them."""
    rows: list[Preview] = []
    with _asking(source):
        sightings = []
        with _counter(f"Searching {source.name}", quiet=quiet) as advance:
            for seen in source.tracker.changed_since(None):
                sightings.append(seen)
                advance(len(sightings))
        hidden = quiet or not sys.stderr.isatty()
        silent = 0
        with click.progressbar(sightings, label=f"Reading {source.name}", file=sys.stderr, hidden=hidden) as bar:
            for seen in bar:
                row, failure = _row(source, seen)
                silent = silent + 1 if isinstance(failure, Unavailable) else 0
                if failure and (silent >= SILENT_IN_A_ROW or isinstance(failure, AccessRefused | Misconfigured)):
                    raise failure
                rows += [row] if row else []
    return rows


def _row(source: "Source", seen: Sighting) -> tuple["Preview | None", TrackerError | None]:
    """A ticket's row, or None if it has left the scope meanwhile; and the failure that it tells of."""
    from connector.application import utc_now  # noqa: PLC0415  on demand

    row: Preview = {"source": source.name, "ticket": seen.key, "stage": None, "acts": [], "problems": [], "error": None}
    try:
        look = _patiently(lambda: _previewed(source, seen.ticket_id, utc_now()))
    except TicketGone:
        return None, None
    except TrackerError as error:
        return {**row, "error": error.message}, error
    if look is None:
        return None, None
    decision = look.decision
    row["stage"] = decision.stage
    row["acts"] = [{"kind": act.kind, "ref": act.ref, "to": act.to} for act in decision.acts]
    row["problems"] = [{"field": problem.field, "code": problem.code} for problem in decision.problems]
    return row, None


def _patiently(call: Callable[[], R]) -> R:
    """The call, made again after the pause that the tracker asks for, if that is not too long."""
    while True:
        try:
            return call()
        except RateLimited as limit:
            if limit.retry_after > LONGEST_PAUSE:
                raise
            click.echo(f"\n{limit.message}", err=True)
            time.sleep(limit.retry_after)


@contextmanager
def _counter(label: str, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A counter on the terminal for work whose length nobody knows beforehand (Jira Cloud tells no total)."""
    shown = sys.stderr.isatty() and not quiet

    def advance(count: int) -> None:
        if shown:
            click.echo(f"\r{label}: {_count(count, 'ticket')}", nl=False, err=True)

    yield advance
    if shown:
        click.echo("", err=True)
