"""What `connector db check` tells."""

import os
import sqlite3
from pathlib import Path

import pytest

from connector.store import checking, migrations, open_database
from connector.store.checking import check


def advice(url: str) -> dict[str, str]:
    """The findings that ask for something."""
    return {finding.what: finding.advice for finding in check(url) if finding.advice}


@pytest.fixture
def url(tmp_path: Path) -> str:
    made = f"sqlite:///{tmp_path}/connector.sqlite3"
    open_database(made, exclusive=True).close()
    return made


def test_a_database_as_it_should_be(database_url: str) -> None:
    open_database(database_url, exclusive=True).close()
    found = {finding.what: finding.found for finding in check(database_url)}
    assert found["tables"] == found["tables of this version"] == migrations.head()
    assert found["oldest version that can use them"] <= migrations.head()
    assert found["writable"] == "yes"
    assert advice(database_url) == {}


def test_it_makes_and_changes_nothing(tmp_path: Path, url: str) -> None:
    assert "start `connector run`" in advice(f"sqlite:///{tmp_path}/none.sqlite3")["database"]
    assert not (tmp_path / "none.sqlite3").exists()
    (tmp_path / "empty.sqlite3").touch(mode=0o600)
    assert advice(f"sqlite:///{tmp_path}/empty.sqlite3").keys() == {"tables", "journal"}
    assert (tmp_path / "empty.sqlite3").stat().st_size == 0


def test_a_file_that_others_may_read(tmp_path: Path, url: str) -> None:
    (tmp_path / "connector.sqlite3").chmod(0o644)
    assert advice(url) == {"permissions": f"chmod 600 {tmp_path}/connector.sqlite3"}


def test_a_damaged_file(tmp_path: Path, url: str) -> None:
    path = tmp_path / "connector.sqlite3"
    content = bytearray(path.read_bytes())
    content[4096 * 2 :] = b"\xee" * (len(content) - 4096 * 2)
    path.write_bytes(content)
    assert "move it away" in " ".join(advice(url).values())


@pytest.mark.parametrize("floor", ["0001", "9998"])
def test_the_tables_of_a_later_version(tmp_path: Path, url: str, floor: str) -> None:
    connection = sqlite3.connect(tmp_path / "connector.sqlite3")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.execute("UPDATE schema_floor SET revision = ?", (floor,))
    connection.commit()
    connection.close()
    assert advice(url).keys() == ({"tables"} if floor > migrations.head() else set())


def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    findings = check("postgresql://connector:hunter2@127.0.0.1:1/connector?sslpassword=hunter3")
    assert findings[-1].found == "none"
    assert "see that it runs" in (findings[-1].advice or "")
    assert "hunter" not in repr(findings)


def test_an_option_that_the_driver_does_not_know() -> None:
    assert "sslmod" in " ".join(advice("postgresql://connector:hunter2@127.0.0.1:1/connector?sslmod=x").values())


@pytest.mark.postgres
def test_what_a_server_may_lack(postgresql_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert advice(postgresql_database) == {"tables": "run `connector db upgrade`"}
    monkeypatch.setattr(checking, "OLDEST_SERVER", 99)
    monkeypatch.setattr(checking, "_CLOCKS_MAY_DIFFER", checking._CLOCKS_MAY_DIFFER * -1)
    monkeypatch.setitem(os.environ, "PGOPTIONS", "-c synchronous_commit=off -c default_transaction_read_only=on")
    assert advice(postgresql_database).keys() == {"tables", "server", "clocks apart", "synchronous_commit", "writable"}
