"""The scope: what an admin may write, what it becomes, and how mistakes are told."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from connector.scopes.zammad import Clause, ScopeError, check_scope, conditions, parse_scope


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ('group = "USCIS inquiries"', [Clause("group", False, ("USCIS inquiries",))]),
        ("group='A B'", [Clause("group", False, ("A B",))]),
        ("group = Inquiries", [Clause("group", False, ("Inquiries",))]),
        ('group in ("One", Two)', [Clause("group", False, ("One", "Two"))]),
        ("group_id = 2", [Clause("group_id", False, ("2",))]),
        (
            'group = A and case_type != "x" AND tag not in (b, c)',
            [Clause("group", False, ("A",)), Clause("case_type", True, ("x",)), Clause("tag", True, ("b", "c"))],
        ),
        ("group = Büro::Süd", [Clause("group", False, ("Büro::Süd",))]),
    ],
)
def test_what_may_be_written(text: str, clauses: list[Clause]) -> None:
    assert check_scope(text) is None
    assert list(parse_scope(text)) == clauses


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ('state = "open"', "must say which group"),
        ('group != "A"', "must say which group"),
        ('group = "A" OR group = "B"', "joins conditions by AND only"),
        ("group = USCIS inquiries", 'has "inquiries" where AND is expected'),
        ('group = "A" ORDER BY id', "must not have ORDER BY"),
        ('group = "A', "quotation mark without its partner"),
        ("group in (A, B", "opening bracket without a closing one"),
        ("group = A)", "closing bracket without an opening one"),
        ("group in A", "needs brackets"),
        ("group ~ A", 'has "~" after "group"'),
        ("group =", "has its end where a value is expected"),
        ("group in ()", 'has ")" where a value is expected'),
        ('group = ""', "where a value is expected"),
        ("= A", 'has "=" where a name is expected'),
        ("group = A AND", "has its end where a name is expected"),
        ("group = A AND Case-Type = B", 'has "Case-Type" as a name'),
        ("group not A", "has"),
    ],
)
def test_how_mistakes_are_told(text: str, fault: str) -> None:
    told = check_scope(text)
    assert told is not None
    assert fault in told


def test_what_it_becomes() -> None:
    clauses = parse_scope('group in ("A", "B") AND state != closed AND tag = uscis AND case_type in (x)')
    made = conditions(clauses, lambda kind, name: f"{kind}:{name}")
    assert made == [
        {"name": "ticket.group_id", "operator": "is", "value": ["group:A", "group:B"]},
        {"name": "ticket.state_id", "operator": "is not", "value": ["state:closed"]},
        {"name": "ticket.tags", "operator": "contains one", "value": "uscis"},
        {"name": "ticket.case_type", "operator": "is", "value": ["x"]},
    ]


@given(st.text(alphabet="group in=!()\"',AB ~é", max_size=40))
def test_every_text_is_read_or_told(text: str) -> None:
    told = check_scope(text)
    if told is None:
        assert all(clause.values and all(clause.values) for clause in parse_scope(text))
    else:
        with pytest.raises(ScopeError, match=re.escape(told)):
            parse_scope(text)


@given(st.lists(st.text(alphabet="abc de(),=!'", min_size=1).filter(str.strip), min_size=1, max_size=4))
def test_quoted_values_come_through(values: list[str]) -> None:
    listed = ", ".join(f'"{value}"' for value in values)
    [clause] = parse_scope(f"group in ({listed})")
    assert list(clause.values) == [value.strip() for value in values]


def test_the_example_for_admins() -> None:
    path = Path(__file__).parents[2] / "field_mappings" / "zammad.example.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert document["tracker"]["kind"] == "zammad"
    assert check_scope(document["scope"]) is None
    fields = [each["field"] if isinstance(each, dict) else each for each in document["fields"].values()]
    assert all(re.fullmatch("[a-z_]+", name) and not name.endswith("_id") for name in fields)
    for written in re.findall(r'group in \("One", "Two"\)|AND case_type = "uscis"|AND tag = uscis', path.read_text()):
        assert check_scope(written if written.startswith("group") else f"group = A {written}") is None
