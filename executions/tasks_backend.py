"""Our engine as a backend of Django's tasks: `django.tasks`, or the package django-tasks before Django 6.

    TASKS = {"default": {"BACKEND": "executions.tasks_backend.SchedulerBackend", "QUEUES": []}}

Each task function has one job, made when it is first enqueued, which holds its limits, retries and
switch; each enqueued call is one execution of it. Importing this module needs the framework.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from importlib import import_module
from traceback import format_exception
from typing import Any

import django
from django.db import IntegrityError, transaction
from django.utils.module_loading import import_string

from executions import lifecycle, wake
from executions.engine import clock
from executions.lifecycle import Planned
from executions.models import Attempt, Execution, ExecutionLog, LogLevel, Status, Trigger
from executions.operations import create
from executions.operations.jobrow import to_millisecond
from jobs import definitions
from jobs.audit import Actor
from jobs.contract import HandlerError, PermanentError, Result, Run
from jobs.definitions.terms import QUEUE_NAME
from jobs.models import Job, Origin, OverlapPolicy

_FRAMEWORK = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"
_base: Any = import_module(f"{_FRAMEWORK}.base")
_backends: Any = import_module(f"{_FRAMEWORK}.backends.base")
_exceptions: Any = import_module(f"{_FRAMEWORK}.exceptions")
_signals: Any = import_module(f"{_FRAMEWORK}.signals")
_InvalidTask: Any = getattr(_exceptions, "InvalidTaskError", None) or _exceptions.InvalidTask

HANDLER = "django-task"
ACTOR = Actor(name="django-tasks", is_staff=True)
# No fire time lies before this, so the job runs only what is enqueued.
NO_SCHEDULE = {"cron_expression": "@yearly", "end_at": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)}
MAX_TRACEBACK = 16_384
MAX_PRIORITY = 100

_STATUS = {
    Status.PENDING: "READY",
    Status.RETRYING: "READY",
    Status.RUNNING: "RUNNING",
    Status.SUCCESS: "SUCCESSFUL",
}


class SchedulerBackend(_backends.BaseTaskBackend):  # type: ignore[misc]  # known at run time only
    """Enqueues tasks as executions of our ledger. A call in a transaction is enqueued when that commits.

    `run_after`, priorities (in ten steps), queues, results and coroutines are supported.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def validate_task(self, task: Any) -> None:
        """Refuse what cannot be run here: besides the framework's rules, a queue with an impossible name."""
        super().validate_task(task)
        if not re.fullmatch(QUEUE_NAME, task.queue_name):
            raise _InvalidTask("A queue is 1 to 50 letters, digits, hyphens or underscores.")

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Write the call to the ledger; answers its result, which is READY."""
        self.validate_task(task)
        now = clock.now()
        result = _base.TaskResult(
            task=task,
            id=str(uuid.uuid4()),
            status=_base.TaskResultStatus.READY,
            enqueued_at=now,
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=list(args),
            kwargs=dict(kwargs),
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        due_at = task.run_after or now
        row = Planned(
            id=uuid.UUID(result.id),
            job_id=find_job(task.module_path).pk,
            scheduled_at=to_millisecond(due_at),
            due_at=due_at,
            trigger=Trigger.MANUAL,
            triggered_by=ACTOR.name,
            priority=to_our_priority(task.priority),
            queue=task.queue_name,
            payload={
                "args": result.args,
                "kwargs": result.kwargs,
                "priority": task.priority,
                "backend": self.alias,
            },
        )
        with transaction.atomic():
            lifecycle.plan([row], now)
            wake.ring()
        _signals.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """The result of an enqueued call, from any process; raises the framework's DoesNotExist."""
        try:
            key = uuid.UUID(str(result_id))
        except ValueError:
            raise _exceptions.TaskResultDoesNotExist(result_id) from None
        execution = Execution.objects.filter(id=key, job__handler=HANDLER).select_related("job").first()
        if execution is None:
            raise _exceptions.TaskResultDoesNotExist(result_id)
        return self.describe(execution)

    def describe(self, execution: Execution) -> Any:
        """An execution as the framework's result."""
        payload = {**_object(execution.job.payload), **_object(execution.payload)}
        task = import_task(_object(execution.job.payload).get("task"))
        attempts = Attempt.objects.filter(execution=execution).order_by("attempt_number")
        result = _base.TaskResult(
            task=task.using(priority=payload.get("priority", task.priority), backend=self.alias),
            id=str(execution.id),
            status=_base.TaskResultStatus[_STATUS.get(Status(execution.status), "FAILED")],
            enqueued_at=execution.created_at,
            started_at=execution.started_at,
            last_attempted_at=execution.executed_at,
            finished_at=execution.completed_at,
            args=payload.get("args", []),
            kwargs=payload.get("kwargs", {}),
            backend=self.alias,
            errors=_errors(execution),
            worker_ids=[worker or "" for worker in attempts.values_list("worker_id", flat=True)],
        )
        if execution.status == Status.SUCCESS:
            object.__setattr__(result, "_return_value", _object(execution.result).get("returnValue"))
        return result


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _errors(execution: Execution) -> list[Any]:
    lines = ExecutionLog.objects.filter(execution=execution, log_level=LogLevel.ERROR).order_by("id")
    return [
        _base.TaskError(
            exception_class_path=line.metadata["exceptionClass"], traceback=line.metadata.get("traceback", "")
        )
        for line in lines
        if _object(line.metadata).get("exceptionClass")
    ]


