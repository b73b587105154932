"""What an admin may write in a mapping: the shape of the YAML, its rules, and the Mapping that comes out of it.

The same rules for people are in field_mappings/README.md. A message is read by someone who cannot program: it says
what to write instead, and never repeats what could be a secret.
"""

import dataclasses
import difflib
import ipaddress
import os
import re
import unicodedata
import zoneinfo
from collections import abc
from dataclasses import dataclass
from datetime import time
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from connector import kinds
from connector.inquiry.case import FACTS
from connector.inquiry.procedure import SHIPPED, STAGES, Procedure

DEFAULT_COMMENTS_PER_HOUR = 600
MAX_CALLS_PER_SECOND = 1000
MAX_TEXT = 255  # no tracker has longer names of fields or statuses
MAX_SECRET_BYTES = 64 * 1024

# Facts without which Step 1 cannot be prepared or a wait cannot be counted (seed, Steps 1 to 3).
NEEDED_FACTS: abc.Mapping[str, str] = MappingProxyType(
    {
        "receipt_number": "the NCSC asks for it, and it names the Service Center",
        "alien_number": "the NCSC asks for it",
        "form_type": "the NCSC asks for it",
        "filed_on": "the NCSC asks for it",
        "called_at": "the first wait counts from it",
        "service_center_emailed_at": "the second wait counts from it",
        "headquarters_emailed_at": "the third wait counts from it",
    }
)
# Facts that a status may record, with the last stage in which the contact may still be ahead. Entering a stage's
# status is the connector's own act: if that status recorded the contact, it would record one that nobody made.
RECORDABLE: abc.Mapping[str, str] = MappingProxyType(
    {
        "called_at": "call_ncsc",
        "service_center_emailed_at": "email_service_center",
        "headquarters_emailed_at": "email_headquarters",
        "answered_at": "headquarters_overdue",
    }
)

_CLOUD_GATEWAY = "api.atlassian.com"
_CLOUD_SITES = ".atlassian.net"


class SecretError(Exception):
    """A secret cannot be read. The message says where it was looked for, never what it is."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is kept: the environment variable `env` or the file `file`. It is read when it is used."""

    env: str | None = None
    file: Path | None = None

    def read(self) -> str:
        """The secret, without one trailing line break. Raises SecretError."""
        if self.file is not None:
            return _checked(_read_secret_file(self.file), f"the secret's file {self.file}")
        name = self.env or ""
        value = os.environ.get(name)
        if value is None:
            raise SecretError(f"the environment variable {name} is not set")
        return _checked(value, f"the environment variable {name}")

    def under(self, folder: Path) -> "Secret":
        """The same secret, its file found from `folder` if its path is relative."""
        return self if self.file is None else dataclasses.replace(self, file=folder / self.file)


def _read_secret_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise SecretError(f"the secret's file {path} cannot be read: {error.strerror}") from None
    if len(raw) > MAX_SECRET_BYTES:
        raise SecretError(f"the secret's file {path} is too large to be a secret")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SecretError(f"the secret's file {path} is not text") from None


def _checked(value: str, place: str) -> str:
    """`value` without one trailing line break; what is left must be fit for an HTTP header."""
    value = value.removesuffix("\n").removesuffix("\r")
    if not value.strip():
        raise SecretError(f"{place} is empty")
    if not value.isprintable():
        raise SecretError(f"{place} holds more than one line, or characters that no secret has")
    return value


@dataclass(frozen=True, slots=True)
class FieldRef:
    """The ticket's field that holds a fact, and the office's own values in our terms (keys folded by `fold`).

    `choices` are the same values as the office writes them, for a list that is yet to be made. They decide nothing.
    """

    field: str
    values: abc.Mapping[str, str] = dataclasses.field(default_factory=dict)
    choices: tuple[str, ...] = dataclasses.field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """How to reach the tracker. `user` is None for a personal access token of Jira Data Center.

    concurrency      tickets attended to at once; None: as the service is set
    calls_per_second calls of each process to the tracker; None: as fast as can be
    """

    kind: str
    url: str
    user: str | None
    token: Secret
    webhook_secrets: tuple[Secret, ...]
    # They decide nothing: another number calls for no new look at any ticket.
    concurrency: int | None = dataclasses.field(default=None, compare=False)
    calls_per_second: float | None = dataclasses.field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """One source: which ticket field holds which fact, and everything else that its YAML file says."""

    source: str  # the file's stem
    path: Path
    tracker: TrackerSettings
    scope: str
    procedure: Procedure  # with this source's office and statuses
    comments: str  # internal | public
    fields: abc.Mapping[str, FieldRef]  # fact -> field
    statuses: abc.Mapping[str, str]  # stage -> status
    records: abc.Mapping[str, str]  # status -> fact
    dry_run: bool
    max_comments_per_hour: int
    config_hash: str  # of everything that can change a decision; of no secret


