"""`connector backfill`: tickets that existed before the connector."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

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
    previewed,
    read_settings,
)
from connector.commands.sources import polled
from connector.trackers.port import (
    AccessRefused,
    Misconfigured,
    RateLimited,
    Sighting,
    Ticket,
    TicketGone,
    TrackerError,
    Unavailable,
)

if TYPE_CHECKING:
    from connector.attention.source import Source
    from connector.commands.showing import Preview
    from connector.inquiry.acts import Act
    from connector.inquiry.case import Case
    from connector.store import Store

R = TypeVar("R")

LONGEST_PAUSE = 300  # seconds that a command waits if the tracker asks for a pause; the service waits as long as asked
SILENT_IN_A_ROW = 3  # so many tickets without any answer: the tracker is down
IN_HAND = 30.0  # seconds to wait for a running service that is just looking at a ticket


@click.command(short_help="Adopt every open ticket, or --dry-run.")
@click.argument("source_name", metavar="[SOURCE]", required=False)
@click.option("--dry-run", is_flag=True, help="Only print the stage of each ticket and what would be done.")
@click.option("--quiet", is_flag=True, help="Take the present as known: post nothing that is due by now already.")
@AS_JSON
@failures_told
def backfill(source_name: str | None, dry_run: bool, quiet: bool, as_json: bool) -> None:
    """Adopt every open ticket in scope, also those that existed before the connector.

    The first start of `connector run` does this by itself; use it after widening a scope. Nothing that stands on a
    ticket already is posted again. Look first with --dry-run: it reads every ticket, changes nothing and needs no
    database.

    --quiet spares an office with many old cases a flood: all that the connector would say now counts as said, but for
    waits that passed today. Due dates are set, and what comes later (a wait that passes, a fact that changes) is told
    as usual. Run it before the first `connector run`; beside a running service it takes in what that does not know
    yet. With --dry-run it prints what would stay unsaid. That something stays unsaid is kept in the database only: if
    that is lost, run this again before the service starts.
    A ticket whose comment stays unsaid is not moved to its present stage's status either, as that may tell its client
    something. Those tickets are counted, and shown with --dry-run; the next stage moves them, or people do.

    \b
    Examples:
      connector backfill --dry-run
      connector backfill cases --quiet
    """
    if dry_run:
        _dry_run(source_name, quiet=quiet, as_json=as_json)
    elif quiet:
        _quietly(source_name, as_json=as_json)
    else:
        polled(source_name, as_json, everything=True)


# Reading all tickets


@dataclass(frozen=True, slots=True)
class _Read:
    """A ticket as it was read: its case, or why it could not be read."""

    seen: Sighting
    case: "Case | None" = None
    error: str | None = None

    @property
    def key(self) -> str:
        return self.seen.key or self.seen.ticket_id


def _read_all(source: "Source", *, hidden: bool, done: Callable[[str], frozenset[str]] | None = None) -> list[_Read]:
    """Each open ticket in scope. `done` tells a ticket's acts that are done. Raises Failure for what concerns all."""
    found: list[_Read] = []
    with asking(source):
        sightings: list[Sighting] = []
        with counter(f"Searching {source.name}", quiet=hidden) as advance:
            for seen in source.tracker.changed_since(None):
                sightings.append(seen)
                advance(len(sightings))
        silent = 0
        no_bar = hidden or not sys.stderr.isatty()
        with click.progressbar(sightings, label=f"Reading {source.name}", file=sys.stderr, hidden=no_bar) as bar:
            ahead: Mapping[str, Ticket | None] = {}
            for number, seen in enumerate(bar):
                if number % source.tracker.bulk == 0:
                    ahead = _read_ahead(source, sightings[number : number + source.tracker.bulk])
                known = done(seen.ticket_id) if done else frozenset()
                read, failure = _read(source, seen, known, ahead.get(seen.ticket_id))
                silent = silent + 1 if isinstance(failure, Unavailable) else 0
                if failure and (silent >= SILENT_IN_A_ROW or isinstance(failure, AccessRefused | Misconfigured)):
                    raise failure
                found += [read] if read else []
    return found


def _read_ahead(source: "Source", sightings: Sequence[Sighting]) -> Mapping[str, Ticket | None]:
    """The tickets, as far as one call gives them. What goes wrong with it shows when each is read alone."""
    if len(sightings) == 1:
        return {}
    try:
        return _patiently(lambda: source.tracker.fetch_many([each.ticket_id for each in sightings], with_history=True))
    except TrackerError:
        return {}


def _read(
    source: "Source", seen: Sighting, done: frozenset[str], ticket: Ticket | None
) -> tuple[_Read | None, TrackerError | None]:
    """The ticket, read by now or not, or None if it has left the scope; and the failure that it tells of."""
    from connector.application import utc_now  # noqa: PLC0415  on demand
    from connector.attention.preview import preview_ticket  # noqa: PLC0415  on demand

    if ticket is not None:
        return _Read(seen, preview_ticket(ticket, source.mapping, utc_now(), told=done).case), None
    try:
        look = _patiently(lambda: previewed(source, seen.ticket_id, utc_now(), told=done))
    except TicketGone:
        return None, None
    except TrackerError as error:
        return _Read(seen, error=error.message), error
    return (_Read(seen, look.case), None) if look else (None, None)


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


# --dry-run


def _dry_run(source_name: str | None, *, quiet: bool, as_json: bool) -> None:
    from connector.commands.showing import backfill_table, echo, print_json  # noqa: PLC0415  on demand

    by_source = {
        source.name: list(_previews(source, _read_all(source, hidden=as_json), quiet=quiet))
        for source in chosen_sources(source_name)
    }
    rows = [row for found in by_source.values() for row in found]
    if as_json:
        print_json(rows)
    for name, found in by_source.items() if not as_json else ():
        echo(f"{name}: {counted(len(found), 'open ticket')} in scope{'; nothing was changed' if found else ''}")
        if found:
            echo(f"\n{backfill_table(found)}\n")
    if any(row["error"] for row in rows):
        sys.exit(1)


