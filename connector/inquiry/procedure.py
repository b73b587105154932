"""The procedure as data: whom to contact, how long to wait, and the schema of the YAML file that says so.

The shipped file is procedures/service-center-inquiry.yaml. An office may replace any part of it in a file of its own
(`extends: service-center-inquiry`); reading files is the business of connector.mapping.loading.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, time
from types import MappingProxyType
from typing import Any, Literal
from zoneinfo import ZoneInfo

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates

from connector.inquiry.identifiers import IdentifierError, form_type

SHIPPED = ("service-center-inquiry",)

STAGES = (
    "collect_details",
    "call_ncsc",
    "awaiting_ncsc",
    "email_service_center",
    "awaiting_service_center",
    "email_headquarters",
    "awaiting_headquarters",
    "headquarters_overdue",
    "protected",
    "answered",
)

# The templates an office may replace. Comments are Markdown, letters are plain text; both are Jinja2.
TEMPLATES = (
    "collect_details",
    "call_ncsc",
    "email_service_center",
    "email_headquarters",
    "incomplete_letter",
    "which_service_center",
    "headquarters_overdue",
    "protected",
    "correct_facts",
    "same_receipt",
    "letter_subject",
    "letter_body",
    "headquarters_letter_subject",
    "headquarters_letter_body",
)

_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


@dataclass(frozen=True, slots=True)
class Contact:
    """Someone the procedure contacts. Step 1 has a phone number, Steps 2 and 3 an e-mail address."""

    key: str
    name: str
    short_name: str
    phone: str | None = None
    email: str | None = None
    prefixes: tuple[str, ...] = ()  # receipt prefixes that suggest this centre
    also_called: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """How long to wait for an answer after a contact, in whole days after the day of the contact."""

    days: int
    counting: Literal["calendar", "business"] = "calendar"
    roll_forward: bool = False  # an act that falls on a weekend or federal holiday moves to the next business day


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the procedure: its number in the guidance, whom it contacts, and the wait that follows."""

    number: int
    wait: Wait


@dataclass(frozen=True, slots=True)
class Office:
    """What one source sets for itself: where its days begin and when its people start work."""

    time_zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("America/New_York"))
    act_at: time = time(9, 0)
    internal_comments: bool = True  # letters are linked only where clients cannot see them


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """The whole procedure of one source. Immutable, so that deciding stays pure."""

    name: str
    title: str
    source: str
    issued_on: date
    ncsc: Contact
    service_centers: Mapping[str, Contact]
    headquarters: Contact
    call: Step
    email_service_center: Step
    email_headquarters: Step
    protected_forms: frozenset[str]
    ask_route_forms: frozenset[str]
    wording: Mapping[str, str]  # template name -> Jinja2 text
    office: Office = field(default_factory=Office)
    statuses: Mapping[str, str] = field(default_factory=dict)  # stage -> status of the tracker

    def for_source(self, office: Office, statuses: Mapping[str, str]) -> "Procedure":
        """The same procedure with one source's own settings."""
        return replace(self, office=office, statuses=MappingProxyType(dict(statuses)))

    def center_for_prefix(self, prefix: str) -> str | None:
        """The key of the centre that a receipt prefix suggests, if it suggests one (facts: guidance 2.3)."""
        return next((key for key, center in self.service_centers.items() if prefix in center.prefixes), None)

    def center_named(self, text: str) -> str | None:
        """The key of the centre that staff mean by `text`: its key, name, short name or another name of it."""
        wanted = _folded(text)
        for key, center in self.service_centers.items():
            if wanted in {_folded(name) for name in (key, center.name, center.short_name, *center.also_called)}:
                return key
        return None


