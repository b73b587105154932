"""The JSON Jira answers with: users, statuses, issues, comments, histories (REST v2 shapes, both deployments)."""

from typing import Any
from zoneinfo import ZoneInfo

from connector.practice.fields import SCHEMAS, Field, moment_text, shown
from connector.practice.world import (
    CATEGORIES,
    Change,
    ChangeItem,
    Comment,
    Issue,
    IssueType,
    Project,
    Status,
    Transition,
    User,
    World,
)

Json = dict[str, Any]
# Read-only fields every issue has: id -> (name, schema type, items)
READ_ONLY = {
    "status": ("Status", "status", None),
    "resolution": ("Resolution", "resolution", None),
    "project": ("Project", "project", None),
    "issuetype": ("Issue Type", "issuetype", None),
    "priority": ("Priority", "priority", None),
    "assignee": ("Assignee", "user", None),
    "reporter": ("Reporter", "user", None),
    "labels": ("Labels", "array", "string"),
    "created": ("Created", "datetime", None),
    "updated": ("Updated", "datetime", None),
    "comment": ("Comment", "comments-page", None),
}


def user(world: World, who: User) -> Json:
    """Cloud names people by accountId and hides the e-mail; Data Center gives name, key and e-mail."""
    if world.deployment == "cloud":
        return {
            "self": f"{world.base_url}/rest/api/2/user?accountId={who.account_id}",
            "accountId": who.account_id,
            "accountType": who.kind,
            "displayName": who.display_name,
            "active": True,
            "timeZone": who.time_zone,
        }
    return {
        "self": f"{world.base_url}/rest/api/2/user?username={who.name}",
        "name": who.name,
        "key": who.name,
        "emailAddress": who.email,
        "displayName": who.display_name,
        "active": True,
        "timeZone": who.time_zone,
    }


def status(world: World, each: Status) -> Json:
    number, name, colour = CATEGORIES[each.category]
    return {
        "self": f"{world.base_url}/rest/api/2/status/{each.id}",
        "description": "",
        "name": each.name,
        "id": each.id,
        "statusCategory": {
            "self": f"{world.base_url}/rest/api/2/statuscategory/{number}",
            "id": number,
            "key": each.category,
            "colorName": colour,
            "name": name,
        },
    }


def project(world: World, each: Project) -> Json:
    return {
        "self": f"{world.base_url}/rest/api/2/project/{each.id}",
        "id": each.id,
        "key": each.key,
        "name": each.name,
        "projectTypeKey": each.type_key,
        "simplified": False,
    }


def issue_type(world: World, each: IssueType) -> Json:
    return {
        "self": f"{world.base_url}/rest/api/2/issuetype/{each.id}",
        "id": each.id,
        "name": each.name,
        "description": "",
        "subtask": False,
    }


def comment(world: World, issue: Issue, each: Comment) -> Json:
    """`jsdPublic` stands only in answers of Cloud, and only on a service desk."""
    author = user(world, each.author)
    when = moment_text(each.created, world.zone)
    answer: Json = {
        "self": f"{world.base_url}/rest/api/2/issue/{issue.id}/comment/{each.id}",
        "id": str(each.id),
        "author": author,
        "body": each.body,
        "updateAuthor": author,
        "created": when,
        "updated": when,
    }
    if each.visibility:
        answer["visibility"] = each.visibility
    if world.deployment == "cloud" and issue.project.is_service_desk:
        answer["jsdPublic"] = each.public
    return answer


def comments_page(world: World, issue: Issue, comments: list[Comment], start: int, limit: int) -> Json:
    return {
        "startAt": start,
        "maxResults": limit,
        "total": len(comments),
        "comments": [comment(world, issue, each) for each in comments[start : start + limit]],
    }


def _named(world: World, kind: str, number: str, name: str) -> Json:
    return {"self": f"{world.base_url}/rest/api/2/{kind}/{number}", "id": number, "name": name}


def issue_fields(world: World, issue: Issue, *, whole_numbers: bool = False, among_many: bool = False) -> Json:
    """Every field of the issue, by id; empty ones are null. `among_many`: as in an answer of several issues."""
    values = {
        each.id: shown(issue.values.get(each.id), world.zone, world.base_url, whole_numbers=whole_numbers)
        for each in world.fields.values()
    }
    inline = issue.comments[-world.comments_shown :] if among_many and world.comments_shown else issue.comments
    comments = comments_page(world, issue, inline, 0, len(inline)) | {"total": len(issue.comments)}
    comments["self"] = f"{world.base_url}/rest/api/2/issue/{issue.id}/comment"
    return values | {
        "status": status(world, issue.status),
        "resolution": _named(world, "resolution", "10000", issue.resolution) if issue.resolution else None,
        "project": project(world, issue.project),
        "issuetype": issue_type(world, issue.issue_type),
        "priority": _named(world, "priority", "3", "Medium"),
        "assignee": None,
        "reporter": user(world, issue.reporter),
        "labels": [],
        "created": moment_text(issue.created, world.zone),
        "updated": moment_text(issue.updated, world.zone),
        "comment": comments,
    }


