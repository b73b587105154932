"""For all tests: one Request Tracker for a whole run, and the table of the contract suite at its end."""

from tests.contract.table import pytest_runtest_logreport, pytest_terminal_summary
from tests.live.running import rt

__all__ = ["pytest_runtest_logreport", "pytest_terminal_summary", "rt"]
