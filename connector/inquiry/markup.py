"""Comments from one source: Markdown in, each tracker's own markup out, and the refs found in it again.

Only bold, links, lists and fenced blocks are understood; everything else is plain text. A line break in the source is
a line break in the comment. Text that came from a ticket is escaped by `literal` before it enters the source, and once
more by each renderer, so nothing that staff or an applicant typed can become markup.
"""

import html
import re
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Literal
from urllib.parse import quote

from markdown_it import MarkdownIt
from markdown_it.token import Token

Markup = Literal["wiki", "html", "text"]

SIGNATURE = "Inquiry connector"
_REF_LINE = re.compile(rf"{SIGNATURE}, [^\n<]{{0,80}}?\bref ((?:[0-9a-f]{{8}}\s?)+)")
# A link as mailto() writes it: there is nothing to normalize in it, which takes long for a whole letter.
_LETTER_LINK = re.compile(r"mailto:[\w.+-]{1,64}@[\w.-]{1,63}\?(?:subject=|&body=|[\w.~-]|%[0-9A-F]{2})*", re.ASCII)
_INVISIBLE_SPACE = "\u200b"
_ASCII_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
# Control characters and lone surrogates, which trackers refuse, and marks that reorder the rest of a line.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


class _Markdown(MarkdownIt):
    def normalizeLink(self, url: str) -> str:  # noqa: N802  markdown-it's name
        return url if _LETTER_LINK.fullmatch(url) else super().normalizeLink(url)


_PARSER = _Markdown("zero").enable(["emphasis", "link", "fence", "list", "escape", "newline"])


class Trusted(str):
    """Markdown made by the connector itself; `literal` leaves it as it is."""

    __slots__ = ()


def literal(value: object) -> str:
    """The value as Markdown that shows exactly its text, on one line."""
    return value if isinstance(value, Trusted) else _ASCII_PUNCTUATION.sub(r"\\\1", one_line(value))


def one_line(value: object) -> str:
    """The value's text on one line, without characters that show nothing and change what is around them."""
    return " ".join(_UNSHOWN.sub(" ", str(value)).split())


def block(text: str) -> Trusted:
    """A fenced block that shows `text` letter by letter, whatever backticks are in it.

    It begins and ends on lines of its own wherever a template puts it; else its text would be read as markup.
    """
    runs = re.findall(r"`+", text)
    fence = "`" * max(3, 1 + max(map(len, runs), default=0))
    return Trusted(f"\n{fence}\n{text.rstrip()}\n{fence}\n")


def mailto(address: str, subject: str, body: str) -> Trusted:
    """A link that opens the letter in a mail program (RFC 6068: CRLF line breaks, everything percent-encoded)."""
    lines = body.rstrip().replace("\n", "\r\n")
    return Trusted(f"mailto:{quote(address, safe='@+')}?subject={quote(subject, safe='')}&body={quote(lines, safe='')}")


def ref_line(step: int, refs: tuple[str, ...]) -> str:
    """The last line of every comment. People can read it and `find_refs` finds it again."""
    return f"{SIGNATURE}, Step {step}, ref {' '.join(refs)}"


def find_refs(text: str) -> frozenset[str]:
    """All refs in a comment's text, whatever markup surrounds them."""
    return frozenset(ref for found in _REF_LINE.finditer(text) for ref in found[1].split())


def render(markdown: str, markup: Markup) -> str:
    """The comment in a tracker's own markup: Jira wiki text, HTML (Zammad, Request Tracker), or plain text."""
    writer = _WRITERS[markup]
    return "".join(_blocks(_PARSER.parse(markdown), writer)).strip("\n")


