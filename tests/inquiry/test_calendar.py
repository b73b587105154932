"""When a wait has passed, to the minute, in the office's time zone."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector.inquiry.calendar import Counting, at_office_hour, day_zero, is_business_day, wait_passes

LAW = settings(deadline=None, derandomize=True, max_examples=200)

NEW_YORK = ZoneInfo("America/New_York")
NINE = time(9)

# Zones with half-hour changes, changes at midnight, no changes, a skipped day, and offsets of up to 14 hours.
zones = st.sampled_from(
    [
        "America/New_York",
        "America/Los_Angeles",
        "America/Havana",
        "America/Sao_Paulo",
        "Africa/Cairo",
        "Asia/Beirut",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Europe/Dublin",
        "Pacific/Apia",
        "Pacific/Kiritimati",
        "Pacific/Honolulu",
        "UTC",
    ]
).map(ZoneInfo)
hours = st.times(timezones=st.none())
minutes = hours.map(lambda hour: hour.replace(second=0, microsecond=0, fold=0))
countings: st.SearchStrategy[Counting] = st.sampled_from(["calendar", "business"])


def moments(first: int, last: int) -> st.SearchStrategy[datetime]:
    end = datetime(last, 12, 31, 23, 59, 59)  # noqa: DTZ001 - Hypothesis takes naive bounds and adds the zone itself
    return st.datetimes(datetime(first, 1, 1), end, timezones=st.just(UTC))  # noqa: DTZ001 - as above


def local(text: str, zone: ZoneInfo = NEW_YORK) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# ---- Calendar days


@pytest.mark.parametrize(
    ("contact", "days", "expected"),
    [
        ("2026-03-01 10:15", 30, "2026-04-01 13:00"),  # the ladder of the guidance: 30, 21 and 10 days
        ("2026-04-01 16:30", 21, "2026-04-23 13:00"),
        ("2026-04-23 09:00", 10, "2026-05-04 13:00"),
        ("2026-03-01 00:00", 30, "2026-04-01 13:00"),  # any time of the day counts the same
        ("2026-03-01 23:59:59", 30, "2026-04-01 13:00"),
        ("2026-02-10 10:15", 24, "2026-03-07 14:00"),  # the last day of winter time
        ("2026-02-10 10:15", 25, "2026-03-08 13:00"),  # the clocks went forward in the night
        ("2026-10-10 10:15", 20, "2026-10-31 13:00"),
        ("2026-10-10 10:15", 21, "2026-11-01 14:00"),  # and back
        ("2028-01-30 10:15", 30, "2028-03-01 14:00"),  # 29 February 2028
        ("2027-01-30 10:15", 30, "2027-03-02 14:00"),
        ("2028-02-28 10:15", 0, "2028-02-29 14:00"),
        ("2026-12-20 10:15", 21, "2027-01-11 14:00"),  # over the end of the year
        ("2026-12-31 23:30", 0, "2027-01-01 14:00"),
    ],
)
def test_calendar_days(contact: str, days: int, expected: str) -> None:
    assert wait_passes(local(contact), days, NEW_YORK, NINE, "calendar", roll_forward=False) == utc(expected)


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("America/New_York", "2026-04-01 13:00"),
        ("America/Los_Angeles", "2026-04-01 16:00"),
        ("Pacific/Honolulu", "2026-04-01 19:00"),
        ("Asia/Kathmandu", "2026-04-02 03:15"),  # there it is 2 March already
        ("Pacific/Kiritimati", "2026-04-01 19:00"),
    ],
)
def test_the_day_of_contact_is_the_offices(zone: str, expected: str) -> None:
    contact = utc("2026-03-02 04:30")  # 23:30 on 1 March in New York
    assert wait_passes(contact, 30, ZoneInfo(zone), NINE, "calendar", roll_forward=False) == utc(expected)


def test_the_zone_in_which_a_contact_is_given_does_not_matter() -> None:
    contact = local("2026-03-01 23:30")
    there = contact.astimezone(ZoneInfo("Asia/Tokyo"))
    assert day_zero(there, NEW_YORK) == day_zero(contact, NEW_YORK) == date(2026, 3, 1)
    assert day_zero(there, ZoneInfo("Asia/Tokyo")) == date(2026, 3, 2)


def test_the_offices_hour_is_kept_to_the_minute() -> None:
    passed = wait_passes(local("2026-03-01 10:15"), 30, NEW_YORK, time(16, 45), "calendar", roll_forward=False)
    assert passed == utc("2026-04-01 20:45")
    assert passed.utcoffset() == timedelta(0)


@LAW
@given(moments(1971, 2099), st.integers(0, 400), zones, minutes)
def test_the_act_falls_on_day_n_plus_one_at_the_offices_hour(
    contact: datetime, days: int, zone: ZoneInfo, act_at: time
) -> None:
    shown = wait_passes(contact, days, zone, act_at, "calendar", roll_forward=False).astimezone(zone)
    expected = datetime.combine(contact.astimezone(zone).date() + timedelta(days=days + 1), act_at)
    if shown.replace(tzinfo=None, fold=0) == expected:
        assert shown.fold == 0
    else:  # a time that the zone skips: the moment before still has the old offset and shows an earlier time
        before = (shown.astimezone(UTC) - timedelta(seconds=1)).astimezone(zone)
        assert before.replace(tzinfo=None) < expected < shown.replace(tzinfo=None)


# ---- Times that clocks skip or repeat


@pytest.mark.parametrize(
    ("zone", "day", "act_at", "expected"),
    [
        ("America/New_York", date(2026, 3, 8), time(1, 59), "2026-03-08 06:59"),
        ("America/New_York", date(2026, 3, 8), time(2, 0), "2026-03-08 07:00"),
        ("America/New_York", date(2026, 3, 8), time(2, 30), "2026-03-08 07:00"),
        ("America/New_York", date(2026, 3, 8), time(2, 59, 59, 999999), "2026-03-08 07:00"),
        ("America/New_York", date(2026, 3, 8), time(3, 0), "2026-03-08 07:00"),
        ("America/New_York", date(2026, 11, 1), time(1, 30), "2026-11-01 05:30"),  # the first of two
        ("America/New_York", date(2026, 11, 1), time(1, 30, fold=1), "2026-11-01 05:30"),
        ("America/New_York", date(2026, 11, 1), time(2, 0), "2026-11-01 07:00"),
        ("Australia/Lord_Howe", date(2026, 10, 4), time(2, 15), "2026-10-03 15:30"),  # a gap of half an hour
        ("Asia/Beirut", date(2026, 3, 29), time(0, 0), "2026-03-28 22:00"),  # a gap at midnight
        ("Pacific/Apia", date(2011, 12, 30), time(9, 0), "2011-12-30 10:00"),  # a day that never was
        ("Europe/Dublin", date(2026, 3, 29), time(1, 30), "2026-03-29 01:00"),
    ],
)
def test_skipped_times_move_forward_and_repeated_ones_take_the_first(
    zone: str, day: date, act_at: time, expected: str
) -> None:
    assert at_office_hour(day, ZoneInfo(zone), act_at) == utc(expected)


# ---- Business days

FEDERAL_2026 = {
    date(2026, 1, 1),
    date(2026, 1, 19),
    date(2026, 2, 16),
    date(2026, 5, 25),
    date(2026, 6, 19),
    date(2026, 7, 3),  # Independence Day, a Saturday, is observed on Friday
    date(2026, 9, 7),
    date(2026, 10, 12),
    date(2026, 11, 11),
    date(2026, 11, 26),
    date(2026, 12, 25),
}


def test_the_free_weekdays_of_a_year_are_its_federal_holidays() -> None:
    """So Good Friday, Patriots' Day, the day after Thanksgiving and Christmas Eve are business days."""
    year = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]
    assert {day for day in year if day.weekday() < 5 and not is_business_day(day)} == FEDERAL_2026
    assert not any(is_business_day(day) for day in year if day.weekday() >= 5)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2021, 12, 31), False),  # New Year's Day 2022, a Saturday, is observed in the year before
        (date(2023, 1, 2), False),
        (date(2021, 6, 18), False),  # the first Juneteenth
        (date(2020, 6, 19), True),  # before there was one
        (date(2021, 1, 20), True),  # Inauguration Day is free in the capital only
        (date(2024, 12, 24), True),  # closed by an executive order, which makes no holiday
        (date(2015, 12, 24), True),  # closed for half a day
    ],
)
def test_is_business_day(day: date, expected: bool) -> None:
    assert is_business_day(day) is expected


