"""`connector db`: the tables brought up to date, and the database looked over."""

from pathlib import Path

import pytest

from tests.commands.conftest import Invoke, json_of


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'connector.sqlite3'}"
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", url)
    return url


def test_upgrade_makes_the_tables_and_twice_changes_nothing(url: str, invoke: Invoke) -> None:
    first, again = invoke("db", "upgrade"), invoke("db", "upgrade")
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert first.stdout.startswith("The tables were brought from nothing to ")
    assert again.stdout.startswith("The tables are up to date ")


def test_check_says_what_is_to_be_done(url: str, invoke: Invoke, tmp_path: Path) -> None:
    invoke("db", "upgrade")
    assert invoke("db", "check").exit_code == 0
    (tmp_path / "connector.sqlite3").chmod(0o644)
    found = invoke("db", "check", "--json")
    assert found.exit_code == 1
    [advice] = [finding["advice"] for finding in json_of(found) if finding["advice"]]
    assert advice.startswith("chmod 600 ")


@pytest.mark.parametrize("role", ["web", "work"])
def test_one_file_is_not_for_many_processes(url: str, invoke: Invoke, role: str) -> None:
    refused = invoke(role)
    assert refused.exit_code == 1
    assert f"connector {role} needs PostgreSQL" in refused.stderr
