"""What commands print: tables and texts for people, JSON for programs."""

import json
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict
from zoneinfo import ZoneInfo

import click
from tabulate import tabulate

from connector.inquiry.acts import Act
from connector.inquiry.markup import Markup, render
from connector.inquiry.procedure import Procedure
from connector.inquiry.wording import day_text, moment_text

if TYPE_CHECKING:  # both would bring in the database, which `simulate` does not need
    from connector.attention.look import Look
    from connector.store.tickets import TicketState

WIDEST = 100  # columns; longer lines are hard to read
_DOING = {"comment": "comment", "transition": "move to", "due_date": "due date", "set_field": "fill"}
# What the stages are called in a text for people.
STAGE_WORDS = {
    "collect_details": "something needed before the call is missing",
    "call_ncsc": "ready to call the NCSC",
    "awaiting_ncsc": "waiting for the NCSC",
    "email_service_center": "time to e-mail the Service Center",
    "awaiting_service_center": "waiting for the Service Center",
    "email_headquarters": "time to e-mail Headquarters",
    "awaiting_headquarters": "waiting for Headquarters",
    "headquarters_overdue": "Headquarters has not kept its days",
    "answered": "answered or closed",
    "protected": "the office's separate route",
}
_ACTS = 44  # columns of a table for acts, so that the table fits into 80


class Preview(TypedDict):
    """One ticket of `backfill --dry-run`. `error` says why it could not be read; then the rest is empty."""

    source: str
    ticket: str
    stage: str | None
    acts: list[dict[str, Any]]  # kind, ref, to
    problems: list[dict[str, str]]  # field, code
    error: str | None
    unsaid: NotRequired[list[dict[str, Any]]]  # with --quiet: the comments that would count as posted
    not_moved: NotRequired[str | None]  # with --quiet: the status of its stage, to which it would not be moved


# JSON


def print_json(value: object) -> None:
    """One JSON value on standard output, whatever characters the terminal knows."""
    click.echo(json.dumps(value, indent=2))


def moment_json(moment: datetime | None) -> str | None:
    """UTC, ISO 8601: 2026-04-01T13:00:00Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


def decision_json(look: "Look", markup: Markup) -> dict[str, Any]:
    """The shape that `simulate --json` promises. Bodies are in the tracker's own markup, as they would be posted."""
    decision = look.decision
    return {
        "stage": decision.stage,
        "attend_at": moment_json(decision.attend_at),
        "problems": [
            {"field": problem.field, "code": problem.code, "message": problem.message} for problem in decision.problems
        ],
        "acts": [{"kind": act.kind, "ref": act.ref, "to": act.to, "body": _body(act, markup)} for act in decision.acts],
        "reasons": [{"code": reason.code, "message": reason.message} for reason in decision.reasons],
        "service_center": decision.service_center,
    }


def state_json(state: "TicketState") -> dict[str, Any]:
    """A ticket as the store knows it."""
    return {
        "source": state.source,
        "ticket": state.key or state.ticket_id,
        "ticket_id": state.ticket_id,
        "stage": state.stage,
        "attend_at": moment_json(state.attend_at),
        "attended_at": moment_json(state.attended_at),
        "attempts": state.attempts,
        "stuck_since": moment_json(state.stuck_since),
        "error": state.error,
    }


def _body(act: Act, markup: Markup) -> str | None:
    return render(act.signed(), markup) if act.kind == "comment" else act.body


# For people


def echo(text: str) -> None:
    """Print text that may quote a ticket: what could steer the terminal is left out."""
    click.echo("".join(each if each.isprintable() or each == "\n" else " " for each in text))


def decision_text(look: "Look", procedure: Procedure) -> str:
    """The decision for a person at a terminal; moments in the office's own time."""
    decision, zone = look.decision, procedure.office.time_zone
    lines = [
        f"{look.ticket.key or look.ticket.id}, status {look.ticket.status or 'unknown'}",
        f"Stage:      {decision.stage}: {STAGE_WORDS[decision.stage]}",
        f"Next look:  {moment_text(decision.attend_at, zone) if decision.attend_at else 'when the ticket changes'}",
    ]
    if decision.service_center and decision.stage != "protected":
        lines.append(f"Center:     {procedure.service_centers[decision.service_center].name}")
    lines += _listed("Why:", [reason.message for reason in decision.reasons])
    lines += _listed("Problems:", [problem.message for problem in decision.problems])
    lines += ["", "To be done now:" if decision.acts else "Nothing is left to be done now."]
    for act in decision.acts:
        lines += _act_lines(act, look.case.label, zone)
    return "\n".join(lines)


def explanation_text(look: "Look", state: "TicketState | None", procedure: Procedure, notes: Sequence[str]) -> str:
    """The decision, what the store knows of the ticket, and notes on what holds it up."""
    lines = [*_known(state, look.ticket.key, procedure.office.time_zone), *notes]
    return "\n".join([decision_text(look, procedure), "", *(_wrapped(line, "", "") for line in lines)])