def fold(text: str) -> str:
    """Text as values and statuses are compared: without regard to case and spacing."""
    return " ".join(text.split()).casefold()


# --- reading one value: each is given what stands in the file, and raises ValidationError --------------------------


def text(value: Any) -> str:
    """One line of text. YAML's numbers and its Yes, No, On, Off are not text: the message says to use quotes."""
    if isinstance(value, bool | int | float):
        raise ValidationError("must be text: put it in quotes, without them YAML does not read it as text")
    if not isinstance(value, str):
        raise ValidationError("is empty" if value is None else "must be text, not a list or a group of keys")
    line = " ".join(value.split())
    if not line:
        raise ValidationError("is empty")
    if len(line) > MAX_TEXT or not line.isprintable():
        raise ValidationError(f"must be one line of at most {MAX_TEXT} characters")
    return line


def tracker_kind(value: Any) -> str:
    """A kind of tracker that an adapter is installed for."""
    kind = text(value)
    if kind not in kinds.names():
        raise ValidationError(f'"{kind}" is not a tracker known here; write one of: {", ".join(kinds.names())}')
    return kind


def tracker_url(value: Any) -> str:
    """The tracker's base address, without a trailing slash. Never quoted back: it may hold a password."""
    url = text(value)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # the port is checked only when it is asked for
        if host is not None:
            host.encode("idna")  # as it is looked up: no label may be empty or too long
    except ValueError:
        host = None
    if host is None or parts.scheme not in {"http", "https"} or " " in url:
        raise ValidationError("must be an address such as https://example.atlassian.net")
    if "@" in parts.netloc:
        raise ValidationError("must not hold a user or password; they belong in user and token")
    if "?" in url or "#" in url:
        raise ValidationError("must be the tracker's base address, without ? or #")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValidationError("must begin with https://, otherwise the token would travel where others can read it")
    if host.endswith(_CLOUD_SITES) and parts.path.strip("/"):
        raise ValidationError(f"must end with {_CLOUD_SITES}: take away what your browser shows after it")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def secret(value: Any) -> Secret:
    """{env: NAME} or {file: PATH}. Nothing of a wrong value is quoted back, not even its keys."""
    how = "write {env: JIRA_TOKEN} or {file: /run/secrets/jira-token}"
    if isinstance(value, str | int | float):
        raise ValidationError(
            f"must not stand here, where others can read it: keep it in the environment or in a file, and {how}"
        )
    if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= {"env", "file"}:
        raise ValidationError(f"must say where the secret is kept: {how}")
    [(where, name)] = value.items()
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ValidationError(f"must say where the secret is kept: {how}")
    if where == "file":
        return Secret(file=Path(name))
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name):
        raise ValidationError(
            "must be the name of an environment variable, not the secret: letters, digits and _, as in JIRA_TOKEN"
        )
    return Secret(env=name)


def field_ref(fact: str, value: Any) -> FieldRef:
    """A fact's field: its name or id, or {field: ..., values: {the office's own value: ours}}."""
    if not isinstance(value, dict):
        return FieldRef(_field_name(value))
    shape = Schema.from_dict(
        {
            "field": fields.Function(deserialize=_field_name, required=True),
            "values": fields.Function(deserialize=partial(_values, fact), load_default=None),
        }
    )
    try:
        entry = shape().load(value)
    except ValidationError as error:
        raise ValidationError(error.messages) from None  # half an entry is of no use to other rules
    values: dict[str, str] = entry["values"] or {}
    return FieldRef(
        entry["field"], MappingProxyType(values), tuple(" ".join(own.split()) for own in value.get("values") or ())
    )


def _field_name(value: Any) -> str:
    number = str(value).strip()
    if number.isdecimal():
        raise ValidationError(f"is a bare number; the id of a field is written customfield_{number}")
    return text(value)


