"""Jira's REST API v2, the part we use, strictly.

Paths, statuses and shapes: Atlassian's OpenAPI documents of Jira Cloud (v3, whose twins these are) and Data Center
10.3. Under /rest/api/3 only those resources of Cloud are served that carry no rich text and so are the same.
Everything else is a 404 that names the call, and is marked as unimplemented for tests to see.
"""

import base64
import functools
import json
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify, request

from connector.practice import jql, shapes
from connector.practice.auth import caller
from connector.practice.fields import moment_text
from connector.practice.shapes import Json
from connector.practice.world import (
    PERMISSIONS,
    Comment,
    Issue,
    Project,
    Refused,
    Transition,
    User,
    World,
)

Answer = Response | tuple[Response, int] | tuple[str, int]
api = Blueprint("api", __name__, url_prefix="/rest/api/<any('2','3'):version>")
UNIMPLEMENTED = "X-Practice-Unimplemented"
CLOUD_ONLY = {"search_jql", "bulk_fetch", "jql_match", "issue_changelog", "contexts", "options", "add_options"}
ALIKE_IN_V3 = {
    "server_info",
    "myself",
    "field_list",
    "transition_list",
    "issue_changelog",
    "issue_property",
    "issue_property_keys",
    "set_issue_property",
    "comment_property",
    "comment_property_keys",
    "jql_match",
    "my_permissions",
    "project",
    "project_statuses",
    "status_list",
    "create_field",
    "contexts",
    "options",
    "add_options",
    "edit_meta",
    "screens",
    "add_to_default",
    "screen_tabs",
    "tab_fields",
    "add_to_tab",
}
LONGEST_COMMENT = 32767
MOST_IN_BULK = 100
MOVED = (
    "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API. A full migration "
    "guideline is available at https://developer.atlassian.com/changelog/#CHANGE-2046"
)


def world() -> World:
    found: World = current_app.extensions["practice_world"]
    return found


def me() -> User:
    user: User = g.user
    return user


# -- every request -----------------------------------------------------------------------------------------------


