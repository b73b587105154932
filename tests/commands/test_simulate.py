"""`connector simulate`: the contract of its JSON, and every stage of the procedure through the real command."""

import json
import os
import re
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.mapping.loading import load_mapping
from connector.practice.clock import PracticeClock
from connector.practice.sample import blank_world
from connector.practice.server import PracticeServer
from connector.practice.world import Deployment
from connector.setup.connect import make_setup
from connector.setup.provision import lacking
from connector.setup.wanted import wanted_of
from tests.commands.conftest import Invoke, json_of
from tests.commands.samples import CALLED, CENTER_EMAILED, HEADQUARTERS_EMAILED, issue, write_issue, write_mapping
from tests.zammad_standin import ZammadStandin
from tests.zammad_standin.world import ADMIN_TOKEN

EXAMPLES = Path(__file__).parents[2] / "field_mappings"
PERSON = "Ms. Quillfeather"
KEYS = {"stage", "attend_at", "problems", "acts", "reasons", "service_center"}


class Simulate:
    """simulate(ticket, at) -> the decision as JSON, with a mapping by ids."""

    def __init__(self, invoke: Invoke, folder: Path) -> None:
        self.invoke, self.folder = invoke, folder
        self.mapping = write_mapping(folder, by_id=True)

    def __call__(self, raw: Any, at: str, mapping: Path | None = None) -> dict[str, Any]:
        ticket = write_issue(self.folder, raw)
        result = self.invoke("simulate", "--mapping", mapping or self.mapping, "--ticket", ticket, "--at", at, "--json")
        assert result.exit_code == 0, result.output
        decision = json_of(result)
        assert set(decision) == KEYS
        assert isinstance(decision, dict)
        return decision


@pytest.fixture
def simulate(invoke: Invoke, tmp_path: Path) -> Simulate:
    return Simulate(invoke, tmp_path)


STAGES: list[tuple[str, dict[str, Any], str, str | None, list[str]]] = [
    # stage, ticket, at, attend_at, kinds of acts
    ("collect_details", issue(alien_number=None), "2026-03-01T12:00:00Z", None, ["transition", "comment"]),
    ("call_ncsc", issue(), "2026-03-01T12:00:00Z", None, ["comment"]),
    ("awaiting_ncsc", issue(**CALLED), "2026-03-20T12:00:00Z", "2026-04-01T13:00:00Z", ["due_date"]),
    ("email_service_center", issue(**CALLED), "2026-04-01T13:00:00Z", None, ["transition", "comment"]),
    (
        "awaiting_service_center",
        issue(**CENTER_EMAILED),
        "2026-04-02T12:00:00Z",
        "2026-04-23T13:00:00Z",
        ["due_date"],
    ),
    ("email_headquarters", issue(**CENTER_EMAILED), "2026-04-23T09:00:00-04:00", None, ["comment"]),
    (
        "awaiting_headquarters",
        issue(**HEADQUARTERS_EMAILED),
        "2026-04-24T12:00:00Z",
        "2026-05-04T13:00:00Z",
        ["due_date"],
    ),
    ("headquarters_overdue", issue(**HEADQUARTERS_EMAILED), "2026-05-04T13:00:00Z", None, ["comment"]),
    ("answered", issue(**CALLED, answered_at="2026-03-10T09:00:00.000-0500"), "2026-04-02T12:00:00Z", None, []),
    ("answered", issue("Closed", done=True, **CALLED), "2026-04-02T12:00:00Z", None, []),
    ("protected", issue(form_type="I-918"), "2026-03-01T12:00:00Z", None, ["comment"]),
    ("protected", issue(protected=[{"value": "Yes", "id": "1"}]), "2026-03-01T12:00:00Z", None, ["comment"]),
]


@pytest.mark.parametrize(("stage", "raw", "at", "attend_at", "kinds"), STAGES)
def test_every_stage(
    simulate: Simulate, stage: str, raw: dict[str, Any], at: str, attend_at: str | None, kinds: list[str]
) -> None:
    decision = simulate(raw, at)
    assert (decision["stage"], decision["attend_at"]) == (stage, attend_at)
    assert [act["kind"] for act in decision["acts"]] == kinds
    for act in decision["acts"]:
        assert set(act) == {"kind", "ref", "to", "body"}
        assert re.fullmatch(r"[0-9a-f]{8}", act["ref"])
        if act["kind"] == "comment":
            last = act["body"].splitlines()[-1]
            assert last.startswith("Inquiry connector, Step ")
            assert act["ref"] in last
    for problem in decision["problems"]:
        assert set(problem) == {"field", "code", "message"}
    for reason in decision["reasons"]:
        assert set(reason) == {"code", "message"}
    assert decision["reasons"]