def to_our_priority(priority: int) -> int:
    """-100 to 100 in our ten steps; a higher one never gets a lower step, and 0 is our 5.

    >>> [to_our_priority(number) for number in (-100, -1, 0, 1, 100)]
    [0, 5, 5, 5, 9]
    """
    span = 4 if priority > 0 else 5
    return 5 + round(priority * span / MAX_PRIORITY)


def find_job(path: str) -> Job:
    """The job of a task function; made, without a schedule, where there is none."""
    job: Job | None = _jobs(path).first()
    if job is not None:
        return job
    job = Job(
        name=path,
        handler=HANDLER,
        payload={"task": path},
        origin=Origin.SEED,
        overlap_policy=OverlapPolicy.ALLOW,
        max_concurrent_executions=definitions.DEFAULT_CONCURRENCY[True],
        description="Runs what is enqueued for this task.",
        **NO_SCHEDULE,
    )
    try:
        with transaction.atomic():
            return create(job, by=ACTOR)
    except IntegrityError:
        made: Job | None = _jobs(path).first()  # somebody else was first
        if made is None:
            raise _InvalidTask(f"Another job is named {path!r} already.") from None
        return made


def _jobs(path: str) -> Any:
    return Job.objects.present().filter(name=path, handler=HANDLER, origin=Origin.SEED)


def import_task(path: Any) -> Any:
    """The task object at a dotted path; raises PermanentError where there is none."""
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        raise PermanentError("payload.task must be the dotted path of a task")
    try:
        found = import_string(path)
    except ImportError as error:
        raise PermanentError(f"the task {path} cannot be imported: {error}") from error
    if not isinstance(found, _base.Task):
        raise PermanentError(f"{path} is not a task: decorate it with @task")
    return found


def run_task(run: Run) -> Result:
    """Call the task that the job names with the arguments of the run; its return value is kept.

    What the job names cannot be changed by a run's own payload. An exception is a failed attempt, and
    RetryLater and PermanentError decide the retry, as in any handler.
    """
    task = import_task(_object(run.job.payload).get("task"))
    given = _object(run.params)
    args, kwargs = given.get("args", []), given.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise PermanentError("payload.args must be a list and payload.kwargs an object")
    backend = SchedulerBackend(given.get("backend") or task.backend, {"QUEUES": []})
    result = backend.get_result(str(run.id))
    _signals.task_started.send(SchedulerBackend, task_result=result)
    try:
        if task.takes_context:
            args = [_base.TaskContext(task_result=result), *args]
        value = _base.normalize_json(task.call(*args, **kwargs))
    except Exception as error:
        failure = _base.TaskError(exception_class_path=_path(type(error)), traceback=_traceback(error))
        words = f"{type(error).__name__}: {error}"
        run.log.error(
            words,
            exceptionClass=failure.exception_class_path,
            traceback=failure.traceback,
        )
        result.errors.append(failure)
        _finish(result, "FAILED")
        if isinstance(error, HandlerError):
            raise
        raise HandlerError(words) from error
    object.__setattr__(result, "_return_value", value)
    _finish(result, "SUCCESSFUL")
    return Result(total=1, success=1, data={"returnValue": value})


def _finish(result: Any, word: str) -> None:
    object.__setattr__(result, "status", _base.TaskResultStatus[word])
    object.__setattr__(result, "finished_at", clock.now())
    _signals.task_finished.send(SchedulerBackend, task_result=result)


def _path(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _traceback(error: BaseException) -> str:
    return "".join(format_exception(error))[-MAX_TRACEBACK:]