@pytest.mark.parametrize(
    ("contact", "days", "expected"),
    [
        ("2026-06-12 10:15", 15, "2026-07-08 13:00"),  # over Juneteenth and Independence Day (observed)
        ("2026-06-18 10:15", 0, "2026-06-22 13:00"),
        ("2026-06-20 10:15", 0, "2026-06-22 13:00"),  # a contact on Saturday: Monday is the first day
        ("2026-12-30 10:15", 1, "2027-01-04 14:00"),
        ("2026-03-02 10:15", 5, "2026-03-10 13:00"),  # over the change of the clocks
    ],
)
def test_business_days(contact: str, days: int, expected: str) -> None:
    assert wait_passes(local(contact), days, NEW_YORK, NINE, "business", roll_forward=False) == utc(expected)


@pytest.mark.parametrize(
    ("contact", "plain", "rolled"),
    [
        ("2026-06-02 10:15", "2026-07-03 13:00", "2026-07-06 13:00"),  # a holiday, then a weekend
        ("2026-06-03 10:15", "2026-07-04 13:00", "2026-07-06 13:00"),
        ("2026-06-05 10:15", "2026-07-06 13:00", "2026-07-06 13:00"),
        ("2026-12-01 10:15", "2027-01-01 14:00", "2027-01-04 14:00"),
    ],
)
def test_a_calendar_wait_rolls_forward_when_told_to(contact: str, plain: str, rolled: str) -> None:
    assert wait_passes(local(contact), 30, NEW_YORK, NINE, "calendar", roll_forward=False) == utc(plain)
    assert wait_passes(local(contact), 30, NEW_YORK, NINE, "calendar", roll_forward=True) == utc(rolled)


