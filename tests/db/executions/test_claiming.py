"""A claim costs what it takes and not what waits, and passes over nobody."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import connection

from executions.engine import claimer, window
from executions.engine.claimer import Claimer, Round
from executions.models import Execution, Status
from jobs.models import Job, JobTag, Queue, Tag
from tests.db.executions.world import make_attempt
from tests.factories import NOON, make_config, make_execution, make_job

pytestmark = pytest.mark.django_db

CROWD = 220  # more than a look at the front goes through


def clog(**fields: object) -> Job:
    """A job that runs one at a time, is running, and has a crowd waiting since long ago."""
    busy = make_job(**fields)
    make_execution(busy, priority=9, next_attempt_at=NOON - timedelta(hours=2))
    one = Claimer(config=make_config()).claim(NOON, slots=1, confirmed=0.0)
    assert len(one.assignments) == 1
    for number in range(CROWD):
        make_execution(busy, next_attempt_at=NOON - timedelta(hours=1, seconds=number))
    return busy


def claim(by: Claimer, *, slots: int = 10) -> Round:
    return by.claim(NOON, slots=slots, confirmed=0.0)


def claimed_jobs(*rounds: Round) -> list[int]:
    return [one.job.id for found in rounds for one in found.assignments]


def test_others_start_at_once_behind_a_crowd_of_one_busy_job() -> None:
    busy = clog()
    others = [make_execution(make_job()).job_id for _ in range(5)]
    by = Claimer(config=make_config())
    found = claim(by)
    assert sorted(claimed_jobs(found)) == sorted(others)
    assert by.clogged
    assert Execution.objects.filter(job=busy, status=Status.RUNNING).count() == 1


def test_a_clogged_claim_goes_round_all_jobs_and_takes_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claimer, "MIN_LANES", 4)
    monkeypatch.setattr(claimer, "LANE_ROUNDS", 1)
    clog()
    others = [make_execution(make_job()).job_id for _ in range(11)]
    by = Claimer(config=make_config())
    rounds = [claim(by, slots=2) for _ in range(12)]
    assert sorted(claimed_jobs(*rounds)) == sorted(others)


def test_a_round_that_ended_amid_the_jobs_asks_to_be_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claimer, "MIN_LANES", 4)
    monkeypatch.setattr(claimer, "LANE_ROUNDS", 1)
    clog()
    for _ in range(6):
        waiting = make_execution(make_job(rate_limit_per_minute=1))
        make_attempt(waiting, started_at=NOON - timedelta(seconds=10))
    by = Claimer(config=make_config())
    first, second = claim(by, slots=2), claim(by, slots=2)
    assert claimed_jobs(first, second) == []
    assert first.contended
    assert not second.contended


def test_a_higher_priority_is_taken_first_while_the_front_is_clogged() -> None:
    clog()
    by = Claimer(config=make_config())
    claim(by)
    assert by.clogged
    for _ in range(3):
        make_execution(make_job())
    urgent = make_execution(make_job(), priority=9)
    assert claimed_jobs(claim(by, slots=1)) == [urgent.job_id]


def test_the_whole_front_is_looked_at_again_once_it_is_free() -> None:
    busy = clog()
    by = Claimer(config=make_config())
    claim(by)
    assert by.clogged
    Execution.objects.filter(job=busy, status=Status.PENDING).delete()
    for _ in range(20):
        make_execution(make_job())
    claim(by)
    assert not by.clogged


def test_a_front_of_which_most_may_start_is_not_clogged() -> None:
    for _ in range(claimer.MIN_FRONT):
        job = make_job()
        make_execution(job)
        make_execution(job)
    by = Claimer(config=make_config())
    found = claim(by, slots=claimer.MIN_FRONT + 10)
    assert found.assignments
    assert not by.clogged


def test_a_job_starts_in_one_queue_while_its_crowd_waits_in_a_paused_one() -> None:
    Queue.objects.create(name="shut", paused=True)
    job = make_job(max_concurrent_executions=10)
    for number in range(CROWD):
        make_execution(job, queue="shut", next_attempt_at=NOON - timedelta(hours=1, seconds=number))
    free = {make_execution(job).id, make_execution(job, queue="zulu").id}
    by = Claimer(config=make_config())
    first, second = claim(by), claim(by)
    assert {one.claim.execution_id for found in (first, second) for one in found.assignments} == free
    assert by.full_queues == {"shut"}
    Queue.objects.update(paused=False)
    assert len(claim(by, slots=5).assignments) == 5


@pytest.mark.parametrize("crowd", [10, 49, 50, 51, 120, 199, 200, 201])
def test_whoever_stands_behind_a_held_crowd_of_any_size_starts(crowd: int) -> None:
    Queue.objects.create(name="shut", paused=True)
    for number in range(crowd):
        make_execution(make_job(), queue="shut", next_attempt_at=NOON - timedelta(hours=1, seconds=number))
    free = make_execution(make_job()).job_id
    assert claimed_jobs(claim(Claimer(config=make_config()))) == [free]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL keeps its references")
@pytest.mark.django_db(transaction=True)
def test_executions_whose_job_was_deleted_behind_our_back_starve_nobody() -> None:
    gone = make_job()
    for number in range(CROWD):
        make_execution(gone, next_attempt_at=NOON - timedelta(hours=1, seconds=number))
    free = make_execution(make_job()).job_id
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA foreign_keys=OFF")
        cursor.execute("DELETE FROM batch_jobs WHERE id = %s", [gone.id])
        by = Claimer(config=make_config())
        taken = claimed_jobs(claim(by), claim(by))
        cursor.execute("DELETE FROM job_executions WHERE job_id = %s", [gone.id])
        cursor.execute("PRAGMA foreign_keys=ON")
    assert taken == [free]


def test_a_full_tag_is_passed_over_until_it_has_room_again() -> None:
    tag = Tag.objects.create(id=uuid.uuid4(), name="full", max_concurrent=1)
    jobs = [make_job() for _ in range(CROWD)]
    JobTag.objects.bulk_create(JobTag(job=job, tag=tag) for job in jobs)
    for number, job in enumerate(jobs):
        make_execution(job, next_attempt_at=NOON - timedelta(hours=1, seconds=number))
    others = [make_execution(make_job()).job_id for _ in range(3)]
    by = Claimer(config=make_config())
    taken = claimed_jobs(claim(by), claim(by))
    assert set(others) < set(taken)
    assert len(taken) == 4
    assert by.full_tags == {tag.id}
    Execution.objects.filter(status=Status.RUNNING).delete()
    assert len(claim(by).assignments) == 1


@pytest.mark.parametrize(
    ("crowd", "status"), [(0, Status.RETRYING), (0, Status.PENDING), (CROWD, Status.RETRYING)]
)
def test_what_was_begun_goes_on_before_later_fire_times_of_its_job(crowd: int, status: Status) -> None:
    """A lost or released execution is due at that moment, and so are those that waited for its end long ago."""
    if crowd:
        clog()
    job = make_job()
    begun = make_execution(
        job, status=status, attempt=1, scheduled_at=NOON - timedelta(seconds=9), next_attempt_at=NOON
    )
    for second in (8, 7):
        at = NOON - timedelta(seconds=second)
        make_execution(job, scheduled_at=at, next_attempt_at=at)
    by = Claimer(config=make_config())
    taken = [one for _ in range(2) for one in claim(by).assignments if one.job.id == job.id]
    assert [one.claim.execution_id for one in taken] == [begun.id]


def test_lanes_begin_after_a_job_and_end_at_their_number() -> None:
    jobs = sorted(make_execution(make_job()).job_id for _ in range(5))
    after = window.Lane(jobs[1], "default")
    seen = window.lanes(NOON, after=after, size=2, queues=(), without_tags=(), without_queues=())
    assert [one.lane for one in seen] == [(job_id, "default") for job_id in jobs[2:4]]
