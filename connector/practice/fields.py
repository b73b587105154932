"""Fields of an issue: their types, what Jira accepts when they are written, and how it shows them when read.

Formats: Jira REST API, "Field input formats" (Data Center specification) and custom field values as read in Cloud
webhooks and issues; messages as Jira words them.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

CUSTOM_TYPE = "com.atlassian.jira.plugin.system.customfieldtypes:"
# type -> (schema type, items, the custom field type's key)
SCHEMAS: dict[str, tuple[str, str | None, str]] = {
    "text": ("string", None, "textfield"),
    "textarea": ("string", None, "textarea"),
    "date": ("date", None, "datepicker"),
    "datetime": ("datetime", None, "datetime"),
    "number": ("number", None, "float"),
    "select": ("option", None, "select"),
    "checkbox": ("array", "option", "multicheckboxes"),
}
TYPES = {CUSTOM_TYPE + key: kind for kind, (_, _, key) in SCHEMAS.items()}  # the custom field type's key -> type
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
# Milliseconds and an offset without a colon: the one form both deployments take.
_DATETIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}[+-]\d{4}")


@dataclass(frozen=True)
class Option:
    """One choice of a select or a checkbox field."""

    id: str
    value: str


Value = str | date | datetime | float | Option | tuple[Option, ...] | None


@dataclass(frozen=True)
class Field:
    """A field that can be written. `type` is a key of SCHEMAS; system fields carry Jira's own id."""

    id: str
    name: str
    type: str
    options: tuple[Option, ...] = ()
    custom: bool = True

    @property
    def number(self) -> int:
        """The number in `customfield_10051`, as JQL's `cf[10051]` and the schema's `customId` use it."""
        return int(self.id.rpartition("_")[2])

    def schema(self) -> dict[str, Any]:
        kind, items, plugin_key = SCHEMAS[self.type]
        schema: dict[str, Any] = {"type": kind}
        if items:
            schema["items"] = items
        if self.custom:
            return schema | {"custom": CUSTOM_TYPE + plugin_key, "customId": self.number}
        return schema | {"system": self.id}


class FieldError(Exception):
    """The message Jira puts beside the field's id in `errors`."""


def parse(field: Field, raw: object) -> Value:
    """The value a caller wrote, or FieldError. `null` empties a field; so does an empty text."""
    if raw is None:
        return None
    return _PARSERS[field.type](field, raw)


def _text(field: Field, raw: object) -> Value:
    if not isinstance(raw, str):
        raise FieldError("Operation value must be a string")
    limit = 32767 if field.type == "textarea" else 255
    if len(raw) > limit:
        raise FieldError(f"The entered text is too long. It exceeds the allowed limit of {limit:,} characters.")
    if field.type == "text" and ("\n" in raw or "\r" in raw):
        raise FieldError(f"The {field.name.lower()} is invalid because it contains newline characters.")
    return raw or None


def _date(_field: Field, raw: object) -> Value:
    if not isinstance(raw, str) or not _DATE.fullmatch(raw):
        raise FieldError(f"Error parsing date string: {raw}")
    try:
        return date.fromisoformat(raw)
    except ValueError:
        raise FieldError(f"Error parsing date string: {raw}") from None


def _datetime(_field: Field, raw: object) -> Value:
    if not isinstance(raw, str) or not _DATETIME.fullmatch(raw):
        raise FieldError(f"Error parsing time: {raw}")
    try:
        return datetime.fromisoformat(raw).astimezone(UTC)
    except ValueError:
        raise FieldError(f"Error parsing time: {raw}") from None


def _number(_field: Field, raw: object) -> Value:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise FieldError("Operation value must be a number")
    return float(raw)


def _option(field: Field, raw: object) -> Option:
    if isinstance(raw, dict):
        for option in field.options:
            if raw.get("id") == option.id or ("id" not in raw and raw.get("value") == option.value):
                return option
        if "id" in raw:
            raise FieldError(f"Option id '{raw['id']}' is not valid")
        if "value" in raw:
            raise FieldError(f"Option value '{raw['value']}' is not valid")
    raise FieldError("Could not find valid 'id' or 'value' in the Parent Option object.")


def _options(field: Field, raw: object) -> Value:
    if not isinstance(raw, list):
        raise FieldError("data was not an array")
    return tuple(_option(field, each) for each in raw) or None


_PARSERS = {
    "text": _text,
    "textarea": _text,
    "date": _date,
    "datetime": _datetime,
    "number": _number,
    "select": _option,
    "checkbox": _options,
}


def moment_text(moment: datetime, zone: ZoneInfo) -> str:
    """`2026-03-01T10:15:00.000-0500`: milliseconds, and an offset without a colon, in the given zone."""
    local = moment.astimezone(zone)
    return f"{local:%Y-%m-%dT%H:%M:%S}.{local.microsecond // 1000:03d}{local:%z}"


def shown(value: Value, zone: ZoneInfo, base_url: str, *, whole_numbers: bool = False) -> Any:
    """The value as JSON. `whole_numbers`: 30 rather than 30.0, as webhooks write numbers."""
    if isinstance(value, tuple):
        return [shown(each, zone, base_url) for each in value]
    if isinstance(value, Option):
        return {
            "self": f"{base_url}/rest/api/2/customFieldOption/{value.id}",
            "value": value.value,
            "id": value.id,
        }
    if isinstance(value, datetime):
        return moment_text(value, zone)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and whole_numbers and value.is_integer():
        return int(value)
    return value


def in_history(value: Value, zone: ZoneInfo) -> tuple[str | None, str | None]:
    """(raw, readable): the pairs from/fromString and to/toString of a changelog item."""
    match value:
        case None:
            return None, None
        case Option():
            return value.id, value.value
        case tuple():
            return f"[{', '.join(o.id for o in value)}]", ",".join(o.value for o in value)
        case datetime():
            local = value.astimezone(zone)
            return f"{local:%Y-%m-%dT%H:%M:%S%z}", f"{local:%d/%b/%y %I:%M %p}"
        case date():
            return value.isoformat(), f"{value.day}/{value:%b/%y}"
        case _:
            return None, f"{value:g}" if isinstance(value, float) else value
