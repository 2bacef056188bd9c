"""An execution from its fire time to its end: what is written, and what a handler is given."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from executions.models import Attempt, DeadLetter, Execution, ExecutionLog
from jobs.contract import PermanentError, Result, RetryLater, Run
from jobs.models import Job, JobState
from tests.factories import NOON, at, handling, make_execution, make_job, run_due

pytestmark = pytest.mark.django_db(transaction=True)


def only_execution() -> Execution:
    return Execution.objects.get()


def test_a_due_job_runs_and_everything_says_so() -> None:
    job = make_job(cron_expression="0 12 * * *", next_run_at=NOON, handler="scripted", payload={"a": 1})
    with at(NOON + timedelta(milliseconds=20)), handling(lambda run: Result(total=2, success=2)) as calls:
        run_due()
    execution = only_execution()
    assert (execution.status, execution.attempt, execution.scheduled_at) == ("SUCCESS", 1, NOON)
    assert (execution.total_processed, execution.total_success, execution.total_failure) == (2, 2, 0)
    assert execution.token is None
    assert execution.lease_expires_at is None
    attempt = Attempt.objects.get()
    assert (attempt.status, attempt.job_name, attempt.cron_expression) == ("success", job.name, "0 12 * * *")
    assert (attempt.total_processed, attempt.attempt_number, attempt.failure_reason) == (2, 1, None)
    assert attempt.finished_at is not None
    job.refresh_from_db()
    assert job.last_run_at == NOON + timedelta(milliseconds=20)
    assert job.next_run_at == NOON + timedelta(days=1)
    assert [line.message for line in ExecutionLog.objects.order_by("id")] == [
        "Job execution started",
        "Job execution successful",
    ]
    assert (calls[0].id, calls[0].scheduled_at, calls[0].params) == (execution.id, NOON, {"a": 1})


def test_a_failure_without_retries_ends_with_one_dead_letter() -> None:
    job = make_job(handler="scripted")
    execution = make_execution(job)

    def fail(run: Run) -> Result:
        raise ValueError("no such customer")

    with handling(fail):
        run_due()
    execution.refresh_from_db()
    assert (execution.status, execution.reason, execution.error_message) == (
        "FAILED",
        "error",
        "no such customer",
    )
    letter = DeadLetter.objects.get()
    assert letter.execution_id == execution.id
    assert letter.error_details["message"] == "no such customer"
    assert Attempt.objects.get().failure_reason == "no such customer"
    job.refresh_from_db()
    assert (job.error_message, job.consecutive_failures) == ("no such customer", 1)


def test_retries_wait_for_their_time_and_then_succeed() -> None:
    job = make_job(
        handler="scripted",
        retry_policy={"maxRetries": 2, "initialDelayMs": 60_000, "backoffStrategy": "FIXED"},
    )
    execution = make_execution(job)

    def second_time(run: Run) -> Result:
        if run.attempt == 1:
            raise ValueError("busy")
        return Result(total=1, success=1)

    with at(NOON + timedelta(minutes=10)) as clock, handling(second_time):
        run_due()
        execution.refresh_from_db()
        assert (execution.status, execution.retry_count) == ("RETRYING", 1)
        assert execution.next_attempt_at == clock.now + timedelta(minutes=1)
        clock.advance(seconds=59)
        run_due()
        assert Attempt.objects.count() == 1
        clock.advance(seconds=1)
        run_due()
    execution.refresh_from_db()
    assert (execution.status, execution.attempt) == ("SUCCESS", 2)
    assert list(Attempt.objects.order_by("attempt_number").values_list("status", flat=True)) == [
        "failed",
        "success",
    ]
    assert not DeadLetter.objects.exists()


def test_permanent_errors_are_not_tried_again_and_wishes_for_later_are_heard() -> None:
    job = make_job(
        handler="scripted",
        max_concurrent_executions=2,
        overlap_policy="allow",
        retry_policy={"maxRetries": 3, "initialDelayMs": 1000},
    )
    never, later = make_execution(job), make_execution(job)

    def answer(run: Run) -> Result:
        if run.id == never.id:
            raise PermanentError("gone for good")
        raise RetryLater("busy", delay=timedelta(minutes=30))

    with at(NOON + timedelta(hours=1)) as clock, handling(answer):
        run_due()
        now = clock.now
    never.refresh_from_db()
    later.refresh_from_db()
    assert never.status == "FAILED"
    assert later.next_attempt_at == now + timedelta(minutes=30)


@pytest.mark.parametrize("answer", ["rubbish", 42, {"total": 1}])
def test_an_answer_that_is_no_result_is_a_readable_failure(answer: object) -> None:
    make_execution(make_job(handler="scripted"))
    with handling(lambda run: answer):
        run_due()
    assert only_execution().reason == "invalid_output"


def test_output_that_no_database_stores_ends_after_one_call() -> None:
    make_execution(make_job(handler="scripted"))
    hostile = {"nul\x00": "a\x00b", "surrogate": "\ud800", "nan": float("nan"), "object": object()}
    with handling(lambda run: Result(total=1, success=1, data=hostile)) as calls:
        run_due()
    execution = only_execution()
    assert (execution.status, execution.output_altered, len(calls)) == ("SUCCESS", True, 1)


def test_an_unknown_handler_fails_with_the_known_names() -> None:
    make_execution(make_job(handler="no-such-handler"))
    run_due()
    execution = only_execution()
    assert execution.status == "FAILED"
    assert "process-transactions" in str(execution.error_message)


def test_a_handler_that_asks_to_leave_the_process_fails_alone() -> None:
    job, other = make_job(handler="scripted"), make_job(handler="default")
    make_execution(job)
    make_execution(other)

    def leave(run: Run) -> Result:
        raise SystemExit(3)

    with handling(leave):
        run_due()
    assert Execution.objects.get(job=job).status == "FAILED"
    assert Execution.objects.get(job=other).status == "SUCCESS"


def test_a_job_that_runs_one_at_a_time_never_runs_twice_at_once() -> None:
    job = make_job(handler="scripted")
    for _ in range(6):
        make_execution(job)
    lock, running, most = threading.Lock(), [0], [0]

    def count(run: Run) -> Result:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        run.stop.wait(0.01)
        with lock:
            running[0] -= 1
        return Result()

    with handling(count) as calls:
        run_due()
    assert (len(calls), most[0]) == (6, 1)


def test_more_slots_run_beside_each_other_up_to_the_jobs_limit() -> None:
    job = make_job(handler="scripted", max_concurrent_executions=3)
    for _ in range(6):
        make_execution(job)
    together = threading.Barrier(3, timeout=20)

    def meet(run: Run) -> Result:
        together.wait()
        return Result()

    with handling(meet) as calls:
        run_due()
    assert len(calls) == 6


def test_a_one_time_job_ends_with_its_scheduled_run() -> None:
    done = make_job(schedule_type="one_time", cron_expression=None, scheduled_at=NOON, handler="default")
    failed = make_job(
        schedule_type="one_time",
        cron_expression=None,
        scheduled_at=NOON,
        handler="default",
        payload={"shouldFail": True},
        retry_policy={"maxRetries": 0},
    )
    run_due()
    done.refresh_from_db()
    failed.refresh_from_db()
    assert (done.state, failed.state) == (JobState.COMPLETED, JobState.FAILED)
    assert failed.error_message == "Simulated job failure for testing"


def test_waiting_executions_of_a_paused_job_wait() -> None:
    make_execution(make_job(state="paused"))
    run_due()
    assert only_execution().status == "PENDING"


def test_only_the_named_queues_are_worked_on() -> None:
    slow, fast = make_job(queue="slow"), make_job(queue="fast")
    make_execution(slow, queue="slow")
    make_execution(fast, queue="fast")
    run_due(queues=("fast",))
    assert Execution.objects.get(job=fast).status == "SUCCESS"
    assert Execution.objects.get(job=slow).status == "PENDING"


def test_plan_only_runs_nothing_and_work_only_plans_nothing() -> None:
    make_job(cron_expression="0 12 * * *", next_run_at=NOON)
    with at(NOON):
        run_due(works=False)
        assert only_execution().status == "PENDING"
        make_job(cron_expression="0 12 * * *", next_run_at=NOON)
        run_due(plans=False)
    assert only_execution().status == "SUCCESS"


def test_the_rows_that_sql_writes_with_three_columns_run() -> None:
    from django.db import connection

    job = make_job(handler="default")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO job_executions (id, job_id, scheduled_at) VALUES (%s, %s, %s)",
            ["0123456789abcdef0123456789abcdef", job.id, NOON],
        )
    run_due()
    assert only_execution().status == "SUCCESS"
    assert Job.objects.get().last_run_at is not None
