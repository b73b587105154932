"""What an administrator configures through Jira's REST API: custom fields, contexts, options, screens, webhooks.

Shapes and statuses: Atlassian's OpenAPI document of Jira Cloud. The webhooks stand in no such document: Cloud and Data
Center up to 9 have them at /rest/webhooks/1.0/webhook, Data Center from 10 at /rest/jira-webhook/1.0/webhooks
(Atlassian's pages "Webhooks" and "Managing webhooks"). Only Cloud keeps a secret here and signs with it.
"""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, current_app, g, jsonify, request

from connector.practice import jql, shapes
from connector.practice.api import (
    Answer,
    admit,
    api,
    body,
    known_keys,
    me,
    no_content,
    refusal,
    release,
    unknown_call,
    whole_number,
    with_issue,
    world,
)
from connector.practice.fields import TYPES, Field
from connector.practice.hooks import Webhook, WebhookSender
from connector.practice.shapes import Json
from connector.practice.world import DEFAULT_SCREEN, Context, Issue, Refused, Screen

# Events an admin webhook may be registered for; more than the sender here ever sends.
KNOWN_EVENTS = {
    "jira:issue_created",
    "jira:issue_updated",
    "jira:issue_deleted",
    "comment_created",
    "comment_updated",
    "comment_deleted",
    "issue_property_set",
    "issue_property_deleted",
}
_SEARCHERS = {
    "text": "textsearcher",
    "textarea": "textsearcher",
    "date": "daterange",
    "datetime": "datetimerange",
    "number": "exactnumber",
    "select": "multiselectsearcher",
    "checkbox": "multiselectsearcher",
}
_TYPE_PREFIX = "com.atlassian.jira.plugin.system.customfieldtypes:"
_LONGEST_NAME = 255
_LONGEST_URL = 2000
_TAB = 1  # every screen here has one tab, "Field Tab"


def _demand_admin() -> None:
    if not me().may("ADMINISTER"):
        raise Refused(403, "Only Jira administrators can access this operation.")


def _page(values: list[Json], default: int) -> Answer:
    """One page of a list, as Cloud's paged resources answer."""
    start = whole_number("startAt", 0)
    limit = min(whole_number("maxResults", default, least=1), default)
    shown = values[start : start + limit]
    total = len(values)
    answer = {"startAt": start, "maxResults": limit, "total": total, "isLast": start + limit >= total, "values": shown}
    return jsonify(answer)


# -- custom fields -----------------------------------------------------------------------------------------------


@api.post("/field")
def create_field() -> Answer:
    """A custom field, on no screen yet and without choices. A name that is taken is no obstacle."""
    _demand_admin()
    sent = body()
    known_keys(sent, "name", "description", "type", "searcherKey")
    name, kind = sent.get("name"), TYPES.get(str(sent.get("type")))
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME:
        raise Refused(400, errors={"name": "You must specify a valid name for the custom field."})
    if kind is None:
        raise Refused(400, errors={"fieldType": "Invalid custom field type selected."})
    searcher = sent.get("searcherKey")
    if searcher is not None and searcher != _TYPE_PREFIX + _SEARCHERS[kind]:
        raise Refused(400, errors={"searcherKey": "Invalid searcher selected for this custom field type."})
    made = world().add_field(name.strip(), kind, on_screens=False)
    return jsonify(shapes.field_detail(world(), made.id)), 201


def _custom_field(field_id: str) -> Field:
    found = world().fields.get(field_id)
    if found is None or not found.custom:
        raise Refused(404, f"The custom field {field_id} was not found.")
    return found


@api.get("/field/<field_id>/context")
def contexts(field_id: str) -> Answer:
    _demand_admin()
    found = _custom_field(field_id)
    mine = [each for each in world().contexts if each.field_id == found.id]
    return _page([_context(each) for each in mine], 50)


def _context(each: Context) -> Json:
    return {
        "id": str(each.id),
        "name": each.name,
        "description": "",
        "isGlobalContext": True,
        "isAnyIssueType": True,
    }


def _field_of(field_id: str, context_id: int) -> Field:
    """The field of that context, whose choices are asked for or added to."""
    _demand_admin()
    found = _custom_field(field_id)
    if not any(each.id == context_id and each.field_id == found.id for each in world().contexts):
        raise Refused(404, "The context was not found.")
    if found.type not in {"select", "checkbox"}:
        raise Refused(400, "The custom field does not support options.")
    return found


@api.get("/field/<field_id>/context/<int:context_id>/option")
def options(field_id: str, context_id: int) -> Answer:
    found = _field_of(field_id, context_id)
    return _page([{"id": each.id, "value": each.value, "disabled": False} for each in found.options], 100)


@api.post("/field/<field_id>/context/<int:context_id>/option")
def add_options(field_id: str, context_id: int) -> Answer:
    found = _field_of(field_id, context_id)
    sent = body()
    known_keys(sent, "options")
    listed = sent.get("options")
    if not isinstance(listed, list) or not all(isinstance(each, dict) and each.get("value") for each in listed):
        raise Refused(400, "Options must be an array of objects with a value.")
    values = [str(each["value"]) for each in listed]
    if len(set(values)) < len(values) or {each.value for each in found.options} & set(values):
        raise Refused(400, "The option values must be unique within the context.")
    added = world().add_options(found, values)
    return jsonify({"options": [{"id": each.id, "value": each.value, "disabled": False} for each in added]})


@api.get("/issue/<key>/editmeta")
@with_issue
def edit_meta(issue: Issue) -> Answer:
    """Empty for whoever may not edit."""
    return jsonify(shapes.edit_meta(world(), issue) if me().may("EDIT_ISSUES") else {"fields": {}})


# -- screens -----------------------------------------------------------------------------------------------------