@api.url_value_preprocessor
def take_version(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    g.version = (values or {}).pop("version", "2")


@api.before_request
def admit() -> Answer | None:
    """Hold the world still for this request, find out who calls, and refuse what this deployment does not have."""
    world().lock.acquire()
    g.locked = True
    name = (request.endpoint or "").rpartition(".")[2]
    if name == "server_info" and "Authorization" not in request.headers:
        return None
    g.user = caller(
        world(),
        request.headers.get("Authorization"),
        through_gateway=bool(request.environ.get("practice.gateway")),
    )
    if world().deployment == "data-center" and (g.version == "3" or name in CLOUD_ONLY):
        return unknown_call()
    if g.version == "3" and name not in ALIKE_IN_V3:
        return unknown_call()
    return None


@api.teardown_request
def release(_error: BaseException | None) -> None:
    if g.pop("locked", False):
        world().lock.release()


@api.after_request
def rate_limit_headers(response: Response) -> Response:
    if world().rate_limit_headers:
        response.headers.update(
            {
                "X-RateLimit-Limit": "100",
                "X-RateLimit-Remaining": "99",
                "X-RateLimit-Interval-Seconds": "1",
                "X-RateLimit-FillRate": "10",
                "Retry-After": "0",
            }
        )
    return response


def refusal(error: Refused) -> Response:
    """Jira's error body; with no body at all where a test asked for Jira's empty 401."""
    if error.status == 401 and world().empty_401:
        response = Response(status=401)
    else:
        response = jsonify({"errorMessages": error.messages, "errors": error.errors})
        response.status_code = error.status
    response.headers.update(error.headers)
    return response


api.register_error_handler(Refused, refusal)


def unknown_call() -> Answer:
    """404 by name, for what this tracker (or this deployment) does not have."""
    called = f"{request.method} {request.path}"
    response = jsonify({"errorMessages": [f"The practice tracker has no {called}"], "errors": {}})
    response.headers[UNIMPLEMENTED] = "yes"
    return response, 404


def no_content() -> Answer:
    return Response(status=204), 204


# -- reading what was sent ---------------------------------------------------------------------------------------


def sent_json() -> Any:
    """The JSON value sent, or Refused."""
    if not request.is_json:
        raise Refused(415, "The request's Content-Type must be application/json.")
    try:
        return json.loads(request.get_data())
    except ValueError:
        raise Refused(400, "Unexpected character: the body is not JSON.") from None


def body() -> Json:
    """The JSON object sent, or Refused."""
    sent = sent_json()
    if not isinstance(sent, dict):
        raise Refused(400, "The body must be a JSON object.")
    return sent


def known_keys(sent: Json, *allowed: str) -> None:
    unknown = sorted(set(sent) - set(allowed))
    if unknown:
        raise Refused(400, f'Unrecognized field "{unknown[0]}", not marked as ignorable')


def whole_number(name: str, default: int, *, least: int = 0) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < least:
        raise Refused(400, f"The query parameter '{name}' must be a whole number, {least} or more.")
    return int(text)


def names_in(parameter: str) -> list[str]:
    """The comma-separated values of a parameter that may also be repeated."""
    return [name.strip() for each in request.args.getlist(parameter) for name in each.split(",") if name.strip()]


def chosen(fields: Json, asked: list[str]) -> Json:
    """`fields=`: ids, `*all`, `*navigable` (all but comments), `-id` to leave one out. Unknown ids are ignored."""
    picked: set[str] = set()
    dropped = {name[1:] for name in asked if name.startswith("-")}
    if all(name.startswith("-") for name in asked):
        picked = set(fields)
    for name in asked:
        if name in {"*all", "*navigable"}:
            picked |= set(fields) - ({"comment"} if name == "*navigable" else set())
        else:
            picked.add(name)
    return {name: value for name, value in fields.items() if name in picked - dropped}


def parsed_jql(text: str | None) -> jql.Query:
    try:
        return jql.parse(world(), text or "", me())
    except jql.JqlError as error:
        raise Refused(400, str(error)) from None


def visible_issue(key: str) -> Issue:
    issue = world().issue(key)
    if not me().may("BROWSE_PROJECTS"):
        raise Refused(404, "Issue does not exist or you do not have permission to see it.")
    return issue


def with_issue(view: Callable[..., Answer]) -> Callable[..., Answer]:
    """Look up the `key` of the path before the view."""

    @functools.wraps(view)
    def found(key: str, **more: str) -> Answer:
        return view(visible_issue(key), **more)

    return found


# -- the site ----------------------------------------------------------------------------------------------------


@api.get("/serverInfo")
def server_info() -> Answer:
    """Data Center calls its deployment type "Server", too."""
    here = world()
    cloud = here.deployment == "cloud"
    numbers = [int(part) for part in here.version.partition("-")[0].split(".")]
    return jsonify(
        {
            "baseUrl": here.base_url,
            "version": here.version,
            "versionNumbers": numbers,
            "deploymentType": "Cloud" if cloud else "Server",
            "buildNumber": 100285 if cloud else 10030005,
            "buildDate": "2026-01-12T00:00:00.000+0000",
            "serverTime": moment_text(here.now(), here.zone),
            "scmInfo": "0000000000000000000000000000000000000000",
            "serverTitle": "Practice tracker",
        }
    )


@api.get("/myself")
def myself() -> Answer:
    answer = shapes.user(world(), me()) | {"locale": "en_US"}
    answer["emailAddress"] = me().email  # one's own is shown on Cloud, too
    return jsonify(answer)


@api.get("/field")
def field_list() -> Answer:
    return jsonify(shapes.field_details(world()))


@api.get("/status")
def status_list() -> Answer:
    return jsonify([shapes.status(world(), each) for each in world().statuses.values()])


def _project(id_or_key: str) -> Project:
    for each in world().projects.values():
        if id_or_key in {each.id, each.key}:
            return each
    raise Refused(404, f"No project could be found with key '{id_or_key}'.")


@api.get("/project/<id_or_key>")
def project(id_or_key: str) -> Answer:
    found = _project(id_or_key)
    kinds = [shapes.issue_type(world(), kind) for kind in found.issue_types]
    return jsonify(shapes.project(world(), found) | {"issueTypes": kinds, "description": ""})


@api.get("/project/<id_or_key>/statuses")
def project_statuses(id_or_key: str) -> Answer:
    statuses = [shapes.status(world(), each) for each in world().statuses.values()]
    return jsonify(
        [
            {
                "self": f"{world().base_url}/rest/api/2/issuetype/{kind.id}",
                "id": kind.id,
                "name": kind.name,
                "subtask": False,
                "statuses": statuses,
            }
            for kind in _project(id_or_key).issue_types
        ]
    )


@api.get("/mypermissions")
def my_permissions() -> Answer:
    """Cloud answers only about the permissions asked for, and insists on being asked."""
    asked = names_in("permissions")
    if world().deployment == "cloud" and not asked:
        raise Refused(400, "The 'permissions' query parameter is required.")
    unknown = [each for each in asked if each not in PERMISSIONS]
    if unknown:
        raise Refused(400, f"Unrecognized permission: {unknown[0]}")
    if "projectKey" in request.args:
        _project(request.args["projectKey"])
    if "issueKey" in request.args:
        world().issue(request.args["issueKey"])
    answers = {}
    for number, (key, name) in enumerate(PERMISSIONS.items(), start=10):
        if asked and key not in asked:
            continue
        answers[key] = {
            "id": str(number),
            "key": key,
            "name": name,
            "type": "GLOBAL" if key == "ADMINISTER" else "PROJECT",
            "description": name,
            "havePermission": me().may(key),
        }
    return jsonify({"permissions": answers})


# -- issues ------------------------------------------------------------------------------------------------------


@api.get("/issue/<key>")
@with_issue
def issue(issue: Issue) -> Answer:
    fields = chosen(shapes.issue_fields(world(), issue), names_in("fields") or ["*all"])
    answer = _expanded(issue, fields, names_in("expand"))
    asked = names_in("properties")
    if asked:
        wanted = issue.properties if "*all" in asked else asked
        answer["properties"] = {name: issue.properties[name] for name in wanted if name in issue.properties}
    return jsonify(answer)


def _expanded(issue: Issue, fields: Json, expand: list[str]) -> Json:
    """The issue with its history, the names of its fields and the transitions open to the caller, as far as asked."""
    answer = shapes.issue(world(), issue, fields)
    if "changelog" in expand:
        answer["changelog"] = shapes.changelog(world(), issue)
    if "names" in expand:
        answer["names"] = shapes.names(world(), fields)
    if "transitions" in expand:
        offered = world().open_transitions(issue, me())
        answer["transitions"] = [shapes.transition(world(), each, with_fields=False) for each in offered]
    return answer


@api.post("/issue/bulkfetch")
def bulk_fetch() -> Answer:
    """Up to 100 issues by id or key, by ascending id; for what cannot be given, an error in the answer."""
    sent = body()
    known_keys(sent, "issueIdsOrKeys", "fields", "fieldsByKeys", "properties", "expand")
    asked, fields, expand = (_texts(sent, name) for name in ("issueIdsOrKeys", "fields", "expand"))
    if not 0 < len(asked) <= MOST_IN_BULK:
        raise Refused(400, f"Between 1 and {MOST_IN_BULK} issues can be fetched at once.")
    found: dict[int, Issue] = {}
    errors: list[Json] = []
    for each in asked:
        try:
            issue = visible_issue(each)
            found[issue.id] = issue
        except Refused as refused:
            errors.append({"id": each, "errorMessage": refused.messages[0]})
    issues = [
        _expanded(issue, chosen(shapes.issue_fields(world(), issue, among_many=True), fields or ["*navigable"]), expand)
        for _, issue in sorted(found.items())
    ]
    return jsonify({"issues": issues, "issueErrors": errors})


def _texts(sent: Json, name: str) -> list[str]:
    listed = sent.get(name, [])
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise Refused(400, f"{name} must be an array of texts.")
    return listed


@api.post("/issue")
def create_issue() -> Answer:
    sent = body()
    known_keys(sent, "fields", "properties", "update", "historyMetadata")
    if not me().may("CREATE_ISSUES"):
        raise Refused(400, errors={"project": "You do not have permission to create issues in this project."})
    fields = dict(_object(sent, "fields"))
    if sent.get("update"):
        raise Refused(400, "The practice tracker takes no 'update' when an issue is created.")
    where = _object(fields, "project")
    found = next((p for p in world().projects.values() if where.get("key") == p.key or where.get("id") == p.id), None)
    if found is None:
        raise Refused(400, errors={"project": "Specify a valid project ID or key"})
    what = _object(fields, "issuetype")
    kind = next((t for t in found.issue_types if what.get("name") == t.name or what.get("id") == t.id), None)
    if kind is None:
        raise Refused(400, errors={"issuetype": "Specify a valid issue type"})
    given = {name: value for name, value in fields.items() if name not in {"project", "issuetype"}}
    values = world().parse_fields({"summary": None} | given, world().create_screen(found))
    created = world().create(found, kind, {k: v for k, v in values.items() if v is not None}, me())
    _store_properties(created, sent)
    link = f"{world().base_url}/rest/api/2/issue/{created.id}"
    return jsonify({"id": str(created.id), "key": created.key, "self": link}), 201


@api.put("/issue/<key>")
@with_issue
def edit_issue(issue: Issue) -> Answer:
    sent = body()
    known_keys(sent, "fields", "update", "properties", "historyMetadata")
    if not me().may("EDIT_ISSUES"):
        raise Refused(403, "You do not have permission to edit issues in this project.")
    silent = request.args.get("notifyUsers", "true") == "false"
    if silent and not (me().may("ADMINISTER") or me().may("ADMINISTER_PROJECTS")):
        raise Refused(403, "To discard the user notification either admin or project admin permissions are required.")
    raw, comment = _written(sent)
    values = world().parse_fields(raw, world().edit_screen(issue.project))
    said = _checked_comment(issue, comment) if comment is not None else None
    world().edit(issue, values, me(), _metadata(sent))
    if said:
        world().add_comment(issue, said)
    _store_properties(issue, sent)
    if world().deployment == "cloud" and request.args.get("returnIssue") == "true":
        return jsonify(shapes.issue(world(), issue, shapes.issue_fields(world(), issue)))
    return no_content()


@api.delete("/issue/<key>")
@with_issue
def delete_issue(issue: Issue) -> Answer:
    if not me().may("DELETE_ISSUES"):
        raise Refused(403, "You do not have permission to delete issues in this project.")
    world().delete(issue, me())
    return no_content()


def _object(sent: Json, name: str) -> Json:
    found = sent.get(name, {})
    if not isinstance(found, dict):
        raise Refused(400, f"'{name}' must be an object.")
    return found


def _written(sent: Json) -> tuple[Json, Json | None]:
    """(raw values by field, the comment to add) out of `fields` and `update`, or Refused.

    Of the operations only `set`, and `add` for a comment, are known here.
    """
    raw = dict(_object(sent, "fields"))
    comment: Json | None = None
    for name, operations in _object(sent, "update").items():
        if name in raw:
            message = f"Field '{name}' cannot appear in both 'fields' and 'update'"
            raise Refused(400, errors={name: message})
        if not isinstance(operations, list) or len(operations) != 1 or not isinstance(operations[0], dict):
            raise Refused(400, errors={name: "Operations must be an array with one operation."})
        (verb, value), *more = operations[0].items() or [("", None)]
        if more or (name == "comment") != (verb == "add") or verb not in {"set", "add"}:
            raise Refused(400, errors={name: f"Operation '{verb}' is not supported here."})
        if name == "comment":
            comment = value if isinstance(value, dict) else {"body": value}
        else:
            raw[name] = value
    return raw, comment


def _metadata(sent: Json) -> Json | None:
    return _object(sent, "historyMetadata") or None


def _store_properties(issue: Issue, sent: Json) -> None:
    issue.properties.update(_property_list(sent))


def _property_list(sent: Json) -> Json:
    """`properties: [{key, value}]` as a mapping, or Refused."""
    listed = sent.get("properties") or []
    if not isinstance(listed, list):
        raise Refused(400, "'properties' must be an array.")
    kept = {}
    for each in listed:
        if not isinstance(each, dict) or set(each) != {"key", "value"}:
            raise Refused(400, "A property is an object with 'key' and 'value'.")
        _check_property(each["key"], each["value"])
        kept[each["key"]] = each["value"]
    return kept


def _check_property(key: object, value: object) -> None:
    if not isinstance(key, str) or not 0 < len(key) <= 255:
        raise Refused(400, "The property key must be 1 to 255 characters long.")
    if len(json.dumps(value)) > 32768:
        raise Refused(400, "The property value cannot be greater than 32768 characters.")


# -- comments ----------------------------------------------------------------------------------------------------


@api.get("/issue/<key>/comment")
@with_issue
def comment_list(issue: Issue) -> Answer:
    order = request.args.get("orderBy", "created")
    if order not in {"created", "-created", "+created"}:
        raise Refused(400, f"The orderBy value '{order}' is not supported.")
    comments = sorted(issue.comments, key=lambda each: (each.created, each.id), reverse=order == "-created")
    start = whole_number("startAt", 0)
    limit = whole_number("maxResults", 100)
    return jsonify(shapes.comments_page(world(), issue, comments, start, min(limit, 5000)))


@api.post("/issue/<key>/comment")
@with_issue
def add_comment(issue: Issue) -> Answer:
    sent = body()
    known_keys(sent, "body", "properties", "visibility")
    comment = world().add_comment(issue, _checked_comment(issue, sent))
    return jsonify(shapes.comment(world(), issue, comment)), 201


def _checked_comment(issue: Issue, sent: Json) -> Comment:
    """The comment to write, or Refused. v2 takes wiki text: the document format of v3 is no string."""
    if not me().may("ADD_COMMENTS"):
        raise Refused(400, "You do not have the permission to comment on this issue.")
    text = sent.get("body")
    if not isinstance(text, str):
        raise Refused(400, errors={"comment": "Operation value must be a string"})
    if not text.strip():
        raise Refused(400, errors={"comment": "Comment body can not be empty!"})
    if len(text) > LONGEST_COMMENT:
        message = f"The entered text is too long. It exceeds the allowed limit of {LONGEST_COMMENT:,} characters."
        raise Refused(400, errors={"comment": message})
    return world().new_comment(issue, text, me(), _property_list(sent), _visibility(sent))


def _visibility(sent: Json) -> dict[str, str] | None:
    wanted = sent.get("visibility")
    if wanted is None:
        return None
    if not isinstance(wanted, dict) or wanted.get("type") not in {"role", "group"}:
        raise Refused(400, "The visibility type must be 'role' or 'group'.")
    if wanted.get("value") not in world().roles:
        message = f"The {wanted['type']} '{wanted.get('value')}' does not exist."
        raise Refused(400, errors={"commentLevel": message})
    return {"type": wanted["type"], "value": wanted["value"]}


@api.get("/issue/<key>/comment/<comment_id>")
@with_issue
def comment(issue: Issue, comment_id: str) -> Answer:
    return jsonify(shapes.comment(world(), issue, world().comment(issue, comment_id)))


@api.delete("/issue/<key>/comment/<comment_id>")
@with_issue
def delete_comment(issue: Issue, comment_id: str) -> Answer:
    found = world().comment(issue, comment_id)
    if not me().may("DELETE_OWN_COMMENTS" if found.author is me() else "DELETE_ALL_COMMENTS"):
        raise Refused(400, "You do not have the permission to delete this comment.")
    world().delete_comment(issue, found, me())
    return no_content()


def _properties_of_comment(comment_id: str) -> Json:
    for each in world().issues.values():
        for comment in each.comments:
            if str(comment.id) == comment_id:
                return comment.properties
    raise Refused(404, f"Can not find a comment for the id: {comment_id}.")


@api.get("/comment/<comment_id>/properties")
def comment_property_keys(comment_id: str) -> Answer:
    root = f"{world().base_url}/rest/api/2/comment/{comment_id}/properties"
    return _property_keys(root, _properties_of_comment(comment_id))


@api.get("/comment/<comment_id>/properties/<name>")
def comment_property(comment_id: str, name: str) -> Answer:
    return _one_property(_properties_of_comment(comment_id), name)


def _property_keys(root: str, properties: Json) -> Answer:
    return jsonify({"keys": [{"self": f"{root}/{name}", "key": name} for name in properties]})


def _one_property(properties: Json, name: str) -> Answer:
    if name not in properties:
        raise Refused(404, f"The property '{name}' does not exist.")
    return jsonify({"key": name, "value": properties[name]})


# -- properties and history of an issue --------------------------------------------------------------------------


@api.get("/issue/<key>/properties")
@with_issue
def issue_property_keys(issue: Issue) -> Answer:
    return _property_keys(f"{world().base_url}/rest/api/2/issue/{issue.id}/properties", issue.properties)


@api.get("/issue/<key>/properties/<name>")
@with_issue
def issue_property(issue: Issue, name: str) -> Answer:
    return _one_property(issue.properties, name)


@api.put("/issue/<key>/properties/<name>")
@with_issue
def set_issue_property(issue: Issue, name: str) -> Answer:
    """201 for a new one, 200 for a changed one; no condition can be set. It is no update of the issue."""
    value = sent_json()
    _check_property(name, value)
    fresh = name not in issue.properties
    issue.properties[name] = value
    return jsonify({}), (201 if fresh else 200)


@api.get("/issue/<key>/changelog")
@with_issue
def issue_changelog(issue: Issue) -> Answer:
    """Oldest first, by pages of at most 100."""
    start = whole_number("startAt", 0)
    limit = min(whole_number("maxResults", 100, least=1), 100)
    link = f"{world().base_url}/rest/api/2/issue/{issue.key}/changelog?maxResults={limit}&startAt="
    page = issue.history[start : start + limit]
    answer = {
        "self": f"{link}{start}",
        "maxResults": limit,
        "startAt": start,
        "total": len(issue.history),
        "isLast": start + limit >= len(issue.history),
        "values": [shapes.change(world(), each) for each in page],
    }
    if not answer["isLast"]:
        answer["nextPage"] = f"{link}{start + limit}"
    return jsonify(answer)


# -- transitions -------------------------------------------------------------------------------------------------


@api.get("/issue/<key>/transitions")
@with_issue
def transition_list(issue: Issue) -> Answer:
    with_fields = "transitions.fields" in names_in("expand")
    offered = world().open_transitions(issue, me())
    if "transitionId" in request.args:
        offered = [each for each in offered if each.id == request.args["transitionId"]]
    listed = [shapes.transition(world(), each, with_fields=with_fields) for each in offered]
    return jsonify({"expand": "transitions", "transitions": listed})


@api.post("/issue/<key>/transitions")
@with_issue
def do_transition(issue: Issue) -> Answer:
    """A comment in the body is dropped without a word where the screen (if any) has no place for one."""
    sent = body()
    known_keys(sent, "transition", "fields", "update", "properties", "historyMetadata")
    transition = _asked_transition(issue, sent)
    raw, comment = _written(sent)
    screen = set(transition.screen or ())
    values = world().parse_fields(raw, screen - {"comment"})
    if "comment" not in screen:
        comment = None
    _demand(issue, transition, values, comment)
    said = _checked_comment(issue, comment) if comment is not None else None
    world().move(issue, transition, me(), values, comment=said, metadata=_metadata(sent))
    _store_properties(issue, sent)
    return no_content()


def _asked_transition(issue: Issue, sent: Json) -> Transition:
    """The transition's id must be a string and open from here; Data Center answers 500 to an id it never heard of."""
    asked = _object(sent, "transition").get("id")
    if asked is None:
        raise Refused(400, "Missing 'transition' identifier")
    if not isinstance(asked, str):
        raise Refused(400, "The 'transition' identifier must be a string.")
    for each in world().open_transitions(issue, me()):
        if each.id == asked:
            return each
    known = any(each.id == asked for each in world().transitions)
    if world().deployment == "data-center" and not known:
        raise Refused(500, "Internal server error")
    raise Refused(
        400,
        "It seems that you have tried to perform a workflow operation "
        f"({asked}) that is not valid for the current state of this issue ({issue.key}).",
    )


def _demand(issue: Issue, transition: Transition, values: Json, comment: Json | None) -> None:
    errors = {}
    for name in sorted(transition.required):
        if name == "comment":
            if comment is None:
                errors[name] = "Comment is required"
        elif values.get(name, issue.values.get(name)) is None:
            errors[name] = f"{world().fields[name].name} is required."
    if errors:
        raise Refused(400, errors=errors)


# -- searches ----------------------------------------------------------------------------------------------------


@api.get("/search/jql")
def search_jql() -> Answer:
    """Cloud: bounded queries only, ids only unless fields are asked for, pages by token, no total."""
    text = request.args.get("jql", "")
    query = parsed_jql(text)
    if not query.bounded:
        raise Refused(400, "Unbounded JQL queries are not allowed here. Please add a search restriction to your query.")
    start = _place(request.args.get("nextPageToken"), text)
    limit = min(whole_number("maxResults", 50, least=1), 5000, world().page_limit)
    reconcile = _whole_numbers(names_in("reconcileIssues"))
    found = [each for each in query.matching(world().indexed(reconcile)) if each.id in world().issues]
    page = found[start : start + limit]
    asked = names_in("fields")
    expand = names_in("expand")
    answer: Json = {"issues": [_found(each, asked, expand) for each in page], "isLast": start + limit >= len(found)}
    if not answer["isLast"]:
        token = json.dumps([start + limit, text]).encode()
        answer["nextPageToken"] = base64.urlsafe_b64encode(token).decode()
    return jsonify(answer)


def _found(match: Issue, asked: list[str], expand: list[str]) -> Json:
    """What an index found, as it stands now; `id` alone is what a search answers that asked for no field."""
    current = world().issues[match.id]
    if set(asked) <= {"id"}:
        return {"id": str(current.id)}
    return _expanded(current, chosen(shapes.issue_fields(world(), current, among_many=True), asked), expand)


def _place(token: str | None, text: str) -> int:
    """Where the page named by the token starts. A token belongs to its query."""
    if token is None:
        return 0
    try:
        start, of = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        raise Refused(400, "Invalid nextPageToken.") from None
    if of != text or not isinstance(start, int):
        raise Refused(400, "The nextPageToken does not belong to this query.")
    return start


def _whole_numbers(texts: list[str]) -> list[int]:
    if not all(each.isdecimal() for each in texts):
        raise Refused(400, "reconcileIssues takes ids of issues.")
    return [int(each) for each in texts]


@api.get("/search")
def search() -> Answer:
    """Data Center's search; Cloud has removed it."""
    if world().deployment == "cloud":
        raise Refused(410, MOVED)
    query = parsed_jql(request.args.get("jql"))
    start = whole_number("startAt", 0)
    limit = min(whole_number("maxResults", 50), 1000, world().page_limit)
    found = [each for each in query.matching(world().indexed()) if each.id in world().issues]
    asked = names_in("fields") or ["*navigable"]
    expand = names_in("expand")
    issues = [
        _expanded(now, chosen(shapes.issue_fields(world(), now, among_many=True), asked), expand)
        for now in (world().issues[each.id] for each in found[start : start + limit])
    ]
    return jsonify(
        {
            "expand": "names,schema",
            "startAt": start,
            "maxResults": limit,
            "total": len(found),
            "issues": issues,
        }
    )


@api.post("/search")
def removed_search() -> Answer:
    return search() if world().deployment == "cloud" else unknown_call()


@api.post("/jql/match")
def jql_match() -> Answer:
    """Which of these issues do these queries match? A query in error does not spoil the others."""
    sent = body()
    known_keys(sent, "issueIds", "jqls")
    ids, queries = sent.get("issueIds"), sent.get("jqls")
    if not isinstance(ids, list) or not all(isinstance(each, int) for each in ids):
        raise Refused(400, "issueIds must be an array of numbers.")
    if not isinstance(queries, list) or not all(isinstance(each, str) for each in queries):
        raise Refused(400, "jqls must be an array of strings.")
    asked = [each for each in world().indexed() if each.id in ids and each.id in world().issues]
    return jsonify({"matches": [_match(text, asked) for text in queries]})


def _match(text: str, issues: list[Issue]) -> Json:
    try:
        query = jql.parse(world(), text, me())
    except jql.JqlError as error:
        return {"matchedIssues": [], "errors": [str(error)]}
    return {"matchedIssues": [each.id for each in query.matching(issues)], "errors": []}