def issue(world: World, each: Issue, fields: Json) -> Json:
    return {
        "expand": "renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations",
        "id": str(each.id),
        "self": f"{world.base_url}/rest/api/2/issue/{each.id}",
        "key": each.key,
        "fields": fields,
    }


def change_item(world: World, item: ChangeItem) -> Json:
    """Only Cloud says `fieldId`; on Data Center an item is known by its field's name."""
    answer: Json = {"field": item.field, "fieldtype": item.fieldtype}
    if world.deployment == "cloud":
        answer["fieldId"] = item.field_id
    pairs = {
        "from": item.before[0],
        "fromString": item.before[1],
        "to": item.after[0],
        "toString": item.after[1],
    }
    return answer | pairs


def change(world: World, each: Change) -> Json:
    answer = {
        "id": str(each.id),
        "author": user(world, each.author),
        "created": moment_text(each.created, world.zone),
        "items": [change_item(world, item) for item in each.items],
    }
    if each.metadata:
        answer["historyMetadata"] = each.metadata
    return answer


def changelog(world: World, each: Issue) -> Json:
    """What `expand=changelog` adds: on Cloud the newest 100 entries, newest first; on Data Center all, oldest first."""
    history = list(each.history)
    if world.deployment == "cloud":
        history = history[::-1][:100]
    return {
        "startAt": 0,
        "maxResults": len(history),
        "total": len(each.history),
        "histories": [change(world, entry) for entry in history],
    }


def field_details(world: World) -> list[Json]:
    """GET /field: the writable fields and the read-only ones."""
    details: list[Json] = []
    for each in world.fields.values():
        clauses = [f"cf[{each.number}]", each.name] if each.custom else [each.id]
        details.append(_detail(each.id, each.name, each.custom, clauses, each.schema()))
    for name, (label, kind, items) in READ_ONLY.items():
        schema = {"type": kind, "system": name} | ({"items": items} if items else {})
        details.append(_detail(name, label, False, [name], schema))
    return details


def _detail(field_id: str, name: str, custom: bool, clauses: list[str], schema: Json) -> Json:
    return {
        "id": field_id,
        "key": field_id,
        "name": name,
        "custom": custom,
        "orderable": True,
        "navigable": field_id != "comment",
        "searchable": True,
        "clauseNames": clauses,
        "schema": schema,
    }


def names(world: World, fields: Json) -> dict[str, str]:
    """What `expand=names` adds: id -> name of the fields in the answer."""
    labels = {each.id: each.name for each in world.fields.values()}
    labels |= {name: label for name, (label, _, _) in READ_ONLY.items()}
    return {name: labels[name] for name in fields}


def transition(world: World, each: Transition, *, with_fields: bool) -> Json:
    """`comment` is never among the fields of a screen, even where one can be written."""
    answer = {
        "id": each.id,
        "name": each.name,
        "to": status(world, world.statuses[each.to]),
        "hasScreen": each.screen is not None,
        "isGlobal": each.sources is None,
        "isInitial": False,
        "isConditional": False,
        "isAvailable": True,
        "looped": False,
    }
    if world.deployment == "data-center":
        answer = {name: answer[name] for name in ("id", "name", "to")} | {"opsbarSequence": 10}
    if with_fields:
        on_screen = [world.fields[name] for name in each.screen or () if name != "comment"]
        answer["fields"] = {about.id: _screen_field(world, about, about.id in each.required) for about in on_screen}
    return answer


def edit_meta(world: World, issue: Issue) -> Json:
    """GET editmeta: the fields on the edit screen of this issue, by id."""
    on_screen = world.edit_screen(issue.project)
    shown_there = [each for each in world.fields.values() if each.id in on_screen]
    return {"fields": {each.id: _screen_field(world, each, each.id == "summary") for each in shown_there}}


def field_detail(world: World, field_id: str) -> Json:
    """One entry of GET /field, as POST /field answers it."""
    return next(each for each in field_details(world) if each["id"] == field_id)


def _screen_field(world: World, about: Field, required: bool) -> Json:
    answer = {
        "required": required,
        "schema": about.schema(),
        "name": about.name,
        "key": about.id,
        "hasDefaultValue": False,
        "operations": ["add", "set", "remove"] if SCHEMAS[about.type][0] == "array" else ["set"],
    }
    if about.type in {"select", "checkbox"}:
        answer["allowedValues"] = [shown(option, ZoneInfo("UTC"), world.base_url) for option in about.options]
    return answer
