"""Periodic tasks of Celery beat as jobs: the same fire times, or a reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from jobs.importers import Candidate
from jobs.importers.celery_beat import Beat, Lost, read_beat, read_cron, read_moment
from jobs.timing import fire_times

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DAILY = {
    "minute": "0",
    "hour": "3",
    "day_of_week": "*",
    "day_of_month": "*",
    "month_of_year": "*",
    "timezone": "UTC",
}


def task(**fields: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "name": "nightly",
        "task": "shop.tasks.clean_up",
        "args": "[]",
        "kwargs": "{}",
        "enabled": True,
        "one_off": False,
        "headers": "{}",
        **fields,
    }


def read(beat: Beat, known: tuple[str, ...] = ("shop.tasks.clean_up",)) -> Candidate:
    (found,) = read_beat(beat, now=NOW, find_handler=lambda name: name if name in known else None)
    return found


def of_cron(row: dict[str, Any] | None = None, **fields: Any) -> Candidate:
    return read(Beat(tasks=[task(crontab_id=1, **fields)], crontabs={1: {**DAILY, **(row or {})}}))


def of_interval(every: int, period: str, **fields: Any) -> Candidate:
    return read(
        Beat(tasks=[task(interval_id=1, **fields)], intervals={1: {"every": every, "period": period}})
    )


def test_a_crontab_keeps_its_expression_and_zone() -> None:
    found = of_cron(
        {"hour": "3, 15", "day_of_week": "mon-fri", "timezone": "Europe/Berlin"}, kwargs='{"days": 3}'
    )
    assert found.lost == ""
    assert found.columns["cron_expression"] == "0 3,15 * * mon-fri"
    assert found.columns["timezone"] == "Europe/Berlin"
    assert (found.columns["handler"], found.columns["payload"]) == ("shop.tasks.clean_up", {"days": 3})
    assert (found.name, found.active) == ("nightly", True)


def test_weekdays_written_out_are_read_as_celery_reads_them() -> None:
    found = of_cron({"day_of_week": "sunday, Wednesday,thurs-sat"})
    assert (found.lost, found.columns["cron_expression"]) == ("", "0 3 * * sun,Wed,thu-sat")


def celery_fires(day: datetime, month_days: set[int], weekdays: set[int]) -> bool:
    """Celery's rule: both must match (weekday 0 is Sunday)."""
    return day.day in month_days and day.isoweekday() % 7 in weekdays


WEEKDAYS = {
    "*": set(range(7)),
    "0-6": set(range(7)),
    "1": {1},
    "sun": {0},
    "5-1": {5, 6, 0, 1},
    "*/2": {0, 2, 4, 6},
}
MONTH_DAYS = {
    "*": set(range(1, 32)),
    "1-31": set(range(1, 32)),
    "*/10": {1, 11, 21, 31},
    "1-7": set(range(1, 8)),
    "15-21": set(range(15, 22)),
    "13": {13},
}


@pytest.mark.parametrize(("month_day", "weekday"), list(product(MONTH_DAYS, WEEKDAYS)))
def test_days_are_those_of_celery_or_the_task_is_left_out(month_day: str, weekday: str) -> None:
    row = {**DAILY, "day_of_month": month_day, "day_of_week": weekday}
    restricted = len(MONTH_DAYS[month_day]) < 31 and len(WEEKDAYS[weekday]) < 7
    try:
        columns = read_cron(row, [])
    except Lost:
        assert restricted
        return
    start = datetime(2026, 1, 1, tzinfo=UTC)
    fires = fire_times(columns["cron_expression"], "UTC", start)
    ours = set()
    for at in fires:
        if at >= start + timedelta(days=366):
            break
        ours.add(at.date())
    days = [start + timedelta(days=number) for number in range(366)]
    theirs = {day.date() for day in days if celery_fires(day, MONTH_DAYS[month_day], WEEKDAYS[weekday])}
    assert ours == theirs


@pytest.mark.parametrize(
    ("every", "period", "expression"),
    [
        (10, "seconds", "*/10 * * * * *"),
        (5, "minutes", "0 */5 * * * *"),
        (6, "hours", "0 0 */6 * * *"),
        (2_000_000, "microseconds", "*/2 * * * * *"),
    ],
)
def test_an_interval_that_divides_the_clock_follows_it(every: int, period: str, expression: str) -> None:
    found = of_interval(every, period)
    assert found.columns["cron_expression"] == expression
    assert "follows the clock" in found.notes[0]


