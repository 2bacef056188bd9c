"""Every fire time has an answer: what explain says, and what verify finds."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from executions import horizons, ledger, operations
from executions.engine import adoption, clock, planner
from executions.ledger import Answer
from executions.models import Execution, Status
from executions.words import span
from jobs.audit import COMMAND_LINE, Actor
from jobs.models import Calendar, Job
from jobs.timing import jitter
from tests.db.executions.world import NOW, make_dead_letter, make_execution, make_job

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
ADA = Actor(name="ada@example.com")


class World:
    """A clock that moves only when told, and a planner that looks when told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_time(self, span: timedelta, *, step: timedelta | None = None) -> None:
        """Let time pass with a scheduler that looks every `step` (None: with none at all)."""
        end = self.now + span
        while step and self.now + step < end:
            self.now += step
            self.plan()
        self.now = end
        if step:
            self.plan()

    def plan(self) -> None:
        while adoption.adopt(self.now).more:
            pass
        while planner.plan_due(self.now).more:
            pass


@pytest.fixture
def world() -> Any:
    world = World()
    with clock.moved(world):
        yield world


def explain(job: Job, start: datetime, end: datetime, now: datetime) -> list[Answer]:
    job.refresh_from_db()
    return ledger.explain(job, start, end, now=now).answers


def outcomes(answers: list[Answer]) -> list[str]:
    return [answer.outcome for answer in answers]


def test_times_in_the_past_have_their_execution_and_later_ones_are_to_come(world: World) -> None:
    job = make_job()
    world.pass_time(2 * HOUR, step=HOUR)
    answers = explain(job, NOW, NOW + 5 * HOUR, world.now)
    assert [answer.scheduled_at for answer in answers] == [NOW + hour * HOUR for hour in (1, 2, 3, 4)]
    assert outcomes(answers) == ["PENDING", "PENDING", "SCHEDULED", "SCHEDULED"]
    assert answers[2].detail == "to come in 1 h"
    assert answers[0].execution_id == Execution.objects.get(scheduled_at=NOW + HOUR).id


def test_a_time_that_is_due_and_not_planned_is_scheduled_and_says_so(world: World) -> None:
    job = make_job()
    world.pass_time(timedelta(hours=1, minutes=5))
    (answer,) = explain(job, NOW, world.now, world.now)
    assert answer.outcome == "SCHEDULED"
    assert answer.detail == "due for 5 min and not planned yet; is a scheduler alive?"


def test_a_run_tells_how_late_how_long_and_how_often(world: World) -> None:
    job = make_job()
    at = NOW + HOUR
    make_execution(
        job,
        scheduled_at=at,
        created_at=at,
        status=Status.FAILED,
        started_at=at + timedelta(seconds=90),
        completed_at=at + timedelta(minutes=3),
        attempt=3,
        retry_count=2,
        error_message="HTTP 500: Internal Server Error",
        reason="http_status",
    )
    make_dead_letter(Execution.objects.get(job=job))
    world.pass_time(timedelta(hours=1, minutes=30))
    (answer,) = explain(job, at, at + HOUR, world.now)
    assert (answer.outcome, answer.reason) == ("FAILED", "http_status")
    assert answer.detail == (
        "started 1 min 30 s late, after waiting for its turn, 3 attempts, 2 retries,"
        " failed: HTTP 500: Internal Server Error, its dead letter is open"
    )


def test_a_run_that_was_planned_late_says_that_nobody_was_there(world: World) -> None:
    job = make_job()
    at = NOW + HOUR
    make_execution(
        job,
        scheduled_at=at,
        created_at=at + timedelta(minutes=10),
        status=Status.SUCCESS,
        started_at=at + timedelta(minutes=10),
        completed_at=at + timedelta(minutes=11),
        attempt=1,
        execution_duration_ms=1200,
    )
    (answer,) = explain(job, at, at + HOUR, at + HOUR)
    assert answer.detail == ("started 10 min late: it was planned 10 min after its time, took 1.2 s")


def test_a_spread_start_and_an_awaited_ping_are_not_called_late(world: World) -> None:
    at = NOW + HOUR
    spread = make_job(jitter_seconds=600)
    ran: dict[str, Any] = {"scheduled_at": at, "created_at": at, "status": Status.SUCCESS, "attempt": 1}
    put_off = jitter(spread.id, at, 600)
    make_execution(spread, **ran, started_at=at + put_off, completed_at=at + put_off)
    (answer,) = explain(spread, at, at + HOUR, at + HOUR)
    assert answer.detail == f"started on time, spread by {span(put_off)}"
    pinged = make_job(handler="ping")
    make_execution(pinged, **ran, started_at=at + timedelta(minutes=4), completed_at=at + HOUR)
    (answer,) = explain(pinged, at, at + HOUR, at + HOUR)
    assert answer.detail == "its ping was awaited for 4 min"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.25, "250 ms"),
        (4.2, "4.2 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3 * 3600 + 300, "3 h 5 min"),
        (86_400 * 2 + 3600 * 4, "2 d 4 h"),
        (86_400 * 90, "90 d"),
    ],
)
def test_a_length_of_time_has_its_two_largest_units(seconds: float, words: str) -> None:
    assert span(timedelta(seconds=seconds)) == words


