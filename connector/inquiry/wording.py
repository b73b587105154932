"""What staff read: comments, the call sheet, the letters. The templates come with the procedure.

Comments are Markdown and letters plain text, both Jinja2; an office may replace them. Values are escaped as they
enter a comment, so a template's own markup is the only markup. A template may use the names in `Words`; an unknown
one is found by `check` at load.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import StrictUndefined, Template, TemplateRuntimeError, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

from connector.inquiry.case import DEFAULT_LABELS, FACTS, Case, Moment
from connector.inquiry.identifiers import display_alien_number
from connector.inquiry.markup import block, literal, mailto, one_line
from connector.inquiry.procedure import Wait

# What an American office calls its own time; elsewhere the zone's abbreviation has to do.
_ZONE_NAMES = {
    "America/New_York": "Eastern",
    "America/Detroit": "Eastern",
    "America/Chicago": "Central",
    "America/Denver": "Mountain",
    "America/Phoenix": "Mountain",
    "America/Los_Angeles": "Pacific",
    "America/Anchorage": "Alaska",
    "Pacific/Honolulu": "Hawaii",
}

_SUBJECTS = frozenset({"letter_subject", "headquarters_letter_subject"})
LETTER_TEMPLATES = _SUBJECTS | {"letter_body", "headquarters_letter_body"}
# Words with the A-number or a name in them (WORDING; facts: guidance 4.3).
_NOT_IN_A_SUBJECT = frozenset({"a_number", "representative", "call_details", "record"})
_LONGEST = 20_000  # Jira refuses comments of more than 32,767 characters, and a real case has longer values


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Every name a template may use. What does not apply at a stage is empty."""

    # the ticket
    receipt_number: str = ""
    prefix: str = ""
    a_number: str = ""
    form_type: str = ""
    filed_on: str = ""
    representative: str = ""
    called_at: str = ""
    called_on: str = ""
    service_request: str = ""
    call_details: str = ""
    center_emailed_at: str = ""
    center_emailed_on: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)  # fact -> the field's name on the ticket
    keeps: Mapping[str, bool] = field(default_factory=dict)  # fact -> whether the office keeps it
    # the procedure
    ncsc: str = ""
    phone: str = ""
    center: str = ""
    center_address: str = ""
    center_names: str = ""
    headquarters: str = ""
    address: str = ""
    addressee: str = ""
    # the waits
    promised: bool = False  # the days are those that the NCSC promised
    waited: str = ""  # "30 days", "21 business days"
    wait_over_on: str = ""
    next_wait: str = ""
    next_on: str = ""
    # the comment
    problems: tuple[str, ...] = ()
    record: tuple[str, ...] = ()
    ask_route: bool = False
    ticket: str = ""  # the other ticket's key
    letter: str = ""
    letter_link: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """An e-mail ready to send. The subject carries no name and no A-number (WORDING, facts: guidance 4.3)."""

    to: str
    subject: str
    body: str

    def __str__(self) -> str:
        return f"To: {self.to}\nSubject: {self.subject}\n\n{self.body}"


def day_text(day: date) -> str:
    """A date as an office writes it: Apr 23, 2026."""
    return f"{day:%b} {day.day}, {day.year}"


def moment_text(moment: Moment | datetime, time_zone: ZoneInfo) -> str:
    """A moment in the office's zone: Mar 1, 2026, 10:15 a.m. Eastern; only the day where no hour was noted."""
    at, has_time = (moment.at, moment.has_time) if isinstance(moment, Moment) else (moment, True)
    local = at.astimezone(time_zone)
    if not has_time:
        return day_text(local.date())
    half = "a.m." if local.hour < 12 else "p.m."
    zone = _ZONE_NAMES.get(time_zone.key) or local.tzname() or ""
    return f"{day_text(local.date())}, {local.hour % 12 or 12}:{local.minute:02} {half} {zone}".rstrip()


def wait_text(wait: Wait) -> str:
    """How long a wait is: 30 days, 1 day, 21 business days."""
    business = "business " if wait.counting == "business" else ""
    return f"{wait.days} {business}day{'' if wait.days == 1 else 's'}"


def ticket_words(case: Case, time_zone: ZoneInfo) -> dict[str, Any]:
    """The words that come from the ticket alone."""

    def day_of(moment: Moment | None) -> str:
        return day_text(moment.at.astimezone(time_zone).date()) if moment else ""

    def time_of(moment: Moment | None) -> str:
        return moment_text(moment, time_zone) if moment else ""

    noted = (case.ncsc_representative, _request_in_brief(case))
    return {
        "receipt_number": case.receipt_number or "",
        "a_number": display_alien_number(case.alien_number) if case.alien_number else "",
        "form_type": case.form_type or "",
        "filed_on": day_text(case.filed_on) if case.filed_on else "",
        "representative": case.ncsc_representative or "",
        "called_at": time_of(case.called_at),
        "called_on": day_of(case.called_at),
        "service_request": service_request(case),
        "call_details": "; ".join(filter(None, noted)) or "details not noted",
        "center_emailed_at": time_of(case.service_center_emailed_at),
        "center_emailed_on": day_of(case.service_center_emailed_at),
        "labels": {fact: case.label(fact) for fact in FACTS},
        "keeps": {fact: fact in case.kept for fact in FACTS},
    }


def service_request(case: Case) -> str:
    """The letter's line on the service request, or on the reason why none was issued (seed, Step 2)."""
    if case.service_request_number:
        return f"Service request: {case.service_request_number}"
    if case.no_service_request_reason:
        return f"No service request was issued. Reason given: {case.no_service_request_reason}"
    return ""


def _request_in_brief(case: Case) -> str:
    if case.service_request_number:
        return f"service request {case.service_request_number}"
    return "no service request was issued" if case.no_service_request_reason else ""


