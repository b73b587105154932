"""The files that an admin starts from, and the manual, agree with the loader."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from connector import kinds
from connector.inquiry.case import FACTS
from connector.inquiry.procedure import STAGES, TEMPLATES
from connector.inquiry.wording import Words
from connector.mapping.loading import load_mapping, load_procedure
from connector.mapping.schema import MappingSchema, OfficeSchema, TrackerSchema

FOLDER = Path(__file__).parents[2] / "field_mappings"
EXAMPLES = sorted(FOLDER.glob("*.example.yaml"))
MANUAL = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_one_example_for_each_tracker_and_deployment() -> None:
    assert {load_mapping(path).tracker.kind for path in EXAMPLES} == set(kinds.names())
    assert {"jira-cloud.example.yaml", "jira-data-center.example.yaml"} < {path.name for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_loads_and_shows_every_fact(path: Path) -> None:
    mapping = load_mapping(path)
    assert set(mapping.fields) == set(FACTS)
    assert mapping.statuses
    assert mapping.records


@pytest.mark.parametrize("fact", FACTS)
def test_manual_explains_every_fact(fact: str) -> None:
    assert f"\n| `{fact}` |" in MANUAL


@pytest.mark.parametrize("stage", STAGES)
def test_manual_explains_every_stage(stage: str) -> None:
    assert f"\n| `{stage}` |" in MANUAL


def test_manual_explains_every_key() -> None:
    groups = {"tracker.": TrackerSchema(), "office.": OfficeSchema(), "": MappingSchema()}
    keys = {
        f"{group}{part.data_key or name}" for group, schema in groups.items() for name, part in schema.fields.items()
    }
    explained = set(re.findall(r"^\| `([a-z_.]+)` \|", MANUAL, re.MULTILINE))
    assert keys - {"tracker", "office"} <= explained


@pytest.mark.parametrize("template", TEMPLATES)
def test_manual_names_every_template(template: str) -> None:
    assert f"`{template}`" in MANUAL


def test_manual_names_every_word_of_a_template() -> None:
    table = MANUAL[MANUAL.index("| in a template |") : MANUAL.index("What does not apply at a stage")]
    named = {name.split(".")[0] for name in re.findall(r"`([a-z_.]+)`", table)}
    assert named == {part.name for part in fields(Words)}


def test_procedure_of_the_manual_loads(tmp_path: Path) -> None:
    [block] = [block for block in re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL) if block.startswith("extends:")]
    (tmp_path / "ours.yaml").write_text(block, encoding="utf-8")
    procedure = load_procedure("ours.yaml", tmp_path)
    assert procedure.service_centers["potomac"].prefixes == ("YSC",)
    assert procedure.call.wait.days == 15
