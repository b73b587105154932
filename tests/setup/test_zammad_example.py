"""The example for Zammad as it is shipped: provision makes what it names, and a draft keeps what it says."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import yaml
from click.testing import CliRunner, Result

from connector.cli import main
from connector.practice.clock import PracticeClock
from tests.zammad_standin import ZammadStandin
from tests.zammad_standin.world import ADMIN_TOKEN, AGENT_TOKEN

EXAMPLE = Path(__file__).parents[2] / "field_mappings" / "zammad.example.yaml"
CENTERS = {"csc": "california", "vsc": "vermont", "nsc": "nebraska", "tsc": "texas"}


@pytest.fixture
def zammad() -> Iterator[ZammadStandin]:
    with ZammadStandin(PracticeClock()) as standin:
        yield standin


@pytest.fixture
def mapping(zammad: ZammadStandin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the example that reaches the stand-in."""
    for name, value in (("ADMIN", ADMIN_TOKEN), ("ZAMMAD_TOKEN", AGENT_TOKEN), ("ZAMMAD_WEBHOOK_SECRET", "secret")):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "zammad.yaml"
    text = EXAMPLE.read_text(encoding="utf-8").replace("https://zammad.example.org", zammad.url)
    path.write_text(text, encoding="utf-8")
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield path
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def run(*words: object) -> Result:
    result = CliRunner().invoke(main, [str(each) for each in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_service_center_becomes_a_list_of_the_examples_own_values(zammad: ZammadStandin, mapping: Path) -> None:
    """Regression: with `values:` in the mapping a text attribute was made, and the plan spoke of a list."""
    said = run("provision", mapping, "--yes", "--token-env", "ADMIN")
    assert said.exit_code == 0, said.output
    assert 'A ticket attribute "service_center" (select).' in said.output
    (made,) = [each for each in zammad.world.attributes if each["name"] == "service_center"]
    assert made["data_type"] == "select"
    assert list(made["data_option"]["options"]) == list(CENTERS)


def test_a_draft_over_the_example_keeps_what_it_says(mapping: Path) -> None:
    run("provision", mapping, "--yes", "--token-env", "ADMIN")
    refused = run("discover", mapping)
    assert refused.exit_code == 1
    assert "--token-env VARIABLE" in refused.output, "an agent is not shown attributes"
    drafted = run("discover", mapping, "--token-env", "ADMIN")
    assert drafted.exit_code == 0, drafted.output
    data, before = yaml.safe_load(drafted.output), yaml.safe_load(mapping.read_text(encoding="utf-8"))
    assert data == before
    assert data["fields"]["service_center"]["values"] == CENTERS
    mapping.write_text(drafted.output, encoding="utf-8")
    assert run("check", mapping).exit_code == 0
