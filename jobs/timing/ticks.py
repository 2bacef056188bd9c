"""Moments as whole microseconds since 1970: of UTC ("at"), or of a wall clock ("wall").

Integers cannot overflow at year 9999, compare and subtract fast, and a wall clock kept as a
plain number can never be mistaken for an aware time of the same zone.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 86_400 * SECOND

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock has no zone
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

FIRST_DAY = date.min.toordinal() - _EPOCH_ORDINAL
LAST_DAY = date.max.toordinal() - _EPOCH_ORDINAL
FIRST_TICK = FIRST_DAY * DAY
LAST_TICK = (LAST_DAY + 1) * DAY - 1


def span_ticks(span: timedelta) -> int:
    """A duration as microseconds."""
    return (span.days * 86_400 + span.seconds) * SECOND + span.microseconds


def wall_ticks(moment: datetime) -> int:
    """What the clock of this datetime shows, whatever its zone is."""
    return span_ticks(moment.replace(tzinfo=None) - _EPOCH)


def to_ticks(moment: object, name: str = "after") -> int:
    """An aware datetime as an instant; raises ValueError, naming it, for anything else."""
    if not isinstance(moment, datetime):
        raise ValueError(f"{name} must be a datetime, not {type(moment).__name__}")
    try:
        offset = moment.utcoffset()
    except Exception as error:  # a foreign tzinfo may raise anything
        raise ValueError(f"{name}: its tzinfo does not work ({type(error).__name__})") from error
    if offset is None:
        raise ValueError(f"{name} must be aware (have a time zone)")
    return wall_ticks(moment) - span_ticks(offset)


def from_ticks(at: int) -> datetime:
    """An instant as aware UTC datetime."""
    return _EPOCH_UTC + timedelta(microseconds=at)


def wall_time(wall: int) -> datetime:
    """A wall clock as naive datetime."""
    return _EPOCH + timedelta(microseconds=wall)


def day_number(day: date) -> int:
    """A date as days since 1970-01-01."""
    return day.toordinal() - _EPOCH_ORDINAL


def day_date(number: int) -> date:
    """The date of a day number."""
    return date.fromordinal(number + _EPOCH_ORDINAL)
