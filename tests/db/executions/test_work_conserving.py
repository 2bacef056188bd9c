"""Nothing that may start is left waiting, and nothing starts beyond a limit: whatever the crowd looks like."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection

from executions import waiting
from executions.engine import completer
from executions.engine.assignment import Assignment
from executions.engine.claimer import Claimer
from executions.engine.completer import Report
from executions.engine.outcome import Outcome
from executions.models import WAITING, Execution, Status
from jobs.contract import Result
from jobs.models import Job, JobTag, Queue, Tag
from tests.factories import NOON, make_config, make_job

pytestmark = pytest.mark.django_db


def maybe(by: random.Random, *values: int) -> int | None:
    """None as often as a value."""
    return by.choice([None] * len(values) + list(values))


def make_world(by: random.Random) -> None:
    """Queues, tags and jobs with limits, and executions that wait for them in crowds of any size."""
    queues = ["default", "night", "mail"]
    for name in by.sample(queues, 2):
        Queue.objects.create(
            name=name,
            paused=by.random() < 0.4,
            max_concurrent=maybe(by, 1, 3),
            rate_limit_per_minute=maybe(by, 5),
        )
    tags = [
        Tag.objects.create(
            id=uuid.uuid4(),
            name=f"tag-{n}",
            max_concurrent=maybe(by, 1, 2),
            rate_limit_per_minute=maybe(by, 4),
        )
        for n in range(3)
    ]
    for _ in range(by.choice([3, 20, 90])):
        job = make_job(
            handler="default",
            state=by.choice(["active"] * 6 + ["paused", "inactive", "completed"]),
            overlap_policy=by.choice(["queue", "allow"]),
            max_concurrent_executions=by.choice([1, 1, 2, 40]),
            rate_limit_per_minute=maybe(by, 2, 6),
        )
        JobTag.objects.bulk_create(
            JobTag(job=job, tag=tag) for tag in by.sample(tags, by.choice([0, 0, 1, 2]))
        )
        Execution.objects.bulk_create(
            wait_for(by, job, by.choice(queues)) for _ in range(by.choice([0, 1, 3, 60]))
        )


def wait_for(by: random.Random, job: Job, queue: str) -> Execution:
    """An execution that waits, mostly due."""
    return Execution(
        id=uuid.uuid4(),
        job=job,
        queue=queue if by.random() < 0.9 else "mail",
        trigger=by.choice(["schedule", "manual"]),
        priority=by.choice([5, 5, 5, 0, 9]),
        scheduled_at=NOON - timedelta(seconds=by.random() * 9000),
        next_attempt_at=NOON + timedelta(seconds=by.randint(-9000, 600)),
    )


def end(assignments: list[Assignment]) -> None:
    completer.complete(
        [Report(assignment=one, outcome=Outcome(result=Result())) for one in assignments], NOON
    )


def check_limits() -> None:
    """What runs keeps within every limit of jobs, queues and tags."""
    rows = list(Execution.objects.filter(status=Status.RUNNING).values_list("job_id", "queue"))
    by_job, by_queue = Counter(job for job, _ in rows), Counter(queue for _, queue in rows)
    for job in Job.objects.filter(pk__in=by_job):
        assert by_job[job.pk] <= job.max_concurrent_executions
        assert job.state not in ("paused", "inactive")
    for queue in Queue.objects.filter(name__in=by_queue):
        assert not queue.paused
        assert by_queue[queue.name] <= (queue.max_concurrent or len(rows))
    for tag in Tag.objects.exclude(max_concurrent=None):
        used = sum(by_job[key] for key in JobTag.objects.filter(tag=tag).values_list("job_id", flat=True))
        assert used <= (tag.max_concurrent or 0)


@pytest.mark.parametrize("seed", range(24))
def test_what_may_start_starts_whatever_else_waits(seed: int) -> None:
    by = random.Random(seed)
    make_world(by)
    if by.random() < 0.5 and connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    claimers = [Claimer(config=make_config()) for _ in range(2)]
    running: list[Assignment] = []
    idle = 0
    while idle < 4:
        found = by.choice(claimers).claim(NOON, slots=by.choice([1, 4, 50]), confirmed=0.0)
        running += found.assignments
        check_limits()
        idle = 0 if found.assignments or found.contended else idle + 1
        if by.random() < 0.3:
            ended = by.sample(running, len(running) // 2)
            running = [one for one in running if one not in ended]
            end(ended)
            idle = 0 if ended else idle
    due = Execution.objects.filter(status__in=WAITING, next_attempt_at__lte=NOON)
    holds = waiting.judge_due([waiting.candidate_of(one) for one in due], NOON) if due else {}
    startable = [key for key, hold in holds.items() if not hold.limited]
    assert startable == []