def test_the_letter_is_in_jiras_markup_and_names_the_addressee(simulate: Simulate) -> None:
    decision = simulate(issue(**CALLED), "2026-04-01T13:00:00Z")
    move, letter = decision["acts"]
    assert (move["to"], move["body"]) == ("E-mail Service Center", None)
    assert letter["to"] == "csc-ncsc-followup@dhs.gov"
    assert letter["body"].startswith("*E")  # bold, in wiki text
    assert "{noformat}" in letter["body"]
    assert decision["service_center"] == "california"


def test_a_due_date_and_a_recorded_moment(simulate: Simulate) -> None:
    decision = simulate(issue(**CALLED), "2026-03-20T12:00:00Z")
    assert [(act["kind"], act["to"]) for act in decision["acts"]] == [("due_date", "2026-04-01")]
    raw = issue("E-mailed Service Center", **CALLED)
    item = {"field": "status", "fieldtype": "jira", "fieldId": "status", "toString": "E-mailed Service Center"}
    raw["changelog"] = {"histories": [{"id": "1", "created": "2026-04-02T10:00:00.000-0400", "items": [item]}]}
    recorded = simulate(raw, "2026-04-03T12:00:00Z")
    assert recorded["stage"] == "awaiting_service_center"
    filled = recorded["acts"][0]
    assert (filled["kind"], filled["to"]) == ("set_field", "service_center_emailed_at")
    assert datetime.fromisoformat(filled["body"]) == datetime(2026, 4, 2, 14, 0, tzinfo=UTC)


def test_acts_that_stand_on_the_ticket_are_left_out(simulate: Simulate) -> None:
    raw, at = issue(**CALLED), "2026-04-01T13:00:00Z"
    before = simulate(raw, at)
    comment = before["acts"][-1]
    raw["fields"]["comment"] = {"comments": [{"id": "7", "body": comment["body"]}], "total": 1}
    after = simulate(raw, at)
    assert after["acts"] == []
    assert {key: after[key] for key in KEYS - {"acts"}} == {key: before[key] for key in KEYS - {"acts"}}


def test_the_receipt_that_names_no_centre(simulate: Simulate) -> None:
    raw = issue(**CALLED | {"receipt_number": "IOE0912345678"})
    asking = simulate(raw, "2026-04-01T13:00:00Z")
    assert asking["service_center"] is None
    assert [(each["field"], each["code"]) for each in asking["problems"]] == [("service_center", "missing")]
    raw["fields"]["customfield_10059"] = {"value": "Texas Service Center", "id": "3"}
    told = simulate(raw, "2026-04-01T13:00:00Z")
    assert (told["service_center"], told["acts"][-1]["to"]) == ("texas", "tsc.ncscfollowup@dhs.gov")


@pytest.mark.parametrize(
    ("called", "passes"),
    [
        ("2026-02-05T10:00:00.000-0500", "2026-03-08T13:00:00Z"),  # the morning on which clocks go forward
        ("2026-10-01T10:00:00.000-0400", "2026-11-01T14:00:00Z"),  # the morning on which they go back
        ("2024-01-29T10:00:00.000-0500", "2024-02-29T14:00:00Z"),  # a leap day
        ("2026-12-01T23:59:00.000-0500", "2027-01-01T14:00:00Z"),
    ],
)
def test_waits_pass_to_the_second(simulate: Simulate, called: str, passes: str) -> None:
    raw = issue(**CALLED | {"called_at": called, "filed_on": "2023-01-10"})
    moment = datetime.fromisoformat(passes)
    just_before = datetime.fromtimestamp(moment.timestamp() - 1, UTC).isoformat()
    waiting = simulate(raw, just_before)
    assert (waiting["stage"], waiting["attend_at"]) == ("awaiting_ncsc", passes)
    assert simulate(raw, passes)["stage"] == "email_service_center"


