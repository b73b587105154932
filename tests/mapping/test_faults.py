"""One file per mistake in faults/, with what the admin is told of it beside it. New files are picked up by themselves.

A NAME.txt holds the expected lines as `line: path: message`; a mistake in a procedure file has that file's path before.
"""

from pathlib import Path

import pytest

from connector.mapping.loading import MappingError, Mistake, load_mapping

FAULTS = Path(__file__).parent / "faults"


def _line(mistake: Mistake, mapping: Path) -> str:
    where = "" if mistake.file == str(mapping) else Path(mistake.file).relative_to(FAULTS).as_posix() + ":"
    return f"{where}{mistake.line}: {mistake.path}: {mistake.message}\n"


@pytest.mark.parametrize("path", sorted(FAULTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_fault_is_told(path: Path) -> None:
    with pytest.raises(MappingError) as caught:
        load_mapping(path)
    told = "".join(_line(mistake, path) for mistake in caught.value.mistakes)
    assert told == path.with_suffix(".txt").read_text(encoding="utf-8")
    assert "hunter2" not in str(caught.value), "a secret is repeated"


def test_every_expectation_has_its_fault() -> None:
    assert {path.stem for path in FAULTS.glob("*.txt")} == {path.stem for path in FAULTS.glob("*.yaml")}
