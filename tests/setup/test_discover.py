"""Drafts of mappings: what is found by name, what is not, and that `check` takes a draft whose blanks are filled."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.inquiry.case import FACTS
from connector.inquiry.procedure import SHIPPED
from connector.mapping.loading import MappingError, load_mapping, load_procedure
from connector.mapping.schema import NEEDED_FACTS
from connector.practice.clock import PracticeClock
from connector.practice.sample import blank_world
from connector.practice.world import World
from connector.setup.discover import _KINDS, Connection, match_fields, match_statuses, read_connection, words
from connector.setup.draft import draft
from connector.trackers.setup_port import USABLE, FieldType, FoundField, Inventory
from tests.setup.conftest import FACTS as NAMES
from tests.setup.conftest import Office

LAW = settings(deadline=None, derandomize=True, max_examples=50)  # a busy machine is no mistake


def fields(*named: tuple[str, FieldType | None]) -> list[FoundField]:
    return [FoundField(f"customfield_{number}", name, kind) for number, (name, kind) in enumerate(named)]


def matched(*named: tuple[str, FieldType | None]) -> dict[str, tuple[str, str]]:
    return {fact: (each.field.name, each.sureness) for fact, each in match_fields(fields(*named)).items()}


def test_names_of_our_own_are_sure() -> None:
    kinds: dict[str, FieldType] = {
        "filed_on": "date",
        "called_at": "datetime",
        "promised_days": "number",
        "service_center": "select",
        "service_center_emailed_at": "datetime",
        "headquarters_emailed_at": "datetime",
        "answered_at": "datetime",
        "protected": "boolean",
    }
    found = matched(*((name, kinds.get(fact, "text")) for fact, name in NAMES.items()))
    assert found == {fact: (name, "sure") for fact, name in NAMES.items()}


@pytest.mark.parametrize(
    ("fact", "name", "kind", "sureness"),
    [
        ("receipt_number", "Receipt #", "text", "sure"),
        ("receipt_number", "RECEIPT_NUMBER", "text", "sure"),
        ("receipt_number", "USCIS receipt", "text", "likely"),
        ("receipt_number", "Client's receipt", "text", "a guess"),
        ("alien_number", "A#", "text", "sure"),
        ("alien_number", "Alien Number", "text", "sure"),
        ("alien_number", "Alien Registration No.", "text", "likely"),
        ("alien_number", "A Number (alien registration)", "text", "sure"),
        ("form_type", "Type of application filed", "text", "likely"),
        ("form_type", "Form", "select", "likely"),
        ("filed_on", "Date filed / Received date", "date", "sure"),
        ("filed_on", "Received Date", "date", "likely"),
        ("called_at", "Date of call", "date", "likely"),
        ("ncsc_representative", "NCSC rep", "text", "sure"),
        ("service_request_number", "SR #", "text", "likely"),
        ("no_service_request_reason", "Why no service request", "text", "likely"),
        ("promised_days", "Days promised", "number", "sure"),
        ("service_center", "USCIS Service Centre", "select", "likely"),
        ("service_center_emailed_at", "Service Center e-mailed", "datetime", "sure"),
        ("service_center_emailed_at", "SC e-mailed", "date", "sure"),
        ("headquarters_emailed_at", "Headquarters e-mailed on", "date", "sure"),
        ("answered_at", "Response received", "datetime", "likely"),
        ("protected", "Separate route", "boolean", "likely"),
    ],
)
def test_what_offices_call_them(fact: str, name: str, kind: FieldType, sureness: str) -> None:
    assert matched((name, kind)) == {fact: (name, sureness)}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Receipt Number", "number"),
        ("Receipt date", "text"),
        ("NCSC Called At", "text"),
        ("Sprint", "text"),
        ("Story Points", "number"),
        ("Receipt Number", None),
    ],
)
def test_what_is_not_taken(name: str, kind: FieldType | None) -> None:
    assert matched((name, kind)) == {}


def test_the_better_name_wins_and_a_field_holds_one_fact() -> None:
    found = matched(("Receipt", "text"), ("Receipt Number", "text"), ("Filing date", "date"))
    assert found == {"receipt_number": ("Receipt Number", "sure"), "filed_on": ("Filing date", "likely")}


def test_a_field_named_for_two_facts_holds_one() -> None:
    assert matched(("Receipt Number / Form Type", "text")) == {"receipt_number": ("Receipt Number / Form Type", "sure")}


def test_a_rival_is_named() -> None:
    found = match_fields(fields(("Form type", "text"), ("Type of form", "text")))
    assert [each.name for each in found["form_type"].rivals] == ["Type of form"]


@LAW
@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted({*NAMES.values(), "Center", "Form", "Filed", "Call"})),
            st.sampled_from(sorted(USABLE)),
        )
    )
)
def test_never_two_facts_on_one_field_and_kinds_always_fit(named: list[tuple[str, FieldType]]) -> None:
    found = match_fields(fields(*named))
    ids = [match.field.id for match in found.values()]
    assert len(ids) == len(set(ids))


@LAW
@given(st.text())
def test_words_take_whatever_comes(name: str) -> None:
    assert words(name) == words(name.replace("_", " "))
    assert all(each == each.casefold() and each for each in words(name))


def test_the_draft_chooses_only_kinds_that_jira_can_use() -> None:
    for kind, chosen in _KINDS.items():
        assert set(chosen) <= USABLE[kind]


def test_statuses_and_what_they_record() -> None:
    stages, records = match_statuses(
        ["Backlog", "Ready to Call", "Waiting for NCSC", "E-mail HQ", "Emailed HQ", "Called NCSC", "Answered"],
        ["called_at", "headquarters_emailed_at"],
    )
    assert stages == {
        "call_ncsc": ("Ready to Call", "likely"),
        "awaiting_ncsc": ("Waiting for NCSC", "likely"),
        "email_headquarters": ("E-mail HQ", "sure"),
    }
    assert {fact: status for fact, (status, _) in records.items()} == {
        "called_at": "Called NCSC",
        "headquarters_emailed_at": "Emailed HQ",
    }


PROCEDURE = load_procedure(SHIPPED[0], Path())

# The draft as a file


def connection(tmp_path: Path, more: str = "") -> Connection:
    path = tmp_path / "cases.yaml"
    text = "tracker: {kind: jira, url: https://jira.example.org, token: {env: JIRA_TOKEN}}\nscope: project = CASE\n"
    path.write_text(text + more, encoding="utf-8")
    return read_connection(path)


def filled(text: str) -> str:
    """As a person fills in the blanks."""
    text = re.sub(r"(?m)^(  time_zone:) +# FILL IN", r"\1 America/New_York # FILL IN", text)
    return re.sub(r"(?m)^  (\w+): +# FILL IN", lambda blank: f"  {blank[1]}: My {blank[1]} # FILL IN", text)


def test_blanks_are_refused_with_their_lines_and_filled_ones_are_accepted(tmp_path: Path) -> None:
    text = draft(connection(tmp_path), Inventory(tuple(fields(("Receipt #", "text"))), ("To Do",)))
    path = tmp_path / "draft.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MappingError) as refused:
        load_mapping(path)
    lines = text.splitlines()
    blanks = {each.path for each in refused.value.mistakes}
    assert blanks == {"office.time_zone", *(f"fields.{fact}" for fact in NEEDED_FACTS if fact != "receipt_number")}
    for mistake in refused.value.mistakes:
        assert mistake.message == "is empty"
        assert "FILL IN" in lines[mistake.line - 1]
    path.write_text(filled(text), encoding="utf-8")
    assert load_mapping(path).fields["receipt_number"].field == "Receipt #"


def test_the_draft_says_what_it_could_not_find_and_what_else_there_is(tmp_path: Path) -> None:
    text = draft(
        connection(tmp_path),
        Inventory(tuple(fields(("Receipt #", "text"), ("Favourite colour", "select"), ("Sprint", None))), ("Backlog",)),
    )
    assert "# Needed and not found: alien_number, form_type" in text
    assert "# Other fields that could hold a fact: Favourite colour (select)" in text
    assert "Sprint" not in text
    assert "# Other statuses of these tickets: Backlog" in text
    assert "# promised_days:" in text


def test_a_name_of_two_fields_is_written_as_an_id(tmp_path: Path) -> None:
    text = draft(connection(tmp_path), Inventory(tuple(fields(("A-Number", "text"), ("a-number", "text"))), ()))
    assert re.search(r"  alien_number: customfield_0 +# sure; text; this is \"A-Number\"", text)
    assert 'or "a-number" (customfield_1)? It looks the same' in text


def test_ids_where_names_are_only_labels(tmp_path: Path) -> None:
    inventory = Inventory((FoundField("a_number", "A-Number", "text"),), ())
    assert "  alien_number: a_number " in draft(connection(tmp_path), inventory, write_ids=True)


def test_choices_that_name_no_centre_are_pointed_out(tmp_path: Path) -> None:
    center = FoundField("customfield_1", "Service Center", "select", ("California", "Laguna Niguel"))
    assert 'unknown choices: "Laguna Niguel"; say under `values`' in draft(
        connection(tmp_path), Inventory((center,), ())
    )


def test_choices_that_are_not_shown_are_told_as_not_looked_at(tmp_path: Path) -> None:
    center = FoundField("customfield_1", "Service Center", "select")
    assert "so they were not looked at" in draft(connection(tmp_path), Inventory((center,), ()))


def test_what_the_file_says_already_is_kept(tmp_path: Path) -> None:
    more = 'office: {time_zone: America/Chicago}\ncomments: public\nfields: {receipt_number: ""}\n'
    text = draft(connection(tmp_path, more), Inventory((), ()))
    data = yaml.safe_load(text)
    assert data["office"] == {"time_zone": "America/Chicago"}
    assert data["comments"] == "public"
    assert data["tracker"]["token"] == {"env": "JIRA_TOKEN"}
    assert data["scope"] == "project = CASE"


OWN = """\
office: {time_zone: America/Chicago, act_at: "07:30"}
fields:
  receipt_number: Our Receipt
  form_type: {field: Form, values: {"No": I-130, Family: I-130}}
  called_at: "Called: when"
  filed_on:
  service_center:
    field: Office
    values: {WSC: california, Not known: ""}
  alien_numbr: A-Number
