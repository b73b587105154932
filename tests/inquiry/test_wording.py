# ruff: noqa: E501  the texts stand here as staff read them
"""What staff read, comment by comment and as a whole; and what `check` finds in templates of an office's own."""

import textwrap
from datetime import date, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest

from connector.inquiry.case import FACTS, Case, Problem
from connector.inquiry.procedure import TEMPLATES, Wait
from connector.inquiry.wording import check, day_text, moment_text, wait_text
from tests.inquiry.builders import called, case, comments, look, moment, only_comment, procedure, shipped, shown

ALL = frozenset(FACTS)
SC = "service_center_emailed_at"


def read(ticket: Case, now: str, **settings: Any) -> str:
    """The stage's own comment as plain text, without its link and its ref."""
    settings.setdefault("internal", False)
    text = shown(comments(look(ticket, now, procedure(**settings)))[-1])
    body, _, last = text.rpartition("\n\n")
    assert last.startswith("Inquiry connector, Step ")
    return body


def expected(text: str) -> str:
    return textwrap.dedent(text).strip("\n")


# ---- Each comment as a whole


def test_collect_details() -> None:
    wrong = Problem(
        "receipt_number", "too_short", 'Receipt Number "WAC15123" is too short: three letters and ten digits'
    )
    ticket = case(receipt_number=None, alien_number=None, problems=(wrong,), labels={"alien_number": "A#"})
    assert read(ticket, "2026-02-01 10:00") == expected("""
        Before the call, please complete this ticket

        - A# is missing (if the person has none, write "none assigned")
        - Receipt Number "WAC15123" is too short: three letters and ten digits

        When this is complete, the call sheet follows.
    """)


def test_call_sheet() -> None:
    assert read(case(), "2026-02-01 10:00") == expected("""
        Ready to call the NCSC: 1-800-375-5283
        Have at hand: receipt number WAC1512350123 · A-number A012345678 · Form I-130 · filed Jun 2, 2025
        Note in this ticket during the call: the representative's name or ID · date and time · the service request number, or why none was issued · the days they promise, if any

        Fill "NCSC Called At" with the time of the call: the days count from there. If you call today and hear nothing, the next step falls on Mar 4, 2026: the Service Center.
    """)


def test_call_sheet_of_a_case_whose_center_and_route_are_open() -> None:
    ticket = case(receipt_number="IOE0912345678", form_type="I-485", kept=ALL - {"promised_days"})
    assert read(ticket, "2026-02-01 10:00") == expected("""
        Ready to call the NCSC: 1-800-375-5283
        Have at hand: receipt number IOE0912345678 · A-number A012345678 · Form I-485 · filed Jun 2, 2025
        Note in this ticket during the call: the representative's name or ID · date and time · the service request number, or why none was issued
        Also ask which Service Center has the case, and fill "Service Center": this ticket does not tell.
        Check first whether this case takes the office's separate route.

        Fill "NCSC Called At" with the time of the call: the days count from there. If you call today and hear nothing, the next step falls on Mar 4, 2026: the Service Center.
    """)


def test_service_center_letter() -> None:
    assert read(called(), "2026-04-01 09:00") == expected("""
        E-mail the California Service Center now: csc-ncsc-followup@dhs.gov
        More than 30 days have passed since the call of Mar 1, 2026 (Ms. Rivera, ID 4471; service request SR12203260001), and no answer is recorded.

            To: csc-ncsc-followup@dhs.gov
            Subject: WAC1512350123, Form I-130: follow-up to NCSC inquiry of Mar 1, 2026

            Receipt number: WAC1512350123
            A-number: A012345678
            Application: Form I-130, filed Jun 2, 2025
            NCSC call: Mar 1, 2026, 10:15 a.m. Eastern, Ms. Rivera, ID 4471
            Service request: SR12203260001

            The inquiry has not been resolved or explained. Please advise on the status of this case.

        When it is sent, fill "Service Center Emailed At". An automatic reply is not an answer. When a real answer comes, fill "Answered At".

        If you send it today, the next step falls on Apr 23, 2026: Headquarters.
    """)


def test_service_center_letter_without_request_after_promised_days() -> None:
    ticket = called(
        moment("2026-03-01"),
        ncsc_representative=None,
        service_request_number=None,
        no_service_request_reason="within posted processing time",
        promised_days=45,
        alien_number="none assigned",
        kept=ALL - {"answered_at", "ncsc_representative"},
        labels={SC: "Sent to SC"},
    )
    assert read(ticket, "2026-04-16 09:00") == expected("""
        E-mail the California Service Center now: csc-ncsc-followup@dhs.gov
        The NCSC promised an answer within 45 days of the call of Mar 1, 2026 (no service request was issued), and no answer is recorded.

            To: csc-ncsc-followup@dhs.gov
            Subject: WAC1512350123, Form I-130: follow-up to NCSC inquiry of Mar 1, 2026

            Receipt number: WAC1512350123
            A-number: none assigned
            Application: Form I-130, filed Jun 2, 2025
            NCSC call: Mar 1, 2026
            No service request was issued. Reason given: within posted processing time

            The NCSC promised an answer within 45 days. The inquiry has not been resolved or explained. Please advise on the status of this case.

        When it is sent, fill "Sent to SC". An automatic reply is not an answer. When a real answer comes, close this ticket.

        If you send it today, the next step falls on May 8, 2026: Headquarters.
    """)


