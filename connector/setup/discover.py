"""Looking for a mapping in what a tracker has: which field looks like it holds which fact, and how sure that is.

Names are compared as sets of words, with what offices call these things. connector.setup.draft writes it down.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from marshmallow import EXCLUDE

from connector.inquiry.case import DEFAULT_LABELS, FACTS
from connector.inquiry.procedure import SHIPPED, STAGES, Procedure
from connector.mapping.document import read_document
from connector.mapping.loading import MappingError, load_mapping, load_procedure
from connector.mapping.schema import RECORDABLE, MappingSchema, TrackerSettings
from connector.setup.wanted import FIELDS
from connector.trackers.setup_port import FieldType, FoundField

Sureness = Literal["sure", "likely", "a guess"]
_SURENESS: Mapping[int, Sureness] = MappingProxyType({3: "sure", 2: "likely", 1: "a guess"})

# The kinds of field that a draft puts a fact on, best first. People may choose others, which `check --live` looks at.
_KINDS: Mapping[FieldType, tuple[FieldType, ...]] = MappingProxyType(
    {
        "text": ("text",),
        "date": ("date", "datetime"),
        "datetime": ("datetime", "date"),
        "number": ("number", "text"),
        "select": ("select", "text"),
        "boolean": ("boolean", "select"),
    }
)
_ALSO_LISTS = frozenset({"form_type", "no_service_request_reason", "ncsc_representative"})

# What offices call the fields, in the words that `words` makes of them. A set of words is a name in any order.
_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "receipt_number": (
            "uscis receipt",
            "uscis receipt number",
            "receipt",
            "case receipt number",
            "uscis case number",
        ),
        "alien_number": (
            "alien number",
            "alien registration number",
            "uscis a number",
            "anumber",
            "alien registration",
        ),
        "form_type": (
            "form",
            "application type",
            "petition type",
            "type of application filed",
            "form number",
            "uscis form",
        ),
        "filed_on": ("filed on", "filing date", "received date", "receipt date", "filed"),
        "ncsc_representative": (
            "representative",
            "representative id",
            "representative name",
            "ncsc agent",
            "ncsc officer",
        ),
        "called_at": (
            "called at",
            "ncsc call",
            "call date",
            "ncsc called",
            "ncsc call date",
            "date called",
            "ncsc contacted",
        ),
        "service_request_number": (
            "service request",
            "sr number",
            "srn",
            "referral number",
            "service request referral number",
        ),
        "no_service_request_reason": ("why no service request", "reason for no service request"),
        "promised_days": ("promised wait", "wait days", "days to wait", "ncsc promised days"),
        "service_center": ("uscis service center", "processing center", "uscis center", "center"),
        "service_center_emailed_at": (
            "service center emailed",
            "service center email date",
            "date service center emailed",
            "service center contacted",
        ),
        "headquarters_emailed_at": (
            "headquarters emailed",
            "headquarters email date",
            "date headquarters emailed",
            "headquarters contacted",
        ),
        "answered_at": (
            "answered",
            "answer received",
            "response received",
            "response date",
            "date answered",
            "reply received",
        ),
        "protected": ("protected case", "separate route", "special route"),
    }
)
# A guess: all of these words, and none of those. The first that fits counts.
_HINTS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "receipt_number": (("receipt", "date notice filed"),),
        "alien_number": (("alien", ""),),
        "form_type": (("form", "date filed"), ("application", "date filed number")),
        "filed_on": (("filed", ""), ("filing", "")),
        "ncsc_representative": (("representative", "client attorney legal"), ("ncsc name", "")),
        "called_at": (("called", ""), ("call", "")),
        "service_request_number": (("service request", "no reason why"),),
        "no_service_request_reason": (("reason request", ""),),
        "promised_days": (("promised", ""), ("days", "")),
        "service_center": (("service center", "emailed email contacted date"),),
        "service_center_emailed_at": (("center emailed", ""), ("center email", ""), ("center contacted", "")),
        "headquarters_emailed_at": (("headquarters", ""),),
        "answered_at": (("answered", ""), ("answer", ""), ("response", ""), ("reply", "")),
        "protected": (("protected", ""),),
    }
)
_STAGE_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "collect_details": ("details missing", "incomplete", "needs details", "waiting for details"),
        "call_ncsc": ("ready to call", "to call", "ready to call ncsc"),
        "awaiting_ncsc": ("waiting for ncsc", "waiting on ncsc"),
        "email_service_center": ("ready to email service center", "write to service center"),
        "awaiting_service_center": ("waiting for service center", "waiting on service center"),
        "email_headquarters": ("ready to email headquarters", "write to headquarters"),
        "awaiting_headquarters": ("waiting for headquarters", "waiting on headquarters"),
        "headquarters_overdue": ("overdue headquarters", "headquarters late"),
        "protected": ("separate route", "special route"),
    }
)
_RECORD_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "called_at": ("called ncsc", "ncsc called"),
        "service_center_emailed_at": ("emailed service center", "service center emailed"),
        "headquarters_emailed_at": ("emailed headquarters", "headquarters emailed"),
        "answered_at": ("answered", "answer received"),
    }
)
_SPELLINGS = {
    "#": " number ",
    "e-mail": "email",
    "centre": "center",
    "no.": " number ",
    "a-number": "a number",
}
_SAME_WORDS = {
    "num": "number",
    "nr": "number",
    "hq": "headquarters",
    "rep": "representative",
    "mailed": "emailed",
    "sc": "service center",
}
_IDLE_WORDS = frozenset({"the", "of", "to", "for", "at", "on"})

NAMED_BY_ID = frozenset({"zammad"})  # trackers where a field's name is only a label, and may change


# --- what may stand in the file before there is a mapping -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connection:
    """As much of a mapping file as it takes to look at its tracker. `data` is all of the file."""

    source: str
    tracker: TrackerSettings
    scope: str
    data: Mapping[str, Any]
    procedure: Procedure


def read_connection(path: Path) -> Connection:
    """The connection in a mapping file, finished or not. Raises MappingError with what is wrong with these parts."""
    document = read_document(path)
    mistakes = []
    try:
        load_mapping(path)
    except MappingError as error:
        needed = ("tracker", "scope", "(file)")
        mistakes = [each for each in error.mistakes if each.path.split(".")[0] in needed]
    if mistakes or not document.data:
        raise MappingError(mistakes or document.mistakes)
    schema = MappingSchema(only=("tracker", "scope"), unknown=EXCLUDE)
    loaded = schema.load({key: document.data[key] for key in ("tracker", "scope")})
    tracker, base = loaded["tracker"], path.parent
    secrets = tuple(secret.under(base) for secret in tracker["webhook_secrets"] or ())
    settings = TrackerSettings(**{**tracker, "token": tracker["token"].under(base), "webhook_secrets": secrets})
    name = document.data.get("procedure")
    return Connection(
        source=re.sub(r"(\.example)?\.ya?ml$", "", path.name),
        tracker=settings,
        scope=loaded["scope"],
        data=MappingProxyType(document.data),
        procedure=load_procedure(name if isinstance(name, str) else SHIPPED[0], base),
    )


# --- comparing names --------------------------------------------------------------------------------------------------


def words(name: str) -> frozenset[str]:
    """A name as a set of words, spelt one way: "Receipt #" and "receipt no." are {receipt, number}."""
    text = name.casefold().replace("_", " ")
    for written, meant in _SPELLINGS.items():
        text = text.replace(written, meant)
    found = re.findall(r"[^\W_]+", text)
    return frozenset(word for each in found for word in _SAME_WORDS.get(each, each).split()) - _IDLE_WORDS


def _readings(name: str) -> list[frozenset[str]]:
    """The name as a whole, and what stands on either side of a slash or in brackets."""
    parts = re.split(r"[/|()\[\]]", name)
    return [each for each in dict.fromkeys(words(part) for part in (name, *parts)) if each]


def _likeness(name: str, own: Iterable[str], others: Iterable[str], hints: Iterable[tuple[str, str]] = ()) -> int:
    """How sure it is that `name` means this: 3 sure, 2 likely, 1 a guess, 0 not at all."""
    readings = _readings(name)
    if any(reading == words(each) for reading, each in product(readings, own)):
        return 3
    if any(reading == words(each) for reading, each in product(readings, others)):
        return 2
    whole = words(name)
    return int(any(words(all_of) <= whole and not words(none_of) & whole for all_of, none_of in hints))


def _field_likeness(fact: str, field: FoundField) -> int:
    own = (DEFAULT_LABELS[fact], fact, fact.removesuffix("_at"))
    return _likeness(field.name, own, _NAMES[fact], _HINTS[fact])


def _fits(fact: str, field: FoundField) -> int:
    """How well the field's kind fits, best first: 2, 1; 0 if it cannot be that field."""
    if field.type is None:
        return 0
    kinds = _KINDS[FIELDS[fact][0]]
    if field.type in kinds:
        return 2 if field.type == kinds[0] else 1
    return int(field.type == "select" and fact in _ALSO_LISTS)


