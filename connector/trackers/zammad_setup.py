"""Set-up of Zammad by its REST API: what a source needs, whether it is there, and to make it. Facts: zammad 3.

The order matters: attributes, then the database's migration, then (most often) a restart of Zammad, then states,
webhook and trigger, whose condition names the new columns. Nothing that is there is changed. A migration brings in
every unfinished change of the instance, so it is only run if all of them are ours.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from connector.scopes.zammad import Condition, parse_scope
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
)
from connector.trackers.zammad_api import Json, ZammadApi
from connector.trackers.zammad_checks import Checks
from connector.trackers.zammad_names import NameBook, fold
from connector.trackers.zammad_reading import DUE_ATTRIBUTES, attribute, label

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
        checks = Checks(self._api, self._names, self._scope, self.plan, self._attributes)
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
        yield self._webhook_task(wanted)
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
            how = (
                f'There is an attribute "{name}" of another kind ({found.get("data_type")}). Kinds cannot be changed '
                "later: name another attribute in the mapping."
            )
            return Task(task_id, what, "by_hand", how)
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

    def _webhook_task(self, wanted: Wanted) -> Task:
        what = "A webhook that tells the connector of changes, signed with the secret."
        if wanted.webhook_url is None:
            how = "The connector's address is not known: say where Zammad reaches it (--webhook-url)."
            return Task("webhook", what, "by_hand", how)
        found = self._webhook(wanted.webhook_url)
        if found is None:
            if not wanted.webhook_secret():
                return Task("webhook", what, "by_hand", "Name a secret under tracker.webhook_secrets first.")
            return Task("webhook", what, "lacking")
        if found.get("active") is False:
            return Task("webhook", what, "by_hand", f'The webhook "{found.get("name")}" is switched off: switch it on.')
        return Task("webhook", what, "there")

    def _trigger_task(self, wanted: Wanted) -> Task:
        what = "A trigger that calls the webhook when a case is made, or its state or one of its attributes changes."
        if wanted.webhook_url is None:
            return Task("trigger", what, "by_hand", "It needs the webhook, and so the connector's address.")
        webhook = self._webhook(wanted.webhook_url)
        mine = trigger_of(self._triggers(), webhook) if webhook else None
        if mine is None:
            name = trigger_name(wanted.webhook_url)
            if any(fold(str(each.get("name"))) == fold(name) for each in self._triggers()):
                how = f'There is a trigger "{name}" that does not call our webhook: rename or delete it.'
                return Task("trigger", what, "by_hand", how)
            return Task("trigger", what, "lacking")
        if mine.get("active") is False:
            return Task("trigger", what, "by_hand", f'The trigger "{mine.get("name")}" is switched off: switch it on.')
        return Task("trigger", what, "there")

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
            self._make_webhook(wanted.webhook_url or "", wanted.webhook_secret())
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

    def _make_webhook(self, url: str, secret: str | None) -> None:
        body: Json = {
            "name": f"Inquiry connector ({_source_of(url)})",
            "endpoint": url,
            "signature_token": secret,
            "ssl_verify": True,
            "customized_payload": False,
            "http_method": "post",
            "active": True,
            "note": "Tells the inquiry connector that a case has changed.",
            "preferences": {},
        }
        self._post("webhooks", body)

    def _make_trigger(self, wanted: Wanted, url: str) -> None:
        webhook = self._webhook(url)
        if webhook is None:
            raise Refused("The trigger needs the webhook, which is not there yet.")
        scope = self._names.scope(parse_scope(self._scope))
        self._post("triggers", trigger_body(wanted, scope, webhook["id"]))

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

    def _webhook(self, url: str) -> Json | None:
        """The one that calls us; an active one first. Its secret may come masked and is not looked at."""
        listed = [each for each in self._api.get_list("webhooks", about="source") if _same_address(each, url)]
        return min(listed, key=lambda each: each.get("active") is False, default=None)

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


def trigger_body(wanted: Wanted, scope: Sequence[Condition], webhook_id: int) -> Json:
    """A trigger for tickets in scope that does nothing but call the webhook (facts: zammad 3.4).

    It is not kept from events of the connector itself: an event of a person may be told in one with them.
    """
    names = ["state_id", "group_id", *(attribute(field.name) for field in wanted.fields)]
    changed: list[Condition] = [{"name": f"ticket.{name}", "operator": "has changed", "value": []} for name in names]
    created: Condition = {"name": "ticket.action", "operator": "is", "value": "create"}
    return {
        "name": trigger_name(wanted.webhook_url or ""),
        "activator": "action",
        "execution_condition_mode": "selective",
        "active": True,
        "disable_notification": True,
        "note": "Tells the inquiry connector that a case has changed.",
        "condition": {"operator": "AND", "conditions": [*scope, {"operator": "OR", "conditions": [created, *changed]}]},
        "perform": {"notification.webhook": {"webhook_id": str(webhook_id)}},
    }


def trigger_name(webhook_url: str) -> str:
    """Last in the order of names, in which triggers run: others may change the ticket before."""
    return f"zz Inquiry connector ({_source_of(webhook_url)})"


def trigger_of(triggers: Sequence[Json], webhook: Mapping[str, Any]) -> Json | None:
    """The trigger that calls the webhook, an active one first."""
    calling = [each for each in triggers if _called(each) == str(webhook["id"])]
    return min(calling, key=lambda each: each.get("active") is False, default=None)


def _called(trigger: Mapping[str, Any]) -> str | None:
    perform = trigger.get("perform")
    call = perform.get("notification.webhook") if isinstance(perform, Mapping) else None
    return str(call.get("webhook_id")) if isinstance(call, Mapping) else None


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


def _same_address(webhook: Mapping[str, Any], url: str) -> bool:
    return str(webhook.get("endpoint") or "").rstrip("/") == url.rstrip("/")


def _source_of(webhook_url: str) -> str:
    """The name of the source in the connector's address, /webhooks/NAME; what follows it may be secret."""
    parts = [part for part in urlsplit(webhook_url).path.split("/") if part]
    after = parts[parts.index("webhooks") + 1 :] if "webhooks" in parts else []
    return after[0] if after else "cases"


def make(connection: SetupConnection) -> ZammadSetup:
    """The set-up side that the entry point offers (connector/kinds.py)."""
    return ZammadSetup(
        url=connection.url,
        token=connection.token,
        scope=connection.scope,
        clock=connection.clock,
    )
