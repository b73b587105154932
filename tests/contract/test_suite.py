"""The suite itself: it takes trackers of other packages, finds faults in them, and says at the end what it found."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.table import PROPERTY, Results

ROOT = Path(__file__).parents[2]

# A package as somebody else might bring it: two trackers, of which one writes every comment twice.
NOTEBOOK = """
from contextlib import contextmanager
from dataclasses import fields, replace

from connector import kinds
from connector.trackers.jira import KIND as JIRA, JiraTracker
from tests.contract.jira_sites import practice


def of(tracker):
    def make(connection):
        return tracker(**{field.name: getattr(connection, field.name) for field in fields(connection)})

    return replace(JIRA, make=make)


class Careless(JiraTracker):
    def post_comment(self, ticket, body):
        super().post_comment(ticket, body)
        super().post_comment(ticket, body)


NOTEBOOK, CARELESS = of(JiraTracker), of(Careless)


@contextmanager
def site(name):
    with practice("data-center") as found:
        found.name, found.kind = name, kinds.load(name)
        found.cannot = {"a_closed_ticket_is_closed": "a notebook is never closed"}
        yield found


def notebook():
    return site("notebook")


def careless():
    return site("careless notebook")
"""
ENTRY_POINTS = """
[inquiry_connector.trackers]
notebook = notebook:NOTEBOOK
careless notebook = notebook:CARELESS

[inquiry_connector.contract_sites]
notebook = notebook:notebook
careless notebook = notebook:careless
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder for sys.path, with the package and what an installer would put beside it."""
    (tmp_path / "notebook.py").write_text(NOTEBOOK, encoding="utf-8")
    about = tmp_path / "notebook-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: notebook\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_trackers_of_another_package_are_found_and_held_to_the_same_suite(package: Path) -> None:
    chosen = "notebook and (posted_once or out_of_scope or closed_ticket)"
    command = [sys.executable, "-m", "pytest", "tests/contract/test_contract.py", "-q", "-k", chosen]
    run = subprocess.run(
        [*command, "-n", "1", "-p", "no:cacheprovider"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert run.returncode == 1, run.stdout
    rows = dict(re.findall(r"^(a .+?) {2,}(\S.*)$", run.stdout, re.MULTILINE))
    assert re.search(r"^ +careless notebook +notebook *$", run.stdout, re.MULTILINE)
    assert {behaviour: cells.split() for behaviour, cells in rows.items()} == {
        "a ticket out of scope is none and costs two calls": ["ok", "ok"],
        "a closed ticket is closed": ["-", "-"],
        "a comment is posted once and its ref found again": ["FAIL", "ok"],
    }
    assert "- notebook: a notebook is never closed\n    a closed ticket is closed" in run.stdout
    assert "not in this run: request tracker" in run.stdout


def report(cell: str, outcome: str, when: str = "call", **more: object) -> pytest.TestReport:
    properties = [(PROPERTY, cell)] if cell else []
    made = pytest.TestReport("id", ("file", 1, "test"), {}, outcome, None, when, user_properties=properties)  # type: ignore[arg-type]  # the literals
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_the_table_tells_what_held_what_failed_and_what_was_not_tried() -> None:
    results = Results()
    results.add(report("", "failed"))  # a test of something else
    for name in ("jira cloud", "zammad 6"):
        results.add(report(f"it_reads | {name}", "passed", "setup"))
    results.add(report("it_reads | jira cloud", "passed"))
    results.add(report("it_reads | zammad 6", "failed"))
    results.add(report("it_writes | jira cloud", "skipped", longrepr=("file", 1, "Skipped: it cannot write")))
    results.add(report("it_writes | zammad 6", "skipped", wasxfail="it writes upside down"))
    results.add(report("it_writes_well | jira cloud", "skipped", longrepr=("file", 1, "Skipped: it cannot write")))
    results.add(report("it_ends | jira cloud", "passed"))
    results.add(report("it_ends | jira cloud", "failed", "teardown"))
    not_run = {"zammad 6": "it is old", "paper": "nobody writes"}
    lines = [" ".join(line.split()) for line in results.lines(["jira cloud", "paper", "zammad 6"], not_run)]
    assert lines == [
        "jira cloud zammad 6",
        lines[1],
        "it reads ok FAIL",
        "it writes - -",
        "it writes well -",
        "it ends FAIL",
        "",
        "- jira cloud: it cannot write",
        "it writes",
        "it writes well",
        "",
        "- zammad 6: known to fail: it writes upside down",
        "it writes",
        "",
        "not in this run: paper (nobody writes)",
    ]
