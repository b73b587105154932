"""Jira's wiki markup as HTML, the part that comments use. Everything is escaped; only http, https and mailto link.

Notation: Jira's "Text formatting notation help": *strong*, _emphasis_, {{monospace}}, [text|link], bare links, h1. to
h6., bullets, numbered lists, {noformat}, {quote}, ----, backslash escapes, two backslashes for a line break.
"""

import re
from collections.abc import Callable
from html import unescape
from itertools import groupby

from markupsafe import Markup, escape

_BLOCK = re.compile(r"\{(noformat|code|quote)(?::[^}\n]*)?\}\n?(.*?)\{\1\}", re.DOTALL)
_LINE = re.compile(r"(?P<hr>-{4,})|(?P<heading>h[1-6]\.\s+.+)|(?P<ul>(?:\*+|-)\s+.+)|(?P<ol>#+\s+.+)")
_LINK = re.compile(r"(?:https?://|mailto:)[^\s<>\"\x00-\x1f]+", re.IGNORECASE)
_INLINE = re.compile(
    r"""(?P<break>\\\\)
      | \\(?P<escaped>[!-/:-@\[-`{-~])
      | (?P<entity>&(?:\#\d+|\#x[0-9a-f]+|[a-z]+);)
      | \{\{(?P<mono>[^\n{}]+)\}\}
      | \[(?P<label>(?:\\.|[^\[\]|\n\\])*)\|(?P<target>[^\]|\s]+)\]
      | \[(?P<bare_target>(?:https?://|mailto:)[^\]|\s]+)\]
      | (?P<url>(?:https?://|mailto:)[^\s|\]\[<>"]*[^\s|\]\[<>".,;:!?)])
      | (?<![\w*\\])\*(?=\S)(?P<strong>(?:\\.|[^*\n\\])+?)(?<=\S)\*(?![\w*])
      | (?<![\w_\\])_(?=\S)(?P<em>(?:\\.|[^_\n\\])+?)(?<=\S)_(?![\w_])
    """,
    re.VERBOSE | re.IGNORECASE,
)


def render(text: str) -> Markup:
    """The text of a comment as safe HTML."""
    text = text.replace("\r\n", "\n")
    parts = []
    place = 0
    for block in _BLOCK.finditer(text):
        parts.append(_paragraphs(text[place : block.start()]))
        if block[1] == "quote":
            parts.append(_element("blockquote", _paragraphs(block[2])))
        else:
            parts.append(_element("pre", escape(block[2].rstrip("\n"))))
        place = block.end()
    parts.append(_paragraphs(text[place:]))
    return Markup("").join(parts)


def _paragraphs(text: str) -> Markup:
    """Lines into paragraphs, headings, rules and lists: neighbours of one kind belong together."""
    parts = []
    for kind, group in groupby(text.split("\n"), key=_kind):
        lines = [line.strip() for line in group]
        if kind == "p":
            parts.append(_element("p", Markup("<br>").join(_inline(line) for line in lines)))
        elif kind in {"ul", "ol"}:
            items = [_inline(line.split(maxsplit=1)[1]) for line in lines]
            parts.append(_element(kind, Markup("").join(_element("li", item) for item in items)))
        elif kind == "heading":
            parts += [_element(f"h{min(int(line[1]) + 2, 6)}", _inline(line[3:].strip())) for line in lines]
        elif kind == "hr":
            parts.append(Markup("<hr>"))
    return Markup("").join(parts)


def _kind(line: str) -> str:
    match = _LINE.fullmatch(line.strip())
    return str(match.lastgroup) if match else "p" if line.strip() else ""


def _element(name: str, content: Markup) -> Markup:
    return Markup("<{0}>{1}</{0}>").format(name, content)


def _inline(text: str) -> Markup:
    parts = []
    place = 0
    for match in _INLINE.finditer(text):
        parts.append(escape(text[place : match.start()]))
        parts.append(_HANDLERS[str(match.lastgroup)](match))
        place = match.end()
    parts.append(escape(text[place:]))
    return Markup("").join(parts)


def _link(target: str, label: Markup, written: str) -> Markup:
    if not _LINK.fullmatch(target):
        return escape(written)
    return Markup('<a href="{}" rel="noopener noreferrer">{}</a>').format(target, label)


def _shown(target: str) -> Markup:
    """A bare link says its address; a mail address without the scheme and the prepared letter."""
    return escape(target.partition("?")[0].removeprefix("mailto:") if target.startswith("mailto:") else target)


_HANDLERS: dict[str, Callable[["re.Match[str]"], Markup]] = {
    "break": lambda _: Markup("<br>"),
    "escaped": lambda m: escape(m["escaped"]),
    "entity": lambda m: escape(unescape(m["entity"])),
    "mono": lambda m: Markup("<code>{}</code>").format(m["mono"]),
    "target": lambda m: _link(m["target"], _inline(m["label"]), m[0]),
    "bare_target": lambda m: _link(m["bare_target"], _shown(m["bare_target"]), m[0]),
    "url": lambda m: _link(m["url"], _shown(m["url"]), m[0]),
    "strong": lambda m: Markup("<strong>{}</strong>").format(_inline(m["strong"])),
    "em": lambda m: Markup("<em>{}</em>").format(_inline(m["em"])),
}