def test_which_service_center() -> None:
    assert read(called(receipt_number="IOE0912345678"), "2026-04-05 09:00") == expected("""
        Which Service Center has this case? IOE receipt numbers do not tell.
        Look at the lower left of the receipt or transfer notice, and fill "Service Center" (California Service Center, Vermont Service Center, Nebraska Service Center, Texas Service Center).

        The wait ended on Apr 1, 2026; the letter follows as soon as the Service Center is known.
    """)


def test_incomplete_letter() -> None:
    ticket = called(service_request_number=None, filed_on=None)
    assert read(ticket, "2026-04-05 09:00") == expected("""
        Complete this ticket: the letter to the Service Center follows at once

        - Date Filed is missing
        - Service Request Number is missing; if none was issued, give the reason in "Reason No Service Request"

        The wait ended on Apr 1, 2026, and no answer is recorded.
    """)
    headquarters = called(filed_on=None, **{SC: moment("2026-04-01 11:00")})
    assert "the letter to Headquarters follows at once" in read(headquarters, "2026-04-23 09:00")


def test_headquarters_letter() -> None:
    ticket = called(**{SC: moment("2026-04-01 14:30")})
    assert read(ticket, "2026-04-23 09:00") == expected("""
        E-mail Headquarters now: SCOPSSCATA@dhs.gov
        21 days have passed since the e-mail to the California Service Center of Apr 1, 2026, and no answer is recorded.

            To: SCOPSSCATA@dhs.gov
            Subject: WAC1512350123, Form I-130: no response from the Service Center since Apr 1, 2026

            Receipt number: WAC1512350123
            A-number: A012345678
            Application: Form I-130, filed Jun 2, 2025
            NCSC call: Mar 1, 2026, 10:15 a.m. Eastern, Ms. Rivera, ID 4471
            Service request: SR12203260001
            Service Center: e-mailed California Service Center (csc-ncsc-followup@dhs.gov) on Apr 1, 2026, 2:30 p.m. Eastern

            No response has been received within 21 days of that e-mail. Please advise on the status of this case.

        When it is sent, fill "HQ Emailed At". Headquarters answers within 10 days. An automatic reply is not an answer. When a real answer comes, fill "Answered At".

        If you send it today, the next look falls on May 4, 2026.
    """)


def test_headquarters_overdue() -> None:
    sent = {SC: moment("2026-04-01"), "headquarters_emailed_at": moment("2026-04-23 12:05")}
    assert read(called(**sent), "2026-05-04 09:00") == expected("""
        Decide in the office what comes next: Headquarters has not answered within its 10 days
        The published procedure ends here. Every contact so far, for the file:

        - Mar 1, 2026, 10:15 a.m. Eastern: called the NCSC, 1-800-375-5283 (Ms. Rivera, ID 4471; Service request: SR12203260001)
        - Apr 1, 2026: e-mailed the California Service Center, csc-ncsc-followup@dhs.gov
        - Apr 23, 2026, 12:05 p.m. Eastern: e-mailed USCIS Headquarters, Office of Service Center Operations, SCOPSSCATA@dhs.gov

        If an answer comes after all, fill "Answered At".
    """)
    bare = case(receipt_number="IOE0912345678", called_at=moment("2026-03-01"), kept=frozenset(), **sent)
    text = read(bare, "2026-05-04 09:00")
    assert "- Mar 1, 2026: called the NCSC, 1-800-375-5283 (details not noted)\n" in text
    assert "- Apr 1, 2026: e-mailed the Service Center\n" in text
    assert text.endswith("If an answer comes after all, close this ticket.")


def test_protected() -> None:
    assert read(called(protected=True), "2026-05-04 09:00") == expected("""
        Use the office's separate route for this case
        Do not use the ordinary telephone number or addresses. Ask the person in your office who handles such cases.
    """)


