"""Conditions of searches and triggers, as Zammad's SQL selector has them. Facts: zammad 1.6, 2.3."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_OPERATORS = {
    "is",
    "is not",
    "after (absolute)",
    "before (absolute)",
    "contains one",
    "contains one not",
    "has changed",
}


class InvalidCondition(Exception):
    """The condition cannot be put into SQL."""


@dataclass(frozen=True)
class Subject:
    """A ticket that a condition is held against. What follows `tags` is of the event that a trigger looks at."""

    row: Mapping[str, Any]
    columns: frozenset[str]
    tags: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()
    action: str | None = None
    article: bool = False


@dataclass
class Condition:
    """A parsed condition. `static` are the attributes of conditions that are not about an event."""

    holds: Callable[[Subject], bool]
    attributes: set[str] = field(default_factory=set)


def parse(condition: Any) -> Condition:
    """The nested form (operator, conditions) or the simple one (attribute -> condition). Raises InvalidCondition."""
    if not isinstance(condition, dict) or not condition:
        raise InvalidCondition("no condition")
    if "conditions" not in condition:
        blocks = [{"name": name, **rest} for name, rest in condition.items()]
        condition = {"operator": "AND", "conditions": blocks}
    return _block(condition)


def _block(block: dict[str, Any]) -> Condition:
    parts = [_block(each) if "conditions" in each else _leaf(each) for each in block["conditions"]]
    operator = block.get("operator")
    if operator not in {"AND", "OR", "NOT"}:
        raise InvalidCondition(f"operator {operator}")
    attributes = set().union(*(part.attributes for part in parts)) if parts else set()

    def holds(subject: Subject) -> bool:
        told = [part.holds(subject) for part in parts]
        return {"AND": all(told), "OR": any(told), "NOT": not all(told)}[operator]

    return Condition(holds, attributes)


def _leaf(block: dict[str, Any]) -> Condition:
    table, _, name = str(block.get("name")).partition(".")
    operator, value = str(block.get("operator")), block.get("value")
    is_null = operator == "is" and block.get("pre_condition") == "not_set"
    _check_leaf(table, name, operator, has_value=is_null or value not in (None, []))

    def holds(subject: Subject) -> bool:
        if name == "action":
            told = subject.article if table == "article" else subject.action == value
            return told == (operator == "is")
        if operator == "has changed":
            return name in subject.changes
        if name == "tags":
            wanted = {each.strip() for each in str(value).split(",")}
            return bool(wanted & subject.tags) is (operator == "contains one")
        if name not in subject.columns:
            raise InvalidCondition(f"column tickets.{name} does not exist")
        return subject.row.get(name) is None if is_null else _compare(subject.row.get(name), operator, value)

    return Condition(holds, {name})


def _check_leaf(table: str, name: str, operator: str, *, has_value: bool) -> None:
    if not name or (table != "ticket" and (table, name) != ("article", "action")):
        raise InvalidCondition(f"invalid selector {table}")
    if operator not in _OPERATORS:
        raise InvalidCondition(f"operator '{operator}' is invalid")
    if operator != "has changed" and not has_value:
        raise InvalidCondition("pre_condition nil")


def _compare(actual: Any, operator: str, value: Any) -> bool:
    if actual is None:
        return False  # as NULL in SQL: neither in a list nor not in it
    if operator in {"after (absolute)", "before (absolute)"}:
        # Both in ISO form; the database compares moments, which in one form is the order of texts.
        mine, theirs = str(actual).rstrip("Z"), str(value).rstrip("Z")
        mine, theirs = (each if "." in each else f"{each}.000" for each in (mine, theirs))
        return mine >= theirs if operator.startswith("after") else mine <= theirs
    texts = {_sql(each) for each in (value if isinstance(value, list) else [value])}
    return (_sql(actual) in texts) == (operator == "is")


def _sql(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