@pytest.mark.parametrize(
    ("every", "period", "pattern"),
    [
        (1, "hours", "hourly"),
        (60, "minutes", "hourly"),
        (1, "days", "daily"),
        (24, "hours", "daily"),
        (7, "days", "weekly"),
    ],
)
def test_an_interval_that_recurs_keeps_its_phase(every: int, period: str, pattern: str) -> None:
    last = datetime(2026, 3, 1, 5, 7, 9, 123456, tzinfo=UTC)
    found = of_interval(every, period, last_run_at=last)
    assert found.columns["recurrence_pattern"] == pattern
    assert found.columns["scheduled_at"] == last.replace(microsecond=123000)


@pytest.mark.parametrize(
    ("every", "period"),
    [
        (7, "seconds"),
        (90, "minutes"),
        (5, "hours"),
        (2, "days"),
        (14, "days"),
        (500, "microseconds"),
        (1, "aeons"),
        (0, "days"),
    ],
)
def test_other_intervals_are_left_out(every: int, period: str) -> None:
    assert of_interval(every, period).lost


def test_who_has_an_odd_interval_is_told_what_to_do() -> None:
    lost = of_interval(2, "days").lost
    assert lost.startswith(
        "every 2 days cannot be said by the clock: give it a crontab schedule, or an interval"
    )


def test_runs_may_overlap_as_those_of_beat_do() -> None:
    assert of_cron().columns["overlap_policy"] == "allow"


def test_an_expired_task_comes_over_switched_off() -> None:
    gone = of_cron(expires=NOW)
    assert (gone.lost, gone.active, gone.columns["end_at"]) == ("", False, NOW)
    assert gone.notes == ["expired at 2026-03-02 12:00:00 UTC: give it another endAt, then resume it"]
    assert of_cron(expires=NOW + timedelta(seconds=1)).active


def test_the_sun_and_the_past_are_left_out() -> None:
    assert "sun" in read(Beat(tasks=[task(solar_id=1)], solars={1: {"event": "sunset"}})).lost
    late = {1: {"clocked_time": NOW - timedelta(minutes=1)}}
    assert "has passed" in read(Beat(tasks=[task(clocked_id=1)], clocks=late)).lost
    assert read(Beat(tasks=[task()])).lost == "has no schedule"
    assert "not in the database" in read(Beat(tasks=[task(crontab_id=9)])).lost
    assert "RETENTION_DAYS" in of_cron(task="celery.backend_cleanup").lost


def test_a_clocked_task_runs_once() -> None:
    at = NOW + timedelta(days=1)
    found = read(Beat(tasks=[task(clocked_id=1, one_off=True)], clocks={1: {"clocked_time": at}}))
    assert found.columns["scheduled_at"] == at
    assert "cron_expression" not in found.columns


def test_a_one_off_runs_at_its_next_time_unless_it_ran() -> None:
    found = of_cron(one_off=True)
    assert found.columns["scheduled_at"] == datetime(2026, 3, 3, 3, 0, tzinfo=UTC)
    assert "cron_expression" not in found.columns
    assert "has run" in of_cron(one_off=True, enabled=False, total_run_count=1).lost


def test_a_task_without_a_handler_waits_for_one() -> None:
    found = read(Beat(tasks=[task(crontab_id=1)], crontabs={1: DAILY}), known=())
    assert (found.active, found.columns["handler"]) == (False, "shop.tasks.clean_up")
    assert "write it" in found.notes[-1]


def test_what_else_a_task_has_is_kept_or_named() -> None:
    found = of_cron(
        enabled=False,
        args="[1, 2]",
        queue="slow lane",
        priority=7,
        expire_seconds=120,
        exchange="x",
        routing_key="y",
        headers='{"a": 1}',
        start_time=NOW,
        expires=NOW + timedelta(days=9),
        description="Cleans.",
    )
    columns = found.columns
    assert (columns["payload"], columns["priority"], found.active) == ({"args": [1, 2]}, 7, False)
    assert (columns["catch_up"], columns["misfire_grace_seconds"]) == ("none", 120)
    assert (columns["start_at"], columns["end_at"]) == (NOW, NOW + timedelta(days=9))
    assert "queue" not in columns
    notes = " ".join(found.notes)
    for word in ("slow lane", "positional", "expire_seconds", "exchange, routing_key, headers", "Redis"):
        assert word in notes
    assert of_cron(queue="slow").columns["queue"] == "slow"


@pytest.mark.parametrize("fields", [{"args": "{"}, {"args": "{}"}, {"kwargs": "[]"}])
def test_arguments_that_cannot_be_read_are_told(fields: dict[str, Any]) -> None:
    assert of_cron(**fields).lost


def test_times_of_any_database_are_utc() -> None:
    assert read_moment("2026-01-02 03:04:05") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert read_moment(datetime(2026, 1, 2, 3, 4, 5)) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert read_moment(None) is None