def test_what_the_scheduler_slept_through_is_one_stretch(world: World) -> None:
    job = make_job()
    world.pass_time(4 * HOUR + timedelta(minutes=1))
    world.plan()
    answers = explain(job, NOW, world.now, world.now)
    assert outcomes(answers) == ["SKIPPED", "SKIPPED", "SKIPPED", "PENDING"]
    assert {answer.reason for answer in answers[:3]} == {"misfire"}
    assert len({answer.execution_id for answer in answers[:3]}) == 1
    assert "noticed 3 h 1 min late, more than the grace of 60 s" in answers[0].detail
    assert "(one of 3 fire times from 2026-03-04T13:00:00.000Z to" in answers[0].detail


def test_the_time_off_tells_who_paused_and_who_resumed(world: World) -> None:
    job = make_job()
    operations.pause(job, by=ADA, reason="no target")
    world.pass_time(3 * HOUR, step=HOUR)
    assert outcomes(explain(job, NOW, world.now + 2 * HOUR, world.now)) == ["INACTIVE"] * 4
    assert "the job is paused (by ada@example.com at" in explain(job, NOW, world.now, world.now)[0].detail
    operations.resume(job, by=COMMAND_LINE)
    answers = explain(job, NOW, world.now + 2 * HOUR, world.now)
    assert outcomes(answers) == ["SKIPPED", "SKIPPED", "SKIPPED", "SCHEDULED"]
    assert answers[0].reason == "paused"


def test_a_deleted_job_leaves_its_later_times_inactive(world: World) -> None:
    job = make_job()
    world.pass_time(HOUR, step=HOUR)
    operations.delete(job, by=ADA)
    answers = explain(job, NOW, NOW + 3 * HOUR, world.now)
    assert outcomes(answers) == ["CANCELLED", "INACTIVE"]
    assert answers[0].detail.startswith("the job was deleted")
    assert answers[1].detail.startswith("the job is deleted (by ada@example.com")


def test_each_time_is_judged_by_the_schedule_of_then(world: World) -> None:
    job = make_job()
    world.pass_time(2 * HOUR, step=HOUR)
    operations.update(job, {"cron_expression": "30 * * * *"}, by=ADA)
    world.pass_time(2 * HOUR, step=HOUR)
    answers = explain(job, NOW, world.now + HOUR, world.now)
    minutes = [(answer.scheduled_at.hour, answer.scheduled_at.minute) for answer in answers]
    assert minutes == [(13, 0), (14, 0), (14, 30), (15, 30), (16, 30)]
    assert outcomes(answers) == ["CANCELLED", "CANCELLED", "SKIPPED", "PENDING", "SCHEDULED"] or outcomes(
        answers
    ) == ["CANCELLED", "CANCELLED", "PENDING", "PENDING", "SCHEDULED"]
    assert "MISSING" not in outcomes(answers)


def test_a_moved_run_is_listed_beside_the_time_that_it_replaces(world: World) -> None:
    job = make_job()
    moved = NOW + timedelta(hours=2, minutes=10)
    operations.reschedule(job, moved, by=ADA)
    world.pass_time(3 * HOUR, step=timedelta(minutes=10))
    answers = explain(job, NOW, NOW + 4 * HOUR, world.now)
    assert [(answer.scheduled_at - NOW, answer.outcome) for answer in answers] == [
        (HOUR, "SKIPPED"),
        (2 * HOUR, "SKIPPED"),
        (moved - NOW, "PENDING"),
        (3 * HOUR, "PENDING"),
    ]
    assert answers[0].reason == "rescheduled"
    assert "the schedule does not name this time" in answers[2].detail


def test_a_time_without_a_row_is_missing_and_verify_finds_it(world: World) -> None:
    job = make_job()
    world.pass_time(3 * HOUR, step=HOUR)
    Execution.objects.filter(scheduled_at=NOW + 2 * HOUR).delete()
    assert outcomes(explain(job, NOW, world.now, world.now)) == ["PENDING", "MISSING"]
    found = ledger.verify(NOW, world.now, now=world.now)
    assert [(one.id, at) for one, at in found.missing] == [(job.id, NOW + 2 * HOUR)]
    assert (found.unanswered, found.fire_times, found.jobs) == (1, 2, 1)


