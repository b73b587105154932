"""From YAML files to Mappings, telling every mistake at once with its file and line.

The loader that production uses is the one behind `connector check`: there is no second opinion on what is right.
"""

import difflib
import hashlib
import json
import re
from collections import abc
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import date, time
from importlib.resources import as_file, files
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import Schema, ValidationError, fields

from connector.inquiry import wording
from connector.inquiry.procedure import SHIPPED, TEMPLATES, Office, Procedure, ProcedureSchema
from connector.mapping.document import Document, KeyPath, MappingError, Mistake, read_document
from connector.mapping.schema import FactField, FieldRef, Mapping, MappingSchema, Secret, TrackerSettings

__all__ = ["Mapping", "MappingError", "Mistake", "load_mapping", "load_mappings", "load_procedure"]

EXAMPLE_SUFFIX = ".example.yaml"
_COPY = "copy one of its *.example.yaml to a name of your own that ends in .yaml"
_SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

# marshmallow's own messages, in words for an admin. What is not here is already ours.
_UNKNOWN = "Unknown field."
_PLAIN_MESSAGES = {
    "Missing data for required field.": "is missing",
    "Field may not be null.": "is empty",
    "Not a valid string.": "must be text; put it in quotes",
    "Not a valid integer.": "must be a whole number",
    "Not a valid boolean.": "must be true or false",
    "Not a valid date.": "must be a date such as 2009-08-06",
    "Not a valid list.": "must be a list: each entry in its own line after a hyphen, or all in [ ]",
    "Not a valid mapping type.": "must be a group of keys, indented below it",
    "Invalid input type.": "must be a group of keys, indented below it",
    "Shorter than minimum length 1.": "is empty",
}


def load_mapping(path: Path) -> Mapping:
    """The mapping in the file `path`; its source is the file's stem. Raises MappingError with all its mistakes.

    An example (`*.example.yaml`) may be loaded by its own path, so that it can be checked before it is copied.
    """
    document = read_document(path)
    if not document.data or _is_procedure(document):
        raise MappingError(_in_order(document.mistakes))
    source = _source_name(document)
    data = _validated(document, MappingSchema())
    procedure = _procedure_of(document)
    if procedure is not None:
        _check_centers(document, data, procedure)
    if document.mistakes or procedure is None:
        raise MappingError(_in_order(document.mistakes))
    return _mapping(source, path, data, procedure)


def load_mappings(path: Path) -> tuple[list[Mapping], list[Mistake]]:
    """The mappings of a file or of a folder (its `*.yaml`, never `*.example.yaml`), and the mistakes of the others.

    No mapping at all is a mistake too.
    """
    if not path.is_dir():
        paths = [path]
    else:
        try:
            listed = sorted(path.iterdir())
        except OSError as error:
            return [], [Mistake(str(path), 1, "(folder)", f"cannot be read: {error.strerror}")]
        paths = [each for each in listed if each.name.endswith(".yaml") and not each.name.endswith(EXAMPLE_SUFFIX)]
    if path.name.endswith(EXAMPLE_SUFFIX):
        copy = path.name.removesuffix(EXAMPLE_SUFFIX) + ".yaml"
        return [], [Mistake(str(path), 1, "(file)", f"is an example, which is never run; copy it to {copy}")]
    if not paths:
        other = next((each for each in listed if each.suffix == ".yml"), None)
        hint = f"{other.name} is not read: rename it to {other.stem}.yaml" if other else _COPY
        message = f"has no mapping; {hint}"
        return [], [Mistake(str(path), 1, "(folder)", message)]
    mappings: list[Mapping] = []
    mistakes: list[Mistake] = []
    for file in paths:
        try:
            mappings.append(load_mapping(file))
        except MappingError as error:
            mistakes += error.mistakes
    return mappings, mistakes


def load_procedure(name_or_path: str, base: Path) -> Procedure:
    """A procedure: one that comes with the connector, or a file found from the folder `base`. Raises MappingError."""
    procedure, mistakes = _load_procedure(name_or_path, base)
    if procedure is None:
        raise MappingError(_in_order(mistakes))
    return procedure


def _source_name(document: Document) -> str:
    stem = re.sub(r"(\.example)?\.ya?ml$", "", document.path.name)
    if not _SOURCE_NAME.fullmatch(stem):
        document.add((), "the file's name is the source's name: small letters, digits, - and _, as in jira-cloud.yaml")
    return stem


def _is_procedure(document: Document) -> bool:
    """Whether the file is an office's procedure that lies among the mappings; told as its one mistake."""
    if "tracker" in document.data or not document.data.keys() & {"extends", "service_centers", "waits"}:
        return False
    document.mistakes.clear()
    document.add((), "is a procedure, not a mapping; keep it in a folder of its own, and name it in a mapping")
    return True


