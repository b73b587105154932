"""The trigger that set-up makes in Zammad, and what those that are there leave untold. Pure. Facts: zammad 1.6, 3.4.

A trigger decides by its condition, a tree of AND, OR and NOT, which events it tells. What it does not tell is found by
holding the tree against each event that should be told; of what cannot be known beforehand, such as the priority of a
ticket, the better is assumed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector.scopes.zammad import Condition
from connector.trackers.setup_port import Wanted
from connector.trackers.zammad_api import Json
from connector.trackers.zammad_names import fold
from connector.trackers.zammad_reading import attribute
from connector.trackers.zammad_setup_webhooks import NOTE, webhook_name

GROUP = "ticket.group_id"
_CREATED: Condition = {"name": "ticket.action", "operator": "is", "value": "create"}
_WORDS = {"state_id": "state", "group_id": "group"}


def trigger_name(webhook_url: str) -> str:
    """Last in the order of names, in which triggers run: others may change the ticket before."""
    return f"zz {webhook_name(webhook_url)}"


def trigger_body(wanted: Wanted, scope: Sequence[Condition], webhook_id: int) -> Json:
    """A trigger for tickets in scope that does nothing but call the webhook.

    It is not kept from events of the connector itself: an event of a person may be told in one with them.
    """
    changed = [{"name": f"ticket.{name}", "operator": "has changed", "value": []} for name in _watched(wanted)]
    return {
        "name": trigger_name(wanted.webhook_url or ""),
        "activator": "action",
        "execution_condition_mode": "selective",
        "active": True,
        "disable_notification": True,
        "note": NOTE,
        "condition": _condition(scope, [_CREATED, *changed]),
        "perform": {"notification.webhook": {"webhook_id": str(webhook_id)}},
    }


def callers(triggers: Iterable[Json], webhook: Mapping[str, Any]) -> list[Json]:
    """The triggers that call the webhook, active ones first."""
    found = [each for each in triggers if _called(each) == str(webhook["id"])]
    return sorted(found, key=lambda each: each.get("active") is False)


@dataclass(frozen=True, slots=True)
class Gaps:
    """What no trigger tells: changes of `attributes`, anything in `groups` (their numbers), new cases."""

    attributes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    created: bool = False

    def __bool__(self) -> bool:
        return bool(self.attributes or self.groups or self.created)

    def told(self, name_of_group: Callable[[str], str]) -> str:
        """In words that continue "does not tell of"."""
        parts = []
        if self.attributes:
            parts.append(f"changes of {', '.join(self.attributes)}")
        if self.created:
            parts.append("new cases")
        if self.groups:
            parts.append(f"the group {', '.join(map(name_of_group, self.groups))}")
        return " or ".join(parts)


def gaps(triggers: Sequence[Json], wanted: Wanted, scope: Sequence[Condition]) -> Gaps:
    """What none of these triggers tells of the tickets in scope."""
    groups = [
        str(number) for each in scope if (each["name"], each["operator"]) == (GROUP, "is") for number in each["value"]
    ]
    events = ["", *_watched(wanted)]
    deaf = {(group, event) for group in groups for event in events if not _tells(triggers, group, event, scope)}
    whole = [group for group in groups if all((group, event) in deaf for event in events)]
    missing = [event for event in events if any((group, event) in deaf for group in groups if group not in whole)]
    return Gaps(tuple(_WORDS.get(each, each) for each in missing if each), tuple(whole), "" in missing)


def grown(trigger: Mapping[str, Any], body: Json) -> Json | None:
    """The condition of a trigger that set-up made, with what it now lacks of `body`; None if it is not safe to grow it.

    It is safe where nothing but the list of attributes and groups is another than in `body`: nobody has changed what it
    does, or added a condition of their own.
    """
    same = ("note", "activator", "perform")
    if fold(str(trigger.get("name"))) != fold(body["name"]) or any(trigger.get(key) != body[key] for key in same):
        return None
    there, wanted = _parts(trigger.get("condition")), _parts(body["condition"])
    if there is None or wanted is None:
        return None
    (scope, told), (wanted_scope, wanted_told) = there, wanted
    if not all(_is_told(each) for each in told) or not _covers(wanted_scope, scope):
        return None
    return _condition(wanted_scope, [*told, *(each for each in wanted_told if _key(each) not in map(_key, told))])


def _watched(wanted: Wanted) -> list[str]:
    """The columns whose changes are news."""
    return ["state_id", "group_id", *(attribute(field.name) for field in wanted.fields)]


def _condition(scope: Sequence[Condition], told: Sequence[Condition]) -> Json:
    return {"operator": "AND", "conditions": [*scope, {"operator": "OR", "conditions": list(told)}]}


def _called(trigger: Mapping[str, Any]) -> str | None:
    perform = trigger.get("perform")
    call = perform.get("notification.webhook") if isinstance(perform, Mapping) else None
    return str(call.get("webhook_id")) if isinstance(call, Mapping) else None


def _tells(triggers: Iterable[Json], group: str, event: str, scope: Sequence[Condition]) -> bool:
    """Whether one of them may tell of a change of the column `event`, or of a new case (""), in the group."""
    for trigger in triggers:
        block = _block(trigger.get("condition"))
        always = trigger.get("execution_condition_mode") == "always" or not event
        looked_at = always or f"ticket.{event}" in {str(leaf.get("name")) for leaf in _leaves(block)}
        works = trigger.get("active") is not False and trigger.get("activator", "action") == "action"
        if works and looked_at and _holds(block, group, event, [_key(each) for each in scope]) is not False:
            return True
    return False


def _block(condition: object) -> Json:
    """The condition as a tree; its older form is attribute -> condition, all of which must hold."""
    if not isinstance(condition, Mapping):
        return {"operator": "AND", "conditions": []}
    if "conditions" in condition:
        return dict(condition)
    leaves = [{"name": name, **rest} for name, rest in condition.items() if isinstance(rest, Mapping)]
    return {"operator": "AND", "conditions": leaves}


def _leaves(block: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for each in block["conditions"]:
        if isinstance(each, Mapping):
            yield from _leaves(each) if "conditions" in each else (each,)


def _holds(block: Mapping[str, Any], group: str, event: str, scope: Sequence[object]) -> bool | None:
    """Whether the condition holds for the event; None where that depends on what is not known beforehand."""
    if "conditions" not in block:
        return _leaf_holds(block, group, event, scope)
    told = [_holds(each, group, event, scope) for each in block["conditions"] if isinstance(each, Mapping)]
    if block.get("operator") == "OR":
        return True if True in told else None if None in told else False
    every = False if False in told else None if None in told else True
    return every if block.get("operator") != "NOT" or every is None else not every


def _leaf_holds(leaf: Mapping[str, Any], group: str, event: str, scope: Sequence[object]) -> bool | None:
    name, operator = leaf.get("name"), str(leaf.get("operator"))
    if _key(leaf) in scope:
        return True  # the ticket is in scope
    if name == "ticket.action":
        return (leaf.get("value") == ("update" if event else "create")) == (operator == "is")
    if name == "article.action":
        return (operator != "is") if event else None  # an attribute is changed without a note
    if operator == "has changed":
        return bool(event) and name == f"ticket.{event}"  # a new ticket counts as created, not as changed
    if name == GROUP and operator in {"is", "is not"} and leaf.get("pre_condition") in {None, "", "specific"}:
        return (group in _values(leaf)) == (operator == "is")
    return None


def _parts(condition: object) -> tuple[list[Json], list[Json]] | None:
    """(the conditions of the scope, what is told), if the condition has the form that set-up gives it."""
    match condition:
        case {"operator": "AND", "conditions": [*scope, {"operator": "OR", "conditions": [*told]}]}:
            leaves = [*scope, *told]
            return (scope, told) if all(isinstance(each, dict) and "name" in each for each in leaves) else None
    return None


def _is_told(leaf: Mapping[str, Any]) -> bool:
    return leaf.get("operator") == "has changed" or _key(leaf) == _key(_CREATED)


def _covers(wanted: Sequence[Condition], there: Sequence[Condition]) -> bool:
    """Whether the conditions are the same, but for groups that have come to be wanted."""
    rest, old_rest = ([_key(each) for each in leaves if each["name"] != GROUP] for leaves in (wanted, there))
    groups, old_groups = ([each for each in leaves if each["name"] == GROUP] for leaves in (wanted, there))
    return (
        rest == old_rest
        and len(groups) == len(old_groups) == 1
        and groups[0]["operator"] == old_groups[0].get("operator") == "is"
        and _values(old_groups[0]) <= _values(groups[0])
    )


def _key(leaf: Mapping[str, Any]) -> tuple[object, object, object, frozenset[str]]:
    """What makes two conditions the same, however their values are written."""
    return leaf.get("name"), leaf.get("operator"), leaf.get("pre_condition") or None, _values(leaf)


def _values(leaf: Mapping[str, Any]) -> frozenset[str]:
    value = leaf.get("value")
    return frozenset(map(str, value if isinstance(value, list) else [] if value is None else [value]))