def test_history_that_retention_deleted_is_not_missing(world: World) -> None:
    job = make_job()
    world.pass_time(3 * HOUR, step=HOUR)
    Execution.objects.filter(scheduled_at__lte=NOW + 2 * HOUR).delete()
    horizons.move({job.id: NOW + 2 * HOUR})
    assert outcomes(explain(job, NOW, world.now + timedelta(seconds=1), world.now)) == [
        "PRUNED",
        "PRUNED",
        "PENDING",
    ]
    assert ledger.verify(NOW, world.now, now=world.now).unanswered == 0
    horizons.move({job.id: NOW})
    assert horizons.read([job.id]) == {job.id: NOW + 2 * HOUR}


def test_a_backfill_of_a_skipped_time_is_told_with_it(world: World) -> None:
    job = make_job(catch_up="none")
    world.pass_time(2 * HOUR + timedelta(minutes=5))
    world.plan()
    operations.backfill(job, NOW, world.now, by=ADA)
    assert explain(job, NOW, world.now, world.now)[0].detail.endswith("; backfilled: PENDING")


def test_a_schedule_that_sql_broke_names_nothing_until_it_is_mended(world: World) -> None:
    job = make_job()
    world.pass_time(HOUR + timedelta(minutes=30), step=timedelta(minutes=30))
    Job.objects.filter(id=job.id).update(cron_expression="every day at noon")
    world.pass_time(2 * HOUR, step=HOUR)
    job.refresh_from_db()
    assert job.schedule_error
    assert outcomes(explain(job, NOW, world.now + HOUR, world.now))[1:] == ["SKIPPED"]
    Job.objects.filter(id=job.id).update(cron_expression="0 * * * *")
    world.pass_time(2 * HOUR, step=HOUR)
    assert "MISSING" not in outcomes(explain(job, NOW, world.now + HOUR, world.now))
    assert ledger.verify(NOW, world.now, now=world.now).unanswered == 0


def test_a_job_that_sql_made_is_answered_for_from_its_adoption(world: World) -> None:
    Job.objects.create(name="by-sql", cron_expression="0 * * * *", created_at=NOW - 5 * HOUR)
    world.plan()
    later = Job.objects.create(
        name="later", cron_expression="0 * * * *", next_run_at=NOW + timedelta(hours=3, minutes=20)
    )
    world.pass_time(5 * HOUR, step=timedelta(minutes=20))
    assert ledger.verify(NOW - 9 * HOUR, world.now, now=world.now).unanswered == 0
    answers = explain(later, NOW - 9 * HOUR, world.now, world.now)
    assert outcomes(answers) == ["SKIPPED"] * 3 + ["PENDING"] * 2


def test_more_than_a_thousand_times_come_in_pages(world: World) -> None:
    job = make_job(cron_expression="* * * * * *")
    first = ledger.explain(job, NOW, NOW + timedelta(minutes=30), now=NOW)
    assert len(first.answers) == 1000
    assert first.next == NOW + timedelta(seconds=1001)
    second = ledger.explain(job, first.next, NOW + timedelta(minutes=30), now=NOW)
    assert (len(second.answers), second.next) == (799, None)


def test_a_moment_that_is_no_fire_time_shows_its_neighbours(world: World) -> None:
    job = make_job()
    world.pass_time(2 * HOUR, step=HOUR)
    answers = ledger.explain_at(job, NOW + timedelta(minutes=90), now=world.now).answers
    assert [answer.scheduled_at for answer in answers] == [NOW + HOUR, NOW + 2 * HOUR]
    exact = ledger.explain_at(job, NOW + HOUR, now=world.now).answers
    assert [answer.scheduled_at for answer in exact] == [NOW + HOUR]


def test_a_one_time_job_is_owed_its_time_even_if_that_had_passed(world: World) -> None:
    job = make_job(schedule_type="one_time", cron_expression=None, scheduled_at=NOW - HOUR)
    world.plan()
    (answer,) = explain(job, NOW - 2 * HOUR, NOW + HOUR, world.now)
    assert (answer.scheduled_at, answer.outcome) == (NOW - HOUR, "PENDING")


def test_the_number_of_queries_does_not_depend_on_the_number_of_times(
    world: World, django_assert_max_num_queries: Any
) -> None:
    job = make_job(cron_expression="*/5 * * * *", catch_up="all")
    world.pass_time(HOUR, step=timedelta(minutes=5))
    job.refresh_from_db()
    with django_assert_max_num_queries(20):
        assert len(ledger.explain(job, NOW, NOW + 12 * HOUR, now=world.now).answers) == 143


