"""Django's tasks on our engine: enqueued, run, answered for."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from executions import operations
from executions.engine import clock
from executions.models import Execution
from jobs import definitions
from jobs.audit import Actor
from jobs.contract import RetryLater
from jobs.models import Job
from tests.factories import make_execution, make_job, run_due

pytest.importorskip("django_tasks", reason="django-tasks is not installed: its backend is NOT tested")

from django_tasks import TaskResultStatus, task, task_backends
from django_tasks.exceptions import (
    InvalidTaskError,
    TaskResultDoesNotExist,
    TaskResultMismatch,
)

from executions.tasks_backend import SchedulerBackend, to_our_priority

pytestmark = pytest.mark.django_db(transaction=True)

BACKEND = "executions.tasks_backend.SchedulerBackend"
calls: list[Any] = []


@pytest.fixture(autouse=True)
def backend(settings: Any) -> None:
    settings.TASKS = {"default": {"BACKEND": BACKEND, "QUEUES": []}}
    calls.clear()


@task()
def add(first: int, second: int = 0) -> int:
    calls.append((first, second))
    return first + second


@task()
def fail(text: str) -> None:
    raise LookupError(text)


@task()
def fail_once() -> str:
    calls.append(1)
    if len(calls) == 1:
        raise RetryLater("busy", delay=timedelta(0))
    return "at last"


@task(takes_context=True)
def tell(context: Any, word: str) -> list[Any]:
    return [word, context.attempt, context.task_result.id]


@task()
async def wait() -> str:
    await asyncio.sleep(0)
    return "waited"


@task()
def odd() -> object:
    return object()


def not_a_task() -> None:
    calls.append("called")


def test_the_backend_is_ours() -> None:
    assert isinstance(task_backends["default"], SchedulerBackend)


def test_an_enqueued_task_runs_and_answers() -> None:
    result = add.enqueue(2, second=3)
    assert (result.status, result.is_finished) == (TaskResultStatus.READY, False)
    run_due()
    result.refresh()
    assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, 5)
    assert (result.args, result.kwargs, result.attempts) == ([2], {"second": 3}, 1)
    assert None not in (result.enqueued_at, result.started_at, result.finished_at)
    assert add.get_result(result.id).return_value == 5
    job = Job.objects.get()
    assert (job.name, job.handler, job.next_run_at, job.exhausted) == (
        add.module_path,
        "django-task",
        None,
        True,
    )


def test_many_calls_share_one_job_and_run_beside_each_other() -> None:
    for number in range(5):
        add.enqueue(number)
    assert (Job.objects.count(), Execution.objects.count()) == (1, 5)
    run_due()
    assert sorted(calls) == [(number, 0) for number in range(5)]


def test_a_failure_keeps_its_exception() -> None:
    result = fail.enqueue("no such thing")
    run_due()
    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class is LookupError
    assert "no such thing" in result.errors[0].traceback
    with pytest.raises(ValueError, match="failed"):
        _ = result.return_value


def test_the_job_of_a_task_may_have_retries() -> None:
    result = fail_once.enqueue()
    Job.objects.update(retry_policy={"maxRetries": 1, "initialDelayMs": 1})
    run_due()
    run_due()
    result.refresh()
    assert (result.return_value, result.attempts, len(result.errors)) == ("at last", 2, 1)


def test_context_and_coroutines_work() -> None:
    told, waited = tell.enqueue("hello"), wait.enqueue()
    run_due()
    told.refresh()
    waited.refresh()
    assert told.return_value == ["hello", 1, told.id]
    assert str(waited.return_value) == "waited"


def test_a_later_task_waits_for_its_time() -> None:
    result = add.using(run_after=clock.now() + timedelta(hours=1)).enqueue(1)
    run_due()
    result.refresh()
    assert (result.status, calls) == (TaskResultStatus.READY, [])


def test_priority_and_queue_go_with_the_call() -> None:
    low, high = add.using(priority=-100).enqueue(1), add.using(priority=100, queue_name="fast").enqueue(2)
    rows = {str(one.id): one for one in Execution.objects.all()}
    assert (rows[low.id].priority, rows[low.id].queue) == (0, "default")
    assert (rows[high.id].priority, rows[high.id].queue) == (9, "fast")
    assert add.get_result(high.id).task.priority == 100
    with pytest.raises(InvalidTaskError, match="queue"):
        add.using(queue_name="slow lane")


def test_priorities_keep_their_order() -> None:
    steps = [to_our_priority(number) for number in range(-100, 101)]
    assert steps == sorted(steps)
    assert (steps[0], to_our_priority(0), steps[-1]) == (0, 5, 9)


def test_a_transaction_that_rolls_back_enqueues_nothing() -> None:
    with transaction.atomic():
        add.enqueue(1)
        transaction.set_rollback(True)
    assert not Execution.objects.exists()


def test_a_cancelled_or_unserialisable_one_is_failed() -> None:
    cancelled, unserialisable = add.enqueue(1), odd.enqueue()
    operations.cancel_execution(Execution.objects.get(id=cancelled.id), by=Actor(name="admin"))
    run_due()
    for result in (cancelled, unserialisable):
        result.refresh()
        assert result.status == TaskResultStatus.FAILED
    with pytest.raises(TypeError):
        add.enqueue(object())  # type: ignore[arg-type]


def test_results_are_asked_for_by_their_task() -> None:
    result = add.enqueue(1)
    with pytest.raises(TaskResultMismatch):
        fail.get_result(result.id)
    for unknown in ("nonsense", str(uuid.uuid4()), str(make_execution(make_job()).id)):
        with pytest.raises(TaskResultDoesNotExist):
            add.get_result(unknown)


def test_a_task_may_run_by_a_schedule() -> None:
    job = make_job(
        handler="django-task", payload={"task": add.module_path, "args": [4], "kwargs": {"second": 1}}
    )
    execution = make_execution(job)
    run_due()
    execution.refresh_from_db()
    assert (execution.status, execution.result) == ("SUCCESS", {"returnValue": 5})


def test_only_tasks_run_and_a_run_cannot_name_another() -> None:
    path = f"{__name__}.not_a_task"
    execution = make_execution(make_job(handler="django-task", payload={"task": path}))
    other = make_execution(
        make_job(handler="django-task", payload={"task": add.module_path}),
        payload={"task": path, "args": [1]},
    )
    run_due()
    execution.refresh_from_db()
    other.refresh_from_db()
    assert (execution.status, other.status) == ("FAILED", "SUCCESS")
    assert "is not a task" in str(execution.error_message)
    assert calls == [(1, 0)]


def test_only_staff_may_name_the_handler() -> None:
    job = Job(name="x", cron_expression="0 0 * * *", handler="django-task", payload={"task": "a.b"})
    assert "staff" in definitions.check(job, staff=False)["handler"]
    assert definitions.check(job, staff=True) == {}