@dataclass(frozen=True, slots=True)
class Match:
    """A field that seems to hold a fact. `rivals` are others that seem so just as much."""

    field: FoundField
    sureness: Sureness
    rivals: tuple[FoundField, ...] = ()


def match_fields(fields: Sequence[FoundField], facts: Sequence[str] = FACTS) -> dict[str, Match]:
    """fact -> its field, for those that were found. No field holds two facts; earlier fields win over later ones."""
    scored = [
        (likeness, fits, fact, number)
        for fact, (number, field) in product(facts, enumerate(fields))
        if (likeness := _field_likeness(fact, field)) and (fits := _fits(fact, field))
    ]
    scored.sort(key=lambda each: (-each[0], -each[1], each[3], FACTS.index(each[2])))
    found: dict[str, tuple[int, int, int]] = {}
    taken: set[int] = set()
    for likeness, fits, fact, number in scored:
        if fact not in found and number not in taken:
            found[fact] = (likeness, fits, number)
            taken.add(number)
    matches = {}
    for fact, (likeness, fits, number) in found.items():
        equals = [each[3] for each in scored if each[:3] == (likeness, fits, fact) and each[3] not in taken]
        matches[fact] = Match(fields[number], _SURENESS[likeness], tuple(fields[each] for each in equals))
    return matches


