"""From files to Mappings: what is accepted, what the folder's rules are, where procedures come from."""

import dataclasses
import os
from datetime import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.inquiry.procedure import STAGES
from connector.mapping.document import MAX_BYTES
from connector.mapping.loading import MappingError, Mistake, load_mapping, load_mappings, load_procedure
from connector.mapping.schema import FieldRef, Secret, SecretError
from tests.mapping.samples import MAPPING, write_mapping

SHIPPED = "service-center-inquiry"


def told(path: Path) -> str:
    with pytest.raises(MappingError) as caught:
        load_mapping(path)
    return str(caught.value)


def mistakes_of(path: Path) -> list[Mistake]:
    try:
        load_mapping(path)
    except MappingError as error:
        return error.mistakes
    return []


def test_every_part_arrives(tmp_path: Path) -> None:
    text = MAPPING.replace("office:\n", 'statuses:\n  call_ncsc: Ready\noffice:\n  act_at: "8:30"\n')
    text += "dry_run: true\ncomments: public\nmax_comments_per_hour: 5\n"
    mapping = load_mapping(write_mapping(tmp_path, text, "our_office-2.yaml"))
    assert mapping.source == "our_office-2"
    assert mapping.tracker.url == "https://example.atlassian.net"
    assert mapping.tracker.user == "connector@example.org"
    assert mapping.tracker.token == Secret(env="JIRA_TOKEN")
    assert mapping.tracker.webhook_secrets == ()
    assert (mapping.tracker.concurrency, mapping.tracker.calls_per_second) == (None, None)
    assert mapping.scope == "project = CASE"
    assert mapping.procedure.office.time_zone.key == "America/New_York"
    assert mapping.procedure.office.act_at == time(8, 30)
    assert mapping.statuses == mapping.procedure.statuses == {"call_ncsc": "Ready"}
    assert mapping.records["E-mailed"] == "service_center_emailed_at"
    assert mapping.fields["alien_number"] == FieldRef("customfield_10051")
    assert mapping.fields["protected"].values == {"ordinary": "false", "separate": "true"}
    assert (mapping.dry_run, mapping.comments, mapping.max_comments_per_hour) == (True, "public", 5)


@pytest.mark.parametrize(("written", "read"), [("5", 5.0), ("0.5", 0.5), ("1000", 1000.0)])
def test_how_much_of_the_tracker_is_taken(tmp_path: Path, written: str, read: float) -> None:
    text = MAPPING.replace("scope:", f"  concurrency: 32\n  calls_per_second: {written}\nscope:", 1)
    tracker = load_mapping(write_mapping(tmp_path, text)).tracker
    assert (tracker.concurrency, tracker.calls_per_second) == (32, read)


def test_what_is_left_out_is_careful(tmp_path: Path) -> None:
    mapping = load_mapping(write_mapping(tmp_path))
    assert mapping.comments == "internal"
    assert mapping.dry_run is False
    assert mapping.max_comments_per_hour == 600
    assert mapping.procedure.name == SHIPPED
    assert mapping.procedure.office.act_at == time(9)
    assert mapping.statuses == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("scope: project = CASE", "scope: >-\n  project = CASE AND\n  summary ~ 'order by (' AND x in (1, 2)"),
        ("scope: project = CASE", 'scope: summary ~ "a \\" order by"'),
        ("scope: project = CASE", 'scope: "\\"ORDER BY\\" = 1"'),
        ("tracker:\n", "\ufefftracker:\n"),
        ("tracker:\n", "---\ntracker:\n"),
        ("tracker:\n", "statuses:\nrecords:\ntracker:\n  webhook_secrets:\n"),
        ("https://example.atlassian.net", "https://jira.example.org:8443/jira/"),
        ("https://example.atlassian.net", "http://127.0.0.1:8090"),
        ("https://example.atlassian.net", "http://localhost:8090/"),
        ("https://example.atlassian.net", "http://[::1]:8090"),
        ("America/New_York", "UTC"),
        ("America/New_York", "US/Pacific"),
    ],
)
def test_accepted(tmp_path: Path, old: str, new: str) -> None:
    text = MAPPING.replace(old, new, 1)
    assert text != MAPPING
    if "statuses:" in new:
        text = text[: text.rindex("records:")]
    load_mapping(write_mapping(tmp_path, text))


