"""SQL moves the next run of jobs that the planner knows: what that passes over is answered for, once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from executions import ledger, operations
from executions.engine import adoption, clock
from executions.models import Execution
from jobs import schedules
from jobs.audit import COMMAND_LINE
from jobs.models import AuditEntry, Calendar, Job, JobVersion
from jobs.timing import between
from tests.db.executions.world import NOW, Story, make_job

pytestmark = pytest.mark.django_db
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def world() -> Iterator[Story]:
    world = Story()
    with clock.moved(world):
        yield world


def move(job: Job, at: Any) -> None:
    """As an operator does at a prompt of psql or sqlite3."""
    Job.objects.filter(id=job.id).update(next_run_at=at)


def ledger_of(job: Job) -> list[tuple[int, str, str | None, int | None]]:
    """Its rows as hours after the beginning, state, reason, and how many fire times they stand for."""
    rows = Execution.objects.filter(job=job).order_by("scheduled_at")
    return [
        (round((row.scheduled_at - NOW) / HOUR), row.status, row.reason, row.skipped_count) for row in rows
    ]


def missing(world: Story, start: datetime = NOW) -> list[datetime]:
    found = ledger.verify(start, world.now + timedelta(microseconds=1), now=world.now)
    assert found.unanswered == len(found.missing)
    return [at for _, at in found.missing]


def test_fire_times_that_sql_passes_over_are_one_skipped_row(world: Story) -> None:
    job = make_job()
    move(job, NOW + 4 * HOUR)
    world.wait(5 * HOUR)
    assert ledger_of(job) == [
        (1, "SKIPPED", "rescheduled", 3),
        (4, "PENDING", None, None),
        (5, "PENDING", None, None),
    ]
    assert missing(world) == []
    entry = AuditEntry.objects.get(job=job, action="RESCHEDULED")
    assert entry.changed_by == "sql"
    AuditEntry.objects.update(timestamp=world.now - 4 * HOUR)  # when it would have been written
    (answer, *_) = ledger.explain(job, NOW, world.now, now=world.now).answers
    assert answer.detail.startswith("the schedule was changed by sql at")


def test_they_are_answered_for_at_once_though_they_lie_ahead(world: Story) -> None:
    job = make_job()
    move(job, NOW + 4 * HOUR)
    world.look()
    job.refresh_from_db()
    answers = ledger.explain(job, NOW, NOW + 5 * HOUR, now=world.now).answers
    assert [answer.outcome for answer in answers] == ["SKIPPED", "SKIPPED", "SKIPPED", "SCHEDULED"]


def test_until_a_scheduler_looks_they_are_still_to_come(world: Story) -> None:
    job = make_job()
    move(job, NOW + 4 * HOUR)
    job.refresh_from_db()
    (answer, *_) = ledger.explain(job, NOW, NOW + 5 * HOUR, now=world.now).answers
    assert (answer.scheduled_at, answer.outcome) == (NOW + HOUR, "SCHEDULED")
    assert missing(world) == []


def test_a_move_while_no_scheduler_ran_is_noticed_when_one_runs(world: Story) -> None:
    job = make_job(catch_up="all", misfire_grace_seconds=0)
    move(job, NOW + 3 * HOUR + 30 * MINUTE)
    world.now += 6 * HOUR
    world.look()
    rows = [(row[1], row[3]) for row in ledger_of(job)]
    assert rows == [
        ("SKIPPED", 3),
        ("PENDING", None),
        ("PENDING", None),
        ("PENDING", None),
        ("PENDING", None),
    ]
    assert missing(world) == []


def test_an_earlier_time_is_used_once_and_the_schedule_goes_on(world: Story) -> None:
    job = make_job()
    move(job, NOW + 20 * MINUTE)
    world.wait(2 * HOUR, step=10 * MINUTE)
    times = list(Execution.objects.order_by("scheduled_at").values_list("scheduled_at", flat=True))
    assert times == [NOW + 20 * MINUTE, NOW + HOUR, NOW + 2 * HOUR]
    assert missing(world) == []


def test_a_time_that_was_passed_over_may_be_asked_for_again(world: Story) -> None:
    """Moved a week ahead by mistake, and back: what was passed over comes after all."""
    job = make_job(misfire_grace_seconds=7200)
    move(job, NOW + 168 * HOUR)
    world.look()
    move(job, NOW + 2 * HOUR)
    world.wait(4 * HOUR)
    assert ledger_of(job) == [
        (1, "SKIPPED", "rescheduled", None),
        (2, "PENDING", None, None),
        (3, "PENDING", None, None),
        (4, "PENDING", None, None),
    ]
    move(job, NOW + 8 * HOUR)
    world.look()
    move(job, NOW + 5 * HOUR)  # the head of the stretch: taken, so it runs a millisecond later
    world.wait(2 * HOUR)
    assert [
        row.status
        for row in Execution.objects.filter(scheduled_at__gt=NOW + 4 * HOUR).order_by("scheduled_at")
    ] == ["SKIPPED", "PENDING", "PENDING"]
    assert missing(world) == []


def test_null_means_the_next_one_from_now_and_what_was_owed_is_answered_for(world: Story) -> None:
    job = make_job()
    world.now += 3 * HOUR + MINUTE
    move(job, None)
    world.look()
    world.wait(2 * HOUR)
    assert ledger_of(job) == [
        (1, "SKIPPED", "rescheduled", 3),
        (4, "PENDING", None, None),
        (5, "PENDING", None, None),
    ]
    assert missing(world) == []


@pytest.mark.parametrize("word", ["infinity", "-infinity", "10000-01-01 00:00:00", "0044-03-15 00:00:00 BC"])
def test_a_time_that_python_cannot_say_is_never_or_computed_anew(world: Story, word: str) -> None:
    if connection.vendor == "sqlite":
        word = {"-infinity": "0001-01-01 00:00:00"}.get(word, "9999-12-31 23:59:59")
    job, other = make_job(), make_job()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE batch_jobs SET next_run_at = %s WHERE id = %s", [word, job.id])
    world.wait(3 * HOUR)
    assert missing(world) == []
    assert Execution.objects.filter(job=other, status="PENDING").count() == 3, "the others go on"
    assert adoption.adopt(world.now).jobs == 0, "it is looked at once"
    job.refresh_from_db()
    assert job.schedule_error is None


def test_sql_may_give_an_edited_schedule_its_next_run_at_the_same_time(world: Story) -> None:
    job = make_job()
    world.wait(HOUR)
    Execution.objects.update(status="SUCCESS", next_attempt_at=None)
    Job.objects.filter(id=job.id).update(cron_expression="30 * * * *", next_run_at=NOW + 3.5 * HOUR)
    world.look()
    world.wait(4 * HOUR, step=30 * MINUTE)
    assert [(row[1], row[3]) for row in ledger_of(job)] == [
        ("SUCCESS", None),
        ("SKIPPED", 2),  # 1:30 and 2:30
        ("PENDING", None),
        ("PENDING", None),
    ]
    assert missing(world) == []
    assert JobVersion.objects.filter(job=job).count() == 2


def test_the_next_run_of_a_one_time_job_is_its_time(world: Story) -> None:
    job = make_job(schedule_type="one_time", cron_expression=None, scheduled_at=NOW + HOUR)
    move(job, NOW + 3 * HOUR)
    world.look()
    world.wait(4 * HOUR)
    assert ledger_of(job) == [(3, "PENDING", None, None)]
    job.refresh_from_db()
    assert (job.scheduled_at, job.state) == (NOW + 3 * HOUR, "active")
    assert missing(world) == []


def test_a_move_of_a_paused_job_counts_when_it_is_resumed(world: Story) -> None:
    job = make_job()
    operations.pause(job, by=COMMAND_LINE)
    move(job, NOW + 5 * HOUR)
    world.wait(2 * HOUR)
    operations.resume(job, by=COMMAND_LINE)
    world.wait(4 * HOUR)
    assert ledger_of(job) == [
        (1, "SKIPPED", "rescheduled", 4),
        (5, "PENDING", None, None),
        (6, "PENDING", None, None),
    ]
    assert missing(world) == []


def test_a_move_that_nobody_noticed_yet_is_no_hole_for_the_verbs(world: Story) -> None:
    for verb in ("update", "reschedule", "delete", "pause"):
        job = make_job()
        begun = world.now
        world.now += 2 * HOUR + MINUTE
        move(job, world.now + 9 * HOUR)
        if verb == "update":
            operations.update(job, {"cron_expression": "15 * * * *"}, by=COMMAND_LINE)
        elif verb == "reschedule":
            operations.reschedule(job, world.now + HOUR, by=COMMAND_LINE)
        else:
            getattr(operations, verb)(job, by=COMMAND_LINE)
        world.wait(3 * HOUR, step=5 * MINUTE)
        assert missing(world, begun) == [], verb
        Job.objects.all().delete()


def test_an_edit_of_calendar_or_shift_by_sql_is_planned_anew_and_kept_as_a_version(world: Story) -> None:
    Calendar.objects.create(
        name="closed", definition={"dates": [{"date": "2026-03-05", "open": False}], "weekend": []}
    )
    job = make_job(cron_expression="0 9 * * *")
    Job.objects.filter(id=job.id).update(calendar="closed", business_day_shift="next")
    world.wait(timedelta(days=3))
    days = list(Execution.objects.order_by("scheduled_at").values_list("scheduled_at__day", flat=True))
    assert days == [6, 7], "the closed day moved to the next open one"
    assert missing(world) == []
    assert JobVersion.objects.filter(job=job).count() == 2


def test_a_row_that_an_older_release_planned_is_taken_as_it_is(world: Story) -> None:
    job = make_job()
    Job.objects.filter(id=job.id).update(
        planned_next_run_at=None, planned_calendar_id=None, planned_business_day_shift=None
    )
    world.wait(2 * HOUR)
    assert ledger_of(job) == [(1, "PENDING", None, None), (2, "PENDING", None, None)]
    # It plans on without the copy: all it passed is in the ledger, so nothing is answered for twice.
    job.refresh_from_db()
    Execution.objects.create(job=job, scheduled_at=NOW + 3 * HOUR, id="0" * 31 + "1")
    Job.objects.filter(id=job.id).update(next_run_at=NOW + 4 * HOUR)
    world.wait(2 * HOUR)
    assert [row[:2] for row in ledger_of(job)] == [
        (1, "PENDING"),
        (2, "PENDING"),
        (3, "PENDING"),
        (4, "PENDING"),
    ]
    assert not AuditEntry.objects.filter(job=job).exists()


def test_a_cursor_set_back_over_runs_and_stretches_answers_for_nothing_twice(world: Story) -> None:
    job = make_job(cron_expression="* * * * *", misfire_grace_seconds=0)
    world.wait(5 * MINUTE, step=MINUTE)
    world.now += 30 * MINUTE
    world.look()
    move(job, NOW + 3 * MINUTE)
    world.now += 10 * MINUTE
    world.look()
    assert answered_twice(job) == {}
    assert missing(world) == []


def answered_twice(job: Job) -> dict[datetime, int]:
    """Fire times with more than one answer in the ledger."""
    job.refresh_from_db()
    rows = Execution.objects.filter(job=job, trigger="schedule").values_list("scheduled_at", "skipped_until")
    counts: Counter[datetime] = Counter()
    schedule = schedules.read(job)
    for start, until in rows:
        counts[start] += 1
        if until is not None:
            counts.update(found.at for found in between(schedule, start, until, 100_000))
    return {at: count for at, count in counts.items() if count > 1}


@pytest.mark.parametrize("seed", [0, 2, 8, 264])
def test_a_random_story_of_moves_by_sql_and_verbs_leaves_nothing_open_and_nothing_double(
    world: Story, seed: int
) -> None:
    rng = random.Random(seed)
    job = make_job(
        cron_expression=rng.choice(["* * * * *", "*/7 * * * *", "0,20,21 * * * *"]),
        catch_up=rng.choice(["none", "latest", "all"]),
        misfire_grace_seconds=rng.choice([0, 60, 3600]),
    )

    def shifted() -> datetime:
        seconds = rng.choice([-7200, -600, -60, 1, 45, 600, 3600, 86_400]) * rng.random()
        return (world.now + timedelta(seconds=seconds)).replace(microsecond=0)

    def verb() -> None:
        job.refresh_from_db()
        if job.state == "active":
            verbs: list[Callable[..., Any]] = [operations.pause, operations.trigger, reschedule, rezone]
            rng.choice(verbs)(job, by=COMMAND_LINE)
        else:
            operations.resume(job, by=COMMAND_LINE, catch_up=rng.choice(["none", "latest", "all"]))

    def reschedule(job: Job, *, by: Any) -> None:
        operations.reschedule(job, shifted(), by=by)

    def rezone(job: Job, *, by: Any) -> None:
        operations.update(job, {"timezone": rng.choice(["Asia/Kolkata", "UTC", "Asia/Kathmandu"])}, by=by)

    steps = [
        lambda: world.wait(timedelta(minutes=rng.randint(1, 30)), step=MINUTE),
        lambda: setattr(world, "now", world.now + timedelta(minutes=rng.randint(1, 90))),
        world.look,
        lambda: move(job, shifted()),
        lambda: move(job, None),
        verb,
    ]
    for _ in range(40):
        rng.choice(steps)()
    Job.objects.filter(id=job.id).update(state="active")
    world.look()
    world.wait(timedelta(days=3), step=timedelta(hours=2))
    assert missing(world) == []
    assert answered_twice(job) == {}