def test_correct_facts_and_same_receipt() -> None:
    ticket = called(twins=("CASE-2",), **{SC: moment("2026-02-01")})
    twin, correct = comments(look(ticket, "2026-03-05 09:00"))
    assert shown(twin).rpartition("\n\n")[0] == expected("""
        CASE-2 has the same receipt number
        Keep one inquiry for each receipt number: go on with one of the two tickets and close the other.
    """)
    assert shown(correct).rpartition("\n\n")[0] == expected("""
        Please correct this ticket

        - Service Center Emailed At (Feb 1, 2026) is before NCSC Called At

        A wait that is running goes on meanwhile.
    """)


def test_business_days_are_called_so() -> None:
    waits = {"call": Wait(20, "business"), "email_headquarters": Wait(1, "business")}
    assert "More than 20 business days have passed" in read(called(), "2026-04-01 09:00", waits=waits)
    ticket = called(**{SC: moment("2026-04-01 11:00")})
    assert "Headquarters answers within 1 business day." in read(ticket, "2026-04-23 09:00", waits=waits)


def test_the_link_stands_in_internal_comments_only_and_opens_the_letter() -> None:
    public = only_comment(look(called(), "2026-04-01 09:00", procedure(internal=False)))
    assert "mailto:" not in shown(public)
    text = shown(only_comment(look(called(), "2026-04-01 09:00")))
    (line,) = [line for line in text.splitlines() if "mailto:" in line]
    link = urlsplit(line.removeprefix("Open the letter in your mail program: "))
    mail = parse_qs(link.query, strict_parsing=True)
    assert (link.scheme, link.path) == ("mailto", "csc-ncsc-followup@dhs.gov")
    assert mail["subject"] == ["WAC1512350123, Form I-130: follow-up to NCSC inquiry of Mar 1, 2026"]
    lines = mail["body"][0].split("\r\n")
    assert lines[0] == "Receipt number: WAC1512350123"
    assert textwrap.indent("\n".join(lines), "    ", lambda line: bool(line.strip())) in text


# ---- Dates and days


@pytest.mark.parametrize(
    ("at", "zone", "text"),
    [
        ("2026-03-01 00:05", "America/New_York", "Mar 1, 2026, 12:05 a.m. Eastern"),
        ("2026-03-01 11:59", "America/Chicago", "Mar 1, 2026, 11:59 a.m. Central"),
        ("2026-12-31 12:00", "America/Denver", "Dec 31, 2026, 12:00 p.m. Mountain"),
        ("2026-07-01 23:09", "America/Los_Angeles", "Jul 1, 2026, 11:09 p.m. Pacific"),
        ("2026-07-01 09:00", "Europe/London", "Jul 1, 2026, 9:00 a.m. BST"),
        ("2026-07-01", "America/New_York", "Jul 1, 2026"),
    ],
)
def test_moments(at: str, zone: str, text: str) -> None:
    assert moment_text(moment(at, zone), ZoneInfo(zone)) == text


def test_days() -> None:
    assert day_text(date(2026, 4, 3)) == "Apr 3, 2026"
    assert day_text(datetime(2026, 4, 23, tzinfo=ZoneInfo("UTC")).date()) == "Apr 23, 2026"
    assert [wait_text(Wait(days)) for days in (0, 1, 30)] == ["0 days", "1 day", "30 days"]


# ---- Templates of an office's own


def test_an_office_replaces_a_comment_and_its_letter() -> None:
    own = {
        "email_service_center": "**Write** to [them]({{ letter_link }}): {{ center }}\n{{ letter }}\n\nThen *wait*.",
        "letter_subject": "Case {{ receipt_number }}\nplease",
        "letter_body": "Hello,\n\n{{ receipt_number }} is late.\n",
    }
    ticket = called()
    text = shown(only_comment(look(ticket, "2026-04-01 09:00", procedure(wording=own, internal=False))), "html")
    assert "<strong>Write</strong>" in text
    assert "<pre>To: csc-ncsc-followup@dhs.gov\nSubject: Case WAC1512350123 please\n\n" in text
    assert "Hello,\n\nWAC1512350123 is late.\n</pre>\n<p>Then wait.</p>" in text


@pytest.mark.parametrize("around", ["{{ letter }}", "Send this: {{ letter }} today", "- {{ letter }}\n- then wait"])
def test_a_letter_stays_a_block_wherever_a_template_puts_it(around: str) -> None:
    """Regression: in the midst of a line its text was read as Markdown, with staff's words as markup."""
    ticket = called(ncsc_representative="**Ms. Rivera** [click](http://example.org)")
    text = shown(
        only_comment(look(ticket, "2026-04-01 09:00", procedure(wording={"email_service_center": around}))), "html"
    )
    assert "<strong>" not in text
    assert "<a " not in text
    assert "Eastern, **Ms. Rivera** [click](http://example.org)\n" in text.partition("<pre>")[2].partition("</pre>")[0]
    assert "<p>Inquiry connector, Step 2, ref" in text