def write_letter(wording: Mapping[str, str], prefix: str, to: str, words: Words) -> Letter:
    """The letter of Step 2 (prefix "") or Step 3 (prefix "headquarters_")."""
    subject = _letter_text(wording[f"{prefix}letter_subject"], words)
    return Letter(to, " ".join(subject.split()), _letter_text(wording[f"{prefix}letter_body"], words))


def letter_words(letter: Letter, *, linked: bool) -> dict[str, Any]:
    """How a letter enters a comment: a block, and a link that opens it, which stands in internal comments only."""
    link = mailto(letter.to, letter.subject, letter.body) if linked else ""
    return {"letter": block(str(letter)), "letter_link": link}


def write_comment(wording: Mapping[str, str], template: str, words: Words) -> str:
    """A comment as Markdown, without its last line (markup.ref_line)."""
    return _compiled(_comments, wording[template]).render(_as_dict(words)).strip("\n")


def check(wording: Mapping[str, str]) -> list[tuple[str, int, str]]:
    """What is wrong with the templates: (template, line within it, what to do).

    The names are looked up in the text, so that branches not taken are checked too; then it is written as a trial.
    """
    return [(name, line, message) for name, text in wording.items() for line, message in _mistakes(name, text)]


def _mistakes(name: str, text: str) -> Iterator[tuple[int, str]]:
    environment = _letters if name in LETTER_TEMPLATES else _comments
    try:
        names = [*_wrong_names(name, environment.parse(_without_tag_lines(text)))]
        yield from names
        if not names and not [_trial(environment, text, words) for words in _samples()][-1].strip():
            yield 1, "the template comes out empty; write what staff should read"
    except TemplateSyntaxError as error:
        yield error.lineno, f"the template cannot be read: {error.message}"
    except Exception as error:  # noqa: BLE001  a template is the office's own program: whatever it raises is its mistake
        yield _line_of(error), f"the template fails: {error}"


def _wrong_names(template: str, tree: nodes.Template) -> Iterator[tuple[int, str]]:
    """Names that no template knows, facts that do not exist, and what a subject must not carry; each with its line."""
    unknown = find_undeclared_variables(tree) - set(_NAMES)
    for name in tree.find_all(nodes.Name):
        if name.name in unknown:
            yield name.lineno, f"'{name.name}' is not a word for templates; these are: {', '.join(_NAMES)}"
        elif template in _SUBJECTS and name.name in _NOT_IN_A_SUBJECT:
            yield name.lineno, f"'{name.name}' does not belong in a subject, which anyone on the way can read"
    for part in tree.find_all(nodes.Getattr):
        if isinstance(part.node, nodes.Name) and part.node.name in {"labels", "keeps"} and part.attr not in FACTS:
            yield part.lineno, f"'{part.node.name}' has no '{part.attr}'; it has: {', '.join(FACTS)}"


def _trial(environment: SandboxedEnvironment, text: str, words: Words) -> str:
    """The template written with sample words; stopped where it grows beyond what a tracker takes as a comment."""
    written, length = [], 0
    for piece in _compiled(environment, text).generate(_as_dict(words)):
        written.append(piece)
        length += max(1, len(piece))  # a loop that writes nothing, again and again, is stopped too
        if length > _LONGEST:
            raise TemplateRuntimeError(f"it writes more than {_LONGEST} characters")
    return "".join(written)


def _line_of(error: BaseException) -> int:
    """The template's line in the traceback, which Jinja2 rewrites to point into the template."""
    line, trace = 1, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _samples() -> Iterator[Words]:
    """Words for trials: none of them, and, last, all of them."""
    maps: dict[str, Any] = {"labels": dict(DEFAULT_LABELS), "keeps": dict.fromkeys(FACTS, True)}
    filled: dict[str, Any] = {name: f"sample {name}" for name, value in _as_dict(Words()).items() if value == ""}
    yield Words(**{**maps, "keeps": dict.fromkeys(FACTS, False)})
    lists: dict[str, Any] = {"problems": ("sample problem",), "record": ("sample contact",)}
    yield Words(**maps, **filled, **lists, promised=True, ask_route=True)


def _as_dict(words: Words) -> dict[str, Any]:
    return {name: getattr(words, name) for name in _NAMES}


def _letter_text(template: str, words: Words) -> str:
    return _compiled(_letters, template).render(_as_dict(words)).strip("\n")


class _Environment(SandboxedEnvironment):
    """The sandbox, which also refuses what grows without bounds: repeated texts and powers."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or not all(isinstance(side, int | float) for side in (left, right)):
            raise SecurityError(f"{operator} may only multiply two numbers")
        return super().call_binop(context, operator, left, right)


def _environment(**options: Any) -> SandboxedEnvironment:
    return _Environment(undefined=StrictUndefined, keep_trailing_newline=True, **options)


_NAMES = tuple(item.name for item in fields(Words))
# Values are escaped by `finalize`: for Markdown in comments; in letters they only stay on their line.
_comments = _environment(finalize=literal)
_letters = _environment(finalize=one_line)


@lru_cache(maxsize=256)
def _compiled(environment: SandboxedEnvironment, text: str) -> Template:
    return environment.from_string(_without_tag_lines(text))


# Jinja2's own trim_blocks would also join a line that ends with a tag to the next one.
_TAG_LINE = re.compile(r"(?m)^[ \t]*(\{%(?:(?!%\}).)*?)(-?%\})[ \t]*\n")


def _without_tag_lines(text: str) -> str:
    """The template where lines that hold nothing but a tag leave no line behind; its lines keep their numbers."""
    return _TAG_LINE.sub(r"\1\n\2", text)
