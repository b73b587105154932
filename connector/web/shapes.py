"""The JSON that the routes answer, as schemas for /openapi.json."""

from marshmallow import Schema, fields


class MessageSchema(Schema):
    """One sentence for whoever reads the sender's log. Repeats nothing of the request."""

    message = fields.String(required=True)


class AliveSchema(Schema):
    """The process answers."""

    alive = fields.Boolean(required=True)


class ReasonSchema(Schema):
    """Why something is not ready. The code is short and stable."""

    code = fields.String(required=True)
    message = fields.String(required=True)


class SourceSchema(Schema):
    """A source, and what keeps it from its work."""

    ready = fields.Boolean(required=True)
    reasons = fields.List(fields.Nested(ReasonSchema), required=True)


class ReadinessSchema(Schema):
    """How the process and each of its sources stand, by name."""

    ready = fields.Boolean(required=True)
    reasons = fields.List(fields.Nested(ReasonSchema), required=True)
    sources = fields.Dict(keys=fields.String(), values=fields.Nested(SourceSchema), required=True)
