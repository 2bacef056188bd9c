"""Calendar days as spans of real time, across clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from reports.days import day_before, span_of_day


def length(day: date, zone: str) -> timedelta:
    span = span_of_day(day, zone=zone)
    assert span.start is not None
    return span.end - span.start


@pytest.mark.parametrize(
    ("moment", "zone", "day"),
    [
        ("2025-07-20T17:18:00+00:00", "UTC", date(2025, 7, 19)),
        ("2025-07-20T00:00:00+00:00", "UTC", date(2025, 7, 19)),
        ("2025-07-20T17:18:00+00:00", "Asia/Tokyo", date(2025, 7, 20)),
        ("2025-07-20T02:00:00+00:00", "America/New_York", date(2025, 7, 18)),
        ("2025-01-01T00:30:00+00:00", "UTC", date(2024, 12, 31)),
    ],
)
def test_the_day_before_is_judged_in_the_zone(moment: str, zone: str, day: date) -> None:
    assert day_before(datetime.fromisoformat(moment), zone=zone) == day


def test_a_day_starts_and_ends_at_local_midnight() -> None:
    span = span_of_day(date(2025, 7, 18), zone="America/New_York")

    assert span.start == datetime(2025, 7, 18, 4, tzinfo=UTC)
    assert span.end == datetime(2025, 7, 19, 4, tzinfo=UTC)
    assert span.end.tzinfo is UTC


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        (date(2025, 3, 30), "Europe/Berlin", 23.0),
        (date(2025, 10, 26), "Europe/Berlin", 25.0),
        (date(2025, 10, 5), "Australia/Lord_Howe", 23.5),
        (date(2025, 4, 6), "Australia/Lord_Howe", 24.5),
        (date(2018, 11, 4), "America/Sao_Paulo", 23.0),  # midnight itself is skipped
        (date(2018, 2, 17), "America/Sao_Paulo", 25.0),  # its last hour comes twice
        (date(2024, 11, 3), "America/Havana", 25.0),  # midnight comes twice
        (date(2011, 12, 30), "Pacific/Apia", 0.0),  # a day that was left out
    ],
)
def test_a_day_is_as_long_as_the_clock_makes_it(day: date, zone: str, hours: float) -> None:
    assert length(day, zone) == timedelta(hours=hours)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Pacific/Apia"])
def test_days_follow_each_other_without_a_gap(zone: str) -> None:
    day = date(2011, 12, 1)
    while day < date(2012, 12, 1):
        following = day + timedelta(days=1)
        assert span_of_day(day, zone=zone).end == span_of_day(following, zone=zone).start
        day = following


def test_an_unknown_zone_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="Mars/Olympus"):
        span_of_day(date(2025, 7, 18), zone="Mars/Olympus")
