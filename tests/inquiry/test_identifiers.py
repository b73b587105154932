"""What people paste into a ticket, and what must come of it."""

import re
import unicodedata
from collections.abc import Callable
from time import process_time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector.inquiry.identifiers import (
    NONE_ASSIGNED,
    RECEIPT_PREFIXES,
    IdentifierError,
    alien_number,
    base_form,
    display_alien_number,
    form_type,
    looks_like_ssn,
    receipt_number,
    receipt_prefix,
)

LAW = settings(deadline=None, derandomize=True, max_examples=150)
READERS = (receipt_number, alien_number, form_type)

DASHES = [chr(code) for code in range(0x11000) if unicodedata.category(chr(code)) == "Pd"] + ["\u2212", "\u00ad"]
SPACES = ["\t", "\n", "\r\n", "\x0b", *(chr(code) for code in range(0x3001) if unicodedata.category(chr(code)) == "Zs")]
INVISIBLE = [
    "\u200b",
    "\u200c",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\u200e",
    "\u200f",
    "\u202a",
    "\u202e",
    "\u2066",
    "\ufe0f",
]

receipts = st.builds(
    lambda prefix, first, rest: prefix + first + rest,
    st.sampled_from(RECEIPT_PREFIXES),
    st.sampled_from("0123456789*"),
    st.text("0123456789", min_size=9, max_size=9),
)
nine_digits = st.text("0123456789", min_size=9, max_size=9)
# Text made of what these fields hold, so that the readers get past their first look; plain st.text() seldom does.
pieces = st.lists(
    st.one_of(
        st.text(max_size=3),
        st.text("0123456789", max_size=11),
        st.sampled_from(
            [*RECEIPT_PREFIXES, "A", "I", "N", "Form", "Supplement A", "USCIS#", "none", "to", "O", "*", "#"]
        ),
        st.sampled_from([*DASHES, *SPACES, *INVISIBLE, ".", ",", "(", '"', "Ⅷ", "٣", "ﷺ"]),
    ),
    max_size=12,
).map("".join)
anything = st.one_of(st.text(), pieces)


def refused(reader: Callable[[str], str], text: str) -> IdentifierError:
    with pytest.raises(IdentifierError) as caught:
        reader(text)
    return caught.value


def outcome(reader: Callable[[str], str], text: str) -> str | IdentifierError:
    try:
        return reader(text)
    except IdentifierError as error:
        return error


def messages(text: str) -> list[str]:
    """What the three readers answer to `text` where they refuse it."""
    return [result.message for reader in READERS if isinstance(result := outcome(reader, text), IdentifierError)]


def contains_nine_digits_in_a_row(message: str) -> bool:
    """Whatever stands between them: written apart from the code under test, and stricter than it."""
    folded = unicodedata.normalize("NFKC", message)
    runs = re.findall(r"\d(?:[^\w\"]*\d)*", folded)
    return any(sum(character.isdigit() for character in run) == 9 for run in runs)


