"""Personal data and secrets stay on the tickets: after a full run, with every failure we can think of, nothing that
was planted is found in a log, in the database, in an answer, or on the command line, in whatever spelling."""

import base64
import html
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.system.office import CALL, DETAILS, WEBHOOK_SECRET, Office
from tests.system.process import SOURCE

TOKEN = "planted-token-Zq7Xw2Lk9"
SECRET = "planted-webhook-secret-Vb4Nm8"
RECEIPT, TWIN_RECEIPT, WRONG_RECEIPT = "WAC2577331144", "LIN2577331155", "EAC25773311"
ALIEN, WRONG_ALIEN = "A277331166", "277-33-1177"
NAME, REPRESENTATIVE = "Quillfeather, Žofie", "Ms. Brontë-Okonkwo 88213"
REASON, REQUEST = "planted „reason” für nothing", "SR7733112299"
PLANTED = (
    TOKEN,
    SECRET,
    WEBHOOK_SECRET,
    RECEIPT,
    TWIN_RECEIPT,
    WRONG_RECEIPT,
    ALIEN,
    ALIEN[1:],
    WRONG_ALIEN,
    NAME,
    "Quillfeather",
    REPRESENTATIVE,
    "Okonkwo",
    REASON,
    REQUEST,
    "The inquiry has not been resolved or explained",
    "connector@office.example",
)


