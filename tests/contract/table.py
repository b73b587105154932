"""The table at the end of a run: which tracker shows which behaviour, and why not.

It is made from what tests report, so that it is whole where several processes share the work. Its hooks are those of
tests/conftest.py, as the process that prints it reads no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from tabulate import tabulate

PROPERTY = "contract"  # of a test's report: "behaviour | site"


@dataclass
class Results:
    """`cells`: (behaviour, site) -> ok, FAIL or -; `reasons`: (site, reason) -> the behaviours not tried for it."""

    cells: dict[tuple[str, str], str] = field(default_factory=dict)
    reasons: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, report: pytest.TestReport) -> None:
        told = dict(report.user_properties).get(PROPERTY)
        if told is None:
            return
        behaviour, _, site = str(told).partition(" | ")
        cell = (behaviour, site)
        if report.failed:
            self.cells[cell] = "FAIL"
        elif report.skipped:
            self.cells[cell] = "-"
            self.reasons.setdefault((site, _why(report)), []).append(behaviour)
        elif report.when == "call":
            self.cells[cell] = "ok"

    def lines(self, order: Sequence[str], not_run: Mapping[str, str]) -> list[str]:
        """The table, then the reasons. `order`: of the sites; `not_run`: those left out of ordinary runs, and why."""
        ran = {site for _, site in self.cells}
        columns = [name for name in order if name in ran]
        rows = [
            [behaviour.replace("_", " "), *(self.cells.get((behaviour, site), "") for site in columns)]
            for behaviour in dict.fromkeys(behaviour for behaviour, _ in self.cells)
        ]
        lines = tabulate(rows, headers=["", *columns], tablefmt="simple").splitlines()
        for (site, reason), behaviours in self.reasons.items():
            lines += ["", f"- {site}: {reason}", *(f"    {each.replace('_', ' ')}" for each in behaviours)]
        lines += ["", *(f"not in this run: {site} ({why})" for site, why in not_run.items() if site not in ran)]
        return lines


def _why(report: pytest.TestReport) -> str:
    """Why a test was skipped, or is known to fail."""
    known = getattr(report, "wasxfail", None)
    if known is not None:
        return f"known to fail: {known}"
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


_results = Results()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _results.add(report)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _results.cells:
        from tests.contract import sites  # noqa: PLC0415  # only runs of the suite need all its trackers

        terminalreporter.section("what every tracker must do")
        for line in _results.lines(sites.names(), sites.LIVE):
            terminalreporter.write_line(line)
