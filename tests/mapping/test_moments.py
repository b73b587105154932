"""Dates and times, as trackers send them and as people type them."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.inquiry.case import Moment
from connector.mapping.moments import MomentError, read_moment, start_of_day

NEW_YORK = ZoneInfo("America/New_York")


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-03-01T10:15:00.000-0500", utc(2026, 3, 1, 15, 15)),  # Jira
        ("2026-03-01T10:15:00.123+05:30", utc(2026, 3, 1, 4, 45, 0, 123000)),
        ("2026-03-01T15:15:00Z", utc(2026, 3, 1, 15, 15)),  # Zammad, Request Tracker
        ("2026-03-01T15:15:00.123456789Z", utc(2026, 3, 1, 15, 15, 0, 123456)),
        ("2026-03-01T15:15Z", utc(2026, 3, 1, 15, 15)),
        ("2026-03-01T15:15+00", utc(2026, 3, 1, 15, 15)),
        ("2026-03-01 15:15:00 UTC", utc(2026, 3, 1, 15, 15)),
        ("2026-03-01 10:15:00", utc(2026, 3, 1, 15, 15)),  # no zone: the office's
        ("2026-03-01T10:15", utc(2026, 3, 1, 15, 15)),
        ("03/01/2026 10:15", utc(2026, 3, 1, 15, 15)),
        ("3/1/2026 2:05 PM", utc(2026, 3, 1, 19, 5)),
        ("3/1/2026, 2:05 p.m.", utc(2026, 3, 1, 19, 5)),
        ("3/1/2026 at 12:30am", utc(2026, 3, 1, 5, 30)),
        ("3/1/2026 12:30 PM", utc(2026, 3, 1, 17, 30)),
        ("Mar 1, 2026 10:15 AM", utc(2026, 3, 1, 15, 15)),
        ("March 1, 2026, 10:15 a.m.", utc(2026, 3, 1, 15, 15)),
        ("2026-03-08 02:30", utc(2026, 3, 8, 7, 30)),  # an hour that does not exist
        ("2026-11-01 01:30", utc(2026, 11, 1, 5, 30)),  # the first of the two
    ],
)
def test_moments(text: str, at: datetime) -> None:
    assert read_moment(text, NEW_YORK) == Moment(at)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-03-01", date(2026, 3, 1)),
        ("2024-02-29", date(2024, 2, 29)),
        ("03/01/2026", date(2026, 3, 1)),
        ("3/1/2026", date(2026, 3, 1)),
        ("12/31/2026", date(2026, 12, 31)),
        ("Mar 1, 2026", date(2026, 3, 1)),
        ("march 1 2026", date(2026, 3, 1)),
        ("Mar. 1st, 2026", date(2026, 3, 1)),
        ("Sept 9, 2026", date(2026, 9, 9)),
        ("1 March 2026", date(2026, 3, 1)),
        ("01/Mar/2026", date(2026, 3, 1)),
        ("1-mar-2026", date(2026, 3, 1)),
    ],
)
def test_days(text: str, day: date) -> None:
    assert read_moment(text, NEW_YORK) == Moment(start_of_day(day, NEW_YORK), has_time=False)


@pytest.mark.parametrize(
    "text",
    ["3/1/26", "03/01/26 10:15", "13/01/2026", "31.12.2026", "03-01-2026", "1.3.26", "20/05/2026 9:00", "2026-13-01"],
)
def test_not_guessed(text: str) -> None:
    with pytest.raises(MomentError) as caught:
        read_moment(text, NEW_YORK)
    assert caught.value.code == "ambiguous_date"
    assert "write it as 03/01/2026 or 2026-03-01" in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "2026-02-29",
        "02/30/2026",
        "13/32/2026",
        "0026-03-01",
        "1949-12-31",
        "2101-01-01",
        "2026-03-01T25:00:00Z",
        "2026-03-01T10:15:61Z",
        "2026-03-01T10:15:00+15:00",
        "2026-03-01T10:15:00+05:60",
        "3/1/2026 13:05 PM",
        "3/1/2026 0:05 AM",
        "2026-03-01T",
        "1772323200000",
        "٢٠٢٦-٠٣-٠١",
        "March 2026",
        "2026-03-01 10:15 Eastern",
    ],
)
def test_bad_date(text: str) -> None:
    with pytest.raises(MomentError) as caught:
        read_moment(text, NEW_YORK)
    assert caught.value.code == "bad_date"


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000+0000"])
def test_unset(text: str) -> None:
    assert read_moment(text, NEW_YORK) is None


@pytest.mark.parametrize(
    ("zone", "day", "at"),
    [
        ("America/New_York", date(2026, 3, 8), utc(2026, 3, 8, 5)),
        ("America/New_York", date(2026, 3, 9), utc(2026, 3, 9, 4)),
        (
            "Asia/Beirut",
            date(2024, 3, 31),
            utc(2024, 3, 30, 22),
        ),  # clocks go forward at midnight: the day begins at one
        ("Pacific/Auckland", date(2026, 1, 1), utc(2025, 12, 31, 11)),
    ],
)
def test_start_of_day(zone: str, day: date, at: datetime) -> None:
    assert start_of_day(day, ZoneInfo(zone)) == at


@given(
    st.datetimes(datetime(1951, 1, 1), datetime(2099, 12, 31)),  # noqa: DTZ001  a wall clock, its zone comes next
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["", ":"]),
)
def test_any_offset_is_exact(wall: datetime, offset: int, colon: str) -> None:
    wall = wall.replace(microsecond=wall.microsecond // 1000 * 1000)
    sign, hours, minutes = "-" if offset < 0 else "+", *divmod(abs(offset), 60)
    text = f"{wall:%Y-%m-%dT%H:%M:%S}.{wall.microsecond // 1000:03}{sign}{hours:02}{colon}{minutes:02}"
    moment = read_moment(text, NEW_YORK)
    at = wall.replace(tzinfo=UTC) - timedelta(minutes=offset)
    assert moment == (None if at == utc(1970, 1, 1) else Moment(at))


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(MomentError):
        read_moment(text, NEW_YORK)
