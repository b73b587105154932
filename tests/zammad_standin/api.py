"""The REST API, /api/v1. Facts: zammad 2 and 3."""

import secrets
from copy import deepcopy

from flask import Blueprint, Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from tests.zammad_standin.world import ApiError, Row, User, World

api = Blueprint("zammad", __name__, url_prefix="/api/v1")
Answer = Response | tuple[Response, int]

_MASK = "**********"
_SECRETS = ("signature_token", "bearer_token", "basic_auth_password")
_ONLY_7 = ("http_method", "bearer_token")
_WEBHOOK = [
    "name",
    "endpoint",
    "signature_token",
    "ssl_verify",
    "customized_payload",
    "custom_payload",
    "active",
    "note",
    "preferences",
]
_TRIGGER = [
    "name",
    "activator",
    "execution_condition_mode",
    "active",
    "disable_notification",
    "note",
    "condition",
    "perform",
]


def make_app(world: World) -> Flask:
    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider, which is the one in use
    app.extensions["zammad"] = world
    app.register_blueprint(api)

    @app.before_request
    def begin() -> None:
        world.lock.acquire()
        g.world, g.locked, g.columns = world, True, world.next_worker()

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        if g.pop("locked", False):
            world.lock.release()

    @app.errorhandler(ApiError)
    def told(error: ApiError) -> Answer:
        text = error.error
        if error.masked and not (g.get("user") and g.user.is_admin):
            text = f"Error ID {secrets.token_hex(4)}: Please contact your administrator."
        return jsonify({"error": text, "error_human": text}), error.status

    @app.errorhandler(HTTPException)
    def unknown(error: HTTPException) -> Answer:
        return jsonify({"error": f"No route matches [{request.method}] {request.path}"}), error.code or 500

    return app


@api.before_request
def authenticate() -> None:
    """No credentials are a 403, a wrong token a 401; maintenance mode is a 403, too."""
    name, _, rest = request.headers.get("Authorization", "").partition(" ")
    if name != "Token":
        raise ApiError(403, "Authentication required")
    token = rest.removeprefix("token=").strip('"')
    user = next((each for each in g.world.users if each.token == token), None)
    if user is None or not user.active:
        raise ApiError(401, "Can't find User for Token")
    if user.expired:
        raise ApiError(401, "Not authorized (token expired)!")
    if g.world.maintenance and not user.is_admin:
        raise ApiError(403, "Maintenance mode enabled!")
    g.user = user


def _need(*permissions: str) -> None:
    if not set(permissions) & g.user.permissions:
        raise ApiError(403, f"Not authorized (user)! Missing {permissions[0]}.")


def _body() -> Row:
    body = request.get_json(silent=True) if request.data else {}
    return body if isinstance(body, dict) else {}


def _expands() -> bool:
    return request.args.get("expand") == "true" or _body().get("expand") is True


def _ticket(ticket_id: int, right: str = "read") -> Row:
    _need("ticket.agent")
    row = g.world.ticket(ticket_id)
    if not g.user.may(row["group_id"], right):
        raise ApiError(403, "Not authorized")
    return row  # type: ignore[no-any-return]  # flask's g is untyped


# The account


@api.get("/version")
def version() -> Answer:
    return jsonify({"version": g.world.version})


@api.get("/users/me")
def me() -> Answer:
    user: User = g.user
    groups = {str(number): rights for number, rights in user.groups.items()}
    shown: Row = {"id": user.id, "login": user.login, "group_ids": groups, "active": user.active}
    if request.args.get("full") == "true":
        mine = {str(each["id"]): each for each in g.world.groups if each["id"] in user.groups}
        return jsonify({"id": user.id, "assets": {"User": {str(user.id): shown}, "Group": mine}})
    return jsonify(shown)


@api.put("/users/<int:user_id>")
def update_user(user_id: int) -> Answer:
    _need("admin.user")
    user = next(each for each in g.world.users if each.id == user_id)
    if "group_ids" in _body():  # the whole of them
        user.groups = {int(number): list(rights) for number, rights in _body()["group_ids"].items()}
    return jsonify({"id": user.id})


@api.get("/groups")
def groups() -> Answer:
    _need("admin.group", *(["ticket.agent"] if g.world.allow_group_list else []))
    return jsonify(g.world.groups)


@api.post("/groups")
def make_group() -> Answer:
    _need("admin.group")
    if any(each["name"].lower() == str(_body().get("name")).lower() for each in g.world.groups):
        raise ApiError(422, "This object already exists.")
    made = {"id": max(each["id"] for each in g.world.groups) + 1, "active": True, "note": "", **_body()}
    g.world.groups.append(made)
    return jsonify(made), 201


@api.get("/ticket_priorities")
def priorities() -> Answer:
    _need("ticket.agent")
    return jsonify(g.world.priorities)


