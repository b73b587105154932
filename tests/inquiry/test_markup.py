"""Nothing that staff or an applicant typed becomes markup, in any tracker's rendering; and refs are found again."""

import re
from html.parser import HTMLParser
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector.inquiry.acts import Act
from connector.inquiry.markup import Markup, block, find_refs, literal, mailto, one_line, ref_line, render
from tests.inquiry.builders import called, comments, look, moment, procedure, shown, utc

LAW = settings(deadline=None, derandomize=True, max_examples=150)
MARKUPS: tuple[Markup, ...] = ("wiki", "html", "text")

HOSTILE = [
    *("{noformat}", "{code:java}x{code}", "{color:red}x{color}", "{{mono}}", "{quote}", "{}{0}{text}"),
    *("*bold* **bold** ***x***", "_em_ __x__", "+ins+ -del- ^sup^ ~sub~ ??cite??", "a_b_c a*b*c a-b-c"),
    *("[link|http://example.org]", "[~admin] [~accountid:5f]", "[^file.txt] !image.png!", "(x) (!) (/) (on) (*r)"),
    *(":) ;-) :-(", "h1. Heading", "bq. quote", "# one", "- one", "* one", "|| head || cell |", "-- --- ----"),
    *("a\\b \\\\ \\* \\{ c:\\dir\\", "\\", "\\\\", "trailing\\"),
    *("<b>x</b> <script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&amp; &lt;b&gt; &#42;"),
    *("[a](http://b) ![a](b) <http://c>", "`code` ```fence```", "```\nfence\n```", "# heading\n## two", "> quote"),
    *("1. one\n2. two", "line\nbreak\r\nand\u2028another", "two  spaces\tand a tab", "%s %(x)s {{ x }} {% x %}"),
    *("\u202eright to left\u202c", "\x00\x07\x1b[31m", "\ud800 lone", "👩\u200d👩\u200d👧 é e\u0301 ñ 漢字"),
    *("x" * 5000, "'\"", ""),
]

hostile = st.one_of(
    st.sampled_from(HOSTILE),
    st.lists(
        st.sampled_from(["*", "_", "{", "}", "[", "]", "|", "\\", "-", "`", "<", "&", "!", " ", "\n", "a", "(x)"])
    ).map("".join),
    st.text(st.characters(), max_size=40),
)


class _Page(HTMLParser):
    """Reads HTML as a browser would: its text, its elements, its attributes."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.elements, self.attributes = "", list[str](), list[tuple[str, str | None]]()
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def wiki_text(source: str) -> str:
    """What Jira shows of wiki text that holds no markup: its escapes undone, as its renderer does it.

    A backslash escapes one of -#*_+?^~|%{}[]()!@ unless a backslash stands before it; two make a line break, which here
    would be a fault. Invisible spaces, which keep characters apart, do not show.
    """
    assert not re.search(r"(?<!\\)\\{2}", source), "a forced line break"
    return re.sub(r"(?<!\\)\\([-#*_+?^~|%{}\[\]()!@])", r"\1", source).replace("\u200b", "")


# What Jira's wiki renderer would act on, if no backslash stands before it.
_WIKI_MARKUP = re.compile(
    r"(?<!\\)[{}\[\]|*]"
    r"|(?<![\w\\])([_+^~!-])(?=\S)[^\n]*?(?<=\S)(?<!\\)\1(?!\w)"
    r"|(?<!\\)\?\?"
    r"|(?<!\\)\((?:[yni/x!+?-]|on|off)\)|[:;]-?[()]"
)
_WIKI_LINE_START = re.compile(r"(?m)^\s*(?:h[1-6]\.|bq\.|[#*-]+\s|----)")


def in_a_line(value: str) -> str:
    return f"Before {literal(value)} after"


# ---- Values in a comment


@LAW
@given(hostile)
def test_a_value_is_shown_as_it_is_in_wiki_text(value: str) -> None:
    shown = render(in_a_line(value), "wiki")
    assert not _WIKI_MARKUP.search(shown)
    assert wiki_text(shown) == f"Before {one_line(value)} after".replace("\u200b", "")


@LAW
@given(hostile)
def test_a_value_is_shown_as_it_is_in_html(value: str) -> None:
    page = _Page(render(in_a_line(value), "html"))
    assert (page.elements, page.attributes) == (["p"], [])
    assert page.text == f"Before {one_line(value)} after"


@LAW
@given(hostile)
def test_a_value_is_shown_as_it_is_in_plain_text(value: str) -> None:
    assert render(in_a_line(value), "text") == f"Before {one_line(value)} after"


@pytest.mark.parametrize("value", [text for text in HOSTILE if text.strip()])
@pytest.mark.parametrize(
    "place", ["{}", "**{}**", "- {}", "- {}\n- {}", "1. {}", "x\n{}\ny", '"{}"', "[{}](https://example.org)"]
)
def test_a_value_is_no_markup_wherever_it_stands(value: str, place: str) -> None:
    """The place's own markup is there with a harmless value, and nothing more is there with a hostile one."""
    written, harmless = place.replace("{}", literal(value)), place.replace("{}", "harmless")
    page, plain = _Page(render(written, "html")), _Page(render(harmless, "html"))
    assert (page.elements, page.attributes) == (plain.elements, plain.attributes)
    assert page.text == plain.text.replace("harmless", one_line(value))
    assert render(written, "text") == render(harmless, "text").replace("harmless", one_line(value))
    wiki = render(written, "wiki")
    pattern = re.escape(render(harmless, "wiki")).replace("harmless", "(.*)")
    found = re.fullmatch(pattern, wiki)
    assert found
    for part in found.groups():
        assert not _WIKI_MARKUP.search(part)
        assert wiki_text(part) == one_line(value)
    assert len(_WIKI_LINE_START.findall(wiki)) == len(_WIKI_LINE_START.findall(render(harmless, "wiki")))


