"""One-time and recurring schedules: anchored, without drift, by the clock of their zone."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from jobs.timing import Schedule, next_occurrence, occurrences

BERLIN = ZoneInfo("Europe/Berlin")


def recurring(pattern: str, anchor: datetime, zone: str = "Europe/Berlin") -> Schedule:
    return Schedule(kind="recurring", pattern=pattern, anchor=anchor, zone=zone)


def local(schedule: Schedule, after: datetime, count: int) -> list[str]:
    zone = ZoneInfo(schedule.zone)
    found = islice(occurrences(schedule, after), count)
    return [each.at.astimezone(zone).isoformat(timespec="minutes")[5:] for each in found]


def test_a_one_time_job_fires_once() -> None:
    schedule = Schedule(kind="one_time", anchor=datetime(2026, 5, 1, 10, 0, 0, 123456, tzinfo=UTC))
    assert [each.at for each in occurrences(schedule, datetime(2026, 1, 1, tzinfo=UTC))] == [schedule.anchor]
    assert next_occurrence(schedule, datetime(2026, 5, 1, 10, 0, 0, 123455, tzinfo=UTC)) is not None
    assert next_occurrence(schedule, datetime(2026, 5, 1, 10, 0, 0, 123456, tzinfo=UTC)) is None


def test_the_anchor_is_the_first_fire_time_and_nothing_comes_before_it() -> None:
    anchor = datetime(2026, 5, 1, 10, tzinfo=UTC)
    for pattern in ("hourly", "daily", "weekly", "monthly"):
        first = next_occurrence(recurring(pattern, anchor), datetime(2020, 1, 1, tzinfo=UTC))
        assert first is not None
        assert first.at == anchor


def test_milliseconds_of_the_anchor_are_kept() -> None:
    anchor = datetime(2026, 5, 1, 10, 20, 30, 456789, tzinfo=UTC)
    for pattern in ("hourly", "daily", "weekly", "monthly"):
        found = list(islice(occurrences(recurring(pattern, anchor), anchor), 3))
        assert {each.at.microsecond for each in found} == {456789}
        assert {(each.at.minute, each.at.second) for each in found} == {(20, 30)}


def test_a_month_is_clamped_to_its_last_day_and_recovers() -> None:
    anchor = datetime(2026, 1, 31, 9, tzinfo=BERLIN)
    assert local(recurring("monthly", anchor), anchor, 5) == [
        "02-28T09:00+01:00",
        "03-31T09:00+02:00",
        "04-30T09:00+02:00",
        "05-31T09:00+02:00",
        "06-30T09:00+02:00",
    ]
    leap = local(recurring("monthly", anchor), datetime(2028, 2, 1, tzinfo=UTC), 2)
    assert leap == ["02-29T09:00+01:00", "03-31T09:00+02:00"]


def test_a_day_is_a_local_day_also_when_it_has_23_or_25_hours() -> None:
    anchor = datetime(2026, 3, 27, 9, tzinfo=BERLIN)
    found = local(recurring("daily", anchor), anchor, 3)
    assert found == ["03-28T09:00+01:00", "03-29T09:00+02:00", "03-30T09:00+02:00"]


@pytest.mark.parametrize("pattern", ["daily", "weekly"])
def test_a_skipped_wall_time_runs_right_after_the_gap_and_recovers(pattern: str) -> None:
    anchor = datetime(2026, 3, 22, 2, 30, tzinfo=BERLIN)
    found = local(recurring(pattern, anchor), datetime(2026, 3, 28, 12, tzinfo=UTC), 2)
    after = {"daily": "03-30T02:30+02:00", "weekly": "04-05T02:30+02:00"}[pattern]
    assert found == ["03-29T03:00+02:00", after]


def test_a_repeated_wall_time_runs_in_the_first_pass() -> None:
    anchor = datetime(2026, 10, 18, 2, 30, tzinfo=BERLIN)
    found = local(recurring("daily", anchor), datetime(2026, 10, 24, 12, tzinfo=UTC), 2)
    assert found == ["10-25T02:30+02:00", "10-26T02:30+01:00"]


def test_an_anchor_in_the_second_pass_stands_as_it_is() -> None:
    second = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)
    for pattern, after in (("daily", "10-26"), ("weekly", "11-01"), ("monthly", "11-25")):
        found = local(recurring(pattern, second), datetime(2026, 10, 20, tzinfo=UTC), 2)
        assert found == ["10-25T02:30+01:00", f"{after}T02:30+01:00"]


def test_both_passes_as_anchors_are_two_schedules() -> None:
    first = recurring("daily", datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=0))
    second = recurring("daily", datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1))
    assert first != second
    before = datetime(2026, 10, 20, tzinfo=UTC)
    assert local(first, before, 1) == ["10-25T02:30+02:00"]
    assert local(second, before, 1) == ["10-25T02:30+01:00"]


def test_an_hour_is_an_hour_of_real_time() -> None:
    anchor = datetime(2026, 10, 3, 14, 45, tzinfo=UTC)
    found = local(recurring("hourly", anchor, "Australia/Lord_Howe"), anchor, 3)
    assert found == ["10-04T02:45+11:00", "10-04T03:45+11:00", "10-04T04:45+11:00"]


def test_the_window_includes_both_of_its_ends() -> None:
    schedule = Schedule(
        expression="0 * * * *",
        start_at=datetime(2026, 1, 1, 10, tzinfo=UTC),
        end_at=datetime(2026, 1, 1, 12, tzinfo=UTC),
    )
    found = [each.at.hour for each in occurrences(schedule, datetime(2025, 1, 1, tzinfo=UTC))]
    assert found == [10, 11, 12]
    assert next_occurrence(schedule, datetime(2026, 1, 1, 12, tzinfo=UTC)) is None


def test_a_one_time_job_outside_its_window_never_fires() -> None:
    at = datetime(2026, 1, 1, 10, tzinfo=UTC)
    schedule = Schedule(kind="one_time", anchor=at, start_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert list(occurrences(schedule, datetime(2025, 1, 1, tzinfo=UTC))) == []