@LAW
@given(moments(1971, 2099), st.integers(0, 60), zones, st.booleans())
def test_business_waits_have_their_number_of_business_days(
    contact: datetime, days: int, zone: ZoneInfo, roll_forward: bool
) -> None:
    start = day_zero(contact, zone)
    act_day = wait_passes(contact, days, zone, time(12), "business", roll_forward).astimezone(zone).date()
    between = [start + timedelta(days=number) for number in range(1, (act_day - start).days)]
    assert sum(is_business_day(day) for day in between) == days
    assert is_business_day(act_day)


# ---- Laws of every wait


@LAW
@given(
    moments(1971, 2099), st.timedeltas(timedelta(0), timedelta(days=40)), st.integers(0, 90), zones, minutes, countings
)
def test_a_later_contact_never_passes_earlier(
    contact: datetime, later: timedelta, days: int, zone: ZoneInfo, act_at: time, counting: Counting
) -> None:
    first = wait_passes(contact, days, zone, act_at, counting, roll_forward=True)
    assert first <= wait_passes(contact + later, days, zone, act_at, counting, roll_forward=True)
    assert contact < first


@LAW
@given(moments(1971, 2099), st.integers(0, 90), st.integers(1, 30), zones, minutes, countings, st.booleans())
def test_a_longer_wait_never_passes_earlier(
    contact: datetime, days: int, more: int, zone: ZoneInfo, act_at: time, counting: Counting, roll_forward: bool
) -> None:
    shorter = wait_passes(contact, days, zone, act_at, counting, roll_forward)
    longer = wait_passes(contact, days + more, zone, act_at, counting, roll_forward)
    assert shorter <= longer
    assert counting == "calendar" or shorter < longer


@settings(LAW, max_examples=60)
@given(moments(1, 9990), st.integers(0, 3650), zones, hours, countings, st.booleans())
@example(datetime.min.replace(tzinfo=UTC), 0, NEW_YORK, time.min, "calendar", False)
@example(datetime.min.replace(tzinfo=UTC), 0, ZoneInfo("Pacific/Kiritimati"), time.min, "business", True)
@example(datetime(9990, 12, 31, 23, 59, tzinfo=UTC), 3650, ZoneInfo("Pacific/Honolulu"), time.max, "calendar", True)
@example(datetime(9990, 12, 31, 23, 59, tzinfo=UTC), 3650, NEW_YORK, NINE, "business", False)
@example(datetime.max.replace(tzinfo=UTC), 3650, ZoneInfo("Pacific/Kiritimati"), time.max, "business", True)
@example(datetime(2026, 3, 1, tzinfo=UTC), 10**12, NEW_YORK, NINE, "calendar", False)
def test_no_contact_and_no_wait_is_too_far_away(
    contact: datetime, days: int, zone: ZoneInfo, act_at: time, counting: Counting, roll_forward: bool
) -> None:
    passed = wait_passes(contact, days, zone, act_at, counting, roll_forward)
    assert passed.utcoffset() == timedelta(0)
    for shown_in in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):  # the two ends: staff can be shown the moment
        assert passed.astimezone(ZoneInfo(shown_in)) == passed


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("day", [date.min, date.max])
@pytest.mark.parametrize("hour", [time.min, time.max])
def test_the_ends_of_the_calendar_have_an_office_hour(zone: str, day: date, hour: time) -> None:
    assert abs(at_office_hour(day, ZoneInfo(zone), hour).date().toordinal() - day.toordinal()) <= 1


def test_the_ends_of_the_calendar_stay_at_their_end() -> None:
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert day_zero(first, NEW_YORK) == date.min
    assert day_zero(last, ZoneInfo("Asia/Tokyo")) == date.max
    assert day_zero(last, NEW_YORK) == date(9999, 12, 31)


def test_a_contact_without_a_zone_is_refused() -> None:
    naive = local("2026-03-01 10:15").replace(tzinfo=None)
    with pytest.raises(ValueError, match="time zone"):
        wait_passes(naive, 30, NEW_YORK, NINE, "calendar", roll_forward=False)


def test_a_negative_wait_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        wait_passes(local("2026-03-01 10:15"), -1, NEW_YORK, NINE, "calendar", roll_forward=False)
