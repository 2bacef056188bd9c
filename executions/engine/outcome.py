"""Every return, exception and request to stop, sorted into one ending. Pure."""

from __future__ import annotations

import random
import traceback
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from executions import lifecycle
from executions.engine.assignment import Assignment
from executions.lifecycle import Ending, LogLine
from executions.retry import decide
from jobs.contract import HandlerError, NotNow, PermanentError, Result, RetryLater, Stopped


@dataclass(kw_only=True, slots=True)
class Outcome:
    """How a call of a handler ended: with a result, or with an error.

    `stopped_for` is why it was asked to stop, if it noticed that it was: cancel, timeout,
    shutdown or lost. `called` is False when the handler was never called.
    """

    result: Result | None = None
    error: BaseException | None = None
    stopped_for: str = ""
    cancel_reason: str = "operator"
    called: bool = True
    duration_ms: int = 0

    @property
    def problem(self) -> str:
        """What was wrong, in short; empty where nothing was."""
        if self.stopped_for:
            return f"stopped: {self.stopped_for}"
        if self.error is not None:
            return _words(self.error)
        failed = isinstance(self.result, Result) and self.result.failure
        return f"{failed} items failed" if failed else ""


def judge(
    assignment: Assignment,
    outcome: Outcome,
    now: datetime,
    *,
    rng: random.Random | None = None,
) -> Ending | None:
    """The ending of an attempt, or None where nothing may be written (the lease was lost)."""
    if outcome.stopped_for == "lost" and outcome.called:
        return None
    if outcome.stopped_for == "shutdown" or not outcome.called:
        once = assignment.job.execution_type == "ATMOST_ONCE" and outcome.called
        # Due since its fire time, as before: else the later ones of its job would go before it.
        due_at = min(now, assignment.scheduled_at)
        return lifecycle.release(assignment.claim, due_at=due_at, called_once=once)
    if outcome.stopped_for == "cancel":
        return lifecycle.stop(assignment.claim, reason=outcome.cancel_reason, duration_ms=outcome.duration_ms)
    if isinstance(outcome.error, NotNow) and not outcome.stopped_for:
        # Nothing was called yet, so it goes back uncounted, whatever the execution type.
        return lifecycle.release(assignment.claim, due_at=now + outcome.error.delay)
    failure = _failure(assignment, outcome)
    if failure is None:
        assert outcome.result is not None
        return _success(assignment, outcome, outcome.result)
    return _failed(assignment, outcome, failure, now, rng)


@dataclass(kw_only=True, slots=True)
class Failure:
    """A failed attempt in one shape, whatever it came from."""

    message: str
    reason: str = "error"
    permanent: bool = False
    delay: timedelta | None = None
    totals: tuple[int, int, int] | None = None
    status_code: int | None = None
    body: str | None = None
    result: Any = None


def _failure(assignment: Assignment, outcome: Outcome) -> Failure | None:
    error = outcome.error
    if outcome.stopped_for == "timeout":
        return Failure(
            message=f"timeout of {assignment.job.timeout_ms}ms exceeded",
            reason="timeout",
            totals=error.totals if isinstance(error, HandlerError) else None,
            result=error.data if isinstance(error, HandlerError) else None,
        )
    if isinstance(error, HandlerError):
        return Failure(
            message=str(error) or type(error).__name__,
            reason=error.reason,
            permanent=isinstance(error, PermanentError),
            delay=error.delay if isinstance(error, RetryLater) else None,
            totals=error.totals,
            status_code=error.status_code,
            body=error.body,
            result=error.data,
        )
    if error is not None:
        return Failure(message=_words(error))
    result = outcome.result
    if not isinstance(result, Result):
        return Failure(
            message=f"the handler answered {type(result).__name__}, not a Result",
            reason="invalid_output",
        )
    if problem := _bad_totals(result):
        return Failure(message=problem, reason="invalid_output")
    if result.failure > 0:
        return Failure(
            message=str(result.reason) or f"{result.failure} of {result.total} items failed",
            totals=(result.total, result.success, result.failure),
            status_code=result.status_code,
            body=result.body,
            result=result.data,
        )
    return None


def _bad_totals(result: Result) -> str:
    for name in ("total", "success", "failure"):
        value = getattr(result, name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
            return f"the handler's Result.{name} is not a whole number from 0 to 2147483647"
    return ""


def _words(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # a foreign exception's own __str__ may raise anything
        text = ""
    if text:
        return text
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" at {last[0].name}, line {last[0].lineno}" if last else ""
    return f"{type(error).__name__}{where}"


def _success(assignment: Assignment, outcome: Outcome, result: Result) -> Ending:
    return lifecycle.succeed(
        assignment.claim,
        totals=(result.total, result.success, result.failure),
        duration_ms=outcome.duration_ms,
        status_code=result.status_code,
        body=result.body,
        result=result.data,
    )


def _failed(
    assignment: Assignment,
    outcome: Outcome,
    failure: Failure,
    now: datetime,
    rng: random.Random | None,
) -> Ending:
    decision = decide(
        assignment.job.retry_policy,
        retries_done=assignment.retry_count,
        reason=failure.reason,
        status_code=failure.status_code,
        permanent=failure.permanent,
        wanted_delay=failure.delay,
        rng=rng,
    )
    details: dict[str, Any] = {
        "reason": failure.reason,
        "message": failure.message,
        "totals": failure.totals,
        "duration_ms": outcome.duration_ms,
        "status_code": failure.status_code,
        "body": failure.body,
        "result": failure.result,
        "policy": assignment.job.stored_policy,
    }
    if decision.again:
        return lifecycle.retry(assignment.claim, due_at=now + decision.delay, **details)
    return lifecycle.fail(assignment.claim, **details)


def lines(
    assignment: Assignment, ending: Ending, now: datetime, said: tuple[LogLine, ...]
) -> tuple[LogLine, ...]:
    """The attempt's log: its start, what the handler said, and how it ended."""
    claim = assignment.claim
    attempt = {"attempt": claim.attempt}

    def line(at: datetime, level: str, message: str, **more: Any) -> LogLine:
        return LogLine(
            execution_id=claim.execution_id,
            at=at,
            level=level,
            message=message,
            metadata=attempt | more,
            foreign=bool(more),
        )

    start = (line(claim.started_at, "INFO", "Job execution started"),)
    if ending.status == "SUCCESS":
        return (*start, *said, line(now, "INFO", "Job execution successful"))
    if ending.status == "PENDING":
        return (*start, *said, line(now, "INFO", "Job execution released"))
    if ending.status == "CANCELLED":
        return (*start, *said, line(now, "WARN", "Job execution cancelled", reason=ending.reason))
    failed = line(now, "ERROR", "Job execution failed", reason=ending.reason, error=ending.message)
    if ending.status != "RETRYING":
        return (*start, *said, failed)
    number = assignment.retry_count + 1
    assert ending.due_at is not None
    again = line(now, "INFO", f"Scheduling retry attempt {number}", dueAt=ending.due_at.isoformat())
    return (*start, *said, failed, again)


__all__ = ["Outcome", "Stopped", "judge", "lines"]