@pytest.mark.parametrize("host", ["127.0.0.1.example.org", "10.0.0.1", "localhost.example.org", "jira"])
def test_token_never_travels_in_clear(tmp_path: Path, host: str) -> None:
    text = MAPPING.replace("https://example.atlassian.net", f"http://{host}")
    assert "must begin with https://" in told(write_mapping(tmp_path, text))


def test_aliases_and_merge_keys(tmp_path: Path) -> None:
    text = MAPPING + "statuses:\n  <<: &same {call_ncsc: A, answered: B}\n  call_ncsc: &c C\n  protected: *c\n"
    assert load_mapping(write_mapping(tmp_path, text)).statuses == {"call_ncsc": "C", "answered": "B", "protected": "C"}


def test_data_center_needs_no_user(tmp_path: Path) -> None:
    text = MAPPING.replace("https://example.atlassian.net", "https://jira.example.org")
    text = text.replace("  user: connector@example.org\n", "")
    assert load_mapping(write_mapping(tmp_path, text)).tracker.user is None


# --- files and folders ------------------------------------------------------------------------------------------------


def test_folder_loads_what_is_right_and_tells_the_rest(tmp_path: Path) -> None:
    write_mapping(tmp_path, name="b.yaml")
    write_mapping(tmp_path, name="a.yaml")
    write_mapping(tmp_path, "kind: x\n", name="never.example.yaml")
    write_mapping(tmp_path, "kind: x\n", name="notes.txt")
    write_mapping(tmp_path, MAPPING.replace("jira\n", "jirra\n"), name="c.yaml")
    mappings, mistakes = load_mappings(tmp_path)
    assert [mapping.source for mapping in mappings] == ["a", "b"]
    assert [(mistake.file, mistake.line) for mistake in mistakes] == [(str(tmp_path / "c.yaml"), 2)]


def test_single_file(tmp_path: Path) -> None:
    mappings, mistakes = load_mappings(write_mapping(tmp_path))
    assert [mapping.source for mapping in mappings] == ["case"]
    assert mistakes == []


def test_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    mappings, mistakes = load_mappings(tmp_path)
    assert mappings == []
    assert "copy one of its *.example.yaml" in mistakes[0].message


def test_example_is_never_run_but_can_be_checked(tmp_path: Path) -> None:
    path = write_mapping(tmp_path, name="jira.example.yaml")
    mappings, mistakes = load_mappings(path)
    assert mappings == []
    assert "copy it to jira.yaml" in mistakes[0].message
    assert load_mapping(path).source == "jira"


def test_missing_file(tmp_path: Path) -> None:
    assert told(tmp_path / "none.yaml") == f"{tmp_path / 'none.yaml'}:1: (file): there is no such file"
    assert load_mappings(tmp_path / "none.yaml")[1][0].message == "there is no such file"


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").mkdir()
    assert "(file): cannot be read" in told(tmp_path / "x.yaml")


def test_too_large(tmp_path: Path) -> None:
    path = write_mapping(tmp_path, MAPPING + "#" * MAX_BYTES)
    assert "is larger than 256 KB" in told(path)


@pytest.mark.parametrize("name", ["Case.yaml", "-case.yaml", "my case.yaml", f"{'x' * 65}.yaml", "a.b.yaml"])
def test_name_of_the_source(tmp_path: Path, name: str) -> None:
    assert "(file): the file's name is the source's name" in told(write_mapping(tmp_path, name=name))


# Whatever an admin types, the loader answers with a Mapping or with mistakes.
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, len(MAPPING)),
    st.integers(0, 30),
    st.text(alphabet="aN:{}[]&*!|>-#'\"%@`\t\n \x00\ud800?,<", max_size=12),
)
def test_loading_never_fails_otherwise(tmp_path: Path, start: int, length: int, put: str) -> None:
    text = MAPPING[:start] + put + MAPPING[start + length :]
    path = tmp_path / "case.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for mistake in mistakes_of(path):
        assert mistake.line >= 1
        assert mistake.path
        assert "\n" not in str(mistake)