def test_a_line_that_ends_with_a_tag_stays_a_line() -> None:
    """Regression: trim_blocks glued it to the next line. A line with only a tag leaves nothing behind."""
    own = "One{% if center %}, two{% endif %}\nThree\n  {% if center %}  \nFour\n{%- endif %}\n\nFive"
    text = shown(only_comment(look(called(), "2026-04-01 09:00", procedure(wording={"email_service_center": own}))))
    assert text.startswith("One, two\nThree\nFour\nFive\n")


def test_the_shipped_templates_are_without_mistakes() -> None:
    assert check(shipped().wording) == []
    assert set(shipped().wording) == set(TEMPLATES)


@pytest.mark.parametrize(
    ("name", "text", "line", "message"),
    [
        (
            "call_ncsc",
            "Call {{ phone }}\n\nnow, {{ reciept_number }}",
            3,
            "'reciept_number' is not a word for templates",
        ),
        ("call_ncsc", "Call\n{% if ask_route and not ask_route %}\n{{ nobody }}\n{% endif %}", 3, "'nobody' is not"),
        ("call_ncsc", "Call\n{{ labels.called }}", 2, "'labels' has no 'called'; it has: receipt_number,"),
        ("call_ncsc", "Call\n{% if keeps.promise %}x{% endif %}", 2, "'keeps' has no 'promise'"),
        ("call_ncsc", "Call\n\n{% if phone %}\nnow", 4, "the template cannot be read: Unexpected end of template"),
        ("call_ncsc", "Call\n{{ phone", 2, "the template cannot be read: unexpected end of template"),
        ("call_ncsc", "Call\n{{ phone | loud }}", 2, "the template cannot be read: No filter named 'loud'"),
        ("call_ncsc", "{# nothing yet #}\n  \n", 1, "the template comes out empty"),
        (
            "call_ncsc",
            "Call\n{{ phone.__class__.__mro__ }}",
            2,
            "access to attribute '__class__' of 'str' object is unsafe",
        ),
        ("call_ncsc", "Call\n\n{{ ''.format.__globals__ }}", 3, "is unsafe"),
        ("call_ncsc", "Call {{ cycler.__init__.__globals__.os.popen('id').read() }}", 1, "is unsafe"),
        ("call_ncsc", "Call\n{% include '/etc/passwd' %}", 2, "no loader for this environment"),
        ("call_ncsc", "Call\n{{ 1 / 0 }}", 2, "division by zero"),
        ("call_ncsc", "Call\n{{ phone + 1 }}", 2, "the template fails"),
        ("call_ncsc", "{{ 'x' * 10000000000 }}", 1, "may only multiply two numbers"),
        ("call_ncsc", "Call {{ 9 ** 9 ** 9 ** 9 }}", 1, "may only multiply two numbers"),
        ("call_ncsc", "{% for i in range(1000000) %}x{% endfor %}", 1, "Range too big"),
        (
            "call_ncsc",
            "{% for i in range(99999) %}{% for j in range(99999) %}{{ phone }}{% endfor %}{% endfor %}",
            1,
            "it writes more than 20000 characters",
        ),
        ("letter_body", "Dear all,\n{{ receipt }}", 2, "'receipt' is not a word for templates"),
        ("letter_subject", "{{ receipt_number }} {{ a_number }}", 1, "'a_number' does not belong in a subject"),
        ("headquarters_letter_subject", "x\n{{ call_details }}", 2, "'call_details' does not belong in a subject"),
    ],
)
def test_check_finds(name: str, text: str, line: int, message: str) -> None:
    mistakes = check({name: text})
    assert [(mistake[0], mistake[1]) for mistake in mistakes] == [(name, line)]
    assert message in mistakes[0][2]


def test_check_finds_every_wrong_name_at_once() -> None:
    mistakes = check({"call_ncsc": "{{ one }}\n{{ phone }}\n{{ two }}", "protected": "{{ three }}"})
    assert [mistake[:2] for mistake in mistakes] == [("call_ncsc", 1), ("call_ncsc", 3), ("protected", 1)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("letter_subject", "{{ receipt_number }}"),
        ("letter_body", "{% if service_request %}{{ service_request }}{% endif %}"),
        ("call_ncsc", "{% for item in problems %}{{ loop.index }}. {{ item }}{% endfor %}{{ 2 * 3 }}"),
        ("call_ncsc", "{% set who = representative or 'nobody' %}{{ who | upper }}{{ labels['called_at'] }}"),
        (
            "headquarters_overdue",
            "{% macro line(text) %}* {{ text }}{% endmacro %}{{ line(record[0] if record else '') }}",
        ),
    ],
)
def test_check_lets_useful_templates_pass(name: str, text: str) -> None:
    """Regression: what is empty only while its words are was refused as empty."""
    assert check({name: text}) == []
