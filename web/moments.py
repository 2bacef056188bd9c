"""Times on the wire: read any RFC 3339 form, write one."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(:\d\d)?(\.\d+)?([Zz]|[+-]\d\d:\d\d)?",
    re.ASCII,
)
# What the two below take, for the description of the API; that a day exists is more than a pattern says.
_YEARS = "(19[7-9][0-9]|[2-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])"
DAY_PATTERN = f"{_YEARS}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
MOMENT_PATTERN = (
    DAY_PATTERN + r"[Tt ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,20})?)?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?"
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
FIRST_YEAR, LAST_YEAR = 1970, 9998


def parse_moment(text: str) -> datetime:
    """The aware UTC time that the text names; without an offset it is UTC.

    Raises ValueError with a reason for the caller when the text is no time, or not within the years
    1970 to 9998.
    """
    match = _MOMENT.fullmatch(text) if len(text) <= 64 else None
    if not match or (match[4] and not match[3]):
        raise ValueError("Must be a time such as 2026-01-20T10:00:00Z")
    day, minutes, seconds, fraction, offset = match.groups()
    offset = "+00:00" if offset in (None, "Z", "z") else offset
    # More digits than microseconds are cut: databases keep six.
    canonical = (
        f"{day}T{minutes}{seconds or ':00'}{(fraction or '')[:7].ljust(7, '0') if fraction else ''}{offset}"
    )
    try:
        moment = datetime.fromisoformat(canonical).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("Is not a time that exists") from None
    return _within_years(moment)


def parse_since(text: str) -> datetime:
    """The first instant of a filter that starts at this time, or at this UTC day; ValueError as above."""
    return _start_of(_parse_day(text)) if _DAY.fullmatch(text) else parse_moment(text)


def parse_until(text: str) -> datetime:
    """The first instant after a filter that ends with this time, or with this UTC day.

    Output shows milliseconds, so an end given in milliseconds covers what is shown as that one.
    """
    if _DAY.fullmatch(text):
        return _start_of(_parse_day(text)) + timedelta(days=1)
    moment = parse_moment(text)
    return (
        moment + timedelta(milliseconds=1)
        if moment.microsecond % 1000 == 0
        else moment + timedelta.resolution
    )


def format_moment(moment: datetime) -> str:
    """`2026-01-20T10:00:00.000Z`; the time must be aware."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("Is not a day that exists") from None


def _start_of(day: date) -> datetime:
    return _within_years(datetime.combine(day, time(), tzinfo=UTC))


def _within_years(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"Must be within the years {FIRST_YEAR} to {LAST_YEAR}")
    return moment
