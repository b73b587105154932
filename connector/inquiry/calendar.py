"""Counting the days of a wait in the office's time zone.

The day of the contact is day 0 and the act falls on day N + 1 at the office's hour, because the guidance says
"more than 30 days" (Step 2) and "within 21 days" (Step 3). It names neither a time zone nor business days, so the
office and the procedure choose them.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

import holidays

Counting = Literal["calendar", "business"]

_SATURDAY = 5
# Moments are held a day away from both ends of what datetime can say, so that every zone can show them.
_FIRST_MOMENT = datetime(1, 1, 2, tzinfo=UTC)
_LAST_MOMENT = datetime(9999, 12, 30, tzinfo=UTC)


def wait_passes(
    contact: datetime,
    days: int,
    time_zone: ZoneInfo,
    act_at: time,
    counting: Counting,
    roll_forward: bool,
) -> datetime:
    """Return the moment (aware, UTC) at which a wait of `days` days after `contact` has passed.

    `contact` is any aware moment; `act_at` is the office's hour, a wall-clock time in `time_zone`.
    - calendar: day `days` + 1 after the contact's day. With `roll_forward`, a day that is no business day gives way
      to the next one that is.
    - business: the (`days` + 1)-th business day after the contact's day. It needs no rolling.

    See `at_office_hour` for wall-clock times that daylight saving skips or repeats. A wait that would end after the
    year 9999 ends on the last days of it, instead of failing.

    Raises ValueError for a naive `contact` or negative `days`.
    """
    if days < 0:
        raise ValueError("a wait cannot have a negative number of days")
    start = day_zero(contact, time_zone)
    if counting == "business":
        day = _business_day_after(start, days + 1)
    else:
        day = _calendar_day_after(start, days + 1)
        if roll_forward and not is_business_day(day):
            day = _business_day_after(day, 1)
    return at_office_hour(day, time_zone, act_at)


def day_zero(contact: datetime, time_zone: ZoneInfo) -> date:
    """Return the date that `contact` (an aware moment) has in `time_zone`: the day from which a wait is counted.

    Raises ValueError for a naive `contact`, which would silently be read in the server's own zone.
    """
    if contact.utcoffset() is None:
        raise ValueError("the moment of a contact needs a time zone")
    try:
        return contact.astimezone(time_zone).date()
    except OverflowError:  # within hours of either end of the calendar
        return date.min if contact < _FIRST_MOMENT else date.max


def at_office_hour(day: date, time_zone: ZoneInfo, act_at: time) -> datetime:
    """Return the moment (aware, UTC) of the wall-clock time `act_at` on `day` in `time_zone`.

    A time that the zone skips (clocks go forward over it) becomes the first moment after the gap: 02:30 in New York
    on the night of the change is 03:00. A time that occurs twice (clocks go back) is the first of the two.
    """
    local = datetime.combine(day, act_at.replace(fold=0), tzinfo=time_zone)
    before, after = _offset(local), _offset(local.replace(fold=1))
    wall_clock = local.replace(tzinfo=None)
    if after > before:  # PEP 495: only inside a gap is the later reading the larger offset
        return _end_of_gap(_as_utc(wall_clock, after), _as_utc(wall_clock, before), time_zone)
    return _as_utc(wall_clock, before)


def is_business_day(day: date) -> bool:
    """Say whether US federal offices open on `day`: Monday to Friday, and no federal holiday or the day it is observed.

    Holidays are those of 5 U.S.C. 6103, as `holidays` gives them for the whole country. Days on which a President
    closes offices by order, such as some Christmas Eves, stay business days: they are ordered at short notice and some
    are half days. `holidays` knows the years 1777 to 2100; outside them only weekends are free.
    """
    return day.weekday() < _SATURDAY and day not in _federal_holidays(day.year)


@lru_cache(maxsize=128)
def _federal_holidays(year: int) -> frozenset[date]:
    # The public category without a state holds the federal holidays and nothing else; a test holds it to that.
    return frozenset(holidays.country_holidays("US", years=year, categories="public", observed=True))


def _calendar_day_after(day: date, number: int) -> date:
    return day + timedelta(days=number) if number <= (date.max - day).days else date.max


def _business_day_after(day: date, number: int) -> date:
    while number and day < date.max:
        day += timedelta(days=1)
        number -= is_business_day(day)
    return day


def _offset(local: datetime) -> timedelta:
    # Every ZoneInfo gives an offset; the type of utcoffset() also allows for zones that give none.
    return local.utcoffset() or timedelta(0)


def _as_utc(wall_clock: datetime, offset: timedelta) -> datetime:
    """Return `wall_clock` less `offset` as UTC, held within the moments that every zone can show."""
    try:
        moment = (wall_clock - offset).replace(tzinfo=UTC)
    except OverflowError:
        return _FIRST_MOMENT if offset > timedelta(0) else _LAST_MOMENT
    return min(max(moment, _FIRST_MOMENT), _LAST_MOMENT)


def _end_of_gap(early: datetime, late: datetime, time_zone: ZoneInfo) -> datetime:
    """Return the first moment, to the second, at which `time_zone` has the offset that it has at `late`.

    The clock changes between `early` (before the change) and `late` (at or after it); zones change on whole seconds.
    """
    early, late = early.replace(microsecond=0), late.replace(microsecond=0)
    new_offset = _offset(late.astimezone(time_zone))
    while late - early > timedelta(seconds=1):
        middle = early + timedelta(seconds=(late - early) // timedelta(seconds=2))
        if _offset(middle.astimezone(time_zone)) == new_offset:
            late = middle
        else:
            early = middle
    return late