# --- the hash ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Receipt Number", "Receipt"),
        ("West: california", "West: texas"),
        ("America/New_York", "America/Chicago"),
        ("project = CASE", "project = OTHER"),
        ("E-mailed: s", "Sent: s"),
        ("records:", "dry_run: true\nrecords:"),
        ("records:", "comments: public\nrecords:"),
        ("records:", "statuses: {answered: Done}\nrecords:"),
        ("records:", "procedure: ours/own.yaml\nrecords:"),
    ],
)
def test_hash_changes_with_decisions(tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / "ours").mkdir()
    write_mapping(tmp_path / "ours", f"extends: {SHIPPED}\nwaits:\n  ncsc: {{days: 15}}\n", "own.yaml")
    before = load_mapping(write_mapping(tmp_path)).config_hash
    after = load_mapping(write_mapping(tmp_path, MAPPING.replace(old, new, 1))).config_hash
    assert before != after


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("env: JIRA_TOKEN", "env: OTHER"),
        ("records:", "max_comments_per_hour: 7\nrecords:"),
        ("scope:", "  concurrency: 2\n  calls_per_second: 0.5\nscope:"),
        ("records:", "# a remark\nrecords:"),
        ("records:", "procedure: service-center-inquiry\nrecords:"),
    ],
)
def test_hash_ignores_the_rest(tmp_path: Path, old: str, new: str) -> None:
    before = load_mapping(write_mapping(tmp_path)).config_hash
    assert load_mapping(write_mapping(tmp_path, MAPPING.replace(old, new, 1))).config_hash == before


# --- procedures -------------------------------------------------------------------------------------------------------


def test_shipped_procedure(tmp_path: Path) -> None:
    procedure = load_procedure(SHIPPED, tmp_path)
    assert procedure.call.wait.days == 30
    assert procedure.service_centers["texas"].email == "tsc.ncscfollowup@dhs.gov"


def test_own_procedure_replaces_only_what_it_says(tmp_path: Path) -> None:
    text = f"""\
extends: {SHIPPED}
service_centers:
  texas: {{email: "texas[at]example.org"}}
waits:
  service_center: {{counting: business}}
protected_forms: [i918]
"""
    own, shipped = (
        load_procedure(write_mapping(tmp_path, text, "own.yml").name, tmp_path),
        load_procedure(SHIPPED, tmp_path),
    )
    assert own.service_centers["texas"].email == "texas@example.org"
    assert own.service_centers["texas"].prefixes == ("SRC", "TSC")
    assert own.service_centers["vermont"] == shipped.service_centers["vermont"]
    assert (own.email_service_center.wait.days, own.email_service_center.wait.counting) == (21, "business")
    assert own.protected_forms == {"I-918"}
    assert own.wording == shipped.wording


def test_procedure_without_extends_stands_alone(tmp_path: Path) -> None:
    package = Path(load_procedure.__code__.co_filename).parents[1] / "inquiry" / "procedures" / f"{SHIPPED}.yaml"
    (tmp_path / "own.yaml").write_text(package.read_text(encoding="utf-8").replace("days: 30", "days: 15"))
    own = load_procedure("own.yaml", tmp_path)
    assert own == dataclasses.replace(load_procedure(SHIPPED, tmp_path), call=own.call)
    assert own.call.wait.days == 15


def test_template_is_checked_at_its_own_line(tmp_path: Path) -> None:
    text = f'extends: {SHIPPED}\nwording:\n  call_ncsc: |\n    Call\n\n    Fill "{{{{ label.called_at }}}}".\n'
    write_mapping(tmp_path, text, "own.yaml")
    with pytest.raises(MappingError) as caught:
        load_procedure("own.yaml", tmp_path)
    [mistake] = caught.value.mistakes
    assert (mistake.line, mistake.path) == (6, "wording.call_ncsc")
    assert mistake.message.startswith("'label' is ")


def test_procedure_alone_tells_its_mistakes(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"none.yaml:1: \(file\): there is no such file"):
        load_procedure("none.yaml", tmp_path)