# ---- Receipt numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WAC1512350123", "WAC1512350123"),
        ("EAC-22-123-45678", "EAC2212345678"),
        ("WAC 11 012 50960", "WAC1101250960"),
        ("SRC-06-012-54321", "SRC0601254321"),
        ("LIN 99 001 50001", "LIN9900150001"),
        ("IOE-0912-345-678", "IOE0912345678"),
        ("ioe0912345678", "IOE0912345678"),
        ("  wac1512350123.\n", "WAC1512350123"),
        ("W A C 15 123 50123", "WAC1512350123"),
        ("EAC\u00a022\u2013123\u201445678", "EAC2212345678"),
        ("ＥＡＣ２２１２３４５６７８", "EAC2212345678"),
        ("\u202aEAC2212345678\u202c", "EAC2212345678"),
        ("Receipt #: EAC2212345678", "EAC2212345678"),
        ("Receipt number EAC-22-123-45678;", "EAC2212345678"),
        ("Case No. msc 21 902 12345", "MSC2190212345"),
        ("(EAC2212345678)", "EAC2212345678"),
        ("*EAC2212345678*", "EAC2212345678"),
        ("收据号EAC2212345678", "EAC2212345678"),
        ("We got WAC 15 123 50123 on the notice, thanks", "WAC1512350123"),
        ("WAC1512350123 filed 06/02/2025", "WAC1512350123"),
        ("WAC1512350123 2025-06-02", "WAC1512350123"),
        ("WAC1512350123-Rivera", "WAC1512350123"),
        ("wac-15-123-50123, again WAC1512350123", "WAC1512350123"),
        ("SRC*123456789", "SRC*123456789"),
        ("src * 123-456-789", "SRC*123456789"),
        ("SRC＊123456789", "SRC*123456789"),
        ("WAC1990319994", "WAC1990319994"),  # workday 903: real, so the workday is not checked
        ("EAC9999103402", "EAC9999103402"),
        ("WAC 151-23-5012-3", "WAC1512350123"),  # however oddly grouped, it is whole
        ("YSC1990012345", "YSC1990012345"),
        ("NSC1990012345", "NSC1990012345"),
    ],
)
def test_receipt_number_is_read_as_pasted(text: str, expected: str) -> None:
    assert receipt_number(text) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        (" \u200b-\n", "empty"),
        ("WAC15123", "too_short"),
        ("WAC", "not_a_receipt_number"),
        ("WAC151235012", "too_short"),
        ("the number is WAC 15 123, I think", "too_short"),
        ("WAC15123501234", "too_long"),
        ("WAC 15 123 50123 45", "too_long"),
        ("WAC1512350123-01", "too_long"),
        ("WAC1512350123٤", "foreign_character"),
        ("WAC15O2350123", "letter_in_digits"),
        ("WACI512350123", "letter_in_digits"),
        ("my number is WAC15O2350123 thanks", "letter_in_digits"),
        ("WAC15*2350123", "misplaced_asterisk"),
        ("I0E0912345678", "digit_in_prefix"),
        ("1OE0912345678", "digit_in_prefix"),
        ("5RC-06-012-54321", "digit_in_prefix"),
        ("ABC1512350123", "unknown_prefix"),
        ("PSC1512350123", "unknown_prefix"),
        ("NEWAC1512350123", "not_a_receipt_number"),  # a tail of something else
        ("1512350123", "missing_prefix"),
        ("1512350123456", "not_a_receipt_number"),
        ("Receipt number: 15-123-50123", "missing_prefix"),
        ("WAC1512350123 / EAC2212345678", "two_numbers"),
        ("123-45-6789", "looks_like_ssn"),
        ("WAC 123-45-6789", "looks_like_ssn"),
        ("123456789", "not_a_receipt_number"),
        ("A012345678", "not_a_receipt_number"),
        ("call Ms. Rivera", "not_a_receipt_number"),
        ("EAC٢٢١٢٣٤٥٦٧٨", "foreign_character"),
        ("\u0415\u0410\u04212212345678", "foreign_character"),  # Cyrillic letters that look like EAC
    ],
)
def test_receipt_number_is_refused(text: str, code: str) -> None:
    assert refused(receipt_number, text).code == code


def test_a_refusal_says_what_is_wrong_and_what_to_do() -> None:
    assert refused(receipt_number, "WAC15123").message == (
        '"WAC15123" is too short: three letters and ten digits, as on the receipt notice'
    )
    assert refused(receipt_number, "WAC15O235012I").message == (
        '"WAC15O235012I" has the letter O where its third digit belongs and the letter I where its tenth digit belongs:'
        " compare it with the receipt notice"
    )
    assert "the letters IOE may be meant" in refused(receipt_number, "I0E0912345678").message


def test_a_quoted_value_is_short_and_printable() -> None:
    message = refused(receipt_number, 'say "hello"\x00\x1b[31m\u202e\ud800\n' + "x" * 100).message
    quoted = re.match(r'"([^"]*)" is not', message)
    assert quoted is not None
    assert quoted[1].startswith("say 'hello' [31m x")
    assert len(quoted[1]) == 40
    assert quoted[1].isprintable()


def test_the_error_prints_its_code_and_nothing_of_the_value() -> None:
    error = refused(receipt_number, "WAC15123")
    assert str(error) == "too_short"
    assert "15123" not in repr(error)


@LAW
@given(receipts, st.data())
def test_spacing_dashes_and_case_do_not_change_a_receipt_number(receipt: str, data: st.DataObject) -> None:
    filler = st.lists(st.sampled_from([*DASHES, *SPACES, *INVISIBLE]), max_size=2).map("".join)
    typed = data.draw(st.sampled_from([receipt, receipt.lower(), receipt.title()]))
    spaced = "".join(data.draw(filler) + character for character in typed) + data.draw(filler)
    assert receipt_number(spaced) == receipt


@LAW
@given(
    receipts, st.sampled_from(["Receipt #: {}", "Case No.: {}.", "({})", "My receipt number is {}, thank you.", "«{}»"])
)
def test_what_stands_around_a_receipt_number_does_not_matter(receipt: str, around: str) -> None:
    assert receipt_number(around.format(receipt)) == receipt


