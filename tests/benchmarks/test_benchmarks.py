"""The benchmarks' own arithmetic, and that a whole one still runs against the product as it is."""

from pathlib import Path

import pytest

from tests.benchmarks import visible_bench
from tests.benchmarks.tables import Law, Table, interleaved, ratios, with_spread, write


def test_variants_take_turns_and_ratios_are_taken_within_a_turn() -> None:
    order: list[str] = []

    def measure(name: str, rates: list[float]) -> dict[str, float]:
        order.append(name)
        return {"rate": rates.pop(0)}

    ours, bare = [50.0, 10.0, 90.0], [100.0, 20.0, 100.0]
    results = interleaved({"ours": lambda: measure("ours", ours), "bare": lambda: measure("bare", bare)}, 3)
    assert order == ["ours", "bare"] * 3
    found = ratios(results["ours"], results["bare"], "rate")
    assert found == [0.5, 0.5, 0.9]
    assert with_spread(found) == "0.50 (0.50-0.90)"


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("before\n<!-- begin queue -->\nold\n<!-- end queue -->\nafter\n")
    table = Table("The queue", ["open", "ms"], [["10", "0.1"]], [Law("at most 1", "2", met=False)])
    write(document, "queue", [table], "in 1 s")
    text = document.read_text()
    assert text.startswith("before\n<!-- begin queue -->\n")
    assert text.endswith("<!-- end queue -->\nafter\n")
    assert "old" not in text
    assert "- at most 1: 2, NOT MET" in text
    with pytest.raises(ValueError, match="no marks for intake"):
        write(document, "intake", [table], "in 1 s")


@pytest.mark.slow
def test_a_benchmark_runs(tmp_path: Path) -> None:
    """It starts the connector and the stand-in tracker, which must answer what the connector asks today."""
    (table,) = visible_bench.run(tmp_path, quick=True)
    assert len(table.rows) == len(visible_bench.LATENCIES)
    assert len(table.laws) == 3 * len(visible_bench.LATENCIES)
