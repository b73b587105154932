"""Set-up of Zammad by its REST API: what a source needs, whether it is there, and to make it. Facts: zammad 3.

The order matters: attributes, then the database's migration, then (most often) a restart of Zammad, then states,
webhook and trigger, whose condition names the new columns. Nothing that is there is changed, but for a trigger that
was made here and that nobody has touched: it learns of attributes and groups that have come to be wanted. A migration
brings in every unfinished change of the instance, so it is only run if all of them are ours.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from connector.scopes.zammad import Condition, ScopeError, parse_scope
from connector.trackers.port import AccessRefused, Misconfigured, Refused, Unavailable
from connector.trackers.setup_port import (
    USABLE,
    FieldType,
    Finding,
    FoundField,
    Inventory,
    SetupConnection,
    Task,
    Wanted,
    WantedField,
    unseen,
)
from connector.trackers.zammad_api import Json, ZammadApi
from connector.trackers.zammad_checks import Checks
from connector.trackers.zammad_names import NameBook, fold
from connector.trackers.zammad_reading import DUE_ATTRIBUTES, attribute, label
from connector.trackers.zammad_setup_triggers import callers, gaps, grown, trigger_body, trigger_name
from connector.trackers.zammad_setup_webhooks import calling, former, host_of, is_signed, troubles, webhook_body

DUE_FIELD = WantedField(
    "due_on", DUE_ATTRIBUTES[0], "date", "The day on which the next step falls. The connector keeps it up to date."
)

# Zammad's kinds of attributes that a fact can live in (facts: zammad 3.1).
TYPES: Mapping[str, FieldType] = {
    "input": "text",
    "textarea": "text",
    "date": "date",
    "datetime": "datetime",
    "integer": "number",
    "select": "select",
    "tree_select": "select",
    "boolean": "boolean",
}
_OPTIONS: Mapping[FieldType, tuple[str, Json]] = {
    "text": ("input", {"type": "text", "maxlength": 250, "default": "", "linktemplate": ""}),
    "date": ("date", {"diff": None}),
    "datetime": ("datetime", {"future": True, "past": True, "diff": None}),
    "number": ("integer", {"default": None, "min": 0, "max": 3650}),
    "boolean": ("boolean", {"options": {"true": "yes", "false": "no"}, "default": False}),
}
_NAME = re.compile(r"(?=.*[a-z])[a-z0-9_]+")
_FIRST_POSITION = 1550  # below Zammad's own attributes on the ticket's screen
_WAIT, _WAITS = 3.0, 10  # seconds, and how often: half a minute for a restart
_LOOKS = 4  # several workers answer for one Zammad, and each must know a new attribute

RIGHTS = (
    "Setting Zammad up takes an administrator's token with the permissions admin.object, admin.webhook, admin.trigger, "
    "admin.ticket_state and ticket.agent. For its daily work the connector needs ticket.agent alone."
)
RESTART = (
    "Restart Zammad (systemctl restart zammad, or docker compose restart), as its documentation asks after new "
    "attributes. Until then it drops what is written into them."
)


class ZammadSetup:
    """The set-up side of one Zammad. What its token must be allowed to: RIGHTS (before 6.3 states are admin.object's).

    wait    how half a minute for Zammad's own restart is spent, in seconds at a time
    """

    def __init__(
        self,
        *,
        url: str,
        token: Callable[[], str],
        scope: str,
        clock: Callable[[], datetime],
        timeout: tuple[float, float] = (5, 60),  # a migration alters the table of tickets
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._scope, self._wait = scope, wait
        self._api = ZammadApi(url=url, token=token, timeout=timeout, clock=clock, keep=lambda _quoted: True)
        self._names = NameBook(self._api, clock)

    def close(self) -> None:
        """Give back connections."""
        self._api.close()

    # What is there

    def inventory(self) -> Inventory:
        """See setup_port. Attributes that Zammad itself brings hold no facts and are left out."""
        fields = [
            FoundField(each["name"], str(each.get("display")), TYPES.get(each.get("data_type", "")), _choices(each))
            for each in self._attributes()
            if each.get("editable") is not False and each.get("active") is not False
        ]
        states = [state.name for state in self._names.all("state", anew=True) if state.active]
        return Inventory(tuple(fields), tuple(states))

    def plan(self, wanted: Wanted) -> Sequence[Task]:
        """See setup_port."""
        return list(self._tasks(wanted))

    def findings(self, wanted: Wanted) -> Sequence[Finding]:
        """See setup_port."""
        checks = Checks(self._api, self._names, self._scope, self.plan, self._attributes, self._not_shown)
        return list(checks.findings(wanted))

    def _tasks(self, wanted: Wanted) -> Iterator[Task]:
        attributes = self._attributes()
        fields = [self._field_task(field, attributes) for field in _needed(wanted, attributes)]
        yield from fields
        yield self._migration_task(wanted, attributes, any(task.state == "lacking" for task in fields))
        if all(task.state == "there" for task in fields):
            yield self._restart_task(_needed(wanted, attributes))
        for name in dict.fromkeys(wanted.statuses):
            yield self._state_task(name)
        yield from self._webhook_tasks(wanted)
        yield self._trigger_task(wanted)

    def _field_task(self, field: WantedField, attributes: Sequence[Json]) -> Task:
        name = attribute(field.name)
        task_id, what = f"field {field.fact}", f'A ticket attribute "{name}" ({field.type}).'
        found = _attribute(attributes, name)
        if found is None:
            if _NAME.fullmatch(name) and not name.endswith(("_id", "_ids")):
                return Task(task_id, what, "lacking")
            how = f'Rename "{field.name}" in the mapping: small letters, digits and _ only, and not ending in _id.'
            return Task(task_id, what, "by_hand", how)
        kind = TYPES.get(str(found.get("data_type")))
        if kind not in USABLE[field.type]:
            trouble = f'There is an attribute "{name}" of another kind ({found.get("data_type")}).'
            how = "Zammad cannot change an attribute's kind: name another attribute in the mapping."
            return Task(task_id, what, "by_hand", how, trouble)
        if found.get("active") is False:
            return Task(task_id, what, "by_hand", f'The attribute "{name}" is switched off: switch it on in Zammad.')
        return Task(task_id, what, "there")

    def _migration_task(self, wanted: Wanted, attributes: Sequence[Json], more: bool) -> Task:
        what = "Zammad's database is brought up to its new attributes. Browsers of staff are asked to reload."
        pending = [each for each in attributes if _is_pending(each)]
        foreign = _foreign(pending, wanted)
        if foreign:
            how = (
                f"Somebody has changed {', '.join(foreign)} in Zammad and not finished: the update would carry that "
                "out, too. In Zammad, under Objects, update the database or discard those changes, then start again."
            )
            return Task("migration", what, "by_hand", how)
        return Task("migration", what, "lacking" if pending or more else "there")

    def _restart_task(self, fields: Sequence[WantedField]) -> Task:
        what = "Every process of Zammad knows the new attributes."
        known = self._every_look_shows([attribute(field.name) for field in fields])
        return Task("restart", what, "there") if known else Task("restart", what, "by_hand", RESTART)

    def _state_task(self, name: str) -> Task:
        task_id, what = f"state {name}", f'A ticket state "{name}", of the type open.'
        found = self._names.find("state", name)
        if found is None:
            return Task(task_id, what, "lacking")
        if not found.active:
            return Task(task_id, what, "by_hand", f'The state "{name}" is switched off: switch it on in Zammad.')
        return Task(task_id, what, "there")

    def _webhook_tasks(self, wanted: Wanted) -> Iterator[Task]:
        what = "A webhook that tells the connector of changes, signed with the secret."
        if wanted.webhook_url is None:
            how = "The connector's address is not known: say where Zammad reaches it (--webhook-url)."
            yield Task("webhook", what, "by_hand", how)
            return
        webhooks, secret = self._webhooks(), wanted.webhook_secret()
        found = calling(webhooks, wanted.webhook_url)
        if found is None:
            how = "" if secret else "Name a secret under tracker.webhook_secrets first."
            yield Task("webhook", what, "by_hand" if how else "lacking", how)
        elif found.get("active") is False:
            yield Task("webhook", what, "by_hand", f'The webhook "{found.get("name")}" is switched off: switch it on.')
        else:
            yield Task("webhook", _of_webhook(found, secret), "there")
            for each in troubles(found, secret):
                yield Task(f"webhook {each.part}", "The webhook does its work.", "by_hand", each.by_hand, each.what)
        for old in former(webhooks, wanted.webhook_url):
            trouble = f'A webhook "{old["name"]}" still calls another address, at {host_of(old)}.'
            how = "If that was the connector's address, delete the webhook in Zammad, and the trigger that calls it."
            yield Task("webhook former", "No webhook calls a former address of the connector.", "by_hand", how, trouble)

    def _trigger_task(self, wanted: Wanted) -> Task:
        what = "A trigger that calls the webhook when a case is made, or its state or one of its attributes changes."
        if wanted.webhook_url is None:
            return Task("trigger", what, "by_hand", "It needs the webhook, and so the connector's address.")
        webhook, triggers = calling(self._webhooks(), wanted.webhook_url), self._triggers()
        ours = callers(triggers, webhook) if webhook else []
        if webhook is None or not ours:
            name = trigger_name(wanted.webhook_url)
            if any(fold(str(each.get("name"))) == fold(name) for each in triggers):
                how = f'There is a trigger "{name}" that does not call our webhook: rename or delete it.'
                return Task("trigger", what, "by_hand", how)
            return Task("trigger", what, "lacking")
        if ours[0].get("active") is False:
            how = f'The trigger "{ours[0].get("name")}" is switched off: switch it on.'
            return Task("trigger", what, "by_hand", how)
        return self._gaps_task(wanted, webhook, [each for each in ours if each.get("active") is not False])

    def _gaps_task(self, wanted: Wanted, webhook: Json, triggers: Sequence[Json]) -> Task:
        """Triggers that call the webhook are there; whether they tell of all that is wanted."""
        what = "A trigger tells of all that the mapping names."
        try:
            untold, name = gaps(triggers, wanted, self._scope_conditions()), triggers[0].get("name")
        except Misconfigured as error:
            return Task("trigger", what, "by_hand", f"What the trigger tells was not looked at. {error.message}")
        if not untold:
            what = f'The trigger "{name}" tells of new cases and of changes of their state and attributes.'
            return Task("trigger", what, "there")
        told = untold.told(self._name_of_group)
        trouble = f'The trigger "{name}" does not tell of {told}.'
        if self._growing(wanted, webhook, triggers):
            what = f'The trigger "{trigger_name(wanted.webhook_url or "")}", made by provision, tells of {told}, too.'
            return Task("trigger", what, "lacking", trouble=trouble)
        how = (
            "It was not made by provision, or was changed since, and is left as it is. In Zammad, under Trigger, add "
            'what is lacking to its conditions, each attribute as "has changed"; or let it run always, for the group '
            "alone."
        )
        return Task("trigger", what, "by_hand", how, trouble)

    def _growing(self, wanted: Wanted, webhook: Json, triggers: Sequence[Json]) -> tuple[int, Json] | None:
        """(the trigger of ours that can learn what it lacks, its new condition)."""
        body = trigger_body(wanted, self._scope_conditions(), webhook["id"])
        found = ((each["id"], grown(each, body)) for each in triggers)
        return next(((number, condition) for number, condition in found if condition), None)

    def _name_of_group(self, number: str) -> str:
        names = (f'"{each.name}"' for each in self._names.all("group") if str(each.id) == number)
        return next(names, f"number {number}")

    def _not_shown(self, wanted: Wanted) -> Iterator[Finding]:
        """What no token is shown."""
        found = calling(self._webhooks(), wanted.webhook_url) if wanted.webhook_url else None
        if found is not None and is_signed(found, wanted.webhook_secret()) is None:
            what = "Whether the webhook signs with the secret was not looked at: Zammad does not show it."
            yield unseen("webhook secret", what, "Change a case, and see that its webhook is heard.")

    # To make it

    def carry_out(self, wanted: Wanted, task: Task) -> None:
        """See setup_port."""
        present = next((each for each in self._tasks(wanted) if each.id == task.id), None)
        if present is None or present.state == "there":
            return
        if present.state == "by_hand":
            raise Refused(present.by_hand)
        kind, _, name = task.id.partition(" ")
        if kind == "field":
            self._make_field(wanted, name)
        elif kind == "migration":
            self._migrate(wanted)
        elif kind == "state":
            self._make_state(name)
        elif kind == "webhook":
            self._post("webhooks", webhook_body(wanted.webhook_url or "", wanted.webhook_secret()))
        else:
            self._make_trigger(wanted, wanted.webhook_url or "")

    def _make_field(self, wanted: Wanted, fact: str) -> None:
        fields = _all_fields(wanted)
        number, field = next((n, each) for n, each in enumerate(fields) if each.fact == fact)
        self._post("object_manager_attributes", attribute_body(field, _FIRST_POSITION + number))

    def _migrate(self, wanted: Wanted) -> None:
        foreign = _foreign([each for each in self._attributes() if _is_pending(each)], wanted)
        if foreign:
            raise Refused(f"Somebody else's unfinished changes would be carried out, too: {', '.join(foreign)}.")
        self._post("object_manager_attributes_execute_migrations", {})
        attributes = self._attributes()
        if any(_is_pending(each) for each in attributes):
            raise Misconfigured("Zammad has not brought its database up to the new attributes. See its log.")
        self._wait_for([attribute(field.name) for field in _needed(wanted, attributes)])

    def _wait_for(self, names: Sequence[str]) -> None:
        """Until every process of Zammad knows the attributes: where it may, Zammad restarts by itself now."""
        for _ in range(_WAITS):
            try:
                if self._every_look_shows(names):
                    return
            except Unavailable:
                pass  # it is restarting
            self._wait(_WAIT)
        raise Misconfigured(f"{RESTART} Then start again here: what is made stays.")

    def _make_state(self, name: str) -> None:
        open_type = next(
            (each.get("state_type_id") for each in self._states() if each.get("state_type") == "open"), None
        )
        if open_type is None:
            raise Misconfigured("This Zammad has no state of the type open to go by: make the state by hand.")
        note = "Made for the inquiry connector."
        body = {"name": name, "state_type_id": open_type, "ignore_escalation": False, "active": True, "note": note}
        self._post("ticket_states", body)
        self._names.all("state", anew=True)

    def _make_trigger(self, wanted: Wanted, url: str) -> None:
        webhook = calling(self._webhooks(), url)
        if webhook is None:
            raise Refused("The trigger needs the webhook, which is not there yet.")
        ours = callers(self._triggers(), webhook)
        growing = self._growing(wanted, webhook, ours)
        if growing:
            number, condition = growing
            self._api.change("PUT", f"triggers/{number}", {"condition": condition}, about="source")
        else:
            self._post("triggers", trigger_body(wanted, self._scope_conditions(), webhook["id"]))

    def _post(self, path: str, body: Json) -> None:
        self._api.change("POST", path, body, about="source")

    # Reading

    def _attributes(self) -> list[Json]:
        try:
            listed = self._api.get_list("object_manager_attributes", about="source")
        except AccessRefused as error:
            raise AccessRefused(f"{error.message} {RIGHTS}") from None
        return [each for each in listed if each.get("object") == "Ticket" and isinstance(each.get("name"), str)]

    def _states(self) -> list[Json]:
        return self._api.get_list("ticket_states", about="source", params={"expand": "true"})

    def _scope_conditions(self) -> list[Condition]:
        """Raises Misconfigured for a scope that cannot be read, or names what is not there."""
        try:
            return self._names.scope(parse_scope(self._scope))
        except ScopeError as error:
            raise Misconfigured(f"The scope {error}.") from None

    def _webhooks(self) -> list[Json]:
        return self._api.get_list("webhooks", about="source")

    def _triggers(self) -> list[Json]:
        return self._api.get_list("triggers", about="source")

    def _every_look_shows(self, names: Sequence[str]) -> bool:
        """Whether a ticket shows these attributes, each time it is asked for; true if there is no ticket to look at."""
        listed = self._api.get_list("tickets", about="source", params={"per_page": 1, "page": 1})
        looks = (
            self._api.get_object(f"tickets/{listed[0]['id']}", about="source") for _ in range(_LOOKS if listed else 0)
        )
        return all(name in raw for raw in looks for name in names)


def attribute_body(field: WantedField, position: int) -> Json:
    """What makes a ticket attribute. Never a required one: while empty it stops all edits (facts: zammad 2.3)."""
    kind, option = _OPTIONS.get(field.type, _OPTIONS["text"])
    if field.type == "select" and field.options:
        kind = "select"
        # The key of each choice is its label: values are kept, sent and searched by their keys.
        choices = {name: name for name in field.options}
        option = {"default": "", "options": choices, "nulloption": True, "maxlength": 255, "linktemplate": ""}
    agent = {"shown": True, "required": False, "item_class": "column"}
    customer = {"shown": False, "required": False}
    return {
        "object": "Ticket",
        "name": attribute(field.name),
        "display": label(field.name),
        "active": True,
        "position": position,
        "data_type": kind,
        "data_option": {**option, "note": field.help},
        "screens": {
            "create_middle": {"ticket.agent": agent, "ticket.customer": customer},
            "edit": {"ticket.agent": agent, "ticket.customer": customer},
        },
    }


def _of_webhook(webhook: Json, secret: str | None) -> str:
    """A webhook that calls us, and what is known of its signature."""
    signed = {True: ", signed with the secret.", False: ".", None: ". With which secret it signs was not looked at."}
    return f'The webhook "{webhook.get("name")}" tells the connector of changes{signed[is_signed(webhook, secret)]}'


def _all_fields(wanted: Wanted) -> list[WantedField]:
    taken = {attribute(field.name) for field in wanted.fields}
    return [*wanted.fields, *([] if DUE_FIELD.name in taken else [DUE_FIELD])]


def _needed(wanted: Wanted, attributes: Sequence[Json]) -> list[WantedField]:
    """The wanted fields; without ours for the due date, if another attribute serves for it."""
    has_another = any(each["name"] in DUE_ATTRIBUTES[1:] for each in attributes)
    return [field for field in _all_fields(wanted) if not (field is DUE_FIELD and has_another)]


def _attribute(attributes: Sequence[Json], name: str) -> Json | None:
    return next((each for each in attributes if each["name"] == name), None)


def _is_pending(raw: Mapping[str, Any]) -> bool:
    return any(raw.get(key) for key in ("to_create", "to_migrate", "to_delete", "to_config"))


def _foreign(pending: Sequence[Json], wanted: Wanted) -> list[str]:
    """Unfinished changes that are not new attributes of ours."""
    ours = {attribute(field.name) for field in _all_fields(wanted)}
    return [f'"{each["name"]}"' for each in pending if each["name"] not in ours or not each.get("to_create")]


def _choices(raw: Mapping[str, Any]) -> tuple[str, ...]:
    option = raw.get("data_option")
    options = option.get("options") if isinstance(option, Mapping) else None
    return tuple(map(str, options)) if isinstance(options, Mapping) and raw.get("data_type") == "select" else ()


def make(connection: SetupConnection) -> ZammadSetup:
    """The set-up side that the entry point offers (connector/kinds.py)."""
    return ZammadSetup(
        url=connection.url,
        token=connection.token,
        scope=connection.scope,
        clock=connection.clock,
    )
