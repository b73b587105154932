"""The page people see: tickets, their fields, statuses, comments and history, and the clock.

What is done here is done by a human user and sends webhooks like any edit. Times are the office's (Eastern).
Only a browser on this machine is served, and no other site can post here. Under /practice/ stand also the switches
for tests that run the server as a process of its own: clock, faults, webhooks, and the logs.
"""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, abort, current_app, jsonify, redirect, render_template, request
from werkzeug.wrappers import Response as WsgiResponse

from connector.practice import wiki
from connector.practice.fields import Field, Option, Value, moment_text
from connector.practice.world import Change, Issue, Refused, World

if TYPE_CHECKING:
    from connector.practice.server import PracticeServer

page = Blueprint(
    "page", __name__, template_folder="templates", static_folder="static", static_url_path="/practice/static"
)
OFFICE = ZoneInfo("America/New_York")
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
JUMPS = (1, 10, 22, 31)  # days: one more, and each wait of the procedure with its day of the act
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
Answer = Response | WsgiResponse | str | tuple[Response, int] | tuple[str, int]


def server() -> "PracticeServer":
    found: PracticeServer = current_app.extensions["practice_server"]
    return found


def world() -> World:
    return server().world


# -- who may look, who may post ----------------------------------------------------------------------------------


@page.before_request
def local_only() -> None:
    """Refuse other host names (a foreign name pointed at this machine) and posts from other sites' pages."""
    host = urlsplit(f"//{request.host}").hostname
    if host not in LOOPBACK:
        abort(403, "This page is served on this machine only.")
    if request.method in SAFE_METHODS:
        return
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in {"same-origin", "none"} or origin not in {None, f"http://{request.host}"}:
        abort(403, "This form was not sent from this page.")