SCHEDULES: list[dict[str, Any]] = [
    {"cron_expression": "*/10 * * * *"},
    {"cron_expression": "0 * * * *"},
    {"cron_expression": "*/20 8-18 * * MON-FRI", "timezone": "Europe/Berlin"},
    {"cron_expression": "5,35 * * * *", "calendar_id": "closed"},
    {"cron_expression": "30 9 * * *", "calendar_id": "closed", "business_day_shift": "next"},
]

OTHER_KINDS: list[dict[str, Any]] = [
    {
        "schedule_type": "recurring",
        "cron_expression": None,
        "recurrence_pattern": "hourly",
        "scheduled_at": NOW + timedelta(minutes=7),
    },
    {"schedule_type": "one_time", "cron_expression": None, "scheduled_at": NOW + 5 * HOUR},
]


class Operator:
    """Does something to a job at random; what makes no sense is refused, as over the API."""

    def __init__(self, seed: int, world: World) -> None:
        self.chance, self.world = random.Random(seed), world

    def act(self, job: Job) -> None:
        verb = self.chance.choice(
            [self.pause, self.resume, self.edit, self.edit_by_sql, self.reschedule, self.rename, self.cancel]
        )
        try:
            verb(job)
        except (operations.Refused, operations.Invalid):
            pass

    def pause(self, job: Job) -> None:
        self.chance.choice([operations.pause, operations.deactivate])(job, by=ADA)

    def resume(self, job: Job) -> None:
        operations.resume(job, by=ADA, catch_up=self.chance.choice(["none", "latest", "all"]))

    def edit(self, job: Job) -> None:
        if job.schedule_type == "recurring":
            pattern = self.chance.choice(["hourly", "daily"])
            operations.update(job, {"recurrence_pattern": pattern}, by=ADA)
        if job.schedule_type != "cron":
            return
        none = {"timezone": None, "calendar_id": None, "business_day_shift": "none"}
        operations.update(job, none | self.chance.choice(SCHEDULES), by=ADA)

    def edit_by_sql(self, job: Job) -> None:
        if job.schedule_type != "cron":
            at = self.world.now + timedelta(minutes=self.chance.randint(-60, 300))
            Job.objects.filter(id=job.id).update(scheduled_at=at)
            return
        text = self.chance.choice(["*/15 * * * *", "0 */2 * * *", "not a schedule"])
        Job.objects.filter(id=job.id).update(cron_expression=text)

    def reschedule(self, job: Job) -> None:
        span = timedelta(minutes=self.chance.randint(-90, 600))
        operations.reschedule(job, self.world.now + span, by=ADA)

    def rename(self, job: Job) -> None:
        operations.update(job, {"description": str(self.chance.random())}, by=ADA)

    def cancel(self, job: Job) -> None:
        if self.chance.random() < 0.2:
            operations.cancel(job, by=ADA)


@pytest.mark.parametrize("seed", [*range(6), 6, 25, 29, 31])
def test_whatever_is_done_to_jobs_no_fire_time_is_left_without_an_answer(world: World, seed: int) -> None:
    Calendar.objects.create(name="closed", definition={"weekend": [4, 6, 7]})
    chance = random.Random(seed)
    operator = Operator(seed, world)
    jobs = [
        make_job(
            **schedule,
            catch_up=chance.choice(["none", "latest", "all"]),
            overlap_policy=chance.choice(["queue", "skip", "allow", "replace"]),
        )
        for schedule in [*SCHEDULES, *OTHER_KINDS]
    ]
    for _ in range(25):
        awake = chance.choice([None, timedelta(minutes=10), timedelta(minutes=30)])
        world.pass_time(timedelta(minutes=chance.randint(1, 400)), step=awake)
        Execution.objects.filter(status=Status.PENDING, scheduled_at__lt=world.now - 6 * HOUR).update(
            status=Status.SUCCESS, completed_at=world.now
        )
        operator.act(chance.choice(jobs))
    world.plan()
    found = ledger.verify(NOW - HOUR, world.now, now=world.now)
    assert [(job.name, at) for job, at in found.missing] == []
    assert found.fire_times > 100
    assert found.unplanned == 0 or any(job.catch_up == "all" for job in jobs)


def test_verify_and_explain_agree(world: World) -> None:
    job = make_job(cron_expression="*/10 * * * *")
    world.pass_time(10 * HOUR, step=timedelta(minutes=10))
    gone = Execution.objects.filter(scheduled_at__minute=20)
    assert gone.delete()[0]
    missing = [at for _, at in ledger.verify(NOW, world.now, now=world.now).missing]
    told = [a.scheduled_at for a in explain(job, NOW, world.now, world.now) if a.outcome == "MISSING"]
    assert missing == told
    assert len(missing) == 10


def test_the_words_know_no_clock_but_the_databases() -> None:
    with clock.moved(lambda: datetime(2030, 1, 1, tzinfo=UTC)):
        assert clock.now() != timezone.now()