@LAW
@given(st.text(st.characters(), max_size=80))
def test_one_line_keeps_what_can_be_seen(value: str) -> None:
    line = one_line(value)
    assert line == one_line(line)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\u202a-\u202e\u2066-\u2069]", line)
    line.encode()
    assert [c for c in value if c.isalnum()] == [c for c in line if c.isalnum()]


def test_emoji_and_joiners_stay_whole() -> None:
    assert one_line(" 👩‍👩‍👧 \n Zoë ") == "👩‍👩‍👧 Zoë"


# ---- Letters in a block


@LAW
@given(st.lists(hostile.map(one_line), max_size=6))
@example(["{noformat}", "{NoFormat} {noformat:title=x}"])
@example(["```", "````", "~~~"])
@example(["</pre><b>x</b>"])
def test_a_letter_stays_in_its_block(lines: list[str]) -> None:
    letter = "\n".join(["To: a@example.org", *lines, "Bye"])
    source = f"Before\n\n{block(letter)}\n\nAfter **bold**"
    page = _Page(render(source, "html"))
    assert page.elements == ["p", "pre", "p", "strong"]
    assert letter in page.text
    opening, inside, after = render(source, "wiki").split("{noformat}\n")
    assert opening == "Before\n\n"
    assert re.sub(r"(?i)\{ (?=noformat)", "{", inside).rstrip("\n") == re.sub(r"(?i)\{ (?=noformat)", "{", letter)
    assert "{noformat" not in inside.casefold()
    assert after == "\nAfter *bold*"
    text = render(source, "text")
    assert [line.removeprefix("    ") for line in text.split("\n")[2:-2]] == [
        line.rstrip() for line in letter.split("\n")
    ]


def test_hostile_facts_in_a_real_letter() -> None:
    nasty = "{noformat} *x* ``` </pre> [a|b] \\"
    ticket = called(ncsc_representative=nasty, service_request_number=None, no_service_request_reason=nasty, labels={})
    (letter,) = comments(look(ticket, utc("2026-04-01 09:00")))
    page = _Page(shown(letter, "html"))
    assert page.elements.count("pre") == page.elements.count("a") == page.elements.count("strong") == 1
    assert page.text.count(nasty) == 3  # once above the letter, twice in it
    assert shown(letter, "wiki").count("{noformat}") == 2


def test_a_fact_of_several_lines_adds_no_line_to_the_letter() -> None:
    ticket = called(ncsc_representative="Ms. Rivera\n\nBcc: x@example.org", service_request_number="SR1\r\nTo: y")
    text = shown(comments(look(ticket, utc("2026-04-01 09:00"), procedure(internal=False)))[0])
    assert "Eastern, Ms. Rivera Bcc: x@example.org\n    Service request: SR1 To: y\n" in text
    assert [line for line in text.splitlines() if line.strip().startswith(("To:", "Bcc:"))] == [
        "    To: csc-ncsc-followup@dhs.gov"
    ]


# ---- Links


