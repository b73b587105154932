"""`connector poll` and `connector release`: whole sources."""

import sys
from contextlib import closing
from typing import Any

import click

from connector.commands.common import (
    AS_JSON,
    Failure,
    asking,
    chosen_sources,
    counted,
    counter,
    failures_told,
    open_store,
)


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
    polled(source_name, as_json, everything=False)


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


def polled(source_name: str | None, as_json: bool, *, everything: bool) -> None:
    """Poll the source, or all of them, and tell of it; `everything`: whether or not it changed since the last poll."""
    from connector.application import utc_now  # noqa: PLC0415  on demand
    from connector.attention.poll import poll as run_poll  # noqa: PLC0415  on demand
    from connector.commands.showing import print_json  # noqa: PLC0415  on demand

    results: list[dict[str, Any]] = []
    sources = chosen_sources(source_name)
    with closing(open_store()) as store:
        for source in sources:
            result: dict[str, Any] = {"source": source.name, "seen": None, "noticed": None, "error": None}
            try:
                with asking(source), counter(f"Reading {source.name}", quiet=as_json) as advance:
                    found = run_poll(source, store, utc_now, everything=everything, progress=advance)
                result |= {"seen": found.seen, "noticed": found.noticed}
            except Failure as failure:  # the other sources can be polled all the same
                result["error"] = failure.message
                click.echo(failure.message, err=True)
            results.append(result)
            if not as_json and result["error"] is None:
                click.echo(f"{source.name}: {counted(found.seen, 'ticket')} seen, {found.noticed} to be looked at")
    if as_json:
        print_json(results)
    if any(result["error"] for result in results):
        sys.exit(1)