class _Wiki:
    """Jira wiki text (REST v2 bodies, facts: jira 2). Escapes with a backslash what the renderer would act on.

    Jira takes a backslash as an escape only before -#*_+?^~|%{}[]()!@ and only if no backslash stands before it,
    and two backslashes as a line break. Where that does not help, an invisible space keeps two characters apart.
    """

    bold = ("*", "*")
    lists = MappingProxyType({"ul": ("", "* {text}\n", "\n"), "ol": ("", "# {text}\n", "\n")})
    paragraph = "{text}\n\n"
    line_break = "\n"
    _escaped = re.compile(
        r"(?m)[{}\[\]|*]"  # markup wherever they stand
        r"|(?<!\w)[_+^~!-](?=\S)|(?<=\S)[_+^~](?!\w)(?=.)|\?(?=\?)"  # at the edge of a word
        r"|(?:(?<=^)|(?<=^ ))[#-](?=\s)"  # at the start of a line
        r"|\((?=(?:[yni/x!+?-]|on|off|flag|flagoff|\*[rgby]?)\))|(?<=[:;])[()]|(?<=[:;]-)[()]"  # (x) and :-)
    )
    _kept_apart = re.compile(r"(?m)(\\)|^(\s*)(?=(?:h[1-6]|bq)\.)")

    def text(self, text: str) -> str:
        apart = self._kept_apart.sub(lambda m: f"{m[0]}{_INVISIBLE_SPACE}", text)
        return self._escaped.sub(r"\\\g<0>", apart)

    def fence(self, text: str) -> str:
        shown = re.sub(r"\{(?=noformat)", "{ ", text, flags=re.IGNORECASE)
        return "{noformat}\n" + shown + "{noformat}\n\n"

    def link(self, text: str, url: str) -> str:
        return f"[{text}|{quote(url, safe=_URL_SAFE)}]"


class _Html:
    """HTML for Zammad and Request Tracker: few elements, no attributes but href."""

    bold = ("<strong>", "</strong>")
    lists = MappingProxyType(
        {"ul": ("<ul>\n", "<li>{text}</li>\n", "</ul>\n"), "ol": ("<ol>\n", "<li>{text}</li>\n", "</ol>\n")}
    )
    paragraph = "<p>{text}</p>\n"
    line_break = "<br>\n"

    def text(self, text: str) -> str:
        return html.escape(text)

    def fence(self, text: str) -> str:
        return f"<pre>{html.escape(text)}</pre>\n"

    def link(self, text: str, url: str) -> str:
        return f'<a href="{html.escape(quote(url, safe=_URL_SAFE))}">{text}</a>'


class _Text:
    """Plain text, for trackers without markup and for the terminal."""

    bold = ("", "")
    lists = MappingProxyType({"ul": ("", "- {text}\n", "\n"), "ol": ("", "{number}. {text}\n", "\n")})
    paragraph = "{text}\n\n"
    line_break = "\n"

    def text(self, text: str) -> str:
        return text

    def fence(self, text: str) -> str:
        return "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines()) + "\n"

    def link(self, text: str, url: str) -> str:
        return f"{text}: {url}"


# What may stand unencoded in a link's target; the rest, such as | and ], would end the link.
_URL_SAFE = ":/?#@!$&'()+,;=%~-._"
_Writer = _Wiki | _Html | _Text
_WRITERS: dict[Markup, _Writer] = {"wiki": _Wiki(), "html": _Html(), "text": _Text()}


def _blocks(tokens: list[Token], writer: _Writer) -> Iterator[str]:
    items: list[tuple[str, str]] = []  # the shape and the number of each list item around
    shape = ""
    for token in tokens:
        if token.type.endswith("_list_open"):
            opening, shape, _ = writer.lists[token.tag]
            yield opening
        elif token.type.endswith("_list_close"):
            yield writer.lists[token.tag][2]
        elif token.type == "list_item_open":
            items.append((shape, token.info))
        elif token.type == "list_item_close":
            items.pop()
        elif token.type == "fence":
            yield writer.fence(token.content)
        elif token.type == "inline":
            item, number = items[-1] if items else (writer.paragraph, "")
            yield item.format(text=_inline(token.children or [], writer), number=number)


def _inline(tokens: list[Token], writer: _Writer) -> str:
    pieces: list[str] = []
    links: list[tuple[str, int]] = []
    plain: list[str] = []

    def flush() -> None:
        # Neighbouring text tokens are escaped as one, so that the edges of words are where a reader sees them.
        if plain:
            pieces.append(writer.text("".join(plain)))
            plain.clear()

    actions: dict[str, Callable[[], str]] = {
        "strong_open": lambda: writer.bold[0],
        "strong_close": lambda: writer.bold[1],
        "softbreak": lambda: writer.line_break,
        "hardbreak": lambda: writer.line_break,
    }
    for token in tokens:
        if token.type in {"text", "text_special"}:
            plain.append(token.content)
            continue
        flush()
        if token.type == "link_open":
            links.append((str(token.attrGet("href") or ""), len(pieces)))
        elif token.type == "link_close":
            url, start = links.pop()
            pieces[start:] = [writer.link("".join(pieces[start:]), url)]
        elif token.type in actions:
            pieces.append(actions[token.type]())
    flush()
    return "".join(pieces)