@LAW
@given(hostile.map(one_line), st.lists(hostile.map(one_line), max_size=4))
@example("100% & more? #1 + (x) | [y]", ["a=b&c=d", "ü %41 %", "])|"])
def test_a_mailto_link_opens_the_very_letter(subject: str, lines: list[str]) -> None:
    body = "\n".join(["Dear all,", *lines, "Bye"])
    source = f"[Open the letter]({mailto('csc-ncsc-followup@dhs.gov', subject, body)})"
    page = _Page(render(source, "html"))
    ((name, href),) = page.attributes
    assert (page.elements, page.text.strip(), name) == (["p", "a"], "Open the letter", "href")
    wiki = re.fullmatch(r"\[Open the letter\|([^|\[\]{}\s]*)\]", render(source, "wiki"))
    assert wiki
    for link in (href or "", wiki[1], render(source, "text").removeprefix("Open the letter: ")):
        parts = urlsplit(link)
        assert (parts.scheme, unquote(parts.path), parts.fragment) == ("mailto", "csc-ncsc-followup@dhs.gov", "")
        mail = parse_qs(parts.query, keep_blank_values=True, strict_parsing=True)
        assert mail == {"subject": [subject], "body": [body.replace("\n", "\r\n")]}


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "vbscript:x"])
def test_a_link_that_runs_something_is_no_link(url: str) -> None:
    assert _Page(render(f"[x]({url})", "html")).elements == ["p"]


# ---- The little Markdown that templates use


def test_what_markdown_becomes() -> None:
    source = (
        "**Do this**\nthen [that](https://example.org/a_b?c=d&e)\n\n"
        "- one\n- **two**\n\n1. first\n2. second\n\n# no *heading*"
    )
    assert render(source, "wiki") == (
        "*Do this*\nthen [that|https://example.org/a_b?c=d&e]\n\n* one\n* *two*\n\n# first\n# second\n\n\\# no heading"
    )
    assert render(source, "html") == (
        "<p><strong>Do this</strong><br>\n"
        'then <a href="https://example.org/a_b?c=d&amp;e">that</a></p>\n'
        "<ul>\n<li>one</li>\n<li><strong>two</strong></li>\n</ul>\n"
        "<ol>\n<li>first</li>\n<li>second</li>\n</ol>\n"
        "<p># no heading</p>"
    )
    assert render(source, "text") == (
        "Do this\nthen that: https://example.org/a_b?c=d&e\n\n- one\n- two\n\n1. first\n2. second\n\n# no heading"
    )


def test_a_list_item_of_two_lines_stays_in_its_list() -> None:
    """Regression: such a list came out without <ul>."""
    assert render("- one\n  more\n- two", "html") == "<ul>\n<li>one<br>\nmore</li>\n<li>two</li>\n</ul>"


# ---- Refs


@LAW
@given(st.lists(st.from_regex(r"[0-9a-f]{8}", fullmatch=True), min_size=1, max_size=9), st.integers(1, 3))
def test_refs_are_found_again(refs: list[str], step: int) -> None:
    act = Act(kind="comment", ref=refs[0], also=tuple(refs[1:]), body="Text with deadbeef in it", step=step)
    for markup in MARKUPS:
        assert find_refs(render(act.signed(["could not move it: [x]"]), markup)) == frozenset(refs)


@pytest.mark.parametrize(
    "text",
    [
        "<div>Inquiry connector, Step 2, ref 7c3e19a2 5d01b7f4</div>",
        "{color:gray}Inquiry connector, Step 2, ref 7c3e19a2 5d01b7f4{color}",
        "> Inquiry connector, Step 2, ref 7c3e19a2 5d01b7f4\n> more",
        "Inquiry connector, Step 2, ref 7c3e19a2\u00a05d01b7f4",
        "_Inquiry connector, Step 2, ref 7c3e19a2 5d01b7f4_",
        "Inquiry connector, Step 2, ref 7c3e19a2\r\n\r\nInquiry connector, Step 3, ref 5d01b7f4",
    ],
)
def test_refs_are_found_in_what_trackers_make_of_them(text: str) -> None:
    assert find_refs(text) == {"7c3e19a2", "5d01b7f4"}


@pytest.mark.parametrize(
    "text", ["", "ref 7c3e19a2", "Inquiry connector, ref 7c3e19", "Inquiry connector\nref 7c3e19a2"]
)
def test_what_is_no_ref_line(text: str) -> None:
    assert find_refs(text) == frozenset()


def test_the_last_line_is_readable() -> None:
    assert ref_line(1, ("7c3e19a2",)) == "Inquiry connector, Step 1, ref 7c3e19a2"
    ticket = called(service_center_emailed_at=moment("2026-04-01"))
    (letter,) = comments(look(ticket, utc("2026-04-23 09:00"), procedure()))
    assert shown(letter).splitlines()[-1] == f"Inquiry connector, Step 3, ref {letter.ref}"