def of_wrong_kind(fact: str, fields: Sequence[FoundField]) -> FoundField | None:
    """A field that is called as the fact's would be, of a kind that a draft does not put the fact on."""
    return next((each for each in fields if _field_likeness(fact, each) >= 2 and not _fits(fact, each)), None)


def match_statuses(
    statuses: Sequence[str], facts: Iterable[str], wanted_stages: Iterable[str] = STAGES
) -> tuple[dict[str, tuple[str, Sureness]], dict[str, tuple[str, Sureness]]]:
    """(stage -> status, fact that a status records -> status), each with how sure that is; no status is used twice."""

    def stage_likeness(stage: str, status: str) -> int:
        return _likeness(status, (stage,), _STAGE_NAMES.get(stage, ()))

    def record_likeness(fact: str, status: str) -> int:
        return _likeness(status, (), _RECORD_NAMES[fact])

    stages = _best([each for each in wanted_stages if each != "answered"], statuses, stage_likeness)
    free = [each for each in statuses if each not in {status for status, _ in stages.values()}]
    records = _best([each for each in RECORDABLE if each in set(facts)], free, record_likeness)
    return stages, records


def _best(
    wanted: Sequence[str], statuses: Sequence[str], likeness: Callable[[str, str], int]
) -> dict[str, tuple[str, Sureness]]:
    scored = [(score, key, each) for key, each in product(wanted, statuses) if (score := likeness(key, each))]
    found: dict[str, tuple[str, Sureness]] = {}
    for score, key, status in sorted(scored, key=lambda each: -each[0]):
        if key not in found and status not in {each for each, _ in found.values()}:
            found[key] = (status, _SURENESS[score])
    return found