@api.get("/ticket_states")
def states() -> Answer:
    _need("ticket.agent", "admin.ticket_state")
    hidden = set() if _expands() else {"state_type"}
    return jsonify([{key: each[key] for key in each if key not in hidden} for each in g.world.states])


@api.post("/ticket_states")
def make_state() -> Answer:
    _need("admin.ticket_state")
    sent = _body()
    if any(each["name"].lower() == str(sent.get("name")).lower() for each in g.world.states):
        raise ApiError(422, "This object already exists.")
    kind = next(
        (each["state_type"] for each in g.world.states if each["state_type_id"] == sent.get("state_type_id")), None
    )
    if kind is None or len(str(sent.get("note") or "")) > 250:
        raise ApiError(422, "Missing required value for field 'state_type_id'!")
    number = max(each["id"] for each in g.world.states) + 1
    made = {"id": number, "name": sent["name"], "state_type_id": sent["state_type_id"], "state_type": kind}
    g.world.states.append(made | {"active": sent.get("active", True)})
    return jsonify(made), 201


# Tickets


@api.get("/tickets")
def list_tickets() -> Answer:
    _need("ticket.agent")
    size = min(int(request.args.get("per_page", 100)), 100)
    start = (int(request.args.get("page", 1)) - 1) * size
    rows = [row for row in g.world.tickets.values() if g.user.may(row["group_id"], "read")]
    return jsonify([g.world.shown(row, g.columns, expand=_expands()) for row in rows[start : start + size]])


@api.post("/tickets")
def create_ticket() -> Answer:
    _need("ticket.agent")
    with g.world.request():
        row = g.world.create(g.user, _body(), g.columns)
    return jsonify(g.world.shown(row, g.columns, expand=_expands())), 201


@api.get("/tickets/<int:ticket_id>")
def show_ticket(ticket_id: int) -> Answer:
    return jsonify(g.world.shown(_ticket(ticket_id), g.columns, expand=_expands()))


@api.put("/tickets/<int:ticket_id>")
def update_ticket(ticket_id: int) -> Answer:
    _ticket(ticket_id, "change")
    with g.world.request():
        row = g.world.update(g.user, g.world.ticket(ticket_id), _body(), g.columns)
    return jsonify(g.world.shown(row, g.columns, expand=_expands()))


@api.delete("/tickets/<int:ticket_id>")
def delete_ticket(ticket_id: int) -> Answer:
    if not g.user.is_admin:
        raise ApiError(403, "Not authorized (admin permission required)!")
    g.world.delete(ticket_id)
    return jsonify({})


@api.post("/tickets/search")
def search() -> Answer:
    _need("ticket.agent")
    rows = g.world.search(g.user, _body(), g.columns)
    return jsonify([g.world.shown(row, g.columns, expand=_expands()) for row in rows])


@api.get("/ticket_history/<int:ticket_id>")
def ticket_history(ticket_id: int) -> Answer:
    _ticket(ticket_id)
    return jsonify({"history": [each for each in g.world.history if each["o_id"] == ticket_id], "assets": {}})


@api.post("/tags/add")
def add_tag() -> Answer:
    row = _ticket(int(_body()["o_id"]), "change")
    g.world.tags.setdefault(row["id"], set()).add(str(_body()["item"]))
    g.world.touch(row)
    return jsonify(True), 201


# Articles


@api.get("/ticket_articles/by_ticket/<int:ticket_id>")
def articles(ticket_id: int) -> Answer:
    _ticket(ticket_id)
    return jsonify(g.world.articles_of(ticket_id))


def _article(article_id: int, right: str) -> Row:
    if article_id not in g.world.articles:
        raise ApiError(404, f"Couldn't find Ticket::Article with 'id'={article_id}")
    article: Row = g.world.articles[article_id]
    _ticket(article["ticket_id"], right)
    return article


@api.post("/ticket_articles")
def create_article() -> Answer:
    sent = _body()
    _ticket(int(sent.get("ticket_id", 0)), "create")
    with g.world.request():
        made = g.world.add_article(g.user, g.world.ticket(int(sent["ticket_id"])), sent)
    return jsonify(made), 201


@api.get("/ticket_articles/<int:article_id>")
def show_article(article_id: int) -> Answer:
    return jsonify(_article(article_id, "read"))


@api.put("/ticket_articles/<int:article_id>")
def update_article(article_id: int) -> Answer:
    article = _article(article_id, "change")
    if "internal" in _body():  # nothing else of an article can be changed
        article["internal"] = bool(_body()["internal"])
    return jsonify(article)


# Shared drafts


@api.get("/tickets/<int:ticket_id>/shared_draft")
def show_draft(ticket_id: int) -> Answer:
    _ticket(ticket_id)
    return jsonify(_draft_answer(ticket_id))


