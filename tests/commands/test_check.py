"""`connector check`: every mistake at once, and what to do where there is nothing to check."""

from pathlib import Path

import pytest

from tests.commands.conftest import Invoke, json_of
from tests.commands.samples import mapping_text, write_mapping

EXAMPLES = Path(__file__).parents[2] / "field_mappings"


def test_a_folder_tells_all_mistakes_of_all_files(invoke: Invoke, tmp_path: Path) -> None:
    write_mapping(tmp_path, name="good")
    bad = tmp_path / "bad.yaml"
    bad.write_text(mapping_text().replace("scope:", "scop:").replace("receipt_number:", "reciept_number:"))
    (tmp_path / "ignored.example.yaml").write_text("nothing: right\n")
    result = invoke("check", tmp_path)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert f"{bad}:6: scop: is not known here; did you mean scope?" in lines
    assert any(line.startswith(f"{bad}:10: fields.reciept_number: ") for line in lines)
    assert f"{tmp_path / 'good.yaml'}: ok, source good (14 facts, 2 statuses)" in lines
    assert "mistakes" in result.stderr
    assert "example" not in result.stdout


def test_what_is_right_ends_with_status_0(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JIRA_TOKEN", "s3cret-of-the-test")
    path = write_mapping(tmp_path, more="dry_run: true")
    result = invoke("check", path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{path}: ok, source cases (14 facts, 2 statuses, dry run: nothing is written to tickets)\n"
        "The trackers themselves were not looked at: connector check --live does that.\n"
    )
    assert "s3cret" not in result.output


def test_a_secret_that_is_not_there_is_noted_and_no_mistake(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("check", write_mapping(tmp_path))
    assert result.exit_code == 0
    assert "the environment variable JIRA_TOKEN is not set" in result.stderr


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("*.example.yaml")))
def test_an_example_can_be_checked_by_name(invoke: Invoke, example: str) -> None:
    assert invoke("check", EXAMPLES / example).exit_code == 0


def test_a_mapping_that_is_never_read_for_its_name_is_noted(invoke: Invoke, tmp_path: Path) -> None:
    write_mapping(tmp_path)
    (tmp_path / "other.yml").write_text(mapping_text(), encoding="utf-8")
    result = invoke("check", tmp_path)
    assert result.exit_code == 0
    assert f"{tmp_path / 'other.yml'}: note: is not read: rename it to other.yaml" in result.stderr


def test_as_json(invoke: Invoke, tmp_path: Path) -> None:
    path = write_mapping(tmp_path)
    assert json_of(invoke("check", path, "--json")) == []
    path.write_text(mapping_text().replace("scope:", "scop:"))
    result = invoke("check", path, "--json")
    assert result.exit_code == 1
    mistakes = json_of(result)
    assert {
        "file": str(path),
        "line": 6,
        "path": "scop",
        "message": "is not known here; did you mean scope?",
    } in mistakes
    assert all(set(each) == {"file", "line", "path", "message"} for each in mistakes)


def test_without_a_mapping_it_tells_what_to_copy(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = invoke("check")
    assert absent.exit_code == 1
    assert "field_mappings:1: (file): is not there; copy the example for your tracker" in absent.stdout
    (tmp_path / "field_mappings").mkdir()
    (tmp_path / "field_mappings" / "jira-cloud.example.yaml").write_text(mapping_text())
    empty = invoke("check")
    assert empty.exit_code == 1
    assert "has no mapping; copy one of its *.example.yaml" in empty.stdout
    monkeypatch.setenv("CONNECTOR_MAPPINGS", str(write_mapping(tmp_path)))
    assert invoke("check").exit_code == 0


def test_settings_that_cannot_be_used_are_told_all_at_once(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTOR_LISTEN", "8080")
    monkeypatch.setenv("CONNECTOR_POLL_SECONDS", "often")
    monkeypatch.setenv("CONNECTOR_MAPPING", "x")
    result = invoke("check")
    assert result.exit_code == 1
    for name in ("CONNECTOR_LISTEN: write", "CONNECTOR_POLL_SECONDS: write", "CONNECTOR_MAPPING: there is no such"):
        assert name in result.stderr
