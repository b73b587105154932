"""What Zammad stores of an HTML body. Facts: zammad 2.5, whose table was made by running Zammad's own sanitiser."""

import html
import re
from html.parser import HTMLParser

_KEPT = {
    "a", "abbr", "b", "blockquote", "br", "code", "dd", "del", "details", "div", "dl", "dt", "em", "h1", "h2", "h3",
    "h4", "h5", "h6", "hr", "i", "ins", "li", "ol", "p", "pre", "q", "s", "small", "span", "strike", "strong", "sub",
    "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "u", "ul",
}  # fmt: skip
_VOID = {"br", "hr"}
_GONE_WITH_CONTENT = {"script", "style"}
_TABLE = {"table", "tbody", "thead", "tfoot", "tr", "td", "th"}
_ANYWHERE = {"title", "lang", "translate", "dir", "data-signature", "data-signature-id"}
_OF_TAG = {
    "a": {"href"},
    "time": {"datetime"},
    "ins": {"cite", "datetime"},
    "li": {"value"},
    "table": {"style"},
    "td": {"style"},
}
_CLASSES = {"js-signatureMarker", "yahoo_quoted"}
_URL = re.compile(r"https?://[^\s<>\"']+")


class _Sanitizer(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self._dropping = 0
        self._links: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _GONE_WITH_CONTENT:
            self._dropping += 1
        if self._dropping or tag not in _KEPT:
            return
        kept = {name: value or "" for name, value in attrs if self._keeps(tag, name, value or "")}
        if tag == "a":
            self._links.append("href" in kept)
            if "href" not in kept:
                return
            kept |= {"rel": "nofollow noreferrer noopener", "target": "_blank", "title": kept["href"]}
        written = "".join(f' {name}="{html.escape(value)}"' for name, value in kept.items())
        self.out.append(f"<{tag}{written}>" + ("\n" if tag in _TABLE else ""))

    @staticmethod
    def _keeps(tag: str, name: str, value: str) -> bool:
        if name == "class":
            return value in _CLASSES
        return name in _ANYWHERE or name in _OF_TAG.get(tag, ())

    def handle_endtag(self, tag: str) -> None:
        if tag in _GONE_WITH_CONTENT:
            self._dropping = max(0, self._dropping - 1)
            return
        if self._dropping or tag not in _KEPT or tag in _VOID:
            return
        if tag == "a" and not (self._links.pop() if self._links else False):
            return
        self.out.append(f"</{tag}>" + ("\n" if tag in _TABLE else ""))

    def handle_data(self, data: str) -> None:
        if self._dropping:
            return
        if self._links and self._links[-1]:
            self.out.append(html.escape(data, quote=False))
            return
        at = 0
        for found in _URL.finditer(data):
            self.out.append(html.escape(data[at : found.start()], quote=False))
            url = html.escape(found[0])
            rel = 'rel="nofollow noreferrer noopener" target="_blank"'
            self.out.append(f'<a href="{url}" title="{url}" {rel}>{url}</a>')
            at = found.end()
        self.out.append(html.escape(data[at:], quote=False))


def sanitized(body: str) -> str:
    """The body as it is stored; never byte for byte what was sent, if there is a link or a quote in it."""
    parser = _Sanitizer()
    parser.feed(body)
    parser.close()
    return "".join(parser.out)