def _is_mapping(document: Document) -> bool:
    """Whether a file that is named as a procedure is a mapping, perhaps the one that names it."""
    return "tracker" in document.data and not document.data.keys() & {"extends", "service_centers", "waits"}


def _in_order(mistakes: abc.Iterable[Mistake]) -> list[Mistake]:
    """Each once, by line; the files in the order in which they came up, which is the mapping's first."""
    distinct = list(dict.fromkeys(mistakes))
    order = list(dict.fromkeys(mistake.file for mistake in distinct))
    return sorted(distinct, key=lambda mistake: (order.index(mistake.file), mistake.line, mistake.path))


def _validated(document: Document, schema: Schema) -> dict[str, Any]:
    """What the schema makes of the document; parts that it refuses are absent, and told as mistakes."""
    try:
        return dict(schema.load(document.data))
    except ValidationError as error:
        _tell(document, error, schema)
        return dict(error.valid_data)  # type: ignore[arg-type]  # a dict, where the schema is for one object


# --- marshmallow's errors ---------------------------------------------------------------------------------------------


def _tell(document: Document, error: ValidationError, schema: Schema) -> None:
    """Add the schema's errors to the document's mistakes, except where its YAML could not be read anyway."""
    unreadable = {mistake.path for mistake in document.mistakes}
    for path, message in _flattened(error.messages, schema, ()):
        if ".".join(path) not in unreadable:
            document.add(path, message)


def _flattened(errors: Any, shape: Any, path: KeyPath) -> abc.Iterator[tuple[KeyPath, str]]:
    """marshmallow's nested errors as (path, message). `shape` is the schema or field that `errors` is about."""
    if isinstance(errors, dict):
        for key, inner in errors.items():
            if key == "_schema":
                yield from _flattened(inner, None, path)
            elif inner == [_UNKNOWN]:
                yield (*path, str(key)), _unknown_key(str(key), _known_keys(shape))
            elif isinstance(shape, fields.Dict):  # a Dict tells the faults of a key and of its value apart
                yield from _flattened(inner.get("key", []), None, (*path, str(key)))
                yield from _flattened(inner.get("value", []), shape.value_field, (*path, str(key)))
            else:
                yield from _flattened(inner, _inside(shape, key), (*path, str(key)))
    else:
        for message in errors:
            plain = _PLAIN_MESSAGES.get(message, message).removesuffix(".")
            yield path, re.sub("^Must be", "must be", plain)


def _schema_fields(shape: Any) -> dict[str, Any]:
    """The fields of a schema, or of a field that nests one, by the key that stands in the file."""
    schema = shape.schema if isinstance(shape, fields.Nested) else shape
    if not isinstance(schema, Schema):
        return {}
    return {inner.data_key or name: inner for name, inner in schema.fields.items()}


def _inside(shape: Any, key: Any) -> Any:
    return shape.inner if isinstance(shape, fields.List) else _schema_fields(shape).get(key)


def _known_keys(shape: Any) -> list[str]:
    if isinstance(shape, FactField):
        return list(shape.keys)
    return list(_schema_fields(shape))


def _unknown_key(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.6)
    if near:
        return f"is not known here; did you mean {near[0]}?"
    return f"is not known here; known are: {', '.join(known)}"


# --- the procedure ----------------------------------------------------------------------------------------------------


def _procedure_of(document: Document) -> Procedure | None:
    """The procedure that the mapping names, with its mistakes added to the mapping's; None if there are any."""
    name = document.data.get("procedure", SHIPPED[0])
    if not isinstance(name, str) or any(mistake.path == "procedure" for mistake in document.mistakes):
        return None
    name = " ".join(name.split())
    if name not in SHIPPED and not _is_there(document.path.parent / name):
        document.add(("procedure",), f'there is no file "{name}", seen from the folder of this one')
        return None
    if (document.path.parent / name).resolve() == document.path.resolve():
        document.add(("procedure",), "is this file itself; a procedure of your own is another file")
        return None
    procedure, mistakes = _load_procedure(name, document.path.parent)
    document.mistakes += mistakes
    return procedure


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return True  # but it cannot be looked at: reading it says why


def _load_procedure(name_or_path: str, base: Path) -> tuple[Procedure | None, list[Mistake]]:
    if name_or_path in SHIPPED:
        document = _shipped(name_or_path)
    else:
        document = read_document(base / name_or_path)
        if _is_mapping(document):
            document.mistakes.clear()
            document.add((), "is a mapping, not a procedure")
            return None, document.mistakes
        if "extends" in document.data:
            _extend(document)
    if not document.data:
        return None, document.mistakes
    procedure: Procedure | None = None
    try:
        procedure = ProcedureSchema().load(document.data)
    except ValidationError as error:
        _tell(document, error, ProcedureSchema())
    _check_wording(document)
    return (None if document.mistakes else procedure), document.mistakes


