"""For all tests: the table of the contract suite at the end of a run."""

from tests.contract.table import pytest_runtest_logreport, pytest_terminal_summary

__all__ = ["pytest_runtest_logreport", "pytest_terminal_summary"]
