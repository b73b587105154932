"""The poll's search: times as JQL reads them, and pages that shift while they are read."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.trackers.jira import jql_minute
from connector.trackers.port import Unavailable
from tests.trackers.sites import PracticeSite

ZONES = ["America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC", "Pacific/Apia", "America/St_Johns"]


@pytest.mark.parametrize("minutes", [0, 1])
def test_changes_are_found_to_the_minute_in_the_accounts_time_zone(either: PracticeSite, minutes: int) -> None:
    ticket_id = either.create("One")
    either.clock.advance(seconds=40)
    either.edit_receipt(ticket_id, "WAC2590123456")
    moment = either.clock.now() + timedelta(minutes=minutes, seconds=10)
    found = [sighting.ticket_id for sighting in either.tracker().changed_since(moment)]
    assert found == ([ticket_id] if minutes == 0 else [])


@given(st.integers(0, 10 * 365 * 24 * 60), st.sampled_from(ZONES))
def test_jql_never_reads_a_moment_as_a_later_one(minutes: int, zone: str) -> None:
    moment, place = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes, seconds=17), ZoneInfo(zone)
    written = datetime.strptime(jql_minute(moment, place), "%Y-%m-%d %H:%M")  # noqa: DTZ007  a wall clock
    readings = [written.replace(tzinfo=place, fold=fold).astimezone(UTC) for fold in (0, 1)]
    assert max(readings) <= moment
    assert moment - min(readings) < timedelta(hours=2, minutes=1)


def test_the_hour_that_comes_twice_is_written_so_that_nothing_is_missed() -> None:
    first = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)  # 1:30 a.m. in New York, for the first time
    assert jql_minute(first, ZoneInfo("America/New_York")) == "2026-11-01 00:30"
    assert jql_minute(first + timedelta(hours=1), ZoneInfo("America/New_York")) == "2026-11-01 01:30"


@pytest.mark.parametrize("zone", [None, "Mars/Olympus_Mons", "../../etc/passwd", 5])
def test_an_account_without_a_time_zone_misses_nothing(either: PracticeSite, zone: object) -> None:
    ticket_id = either.create("One")
    either.server.faults.add("GET", "myself", status=200, body={"timeZone": zone})
    assert [each.ticket_id for each in either.tracker().changed_since(either.clock.now())] == [ticket_id]


def test_tickets_that_leave_the_search_while_it_is_read_hide_no_other(data_center: PracticeSite) -> None:
    wanted = [data_center.create(f"Number {number}") for number in range(250)]
    leaving = wanted[:3]
    found = []
    for sighting in data_center.tracker().changed_since(None):
        found.append(sighting.ticket_id)
        if len(found) == 60:
            for each in leaving:
                data_center.move(each, "Done")
    assert set(wanted) <= set(found)
    assert len(found) == len(set(found))


def test_pages_may_be_shorter_than_asked_for(either: PracticeSite) -> None:
    either.world.page_limit = 7
    wanted = {either.create(f"Number {number}") for number in range(30)}
    found = [sighting.ticket_id for sighting in either.tracker().changed_since(None)]
    assert wanted == set(found)
    assert len(found) == 30


def test_pages_are_read_only_as_far_as_they_are_wanted(either: PracticeSite) -> None:
    for number in range(120):
        either.create(f"Number {number}")
    sightings = either.tracker().changed_since(None)
    next(sightings)
    assert len([path for _, path in either.calls() if path.startswith("search")]) == 1


def test_a_search_that_repeats_itself_is_given_up(cloud: PracticeSite) -> None:
    tracker = cloud.tracker()
    page = {"issues": [], "isLast": False, "nextPageToken": "again"}
    cloud.server.faults.add("GET", "search/jql", times=3, status=200, body=page)
    with pytest.raises(Unavailable, match="repeats"):
        list(tracker.changed_since(None))
    assert [path for _, path in cloud.calls()].count("search/jql") == 2
