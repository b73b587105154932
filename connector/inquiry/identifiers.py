"""The numbers on a case: receipt numbers, A-numbers and form types, read from what people paste into a ticket.

Each reader returns one canonical spelling or raises IdentifierError with a sentence for the person who filled the
field. Nothing is guessed: a letter O among digits is reported, never turned into a zero.

Sources: the shape of receipt numbers is three letters and ten digits, with an asterisk in place of the first digit on
some older ones (USCIS asks callers to leave out dashes but to keep asterisks); A-numbers have seven to nine digits, and
USCIS forms ask for zeros in front of shorter ones. What was received where is told by the prefix, see
https://www.uscis.gov/archive/blog/2012/06/national-benefits-center-what-it-is-and for MSC and NBC.
"""

import re
import unicodedata
from collections.abc import Iterator

NONE_ASSIGNED = "none assigned"
"""The alien number of a person who has none; Step 1 asks for the number, yet many people never get one."""

RECEIPT_PREFIXES = ("EAC", "WAC", "LIN", "SRC", "MSC", "NBC", "IOE", "YSC", "VSC", "CSC", "NSC", "TSC")
"""The three letters with which a receipt number may begin."""

_QUOTE_LENGTH = 40
_RECEIPT_SHAPE = "three letters and ten digits, as on the receipt notice"
_ALIEN_SHAPE = f'the letter A and seven to nine digits; if the person has no A-number, write "{NONE_ASSIGNED}"'
_FORM_SHAPE = "the form number as on the receipt notice, such as I-485 or N-400"
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_LETTER_FOR_DIGIT = str.maketrans("01258", "OIZSB")

# Dashes that Unicode does not count as such (category Pd): soft hyphen, hyphen bullet, minus signs, Japanese long mark.
_MORE_DASHES = "\u00ad\u2043\u2212\u02d7\u207b\u208b\u30fc"
_CONTROLS = dict.fromkeys((*range(32), 127), " ")