@LAW
@given(receipts, receipts)
def test_two_receipt_numbers_are_never_taken_for_one(one: str, other: str) -> None:
    text = f"{one}, {other}"
    if one == other:
        assert receipt_number(text) == one
    else:
        assert refused(receipt_number, text).code == "two_numbers"


@LAW
@given(receipts, st.integers(4, 12), st.sampled_from("OILSBZ"))
def test_a_letter_among_the_digits_is_reported_not_mended(receipt: str, position: int, letter: str) -> None:
    mistyped = receipt[:position] + letter + receipt[position + 1 :]
    error = refused(receipt_number, mistyped)
    assert error.code == "letter_in_digits"
    assert f"the letter {letter} where its" in error.message


def test_receipt_prefix() -> None:
    assert receipt_prefix("SRC*123456789") == "SRC"


# ---- A-numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A012345678", "012345678"),
        ("a 012 345 678", "012345678"),
        ("A-012-345-678", "012345678"),
        ("A\u2011012\u2011345\u2011678", "012345678"),
        ("A#12345678", "012345678"),
        ("A# 012.345.678", "012345678"),
        ("#012345678", "012345678"),
        ("012-345-678", "012345678"),
        ("USCIS# 012-345-678", "012345678"),
        ("USCIS Number: 012 345 678", "012345678"),
        ("Alien number 12345678", "012345678"),
        ("Alien Registration Number (A-Number): A1234567.", "001234567"),
        ("(A012345678)", "012345678"),
        ("000-000-811", "000000811"),
        ("1234567", "001234567"),
        ("Ａ０１２３４５６７８", "012345678"),
        ("\u200eA012345678\u200e", "012345678"),
        ("A555-877-370", "555877370"),
        ("none assigned", NONE_ASSIGNED),
        ("None Assigned.", NONE_ASSIGNED),
        ("NONE", NONE_ASSIGNED),
        ("none yet", NONE_ASSIGNED),
        ("n/a", NONE_ASSIGNED),
        ("N.A.", NONE_ASSIGNED),
        ("not assigned", NONE_ASSIGNED),
        ("not yet assigned", NONE_ASSIGNED),
        ("no A-number", NONE_ASSIGNED),
        ("No alien registration number", NONE_ASSIGNED),
        ("A-number: none", NONE_ASSIGNED),
    ],
)
def test_alien_number_is_read_as_pasted(text: str, expected: str) -> None:
    assert alien_number(text) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        ("--", "empty"),
        ("A123456", "too_short"),
        ("A0123456789", "too_long"),
        ("A000000000", "all_zeros"),
        ("1234-5678-9012", "online_account_number"),
        ("123456789012", "online_account_number"),
        ("AO12345678", "letter_in_digits"),
        ("A0123I5678", "letter_in_digits"),
        ("A0123A5678", "not_an_a_number"),
        ("012345678A", "not_an_a_number"),
        ("B12X45678", "not_an_a_number"),
        ("WAC1512350123", "not_an_a_number"),
        ("unknown", "not_an_a_number"),
        ("A", "not_an_a_number"),
        ("none 12345678", "not_an_a_number"),
        ("Maria 012345678", "not_an_a_number"),
        ("٠١٢٣٤٥٦٧٨", "not_an_a_number"),
        ("A012345678 and A087654321", "two_numbers"),
        ("A012345678, A087654321", "two_numbers"),
        ("A012345678 (SSN 123-45-6789)", "looks_like_ssn"),
        ("none (123-45-6789)", "looks_like_ssn"),
    ],
)
def test_alien_number_is_refused(text: str, code: str) -> None:
    assert refused(alien_number, text).code == code


def test_a_person_without_a_number_is_told_what_to_write() -> None:
    assert f'if the person has no A-number, write "{NONE_ASSIGNED}"' in refused(alien_number, "unknown").message


@LAW
@given(st.integers(1, 999_999_999), st.integers(7, 9), st.sampled_from(["", "A", "a ", "A-", "USCIS# ", "Alien No. "]))
def test_alien_number_is_padded_to_nine_digits_and_read_again_the_same(number: int, width: int, label: str) -> None:
    read = alien_number(f"{label}{number:0{width}}")
    assert read == f"{number:09}"
    assert alien_number(read) == alien_number(display_alien_number(read)) == read


