"""Writing the draft of a mapping, a remark behind each line: where it is from, and how sure it is.

What the file says already is its author's: it is kept, marked "yours", and only the rest is drafted. Nothing is guessed
silently. What is needed and was not found is left empty, which `connector check` refuses with its line.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from connector.inquiry.case import FACTS
from connector.inquiry.procedure import STAGES, Procedure
from connector.mapping.schema import NEEDED_FACTS, fold
from connector.setup.discover import Connection, Match, Sureness, match_fields, match_statuses, of_wrong_kind
from connector.setup.wanted import FIELDS
from connector.trackers.setup_port import USABLE, FoundField, Inventory

# Plain in YAML, and no word that YAML reads as something else than text.
_PLAIN = re.compile(
    r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z][\w .-]*[\w.]|(?![yYnN]$)[A-Za-z]", re.IGNORECASE
)
_MOST_LISTED = 40
_NO_WIDTH = 10**9  # lines are never broken
_COLUMN = 46  # where the remarks begin


def draft(connection: Connection, inventory: Inventory, *, write_ids: bool = False) -> str:
    """The mapping file's text. `write_ids`: fields are named by their ids, for trackers where names are only labels."""
    own = _Own(connection.data)
    taken = {fold(_field_of(entry)) for entry in own.fields.values()}
    others = [each for each in inventory.fields if not {fold(each.name), fold(each.id)} & taken]
    free = [_named_once(each, inventory.fields, write_ids) for each in others]
    matches = match_fields(free, [fact for fact in FACTS if fact not in own.fields])
    return "\n".join(
        [
            *_heading([fact for fact in NEEDED_FACTS if fact not in matches and fact not in own.fields]),
            *_kept(connection.data),
            "",
            "# Which field of the ticket holds which fact. Behind each: how sure it is, and the kind of field.",
            "fields:",
            *_all_field_lines(own, matches, free, inventory.fields, connection.procedure),
            *_status_lines(own, inventory.statuses, {*matches, *own.fields}),
            *_left_over(free, matches),
            "",
        ]
    )


