"""The part of JQL we use, parsed strictly: whatever is not understood is refused, as Jira does with a 400.

Absolute times are in the asking user's time zone and know no seconds: `updated` is compared by the minute.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connector.practice.fields import Field, Option, Value
from connector.practice.world import CATEGORIES, Issue, Refused, User, World

Test = Callable[[Issue], bool]
_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<op>!=|!~|>=|<=|[=><~(),])
        |(?P<word>[^\s"'=!><~(),]+))""",
    re.VERBOSE,
)
_NUMBERED_FIELD = re.compile(r"cf\[\d+\]", re.IGNORECASE)
_RESERVED_CHARACTER = re.compile(r"[{}\[\]*/%+^$#@?|;&\\]")
_SPAN = re.compile(r"([+-])(\d+)([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_RESERVED = {"AND", "OR", "NOT", "IN", "IS", "EMPTY", "NULL", "ORDER", "BY"}
_ORDERED = {">", ">=", "<", "<="}
_EQUAL = {"=", "!=", "IN", "NOT IN"}
_IS = {"IS", "IS NOT"}


class JqlError(Exception):
    """Its text is one entry of `errorMessages`."""


@dataclass(frozen=True)
class Query:
    """`bounded`: there is a restriction, not only an ORDER BY. `matching` filters and sorts."""

    test: Test
    bounded: bool
    order: tuple[tuple[str, bool], ...]

    def matching(self, issues: list[Issue]) -> list[Issue]:
        found = sorted((each for each in issues if self.test(each)), key=lambda each: each.id)
        for name, descending in reversed(self.order):
            found.sort(key=_ORDER_KEYS[name], reverse=descending)
        return found


def parse(world: World, text: str, actor: User) -> Query:
    """JqlError on anything not understood."""
    return _Parser(world, text, actor).query()


def _key_order(issue: Issue) -> tuple[str, int]:
    project, _, number = issue.key.rpartition("-")
    return project, int(number)


_ORDER_KEYS: dict[str, Callable[[Issue], Any]] = {
    "key": _key_order,
    "issuekey": _key_order,
    "id": lambda issue: issue.id,
    "updated": lambda issue: issue.updated,
    "created": lambda issue: issue.created,
}


@dataclass(frozen=True)
class _Token:
    kind: str  # word, quoted or op
    text: str

    def is_word(self, word: str) -> bool:
        return self.kind == "word" and self.text.upper() == word


def _tokens(text: str) -> list[_Token]:
    found = []
    place = 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise JqlError(f"Error in the JQL Query: The character at position {place + 1} is not expected here.")
        kind = str(match.lastgroup)
        raw = match[kind]
        reserved = _RESERVED_CHARACTER.search(raw) if kind == "word" and not _NUMBERED_FIELD.fullmatch(raw) else None
        if reserved:
            raise JqlError(
                f"Error in the JQL Query: The character '{reserved[0]}' is a reserved JQL character. "
                "You must enclose it in a string."
            )
        found.append(_Token(kind, re.sub(r"\\(.)", r"\1", raw[1:-1]) if kind == "quoted" else raw))
        place = match.end()
    return found


class _Parser:
    def __init__(self, world: World, text: str, actor: User) -> None:
        self.world = world
        self.zone = ZoneInfo(actor.time_zone)
        self.tokens = _tokens(text)
        self.place = 0

    # -- grammar -----------------------------------------------------------------------------------------------

    def query(self) -> Query:
        bounded = bool(self.tokens) and not self.tokens[0].is_word("ORDER")
        test: Test = self._or() if bounded else lambda _issue: True
        order = self._order_by() if self._take_word("ORDER") else ()
        if self.place < len(self.tokens):
            raise self._unexpected()
        return Query(test, bounded, order)

    def _peek(self) -> _Token | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def _next(self) -> _Token:
        token = self._peek()
        if token is None:
            raise self._unexpected()
        self.place += 1
        return token

    def _unexpected(self) -> JqlError:
        token = self._peek()
        if token is None:
            return JqlError("Error in the JQL Query: Unexpected end of the query.")
        return JqlError(f"Error in the JQL Query: '{token.text}' is not expected here.")

    def _take_word(self, word: str) -> bool:
        token = self._peek()
        if token is not None and token.is_word(word):
            self.place += 1
            return True
        return False

    def _take_op(self, op: str) -> bool:
        token = self._peek()
        if token is not None and token.kind == "op" and token.text == op:
            self.place += 1
            return True
        return False

    def _or(self) -> Test:
        tests = [self._and()]
        while self._take_word("OR"):
            tests.append(self._and())
        return lambda issue: any(test(issue) for test in tests)

    def _and(self) -> Test:
        tests = [self._not()]
        while self._take_word("AND"):
            tests.append(self._not())
        return lambda issue: all(test(issue) for test in tests)

    def _not(self) -> Test:
        if self._take_word("NOT"):
            test = self._not()
            return lambda issue: not test(issue)
        if self._take_op("("):
            test = self._or()
            if not self._take_op(")"):
                raise self._unexpected()
            return test
        return self._clause()

    def _clause(self) -> Test:
        token = self._next()
        if token.kind == "op" or (token.kind == "word" and token.text.upper() in _RESERVED):
            self.place -= 1
            raise self._unexpected()
        operator = self._operator()
        if operator in _IS:
            if not (self._take_word("EMPTY") or self._take_word("NULL")):
                raise self._unexpected()
            operands: list[str] = []
        elif operator.endswith("IN"):
            operands = self._list()
        else:
            operands = [self._operand()]
        return _Clause(self.world, self.zone, token.text, operator, operands).test()

    def _operator(self) -> str:
        token = self._next()
        if token.kind == "op" and token.text not in "(),":
            return token.text
        word = token.text.upper() if token.kind == "word" else ""
        if word == "IS":
            return "IS NOT" if self._take_word("NOT") else "IS"
        if word == "NOT" and self._take_word("IN"):
            return "NOT IN"
        if word == "IN":
            return "IN"
        self.place -= 1
        raise self._unexpected()

    def _operand(self) -> str:
        token = self._next()
        if token.kind == "op" or (token.kind == "word" and token.text.upper() in _RESERVED):
            self.place -= 1
            raise self._unexpected()
        return token.text

    def _list(self) -> list[str]:
        if not self._take_op("("):
            raise self._unexpected()
        operands = [self._operand()]
        while self._take_op(","):
            operands.append(self._operand())
        if not self._take_op(")"):
            raise self._unexpected()
        return operands

    def _order_by(self) -> tuple[tuple[str, bool], ...]:
        if not self._take_word("BY"):
            raise self._unexpected()
        order = []
        while True:
            name = self._operand()
            if name.lower() not in _ORDER_KEYS:
                raise JqlError(f"Field '{name}' does not exist or this field cannot be viewed by anonymous users.")
            descending = self._take_word("DESC")
            if not descending:
                self._take_word("ASC")
            order.append((name.lower(), descending))
            if not self._take_op(","):
                return tuple(order)


@dataclass(frozen=True)
class _Clause:
    """One comparison. `operands` is empty for IS [NOT] EMPTY."""

    world: World
    zone: ZoneInfo
    name: str
    operator: str
    operands: list[str]

    def test(self) -> Test:
        made = {
            "project": self._project,
            "issuetype": self._issue_type,
            "type": self._issue_type,
            "status": self._status,
            "statuscategory": self._status_category,
            "key": self._key,
            "issuekey": self._key,
            "id": self._key,
            "issue": self._key,
            "resolution": self._resolution,
            "updated": self._moments,
            "created": self._moments,
        }.get(self.name.lower())
        return made() if made else self._custom()

    def _allow(self, *operators: set[str]) -> None:
        if not any(self.operator in each for each in operators):
            raise JqlError(f"The operator '{self.operator}' is not supported by the '{self.name}' field.")

    def _unknown(self, value: str) -> JqlError:
        return JqlError(f"The value '{value}' does not exist for the field '{self.name}'.")

    def _among(self, known: dict[str, str], of: Callable[[Issue], str | None]) -> Test:
        """Equality with names or ids; `known` maps each of them, in lower case, to what `of` gives."""
        self._allow(_EQUAL)
        for each in self.operands:
            if each.lower() not in known:
                raise self._unknown(each)
        wanted = {known[each.lower()] for each in self.operands}
        if self.operator in {"!=", "NOT IN"}:
            # As in SQL, an empty field is neither equal nor unequal to anything.
            return lambda issue: of(issue) is not None and of(issue) not in wanted
        return lambda issue: of(issue) in wanted

    def _project(self) -> Test:
        known: dict[str, str] = {}
        for each in self.world.projects.values():
            known |= {each.key.lower(): each.key, each.id: each.key, each.name.lower(): each.key}
        return self._among(known, lambda issue: issue.project.key)

    def _issue_type(self) -> Test:
        kinds = [kind for project in self.world.projects.values() for kind in project.issue_types]
        known = {kind.name.lower(): kind.name for kind in kinds} | {kind.id: kind.name for kind in kinds}
        return self._among(known, lambda issue: issue.issue_type.name)

    def _status(self) -> Test:
        known: dict[str, str] = {}
        for each in self.world.statuses.values():
            known |= {each.name.lower(): each.id, each.id: each.id}
        return self._among(known, lambda issue: issue.status.id)

    def _status_category(self) -> Test:
        known: dict[str, str] = {}
        for key, (number, name, _) in CATEGORIES.items():
            known |= {key: key, name.lower(): key, str(number): key}
        return self._among(known, lambda issue: issue.status.category)

    def _resolution(self) -> Test:
        if self.operator in _IS:
            return self._emptiness(lambda issue: issue.resolution)
        if [each.lower() for each in self.operands] == ["unresolved"] and self.operator in {"=", "!="}:
            wanted_empty = self.operator == "="
            return lambda issue: (issue.resolution is None) == wanted_empty
        return self._among({"done": "Done"}, lambda issue: issue.resolution)

    def _key(self) -> Test:
        self._allow(_EQUAL)
        known: dict[str, str] = {}
        for each in self.operands:
            try:
                known[each.lower()] = str(self.world.issue(each).id)
            except Refused:
                raise JqlError(f"An issue with key '{each}' does not exist for field '{self.name}'.") from None
        return self._among(known, lambda issue: str(issue.id))

    def _moments(self) -> Test:
        self._allow(_ORDERED, {"=", "!="})
        limit = _minute(self._moment(self.operands[0]))
        created = self.name.lower() == "created"
        compare = _COMPARISONS[self.operator]
        return lambda issue: compare(_minute(issue.created if created else issue.updated), limit)

    def _moment(self, text: str) -> datetime:
        span = _SPAN.fullmatch(text)
        if span:
            delta = timedelta(**{_UNITS[span[3]]: int(span[2])})
            return self.world.now() + (delta if span[1] == "+" else -delta)
        for pattern in ("%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M", "%Y-%m-%d", "%Y/%m/%d"):
            try:
                return datetime.strptime(text, pattern).replace(tzinfo=self.zone)
            except ValueError:
                continue
        raise JqlError(
            f"Date value '{text}' for field '{self.name}' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', "
            "'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format e.g. '-5d', '4w 2d'."
        )

    def _emptiness(self, of: Callable[[Issue], object]) -> Test:
        wanted_empty = self.operator == "IS"
        return lambda issue: (of(issue) is None) == wanted_empty

    # -- custom fields -----------------------------------------------------------------------------------------

    def _custom(self) -> Test:
        """Several fields may carry the name: Jira then looks into each of them."""
        fields = [each for each in self.world.fields.values() if self._is_called(each)]
        if not fields:
            raise JqlError(f"Field '{self.name}' does not exist or you do not have permission to view it.")
        tests = [self._on(each) for each in fields]
        return lambda issue: any(test(issue) for test in tests)

    def _is_called(self, each: Field) -> bool:
        if not each.custom:
            return self.name.lower() in {each.id, each.name.lower()}
        return self.name.lower() in {each.name.lower(), f"cf[{each.number}]"}

    def _on(self, about: Field) -> Test:
        if self.operator in _IS:
            return self._emptiness(lambda issue: issue.values.get(about.id))
        if about.type in {"text", "textarea"}:
            self._allow({"~", "!~"})
            words = _text_query(self.operands[0])
            if self.operator == "~":
                return lambda issue: words(issue.values.get(about.id))
            return lambda issue: issue.values.get(about.id) is not None and not words(issue.values.get(about.id))
        if about.type in {"select", "checkbox"}:
            return self._options(about)
        return self._ordered(about)

    def _options(self, about: Field) -> Test:
        self._allow(_EQUAL)
        known = {option.value.lower(): option for option in about.options}
        known |= {option.id: option for option in about.options}
        for each in self.operands:
            if each.lower() not in known:
                raise JqlError(f"The option '{each}' for field '{self.name}' does not exist.")
        wanted = {known[each.lower()] for each in self.operands}
        positive = self.operator in {"=", "IN"}

        def test(issue: Issue) -> bool:
            value = issue.values.get(about.id)
            chosen = {value} if isinstance(value, Option) else set(value) if isinstance(value, tuple) else set()
            return bool(chosen) and bool(chosen & wanted) == positive

        return test

    def _ordered(self, about: Field) -> Test:
        self._allow(_ORDERED, _EQUAL)
        limits = [self._limit(about, each) for each in self.operands]
        if self.operator in {"IN", "NOT IN"}:
            positive = self.operator == "IN"
            return lambda issue: (
                issue.values.get(about.id) is not None
                and (_comparable(issue.values.get(about.id)) in limits) == positive
            )
        compare = _COMPARISONS[self.operator]
        return lambda issue: (
            issue.values.get(about.id) is not None and compare(_comparable(issue.values.get(about.id)), limits[0])
        )

    def _limit(self, about: Field, text: str) -> object:
        if about.type == "number":
            try:
                return float(text)
            except ValueError:
                raise JqlError(f"The value '{text}' for the field '{self.name}' is not a number.") from None
        moment = self._moment(text)
        return _minute(moment) if about.type == "datetime" else moment.astimezone(self.zone).date()


_COMPARISONS: dict[str, Callable[..., bool]] = {
    "=": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
}


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _comparable(value: Value) -> object:
    if isinstance(value, datetime):
        return _minute(value)
    if isinstance(value, date):
        return value
    return value


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _text_query(text: str) -> Callable[[Value], bool]:
    """`~`: every word occurs, `*` at a word's end stands for more; in inner double quotes the words stand in a row."""
    phrase = text.startswith('"') and text.endswith('"') and len(text) > 1
    if not phrase and re.search(r"(^|\s)[*?]|[\[\]{}()^:!/\\]", text):
        raise JqlError(f"Unable to parse the text '{text}': a reserved character must be escaped or quoted.")
    wanted = _words(text)
    prefixes = {word.rstrip("*").lower() for word in text.split() if word.endswith("*")} if not phrase else set()
    if not wanted:
        raise JqlError("A text search needs at least one word.")

    def found(value: Value) -> bool:
        words = _words(value) if isinstance(value, str) else []
        if phrase:
            size = len(wanted)
            return any(words[place : place + size] == wanted for place in range(len(words) - size + 1))
        return all(
            any(word.startswith(each) for word in words) if each in prefixes else each in words for each in wanted
        )

    return found
