"""What a benchmark found: a table, the laws it is held to, and how they are told on a terminal and in a document."""

import os
import platform
import re
import sqlite3
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

Measures = Mapping[str, float]


@dataclass(frozen=True)
class Law:
    """A number to meet. `text` names it with its bound, `measured` is what came out."""

    text: str
    measured: str
    met: bool

    def __str__(self) -> str:
        return f"{self.text}: {self.measured}, {'met' if self.met else 'NOT MET'}"


@dataclass
class Table:
    """One table of one run. Cells are text already."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    laws: list[Law] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For a terminal."""
        body = tabulate(self.rows, headers=self.columns, tablefmt="simple", disable_numparse=True)
        return "\n".join([self.title, "", body, "", *(f"law   {law}" for law in self.laws), *self.notes, ""])

    def markdown(self) -> str:
        """For a document."""
        body = tabulate(self.rows, headers=self.columns, tablefmt="github", disable_numparse=True)
        laws = [f"- {law}" for law in self.laws]
        return "\n\n".join(part for part in (f"**{self.title}**", body, "\n".join(laws), "\n".join(self.notes)) if part)


def write(document: Path, name: str, tables: Sequence[Table], how: str) -> None:
    """Replace what stands between the marks of that benchmark. Raises ValueError if the document lacks them."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    text = document.read_text()
    if begin not in text or end not in text:
        raise ValueError(f"{document.name} has no marks for {name}")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    body = "\n\n".join([*(table.markdown() for table in tables), f"Measured on {machine()}, {how}."])
    document.write_text(f"{before}{begin}\n\n{body}\n\n{end}{after}")


def machine() -> str:
    """What the tables were measured on."""
    cores = len(os.sched_getaffinity(0))
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return (
        f"{cores} cores ({model[1] if model else platform.machine()}), Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}"
    )


# Rounds


def interleaved(variants: Mapping[str, Callable[[], Measures]], rounds: int) -> dict[str, list[Measures]]:
    """Measure every variant once a round, A B C A B C: what else the machine does falls upon all of them."""
    results: dict[str, list[Measures]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, measure in variants.items():
            results[name].append(measure())
    return results


def median(results: Sequence[Measures], name: str) -> float:
    """The median of one measure over all rounds."""
    return statistics.median(each[name] for each in results)


def ratios(results: Sequence[Measures], baseline: Sequence[Measures], name: str) -> list[float]:
    """One measure as a multiple of the baseline's, round by round."""
    return [one[name] / other[name] for one, other in zip(results, baseline, strict=True)]


def with_spread(values: Sequence[float], form: str = ".2f") -> str:
    """`0.71 (0.66-0.74)`: the median, and the least and greatest."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}-{max(values):{form}})"