@LAW
@given(anything)
def test_a_refused_alien_number_is_never_repeated(text: str) -> None:
    result = outcome(alien_number, text)
    if isinstance(result, IdentifierError):
        assert not re.search(r"\d", result.message)


def test_display_alien_number() -> None:
    assert display_alien_number("012345678") == "A012345678"
    assert display_alien_number(NONE_ASSIGNED) == "none assigned"
    assert alien_number(NONE_ASSIGNED) == NONE_ASSIGNED


# ---- Form types


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I-485", "I-485"),
        ("I485", "I-485"),
        ("i 485", "I-485"),
        ("I - 485", "I-485"),
        ("Form I\u2013485", "I-485"),
        ("I\u2212485", "I-485"),
        ("I\u00ad485", "I-485"),
        ("Ｉ－４８５", "I-485"),
        ("I-485, Application to Register Permanent Residence or Adjust Status", "I-485"),
        ("Application to Register Permanent Residence (I-485)", "I-485"),
        ("I-485申請", "I-485"),
        ("I-129F", "I-129F"),
        ("I-129 F", "I-129F"),
        ("I-129-F petition", "I-129F"),
        ("I 129 F, Petition for Alien Fiancé(e)", "I-129F"),
        ("I-600A", "I-600A"),
        ("i600 a", "I-600A"),
        ("I-601 a waiver", "I-601"),
        ("I-130 a petition", "I-130"),
        ("N-600K", "N-600K"),
        ("n400", "N-400"),
        ("I-821D", "I-821D"),
        ("AR-11", "AR-11"),
        ("AR 11", "AR-11"),
        ("G-28", "G-28"),
        ("I-765WS", "I-765WS"),
        ("I-9999ZZ", "I-9999ZZ"),  # unknown, but well formed
        ("I-918 Supplement A", "I-918A"),
        ("Form I-918, Supplement A, Petition for Qualifying Family Member", "I-918A"),
        ("Supplement A to Form I-485", "I-485A"),
        ("I-914 Supp. B", "I-914B"),
        ("I-914A", "I-914A"),
        ("I-918A (I-918 Supplement A)", "I-918A"),
        ("I-918 U visa", "I-918"),  # not "I-918U", which would miss the protected route
        ("I-914 T status", "I-914"),
        ("I-129 H-1B", "I-129"),
        ("I-129 Supplement H", "I-129"),  # part of the I-129, no form of its own
        ("I-539 to G-4", "I-539"),
        ("I-131 AP", "I-131"),
        ("I-765 EAD", "I-765"),
        ("I-130 / i130", "I-130"),
    ],
)
def test_form_type_is_read_as_pasted(text: str, expected: str) -> None:
    assert form_type(text) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        ("Green card renewal", "not_a_form"),
        ("DS-160", "not_a_form"),
        ("I-12345", "not_a_form"),
        ("I-485ABC", "not_a_form"),
        ("I-48٥", "not_a_form"),
        ("BI-485", "not_a_form"),
        ("123456789", "not_a_form"),
        ("485", "missing_letter"),
        ("Form 129F", "missing_letter"),
        ("1-485", "mistyped_letter"),
        ("l-485", "mistyped_letter"),
        ("I-130 and I-485", "two_forms"),
        ("I-914/I-914A", "two_forms"),
        ("123-45-6789", "looks_like_ssn"),
    ],
)
def test_form_type_is_refused(text: str, code: str) -> None:
    assert refused(form_type, text).code == code


def test_a_title_alone_is_answered_with_an_example() -> None:
    assert refused(form_type, "Green card renewal").message == (
        '"Green card renewal" is not a form number: write the form number as on the receipt notice,'
        " such as I-485 or N-400"
    )
    assert "I-130 and I-485" in refused(form_type, "I-130 and I-485").message


@pytest.mark.parametrize(
    ("form", "base"),
    [
        ("I-914", "I-914"),
        ("I-914A", "I-914"),
        ("I-914B", "I-914"),
        ("I-918A", "I-918"),
        ("I-918B", "I-918"),
        ("I-929", "I-929"),
        ("I-129F", "I-129F"),
        ("I-485A", "I-485A"),
        ("I-600A", "I-600A"),
    ],
)
def test_base_form(form: str, base: str) -> None:
    assert base_form(form) == base


@LAW
@given(st.from_regex(r"(I|N|G|AR)-[0-9]{1,4}[A-Z]{0,2}", fullmatch=True), st.sampled_from([*DASHES, *SPACES, ""]))
def test_every_well_formed_form_is_accepted_with_any_hyphen(form: str, hyphen: str) -> None:
    assert form_type(form) == form
    assert form_type(form.replace("-", hyphen).lower()) == form


