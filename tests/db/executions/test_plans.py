"""No statement of a pass or of a duty reads a whole history, whatever the statistics of the database say."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from executions.engine.config import read_config
from executions.engine.duty import duties
from executions.engine.housekeeper import do_duty
from executions.engine.loop import Engine
from executions.models import Attempt, Execution, ExecutionLog
from jobs.contract import Result
from jobs.models import Job, JobTag, Queue, Tag
from tests.db.alerts.world import make_alert
from tests.db.executions.world import make_attempt
from tests.factories import NOON, at, handling, make_execution, make_job

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="tells by the words of SQLite's plans"),
]

LARGE = (Execution, Attempt, ExecutionLog)
PARTIAL = {
    index.name
    for model in LARGE
    for index in (*model._meta.indexes, *model._meta.constraints)
    if getattr(index, "condition", None) is not None
}


@contextmanager
def watched() -> Iterator[dict[str, tuple[Any, ...]]]:
    """The statements of this thread, each once, with their parameters."""
    seen: dict[str, tuple[Any, ...]] = {}

    def keep(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if re.match(r"\s*(SELECT|WITH|UPDATE|DELETE|INSERT)", sql):
            seen.setdefault(sql, tuple(params or ()))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(keep):
        yield seen


def reads_all(sql: str, params: tuple[Any, ...]) -> list[str]:
    """The steps of the statement's plan that read a large table from end to end."""
    tables = "|".join(model._meta.db_table for model in LARGE)
    names = {alias or table for table, alias in re.findall(rf'"?({tables})"?(?: AS (\w+))?', sql)}
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
        steps = [row[3] for row in cursor.fetchall()]
    found = []
    for step in steps:
        whole = re.match(r"(?:SCAN|BLOOM FILTER ON) (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", step)
        if (whole and whole[1] in names and whole[2] not in PARTIAL) or "job_executions_by_status" in step:
            found.append(step)
    return found


def make_history(job: Job, size: int) -> None:
    """Ended executions of a job, each with its attempt and a line."""
    ended = [
        Execution(
            id=uuid.uuid4(),
            job=job,
            scheduled_at=NOON - timedelta(minutes=number),
            status="SUCCESS",
            completed_at=NOON - timedelta(minutes=number),
        )
        for number in range(1, size)
    ]
    Execution.objects.bulk_create(ended)
    for execution in ended:
        make_attempt(execution, started_at=execution.scheduled_at)


def fill() -> None:
    """A history, a crowd that limits hold back, and others that may start."""
    Queue.objects.create(name="shut", paused=True)
    Queue.objects.create(name="narrow", max_concurrent=1, rate_limit_per_minute=10)
    tag = Tag.objects.create(id=uuid.uuid4(), name="full", max_concurrent=1, rate_limit_per_minute=10)
    make_history(make_job(handler="scripted"), 1500)
    for fields in ({"queue": "shut"}, {"queue": "narrow"}, {}):
        crowd = make_job(handler="scripted", rate_limit_per_minute=5, **fields)
        JobTag.objects.create(job=crowd, tag=tag)
        for number in range(120):
            make_execution(crowd, next_attempt_at=NOON - timedelta(hours=1, seconds=number), **fields)
    for _ in range(10):
        make_execution(make_job(handler="scripted"), batch=uuid.uuid4(), batch_limit=1)
    for overlap in ("queue", "replace"):
        make_job(handler="scripted", cron_expression="* * * * *", next_run_at=NOON, overlap_policy=overlap)


@pytest.mark.parametrize("analyzed", [True, False])
def test_no_statement_of_a_pass_reads_a_whole_history(analyzed: bool) -> None:
    fill()
    if analyzed:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    with at(NOON + timedelta(milliseconds=20)), handling(lambda run: Result()), watched() as seen:
        Engine(read_config(concurrency=4)).run_once()
    assert len(seen) > 20
    assert "WITH RECURSIVE" in " ".join(seen)
    assert {sql: steps for sql, params in seen.items() if (steps := reads_all(sql, params))} == {}


@pytest.mark.parametrize("analyzed", [True, False])
def test_no_statement_of_a_duty_reads_a_whole_history(analyzed: bool) -> None:
    fill()
    told = {"onFailure": True, "onSuccess": True, "onRecovery": True, "onDeadLetter": True, "onMissed": True}
    for job in (None, Job.objects.first()):
        make_alert(job=job, conditions=told | {"onLate": 1, "onLongRunning": 1, "consecutiveFailures": 1})
    if analyzed:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    inside = [entry for entry in duties if not entry.outside]
    with watched() as seen:
        for moment in (NOON, NOON + timedelta(hours=2)):
            for entry in inside:
                do_duty(entry, moment)
    assert len(seen) > 2 * len(inside)
    assert {sql: steps for sql, params in seen.items() if (steps := reads_all(sql, params))} == {}


def test_the_search_finds_a_statement_that_reads_all() -> None:
    make_history(make_job(), 20)
    assert reads_all("SELECT count(*) FROM job_executions AS e WHERE e.total_success = 1", ()) == ["SCAN e"]
