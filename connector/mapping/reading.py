"""From a ticket's fields to the Case: what staff typed, made into facts, and what is wrong with the rest.

Nothing here raises for what a person can type, and no message repeats what could be a Social Security number.
"""

import math
import re
import unicodedata
from collections import abc
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from connector.inquiry.case import DEFAULT_LABELS, FACTS, Case, Moment, Problem
from connector.inquiry.identifiers import IdentifierError, alien_number, form_type, looks_like_ssn, receipt_number
from connector.mapping.moments import MomentError, read_moment
from connector.mapping.schema import FieldRef, Mapping, fold

MAX_TEXT = 300  # characters of a free text that are kept
_MAX_QUOTE = 40
_MAX_NUMBER = 10**40  # no number in a ticket has more digits; longer ones cannot be printed cheaply

# A `protected` field says no only in these words. Anything else says yes: a case that is wrongly held back costs a
# look, one that is wrongly sent to the ordinary addresses can cost a person's safety.
_NOT_PROTECTED = frozenset({"no", "n", "false", "0", "none", "n/a", "na", "-", "off", "not protected", "unprotected"})
# In a free text these say that nothing was noted.
_NOTHING = frozenset({"none", "n/a", "na", "-", "--", "not issued", "none issued"})

# Characters that print nothing and could hide or reorder what is around them. Joiners stay: names need them.
_INVISIBLE = frozenset("\u200b\u200e\u200f\u2060\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_FREE_TEXTS = ("ncsc_representative", "service_request_number", "no_service_request_reason")
_MOMENTS = ("called_at", "service_center_emailed_at", "headquarters_emailed_at", "answered_at")


class Change(Protocol):
    """One entry of a ticket's history, as connector.trackers.port has it."""

    @property
    def field(self) -> str: ...
    @property
    def to(self) -> str: ...
    @property
    def at(self) -> datetime: ...


class Ticket(Protocol):
    """The parts of connector.trackers.port.Ticket that are read here."""

    @property
    def id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def closed(self) -> bool: ...
    @property
    def fields(self) -> abc.Mapping[str, Any]: ...
    @property
    def labels(self) -> abc.Mapping[str, str]: ...
    @property
    def due_on(self) -> date | None: ...
    @property
    def history(self) -> abc.Sequence[Change]: ...
    @property
    def refs(self) -> frozenset[str]: ...


def wanted_fields(mapping: Mapping) -> list[str]:
    """The fields that a ticket must be fetched with, as the mapping names them."""
    return [mapping.fields[fact].field for fact in FACTS if fact in mapping.fields]


def read_case(
    ticket: Ticket, mapping: Mapping, *, twins: abc.Iterable[str] = (), told: frozenset[str] = frozenset()
) -> Case:
    """The case on a ticket. Facts that cannot be read are None and told in `problems`, in the order of FACTS.

    `twins` are the keys of other open tickets with the same receipt number; `told` are refs known to be done, to which
    those in the ticket's own comments are added.
    """
    reader = _Reader(ticket, mapping)
    facts = reader.facts()
    recorded = reader.record(facts)
    return Case(
        source=mapping.source,
        ticket_id=ticket.id,
        **facts,
        closed=ticket.closed,
        status=ticket.status,
        due_on=ticket.due_on,
        problems=tuple(sorted(reader.problems, key=lambda problem: FACTS.index(problem.field))),
        recorded=recorded,
        labels=reader.labels,
        kept=frozenset(mapping.fields),
        told=told | ticket.refs,
        entered=tuple((change.to, change.at) for change in ticket.history if change.field == "status"),
        due_before=frozenset(date.fromisoformat(each.to) for each in ticket.history if each.field == "due" and each.to),
        twins=tuple(twins),
    )


class _FactError(Exception):
    """A fact cannot be read; `message` continues the field's label."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


class _Reader:
    """Reads one ticket; `problems` collects what is wrong with it."""

    def __init__(self, ticket: Ticket, mapping: Mapping) -> None:
        self.ticket = ticket
        self.mapping = mapping
        self.labels = MappingProxyType(_labels(ticket, mapping))
        self.problems: list[Problem] = []

    def facts(self) -> dict[str, Any]:
        facts = {fact: self._fact(fact, ref) for fact, ref in self.mapping.fields.items()}
        if self._repeats_an_identifier(facts):
            facts["service_request_number"] = None
        return facts

    def _fact(self, fact: str, ref: FieldRef) -> Any:
        value = self.ticket.fields.get(ref.field)
        if fact == "protected":
            return _is_protected(value, ref)
        text = _translated(value, ref)
        if not text:
            return None
        try:
            return self._read(fact, text)
        except (IdentifierError, MomentError, _FactError) as error:
            # Of a date only what is wrong is told; identifiers and numbers quote their own value.
            quote = _quoted(text) if isinstance(error, MomentError) else ""
            self._problem(fact, error.code, f"{quote}{error.message}")
            return None

    def _read(self, fact: str, text: str) -> Any:  # noqa: PLR0911  one kind of fact, one line
        if fact == "receipt_number":
            return receipt_number(text)
        if fact == "alien_number":
            return alien_number(text)
        if fact == "form_type":
            return form_type(text)
        if fact == "filed_on":
            moment = read_moment(text, self._zone)
            return moment.at.astimezone(self._zone).date() if moment else None
        if fact in _MOMENTS:
            return read_moment(text, self._zone)
        if fact == "promised_days":
            return _days(text)
        if fact == "service_center":
            return self._center(text)
        return _free_text(text)

    @property
    def _zone(self) -> ZoneInfo:
        return self.mapping.procedure.office.time_zone

    def _center(self, text: str) -> str:
        key = self.mapping.procedure.center_named(text)
        if key is None:
            names = ", ".join(center.name for center in self.mapping.procedure.service_centers.values())
            raise _FactError("unknown_center", f"{_quoted(text)}is not a Service Center: write one of {names}")
        return key

    def _repeats_an_identifier(self, facts: abc.Mapping[str, Any]) -> bool:
        """Whether staff wrote the receipt number or the A-number where the service request number belongs.

        The service request number has no shape that could be checked otherwise (facts: guidance 3.2).
        """
        text = unicodedata.normalize("NFKC", facts.get("service_request_number") or "").upper()
        compact = re.sub(r"[^A-Z0-9*]", "", text)
        how = "write the number that the NCSC gave for the request, or leave it empty"
        if compact and compact == facts.get("receipt_number"):
            self._problem("service_request_number", "same_as_receipt", f"is the receipt number: {how}")
            return True
        if re.fullmatch(r"A?[0-9]{7,9}", compact) and compact.lstrip("A").zfill(9) == facts.get("alien_number"):
            self._problem("service_request_number", "same_as_alien_number", f"is the A-number: {how}")
            return True
        return False

    def record(self, facts: dict[str, Any]) -> frozenset[str]:
        """Fill empty facts that a status records with the moment of the change into it; returns those filled."""
        wrong = {problem.field for problem in self.problems}
        empty = {fact for fact in self.mapping.records.values() if facts[fact] is None and fact not in wrong}
        return frozenset(fact for fact in empty if self._recorded(fact, facts))

    def _recorded(self, fact: str, facts: dict[str, Any]) -> bool:
        """Whether the history tells when the ticket last came to a status that records `fact`, which is then filled.

        A field that was emptied after that change was emptied by a person, who thereby took the record back.
        """
        statuses = {fold(status) for status, recorded in self.mapping.records.items() if recorded == fact}
        history = self.ticket.history
        moments = [change.at for change in history if change.field == "status" and fold(change.to) in statuses]
        latest = max(moments, default=None)
        name = self.mapping.fields[fact].field
        emptied = [change.at for change in history if fold(change.field) == fold(name) and not change.to.strip()]
        if latest is None:
            if fold(self.ticket.status) in statuses and not emptied:
                here = f'the ticket stands in "{self.ticket.status}"'
                self._problem(fact, "moment_unknown", f"is empty: {here}, but its history does not say since when")
            return False
        if any(at > latest for at in emptied):
            return False
        facts[fact] = Moment(latest)
        return True

    def _problem(self, fact: str, code: str, message: str) -> None:
        label = self.labels.get(fact) or DEFAULT_LABELS[fact]
        text = f"{label} {message}"
        if looks_like_ssn(text):  # the last guard: whatever was put together above
            code = "looks_like_ssn"
            text = f"{DEFAULT_LABELS[fact]} holds what looks like a Social Security number: remove it"
        self.problems.append(Problem(fact, code, text))


def _labels(ticket: Ticket, mapping: Mapping) -> dict[str, str]:
    """fact -> the field's name as staff see it. An id that the tracker gave no name for is no label."""
    labels = {}
    for fact, ref in mapping.fields.items():
        name = ticket.labels.get(ref.field) or ref.field
        if not re.fullmatch(r"customfield_\d+", name):
            labels[fact] = name
    return labels


def _translated(value: Any, ref: FieldRef) -> str:
    """A field's value as one line of text, in our terms where the mapping says so; "" if there is none."""
    texts = (ref.values.get(fold(text), text) for text in _texts(value))
    return ", ".join(filter(None, texts))


def _texts(value: Any) -> list[str]:
    """The texts of a field's value, cleaned. A box that is not ticked, and what no tracker sends, is no text."""
    if isinstance(value, list):
        return [text for item in value if not isinstance(item, list) for text in _texts(item)]
    if isinstance(value, bool):
        return ["yes"] if value else []
    if isinstance(value, int | float):
        return _number_text(value)
    text = _clean(value) if isinstance(value, str) else ""
    return [text] if text else []


def _number_text(value: float) -> list[str]:
    if abs(value) >= _MAX_NUMBER or math.isnan(value):
        return []
    return [str(int(value)) if value == int(value) else str(value)]


def _clean(text: str) -> str:
    """`text` in one line, without control characters, surrogates and marks that hide or reorder what is shown."""
    kept = (
        " " if character.isspace() else character
        for character in text
        if character.isspace() or (character not in _INVISIBLE and unicodedata.category(character) not in {"Cc", "Cs"})
    )
    return " ".join("".join(kept).split())


def _free_text(text: str) -> str | None:
    """A text that goes into the letter as it is. Raises _FactError for one that may hold a Social Security number."""
    kept = text[:MAX_TEXT].rstrip()
    if looks_like_ssn(text) or looks_like_ssn(kept):
        raise _FactError("looks_like_ssn", "holds what looks like a Social Security number: remove it")
    return None if kept.casefold() in _NOTHING else kept


def _days(text: str) -> int:
    match = re.fullmatch(r"(\d{1,4})(?:\.0+)?(?:\s*days?)?\.?", text, re.ASCII | re.IGNORECASE)
    days = int(match[1]) if match else -1
    if not 0 <= days <= 3650:
        raise _FactError("bad_number", f"{_quoted(text)}is not a number of days: write a whole number such as 30")
    return days


def _is_protected(value: Any, ref: FieldRef) -> bool:
    if isinstance(value, list):
        return any(_is_protected(item, ref) for item in value)
    if isinstance(value, dict):
        return bool(value)
    texts = [ref.values.get(fold(text), text) for text in _texts(value)]
    return any(fold(text).rstrip(".") not in _NOT_PROTECTED for text in texts)


def _quoted(text: str) -> str:
    """`text` in quotation marks and a space, cut; "" if it could hold a Social Security number."""
    if looks_like_ssn(text) or re.search(r"\d{9}", text):
        return ""
    shown = text if len(text) <= _MAX_QUOTE else text[: _MAX_QUOTE - 1].rstrip() + "…"
    shown = shown.replace('"', "'")
    return f'"{shown}" '
