"""Counting what was missed, without walking it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from jobs.timing import Backlog, Calendar, Schedule, backlog

NOW = datetime(2026, 6, 1, tzinfo=UTC)
BUDGET = 0.05


@pytest.mark.parametrize(
    ("expression", "zone", "span", "count"),
    [
        ("* * * * * *", "UTC", timedelta(days=3), 3 * 86_400),
        ("* * * * *", "UTC", timedelta(days=3653), 3653 * 1440),
        ("*/5 * * * *", "Europe/Berlin", timedelta(days=3650), 3650 * 288),
        ("0 0-23 * * *", "Europe/Berlin", timedelta(days=365), 365 * 24 - 1),
        ("0 9 * * MON-FRI", "America/New_York", timedelta(days=3640), 5 * 520),
    ],
)
def test_huge_stretches_are_counted_within_50_milliseconds(
    expression: str, zone: str, span: timedelta, count: int
) -> None:
    schedule = Schedule(expression=expression, zone=zone)
    spent = []
    for _ in range(3):
        begun = time.process_time()
        counted = backlog(schedule, NOW - span, NOW, newest=10)
        spent.append(time.process_time() - begun)
    assert abs(counted.count - count) <= 1
    assert len(counted.newest) == 10
    assert min(spent) <= BUDGET


def test_the_start_is_excluded_and_the_end_included() -> None:
    schedule = Schedule(expression="0 * * * *")
    counted = backlog(schedule, NOW, NOW + timedelta(hours=3), newest=2)
    assert counted.count == 3
    assert counted.first is not None
    assert counted.first.at == NOW + timedelta(hours=1)
    assert [each.at for each in counted.newest] == [NOW + timedelta(hours=2), NOW + timedelta(hours=3)]
    assert counted.last == counted.newest[-1]


def test_nothing_missed_is_an_empty_backlog() -> None:
    schedule = Schedule(expression="0 0 * * *")
    assert backlog(schedule, NOW, NOW + timedelta(hours=23), newest=3) == Backlog()
    assert backlog(schedule, NOW, NOW - timedelta(days=5), newest=3) == Backlog()
    assert backlog(schedule, NOW, NOW, newest=3) == Backlog()


def test_skipped_times_of_a_gap_count_as_one() -> None:
    schedule = Schedule(expression="0-59 2 * * *", zone="Europe/Berlin")
    night = datetime(2026, 3, 29, tzinfo=UTC)
    assert backlog(schedule, night, night + timedelta(hours=12), newest=0).count == 1


def test_the_newest_open_one_may_lie_before_closed_days() -> None:
    calendar = Calendar.from_definition({"weekend": [6, 7]})
    schedule = Schedule(expression="*/10 * * * * *", calendar=calendar)
    sunday = datetime(2026, 8, 2, 12, tzinfo=UTC)
    counted = backlog(schedule, sunday - timedelta(days=5), sunday, newest=1)
    assert counted.newest[0].closed
    assert counted.newest_open is not None
    assert counted.newest_open.at == datetime(2026, 7, 31, 23, 59, 50, tzinfo=UTC)
    assert backlog(schedule, sunday - timedelta(days=1), sunday, newest=1).newest_open is None
