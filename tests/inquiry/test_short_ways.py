"""What is done in a shorter way, because it is done often, comes to the same."""

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from connector.inquiry import identifiers, markup

LAW = settings(deadline=None, derandomize=True)  # a busy machine is no mistake
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@LAW
@given(st.from_regex(markup._LETTER_LINK, fullmatch=True))
def test_in_the_link_of_a_letter_there_is_nothing_to_normalize(link: str) -> None:
    assert MarkdownIt("zero").normalizeLink(link) == link


@LAW
@given(TEXTS, TEXTS)
def test_the_links_that_are_written_are_such_links(subject: str, body: str) -> None:
    assert markup._LETTER_LINK.fullmatch(markup.mailto("csc-ncsc-followup@dhs.gov", subject, body))


@LAW
@given(st.text("http:/.#?&@%zé ", max_size=30) | st.just("mailto:a@b.gov?subject=%zz") | st.just("mailto:ä@ö.gov"))
def test_other_links_are_normalized(link: str) -> None:
    assert markup._PARSER.normalizeLink(link) == MarkdownIt("zero").normalizeLink(link)


@LAW
@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_is_folded_as_every_text_is(text: str) -> None:
    folded = "".join(map(identifiers._plain_character, unicodedata.normalize("NFKC", text)))
    assert identifiers._plain(text) == " ".join(folded.upper().split())
