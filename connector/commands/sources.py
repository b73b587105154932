"""`connector poll`, `connector backfill` and `connector release`: whole sources."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from connector.commands.common import (
    AS_JSON,
    Failure,
    asking,
    chosen_sources,
    counted,
    failures_told,
    open_store,
    previewed,
)
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
    from connector.attention.source import Source
    from connector.commands.showing import Preview

R = TypeVar("R")

LONGEST_PAUSE = 300  # seconds that a command waits if the tracker asks for a pause; the service waits as long as asked
SILENT_IN_A_ROW = 3  # so many tickets without any answer: the tracker is down


@click.command(short_help="Look for changes in the tracker now.")
@click.argument("source_name", metavar="[SOURCE]", required=False)
@AS_JSON
@failures_told
def poll(source_name: str | None, as_json: bool) -> None:
    """Look in the tracker now for changes that no webhook told. `connector run` does this by itself, too.

    Use it when a change must not wait for the next poll. Tickets found changed are attended to by the running service.

    \b
    Example:
      connector poll cases
    """
    _polled(source_name, as_json, everything=False)


@click.command(short_help="Adopt every open ticket, or --dry-run.")
@click.argument("source_name", metavar="[SOURCE]", required=False)
@click.option("--dry-run", is_flag=True, help="Only print the stage of each ticket and what would be done.")
@AS_JSON
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
    from connector.commands.showing import backfill_table, echo, print_json  # noqa: PLC0415  on demand

    by_source = {source.name: _previews(source, quiet=as_json) for source in chosen_sources(source_name)}
    rows = [row for found in by_source.values() for row in found]
    if as_json:
        print_json(rows)
    for name, found in by_source.items() if not as_json else ():
        echo(f"{name}: {counted(len(found), 'open ticket')} in scope{'; nothing was changed' if found else ''}")
        if found:
            echo(f"\n{backfill_table(found)}\n")
    if any(row["error"] for row in rows):
        sys.exit(1)


@click.command(short_help="Let a stopped or paused source go on.")
@click.argument("source_name", metavar="SOURCE")
@AS_JSON
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
    from connector.commands.showing import print_json  # noqa: PLC0415  on demand

    chosen_sources(source_name)  # refuses a name that is none
    with closing(open_store()) as store:
        released = store.sources.release(source_name, utc_now())
    if as_json:
        print_json({"source": source_name, "released": released})
    else:
        goes_on = f"{source_name} goes on. `connector poll {source_name}` looks at once for what changed meanwhile."
        click.echo(goes_on if released else f"{source_name} was neither stopped nor paused")


# Many tickets


def _polled(source_name: str | None, as_json: bool, *, everything: bool) -> None:
    from connector.application import utc_now  # noqa: PLC0415  on demand
    from connector.attention.poll import poll as run_poll  # noqa: PLC0415  on demand
    from connector.commands.showing import print_json  # noqa: PLC0415  on demand

    results: list[dict[str, Any]] = []
    sources = chosen_sources(source_name)
    with closing(open_store()) as store:
        for source in sources:
            result: dict[str, Any] = {"source": source.name, "seen": None, "noticed": None, "error": None}
            try:
                with asking(source), _counter(f"Reading {source.name}", quiet=as_json) as advance:
                    polled = run_poll(source, store, utc_now, everything=everything, progress=advance)
                result |= {"seen": polled.seen, "noticed": polled.noticed}
            except Failure as failure:  # the other sources can be polled all the same
                result["error"] = failure.message
                click.echo(failure.message, err=True)
            results.append(result)
            if not as_json and result["error"] is None:
                click.echo(f"{source.name}: {counted(polled.seen, 'ticket')} seen, {polled.noticed} to be looked at")
    if as_json:
        print_json(results)
    if any(result["error"] for result in results):
        sys.exit(1)


def _previews(source: "Source", *, quiet: bool) -> list["Preview"]:
    """What would be done on each open ticket. Raises Failure for what concerns all of them."""
    rows: list[Preview] = []
    with asking(source):
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
        look = _patiently(lambda: previewed(source, seen.ticket_id, utc_now()))
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
            click.echo(f"\r{label}: {counted(count, 'ticket')}", nl=False, err=True)

    yield advance
    if shown:
        click.echo("", err=True)
