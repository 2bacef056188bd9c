"""Calendar days of a time zone as stretches of real time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from jobs.timing.zones import read_zone


@dataclass(frozen=True, kw_only=True)
class Span:
    """Real time from `start` up to, not including, `end`; both aware UTC. No start: since ever."""

    start: datetime | None = None
    end: datetime


def day_before(moment: datetime, *, zone: str) -> date:
    """The calendar day before the one that `moment` (aware) lies in, in the zone."""
    return moment.astimezone(read_zone(zone)).date() - timedelta(days=1)


def span_of_day(day: date, *, zone: str) -> Span:
    """From a day's midnight to the next one's, in the zone: 23 or 25 hours where the clock changes.

    A midnight that the clock skips counts as the moment of the change; of one that comes twice the
    first counts. So every moment lies in exactly one day.
    """
    return Span(start=_midnight(day, zone), end=_midnight(day + timedelta(days=1), zone))


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), read_zone(zone)).astimezone(UTC)