statuses:
  call_ncsc: Ring them
  awaiting_ncsc: ""
records:
  E-mailed: service_center_emailed_at
"""


def of_own() -> Inventory:
    named: tuple[tuple[str, FieldType | None], ...] = (
        ("Receipt Number", "text"),
        ("our receipt", "text"),
        ("Form", "select"),
        ("Called: when", "text"),
        ("Date Filed", "date"),
        ("A-Number", "text"),
        ("HQ Emailed At", "datetime"),
    )
    office = FoundField("customfield_99", "Office", "select", ("WSC", "not known", "ESC"))
    statuses = ("Ring them", "Awaiting NCSC", "E-mailed", "Emailed Service Center", "Emailed Headquarters")
    return Inventory((*fields(*named), office), statuses)


def test_what_the_file_says_of_fields_statuses_and_records_is_kept_and_marked(tmp_path: Path) -> None:
    """Regression: a draft over an existing mapping dropped its `values:`, statuses and records."""
    before = connection(tmp_path, OWN)
    text = draft(before, of_own())
    data = yaml.safe_load(text)
    own = yaml.safe_load(OWN)
    assert data["office"] == own["office"]
    for fact in ("receipt_number", "form_type", "called_at", "service_center"):
        assert data["fields"][fact] == own["fields"][fact]
    assert data["statuses"] == {"call_ncsc": "Ring them", "awaiting_ncsc": "Awaiting NCSC"}
    assert data["records"] == {
        "E-mailed": "service_center_emailed_at",
        "Emailed Headquarters": "headquarters_emailed_at",
    }
    assert data["fields"]["filed_on"] == "Date Filed", "an entry without a field is a blank like any other"
    assert re.search(r"  receipt_number: Our Receipt +# yours; text\n", text)
    assert re.search(r"  call_ncsc: Ring them +# yours\n", text)
    assert re.search(r"  alien_numbr: A-Number +# yours; no fact of this name is known", text)
    assert data["fields"]["alien_number"] is None, "no field holds two facts"
    assert 'unknown choices: "ESC";' in text
    assert "Needed and not found: alien_number, service_center_emailed_at." in text


def test_a_draft_of_a_draft_says_the_same(tmp_path: Path) -> None:
    first = draft(connection(tmp_path, OWN), of_own())
    (tmp_path / "cases.yaml").write_text(first, encoding="utf-8")
    again = draft(read_connection(tmp_path / "cases.yaml"), of_own())
    assert yaml.safe_load(again) == yaml.safe_load(first)


def test_what_the_file_names_and_the_tracker_does_not_have_is_pointed_out(tmp_path: Path) -> None:
    own = "fields: {receipt_number: Reciept, filed_on: Sprint, called_at: Points}\nstatuses: {call_ncsc: Ring}\n"
    text = draft(connection(tmp_path, own), Inventory(tuple(fields(("Sprint", None), ("Points", "number"))), ("New",)))
    assert re.search(r"receipt_number: Reciept +# yours; the tracker shows no such field \(text\)", text)
    assert re.search(r"filed_on: Sprint +# yours; but it is of the wrong kind \(none that holds a fact\)", text)
    assert re.search(
        r"called_at: Points +# yours; but it is of the wrong kind \(number\): called_at needs datetime", text
    )
    assert re.search(r"call_ncsc: Ring +# yours; the tracker shows no such status", text)


def test_a_field_of_the_wrong_kind_is_not_told_as_nothing(tmp_path: Path) -> None:
    there = fields(("Receipt Number", "number"), ("Protected", "date"), ("Favourite colour", "text"))
    text = draft(connection(tmp_path), Inventory(tuple(there), ()))
    assert '# FILL IN (text): "Receipt Number" is of the wrong kind (number).' in text
    assert '"Protected" is of the wrong kind (date), needed is boolean;' in text
    assert "# FILL IN (date): nothing found." in text


NAME = st.one_of(
    st.text(max_size=300),
    st.sampled_from(
        ["yes", "No", "12", "a: b", "- x", "# y", "'q'", "{z}", "\u2028", "x\ny", "A#", "Receipt #", "null"]
    ),
)


@LAW
@given(
    st.lists(st.tuples(NAME, st.sampled_from(["text", "date", "datetime", "select", "boolean", "number", None]))),
    st.lists(NAME.filter(lambda name: bool(name.strip()) and name.isprintable() and len(name) < 200), unique=True),
)
def test_whatever_a_tracker_calls_its_fields_the_filled_draft_is_accepted(
    named: list[tuple[str, FieldType | None]], statuses: list[str]
) -> None:
    written = {"tracker": {"kind": "jira", "url": "https://j.example", "token": {"env": "T"}}, "scope": "project = A"}
    found = Connection("cases", None, "project = A", written, PROCEDURE)  # type: ignore[arg-type]  # its tracker is not looked at
    text = draft(found, Inventory(tuple(fields(*named)), tuple(statuses)))
    data = yaml.safe_load(filled(text))
    assert set(data["fields"]) >= set(NEEDED_FACTS)
    assert all(isinstance(each, str) and each for each in data["fields"].values())


GROUPS = ("fields", "statuses", "records")
WRITTEN = st.recursive(
    st.one_of(NAME, st.booleans(), st.integers(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAME.map(lambda each: each[:100]), inner)),
    max_leaves=5,
)


@LAW
@given(
    st.fixed_dictionaries(
        {group: st.dictionaries(NAME.map(lambda each: each[:100]), WRITTEN, max_size=4) for group in GROUPS}
    )
)
def test_whatever_the_file_says_already_can_be_read_again(own: dict[str, dict[str, object]]) -> None:
    written = {"tracker": {"kind": "jira"}, "scope": "project = A", **own}
    found = Connection("cases", None, "project = A", written, PROCEDURE)  # type: ignore[arg-type]  # its tracker is not looked at
    data = yaml.safe_load(draft(found, Inventory((), ())))
    for group, entries in own.items():
        kept = {key: value for key, value in entries.items() if value not in (None, "")}
        assert {key: value for key, value in (data[group] or {}).items() if value is not None} == kept


def test_only_the_connection_must_be_right(tmp_path: Path) -> None:
    assert connection(tmp_path, "fields: {nonsense: [1]}\n").scope == "project = CASE"
    path = tmp_path / "other.yaml"
    path.write_text("tracker: {kind: jira, url: https://j.example, token: {env: T}}\n", encoding="utf-8")
    with pytest.raises(MappingError, match="scope: is missing"):
        read_connection(path)
    with pytest.raises(MappingError, match="there is no such file"):
        read_connection(tmp_path / "none.yaml")


# The command


def test_a_draft_of_a_ready_tracker_from_its_connection_alone(ready: Office) -> None:
    ready.path.write_text(ready.connection(), encoding="utf-8")
    said = ready.run("discover", "cases")
    assert said.exit_code == 0, said.output
    ready.path.write_text(filled(said.output), encoding="utf-8")
    mapping = load_mapping(ready.path)
    assert {fact: ref.field for fact, ref in mapping.fields.items()} == NAMES
    assert set(mapping.fields) == set(FACTS)
    assert mapping.statuses["awaiting_headquarters"] == "Awaiting Headquarters"
    assert dict(mapping.records) == {
        "E-mailed Service Center": "service_center_emailed_at",
        "E-mailed Headquarters": "headquarters_emailed_at",
    }
    assert not [each for each in ready.server.requests if each.method != "GET"]


def test_of_two_fields_with_one_name_the_one_on_the_screen_is_meant(
    office_of: Callable[[World], Office], clock: PracticeClock
) -> None:
    world = blank_world(clock)
    world.add_issue("CASE", summary="First")
    old = world.field_named("Receipt Number")
    world.off_edit_screen.add(old.id)
    new = world.add_field("Receipt Number", "text")
    office = office_of(world)
    office.path.write_text(office.connection(), encoding="utf-8")
    said = office.run("discover", office.path)
    assert f"  receipt_number: {new.id} " in said.output
    assert f'or "Receipt Number" ({old.id})?' in said.output


def test_a_tracker_that_does_not_let_us_in_is_told(ready: Office) -> None:
    (ready.folder / "token").write_text("wrong", encoding="utf-8")
    said = ready.run("discover", "cases")
    assert said.exit_code == 1
    assert "Jira refused the connector's account" in said.output
    assert "lend that account to this one command with --user NAME --token-env VARIABLE" in said.output


def test_another_account_can_be_lent_for_one_look(ready: Office) -> None:
    (ready.folder / "token").write_text("wrong", encoding="utf-8")
    said = ready.run("discover", "cases", *ready.as_admin())
    assert said.exit_code == 0, said.output
    data = yaml.safe_load(said.output)
    assert set(data["fields"]) == set(FACTS)
    assert data["tracker"] == yaml.safe_load(ready.connection())["tracker"], "the account that is lent is not written"
    assert ready.run("discover", "cases", "--user", "somebody").exit_code == 2
    refused = ready.run("discover", "cases", "--token-env", "a-token, by mistake")
    assert refused.exit_code == 2
    assert "by mistake" not in refused.output