def _folded(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().casefold()


class EmailAddress(fields.String):
    """An e-mail address; `[at]` and `(at)`, as the guidance prints them, are read as @."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        address = re.sub(r"\s*[\[(]\s*at\s*[\])]\s*", "@", text.strip(), flags=re.IGNORECASE)
        if not _ADDRESS.fullmatch(address):
            raise ValidationError(f'"{text}" is not an e-mail address; write it as name@dhs.gov or name[at]dhs.gov')
        return address


class _PersonSchema(Schema):
    name = fields.String(required=True, validate=validate.Length(min=1))
    short_name = fields.String(validate=validate.Length(min=1))


class PhoneContactSchema(_PersonSchema):
    phone = fields.String(
        required=True,
        validate=validate.Regexp(r"^[0-9+(][0-9 ().+-]{5,24}$", error="write a phone number such as 1-800-375-5283"),
    )


class EmailContactSchema(_PersonSchema):
    email = EmailAddress(required=True)


class ServiceCenterSchema(EmailContactSchema):
    prefixes = fields.List(
        fields.String(validate=validate.Regexp(r"^[A-Z]{3}$", error="a receipt prefix is three capital letters")),
        load_default=list,
    )
    also_called = fields.List(fields.String(), load_default=list)


class WaitSchema(Schema):
    days = fields.Integer(required=True, strict=True, validate=validate.Range(0, 3650))
    counting = fields.String(load_default="calendar", validate=validate.OneOf(["calendar", "business"]))
    roll_forward = fields.Boolean(load_default=False, truthy={True}, falsy={False})

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Wait:
        return Wait(**data)


class WaitsSchema(Schema):
    """One wait after each contact: seed Step 1 (lost there; guidance facts 1.1), Step 2 to 3, Step 3."""

    ncsc = fields.Nested(WaitSchema, required=True)
    service_center = fields.Nested(WaitSchema, required=True)
    headquarters = fields.Nested(WaitSchema, required=True)


def _form(text: str) -> None:
    try:
        form_type(text)
    except IdentifierError as error:
        raise ValidationError(f'"{text}" is not a form number; write it as I-130') from error


class WordingSchema(Schema):
    """Every template is optional in an office's own file; what each may use is in field_mappings/README.md."""

    class Meta:
        include = {name: fields.String(validate=validate.Length(min=1)) for name in TEMPLATES}  # noqa: RUF012  marshmallow reads it


class ProcedureSchema(Schema):
    """The shape of a procedure file, after `extends` has been merged. Errors are marshmallow's, keyed by path."""

    name = fields.String(required=True)
    title = fields.String(required=True)
    source = fields.String(required=True)
    issued_on = fields.Date(required=True)
    ncsc = fields.Nested(PhoneContactSchema, required=True)
    service_centers = fields.Dict(
        keys=fields.String(validate=validate.Regexp(r"^[a-z][a-z0-9_]*$", error="a key is lower case: california")),
        values=fields.Nested(ServiceCenterSchema),
        required=True,
        validate=validate.Length(min=1),
    )
    headquarters = fields.Nested(EmailContactSchema, required=True)
    waits = fields.Nested(WaitsSchema, required=True)
    protected_forms = fields.List(fields.String(validate=_form), load_default=list)
    ask_route_forms = fields.List(fields.String(validate=_form), load_default=list)
    wording = fields.Nested(WordingSchema, required=True)

    @validates("service_centers")
    def _one_center_a_prefix(self, centers: dict[str, dict[str, Any]], **_: Any) -> None:
        seen: dict[str, str] = {}
        for key, center in centers.items():
            for prefix in center.get("prefixes", []):  # marshmallow shows partial data where a prefix is refused
                if prefix in seen:
                    raise ValidationError(f"prefix {prefix} is given to both {seen[prefix]} and {key}")
                seen[prefix] = key

    @validates("wording")
    def _all_templates(self, wording: dict[str, str], **_: Any) -> None:
        missing = [name for name in TEMPLATES if name not in wording]
        if missing:
            raise ValidationError(f"there is no template {', '.join(missing)}: write it, or extend {SHIPPED[0]}")

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Procedure:
        waits = data["waits"]
        return Procedure(
            name=data["name"],
            title=data["title"],
            source=data["source"],
            issued_on=data["issued_on"],
            ncsc=_contact("ncsc", data["ncsc"]),
            service_centers={key: _contact(key, center) for key, center in data["service_centers"].items()},
            headquarters=_contact("headquarters", data["headquarters"]),
            call=Step(1, waits["ncsc"]),
            email_service_center=Step(2, waits["service_center"]),
            email_headquarters=Step(3, waits["headquarters"]),
            protected_forms=frozenset(map(form_type, data["protected_forms"])),
            ask_route_forms=frozenset(map(form_type, data["ask_route_forms"])),
            wording=data["wording"],
        )


def _contact(key: str, data: Mapping[str, Any]) -> Contact:
    return Contact(
        key=key,
        name=data["name"],
        short_name=data.get("short_name") or data["name"],
        phone=data.get("phone"),
        email=data.get("email"),
        prefixes=tuple(data.get("prefixes", ())),
        also_called=tuple(data.get("also_called", ())),
    )