@page.after_request
def harden(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


# -- how things are shown ----------------------------------------------------------------------------------------


@page.app_template_filter("day")
def day_text(value: date) -> str:
    """`Apr 1, 2026`"""
    return f"{value:%b} {value.day}, {value.year}"


@page.app_template_filter("moment")
def moment_shown(value: datetime) -> str:
    """`Apr 1, 2026, 9:05 a.m.` in the office's zone."""
    local = value.astimezone(OFFICE)
    half = "a.m." if local.hour < 12 else "p.m."
    return f"{day_text(local)}, {local.hour % 12 or 12}:{local:%M} {half}"


page.add_app_template_filter(wiki.render, "wiki")


def typed_in(value: Value) -> str:
    """A value as its input shows it: ISO dates, office wall time to the minute, option ids."""
    match value:
        case None:
            return ""
        case datetime():
            return f"{value.astimezone(OFFICE):%Y-%m-%dT%H:%M}"
        case date():
            return value.isoformat()
        case Option():
            return value.id
        case tuple():
            return ",".join(option.id for option in value)
        case _:
            return f"{value:g}" if isinstance(value, float) else value


def as_sent(field: Field, text: str) -> object:
    """What a browser's input holds, as a program would write it to the API; the unreadable is left for it to refuse."""
    if not text:
        return None
    try:
        return _SENT[field.type](text) if field.type in _SENT else text
    except ValueError:
        return text


_SENT: dict[str, Callable[[str], object]] = {
    "datetime": lambda text: moment_text(datetime.fromisoformat(text).replace(tzinfo=OFFICE), OFFICE),
    "number": float,
    "select": lambda text: {"id": text},
    "checkbox": lambda text: [{"id": each} for each in text.split(",")],
    "textarea": lambda text: text.replace("\r\n", "\n"),
}


def due_text(due: Value, today: date) -> tuple[str, str]:
    """(how far off, a class for its colour)"""
    if not isinstance(due, date):
        return "", ""
    days = (due - today).days
    if days < 0:
        return f"{-days} day{'s' if days < -1 else ''} ago", "past"
    if days == 0:
        return "today", "past"
    return ("tomorrow", "soon") if days == 1 else (f"in {days} days", "soon" if days < 4 else "later")


def frame() -> dict[str, Any]:
    """What every page shows at its top."""
    now = world().now().astimezone(OFFICE)
    return {
        "now": now,
        "weekday": f"{now:%A}",
        "movable": world().movable_clock is not None,
        "jumps": JUMPS,
        "here": request.path,
        "state": state_text(),
        "deployment": "Jira Cloud" if world().deployment == "cloud" else "Jira Data Center",
        "due_text": lambda due: due_text(due, now.date()),
    }


def state_text() -> str:
    """Changes whenever a page would look different."""
    return f"{world().revision}-{world().now().astimezone(OFFICE):%Y%m%d%H%M}"


def input_order(issue: Issue) -> list[Field]:
    """The fields of the form: summary, due date, then the custom ones, as far as they can be edited."""
    fields = world().fields
    custom = [each for each in fields.values() if each.custom]
    ordered = [fields["summary"], fields["duedate"], *custom, fields["description"]]
    screen = world().edit_screen(issue.project)
    return [each for each in ordered if each.id in screen]


def ticket_page(issue: Issue, entered: Mapping[str, str] = {}, errors: Mapping[str, str] = {}) -> str:
    inputs = [
        {
            "field": each,
            "was": typed_in(issue.values.get(each.id)),
            "value": entered.get(each.id, typed_in(issue.values.get(each.id))),
            "error": errors.get(each.id),
        }
        for each in input_order(issue)
    ]
    moves = [(each, world().statuses[each.to]) for each in world().open_transitions(issue, world().human)]
    return render_template(
        "ticket.html",
        issue=issue,
        inputs=inputs,
        moves=moves,
        general=errors.get(""),
        history=[_told(each) for each in reversed(issue.history)],
        **frame(),
    )


def _told(change: Change) -> dict[str, Any]:
    lines = [(item.field, item.before[1] or "", item.after[1] or "") for item in change.items]
    return {"author": change.author.display_name, "at": change.created, "lines": lines}


# -- pages -------------------------------------------------------------------------------------------------------


@page.get("/")
def tickets() -> Answer:
    with world().lock:
        issues = list(world().issues.values())
        projects = [
            (project, [each for each in issues if each.project is project]) for project in world().projects.values()
        ]
        return render_template("tickets.html", projects=projects, **frame())


@page.get("/browse/<key>")
def ticket(key: str) -> Answer:
    with world().lock:
        return ticket_page(_found(key))


@page.get("/favicon.ico")
def no_icon() -> Answer:
    return Response(status=204)


def _found(key: str) -> Issue:
    try:
        return world().issue(key)
    except Refused:
        abort(404, "There is no such ticket.")


def _back_to(issue: Issue) -> WsgiResponse:
    return redirect(f"/browse/{issue.key}", 303)


@page.post("/practice/tickets")
def new_ticket() -> Answer:
    summary = request.form.get("summary", "").strip()
    with world().lock:
        project = world().projects.get(request.form.get("project", ""))
        if project is None or not summary:
            abort(400, "A ticket needs a summary.")
        try:
            values = world().parse_fields({"summary": summary}, world().create_screen(project))
        except Refused as refused:
            abort(400, " ".join(refused.errors.values()))
        return _back_to(world().create(project, project.issue_types[0], values, world().human))


@page.post("/practice/tickets/<key>/fields")
def edit(key: str) -> Answer:
    """Only what the visitor changed is written: other fields may have moved on since the page was loaded."""
    with world().lock:
        issue = _found(key)
        entered: dict[str, str] = {}
        for each in input_order(issue):
            now = ",".join(request.form.getlist(each.id)).strip() if each.type == "checkbox" else None
            now = now if now is not None else request.form.get(each.id, "").strip()
            if f"was:{each.id}" in request.form and now != request.form[f"was:{each.id}"].strip():
                entered[each.id] = now
        raw = {name: as_sent(world().fields[name], text) for name, text in entered.items()}
        try:
            world().edit(issue, world().parse_fields(raw, world().edit_screen(issue.project)), world().human)
        except Refused as refused:
            return ticket_page(issue, entered, refused.errors), 400
        return _back_to(issue)


@page.post("/practice/tickets/<key>/status")
def move(key: str) -> Answer:
    """A screen's fields are taken as they stand on the ticket; the workflow's demands hold here, too."""
    with world().lock:
        issue = _found(key)
        for each in world().open_transitions(issue, world().human):
            if each.id == request.form.get("transition"):
                missing = [world().fields[f].name for f in each.required - {"comment"} if not issue.values.get(f)]
                if missing:
                    return ticket_page(issue, errors={"": f"First fill in: {', '.join(sorted(missing))}."}), 400
                world().move(issue, each, world().human)
                return _back_to(issue)
        return ticket_page(issue, errors={"": "The ticket has moved on meanwhile. Please look again."}), 400


@page.post("/practice/tickets/<key>/comment")
def say(key: str) -> Answer:
    with world().lock:
        issue = _found(key)
        text = request.form.get("body", "").strip().replace("\r\n", "\n")
        if not text:
            return ticket_page(issue, errors={"": "The comment is empty."}), 400
        internal = "public" not in request.form
        properties = {"sd.public.comment": {"internal": True}} if internal else {}
        comment = world().new_comment(issue, text, world().human, properties)
        try:
            world().add_comment(issue, comment)
        except Refused as refused:
            return ticket_page(issue, errors={"": " ".join(refused.messages)}), 400
        return _back_to(issue)


# -- switches and logs -------------------------------------------------------------------------------------------


@page.get("/practice/state")
def state() -> Answer:
    return jsonify({"state": state_text()})


@page.post("/practice/clock")
def clock() -> Answer:
    """Move by `days` (at the same hour in the office) or `minutes`, or to `to` (ISO 8601). Form or JSON."""
    movable = world().movable_clock
    if movable is None:
        abort(409, "This tracker runs on a clock that cannot be moved.")
    asked: Mapping[str, Any] = request.get_json() if request.is_json else request.form
    try:
        if "to" in asked:
            movable.set(datetime.fromisoformat(str(asked["to"])))
        else:
            local = movable.now().astimezone(OFFICE) + timedelta(days=int(asked.get("days", 0)))
            movable.set(local)
            movable.advance(minutes=float(asked.get("minutes", 0)))
    except (ValueError, OverflowError):
        abort(400, "The clock moves by days or minutes, or to a moment with its time zone.")
    if request.is_json:
        return jsonify({"now": movable.now().isoformat()})
    back = request.form.get("back", "/")
    return redirect(back if back == "/" or back.startswith("/browse/") else "/", 303)


@page.route("/practice/faults", methods=["GET", "POST", "DELETE"])
def faults() -> Answer:
    """POST one fault (see faults.Fault; no callback) as JSON; DELETE forgets all; each answers how many wait."""
    if request.method == "POST":
        try:
            server().faults.add(**{name: value for name, value in request.get_json().items() if name != "callback"})
        except (TypeError, ValueError) as error:
            abort(400, f"No such fault: {error}")
    elif request.method == "DELETE":
        server().faults.clear()
    return jsonify({"waiting": server().faults.waiting})


@page.post("/practice/hooks")
def hooks() -> Answer:
    """Register a webhook: url, secret, events, shape, headers (pairs), as JSON."""
    asked = request.get_json()
    asked |= {name: tuple(asked[name]) for name in ("events",) if name in asked}
    asked |= {"headers": tuple((name, value) for name, value in asked.get("headers", []))}
    try:
        server().hooks.register(**asked)
    except (TypeError, ValueError) as error:
        abort(400, f"No such webhook: {error}")
    return jsonify({"registered": len(server().hooks.webhooks)}), 201


@page.get("/practice/requests")
def request_log() -> Answer:
    """The API calls so far: method, path, query, json, status, unimplemented."""
    return jsonify([dataclasses.asdict(each) for each in server().requests])


@page.get("/practice/deliveries")
def delivery_log() -> Answer:
    """The attempts to deliver webhooks so far."""
    return jsonify(
        [
            {
                "identifier": each.identifier,
                "event": each.event,
                "url": each.url,
                "attempt": each.attempt,
                "status": each.status,
            }
            for each in list(server().hooks.deliveries)
        ]
    )
