"""A calendar that moves fire times is changed: what was is judged by the days of then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from executions import ledger, operations
from executions.engine import clock
from executions.models import Execution
from jobs.audit import COMMAND_LINE
from jobs.models import Calendar, Job
from tests.db.executions.world import NOW, Story, make_job

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def world() -> Iterator[Story]:
    world = Story()
    with clock.moved(world):
        yield world


def closing(*days: str) -> dict[str, Any]:
    return {"dates": [{"date": f"2026-03-{day}", "open": False} for day in days], "weekend": []}


def by_verb(calendar: Calendar, definition: dict[str, Any]) -> None:
    operations.change_calendar(calendar, definition, by=COMMAND_LINE)


def by_sql(calendar: Calendar, definition: dict[str, Any]) -> None:
    Calendar.objects.filter(name=calendar.name).update(definition=definition)


def days_that_ran(job: Job) -> list[int]:
    rows = Execution.objects.filter(job=job).exclude(status="SKIPPED").order_by("scheduled_at")
    return [row.scheduled_at.day for row in rows]


def unanswered(world: Story) -> list[Any]:
    return ledger.verify(NOW, world.now, now=world.now).missing


@pytest.mark.parametrize("change", [by_verb, by_sql])
def test_the_past_keeps_the_days_that_it_had(
    world: Story, change: Callable[[Calendar, dict[str, Any]], None]
) -> None:
    calendar = operations.create_calendar("bank", closing("06", "10"), by=COMMAND_LINE)
    job = make_job(cron_expression="0 9 * * *", calendar=calendar, business_day_shift="next")
    world.wait(3 * DAY, step=DAY / 8)  # Thursday, and Friday's on Saturday
    change(calendar, closing("05", "09"))  # Friday had been open, Thursday closed, and Monday is closed
    world.wait(5 * DAY, step=DAY / 8)
    assert days_that_ran(job) == [5, 7, 8, 10, 11, 12]
    assert unanswered(world) == []
    job.refresh_from_db()
    answers = ledger.explain(job, NOW, world.now, now=world.now).answers
    assert {answer.outcome for answer in answers} == {"PENDING"}
    calendar.refresh_from_db()
    assert len(calendar.past) == 1
    assert not Calendar.objects.changed().exists()


@pytest.mark.parametrize("state", ["active", "paused"])
def test_what_was_owed_at_the_change_is_answered_by_the_days_of_then(world: Story, state: str) -> None:
    calendar = operations.create_calendar("bank", closing("06"), by=COMMAND_LINE)
    job = make_job(cron_expression="0 9 * * *", calendar=calendar, business_day_shift="next")
    if state == "paused":
        operations.pause(job, by=COMMAND_LINE)
    world.now += 4 * DAY  # no scheduler is there
    by_verb(calendar, closing("05"))
    job.refresh_from_db()
    if state == "paused":
        operations.resume(job, by=COMMAND_LINE)
    world.wait(2 * DAY, step=DAY / 8)
    assert days_that_ran(job) == [9, 10]
    assert unanswered(world) == []


def test_a_calendar_that_sql_made_is_taken_as_it_is(world: Story) -> None:
    Calendar.objects.create(name="plain", definition=closing("06"))
    job = make_job(cron_expression="0 9 * * *", calendar_id="plain", business_day_shift="previous")
    world.wait(3 * DAY, step=DAY / 8)
    assert days_that_ran(job) == [5, 7]
    assert unanswered(world) == []
    assert Calendar.objects.get().past == []


def test_a_calendar_that_sql_spoils_stops_its_jobs_and_says_why(world: Story) -> None:
    calendar = operations.create_calendar("bank", closing("06"), by=COMMAND_LINE)
    job = make_job(cron_expression="0 9 * * *", calendar=calendar)
    other = make_job(cron_expression="0 9 * * *")
    by_sql(calendar, {"weekend": "never"})
    world.wait(2 * DAY, step=DAY / 8)
    job.refresh_from_db()
    assert "bank" in (job.schedule_error or "")
    assert days_that_ran(other) == [5, 6]
