"""The scope of a Zammad source: which tickets are cases, as one line that an admin can write.

    group = "USCIS inquiries"
    group in ("USCIS inquiries", "Waivers") AND case_type != "consultation"
    group = Inquiries AND tag = uscis

It is translated into a search condition and decided by Zammad's own SQL, for searches and for the trigger alike
(facts: zammad 2.3, "Search"). Conditions are joined by AND; each is a name, then `=`, `!=`, `in (...)` or
`not in (...)`. A name is `group`, `state`, `priority`, `tag`, or the internal name of an attribute, whose values are
those that are stored: of a list the key, not the label. A ticket on which the attribute is empty is in neither of `=`
and `!=`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Condition = dict[str, Any]

# What is written by name and stored by number: our word -> Zammad's column.
BY_NAME = {"group": "group_id", "state": "state_id", "priority": "priority_id"}
_GROUPS = ("group", "group_id")

_TOKEN = re.compile(
    r"""\s*(?: "(?P<double>[^"]*)" | '(?P<single>[^']*)' | (?P<sign>!=|=|\(|\)|,) | (?P<word>[^\s"'=!(),]+) )""",
    re.VERBOSE,
)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition of the scope: the attribute is, or is not, one of the values."""

    name: str
    negated: bool
    values: tuple[str, ...]


class ScopeError(ValueError):
    """The scope cannot be read. The message continues "scope"."""


def check_scope(text: str) -> str | None:
    """What is wrong with a scope, as a sentence that continues "scope", or None. Makes no call."""
    try:
        parse_scope(text)
    except ScopeError as error:
        return str(error)
    return None


def parse_scope(text: str) -> tuple[Clause, ...]:
    """The clauses of a scope. Raises ScopeError."""
    clauses = tuple(_Parser(text).clauses())
    if not any(clause.name in _GROUPS and not clause.negated for clause in clauses):
        raise ScopeError('must say which group the cases are in: group = "the group\'s name"')
    return clauses


def conditions(clauses: Sequence[Clause], resolve: Callable[[str, str], str]) -> list[Condition]:
    """Search conditions, all of which must hold. `resolve(name, value)` numbers a group, state or priority."""
    return [_condition(clause, resolve) for clause in clauses]


def _condition(clause: Clause, resolve: Callable[[str, str], str]) -> Condition:
    if clause.name == "tag":
        operator = "contains one not" if clause.negated else "contains one"
        return {"name": "ticket.tags", "operator": operator, "value": ",".join(clause.values)}
    values = [resolve(clause.name, value) for value in clause.values] if clause.name in BY_NAME else list(clause.values)
    column = BY_NAME.get(clause.name, clause.name)
    return {"name": f"ticket.{column}", "operator": "is not" if clause.negated else "is", "value": values}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # "sign", "word", "quoted" or "end"
    text: str


class _Parser:
    """Reads clauses, token by token."""

    def __init__(self, text: str) -> None:
        self._tokens = [*_tokens(text), _Token("end", "")]
        self._at = 0

    def clauses(self) -> Iterator[Clause]:
        if self._next_is("end"):
            raise ScopeError("is empty: without it every ticket of the tracker would be taken for a case")
        yield self._clause()
        while not self._next_is("end"):
            self._joint()
            yield self._clause()

    def _joint(self) -> None:
        token = self._take()
        if token == _Token("sign", ")"):
            raise ScopeError("has a closing bracket without an opening one")
        word = token.text.upper() if token.kind == "word" else ""
        if word == "OR":
            raise ScopeError('joins conditions by AND only: for several groups write group in ("One", "Two")')
        if word == "ORDER":
            raise ScopeError("must not have ORDER BY: it says which tickets, not in which order")
        if word != "AND":
            raise ScopeError(f'has "{token.text}" where AND is expected: put values of several words in quotes')

    def _clause(self) -> Clause:
        token = self._take()
        if token.kind != "word":
            raise ScopeError(f'has {_shown(token)} where a name is expected, such as group = "Inquiries"')
        if token.text != "tag" and not _NAME.fullmatch(token.text):
            raise ScopeError(f'has "{token.text}" as a name: internal names of attributes are small letters, 0-9 and _')
        negated, several = self._operator(token.text)
        return Clause(token.text, negated, self._list() if several else (self._value(),))

    def _operator(self, name: str) -> tuple[bool, bool]:
        """(whether it is negated, whether a list follows)."""
        token = self._take()
        word = token.text.lower() if token.kind == "word" else token.text
        if word in {"=", "!="}:
            return word == "!=", False
        if word == "in":
            return False, True
        if word == "not" and self._take().text.lower() == "in":
            return True, True
        raise ScopeError(f'has {_shown(token)} after "{name}": write =, !=, in (...) or not in (...)')

    def _list(self) -> tuple[str, ...]:
        if self._take() != _Token("sign", "("):
            raise ScopeError('needs brackets after in: in ("One", "Two")')
        values = [self._value()]
        while (token := self._take()) == _Token("sign", ","):
            values.append(self._value())
        if token != _Token("sign", ")"):
            raise ScopeError("has an opening bracket without a closing one, or values without commas between them")
        return tuple(values)

    def _value(self) -> str:
        token = self._take()
        if token.kind not in {"word", "quoted"} or not token.text.strip():
            raise ScopeError(f"has {_shown(token)} where a value is expected")
        return token.text.strip()

    def _next_is(self, kind: str) -> bool:
        return self._tokens[self._at].kind == kind

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token


def _tokens(text: str) -> Iterator[_Token]:
    at, text = 0, text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            quote = text[at:].lstrip()[:1]
            what = "a quotation mark without its partner" if quote in {'"', "'"} else f"{quote} where it means nothing"
            raise ScopeError(f"has {what}")
        at = found.end()
        if found["sign"] is not None:
            yield _Token("sign", found["sign"])
        elif found["word"] is not None:
            yield _Token("word", found["word"])
        else:
            yield _Token("quoted", found["double"] if found["double"] is not None else found["single"])


def _shown(token: _Token) -> str:
    return "its end" if token.kind == "end" else f'"{token.text}"'