def _values(fact: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValidationError("must be a group of the office's own values, each with ours: California: california")
    values: dict[str, str] = {}
    errors: dict[str, Any] = {}
    for own, ours in value.items():
        if fold(own) in values:
            errors[own] = ["is there twice; capital letters and spaces make no difference here"]
        try:
            values[fold(own)] = _our_value(fact, ours)
        except ValidationError as error:
            errors[own] = error.messages
    if errors:
        raise ValidationError(errors)
    return values


def _our_value(fact: str, value: Any) -> str:
    """Our side of one of the office's own values. Quotes with nothing in them mean: not filled in."""
    if fact != "protected":
        return "" if value == "" else text(value)
    word = str(value).lower()
    if word not in {"true", "false"}:
        raise ValidationError("must be true or false")
    return word


def time_zone(value: Any) -> ZoneInfo:
    """The name of a time zone, as in America/New_York."""
    name = text(value)
    meant = _AMERICAN_ZONES.get(fold(name).removesuffix(" time"))
    if meant:
        raise ValidationError(f'"{name}" does not say when clocks change; write {meant}')
    if name not in _time_zones():
        raise ValidationError(f'"{name}" is not a time zone known here{_near_zone(name)}')
    return ZoneInfo(name)


# What people call their time. EST and MST are zones too, but ones that never change their clocks.
_AMERICAN_ZONES = {
    name: zone
    for zone, names in {
        "America/New_York": "est edt et eastern",
        "America/Chicago": "cst cdt ct central",
        "America/Denver": "mst mdt mt mountain",
        "America/Los_Angeles": "pst pdt pt pacific",
        "Pacific/Honolulu": "hst hawaii",
    }.items()
    for name in names.split()
}


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones()) - {"localtime", "Factory"}  # the machine's own, and none


def _near_zone(name: str) -> str:
    """The zone that `name` may mean, as the end of a message; found by the place alone, as "New York"."""
    places = {_place(zone): zone for zone in sorted(_time_zones())}
    near = difflib.get_close_matches(_place(name), places, n=1, cutoff=0.75)
    return f"; did you mean {places[near[0]]}?" if near else "; write it as in America/New_York"


def _place(zone: str) -> str:
    return fold(zone.rpartition("/")[2].replace("_", " "))


def clock_time(value: Any) -> time:
    """A time of day as "HH:MM"."""
    if isinstance(value, int | float):  # YAML 1.1 reads 9:30 as a number in base 60
        raise ValidationError('must be in quotes, as in "09:00": without them YAML reads a time as a number')
    written = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", value, re.ASCII) if isinstance(value, str) else None
    if not written:
        raise ValidationError('must be a time of day from "00:00" to "23:59", as in "09:00"')
    return time(int(written[1]), int(written[2]))


# Control characters, halves of characters, and separators of lines and paragraphs: no search means them.
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})


def scope(value: Any) -> str:
    """Which tickets: a condition in the tracker's own language, on one line."""
    if not isinstance(value, str):
        raise ValidationError("must be a condition, as in: project = CASE")
    condition = re.sub(r"\s*\n\s*", " ", value.strip())
    if not condition:
        raise ValidationError("is empty: without it every ticket of the tracker would be taken for a case")
    if any(unicodedata.category(each) in _UNSEEN for each in condition.replace("\t", " ")):
        raise ValidationError("holds a character that cannot be seen; type the line again")
    return condition


def calls_per_second(value: Any) -> float:
    """A pace of calls: a number above 0, at most MAX_CALLS_PER_SECOND."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_CALLS_PER_SECOND:
        raise ValidationError(f"must be a number above 0, at most {MAX_CALLS_PER_SECOND}, such as 5 or 0.5")
    return float(value)


def recorded_fact(value: Any) -> str:
    """A contact, or the answer, that moving a ticket can record."""
    fact = text(value)
    if fact not in RECORDABLE:
        near = difflib.get_close_matches(fact, RECORDABLE, n=1)
        hint = f"did you mean {near[0]}?" if near else f"write one of: {', '.join(RECORDABLE)}"
        raise ValidationError(f'a status cannot record "{fact}"; {hint}')
    return fact


def procedure_name(value: Any) -> str:
    """A procedure that comes with the connector, or the path of the office's own file."""
    name = text(value)
    if name in SHIPPED or name.endswith((".yaml", ".yml")):
        return name
    near = difflib.get_close_matches(name, SHIPPED, n=1)
    hint = f"did you mean {near[0]}?" if near else f"write {SHIPPED[0]}, or the path of a .yaml file"
    raise ValidationError(f'"{name}" is not a procedure known here; {hint}')


# --- the shape of the file ------------------------------------------------------------------------------------------


class TrackerSchema(Schema):
    kind = fields.Function(deserialize=tracker_kind, required=True)
    url = fields.Function(deserialize=tracker_url, required=True)
    user = fields.Function(deserialize=text, load_default=None)
    token = fields.Function(deserialize=secret, required=True)
    webhook_secrets = fields.List(fields.Function(deserialize=secret), load_default=None)
    concurrency = fields.Integer(
        load_default=None, strict=True, validate=validate.Range(1, 32, error="must be from {min} to {max}")
    )
    calls_per_second = fields.Function(deserialize=calls_per_second, load_default=None)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _cloud_needs_a_user(self, data: dict[str, Any], original: Any, **_: Any) -> None:
        host = urlsplit(data.get("url", "")).hostname or ""
        is_cloud = data.get("kind") == "jira" and (host == _CLOUD_GATEWAY or host.endswith(_CLOUD_SITES))
        if is_cloud and original.get("user") is None:
            raise ValidationError("is missing: Jira Cloud needs the e-mail address of the token's account", "user")


