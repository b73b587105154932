"""A YAML file as plain data, with the line of every part of it.

PyYAML's composer gives nodes with positions; this module turns them into dicts, lists and scalars itself, so that a
mistake found later can be told with its line. Only plain YAML is understood: no tags, no duplicate keys, text keys.
"""

from collections import abc
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

KeyPath = tuple[str, ...]  # where in a document: ("fields", "receipt_number")

MAX_BYTES = 256 * 1024
MAX_NODES = 10_000  # after aliases are followed: a few lines of nested aliases can mean millions of values
MAX_DEPTH = 40
MAX_SHOWN = 200  # characters of a path; a key can be of any length
WHOLE_FILE = "(file)"  # the path of a mistake that concerns no single key

_PREFIX = "tag:yaml.org,2002:"
# Dates stay text: the schemas read them, and say what is wrong with them.
_AS_WRITTEN = {_PREFIX + "str", _PREFIX + "timestamp"}
_SCALARS = {_PREFIX + name for name in ("null", "bool", "int", "float")}
_MERGE = _PREFIX + "merge"
_SIGNS = {_MERGE, _PREFIX + "value"}  # << and = without anything else


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a file, for the admin who wrote it. `line` counts from 1, `path` is dotted."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.path}: {self.message}"


class MappingError(Exception):
    """A mapping, or its procedure, has mistakes: all of them are in `mistakes`, in the order of the files' lines."""

    def __init__(self, mistakes: abc.Iterable[Mistake]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


@dataclass(frozen=True, slots=True)
class Mark:
    """Where an entry stands: the line of its key, the line its value begins, and whether that value is a `|` block."""

    line: int
    value_line: int
    is_block: bool

    def line_within(self, line: int) -> int:
        """The file's line of the value's own line `line` (from 1); only a `|` block keeps its lines apart."""
        return self.value_line + line if self.is_block else self.value_line


@dataclass(slots=True)
class Document:
    """A file's data, its marks by path, and the mistakes found in its YAML."""

    path: Path
    data: dict[str, Any] = field(default_factory=dict)
    marks: dict[KeyPath, Mark] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    default_mark: Mark | None = None  # for what the file itself does not have

    def mark(self, path: KeyPath) -> Mark | None:
        """The mark of the nearest part of `path` that the file has, or else the default."""
        while path:
            if path in self.marks:
                return self.marks[path]
            path = path[:-1]
        return self.default_mark

    def add(self, path: KeyPath, message: str, line: int | None = None) -> None:
        """Note a mistake at `line`, or else at the line of `path`."""
        mark = self.mark(path)
        at = line or (mark.line if mark else 1)
        dotted = "".join(character for character in ".".join(path) if character.isprintable())
        self.mistakes.append(Mistake(str(self.path), at, dotted[:MAX_SHOWN] or WHOLE_FILE, message))


def read_document(path: Path) -> Document:
    """Read a YAML file whose top level is a mapping. Never raises: what is wrong with it is in `mistakes`."""
    document = Document(path)
    text = _read_text(document)
    if text is None:
        return document
    try:
        _compose(document, text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        document.add((), "a character here does not belong in a text file; delete the line and type it again", line)
    except yaml.MarkedYAMLError as error:
        opened = _opened(error)
        mark = error.context_mark if opened else error.problem_mark
        line = mark.line + 1 if mark else 1
        document.add((), opened or _syntax_message(error, text, line), line)
    except _TooMuchError as error:
        document.data = {}
        document.add((), str(error), error.line)
    except RecursionError:  # in the parser, before a node could be counted
        document.add((), _TOO_DEEP)
    return document


def _read_text(document: Document) -> str | None:
    try:
        if document.path.is_fifo() or document.path.is_char_device() or document.path.is_socket():
            document.add((), "is not an ordinary file")  # opening it could wait for ever
            return None
        with document.path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        document.add((), "there is no such file")
        return None
    except OSError as error:
        document.add((), f"cannot be read: {error.strerror}")
        return None
    if len(raw) > MAX_BYTES:
        document.add((), f"is larger than {MAX_BYTES // 1024} KB, too large for a file of this kind")
        return None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        document.add((), "is not UTF-8 text from this line on; save the file with the encoding UTF-8", line)
        return None


def _opened(error: yaml.MarkedYAMLError) -> str | None:
    """What was opened and not closed, if that is the fault: then its beginning is the line to look at."""
    context = error.context or ""
    if "quoted scalar" in context and "escape" not in (error.problem or ""):
        return "a quotation mark opens here and is not closed"
    if "flow mapping" in context or "flow sequence" in context:
        return "a bracket opens here, and what follows it is not closed or not separated by commas"
    return None


_ESCAPE = (
    "a backslash between double quotes has a meaning of its own here: write single quotes around the text, or in a "
    "path / instead"
)
_TAB = "a tab is used to indent this line; use spaces"
# What the parser complains of, and the same in words for an admin; the first that fits.
_COMPLAINTS = {
    "'\\t'": "a tab stands in this line; use spaces",
    "escape": _ESCAPE,
    "second occurrence": "this anchor (&name) is there already; give each a name of its own",
    "undefined alias": "an alias (*name) has no anchor (&name) before it; text that begins with * needs quotes",
    "mapping values are not allowed": (
        "YAML cannot read this: check the indentation; a text with a colon in it needs quotes"
    ),
    "cannot start any token": "YAML cannot read this: a text that begins with @, ` or % needs quotes",
}


def _syntax_message(error: yaml.MarkedYAMLError, text: str, line: int) -> str:
    """The parser's complaint in words for an admin. It quotes no value of the file: one may be a secret."""
    lines = text.splitlines()
    written = lines[line - 1] if line <= len(lines) else ""
    if "\t" in written[: len(written) - len(written.lstrip())]:
        return _TAB
    if "expected a single document" in (error.context or ""):
        return "a second document begins here (---); one file holds one document"
    problem = error.problem or error.context or ""
    other = "YAML cannot read this; look here and one line above for indentation, quotes, brackets and colons"
    return next((told for complaint, told in _COMPLAINTS.items() if complaint in problem), other)


def _compose(document: Document, text: str) -> None:
    loader = yaml.SafeLoader(text)
    try:
        root = _root(loader, document)
        if root is not None and not isinstance(root, yaml.MappingNode):
            document.add(
                (),
                "must be keys with their values; each key stands at the beginning of a line, with a colon after it",
                _line(root),
            )
            return
        document.data = _Builder(loader, document).mapping(root, ()) if root else {}
        if not document.data and not document.mistakes:
            document.add((), "is empty")
    finally:
        loader.dispose()


def _root(loader: yaml.SafeLoader, document: Document) -> yaml.Node | None:
    try:
        return loader.get_single_node()
    except (ValueError, OverflowError):  # an escape for a character that there is not, such as "\\U00110000"
        document.add((), _ESCAPE, int(loader.line) + 1)
        return None


_TOO_DEEP = f"is nested too deep; {MAX_DEPTH} levels are allowed"
_TOO_MANY = f"is too much: more than {MAX_NODES} values, and aliases (*name) count each time they are used"


class _TooMuchError(Exception):
    """The document means far more than it says, or is nested too deep."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class _Builder:
    """Turns nodes into plain data, noting marks and mistakes in the document."""

    def __init__(self, loader: yaml.SafeLoader, document: Document) -> None:
        self.loader = loader
        self.document = document
        self.nodes = 0
        self.merging = 0  # how many merge keys deep: an anchor can be merged into itself

    def _count(self, node: yaml.Node, path: KeyPath) -> None:
        self.nodes += 1
        if len(path) + self.merging > MAX_DEPTH:
            raise _TooMuchError(_TOO_DEEP, _line(node))
        if self.nodes > MAX_NODES:
            raise _TooMuchError(_TOO_MANY, _line(node))

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._count(node, path)
        if isinstance(node, yaml.MappingNode) and node.tag == _PREFIX + "map":
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _PREFIX + "seq":
            return self._sequence(node, path)
        if isinstance(node, yaml.ScalarNode):
            if node.tag in _AS_WRITTEN:
                return node.value
            if node.tag in _SCALARS:
                return self._scalar(node, path)
            if node.tag in _SIGNS:
                self.document.add(path, f"is only the sign {node.value}: a text must be put in quotes", _line(node))
                return None
        self.document.add(path, "has a YAML tag (a word that begins with !), which is not understood here", _line(node))
        return None

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        try:
            return self.loader.construct_object(node)
        except (ValueError, LookupError):  # such as "0b", a number of thousands of digits, or !!bool before a text
            what = "true or false" if node.tag == _PREFIX + "bool" else "a number that can be read"
            self.document.add(path, f"is not {what}; put text in quotes", _line(node))
            return None

    def _sequence(self, node: yaml.SequenceNode, path: KeyPath) -> list[Any]:
        items = []
        for index, item in enumerate(node.value):
            at = (*path, str(index))
            self._note(at, item, item)
            items.append(self.value(item, at))
        return items

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged |= self._merged(value_node, path)
        for key_node, value_node in node.value:
            key = None if key_node.tag == _MERGE else self._key(key_node, path)
            if key is None:
                continue
            at = (*path, key)
            if key in own:
                first = self.document.marks[at].line
                self.document.add(at, f"is written twice; the first is in line {first}", _line(key_node))
                continue
            self._note(at, key_node, value_node)
            own[key] = self.value(value_node, at)
        return merged | own

    def _merged(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        """What `<<` brings in; of several mappings the earlier wins, as YAML 1.1 says of its merge key."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self.document.add((*path, "<<"), "must name an anchor of a group of keys", _line(source))
                continue
            self.merging += 1
            merged = self.value(source, path) | merged
            self.merging -= 1
        return merged

    def _key(self, node: yaml.Node, path: KeyPath) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag in _AS_WRITTEN:
            return str(node.value)
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            written = node.value.strip() or "an empty key"
            self.document.add(
                (*path, written),
                f'write "{written}" in quotes: without them YAML does not read it as text',
                _line(node),
            )
            return None
        self.document.add(path, "a key must be a word", _line(node))
        return None

    def _note(self, at: KeyPath, key_node: yaml.Node, value_node: yaml.Node) -> None:
        is_block = isinstance(value_node, yaml.ScalarNode) and value_node.style == "|"
        self.document.marks[at] = Mark(_line(key_node), _line(value_node), is_block)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