def _check_wording(document: Document) -> None:
    """Try the templates, also of a procedure with other mistakes; each fault at the line of its template."""
    written = document.data.get("wording")
    templates = written.items() if isinstance(written, dict) else ()
    usable = {name: text for name, text in templates if name in TEMPLATES and isinstance(text, str) and text}
    for name, line, message in wording.check(usable):
        mark = document.marks.get(("wording", name))
        last = usable[name].rstrip().count("\n") + 1  # what is missing at the end is told of a line after it
        document.add(("wording", name), message, mark.line_within(min(line, last)) if mark else None)


def _shipped(name: str) -> Document:
    with as_file(files("connector.inquiry").joinpath("procedures", f"{name}.yaml")) as path:
        return read_document(path)


def _extend(document: Document) -> None:
    """Put the office's parts over those of the procedure that it extends; a mistake in the rest points at `extends`."""
    name = document.data.pop("extends")
    if name not in SHIPPED:
        near = difflib.get_close_matches(str(name), SHIPPED, n=1)
        hint = f"did you mean {near[0]}?" if near else f"write {SHIPPED[0]}"
        document.add(("extends",), f"is not a procedure that comes with the connector; {hint}")
        document.data = {}
        return
    document.default_mark = document.marks[("extends",)]
    document.data = _merged(_shipped(name).data, document.data)


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`own` over `base`: groups of keys are merged, everything else (lists too) is replaced."""
    result = dict(base)
    for key, value in own.items():
        below = result.get(key)
        result[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


# --- the Mapping ------------------------------------------------------------------------------------------------------


def _check_centers(document: Document, data: dict[str, Any], procedure: Procedure) -> None:
    """The office's own values of the Service Center must name centres of its procedure."""
    entry = document.data.get("fields")
    written = entry.get("service_center") if isinstance(entry, dict) else None
    if "service_center" not in (data.get("fields_") or {}) or not isinstance(written, dict):
        return
    names = ", ".join(procedure.service_centers)
    for own, ours in (written.get("values") or {}).items():
        if ours and procedure.center_named(ours) is None:
            path = ("fields", "service_center", "values", own)
            document.add(path, f'"{ours}" is not a Service Center of the procedure; write one of: {names}')


def _mapping(source: str, path: Path, data: dict[str, Any], procedure: Procedure) -> Mapping:
    office = Office(data["office"]["time_zone"], data["office"]["act_at"])
    statuses: dict[str, str] = data["statuses"] or {}
    facts: dict[str, FieldRef] = data["fields_"]
    tracker = data["tracker"]
    parts: dict[str, Any] = {
        "scope": data["scope"],
        "procedure": procedure.for_source(office, statuses),
        "comments": data["comments"],
        "fields": MappingProxyType(facts),
        "statuses": MappingProxyType(statuses),
        "records": MappingProxyType(data["records"] or {}),
        "dry_run": data["dry_run"],
    }
    secrets: list[Secret] = data["tracker"]["webhook_secrets"] or []
    return Mapping(
        source=source,
        path=path,
        tracker=TrackerSettings(
            kind=tracker["kind"],
            url=tracker["url"],
            user=tracker["user"],
            token=tracker["token"].under(path.parent),
            webhook_secrets=tuple(secret.under(path.parent) for secret in secrets),
            concurrency=tracker["concurrency"],
            calls_per_second=tracker["calls_per_second"],
        ),
        max_comments_per_hour=data["max_comments_per_hour"],
        config_hash=_hash({"kind": tracker["kind"], "url": tracker["url"], **parts}),
        **parts,
    )


def _hash(parts: abc.Mapping[str, Any]) -> str:
    """16 hexadecimal digits that differ when anything that can change a decision differs. No secret goes into it."""
    return hashlib.sha256(json.dumps(_canonical(parts), sort_keys=True).encode()).hexdigest()[:16]


def _canonical(value: Any) -> Any:
    """`value` as JSON that does not depend on the order of sets and keys."""
    if is_dataclass(value):
        return {part.name: _canonical(getattr(value, part.name)) for part in dataclass_fields(value) if part.compare}
    if isinstance(value, abc.Mapping):
        return {key: _canonical(inner) for key, inner in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [_canonical(inner) for inner in value]
    if isinstance(value, ZoneInfo):
        return value.key
    return value.isoformat() if isinstance(value, date | time) else value