# ---- Social Security numbers


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("dash", [*DASHES, " ", "\u00a0", "\u2009", ".", "\uff0e", "\u2024", " - ", "/"])
@pytest.mark.parametrize("around", ["{}", "A{}", "SSN: {}.", "his social is {} and he was born 1980"])
def test_social_security_numbers_are_refused_and_not_repeated(
    reader: Callable[[str], str], dash: str, around: str
) -> None:
    error = refused(reader, around.format(f"123{dash}45{dash}6789"))
    assert error.code == "looks_like_ssn"
    assert "Social Security number" in error.message
    assert "6789" not in error.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("123-45-6789", True),
        ("call about 123 45 6789 today", True),
        ("A123-45-6789", True),
        ("123 - 45 -- 6789", True),
        ("１２３－４５－６７８９", True),
        ("١٢٣-٤٥-٦٧٨٩", True),
        ("123456789", False),
        ("1123-45-6789", False),
        ("123-45-67890", False),
        ("123-456-789", False),
        ("1-800-375-5283", False),
        ("A012-345-678", False),
        ("2025-06-02", False),
        ("EAC-22-123-45678", False),
    ],
)
def test_looks_like_ssn(text: str, expected: bool) -> None:
    assert looks_like_ssn(text) is expected


@LAW
@given(
    nine_digits, st.sampled_from(["{}", "{} ", "ssn {}", "x{}x", "WAC{}", "ABC {}", "I-{}", "{} and more text " * 4])
)
def test_nine_bare_digits_are_not_repeated(digits: str, around: str) -> None:
    for reader in (receipt_number, form_type):
        text = around.format(*[digits] * 4)
        assert digits not in refused(reader, text).message


@pytest.mark.parametrize(
    "text",
    [
        "123 456 789",
        "12-3456789",
        "5 123456789",
        "WAC 123 456 789",
        "I-12345 is (123)(456)(789)",
        "123456¼9",  # plain text makes it 1234561⁄49
        "x" * 33 + " 123456789",  # a cut quotation would still hold half of it
        "WAC1512350123, EAC2212345678, 5 123-45-6789",
        "I-130, I-485, 5 123-45-6789",
    ],
)
def test_digits_that_may_be_a_social_security_number_leave_the_whole_value_out(text: str) -> None:
    for message in messages(text):
        assert re.match("[a-z]", message)
        assert "123" not in message


@LAW
@given(anything)
@example("0000000¼")
@example("1" * 30 + " 123-45-67890")
@example("a" * 27 + " 123-45-6789" + "0" * 20)  # cutting the quotation must not make one
@example("a" * 29 + "1234567890" * 3)
def test_no_message_ever_holds_nine_digits_in_a_row(text: str) -> None:
    for message in messages(text):
        assert not contains_nine_digits_in_a_row(message)
        assert not looks_like_ssn(message)


# ---- All readers


@LAW
@given(anything)
def test_readers_return_a_canonical_value_or_explain(text: str) -> None:
    shapes = (
        (receipt_number, rf"(?:{'|'.join(RECEIPT_PREFIXES)})[0-9*][0-9]{{9}}"),
        (alien_number, rf"[0-9]{{9}}|{NONE_ASSIGNED}"),
        (form_type, r"(?:I|N|G|AR)-[0-9]{1,4}[A-Z]{0,2}"),
    )
    for reader, shape in shapes:
        result = outcome(reader, text)
        if isinstance(result, str):
            assert re.fullmatch(shape, result)
            assert reader(result) == result
        else:
            assert result.code in re.findall(r"[a-z_]+", (reader.__doc__ or "").partition("Raises")[2])
            assert result.message.isprintable()
            assert re.match(r'[a-z]|"[^"]{1,40}" [a-z]', result.message)


@pytest.mark.parametrize(
    "piece", [" -", "- ", "A ", "1 ", "1-", "WAC ", "WAC 1A1 ", "123-", "0", "I-4 ", "supplement a to "]
)
def test_long_texts_are_read_in_no_time(piece: str) -> None:
    """A pasted e-mail fills a field of 32,767 characters; a pattern that tries every split would take minutes."""
    text = "A" + piece * (32_000 // len(piece))
    started = process_time()  # not the clock on the wall: other tests run beside this one
    for reader in READERS:
        outcome(reader, text)
    looks_like_ssn(text)
    assert process_time() - started < 2
    assert all(len(message) < 500 for message in messages(text))
