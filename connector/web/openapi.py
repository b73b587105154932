"""/openapi.json: what the routes take and answer, for whoever tests or connects them. Names no source and no secret.

A test holds it against the routes there are, and schemathesis holds the running server against it.
"""

import functools
import json
from typing import Any

from flask import Flask, Response

from connector import __version__

PATH = "/openapi.json"
_JSON = "application/json"


def register(app: Flask) -> None:
    """Add the route. The document is made when it is first asked for."""

    def show() -> Response:
        return Response(_document(), content_type=_JSON)

    app.add_url_rule(PATH, PATH, show, methods=["GET"], provide_automatic_options=False)


@functools.cache
def _document() -> bytes:
    return json.dumps(describe()).encode()


def describe() -> dict[str, Any]:
    """The document, by OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0)."""
    # Neither is needed before somebody asks.
    from apispec import APISpec  # noqa: PLC0415  as said
    from apispec.ext.marshmallow import MarshmallowPlugin  # noqa: PLC0415  as said

    from connector.web.shapes import AliveSchema, MessageSchema, ReadinessSchema  # noqa: PLC0415  as said

    spec = APISpec(
        title="Inquiry connector",
        version=__version__,
        openapi_version="3.1.0",
        info={"description": "Takes webhooks of trackers in, and tells how it is."},
        plugins=[MarshmallowPlugin()],
    )
    for name, schema in (("Alive", AliveSchema), ("Message", MessageSchema), ("Readiness", ReadinessSchema)):
        spec.components.schema(name, schema=schema)
    _describe_webhooks(spec)
    _describe_health(spec)
    return spec.to_dict()


def _describe_webhooks(spec: Any) -> None:
    spec.components.security_scheme("signature", _header("X-Hub-Signature", "HMAC of the body's bytes: sha256=... "))
    spec.components.security_scheme("secret", _header("X-Connector-Secret", "The secret itself."))
    source = {
        "name": "source",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"},
        "description": "The name of a source: of its mapping's file.",
    }
    secret = {
        "name": "secret",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
        "description": "The secret, for senders that can neither sign nor send a header. It is never logged.",
    }
    spec.path(
        "/webhooks/{source}", parameters=[source], operations={"post": _webhook([{"signature": []}, {"secret": []}])}
    )
    spec.path("/webhooks/{source}/{secret}", parameters=[source, secret], operations={"post": _webhook([])})


def _header(name: str, description: str) -> dict[str, str]:
    return {"type": "apiKey", "in": "header", "name": name, "description": description}


def _webhook(security: list[dict[str, list[str]]]) -> dict[str, Any]:
    return {
        "summary": "A tracker says that a ticket changed.",
        "description": (
            "The signature is over the body's bytes; their type is not looked at. Whatever is authentic is answered "
            "2xx, for what cannot be understood now could not be understood later either."
        ),
        "security": security,
        # What is inside is each tracker's own matter. Other bytes are no event, but no mistake of the sender either.
        "requestBody": {"required": False, "content": {_JSON: {"schema": {"type": "object"}}}},
        "responses": {
            "200": _told("Authentic, and about no ticket or not to be understood: nothing to do."),
            "204": {"description": "The ticket is due; committed durably."},
            "400": _told("Not HTTP that can be understood."),
            "401": _told("The signature or secret is missing or wrong."),
            "404": _told("There is no such source."),
            "413": _told("The body is larger than 25 MB."),
            "503": {**_told("Could not be noted. Send it again."), "headers": {"Retry-After": _retry_after()}},
        },
    }


def _retry_after() -> dict[str, Any]:
    return {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}


def _describe_health(spec: Any) -> None:
    failed = {**_told("Cannot be answered now."), "headers": {"Retry-After": _retry_after()}}
    readiness = {
        _JSON: {"schema": {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Readiness", "Message")]}}
    }
    pages: dict[str, tuple[str, dict[str, Any]]] = {
        "/livez": ("Does the process answer?", {"200": _shown("It does.", "Alive")}),
        "/readyz": (
            "Can this process do its part, and if not, why? And what keeps which source from its work?",
            {
                "200": _shown("It can, whatever is with its sources.", "Readiness"),
                "503": {"description": "It cannot, or this cannot be answered now.", "content": readiness},
            },
        ),
        "/metrics": (
            "In numbers, in Prometheus' text format.",
            {
                "200": {"description": "The metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}},
                "503": failed,
            },
        ),
        PATH: (
            "This document.",
            {"200": {"description": "It.", "content": {_JSON: {"schema": {"type": "object"}}}}, "503": failed},
        ),
    }
    for path, (summary, responses) in pages.items():
        spec.path(path, operations={"get": {"summary": summary, "responses": responses}})


def _told(description: str) -> dict[str, Any]:
    return _shown(description, "Message")


def _shown(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}
