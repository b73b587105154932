"""The subset of JQL: what it finds, and that everything else is refused."""

import contextlib
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.practice import jql
from connector.practice.clock import PracticeClock
from connector.practice.sample import blank_world
from connector.practice.world import World

START = datetime(2026, 4, 1, 14, 0, tzinfo=UTC)


def make_world(clock: PracticeClock) -> World:
    """CASE-1 to CASE-3, two minutes apart; CASE-2 done; OTHER-1 last."""
    world = blank_world(clock)
    world.add_issue(
        "CASE",
        summary="One",
        Receipt_Number="WAC2590123456",
        NCSC_Representative="Ms. Rivera, ID 4471",
        Service_Center="Texas Service Center",
        Promised_Days=30,
        Date_Filed=date(2025, 6, 2),
        NCSC_Called_At=datetime(2026, 3, 1, 15, 15, 40, tzinfo=UTC),
    )
    clock.advance(minutes=2)
    done = world.add_issue("CASE", summary="Two", Protected=["Yes"])
    world.move_to(done, "Done")
    clock.advance(minutes=2, seconds=30)
    world.add_issue("CASE", summary="Three", Receipt_Number="LIN2590011223")
    world.add_issue("OTHER", summary="Toner")
    return world


WORLD = make_world(PracticeClock(START))


def keys(query: str, world: World = WORLD) -> list[str]:
    found = jql.parse(world, query, world.connector).matching(list(world.issues.values()))
    return [each.key for each in found]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("project = CASE", "1 2 3"),
        ("project = 'Pending cases'", "1 2 3"),
        ('project=CASE AND issuetype = "uscis inquiry" and status = new', "1 3"),
        ("project in (CASE, OTHER) AND NOT status = Done AND project != OTHER", "1 3"),
        ("project = CASE AND (status = Done OR key = CASE-1)", "1 2"),
        ("project = CASE AND statusCategory = Done", "2"),
        ('project = CASE AND statusCategory != "To Do"', "2"),
        ("project = CASE AND status NOT IN (Done, 'Call NCSC')", "1 3"),
        ("key in (CASE-1, case-3)", "1 3"),
        ("resolution IS EMPTY AND project = CASE", "1 3"),
        ("resolution = Unresolved AND project = CASE", "1 3"),
        ("resolution is not null", "2"),
        ("resolution = Done", "2"),
        ('"Receipt Number" ~ WAC2590123456', "1"),
        ('"receipt number" ~ "wac*"', "1"),
        ('cf[10050] ~ "LIN2590011223"', "3"),
        ('"NCSC Representative" ~ "rivera 4471"', "1"),
        ('"NCSC Representative" ~ "\\"ID 4471\\""', "1"),
        ('"NCSC Representative" ~ "\\"4471 ID\\""', ""),
        ('project = CASE AND "Receipt Number" is EMPTY', "2"),
        ('"Receipt Number" is not empty', "1 3"),
        ('"Receipt Number" !~ WAC2590123456', "3"),
        ('"Service Center" = "texas service center"', "1"),
        ('"Service Center" in ("Texas Service Center", "Vermont Service Center")', "1"),
        ("Protected = Yes", "2"),
        ('"Promised Days" >= 30', "1"),
        ('"Promised Days" in (29, 30)', "1"),
        ('"Date Filed" < 2025-06-03', "1"),
        ('"NCSC Called At" = "2026-03-01 07:15"', "1"),
        ("summary ~ three", "3"),
        ("duedate is EMPTY and project = CASE", "1 2 3"),
        ("project = CASE ORDER BY key DESC", "3 2 1"),
        ("project = CASE ORDER BY updated DESC, id ASC", "3 2 1"),
        ("project = CASE ORDER BY created", "1 2 3"),
    ],
)
def test_queries_find(query: str, found: str) -> None:
    assert keys(query) == [f"CASE-{number}" for number in found.split()]


@pytest.mark.parametrize(
    "query",
    [
        "project",
        "project =",
        "project = NONE",
        "project = CASE AND",
        "project = CASE status = New",
        "project ~ CASE",
        "(project = CASE",
        "project = CASE)",
        "project IN CASE",
        "project IN ()",
        "status = 'No Such'",
        "status > New",
        "statusCategory = 7",
        "key = CASE-99",
        "assignee = currentUser()",
        "fixVersion = 1",
        "cf[99999] ~ x",
        '"Receipt Number" = x',
        '"Receipt Number" ~ "wac-["',
        '"Service Center" = Potomac',
        '"Service Center" ~ Texas',
        '"Promised Days" = many',
        "updated >= yesterday",
        "updated >= '2026-04-01 10:00:00'",
        "updated ~ '-5m'",
        "updated IS EMPTY",
        "project = CASE ORDER",
        "project = CASE ORDER BY rank",
        "project = CASE ORDER BY key UP",
        "project = EMPTY",
        "AND = 1",
        "project = 'CASE",
        "project is CASE",
        "summary ~ a@b.example",
        "created >= 2026/04/01",
        "cf[10050 ~ x",
    ],
)
def test_the_rest_is_refused(query: str) -> None:
    with pytest.raises(jql.JqlError):
        keys(query)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        # The connector's account lives in Los Angeles: 14:02 UTC is 07:02 there.
        ('project = CASE AND updated >= "2026-04-01 07:02"', "2 3"),
        ('project = CASE AND updated > "2026-04-01 07:02"', "3"),
        ('project = CASE AND updated >= "2026/04/01 07:04"', "3"),
        # CASE-3 was updated at 07:04:30; in JQL that is 07:04.
        ('project = CASE AND updated > "2026-04-01 07:04"', ""),
        ('project = CASE AND updated <= "2026-04-01 07:04"', "1 2 3"),
        ('project = CASE AND updated = "2026-04-01 07:04"', "3"),
        ("project = CASE AND updated >= -3m", "2 3"),
        ("project = CASE AND updated >= -1h", "1 2 3"),
        ("project = CASE AND updated < -1d", ""),
        ('project = CASE AND updated >= "2026-04-02"', ""),
    ],
)
def test_updated_is_in_the_users_time_zone_and_by_the_minute(query: str, found: str) -> None:
    assert keys(query) == [f"CASE-{number}" for number in found.split()]


def test_a_name_several_fields_carry_looks_into_each() -> None:
    world = make_world(PracticeClock(START))
    twin = world.add_field("Receipt Number", "text")
    world.issue("CASE-2").values[twin.id] = "WAC2590123456"
    assert keys('"Receipt Number" ~ WAC2590123456', world) == ["CASE-1", "CASE-2"]


def test_only_a_restriction_bounds_a_query() -> None:
    assert jql.parse(WORLD, "updated >= -5m ORDER BY key", WORLD.human).bounded
    assert not jql.parse(WORLD, "ORDER BY key", WORLD.human).bounded
    assert not jql.parse(WORLD, "  ", WORLD.human).bounded


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Guards against a crash of the parser, which would answer 500 where Jira answers 400."""
    with contextlib.suppress(jql.JqlError):
        jql.parse(WORLD, text, WORLD.human)


@given(st.integers(0, 120))
def test_later_limits_find_no_more(minutes: int) -> None:
    moment = datetime(2026, 4, 1, 6, 0, tzinfo=UTC) + timedelta(minutes=minutes)
    limit = f"updated >= '{moment:%Y-%m-%d %H:%M}' AND project = CASE"
    later = f"updated >= '{moment + timedelta(minutes=1):%Y-%m-%d %H:%M}' AND project = CASE"
    assert set(keys(later)) <= set(keys(limit))
