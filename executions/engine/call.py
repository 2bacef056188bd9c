"""The call of one attempt's handler: what it is given, and the outcome of any way it ends."""

from __future__ import annotations

from typing import Any

from executions import lifecycle
from executions.engine import isolation
from executions.engine.active import Active
from executions.engine.assignment import Assignment
from executions.engine.outcome import Outcome
from executions.faults import fault
from jobs import definitions, registry
from jobs.contract import JobInfo, PermanentError, Progress, Result, Run, Stopped
from web import tracing
from web.spans import Fact
from web.unreadable import Unreadable


def call(active: Active) -> Outcome:
    """Call the handler of one attempt; any way it ends becomes an outcome."""
    result: Any = None
    error: BaseException | None = None
    try:
        result = _call(active)
        result = Result() if result is None else result
    except BaseException as raised:  # the one place where any error ends
        error = raised
    stop = active.stop
    asked = stop.noticed or (stop.cause == "lost") or isinstance(error, Stopped)
    if stop.cause == "timeout":
        asked = asked or error is not None
    return Outcome(
        result=result,
        error=error,
        stopped_for=stop.cause if stop.asked() and asked else "",
        cancel_reason=stop.cancel_reason,
        duration_ms=active.spent_ms,
    )


def call_traced(active: Active) -> Outcome:
    """The same as a span: the attempts of an execution are one trace, whose id is the execution's.

    So whoever has an execution finds its trace in any viewer, wherever its attempts ran.
    """
    claim, job = active.claim, active.assignment.job
    facts: dict[str, Fact] = {
        "scheduler.execution.id": str(claim.execution_id),
        "scheduler.attempt": claim.attempt,
        "scheduler.job.id": str(job.uuid),
        "scheduler.job.name": job.name,
        "scheduler.handler": job.handler,
        "scheduler.trigger": active.assignment.trigger,
        "scheduler.scheduled_at": active.assignment.scheduled_at.isoformat(),
    }
    with tracing.span(f"run {job.handler}", "consumer", facts, trace=claim.execution_id) as span:
        outcome = call(active)
        if problem := outcome.problem:
            span.fail(problem)
        return outcome


def _call(active: Active) -> Result | None:
    assignment = active.assignment
    problem = assignment.job.problem or (isinstance(assignment.payload, Unreadable) and assignment.payload)
    if problem:  # a row does not mend itself, so that another attempt would say the same
        raise PermanentError(problem)
    handler = registry.handlers.get(assignment.job.handler)
    check_allowed(handler, assignment)
    payload = assignment.job.payload if assignment.payload is None else assignment.payload
    params = handler.read_params(payload if isinstance(payload, dict) else {})
    run = make_run(active, params)
    if handler.isolation == "process":
        return isolation.call(handler.name, run, payload)
    return handler.function(run)


def check_allowed(handler: registry.Handler, assignment: Assignment) -> None:
    """Refuse, for good, what saving a job would have refused: SQL can write any row.

    A dangerous handler runs only where ENABLED_HANDLERS names it, and takes its program from the job
    alone: who may run a job with another payload may not always say what it runs.
    """
    if not definitions.is_enabled(handler):
        raise PermanentError(f"handler {handler.name} works only where ENABLED_HANDLERS names it")
    if handler.dangerous and assignment.payload is not None:
        raise PermanentError(f"handler {handler.name} takes no payload but the job's own")


def make_run(active: Active, params: Any) -> Run:
    """The attempt as its handler sees it."""
    assignment = active.assignment
    job = assignment.job
    processed, success, failure = assignment.committed

    def report(progress: Progress) -> None:
        active.progress = progress

    def save(progress: Progress) -> None:
        kept = lifecycle.checkpoint(
            assignment.claim,
            processed=progress.processed,
            success=progress.success,
            failure=progress.failure,
        )
        fault("checkpoint_after")
        if not kept:
            active.stop.ask("lost")
            raise Stopped("the claim is not ours any more")
        active.progress = progress

    return Run(
        id=assignment.claim.execution_id,
        scheduled_at=assignment.scheduled_at,
        attempt=assignment.claim.attempt,
        params=params,
        trigger=assignment.trigger,
        job=JobInfo(
            key=job.id,
            id=job.uuid,
            name=job.name,
            zone=job.zone,
            owner_id=job.owner_id,
            timeout_ms=job.timeout_ms,
            api=job.api,
            method=job.method,
            headers=job.headers or {},
            payload=job.payload,
            metadata=job.metadata,
            follow_redirects=job.follow_redirects,
            do_not_retry_on=job.retry_policy.do_not_retry_on,
        ),
        log=active.lines,
        deadline=active.deadline,
        stop=active.stop,
        report=report,
        save=save,
        committed=Progress(processed=processed, success=success, failure=failure),
    )