def test_the_same_moment_with_z_or_an_offset(simulate: Simulate) -> None:
    raw = issue(**CALLED)
    same = [simulate(raw, at) for at in ("2026-04-01T13:00:00Z", "2026-04-01T09:00-04:00", "2026-04-01T22:00:00+09:00")]
    assert same[0] == same[1] == same[2]


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("2026-04-01T09:00:00", "has no time zone"),
        ("2026-04-01", "has no time zone"),
        ("tomorrow", "is not a moment"),
        ("2026-02-30T09:00:00Z", "is not a moment"),
        ("", "is not a moment"),
        ("9999-12-31T23:59:59-12:00", "is not a moment of our times"),
        ("0001-01-01T00:00:00+12:00", "is not a moment of our times"),
    ],
)
def test_a_wrong_at_is_a_wrong_call(invoke: Invoke, tmp_path: Path, at: str, told: str) -> None:
    mapping, ticket = write_mapping(tmp_path), write_issue(tmp_path, issue())
    result = invoke("simulate", "--mapping", mapping, "--ticket", ticket, "--at", at)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is not JSON: line 1"),
        (b'{"id": "1",', "is not JSON: line 1"),
        (b"\xff\xfe{\x00", "is not UTF-8 text"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"id": ' + b"9" * 5_000 + b"}", "a number that is far too long"),
        (b"[]", "is not a ticket"),
        (b"{}", "is not a ticket"),
        (b'{"errorMessages": ["Issue does not exist"], "errors": {}}', "is not a ticket"),
        (b'{"webhookEvent": "jira:issue_updated", "issue": {"id": "1"}}', "is not a ticket"),
        (b'{"issues": [{"id": "1"}], "total": 1}', "is not a ticket"),
    ],
)
def test_a_file_that_is_no_ticket(invoke: Invoke, tmp_path: Path, content: bytes | None, told: str) -> None:
    mapping, ticket = write_mapping(tmp_path, by_id=True), tmp_path / "ticket.json"
    if content is not None:
        ticket.write_bytes(content)
    result = invoke("simulate", "--mapping", mapping, "--ticket", ticket, "--json")
    assert result.exit_code == 1
    assert str(ticket) in result.stderr
    assert told in result.stderr
    assert result.stdout == ""