def _known(state: "TicketState | None", key: str, zone: ZoneInfo) -> Iterator[str]:
    if state is None:
        yield "The connector's database does not know this ticket yet: a webhook or the next poll tells of it."
        return
    if state.attended_at:
        yield f"The connector last attended to it on {moment_text(state.attended_at, zone)}."
    else:
        yield "The connector knows this ticket and has not attended to it yet."
    if state.stuck_since:
        why = state.error or "no reason noted"
        yield f"Stuck: its tries are used up since {moment_text(state.stuck_since, zone)}. The last one failed: {why}"
        yield f"When that is mended: connector retry {key}"
    elif state.error:
        again = f" It is tried again on {moment_text(state.attend_at, zone)}." if state.attend_at else ""
        yield f"The last try failed: {state.error}{again}"


def tickets_table(states: Sequence["TicketState"], now: datetime) -> str:
    """Known tickets, a line each, and below them what troubles them."""
    rows = [(state.source, _name(state), state.stage or "(not yet attended)", _next(state, now)) for state in states]
    troubles = [
        f"{_name(state)}: {'stuck, ' if state.stuck_since else ''}{state.error or 'no reason noted'}"
        for state in states
        if state.stuck_since or state.error
    ]
    table = tabulate(rows, headers=("Source", "Ticket", "Stage", "Next look"), disable_numparse=True)
    return "\n".join([table, *_listed("Trouble:", troubles)])


def backfill_table(rows: Sequence[Preview]) -> str:
    """What adopting each ticket would do, a line each, and below them what is wrong with them."""
    quiet = any("unsaid" in row for row in rows)
    shown = [(row["ticket"], row["stage"] or "", _would_do(row), *([_left_out(row)] if quiet else [])) for row in rows]
    headers = ("Ticket", "Stage", "Would do", *(["Left unsaid"] if quiet else []))
    width = _ACTS // (len(headers) - 2) - 2
    widths = [None, None, *[width] * (len(headers) - 2)]
    table = tabulate(shown, headers=headers, maxcolwidths=widths, disable_numparse=True)
    problems = [
        f"{row['ticket']}: {', '.join(problem['field'] + ' (' + problem['code'] + ')' for problem in row['problems'])}"
        for row in rows
        if row["problems"]
    ]
    return "\n".join([table, *_listed("Problems:", problems)])


def _name(state: "TicketState") -> str:
    return state.key or state.ticket_id


def _next(state: "TicketState", now: datetime) -> str:
    if state.stuck_since:
        return "stuck"
    if state.attend_at is None:
        return "when it changes"
    return "now" if state.attend_at <= now else f"{state.attend_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _would_do(row: Preview) -> str:
    if row["error"]:
        return f"not read: {row['error']}"
    return _acts_text(row["acts"])


def _left_out(row: Preview) -> str:
    unsaid, status = _acts_text(row.get("unsaid", ())), row.get("not_moved")
    return f"{unsaid}; status not moved to {status}" if status else unsaid


def _acts_text(acts: Iterable[dict[str, Any]]) -> str:
    return ", ".join(_DOING[each["kind"]] + (f" {each['to']}" if each["to"] else "") for each in acts)


def _act_lines(act: Act, label: Any, zone: ZoneInfo) -> Iterable[str]:
    to, body = act.to or "", act.body or ""
    match act.kind:
        case "comment":
            yield from ("", f"  Comment{_about(to)} (ref {act.ref}):")
            for line in (_body(act, "text") or "").splitlines():
                margin = f"  | {line[: len(line) - len(line.lstrip())]}"
                yield _wrapped(line.strip(), margin, margin) or "  |"
        case "transition":
            yield f"  Move the ticket to {to}"
        case "due_date":
            yield f"  Set the due date to {day_text(date.fromisoformat(to))}"
        case "set_field":
            yield f"  Fill {label(to)} with {moment_text(datetime.fromisoformat(body), zone)}"


def _about(to: str) -> str:
    """What a comment is for: nobody but staff gets it, whoever's address stands in it."""
    if not to:
        return ""
    return f" with the letter to {to}" if "@" in to else f" for the call to {to}"


def _listed(heading: str, items: Sequence[str]) -> list[str]:
    return ["", heading, *(_wrapped(item, "  - ", "    ") for item in items)] if items else []


def _wrapped(text: str, first: str, following: str) -> str:
    """`text` on lines that fit the terminal; a long word, such as a link, stays whole."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    return textwrap.fill(
        text,
        max(width, 20),
        initial_indent=first,
        subsequent_indent=following,
        break_long_words=False,
        break_on_hyphens=False,
    )