@api.put("/tickets/<int:ticket_id>/shared_draft")
def put_draft(ticket_id: int) -> Answer:
    row, sent = _ticket(ticket_id, "change"), _body()
    number = g.world.drafts.get(ticket_id, {}).get("id") or g.world.next_id("draft")
    kept = {key: deepcopy(sent.get(key)) for key in ("new_article", "ticket_attributes")}
    g.world.drafts[ticket_id] = {"id": number, "ticket_id": ticket_id, **kept, "updated_by_id": g.user.id}
    g.world.touch(row)
    return jsonify(_draft_answer(ticket_id))


@api.delete("/tickets/<int:ticket_id>/shared_draft")
def delete_draft(ticket_id: int) -> Answer:
    _ticket(ticket_id, "change")
    return jsonify({"shared_draft_id": g.world.drafts.pop(ticket_id)["id"]})


def _draft_answer(ticket_id: int) -> Row:
    draft = g.world.drafts.get(ticket_id)
    if draft is None:
        return {"shared_draft_id": None, "assets": None}
    return {"shared_draft_id": draft["id"], "assets": {"TicketSharedDraftZoom": {str(draft["id"]): draft}}}


# Attributes


@api.get("/object_manager_attributes")
def attributes() -> Answer:
    _need("admin.object")
    return jsonify(g.world.attributes)


@api.post("/object_manager_attributes")
def make_attribute() -> Answer:
    _need("admin.object")
    return jsonify(g.world.add_attribute(_body())), 201


@api.delete("/object_manager_attributes/<int:number>")
def delete_attribute(number: int) -> Answer:
    _need("admin.object")
    next(each for each in g.world.attributes if each["id"] == number)["to_delete"] = True
    return jsonify({})


@api.post("/object_manager_attributes_discard_changes")
def discard_changes() -> Answer:
    _need("admin.object")
    g.world.attributes = [each for each in g.world.attributes if not each["to_create"]]
    for each in g.world.attributes:
        each |= {"to_migrate": False, "to_delete": False, "to_config": False}
    return jsonify({})


@api.post("/object_manager_attributes_execute_migrations")
def execute_migrations() -> Answer:
    _need("admin.object")
    g.world.migrate()
    return jsonify({})


# Webhooks and triggers


def _kept_webhook(sent: Row) -> Row:
    kept = {key: value for key, value in sent.items() if key in _WEBHOOK or (_is_7() and key in _ONLY_7)}
    if not str(kept.get("endpoint", "")).startswith(("http://", "https://")) or len(kept["endpoint"]) > 2000:
        raise ApiError(422, "The provided endpoint is invalid, no http or https protocol was specified.")
    if len(str(kept.get("signature_token") or "")) > 200 or len(str(kept.get("note") or "")) > 250:
        raise ApiError(422, "too long")
    return {"active": True, "customized_payload": False} | kept


def _is_7() -> bool:
    return str(g.world.version).startswith("7")


def _shown_webhook(webhook: Row) -> Row:
    masked = {key: _MASK for key in _SECRETS if _is_7() and webhook.get(key)}
    return webhook | masked


@api.get("/webhooks")
def webhooks() -> Answer:
    _need("admin.webhook")
    return jsonify([_shown_webhook(each) for each in g.world.webhooks])


@api.post("/webhooks")
def make_webhook() -> Answer:
    _need("admin.webhook")
    made = {"id": g.world.next_id("webhook"), **_kept_webhook(_body())}
    g.world.webhooks.append(made)
    return jsonify(_shown_webhook(made)), 201


@api.get("/triggers")
def triggers() -> Answer:
    _need("admin.trigger")
    return jsonify(g.world.triggers)


@api.post("/triggers")
def make_trigger() -> Answer:
    _need("admin.trigger")
    sent = {key: value for key, value in _body().items() if key in _TRIGGER}
    if any(each["name"].lower() == str(sent.get("name")).lower() for each in g.world.triggers):
        raise ApiError(422, "This object already exists.")
    if len(str(sent.get("note") or "")) > 250:
        raise ApiError(422, "too long")
    g.world.check_trigger(sent)
    made = {"id": g.world.next_id("trigger"), **sent}
    g.world.triggers.append(made)
    return jsonify(made), 201


@api.put("/triggers/<int:number>")
def update_trigger(number: int) -> Answer:
    _need("admin.trigger")
    trigger = next((each for each in g.world.triggers if each["id"] == number), None)
    if trigger is None:
        raise ApiError(404, f"Couldn't find Trigger with 'id'={number}")
    changed = trigger | {key: value for key, value in _body().items() if key in _TRIGGER}
    g.world.check_trigger(changed)
    trigger |= changed
    return jsonify(trigger)