@api.get("/screens")
def screens() -> Answer:
    _demand_admin()
    listed = [{"id": each.id, "name": each.name, "description": ""} for each in world().screens.values()]
    return _page(listed, 100)


def _screen(screen_id: int) -> Screen:
    _demand_admin()
    if screen_id not in world().screens:
        raise Refused(404, "The screen was not found.")
    return world().screens[screen_id]


def _tab(screen_id: int, tab_id: int) -> Screen:
    found = _screen(screen_id)
    if tab_id != _TAB:
        raise Refused(404, "The screen tab was not found.")
    return found


def _add_to(screen: Screen, field_id: str) -> Field:
    found = world().fields.get(field_id)
    if found is None:
        raise Refused(404, "The field was not found.")
    if field_id in screen.fields:
        raise Refused(400, f"Field with id '{field_id}' is already on the screen.")
    screen.fields.add(field_id)
    return found


@api.post("/screens/addToDefault/<field_id>")
def add_to_default(field_id: str) -> Answer:
    _add_to(_screen(DEFAULT_SCREEN), field_id)
    return jsonify({})


@api.get("/screens/<int:screen_id>/tabs")
def screen_tabs(screen_id: int) -> Answer:
    _screen(screen_id)
    return jsonify([{"id": _TAB, "name": "Field Tab"}])


@api.get("/screens/<int:screen_id>/tabs/<int:tab_id>/fields")
def tab_fields(screen_id: int, tab_id: int) -> Answer:
    shown = _tab(screen_id, tab_id).fields
    return jsonify([{"id": each.id, "name": each.name} for each in world().fields.values() if each.id in shown])


@api.post("/screens/<int:screen_id>/tabs/<int:tab_id>/fields")
def add_to_tab(screen_id: int, tab_id: int) -> Answer:
    sent = body()
    known_keys(sent, "fieldId")
    added = _add_to(_tab(screen_id, tab_id), str(sent.get("fieldId")))
    return jsonify({"id": added.id, "name": added.name})


# -- webhooks ----------------------------------------------------------------------------------------------------

hooks_api = Blueprint("hooks_api", __name__)
hooks_api.teardown_request(release)
hooks_api.register_error_handler(Refused, refusal)
OLD, NEW = "/rest/webhooks/1.0/webhook", "/rest/jira-webhook/1.0/webhooks"


@hooks_api.before_request
def admit_admin() -> Answer | None:
    """As every request; and each version has its webhooks at one path only, for administrators."""
    g.version = "2"
    refused = admit()
    if refused is not None:
        return refused
    if not request.path.startswith(NEW if _is_new() else OLD):
        return unknown_call()
    _demand_admin()
    return None


def _is_new() -> bool:
    here = world()
    return here.deployment == "data-center" and int(here.version.partition(".")[0]) >= 10


def _sender() -> WebhookSender:
    sender: WebhookSender = current_app.extensions["practice_server"].hooks
    return sender


@hooks_api.get(OLD)
@hooks_api.get(NEW)
def webhooks() -> Answer:
    return jsonify([_shown(each) for each in _sender().webhooks if each.shape == "jira"])


@hooks_api.post(OLD)
@hooks_api.post(NEW)
def create_webhook() -> Answer:
    sent = body()
    known_keys(sent, "name", "description", "url", "events", "filters", "excludeBody", "secret", "enabled")
    name, url, events = sent.get("name"), sent.get("url"), sent.get("events")
    if not isinstance(name, str) or not name.strip():
        raise Refused(400, "The webhook must have a name.")
    if not isinstance(url, str) or not url.startswith(("https://", "http://")) or len(url) > _LONGEST_URL:
        raise Refused(400, "The URL of the webhook is not valid.")
    if not isinstance(events, list) or not events or not set(events) <= KNOWN_EVENTS:
        raise Refused(400, "The events of the webhook are not valid.")
    sender = _sender()
    secret = sent.get("secret") if world().deployment == "cloud" else None
    made = Webhook(
        url,
        secret,
        events=tuple(events),
        id=1 + max((each.id for each in sender.webhooks), default=0),
        name=name,
        enabled=sent.get("enabled", True) is True,
        jql=_condition(sent.get("filters")),
    )
    sender.webhooks.append(made)
    return jsonify(_shown(made)), 201


def _condition(filters: Any) -> str:
    text = filters.get("issue-related-events-section", "") if isinstance(filters, Mapping) else ""
    try:
        jql.parse(world(), text, me())
    except jql.JqlError as error:
        raise Refused(400, str(error)) from None
    return str(text)


@hooks_api.delete(f"{OLD}/<int:number>")
@hooks_api.delete(f"{NEW}/<int:number>")
def delete_webhook(number: int) -> Answer:
    sender = _sender()
    if not any(each.id == number for each in sender.webhooks):
        raise Refused(404, "The webhook was not found.")
    sender.webhooks = [each for each in sender.webhooks if each.id != number]
    return no_content()


def _shown(hook: Webhook) -> Json:
    """A secret is never told; Cloud says whether there is one. Data Center from 10 on has words of its own."""
    common: Json = {"name": hook.name, "url": hook.url, "events": list(hook.events)}
    if _is_new():
        configuration = {"FILTERS": hook.jql, "EXCLUDE_BODY": "false"}
        return {"id": hook.id, "active": hook.enabled, "scopeType": "global", "configuration": configuration} | common
    shown = common | {
        "filters": {"issue-related-events-section": hook.jql},
        "excludeBody": False,
        "enabled": hook.enabled,
        "self": f"{world().base_url}{OLD}/{hook.id}",
        "lastUpdatedUser": me().account_id if world().deployment == "cloud" else me().name,
    }
    return shown | ({"isSigned": hook.secret is not None} if world().deployment == "cloud" else {})
