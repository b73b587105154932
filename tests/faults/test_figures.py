"""The figures count as they say, and their table tells of tests that failed, too."""

import pytest

from tests.faults.figures import Row, Table, reported


def test_what_is_missing_and_what_is_too_much_is_counted() -> None:
    row = Row("a fault", injected=2)
    row.count(due=["called", "moved", "moved"], done=["moved", "moved", "called"])
    row.check()
    assert row == Row("a fault", injected=2, due=3)

    row.count(due=["a", "a", "b"], done=["a", "b", "b", "never due"])
    assert row == Row("a fault", injected=2, due=6, missed=1, doubled=2)
    with pytest.raises(AssertionError, match="a fault: 1 missed, 2 doubled"):
        row.check()


@pytest.mark.parametrize(
    ("row", "message"),
    [(Row("idle", due=3), "no fault was injected"), (Row("void", injected=3), "no act was due")],
)
def test_a_row_that_proves_nothing_fails(row: Row, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        row.check()


def report(when: str, outcome: str, row: Row) -> pytest.TestReport:
    place = ("test_x.py", 1, "test_x")
    return pytest.TestReport("test_x.py::test_x", place, {}, outcome, None, when, user_properties=[reported(row)])


def test_the_table_shows_each_row_once_and_the_sums() -> None:
    table = Table()
    failed = Row("two nodes", injected=7, due=9, missed=1)
    for row, outcome in ((Row("one node", 3, 4), "passed"), (failed, "failed")):
        for when in ("setup", "call", "teardown"):
            table.add(report(when, outcome if when == "call" else "passed", row))

    _, _, *rows = (line.split() for line in table.lines())
    assert rows == [
        ["one", "node", "3", "4", "0", "0"],
        ["two", "nodes", "7", "9", "1", "0"],
        ["all", "10", "13", "1", "0"],
    ]
