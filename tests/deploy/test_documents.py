"""The documents for operators: every link, anchor, command and setting in them exists."""

import re
from pathlib import Path
from typing import Any

import click
import pytest

from connector.cli import main
from tests.deploy.tools import DEPLOY, ROOT, read_yaml

DOCUMENTS = [DEPLOY / "README.md", ROOT / "docs" / "runbook.md"]


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (document.parent / path).resolve() if path else document
        if not there.exists() or (anchor and anchor not in anchors(there)):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_exists(document: Path) -> None:
    """`connector NAME`, also as `inquiry-connector NAME` and within other commands."""
    text = re.sub(r"-n\s+inquiry-connector|(exec|run --rm --no-deps) connector\b", "", _code(document))
    named = re.findall(r"(?<![\w/@.-])(?:inquiry-)?connector +([a-z]+(?: [a-z]+)?)", text)
    assert len(named) > 3
    assert [words for words in named if not _is_command(words.split())] == []


def _code(document: Path) -> str:
    """What stands in backticks, or is set in by four spaces after an empty line."""
    text = document.read_text()
    blocks = re.findall(r"\n\n((?: {4,}\S.*\n|\n(?= {4}))+)", text)
    return "\n".join([*blocks, *re.findall(r"`([^`]+)`", text)])


def _is_command(words: list[str]) -> bool:
    command: Any = main
    for word in words:
        if not isinstance(command, click.Group):
            return True
        if word not in command.commands:
            return False
        command = command.commands[word]
    return True


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_of_deploy_that_it_names_exists(document: Path) -> None:
    text = _code(document).replace("exec deploy/work", "")  # what Kubernetes calls that deployment
    named = re.findall(r"\bdeploy/[\w./@*-]+[\w*]", text)
    assert [name for name in named if not list(ROOT.glob(name))] == []


def test_every_form_of_deployment_is_told_of() -> None:
    text = DOCUMENTS[0].read_text()
    shipped = [path.name for path in DEPLOY.iterdir() if not path.name.startswith("Dockerfile.")]
    assert [name for name in shipped if name not in text and name != "README.md"] == []


ALERTS = [
    pytest.param(rule, id=rule["alert"])
    for group in read_yaml(DEPLOY / "prometheus" / "alerts.yaml")[0]["groups"]
    for rule in group["rules"]
    if "alert" in rule
]


@pytest.mark.parametrize("rule", ALERTS)
def test_every_alert_is_in_the_runbook_and_leads_there(rule: dict[str, Any]) -> None:
    path, _, anchor = rule["annotations"]["runbook"].partition("#")

    assert ROOT / path == DOCUMENTS[1]
    assert anchor in anchors(DOCUMENTS[1])
    assert f"| {rule['alert']} |" in DOCUMENTS[1].read_text()


def test_the_runbook_knows_no_alert_that_is_gone() -> None:
    told = set(re.findall(r"^\| (Connector\w+) \|", DOCUMENTS[1].read_text(), re.MULTILINE))
    assert told == {str(one.id) for one in ALERTS}