class IdentifierError(ValueError):
    """What was typed is not a receipt number, A-number or form type.

    `code` is short, snake_case and stable. `message` is one sentence for the person who filled the field and continues
    the field's label ('Receipt number' + ' ' + message). It may quote a receipt number or a form, so it belongs in the
    ticket and nowhere else; `str()` of the error is the code alone, which a log may carry.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


# ---- Text as people paste it


def _plain(text: str) -> str:
    """Return `text` in upper case with every white space a single space and every dash a hyphen-minus.

    Compatibility forms, such as full-width digits, become the plain ones (NFKC). Marks that print nothing of their own
    (zero-width, bidirectional, combining) are dropped.
    """
    if text.isascii():  # as almost all of it is: of what has to be folded there are only control characters
        folded = text.translate(_CONTROLS)
    else:
        folded = "".join(_plain_character(character) for character in unicodedata.normalize("NFKC", text))
    return " ".join(folded.upper().split())


def _plain_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Pd" or character in _MORE_DASHES:
        return "-"
    if category in {"Cc", "Zs", "Zl", "Zp"}:
        return " "
    return "" if category[0] == "C" or category in {"Mn", "Me"} else character


def _compact(plain: str) -> str:
    return re.sub(r"[ -]", "", plain)


# What may stand between the groups of a Social Security number.
_GROUP_BREAKS = r" .·•∙。_/-"
_SSN = re.compile(rf"(?<!\d)\d{{3}}[{_GROUP_BREAKS}]+\d{{2}}[{_GROUP_BREAKS}]+\d{{4}}(?!\d)")
_DIGIT_RUN = re.compile(r"\d(?:[\W_]*\d)*")


def looks_like_ssn(text: str) -> bool:
    """Say whether `text` holds digits grouped 3-2-4, as Social Security numbers are: 000-00-0000, 000 00 0000, ...

    Any dash, dot, space, slash or underscore, and digits of any script, count. Letters may touch the digits
    ("A000-00-0000"), further digits may not.
    """
    return _SSN.search(_plain(text)) is not None


def _may_hold_ssn(text: str) -> bool:
    """Say whether `text` holds an SSN shape or any other nine digits in a row, whatever stands between them."""
    plain = _plain(text)
    counts = (sum(character.isdecimal() for character in run) for run in _DIGIT_RUN.findall(plain))
    return 9 in counts or re.search(r"(?<!\d)\d{9}(?!\d)", plain) is not None or _SSN.search(plain) is not None


def _quoted(text: str) -> str:
    """Return `text` in double quotes and a space, cut and without control characters; "" if it may hold an SSN."""
    shown = " ".join("".join(_visible(character) for character in text).split()).replace('"', "'")
    if len(shown) > _QUOTE_LENGTH:
        shown = shown[: _QUOTE_LENGTH - 1].rstrip() + "…"
    return "" if not shown or _may_hold_ssn(text) or _may_hold_ssn(shown) else f'"{shown}" '


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp"}:
        return " "
    return "" if category[0] == "C" else character


def _refuse_empty_or_ssn(plain: str, shape: str) -> None:
    if not any(character.isalnum() for character in plain):
        raise IdentifierError("empty", f"is empty: write {shape}")
    if looks_like_ssn(plain):
        raise IdentifierError("looks_like_ssn", f"looks like a Social Security number: remove it and write {shape}")


# ---- Receipt numbers

_PREFIX = "|".join("[ -]*".join(prefix) for prefix in RECEIPT_PREFIXES)
# Ten digits: in one piece, where separate digits may follow (a date), or in groups, where they would be an 11th digit.
_TEN = r"(?:[0-9*][0-9]{9}(?![A-Z]|-*\d)|[0-9*](?:[ -]*[0-9]){9}(?![A-Z]|[ -]*\d))"
_RECEIPT = re.compile(rf"(?<![A-Z0-9])(?:{_PREFIX})[ -]*{_TEN}")
_OTHER_PREFIX = re.compile(rf"(?<![A-Z0-9])([A-Z0-9]{{3}})(?<![0-9]{{3}})[ -]*{_TEN}")
_NO_PREFIX = re.compile(rf"(?<![A-Z0-9]){_TEN}")
# A known prefix and whatever looks meant as its digits: groups with a digit near their start.
_GROUP = r"(?=[A-Z*]{0,2}[0-9])[A-Z0-9*]+"
_NEAR_RECEIPT = re.compile(rf"(?<![A-Z0-9])({_PREFIX})[ -]*({_GROUP}(?:[ -]+{_GROUP})*)")


def receipt_number(text: str) -> str:
    """Return the one receipt number in `text`, as three letters and ten digits: "WAC1512350123".

    White space, dashes of every kind and zero-width marks within the number do not count, nor does what stands around
    it: labels, punctuation, the rest of a sentence. An asterisk in place of the first digit is kept. The digits are
    not read: neither year nor workday is checked, since real numbers break every rule stated for them.

    Raises IdentifierError: empty, looks_like_ssn, two_numbers, too_short, too_long, unknown_prefix, digit_in_prefix,
    missing_prefix, letter_in_digits, misplaced_asterisk, foreign_character, not_a_receipt_number.
    """
    plain = _plain(text)
    found = {_compact(match.group()) for match in _RECEIPT.finditer(plain)}
    if len(found) == 1:
        return found.pop()
    if found:
        reason = "holds more than one receipt number: keep the one that this ticket is about"
        raise IdentifierError("two_numbers", _quoted(text) + reason)
    _refuse_empty_or_ssn(plain, f"the receipt number, {_RECEIPT_SHAPE}")
    code, reason = _receipt_fault(plain)
    raise IdentifierError(code, _quoted(text) + reason)


def receipt_prefix(receipt: str) -> str:
    """Return the three letters of a receipt number that `receipt_number` returned.

    They say where the case was first received. After a transfer they stay the same, so they only suggest the
    Service Center.
    """
    return receipt[:3]


def _receipt_fault(plain: str) -> tuple[str, str]:
    """Return (code, reason) for a text that holds no receipt number, from its nearest miss."""
    if _is_foreign(plain):
        reason = "has letters or digits of another alphabet: type it with A to Z and 0 to 9, as on the receipt notice"
        return "foreign_character", reason
    if near := _NEAR_RECEIPT.search(plain):
        return _digits_fault(_compact(near[2]))
    if other := _OTHER_PREFIX.search(plain):
        return _prefix_fault(other[1])
    if _NO_PREFIX.search(plain):
        return "missing_prefix", f"lacks its letters: {_RECEIPT_SHAPE}"
    return "not_a_receipt_number", f"is not a receipt number: {_RECEIPT_SHAPE}"


def _is_foreign(plain: str) -> bool:
    foreign = [character for character in plain if character.isalnum() and not character.isascii()]
    alone = len(_compact(plain)) == 13
    return any(character.isdecimal() or alone for character in foreign)


def _digits_fault(digits: str) -> tuple[str, str]:
    if len(digits) < 10:
        return "too_short", f"is too short: {_RECEIPT_SHAPE}"
    if len(digits) > 10:
        return "too_long", f"is too long: {_RECEIPT_SHAPE}"
    letters = [(where, character) for where, character in zip(_ORDINALS, digits, strict=True) if character.isalpha()]
    if letters:
        places = " and ".join(f"the letter {letter} where its {where} digit belongs" for where, letter in letters)
        return "letter_in_digits", f"has {places}: compare it with the receipt notice"
    return "misplaced_asterisk", "has an asterisk among its digits: only the first may be one, see the receipt notice"


def _prefix_fault(prefix: str) -> tuple[str, str]:
    meant = prefix.translate(_LETTER_FOR_DIGIT)
    if meant != prefix and meant in RECEIPT_PREFIXES:
        return "digit_in_prefix", f"begins with {prefix}, which has a digit in it: the letters {meant} may be meant"
    known = f"{', '.join(RECEIPT_PREFIXES[:-1])} or {RECEIPT_PREFIXES[-1]}"
    return "unknown_prefix", f"begins with {prefix}, but receipt numbers begin with {known}: see the receipt notice"


# ---- A-numbers

_ALIEN_LABELS = {"A", "USCIS", "DHS", "INS", "ALIEN", "REGISTRATION", "REG", "FILE", "NUMBER", "NUM", "NO", "NBR"}
_ALIEN = re.compile(r"(?P<before>[^0-9]*)(?P<digits>[0-9](?:[ .-]*[0-9])*)(?P<after>[^0-9]*)")
_ALIEN_TOKEN = re.compile(r"(?<![A-Z0-9])(?:A[ #-]*)?[0-9](?:[ .-]*[0-9]){6,8}(?![A-Z]|[ .-]*\d)")
_MISTYPED_ALIEN = re.compile(r"A?([0-9]*[OILSBZ][0-9OILSBZ]*)")
_NO_ALIEN_NUMBER = re.compile(
    r"(?:(?:A|USCIS|ALIEN)(?: REGISTRATION)?(?: NUMBER| NUM| NO)? )?"
    r"(?:NONE(?: YET)?(?: ASSIGNED| ISSUED)?|HAS NONE|N A|NA|UNASSIGNED"
    r"|NOT(?: YET)? (?:ASSIGNED|ISSUED|APPLICABLE)"
    r"|NO(?: A| ALIEN| USCIS)?(?: REGISTRATION)?(?: NUMBER| NUM| NO)?(?: YET)?(?: ASSIGNED| ISSUED)?)"
)


def alien_number(text: str) -> str:
    """Return the nine digits of the A-number in `text`, with zeros in front ("012345678"), or NONE_ASSIGNED.

    Accepts seven to nine digits, with spaces, dashes or dots between them and "A", "USCIS#" or words such as "Alien
    number" around them; and "none assigned", "none", "n/a", "no A-number" and the like. Digits grouped 3-2-4 are
    refused, because Social Security numbers are written so.

    Raises IdentifierError: empty, looks_like_ssn, two_numbers, too_short, too_long, all_zeros, online_account_number,
    letter_in_digits, not_an_a_number. Its message never repeats what was typed.
    """
    plain = _plain(text)
    if _says_none(plain):
        return NONE_ASSIGNED
    _refuse_empty_or_ssn(plain, _ALIEN_SHAPE)
    match = _ALIEN.fullmatch(plain)
    if match is None or not _is_alien_label(match):
        raise _alien_fault(plain)
    digits = re.sub(r"[ .-]", "", match["digits"])
    _check_alien_digits(digits)
    return digits.zfill(9)


def display_alien_number(number: str) -> str:
    """Return what `alien_number` returned as an office writes it: "A012345678" or "none assigned"."""
    return number if number == NONE_ASSIGNED else f"A{number}"


def _says_none(plain: str) -> bool:
    if any(character.isdecimal() for character in plain):
        return False
    return _NO_ALIEN_NUMBER.fullmatch(" ".join(re.findall(r"[^\W\d_]+", plain))) is not None


def _is_alien_label(match: re.Match[str]) -> bool:
    """Say whether only the labels of an A-number stand around its digits, and no letter right after them."""
    words = re.findall(r"[^\W_]+", f"{match['before']} {match['after']}")
    return set(words) <= _ALIEN_LABELS and not match["after"][:1].isalnum()


def _check_alien_digits(digits: str) -> None:
    if len(digits) == 12:
        reason = f"is a USCIS online account number, which has twelve digits: write {_ALIEN_SHAPE}"
        raise IdentifierError("online_account_number", reason)
    if len(digits) < 7:
        raise IdentifierError("too_short", f"is too short: write {_ALIEN_SHAPE}")
    if len(digits) > 9:
        raise IdentifierError("too_long", f"is too long: write {_ALIEN_SHAPE}")
    if not digits.strip("0"):
        raise IdentifierError("all_zeros", f"has only zeros: write {_ALIEN_SHAPE}")


def _alien_fault(plain: str) -> IdentifierError:
    compact = re.sub(r"[ .#:-]", "", plain)
    mistyped = _MISTYPED_ALIEN.fullmatch(compact)
    if mistyped and 7 <= len(mistyped[1]) <= 9:
        letter = mistyped[1].strip("0123456789")[0]
        reason = f"has the letter {letter} where a digit belongs: compare it with the card or notice"
        return IdentifierError("letter_in_digits", reason)
    if len(_ALIEN_TOKEN.findall(plain)) > 1:
        return IdentifierError("two_numbers", "holds more than one number: keep the one that this ticket is about")
    return IdentifierError("not_an_a_number", f"is not an A-number: write {_ALIEN_SHAPE}")


# ---- Form types

# Forms whose letter people write apart ("I-129 F", "I-918 Supplement A"). Elsewhere a separate letter means something
# else, such as the article in "I-130 a petition" or the visa in "I-485 U".
_LETTERED_FORMS = {
    *("I-129F", "I-134A", "I-290B", "I-485A", "I-485J", "I-526E", "I-539A", "I-600A", "I-601A", "I-800A"),
    *("I-821D", "I-854A", "I-854B", "I-914A", "I-914B", "I-918A", "I-918B", "N-600K"),
}
_SUPPLEMENT = r"SUPP(?:L(?:EMENT)?)?\.?[ -]*"
_FORM = re.compile(
    rf"(?<![A-Z0-9])(?:{_SUPPLEMENT}(?P<supplement_to>[A-Z]) (?:TO|OF|FOR) (?:FORM )?)?"
    r"(?P<series>I|N|G|AR)[ -]*(?P<number>[0-9]{1,4})(?P<letters>[A-Z]{0,2})(?![A-Z\d])"
    # A separate A with more words behind it is taken for the article: "I-601 a waiver".
    r"(?:[ -]+(?P<apart>[B-Z]|A(?! \w))(?![A-Z]|[ -]?\d))?"
    rf"(?:[ ,(:-]*{_SUPPLEMENT}(?P<supplement>[A-Z])(?![A-Z\d]))?"
)
_VISA_CLASS = re.compile(r"[GN]-[0-9]")  # "I-539 to G-4"; no form of these series has a single digit
_MISTYPED_I = re.compile(r"(?<![A-Z0-9])[1L|!][ -]+[0-9]{2,3}(?!\d)")
_BARE_NUMBER = re.compile(r"(?:FORM )?[0-9]{2,4}[A-Z]?")


def form_type(text: str) -> str:
    """Return the one form in `text` with its hyphen in place: "I-485", "N-600K", "AR-11".

    A title may follow the number. Supplements that are filed on their own carry their letter: "I-918 Supplement A" is
    "I-918A". A form need not be known, only well formed: I, N, G or AR, one to four digits, up to two letters.

    Raises IdentifierError: empty, looks_like_ssn, two_forms, mistyped_letter, missing_letter, not_a_form.
    """
    plain = _plain(text)
    forms = list(dict.fromkeys(_forms(plain)))
    if len(forms) > 1:
        forms = [form for form in forms if not _VISA_CLASS.fullmatch(form)] or forms
    if len(forms) == 1:
        return forms[0]
    if forms:
        reason = f"names more than one form, {forms[0]} and {forms[1]}: keep the one on the receipt notice"
        raise IdentifierError("two_forms", _quoted(text) + reason)
    _refuse_empty_or_ssn(plain, _FORM_SHAPE)
    code, reason = _form_fault(plain)
    raise IdentifierError(code, _quoted(text) + reason)


def base_form(form: str) -> str:
    """Return the form that decides which route a case takes: supplements A and B of I-914 and I-918 follow their form.

    Every other form, I-129F included, is a form of its own. `form` is what `form_type` returned.
    """
    return form[:-1] if form in {"I-914A", "I-914B", "I-918A", "I-918B"} else form


def _forms(plain: str) -> Iterator[str]:
    for match in _FORM.finditer(plain):
        form = f"{match['series']}-{match['number']}{match['letters']}"
        letter = match["supplement"] or match["supplement_to"] or match["apart"]
        yield f"{form}{letter}" if f"{form}{letter}" in _LETTERED_FORMS else form


def _form_fault(plain: str) -> tuple[str, str]:
    if _MISTYPED_I.search(plain):
        return "mistyped_letter", "seems to have another character in place of the letter I: write it as in I-485"
    if _BARE_NUMBER.fullmatch(plain):
        return "missing_letter", f"lacks the letter before its number: write {_FORM_SHAPE}"
    return "not_a_form", f"is not a form number: write {_FORM_SHAPE}"
