"""`connector explain`, `connector tickets` and `connector retry`: what is known of tickets, and looking again."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import click

from connector.commands.common import (
    AS_JSON,
    SOURCE,
    Failure,
    asking,
    chosen_sources,
    counted,
    failures_told,
    open_store,
    previewed,
)

if TYPE_CHECKING:
    from connector.attention.source import Source
    from connector.store import Store, TicketState


@click.command(short_help="Why a ticket is where it is.")
@click.argument("ticket")
@SOURCE
@AS_JSON
@failures_told
def explain(ticket: str, source_name: str | None, as_json: bool) -> None:
    """Explain a ticket: its stage, why, what is wrong, and what would be done now. Does nothing to it.

    TICKET is its key or id. The ticket is read from the tracker as it is now. What was done before, and comments that
    stand on the ticket already, are left out of what is to be done. Use it when a ticket is not where you expect it, or
    a comment does not come.

    \b
    Example:
      connector explain CASE-12
    """
    from connector.application import utc_now  # noqa: PLC0415  on demand
    from connector.commands.showing import (  # noqa: PLC0415  on demand
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
    with asking(source):
        ticket_id = state.ticket_id if state else _id_of(source, ticket)
        look = previewed(source, ticket_id, now, told)
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
        echo(explanation_text(look, state, source.mapping.procedure, notes))


@click.command(short_help="List the tickets that are known.")
@click.option("--source", "source_name", metavar="NAME", help="Only this source.")
@click.option("--stuck", is_flag=True, help="Only tickets whose tries are used up.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At the most so many.")
@AS_JSON
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
    from connector.commands.showing import print_json, state_json, tickets_table  # noqa: PLC0415  on demand

    with closing(open_store()) as store:
        states = store.tickets.list_tickets(source_name, stuck_only=stuck, limit=limit + 1)
    if not states and source_name:
        chosen_sources(source_name)  # refuses a name that is none
    shown = states[:limit]
    if as_json:
        print_json([state_json(state) for state in shown])
    elif not shown:
        click.echo("No ticket is stuck." if stuck else "No tickets are known yet: `connector poll` looks for them now.")
    else:
        click.echo(tickets_table(shown, utc_now()))
        if len(states) > limit:
            click.echo("\nThere are more: --limit shows them.")


@click.command(short_help="Look at a ticket again now.")
@click.argument("ticket", required=False)
@SOURCE
@click.option("--all-stuck", is_flag=True, help="Every ticket whose tries are used up.")
@AS_JSON
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
    from connector.commands.showing import print_json  # noqa: PLC0415  on demand

    if (ticket is None) is not all_stuck:
        raise click.UsageError("name one ticket, or use --all-stuck")
    sources = {source.name: source for source in chosen_sources(source_name)}
    held: list[str] = []
    with closing(open_store()) as store:
        if ticket is None:
            count = store.attention.retry_all_stuck(source_name, utc_now())
        else:
            name = _name_of_only(_knowing(ticket, list(sources), store), ticket)
            count = int(store.attention.retry(name, ticket, utc_now()))
            held = _held(sources[name], store, utc_now())
    if as_json:
        print_json({"retried": count})
    elif ticket is None:
        click.echo(f"{counted(count, 'ticket')} will be looked at again now" if count else "No ticket is stuck.")
    else:
        click.echo("\n".join([f"{ticket} will be looked at again{'; but:' if held else ' now'}", *held]))


# One ticket


@contextmanager
def _store_if_any() -> Iterator[tuple["Store | None", str | None]]:
    """The store, or None and why there is none yet."""
    from connector.store.errors import NoDatabase  # noqa: PLC0415  on demand

    try:
        store = open_store()
    except NoDatabase as error:
        yield None, f"Nothing is known of what was done before: {error}"
        return
    with closing(store):
        yield store, None


def _located(ticket: str, source_name: str | None, store: "Store | None") -> tuple["Source", "TicketState | None"]:
    """The source that a ticket belongs to, and what is known of it."""
    sources = {source.name: source for source in chosen_sources(source_name)}
    known = _knowing(ticket, list(sources), store)
    if known or len(sources) > 1:
        if not known:
            raise Failure(f"no source knows a ticket {ticket} yet: name one with --source ({', '.join(sources)})")
        name = _name_of_only(known, ticket)
        return sources[name], known[name]
    return next(iter(sources.values())), None


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


def _id_of(source: "Source", ticket: str) -> str:
    """The id of a ticket that the store does not know: the tracker is asked for its key."""
    found = ticket if ticket.isdecimal() else source.tracker.find(ticket)
    if found is None:
        raise Failure(f"{source.name} has no ticket {ticket} that this account can see")
    return found


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
