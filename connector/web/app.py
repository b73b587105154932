"""The web application: its routes, and what is true of every answer.

An answer carries no stack trace, repeats nothing of the request, sets no cookie and is not to be stored.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime

import structlog
from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from connector.metrics import Metrics
from connector.store import Store
from connector.web import health as health_routes
from connector.web import openapi as openapi_routes
from connector.web.health import Health
from connector.web.webhooks import MAX_BODY_BYTES, RETRY_AFTER_SECONDS, Webhooks, WebSource

log = structlog.get_logger(__name__)

_SENTENCES = {
    400: "The request cannot be understood.",
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    413: "The body is larger than 25 MB.",
}


def create_app(
    sources: Mapping[str, WebSource],
    store: Store,
    metrics: Metrics,
    clock: Callable[[], datetime],
    health: Callable[[], Health],
    *,
    on_notice: Callable[[str], None],
) -> Flask:
    """The WSGI application. `sources` is looked into at each request; `on_notice` hears of each ticket made due."""
    app = Flask("connector", static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.url_map.merge_slashes = False  # it would answer with a redirect that repeats the path
    Webhooks(sources, store, metrics, clock, on_notice).register(app)
    health_routes.register(app, metrics, health)
    openapi_routes.register(app)
    _time_intake(app, metrics)
    app.register_error_handler(HTTPException, _refuse)
    app.register_error_handler(Exception, _fail)
    app.after_request(_guard)
    return app


def _time_intake(app: Flask, metrics: Metrics) -> None:
    """Tell the metrics of each webhook about a ticket, and how long it took, the durable commit included."""

    def begin() -> None:
        g.began = time.monotonic()

    def end(response: Response) -> Response:
        if request.endpoint == "webhook" and response.status_code == 204 and request.view_args:
            metrics.noticed("webhook")
            metrics.took_in(request.view_args["source"], time.monotonic() - g.began)
        return response

    app.before_request(begin)
    app.after_request(end)


def _refuse(error: HTTPException) -> Response:
    status = error.code or 400
    response = jsonify({"message": _SENTENCES.get(status, "The request was refused.")})
    response.status_code = status
    if error.response is None and "Allow" in (given := dict(error.get_headers())):
        response.headers["Allow"] = given["Allow"]
    return response


def _fail(error: Exception) -> Response:
    """Whatever it is may pass: a 503 lets a sender try again."""
    log.error("request failed", exc_info=error)
    response = jsonify({"message": "This cannot be answered now. Try again later."})
    response.status_code = 503
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _guard(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