def test_own_center_in_values(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    procedure = f"extends: {SHIPPED}\nservice_centers:\n  potomac: {{name: Potomac, email: p@example.org}}\n"
    write_mapping(tmp_path / "ours", procedure, "own.yaml")
    text = MAPPING.replace("West: california", "East: potomac")
    assert "is not a Service Center" in told(write_mapping(tmp_path, text))
    load_mapping(write_mapping(tmp_path, text + "procedure: ours/own.yaml\n"))


def test_status_after_the_contact_may_record_it(tmp_path: Path) -> None:
    text = MAPPING + "statuses:\n  awaiting_ncsc: Called\n  answered: Answer\n"
    text = text.replace("records:\n", "records:\n  Answer: answered_at\n")
    assert set(load_mapping(write_mapping(tmp_path, text)).statuses) < set(STAGES)


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_secret_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_TOKEN", "hunter2\n")
    secret = Secret(env="THE_TOKEN")
    assert secret.read() == "hunter2"
    assert "hunter2" not in repr(secret)


@pytest.mark.parametrize(("written", "read"), [("a b\n", "a b"), ("x\r\n", "x"), ("\ufeffx", "x"), ("x", "x")])
def test_secret_from_a_file(tmp_path: Path, written: str, read: str) -> None:
    (tmp_path / "token").write_bytes(written.encode())
    text = MAPPING.replace("{env: JIRA_TOKEN}", "{file: token}")
    assert load_mapping(write_mapping(tmp_path, text)).tracker.token.read() == read


def test_secret_is_read_at_use(tmp_path: Path) -> None:
    """A token that is renewed in its file is picked up without a restart."""
    secret = Secret(file=tmp_path / "token")
    (tmp_path / "token").write_text("old")
    assert secret.read() == "old"
    (tmp_path / "token").write_text("new")
    assert secret.read() == "new"


@pytest.mark.parametrize(
    "value",
    ["", " \n", "hunter2\nhunter2\n", "hunter2\n\n", "hunter2\x00"],
    ids=[
        "empty",
        "blank",
        "two lines",
        "empty line",
        "control",
    ],  # a folder is named for the test, and the message names it
)
def test_unusable_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str) -> None:
    (tmp_path / "token").write_text(value)
    with pytest.raises(SecretError) as caught:
        Secret(file=tmp_path / "token").read()
    assert "hunter2" not in str(caught.value)
    if "\x00" not in value:
        monkeypatch.setenv("THE_TOKEN", value)
        with pytest.raises(SecretError, match="THE_TOKEN"):
            Secret(env="THE_TOKEN").read()


def test_absent_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("THE_TOKEN", raising=False)
    with pytest.raises(SecretError, match="environment variable THE_TOKEN is not set"):
        Secret(env="THE_TOKEN").read()
    with pytest.raises(SecretError, match="cannot be read"):
        Secret(file=tmp_path / "none").read()
    with pytest.raises(SecretError, match="cannot be read"):
        Secret(file=tmp_path).read()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SecretError, match="is not text"):
        Secret(file=tmp_path / "binary").read()
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    with pytest.raises(SecretError, match="too large"):
        Secret(file=tmp_path / "large").read()


def test_a_name_with_the_other_ending_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "cases.yml").write_text(MAPPING, encoding="utf-8")
    assert "cases.yml is not read: rename it to cases.yaml" in load_mappings(tmp_path)[1][0].message


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: it was told as one without a mapping."""

    def refused(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    assert load_mappings(tmp_path) == ([], [Mistake(str(tmp_path), 1, "(folder)", "cannot be read: Permission denied")])


@pytest.mark.parametrize("name", ["cases.yaml", "office.yaml"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    """Regression: opening a pipe that nobody writes to waits for ever."""
    os.mkfifo(tmp_path / name)
    path = tmp_path / "cases.yaml"
    if name != path.name:
        write_mapping(tmp_path, MAPPING + f"procedure: {name}\n", path.name)
    assert told(path) == f"{tmp_path / name}:1: (file): is not an ordinary file"


def test_a_procedures_name_that_no_file_can_have(tmp_path: Path) -> None:
    """Regression: the other mistakes were lost."""
    path = write_mapping(tmp_path, MAPPING + f"procedure: {'ä' * 200}.yaml\nunknown: 1\n")
    lines = told(path).splitlines()
    assert any("unknown: is not known here" in line for line in lines)
    assert any("cannot be read: File name too long" in line for line in lines)


def test_too_many_values_without_an_alias(tmp_path: Path) -> None:
    path = write_mapping(tmp_path, "".join(f"key{number}: 1\n" for number in range(10_001)))
    assert "is too much: more than 10000 values" in told(path)


def test_words_of_a_list_are_kept_as_they_are_written_and_decide_nothing(tmp_path: Path) -> None:
    text = MAPPING.replace("Ordinary", "ORDINARY")
    one, other = load_mapping(write_mapping(tmp_path)), load_mapping(write_mapping(tmp_path, text))
    assert one.fields["protected"].choices == ("Ordinary", "Separate")
    assert other.fields["protected"].choices == ("ORDINARY", "Separate")
    assert one.config_hash == other.config_hash
