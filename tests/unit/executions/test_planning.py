"""What becomes of due fire times, policy by policy: pure, no clock, no database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from executions.engine.planning import Due, JobPlan, plan_job
from jobs.timing import Calendar, Schedule

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday
MINUTE = timedelta(minutes=1)


def make_due(expression: str = "* * * * *", **fields: Any) -> Due:
    schedule = fields.pop("schedule", Schedule(kind="cron", expression=expression))
    return Due(**{"job_id": 1, "schedule": schedule, "cursor": NOON} | fields)


def told(plan: JobPlan) -> list[tuple[str, int, str | None]]:
    """Each row as its state, the fire times it stands for and the reason."""
    return [(row.status, row.skipped_count or 1, row.reason) for row in plan.rows]


def test_one_due_fire_time_becomes_one_row_and_the_cursor_moves_on() -> None:
    plan = plan_job(make_due(), NOON + timedelta(milliseconds=3))
    assert told(plan) == [("PENDING", 1, None)]
    assert plan.rows[0].scheduled_at == NOON
    assert plan.rows[0].due_at == NOON
    assert plan.next_run_at == NOON + MINUTE


def test_fire_times_within_the_grace_all_run() -> None:
    plan = plan_job(make_due("*/10 * * * * *"), NOON + timedelta(seconds=55))
    assert [row.scheduled_at.second for row in plan.rows] == [0, 10, 20, 30, 40, 50]
    assert {row.status for row in plan.rows} == {"PENDING"}


def test_catch_up_latest_runs_only_the_newest_of_three_days() -> None:
    now = NOON + timedelta(days=3)
    plan = plan_job(make_due(), now)
    assert told(plan) == [("SKIPPED", 3 * 1440 - 1, "misfire"), ("PENDING", 1, None), ("PENDING", 1, None)]
    assert plan.rows[-1].scheduled_at == now


def test_catch_up_latest_runs_a_late_time_when_none_is_on_time() -> None:
    plan = plan_job(make_due("0 * * * *"), NOON + timedelta(hours=5, minutes=30))
    assert told(plan) == [("SKIPPED", 5, "misfire"), ("PENDING", 1, None)]
    assert plan.rows[1].scheduled_at == NOON + timedelta(hours=5)
    assert plan.rows[0].skipped_until == NOON + timedelta(hours=4)


def test_catch_up_none_runs_nothing_late() -> None:
    plan = plan_job(make_due("0 * * * *", catch_up="none"), NOON + timedelta(hours=5, minutes=30))
    assert told(plan) == [("SKIPPED", 6, "misfire")]
    assert plan.next_run_at == NOON + timedelta(hours=6)


def test_catch_up_all_runs_a_hundred_a_pass_and_goes_on_from_there() -> None:
    now = NOON + timedelta(hours=4)
    plan = plan_job(make_due(catch_up="all"), now)
    assert len(plan.rows) == 100
    assert plan.next_run_at == NOON + 100 * MINUTE
    again = plan_job(make_due(catch_up="all", cursor=plan.next_run_at, waiting=100), now)
    assert again.rows == []
    assert again.next_run_at == plan.next_run_at


def test_a_full_waiting_room_is_answered_for_as_backlog() -> None:
    plan = plan_job(make_due("*/10 * * * * *", waiting=98), NOON + timedelta(seconds=55))
    assert told(plan) == [("PENDING", 1, None), ("PENDING", 1, None), ("SKIPPED", 4, "backlog")]


def test_overlap_skip_answers_for_the_fire_time_while_an_older_one_is_unfinished() -> None:
    plan = plan_job(make_due(overlap="skip", unfinished=1), NOON)
    assert told(plan) == [("SKIPPED", 1, "overlap")]
    beside = plan_job(make_due(overlap="skip", unfinished=1, max_concurrent=2), NOON)
    assert told(beside) == [("PENDING", 1, None)]


def test_overlap_skip_counts_what_the_same_pass_planned() -> None:
    plan = plan_job(make_due("*/20 * * * * *", overlap="skip"), NOON + timedelta(seconds=50))
    assert told(plan) == [("PENDING", 1, None), ("SKIPPED", 2, "overlap")]


def test_a_closed_day_is_answered_for_as_calendar() -> None:
    calendar = Calendar.from_definition({"dates": [{"date": "2026-03-02", "open": False}]})
    schedule = Schedule(kind="cron", expression="0 12 * * *", calendar=calendar)
    plan = plan_job(make_due(schedule=schedule), NOON)
    assert told(plan) == [("SKIPPED", 1, "calendar")]
    assert plan.next_run_at == NOON + timedelta(days=1)


def test_the_newest_open_day_runs_when_the_newest_is_closed() -> None:
    calendar = Calendar.from_definition({"dates": [{"date": "2026-03-04", "open": False}]})
    schedule = Schedule(kind="cron", expression="0 12 * * *", calendar=calendar)
    plan = plan_job(make_due(schedule=schedule), NOON + timedelta(days=2, hours=6))
    assert told(plan) == [("SKIPPED", 1, "misfire"), ("PENDING", 1, None), ("SKIPPED", 1, "calendar")]
    assert plan.rows[1].scheduled_at == NOON + timedelta(days=1)


def test_a_one_time_job_runs_however_late() -> None:
    schedule = Schedule(kind="one_time", anchor=NOON)
    plan = plan_job(make_due(schedule=schedule, catch_up="none"), NOON + timedelta(days=400))
    assert told(plan) == [("PENDING", 1, None)]
    assert plan.next_run_at is None


def test_a_cursor_that_is_not_on_the_schedule_runs_and_the_schedule_goes_on() -> None:
    cursor = NOON + timedelta(seconds=17)
    plan = plan_job(make_due("0 * * * *", cursor=cursor), cursor)
    assert plan.rows[0].scheduled_at == cursor
    assert plan.next_run_at == NOON + timedelta(hours=1)


def test_jitter_delays_the_start_and_never_the_fire_time() -> None:
    plan = plan_job(make_due(jitter_seconds=600), NOON)
    assert plan.rows[0].scheduled_at == NOON
    assert plan.rows[0].due_at is not None
    assert NOON <= plan.rows[0].due_at <= NOON + timedelta(seconds=600)
    assert plan_job(make_due(jitter_seconds=600), NOON).rows[0].due_at == plan.rows[0].due_at


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
def test_every_fire_time_is_answered_for_exactly_once(catch_up: str) -> None:
    now = NOON + timedelta(days=2, seconds=7)
    cursor: datetime | None = NOON
    answered: list[datetime] = []
    while cursor is not None and cursor <= now:
        plan = plan_job(make_due("*/7 * * * *", catch_up=catch_up, cursor=cursor), now)
        for row in plan.rows:
            count = row.skipped_count or 1
            stop = row.skipped_until or row.scheduled_at
            times = [NOON + n * MINUTE for n in range(3000) if (NOON + n * MINUTE).minute % 7 == 0]
            covered = [at for at in times if row.scheduled_at <= at <= stop]
            assert len(covered) == count
            answered += covered
        assert plan.next_run_at != cursor
        cursor = plan.next_run_at
    expected = [NOON + n * MINUTE for n in range(2881) if (NOON + n * MINUTE).minute % 7 == 0]
    assert sorted(answered) == expected
