"""Every way a call can end, sorted into one ending."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from executions.engine.assignment import Assignment, Definition
from executions.engine.outcome import Outcome, judge, lines
from executions.lifecycle import Claim, Ending
from executions.retry import RetryPolicy
from jobs.contract import HandlerError, PermanentError, Result, RetryLater, Stopped

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def make_assignment(*, retry_count: int = 0, retries: int = 0, **fields: Any) -> Assignment:
    defaults: dict[str, Any] = {
        "id": 1,
        "uuid": uuid.uuid4(),
        "name": "job",
        "handler": "default",
        "zone": "UTC",
        "owner_id": None,
        "execution_type": "ATLEAST_ONCE",
        "payload": {},
        "metadata": None,
        "api": None,
        "method": "POST",
        "headers": {},
        "timeout_ms": 30_000,
        "follow_redirects": False,
        "retry_policy": RetryPolicy(max_retries=retries, strategy="FIXED", initial_delay_ms=1000),
    }
    return Assignment(
        claim=Claim(
            execution_id=uuid.uuid4(),
            job_id=1,
            token=uuid.uuid4(),
            attempt=retry_count + 1,
            started_at=NOON,
        ),
        job=Definition(**defaults | fields),
        scheduled_at=NOON,
        trigger="schedule",
        payload=None,
        retry_count=retry_count,
        committed=(0, 0, 0),
        confirmed=0.0,
    )


def end(outcome: Outcome, **fields: Any) -> Ending:
    ending = judge(make_assignment(**fields), outcome, NOON)
    assert ending is not None
    return ending


def test_a_result_without_failures_is_a_success_with_its_totals() -> None:
    ending = end(Outcome(result=Result(total=3, success=3, data={"a": 1}), duration_ms=7))
    assert (ending.status, ending.totals, ending.result) == ("SUCCESS", (3, 3, 0), {"a": 1})


def test_failed_items_make_a_failed_attempt_with_the_handlers_reason() -> None:
    ending = end(Outcome(result=Result(total=10, success=9, failure=1, reason="item 7")))
    assert (ending.status, ending.reason, ending.message) == ("FAILED", "error", "item 7")
    assert ending.totals == (10, 9, 1)


@pytest.mark.parametrize("answer", ["rubbish", 42, {"total": 1}, object()])
def test_anything_but_a_result_is_invalid_output(answer: Any) -> None:
    assert end(Outcome(result=answer)).reason == "invalid_output"


@pytest.mark.parametrize("totals", [{"total": -1}, {"total": "3"}, {"failure": 2**31}, {"success": True}])
def test_totals_that_no_column_holds_are_invalid_output(totals: dict[str, Any]) -> None:
    assert end(Outcome(result=Result(**totals))).reason == "invalid_output"


def test_an_exception_fails_the_attempt_with_its_words() -> None:
    ending = end(Outcome(error=ValueError("no such customer")))
    assert (ending.status, ending.reason, ending.message) == ("FAILED", "error", "no such customer")


def test_an_exception_without_words_names_itself() -> None:
    assert "KeyboardInterrupt" in str(end(Outcome(error=KeyboardInterrupt())).message)


def test_a_handler_that_leaves_the_process_only_fails_its_attempt() -> None:
    assert end(Outcome(error=SystemExit(3))).status == "FAILED"


def test_with_retries_left_it_is_tried_again_after_the_delay() -> None:
    ending = end(Outcome(error=ValueError("x")), retries=1)
    assert (ending.status, ending.due_at) == ("RETRYING", NOON + timedelta(seconds=1))
    assert end(Outcome(error=ValueError("x")), retries=1, retry_count=1).status == "FAILED"


def test_retry_later_sets_the_delay_and_permanent_error_ends_at_once() -> None:
    later = end(Outcome(error=RetryLater("busy", delay=timedelta(minutes=5))), retries=1)
    assert later.due_at == NOON + timedelta(minutes=5)
    assert end(Outcome(error=PermanentError("never")), retries=5).status == "FAILED"


def test_a_handlers_error_carries_reason_status_and_body() -> None:
    error = HandlerError("HTTP 500: Internal Server Error", reason="http_status", status_code=500, body="x")
    ending = end(Outcome(error=error))
    assert (ending.reason, ending.status_code, ending.body) == ("http_status", 500, "x")


def test_a_cancelled_run_is_cancelled_with_the_reason_it_was_asked_for() -> None:
    outcome = Outcome(error=Stopped("stopped"), stopped_for="cancel", cancel_reason="replaced")
    ending = end(outcome)
    assert (ending.status, ending.reason) == ("CANCELLED", "replaced")


def test_a_timeout_is_told_with_its_limit() -> None:
    ending = end(Outcome(error=Stopped("stopped"), stopped_for="timeout"))
    assert (ending.reason, ending.message) == ("timeout", "timeout of 30000ms exceeded")


def test_a_lost_lease_writes_nothing() -> None:
    assert judge(make_assignment(), Outcome(result=Result(), stopped_for="lost"), NOON) is None


def test_what_was_not_called_is_given_back() -> None:
    assert end(Outcome(called=False)).status == "PENDING"
    assert end(Outcome(called=False), execution_type="ATMOST_ONCE").status == "PENDING"


def test_what_is_given_back_is_due_since_its_fire_time() -> None:
    """Else the later ones of its job would go before it."""
    late = replace(make_assignment(), scheduled_at=NOON - timedelta(hours=1))
    for outcome in (Outcome(called=False), Outcome(error=Stopped("stopped"), stopped_for="shutdown")):
        ending = judge(late, outcome, NOON)
        assert ending is not None
        assert ending.due_at == NOON - timedelta(hours=1)


def test_a_stop_gives_back_what_may_be_called_again_and_fails_what_may_not() -> None:
    outcome = Outcome(error=Stopped("stopped"), stopped_for="shutdown")
    assert end(outcome).status == "PENDING"
    once = end(outcome, execution_type="ATMOST_ONCE")
    assert (once.status, once.reason) == ("FAILED", "worker_lost")


def test_the_log_tells_start_end_and_the_retry_to_come() -> None:
    assignment = make_assignment(retries=1)
    ending = judge(assignment, Outcome(error=ValueError("x")), NOON)
    assert ending is not None
    told = [line.message for line in lines(assignment, ending, NOON, ())]
    assert told == ["Job execution started", "Job execution failed", "Scheduling retry attempt 1"]
