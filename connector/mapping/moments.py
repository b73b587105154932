"""Dates and times as trackers send them and as people in an American office type them.

American offices write month/day/year, and so do the forms of USCIS (facts: guidance 3.5); what could be read in another
order, or has a year of two digits, is refused rather than guessed.
"""

import re
from collections import abc
from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

from connector.inquiry.case import Moment

FIRST_YEAR, LAST_YEAR = 1950, 2100
HOW = "write it as 03/01/2026 or 2026-03-01"

# Request Tracker sends this for a date that is not set.
_UNSET = datetime(1970, 1, 1, tzinfo=UTC)

_SECONDS = r"(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
_CLOCK = rf"(?P<hour>\d{{1,2}}):(?P<minute>\d{{2}}){_SECONDS}(?:\s*(?P<half>[ap])\.?m\.?)?"
_ZONE = r"(?:\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?"
_TIME = rf"(?:(?:T|,?\s+(?:at\s+)?){_CLOCK}{_ZONE})?"
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?"

_FORMS = tuple(
    re.compile(day + _TIME, re.ASCII | re.IGNORECASE)
    for day in (
        r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})",
        r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})",
        _MONTH + r"\s*(?P<day>\d{1,2})(?:st|nd|rd|th)?(?:,\s*|\s+)(?P<year>\d{4})",
        r"(?P<day>\d{1,2})(?:st|nd|rd|th)?[\s/-]+" + _MONTH + r"(?:,\s*|[\s/-]+)(?P<year>\d{4})",
    )
)
# Three numbers of which it is not certain which is the month: a short year, or dots and dashes as other countries use.
_UNCERTAIN = re.compile(r"\d{1,2}([./-])\d{1,2}\1(?:\d{4}|\d{2})(?!\d).*", re.ASCII | re.DOTALL)


class MomentError(ValueError):
    """A date cannot be read. `message` continues the field's label and its value; it repeats neither."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


def read_moment(text: str, time_zone: ZoneInfo) -> Moment | None:
    """The moment that `text` means in an office in `time_zone`; None for a date that is not set.

    Raises MomentError with the code bad_date or ambiguous_date.
    """
    match = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    if match is None:
        if _UNCERTAIN.fullmatch(text):
            raise MomentError("ambiguous_date", f"can be read in more than one way: {HOW}")
        raise MomentError("bad_date", f"is not a date: {HOW}")
    parts = match.groupdict()
    day = _day(parts)
    if parts["hour"] is None:
        return Moment(start_of_day(day, time_zone), has_time=False)
    local = datetime.combine(day, _time(parts))
    if not parts["zone"]:
        return Moment(_in_office_zone(local, time_zone))
    at = local.replace(tzinfo=_offset(parts["zone"])).astimezone(UTC)
    return None if at == _UNSET else Moment(at)


def start_of_day(day: date, time_zone: ZoneInfo) -> datetime:
    """The first instant (UTC) of a day; where clocks go forward at midnight, that is one o'clock by the clock."""
    return datetime.combine(day, time.min, time_zone).astimezone(UTC)


def _in_office_zone(local: datetime, time_zone: ZoneInfo) -> datetime:
    """A time without a zone is the office's own. Of the hour that comes twice in autumn the first is meant; an hour
    that spring leaves out is read as the clocks stood before.
    """
    return local.replace(tzinfo=time_zone).astimezone(UTC)


def _day(parts: abc.Mapping[str, str | None]) -> date:
    name = parts.get("name")
    month = _MONTH_NAMES.index(name.lower()) + 1 if name else int(parts["month"] or 0)
    year, day = int(parts["year"] or 0), int(parts["day"] or 0)
    if month > 12 and day <= 12:
        raise MomentError("ambiguous_date", f"has the day where the month is expected: {HOW}")
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise MomentError("bad_date", f"has a year that cannot be right: {HOW}")
    try:
        return date(year, month, day)
    except ValueError:
        raise MomentError("bad_date", f"is a day that does not exist: {HOW}") from None


def _time(parts: abc.Mapping[str, str | None]) -> time:
    hour, half = int(parts["hour"] or 0), parts["half"]
    if half and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half.lower() == "p" else 0)
    elif half:
        hour = 99  # 0 p.m. and 13 p.m. are no times
    try:
        return time(
            hour, int(parts["minute"] or 0), int(parts["second"] or 0), int((parts["fraction"] or "").ljust(6, "0")[:6])
        )
    except ValueError:
        raise MomentError("bad_date", "has a time that does not exist: write it as 03/01/2026 2:05 PM") from None


def _offset(zone: str) -> timezone:
    if zone[0] not in "+-":
        return UTC
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 14 or minutes > 59:
        raise MomentError("bad_date", f"has a time zone that does not exist: {HOW}")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if zone[0] == "-" else offset)