def _previews(source: "Source", read: Sequence[_Read], *, quiet: bool) -> Iterator["Preview"]:
    """A row for each ticket; if `quiet`, with what would stay unsaid."""
    from connector.application import utc_now  # noqa: PLC0415  on demand
    from connector.attention.quiet import not_moved, taken_as_said  # noqa: PLC0415  on demand
    from connector.inquiry.decide import decide  # noqa: PLC0415  on demand

    now, procedure = utc_now(), source.mapping.procedure
    silenced = _silenced(source, read, now) if quiet else {}
    for each in read:
        row: Preview = {
            "source": source.name,
            "ticket": each.key,
            "stage": None,
            "acts": [],
            "problems": [],
            "error": None,
        }
        if quiet:
            row["unsaid"], row["not_moved"] = [], None
        if each.case is None:
            yield {**row, "error": each.error}
            continue
        case, acts = silenced.get(each.seen.ticket_id, (each.case, ()))
        decision = decide(taken_as_said(case, acts), now, procedure)
        row["stage"] = decision.stage
        row["acts"] = [_act_json(act) for act in decision.acts]
        row["problems"] = [{"field": problem.field, "code": problem.code} for problem in decision.problems]
        if quiet:
            row["unsaid"] = [_act_json(act) for act in acts]
            row["not_moved"] = not_moved(case, acts, now, procedure)
        yield row


def _silenced(source: "Source", read: Sequence[_Read], now: datetime) -> dict[str, tuple["Case", tuple["Act", ...]]]:
    """Ticket id -> its case, twins and all, and the comments that stay unsaid."""
    from connector.attention.quiet import unsaid, with_twins  # noqa: PLC0415  on demand

    cases = {each.seen.ticket_id: (each.key, each.case) for each in read if each.case}
    procedure = source.mapping.procedure
    known = zip(cases, with_twins(list(cases.values()), now, procedure), strict=True)
    return {ticket_id: (case, unsaid(case, now, procedure)) for ticket_id, case in known}


def _act_json(act: "Act") -> dict[str, Any]:
    return {"kind": act.kind, "ref": act.ref, "to": act.to}


# --quiet


def _quietly(source_name: str | None, *, as_json: bool) -> None:
    from connector.commands.showing import print_json  # noqa: PLC0415  on demand

    results: list[dict[str, Any]] = []
    sources = chosen_sources(source_name)
    with closing(_store_to_fill()) as store:
        for source in sources:
            counts = dict.fromkeys(("seen", "taken", "unsaid", "not_moved"))
            result: dict[str, Any] = {"source": source.name, **counts, "error": None}
            try:
                result |= _take_as_known(source, store, hidden=as_json)
            except Failure as failure:  # the other sources can be taken in all the same
                result["error"] = failure.message
            results.append(result)
            if result["error"]:
                click.echo(result["error"], err=True)
            if not as_json and result["taken"] is not None:
                told = f"{counted(result['taken'], 'open ticket')} taken as known"
                click.echo(f"{source.name}: {told}, {counted(result['unsaid'], 'comment')} left unsaid")
            if not as_json and result["not_moved"]:
                told = f"{counted(result['not_moved'], 'ticket')} not moved to the status of the stage"
                click.echo(f"{source.name}: {told}; --dry-run --quiet shows which")
    if as_json:
        print_json(results)
    if any(result["error"] for result in results):
        sys.exit(1)


def _store_to_fill() -> "Store":
    """The store, for this process alone if no service runs: one that started meanwhile would say it all."""
    from connector.store import Store, open_database  # noqa: PLC0415  on demand
    from connector.store.errors import InUse  # noqa: PLC0415  on demand

    try:
        return Store(open_database(read_settings().database_url, exclusive=True))
    except InUse:
        return open_store()


def _take_as_known(source: "Source", store: "Store", *, hidden: bool) -> dict[str, Any]:
    """All is read before anything is noted: what one ticket is told of another depends on both."""
    from connector.application import utc_now  # noqa: PLC0415  on demand
    from connector.attention.quiet import not_moved, refs_of  # noqa: PLC0415  on demand

    read = _read_all(source, hidden=hidden, done=lambda ticket_id: store.acts.done_refs(source.name, ticket_id))
    now = utc_now()
    silenced = _silenced(source, read, now)
    taken = comments = unmoved = 0
    left = [f"{each.key} could not be read: {each.error}" for each in read if each.error]
    for each in read:
        if each.case is None:
            continue
        case, acts = silenced[each.seen.ticket_id]
        if _noted(store, source.name, each.seen, refs_of(acts)):
            taken, comments = taken + 1, comments + len(acts)
            unmoved += not_moved(case, acts, now, source.mapping.procedure) is not None
        else:
            left.append(f"{each.key} is in the hands of the running service.")
    error = "\n".join([f"{source.name}: not all tickets were taken in; run this again", *left]) if left else None
    return {"seen": len(read), "taken": taken, "unsaid": comments, "not_moved": unmoved, "error": error}


def _noted(store: "Store", source: str, seen: Sighting, refs: frozenset[str]) -> bool:
    """Whether the store took the ticket in, if need be after the running service has ended its look at it."""
    from connector.application import utc_now  # noqa: PLC0415  on demand

    give_up_at = time.monotonic() + IN_HAND
    while not store.attention.take_as_known(source, seen, refs, utc_now()):
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.1)
    return True