class _Own:
    """What the file says already of fields, statuses and records: each group's entries that are filled in."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.fields = _filled_in(data.get("fields"))
        self.statuses = _filled_in(data.get("statuses"))
        self.records = _filled_in(data.get("records"))


def _filled_in(group: object) -> dict[str, Any]:
    entries = group.items() if isinstance(group, dict) else ()
    return {key: value for key, value in entries if value not in (None, "")}


def _field_of(entry: object) -> str:
    """The field that an entry names; of no use if the entry is not one."""
    return str(entry.get("field") if isinstance(entry, dict) else entry)


def _named_once(field: FoundField, fields: Sequence[FoundField], write_ids: bool) -> FoundField:
    """The field, with an id only if that must be written: its name is not its own, or no name for a mapping."""
    twins = sum(fold(each.name) == fold(field.name) for each in fields)
    fit = field.name.isprintable() and not field.name.strip().isdecimal() and len(field.name) <= 255
    return field if write_ids or twins > 1 or not fit else replace(field, id="")


def _heading(missing: Sequence[str]) -> Iterator[str]:
    yield "# A draft, made by `connector discover` from what the tracker has. Read every line: names can deceive."
    yield "# Fill in what is left empty, take away what is wrong, then run: connector check, connector check --live"
    yield '# What your file said already is kept and marked "yours"; its remarks are not.'
    if missing:
        yield f"# Needed and not found: {', '.join(missing)}. `connector provision` can create such fields:"
        yield "# write the names they shall have behind the colons, and run it."


def _kept(data: Mapping[str, Any]) -> Iterator[str]:
    """What the file says already, but for what is drafted here."""
    kept = {key: value for key, value in data.items() if key not in {"fields", "statuses", "records", "office"}}
    yield yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=1000).rstrip()
    yield ""
    office = data.get("office")
    known = {key: value for key, value in office.items() if value is not None} if isinstance(office, dict) else {}
    yield "office:"
    if "time_zone" not in known:
        yield _line("  time_zone:", "FILL IN: where your office is, as in America/New_York")
    for key, value in known.items():
        yield from _entry(key, value, "yours")
    if not known:
        yield _line('  act_at: "09:00"', "when your people start work; keep the quotes")


def _all_field_lines(
    own: _Own,
    matches: Mapping[str, Match],
    free: Sequence[FoundField],
    there: Sequence[FoundField],
    procedure: Procedure,
) -> Iterator[str]:
    for fact in FACTS:
        if fact in own.fields:
            yield from _own_field_lines(fact, own.fields[fact], there, procedure)
        else:
            yield from _field_lines(fact, matches.get(fact), of_wrong_kind(fact, free), procedure)
    for key, entry in own.fields.items():
        if key not in FACTS:
            yield from _entry(key, entry, "yours; no fact of this name is known")


def _own_field_lines(fact: str, entry: object, there: Sequence[FoundField], procedure: Procedure) -> Iterator[str]:
    name = fold(_field_of(entry))
    found = next((each for each in there if name in {fold(each.name), fold(each.id)}), None)
    kind = FIELDS[fact][0]
    if found is None:
        remark = f"the tracker shows no such field ({kind}) among these tickets"
    elif found.type is None or found.type not in USABLE[kind]:
        remark = f"but it is of the wrong kind ({found.type or 'none that holds a fact'}): {fact} needs {kind}"
    else:
        remark = found.type
    yield from _entry(fact, entry, f"yours; {remark}")
    if fact == "service_center" and found is not None:
        values = entry.get("values") if isinstance(entry, dict) else None
        yield from _unknown_choices(found, procedure, values if isinstance(values, dict) else ())


def _field_lines(fact: str, match: Match | None, wrong: FoundField | None, procedure: Procedure) -> Iterator[str]:
    """`wrong`: a field that could be meant, but for its kind."""
    kind, help_text = FIELDS[fact]
    if match is None:
        found = "nothing found"
        if wrong is not None:
            found = f'"{_printable(wrong.name)}" is of the wrong kind ({wrong.type or "none that holds a fact"})'
        if fact in NEEDED_FACTS:
            yield _line(f"  {fact}:", f"FILL IN ({kind}): {found}. {help_text}")
        else:
            yield _line(f"  # {fact}:", f"{found}, needed is {kind}; leave it out, or fill it in. {help_text}")
        return
    field = match.field
    remark = f"{match.sureness}; {field.type}" + (f'; this is "{_printable(field.name)}"' if field.id else "")
    yield _line(f"  {fact}: {_scalar(field.id or field.name)}", remark)
    for rival in match.rivals:
        yield _line("", f'or "{_printable(rival.name)}"{f" ({rival.id})" if rival.id else ""}? It looks the same')
    if fact == "service_center":
        yield from _unknown_choices(field, procedure)
    if fact == "protected" and field.type == "select":
        yield _line("", "every choice but No counts as protected; for other words see `values` in README.md")


def _unknown_choices(field: FoundField, procedure: Procedure, told: Iterable[str] = ()) -> Iterator[str]:
    """`told`: the choices whose meaning the mapping says."""
    if field.type == "select" and not field.options:
        yield _line("", "no choices were seen, so they were not looked at: each must name a Service Center (README.md)")
    known = {fold(each) for each in told}
    unknown = [each for each in field.options if fold(each) not in known and procedure.center_named(each) is None]
    if unknown:
        names = ", ".join(f'"{_printable(each)}"' for each in unknown[:_MOST_LISTED])
        yield _line("", f"unknown choices: {names}; say under `values` which centre each means (README.md)")


def _status_lines(own: _Own, statuses: Sequence[str], facts: Collection[str]) -> Iterator[str]:
    taken = {fold(str(each)) for each in (*own.statuses.values(), *own.records)}
    free = [each for each in statuses if fold(each) not in taken]
    unsaid = set(facts) - set(map(str, own.records.values()))
    stages, records = match_statuses(free, unsaid, [each for each in STAGES if each not in own.statuses])
    known = {fold(each) for each in statuses}
    yield ""
    yield "# Where a ticket is moved when its case enters a stage. Left: the stage. Right: a status of your workflow."
    yield "statuses:"
    yield from _stage_lines(own, stages, known)
    yield ""
    yield "# Statuses that fill in a date by themselves. Left: a status of your workflow. Right: the fact."
    yield "records:"
    for status, fact in own.records.items():
        yield from _entry(status, fact, _own_status(status, known))
    for fact, (status, sureness) in records.items():
        yield _line(f"  {_scalar(status)}: {fact}", sureness)
    used = {status for status, _ in (*stages.values(), *records.values())}
    others = [each for each in free if each not in used]
    if others:
        yield f"# Other statuses of these tickets: {_listed(others)}"


def _stage_lines(own: _Own, stages: Mapping[str, tuple[str, Sureness]], known: Collection[str]) -> Iterator[str]:
    for stage in STAGES:
        if stage in own.statuses:
            yield from _entry(stage, own.statuses[stage], _own_status(own.statuses[stage], known))
        elif stage in stages:
            status, sureness = stages[stage]
            yield _line(f"  {stage}: {_scalar(status)}", sureness)
        elif stage != "answered":
            yield _line(f"  # {stage}:", "no such status found; leave it out, or fill it in")
    for key, status in own.statuses.items():
        if key not in STAGES:
            yield from _entry(key, status, "yours; no stage of this name is known")


def _own_status(status: object, known: Collection[str]) -> str:
    return "yours" if fold(str(status)) in known else "yours; the tracker shows no such status among these tickets"


def _left_over(fields: Sequence[FoundField], matches: Mapping[str, Match]) -> Iterator[str]:
    used = [match.field for match in matches.values()]
    others = [each for each in fields if each.type is not None and each not in used]
    if others:
        yield ""
        yield f"# Other fields that could hold a fact: {_listed(f'{each.name} ({each.type})' for each in others)}"


def _listed(names: Iterable[str]) -> str:
    listed = [_printable(each) for each in names]
    more = f", and {len(listed) - _MOST_LISTED} more" if len(listed) > _MOST_LISTED else ""
    return ", ".join(listed[:_MOST_LISTED]) + more


def _line(text: str, remark: str) -> str:
    return f"{text:<{_COLUMN}} # {remark}"


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)


def _entry(key: str, value: object, remark: str) -> Iterator[str]:
    """One entry of a group as it was written, in YAML; the remark behind its first line."""
    if isinstance(value, dict) and value:
        yield _line(f"  {_scalar(key)}:", remark)
        yield from _block(value, "    ")
    else:
        yield _line(f"  {_scalar(key)}: {_flow(value)}", remark)


def _block(group: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in group.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{_scalar(key)}:"
            yield from _block(value, f"{indent}  ")
        else:
            yield f"{indent}{_scalar(key)}: {_flow(value)}"


def _flow(value: object) -> str:
    """Any value on one line, as YAML reads it back."""
    if isinstance(value, str):
        return _scalar(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)


def _scalar(text: str) -> str:
    """One text on one line, as YAML reads it back."""
    if _PLAIN.fullmatch(text) and "  " not in text:
        return text
    return str(yaml.safe_dump(text, default_style='"', allow_unicode=True, width=_NO_WIDTH)).rstrip("\n")