def spellings(text: str) -> Iterator[bytes]:
    """The bytes under which a text may hide."""
    short = re.sub(r"[^\w]", "", text)
    spaced = " ".join(part for part in re.findall(r"[A-Za-z]+|\d{3}", short) if part) if short[-9:].isdecimal() else ""
    for plain in {text, short, spaced} - {""}:
        yield plain.encode()
        yield plain.encode("utf-16-le")
        yield plain.encode().hex().encode()
        yield json.dumps(plain)[1:-1].encode()
        yield repr(plain.encode())[2:-1].encode()
        yield html.escape(plain).encode()
        yield quote(plain, safe="").encode()
        yield quote_plus(plain).encode()
        for shift in range(3):  # base64 of it, wherever it begins in what was encoded
            shifted = b"\0" * shift + plain.encode()
            yield base64.b64encode(shifted)[shift and 4 : len(shifted) // 3 * 4]


def found_in(haystack: bytes) -> list[bytes]:
    small = haystack.lower()
    needles = {needle for text in PLANTED for needle in spellings(text) if len(needle) > 5}
    return [needle for needle in sorted(needles) if needle.lower() in small]


@pytest.mark.parametrize("text", PLANTED)
def test_the_search_finds_each_spelling(text: str) -> None:
    for hidden in (
        text.encode(),
        json.dumps({"a": text}).encode(),
        quote(f"x {text}").encode(),
        *(base64.b64encode(f"{'y' * shift}{text} and more".encode()) for shift in range(3) if len(text) > 8),
        text.upper().encode() if text.isascii() else b"x" + text.encode(),
    ):
        assert found_in(b"before " + hidden + b" after"), hidden


def plant(office: Office) -> None:
    """Tickets that walk, wait, lack something, cannot be written to, or are told of each other."""
    facts = DETAILS | CALL | {"NCSC_Representative": REPRESENTATIVE, "Service_Request_Number": REQUEST}
    late = office.clock.now() - timedelta(days=40)
    office.add(NAME, **DETAILS | {"Receipt_Number": WRONG_RECEIPT, "A-Number": WRONG_ALIEN})
    office.add(NAME, **DETAILS | {"Receipt_Number": TWIN_RECEIPT, "A-Number": ALIEN})
    office.add(NAME, **DETAILS | {"Receipt_Number": TWIN_RECEIPT.lower(), "A-Number": ALIEN})
    office.add(NAME, **facts | {"Receipt_Number": RECEIPT, "A-Number": ALIEN}, NCSC_Called_At=late)
    reason = facts | {"Service_Request_Number": None, "Reason_No_Service_Request": REASON}
    office.add(NAME, **reason | {"Receipt_Number": f"{RECEIPT[:3]} {RECEIPT[3:]}"}, NCSC_Called_At=late)
    office.add(NAME, **facts | {"Receipt_Number": f"SRC{RECEIPT[3:]}"}, NCSC_Called_At=late + timedelta(days=20))
    protected = office.add(NAME, **facts | {"Form_Type": "I-918"})
    office.fill(protected, description=f"{NAME} {RECEIPT} {ALIEN}")


def provoke(office: Office) -> list[bytes]:
    """Failures of every kind, whose messages quote what a ticket holds. Returns the answers to webhooks."""
    quoted = f"{NAME} {RECEIPT} {ALIEN} {REASON} {TOKEN}"
    told = f"The value '{quoted}' of \"{NAME}\" cannot be used with {RECEIPT}, {ALIEN}."  # as Jira quotes values
    faults = office.server.faults
    page = f"<html><body>{quoted}</body></html>"
    faults.add(
        "GET",
        r"reconcileIssues=\d+",
        status=500,
        body={"errorMessages": [quoted], "errors": {"customfield_10050": quoted}},
    )
    # A validator that an office wrote quotes as it likes.
    faults.add("POST", "/comment$", status=400, body={"errorMessages": [quoted], "errors": {"comment": quoted}})
    faults.add("POST", "/transitions$", status=400, body={"errorMessages": [quoted], "errors": {"status": told}})
    faults.add("PUT", r"/issue/\d+$", status=400, body={"errorMessages": [], "errors": {"duedate": quoted}})
    faults.add("GET", r"reconcileIssues=\d+", status=200, body=page)
    faults.add("POST", "jql/match", status=403, body={"errorMessages": [told]})
    faults.add("POST", "/comment$", drop="after")
    payload = json.dumps({"webhookEvent": quoted, "issue": {"id": quoted, "key": quoted}}).encode()
    answers = []
    for path, body, headers in (
        (f"/webhooks/{SOURCE}", payload, {"X-Hub-Signature": f"sha256={SECRET}"}),
        (f"/webhooks/{SOURCE}/{SECRET}", payload, {"Authorization": f"Bearer {TOKEN}"}),
        (f"/webhooks/{quote(NAME)}?receipt={RECEIPT}", payload, {"Cookie": quote(quoted)}),
        (f"/{quote(quoted)}", payload, {}),
        (f"/webhooks/{SOURCE}/{quote(quoted)}", b"\xff" + quoted.encode(), {"Content-Type": f"text/{RECEIPT}"}),
    ):
        answer = office.connector.post(path, body, headers)
        answers.append(repr(answer.headers).encode() + answer.content)
    return answers


def the_whole_run(office: Office) -> list[bytes]:
    """Everything the connector says in the course of a full run."""
    assert office.start()
    (office.connector.mappings / "webhook-secret").write_text(SECRET)  # rotated while it runs
    office.server.hooks.webhooks.clear()
    office.server.hooks.register(f"{office.connector.url}/webhooks/{SOURCE}", SECRET)
    office.settle()
    said = provoke(office)
    plant(office)
    office.settle()
    assert office.server.faults.waiting == 0
    said += [Path(f"/proc/{office.connector.pid}/cmdline").read_bytes()]
    said += [office.connector.get(path).content for path in ("/metrics", "/readyz", "/livez", f"/{quote(NAME)}")]
    said += [path.read_bytes() for path in office.connector.folder.glob("connector.sqlite3*")]
    listed = office.connector.command("tickets", "--json")
    said += [listed.stdout.encode(), listed.stderr.encode()]
    assert office.connector.stop() == 0
    said += [path.read_bytes() for path in office.connector.folder.glob("connector.sqlite3*")]
    return said + [path.read_bytes() for path in office.connector.outputs]


@pytest.mark.parametrize("log_format", ["json", pytest.param("console", marks=pytest.mark.slow)])
def test_nothing_personal_and_no_secret_leaves_the_tickets(open_office: Callable[..., Office], log_format: str) -> None:
    office = open_office()
    office.world.accounts[0].secret = TOKEN
    (office.connector.mappings / "token").write_text(TOKEN)
    office.connector.log_format = log_format
    said = the_whole_run(office)

    posted = "".join(comment.body for issue in office.world.issues.values() for comment in issue.comments)
    assert RECEIPT in posted
    assert REASON in posted
    assert len(said) > 15
    assert b"look failed" in said[-1]
    for piece in said:
        assert found_in(piece) == [], piece[:2000]
