"""Wiki markup as HTML, and that nothing in it can run."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.practice.wiki import render


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*bold* and _soft_", "<p><strong>bold</strong> and <em>soft</em></p>"),
        ("one\ntwo\n\nthree", "<p>one<br>two</p><p>three</p>"),
        ("2 * 3 * 4", "<p>2 * 3 * 4</p>"),
        ("\\*not bold\\* \\{x\\} \\[y\\]", "<p>*not bold* {x} [y]</p>"),
        ("*a \\* b*", "<p><strong>a * b</strong></p>"),
        ("snake_case_name", "<p>snake_case_name</p>"),
        ("{{mono *x*}}", "<p><code>mono *x*</code></p>"),
        ("* one\n* *two*\n# three", "<ul><li>one</li><li><strong>two</strong></li></ul><ol><li>three</li></ol>"),
        ("- one\nafter", "<ul><li>one</li></ul><p>after</p>"),
        ("h3. Title", "<h5>Title</h5>"),
        ("----", "<hr>"),
        ("a \\\\ b", "<p>a <br> b</p>"),
        ("&#42;x&#42; &amp; <b>", "<p>*x* &amp; &lt;b&gt;</p>"),
        ("a\n{noformat}\n*x* <b>\n  y\n{noformat}\nb", "<p>a</p><pre>*x* &lt;b&gt;\n  y</pre><p>b</p>"),
        ("{quote}said *x*{quote}", "<blockquote><p>said <strong>x</strong></p></blockquote>"),
        ("{noformat} open", "<p>{noformat} open</p>"),
        (
            "[the letter|mailto:a@b.gov?subject=x%20y&body=z]",
            '<p><a href="mailto:a@b.gov?subject=x%20y&amp;body=z" rel="noopener noreferrer">the letter</a></p>',
        ),
        ("[mailto:a@b.gov]", '<p><a href="mailto:a@b.gov" rel="noopener noreferrer">a@b.gov</a></p>'),
        (
            "see https://example.org/x.",
            '<p>see <a href="https://example.org/x" rel="noopener noreferrer">https://example.org/x</a>.</p>',
        ),
        ("[x|javascript:alert(1)]", "<p>[x|javascript:alert(1)]</p>"),
        ("[x|data:text/html,y]", "<p>[x|data:text/html,y]</p>"),
    ],
)
def test_markup(text: str, html: str) -> None:
    assert render(text) == html


ALLOWED = re.compile(
    r"</?(?:p|strong|em|code|ul|ol|li|pre|blockquote|h[3-6])>|<br>|<hr>|</a>"
    r'|<a href="(?:https?://|mailto:)[^"<>]*" rel="noopener noreferrer">',
    re.IGNORECASE,
)
MARKS = ["*", "_", "[", "]", "|", "{noformat}", "{quote}", "\\", "* ", "- ", "h1. ", "{{", "}}", "\n"]
TRICKS = ["<script>", '"', "'", "javascript:", "data:", "mailto:a", "http://", "&#60;", "&lt;", " onload=", "x"]
PIECES = st.sampled_from(MARKS + TRICKS)


@given(st.lists(PIECES | st.text(max_size=3), max_size=25).map("".join))
def test_only_known_tags_with_harmless_links_come_out(text: str) -> None:
    rest = ALLOWED.sub("", render(text))
    assert "<" not in rest
    assert ">" not in rest
