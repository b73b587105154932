"""The figures of a fault: how often it was injected, which acts were due, which were missed or done twice.

Every test of this folder keeps a row; a table at the end of the run shows all of them, those of failed tests too. They
travel with the tests' reports, so that the table is whole where several processes share the work.
"""

import json
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import asdict, dataclass, field

import pytest
from tabulate import tabulate

PROPERTY = "faults"  # of a test's report: a row as JSON
HEADERS = ("fault", "injected", "acts due", "missed", "doubled")


@dataclass
class Row:
    """One fault. The name must say nothing personal."""

    fault: str
    injected: int = 0
    due: int = 0  # comments, moves and the like that must be there in the end, by the procedure
    missed: int = 0  # of them, those that are not there
    doubled: int = 0  # what is there more often than it must be

    def count(self, due: Iterable[Hashable], done: Iterable[Hashable]) -> None:
        """Compare what must be there, each as often as it must be, with what is there; their order does not matter."""
        must, there = Counter(due), Counter(done)
        self.due += must.total()
        self.missed += (must - there).total()
        self.doubled += (there - must).total()

    def check(self) -> None:
        """AssertionError unless faults were injected, acts were due, none is missing, and none was done twice."""
        assert self.injected > 0, f"{self.fault}: no fault was injected"
        assert self.due > 0, f"{self.fault}: no act was due"
        assert (self.missed, self.doubled) == (0, 0), f"{self.fault}: {self.missed} missed, {self.doubled} doubled"


class Figures:
    """The rows of one test: figures("kill -9 at every step") makes a new one."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def row(self, fault: str) -> Row:
        row = Row(fault)
        self.rows.append(row)
        return row

    __call__ = row


@dataclass
class Table:
    """What the tests of a run reported."""

    rows: list[Row] = field(default_factory=list)

    def add(self, report: pytest.TestReport) -> None:
        """Take the rows of a test that has ended, however it did."""
        if report.when == "teardown":
            self.rows += [Row(**json.loads(str(told))) for name, told in report.user_properties if name == PROPERTY]

    def lines(self) -> list[str]:
        cells = [list(asdict(row).values()) for row in self.rows]
        total = ["all", *(sum(column) for column in list(zip(*cells, strict=True))[1:])]
        return tabulate([*cells, total], headers=HEADERS, tablefmt="simple").splitlines()


def reported(row: Row) -> tuple[str, str]:
    """The row as a property of its test's report."""
    return PROPERTY, json.dumps(asdict(row))
