"""What waits says what for, in the words of the rule that holds it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from executions.engine.claimer import Claimer
from executions.engine.config import read_config
from executions.models import Execution, Status
from executions.waiting import waiting_for
from jobs.models import Dependency, Job, JobTag, Queue, Tag
from tests.db.executions.world import NOW, make_attempt, make_execution, make_instance, make_job

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def make_due(job: Job, **fields: Any) -> Execution:
    return make_execution(job, **{"next_attempt_at": NOW - MINUTE, "scheduled_at": NOW - MINUTE} | fields)


def words(execution: Execution) -> str:
    return waiting_for([execution], NOW)[execution.id]


def test_a_switch_is_named() -> None:
    make_instance()
    assert words(make_due(make_job(state="paused"))) == "the job is paused"
    Queue.objects.create(name="slow", paused=True)
    assert words(make_due(make_job(queue="slow"), queue="slow")) == "queue slow is paused"
    Queue.objects.create(name="*", paused=True)
    assert words(make_due(make_job())) == "all queues are paused"


def test_a_limit_is_named_with_its_figures() -> None:
    make_instance()
    job = make_job()
    make_execution(job, status=Status.RUNNING)
    assert words(make_due(job)) == "1 of at most 1 executions of the job run"
    fast = make_job(rate_limit_per_minute=1, max_concurrent_executions=5)
    make_attempt(make_execution(fast, status=Status.SUCCESS), started_at=NOW)
    assert words(make_due(fast)) == "the job's rate of 1 a minute is used up"
    tag = Tag.objects.create(name="mail", max_concurrent=0)
    tagged = make_job()
    JobTag.objects.create(job=tagged, tag=tag)
    assert words(make_due(tagged)) == "0 of at most 0 executions of tag mail run"


def test_a_dependency_is_named() -> None:
    make_instance()
    job, other = make_job(), make_job(name="import")
    Dependency.objects.create(job=job, depends_on=other)
    assert words(make_due(job)) == "waits for import"
    make_execution(other, status=Status.SUCCESS, completed_at=NOW)
    assert words(make_due(job, trigger="schedule", scheduled_at=NOW)) != "waits for import"


def test_older_executions_of_the_job_go_first() -> None:
    make_instance()
    job = make_job()
    make_due(job, next_attempt_at=NOW - 3 * MINUTE)
    make_due(job, next_attempt_at=NOW - 2 * MINUTE, scheduled_at=NOW - 2 * MINUTE)
    last = make_due(job, scheduled_at=NOW - timedelta(seconds=5))
    assert words(last) == "2 older executions of the job to start first"


def test_what_no_rule_holds_waits_for_a_process() -> None:
    execution = make_due(make_job())
    assert words(execution) == "a scheduler: no process that runs executions is alive"
    make_instance(at=NOW - timedelta(hours=1))
    assert words(execution) == "a scheduler: no process that runs executions is alive"
    elsewhere = make_instance(
        metadata={"queues": ["other"], "concurrency": 2, "hostname": "h", "pid": 1}, role="worker"
    )
    assert words(execution) == "a scheduler that serves queue default: none is alive"
    elsewhere.metadata = {"queues": ["default"], "concurrency": 2, "busySlots": 2}
    elsewhere.save()
    assert words(execution) == "a free slot: all 2 are busy"
    make_instance()
    assert words(execution) == "the next look of a scheduler"


def test_what_is_not_due_says_when_it_will_be() -> None:
    later = make_execution(next_attempt_at=NOW + MINUTE)
    assert words(later) == "its start at 2026-03-04T12:01:00.000Z"
    again = make_execution(status=Status.RETRYING, retry_count=1, next_attempt_at=NOW + MINUTE)
    assert words(again) == "its retry 1 at 2026-03-04T12:01:00.000Z"


def test_what_ended_or_runs_waits_for_nothing() -> None:
    rows = [make_execution(status=status) for status in (Status.SUCCESS, Status.RUNNING, Status.SKIPPED)]
    assert waiting_for(rows, NOW) == {}


def test_the_words_and_the_claim_agree_on_what_is_held() -> None:
    """Whatever the claim leaves must be explained, and what it takes must have nothing in its way."""
    make_instance(concurrency=100)
    Queue.objects.create(name="slow", max_concurrent=1)
    Queue.objects.create(name="shut", paused=True)
    tag = Tag.objects.create(name="mail", max_concurrent=1)
    batch = uuid.uuid4()
    jobs = [
        make_job(),
        make_job(max_concurrent_executions=2),
        make_job(queue="slow"),
        make_job(queue="shut"),
        make_job(state="paused"),
        make_job(),
    ]
    JobTag.objects.create(job=jobs[5], tag=tag)
    Dependency.objects.create(job=jobs[0], depends_on=jobs[1])
    rows = [
        make_due(job, queue=job.queue, scheduled_at=NOW - number * MINUTE, trigger=trigger)
        for job in jobs
        for number, trigger in enumerate(["schedule", "manual", "backfill"])
    ]
    Execution.objects.filter(trigger="backfill").update(batch=batch, batch_limit=1)
    before = waiting_for(Execution.objects.filter(id__in=[row.id for row in rows]), NOW)
    config = read_config(concurrency=100)
    taken = {
        one.claim.execution_id
        for one in Claimer(config=config).claim(NOW, slots=100, confirmed=0).assignments
    }
    ready = {key for key, text in before.items() if text == "the next look of a scheduler"}
    assert taken
    assert taken <= ready | {row.id for row in rows if "older execution" in before[row.id]}
    left = waiting_for(Execution.objects.filter(status__in=["PENDING", "RETRYING"]), NOW)
    assert set(left) == {row.id for row in rows} - taken
    assert "the next look of a scheduler" not in left.values()


def test_a_list_takes_the_same_number_of_queries_whatever_it_holds() -> None:
    def count(number: int) -> int:
        rows = []
        for _ in range(number):
            job = make_job(queue=uuid.uuid4().hex[:20], rate_limit_per_minute=3)
            Dependency.objects.create(job=job, depends_on=make_job())
            rows.append(make_due(job, queue=job.queue, batch=uuid.uuid4(), batch_limit=1))
        with CaptureQueriesContext(connection) as found:
            assert len(waiting_for(rows, NOW)) == number
        return len(found)

    assert count(2) == count(25) <= 14