class OfficeSchema(Schema):
    time_zone = fields.Function(
        deserialize=time_zone,
        required=True,
        error_messages={"required": "is missing: days are counted in it; write it as in America/New_York"},
    )
    act_at = fields.Function(deserialize=clock_time, load_default=time(9, 0))


class FactField(fields.Function):
    """The field that holds one fact."""

    keys = ("field", "values")  # those of its longer form

    def __init__(self, fact: str) -> None:
        why = NEEDED_FACTS.get(fact)
        super().__init__(
            deserialize=partial(field_ref, fact),
            required=why is not None,
            error_messages={"required": f"is missing: {why}"},
        )


class FactsSchema(Schema):
    class Meta:
        include = {fact: FactField(fact) for fact in FACTS}  # noqa: RUF012  marshmallow reads it

    @validates_schema(skip_on_field_errors=False)
    def _one_fact_a_field(self, data: dict[str, FieldRef], **_: Any) -> None:
        holder: dict[str, str] = {}
        errors: dict[str, list[str]] = {}
        for fact, ref in data.items():
            other = holder.setdefault(fold(ref.field), fact)
            if other != fact:
                errors[fact] = [f'"{ref.field}" holds {other} already; a field holds one fact']
        if errors:
            raise ValidationError(errors)


class StatusesSchema(Schema):
    class Meta:
        include = {stage: fields.Function(deserialize=text) for stage in STAGES}  # noqa: RUF012  marshmallow reads it


class MappingSchema(Schema):
    """The shape of a mapping. Loading gives plain parts; connector.mapping.loading makes the Mapping of them."""

    tracker = fields.Nested(TrackerSchema, required=True)
    scope = fields.Function(deserialize=scope, required=True)
    office = fields.Nested(OfficeSchema, required=True)
    procedure = fields.Function(deserialize=procedure_name, load_default=SHIPPED[0])
    comments = fields.String(
        load_default="internal", validate=validate.OneOf(["internal", "public"], error="must be internal or public")
    )
    fields_ = fields.Nested(FactsSchema, required=True, data_key="fields")
    # A group whose entries are all commented out is empty, not wrong.
    statuses = fields.Nested(StatusesSchema, load_default=None)
    records = fields.Dict(
        keys=fields.Function(deserialize=text), values=fields.Function(deserialize=recorded_fact), load_default=None
    )
    dry_run = fields.Boolean(load_default=False, truthy={True}, falsy={False})
    max_comments_per_hour = fields.Integer(
        load_default=DEFAULT_COMMENTS_PER_HOUR,
        strict=True,
        validate=validate.Range(1, 100_000, error="must be from {min} to {max}"),
    )

    @validates_schema(skip_on_field_errors=False)
    def _scope_is_sound(self, data: dict[str, Any], **_: Any) -> None:
        kind, condition = (data.get("tracker") or {}).get("kind"), data.get("scope")
        fault = kinds.scope_fault(kind, condition) if kind and condition else None
        if fault:
            raise ValidationError(fault, "scope")

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _records_are_sound(self, data: dict[str, Any], original: Any, **_: Any) -> None:
        written = original.get("fields")
        mapped = written.keys() if isinstance(written, dict) else frozenset(FACTS)
        statuses = data.get("statuses") or {}
        seen: set[str] = set()
        errors: dict[str, dict[str, list[str]]] = {}
        for status, fact in (data.get("records") or {}).items():
            if fold(status) in seen:
                errors[status] = {"key": ["is there twice; capital letters make no difference here"]}
            elif fact not in mapped:
                errors[status] = {"value": [f"fields.{fact} is missing, so there is no field to record it in"]}
            elif (stage := _stage_that_fakes(fact, status, statuses)) is not None:
                why = f"statuses.{stage} moves tickets there before anyone made this contact"
                errors[status] = {"value": [why]}
            seen.add(fold(status))
        if errors:
            raise ValidationError({"records": errors})


def _stage_that_fakes(fact: str, status: str, statuses: abc.Mapping[str, str]) -> str | None:
    """The stage, at or before the one that asks for the contact, whose status is also the one that records it."""
    before = (*STAGES[: STAGES.index(RECORDABLE[fact]) + 1], "protected")
    return next((stage for stage in before if fold(statuses.get(stage, "")) == fold(status)), None)