def as_refused(invoke: Invoke, mapping: Path, ticket: Path) -> str:
    """What is said of a ticket file that is refused; it names the file and quotes nothing of it."""
    result = invoke("simulate", "--mapping", mapping, "--ticket", ticket, "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    said = result.stderr.strip()
    assert said.startswith(f"{ticket}: ")
    assert PERSON not in said
    return said.removeprefix(f"{ticket}: ")


def test_a_pipe_or_a_device_is_not_waited_for(invoke: Invoke, tmp_path: Path) -> None:
    # Regression: a pipe that nobody writes into was waited for without end.
    mapping, pipe = write_mapping(tmp_path, by_id=True), tmp_path / "pipe"
    os.mkfifo(pipe)
    for no_file in (pipe, tmp_path, Path("/dev/zero")):
        told = as_refused(invoke, mapping, no_file)
        assert told == "is not a file: save the ticket into one and name that"


@pytest.mark.parametrize(("more", "told"), [(0, "is not JSON: line 1: Expecting value"), (1, "is larger than 25 MB")])
def test_a_file_may_be_as_large_as_a_webhook(invoke: Invoke, tmp_path: Path, more: int, told: str) -> None:
    mapping, large = write_mapping(tmp_path, by_id=True), tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(25 * 1024**2 + more)  # takes no room on the disk
    assert as_refused(invoke, mapping, large).startswith(told)
    assert "at most 25 MB" in invoke("simulate", "--help").stdout


JIRA = issue(ncsc_representative=PERSON)
ZAMMAD = {"id": 17, "number": "20017", "title": PERSON, "state": "open", "receipt_number": "WAC1512350123"}
REQUEST_TRACKER = {"id": 17, "Status": "open", "Subject": PERSON, "CustomFields": []}


@pytest.mark.parametrize(
    ("kind", "raw", "looks_like"),
    [
        ("jira by ids", ZAMMAD, "zammad"),
        ("jira by ids", REQUEST_TRACKER, "request_tracker"),
        ("jira by names", ZAMMAD, "zammad"),
        ("jira by names", REQUEST_TRACKER, "request_tracker"),
        ("zammad", JIRA, "jira"),
        ("zammad", REQUEST_TRACKER, "request_tracker"),
        ("request_tracker", JIRA, "jira"),
        ("request_tracker", ZAMMAD, "zammad"),
    ],
)
def test_a_ticket_of_another_tracker_is_recognised(
    invoke: Invoke, tmp_path: Path, kind: str, raw: dict[str, Any], looks_like: str
) -> None:
    # Regression: by ids, Jira's adapter found every fact missing in another tracker's ticket.
    kind, _, how = kind.partition(" by ")
    if how:
        mapping = write_mapping(tmp_path, by_id=how == "ids")
    else:
        mapping = EXAMPLES / f"{kind.replace('_', '-')}.example.yaml"
    assert as_refused(invoke, mapping, write_issue(tmp_path, raw)) == (
        f"looks like a ticket of {looks_like}, but the mapping is for {kind}: take a mapping for {looks_like}, or save "
        f"what {kind} answers for one ticket, unchanged (`connector simulate --help` says how)"
    )


@pytest.mark.parametrize("raw", [{"id": "7", "title": PERSON}, {**JIRA, "fields": None}, {**JIRA, "key": None}])
def test_what_no_tracker_answers_is_not_all_facts_missing(invoke: Invoke, tmp_path: Path, raw: dict[str, Any]) -> None:
    told = as_refused(invoke, write_mapping(tmp_path, by_id=True), write_issue(tmp_path, raw))
    assert told.startswith("is not a ticket of jira, or not all of one: it has no key or no status: save what jira ")


def test_a_mistake_in_its_own_trackers_ticket_is_told_as_that(invoke: Invoke, tmp_path: Path) -> None:
    numbers = {**ZAMMAD, "state": 2}
    told = as_refused(invoke, EXAMPLES / "zammad.example.yaml", write_issue(tmp_path, numbers))
    assert told == "This JSON has numbers instead of names. Fetch the ticket with ?expand=true."


def test_names_need_a_file_that_has_them(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("simulate", "--mapping", write_mapping(tmp_path), "--ticket", write_issue(tmp_path, issue()))
    assert result.exit_code == 1
    assert "expand=names" in result.stderr


def test_a_mapping_with_mistakes(invoke: Invoke, tmp_path: Path) -> None:
    mapping = tmp_path / "cases.yaml"
    mapping.write_text("trakcer: {}\n", encoding="utf-8")
    result = invoke("simulate", "--mapping", mapping, "--ticket", write_issue(tmp_path, issue()))
    assert result.exit_code == 1
    assert f"{mapping}:1: trakcer: is not known here; did you mean tracker?" in result.stderr
    missing = invoke("simulate", "--mapping", tmp_path / "none.yaml", "--ticket", tmp_path / "ticket.json")
    assert missing.exit_code == 1
    assert "there is no such file" in missing.stderr


@pytest.mark.parametrize("deployment", ["cloud", "data-center"])
@pytest.mark.parametrize("by_id", [True, False])
def test_what_a_jira_really_answers(
    invoke: Invoke, tmp_path: Path, deployment: Deployment, by_id: bool, simulate: Simulate
) -> None:
    """Both deployments' JSON, fields named or not, with the connector's earlier comment and the history in it."""
    world = blank_world(lambda: datetime(2026, 4, 2, 14, 0, tzinfo=UTC), deployment)
    alien_number: dict[str, Any] = {"A-Number": "none assigned"}
    ticket = world.add_issue(
        "CASE",
        summary="Case",
        Receipt_Number="SRC2490045678",
        Form_Type="I-140",
        Date_Filed=datetime(2025, 6, 2, tzinfo=UTC).date(),
        NCSC_Called_At=datetime(2026, 3, 1, 15, 15, tzinfo=UTC),
        NCSC_Representative="ID 2208",
        Service_Center="Vermont Service Center",
        Reason_No_Service_Request="Within posted processing time",
        **alien_number,
    )
    mapping = write_mapping(tmp_path, by_id=by_id, name="jira")
    at = "2026-04-02T15:00:00Z"
    with PracticeServer(world) as server:

        def saved() -> Any:
            expand = "changelog" if by_id else "names,changelog"
            answer = requests.get(
                f"{server.url}/rest/api/2/issue/{ticket.key}",
                params={"expand": expand},
                timeout=5,
                **(
                    {"auth": world.connector_auth}
                    if deployment == "cloud"
                    else {"headers": {"Authorization": "Bearer practice-token"}}
                ),
            )
            assert answer.status_code == 200, answer.text
            return answer.json()

        decision = simulate(saved(), at, mapping)
        assert decision["stage"] == "email_service_center"
        assert decision["service_center"] == "vermont"  # the ticket wins over the receipt's prefix
        comment = decision["acts"][-1]
        assert "Within posted processing time" in comment["body"]
        world.add_comment(ticket, world.new_comment(ticket, comment["body"], world.connector))
        assert simulate(saved(), at, mapping)["acts"] == []
        world.move_to(ticket, "E-mailed Service Center")
        moved = simulate(saved(), at, mapping)
        assert moved["stage"] == "awaiting_service_center"
        assert moved["acts"][0]["kind"] == "set_field"


ZAMMAD_CASE = {
    "receipt_number": "WAC1512350123",
    "alien_number": "A012345678",
    "form_type": "I-130",
    "filed_on": "2025-06-02",
    "called_at": "2026-03-01T15:15:00.000Z",
    "ncsc_representative": "ID 4471",
    "service_center": "vsc",
}


def test_what_a_zammad_really_answers(simulate: Simulate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its JSON as it comes; then with the articles and the history beside it, as the help says."""
    mapping = tmp_path / "zammad.yaml"
    mapping.write_text((EXAMPLES / "zammad.example.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    clock = PracticeClock(datetime(2026, 4, 2, 14, 0, tzinfo=UTC))
    monkeypatch.setenv("ZAMMAD_TOKEN", ADMIN_TOKEN)
    with ZammadStandin(clock) as zammad:
        headers = {"Authorization": f"Token token={ADMIN_TOKEN}"}

        def call(method: str, path: str, body: Any = None) -> Any:
            answer = requests.request(method, f"{zammad.url}/api/v1/{path}", json=body, headers=headers, timeout=5)
            assert answer.ok, answer.text
            return answer.json()

        fields = load_mapping(mapping)
        wanted, setup = wanted_of(fields), make_setup("zammad", replace(fields.tracker, url=zammad.url), fields.scope)
        with closing(setup):
            for task in lacking(setup.plan(wanted)):
                setup.carry_out(wanted, task)
        article = {"subject": "A case", "body": "Case opened.", "type": "note", "internal": True}
        who = {"title": "A case", "group": "USCIS inquiries", "customer_id": "guess:client@office.example"}
        number = call("POST", "tickets", {**who, "article": article, **ZAMMAD_CASE})["id"]
        alone = call("GET", f"tickets/{number}?expand=true")
        at = "2026-04-02T15:00:00Z"
        letter = simulate(alone, at, mapping)
        assert (letter["stage"], letter["service_center"]) == ("email_service_center", "vermont")
        body = letter["acts"][-1]["body"]
        call(
            "POST", "ticket_articles", {"ticket_id": number, "body": body, "content_type": "text/html", "type": "note"}
        )
        assert simulate(call("GET", f"tickets/{number}?expand=true"), at, mapping)["acts"], "no articles, so told again"
        clock.advance(minutes=1)
        call("PUT", f"tickets/{number}", {"state": "e-mailed service center"})
        after = call("GET", f"tickets/{number}?expand=true")
        articles = call("GET", f"ticket_articles/by_ticket/{number}")
        told = simulate({**after, "state": "open", "articles": articles}, at, mapping)
        assert [act["kind"] for act in told["acts"]] == []
        history = call("GET", f"ticket_history/{number}")["history"]
        moved = simulate({**after, "articles": articles, "history": history}, "2026-04-03T15:00:00Z", mapping)
        assert moved["stage"] == "awaiting_service_center"
        assert moved["acts"][0]["kind"] == "set_field"


def test_what_a_request_tracker_really_answers(simulate: Simulate, tmp_path: Path) -> None:
    """The JSON of /REST/2.0/ticket/ID: every custom field there, set or not; dates that are not set in 1970."""
    mapping = tmp_path / "request-tracker.yaml"
    mapping.write_text((EXAMPLES / "request-tracker.example.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    values = {
        "Receipt Number": ["LIN2190012345"],
        "A-Number": ["none assigned"],
        "Form Type": ["i140"],
        "Date Filed": ["2025-06-02"],
        "NCSC Called At": ["2026-03-01T15:15:00Z"],
        "Service Request Number": ["SR12203260001"],
        "Service Center Emailed At": ["1970-01-01T00:00:00Z"],
        "Route": ["Ordinary"],
    }
    names = [ref.field for ref in load_mapping(mapping).fields.values()]
    raw = {
        "id": 17,
        "type": "ticket",
        "Status": "open",
        "Subject": "Pending case",
        "Queue": {"id": "3", "type": "queue", "_url": "https://rt.example.org/REST/2.0/queue/3"},
        "Due": "1970-01-01T00:00:00Z",
        "LastUpdated": "2026-03-02T10:00:00Z",
        "CustomFields": [
            {"id": str(number), "type": "customfield", "name": name, "values": values.get(name, [])}
            for number, name in enumerate(names, 1)
        ],
        "_hyperlinks": [{"ref": "self", "type": "ticket", "id": 17}],
    }
    waiting = simulate(raw, "2026-03-20T12:00:00Z", mapping)
    assert (waiting["stage"], waiting["attend_at"]) == ("awaiting_ncsc", "2026-04-01T13:00:00Z")
    letter = simulate(raw, "2026-04-01T13:00:00Z", mapping)
    assert (letter["stage"], letter["service_center"]) == ("email_service_center", "nebraska")
    assert "ncscfollowup.nsc@dhs.gov" in [act["to"] for act in letter["acts"]]


@pytest.mark.parametrize(
    "words", ["/rest/api/2/issue/KEY", "/api/v1/tickets/ID?expand=true", "/REST/2.0/ticket/ID", "ticket_history"]
)
def test_the_help_says_where_the_json_is_from(invoke: Invoke, words: str) -> None:
    assert words in invoke("simulate", "--help").stdout


def test_what_people_read(invoke: Invoke, tmp_path: Path) -> None:
    mapping, ticket = write_mapping(tmp_path, by_id=True), write_issue(tmp_path, issue(**CALLED))
    result = invoke("simulate", "--mapping", mapping, "--ticket", ticket, "--at", "2026-04-01T13:00:00Z")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:4] == [
        "CASE-1, status Open",
        "Stage:      email_service_center: time to e-mail the Service Center",
        "Next look:  when the ticket changes",
        "Center:     California Service Center",
    ]
    assert "  Move the ticket to E-mail Service Center" in lines
    assert any(line.startswith("  Comment with the letter to csc-ncsc-followup@dhs.gov (ref ") for line in lines)
    assert all(len(line) <= 80 for line in lines if "mailto:" not in line)
    waiting = invoke("simulate", "--mapping", mapping, "--ticket", ticket, "--at", "2026-03-20T13:00:00Z")
    assert "Next look:  Apr 1, 2026, 9:00 a.m. Eastern" in waiting.stdout
    assert "  Set the due date to Apr 1, 2026" in waiting.stdout


def test_nothing_on_a_ticket_can_steer_the_terminal(invoke: Invoke, tmp_path: Path) -> None:
    hostile = issue(
        ncsc_representative="Ms. \x1b]0;owned\x07Rivera\x9b2J", receipt_number="WAC\ud800", status="Op\x1b[2Jen"
    )
    mapping, ticket = write_mapping(tmp_path, by_id=True), write_issue(tmp_path, hostile)
    result = invoke("simulate", "--mapping", mapping, "--ticket", ticket, "--at", "2026-04-01T13:00:00Z")
    assert result.exit_code == 0
    assert not any(character in result.stdout for character in "\x1b\x07\x9b\ud800")
    assert json.loads(
        invoke("simulate", "--mapping", mapping, "--ticket", ticket, "--at", "2026-04-01T13:00:00Z", "--json").stdout
    )
