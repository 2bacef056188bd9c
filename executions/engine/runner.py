"""Calls handlers in the pool and sorts what comes of it; knows nothing of planning or claiming."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connections, transaction

from executions import lifecycle
from executions.engine import clock, isolation
from executions.engine.assignment import Assignment
from executions.engine.config import MAX_PREFETCH, PREFETCH_HORIZON, EngineConfig
from executions.engine.outcome import Outcome
from executions.engine.pool import Pool
from executions.faults import fault
from executions.lifecycle import Advance, Claim, LogLine
from jobs import definitions, registry
from jobs.contract import JobInfo, PermanentError, Progress, Result, Run, Stopped
from web import logcontext, patience, tracing
from web.spans import Fact

log = logging.getLogger(__name__)

MAX_LINES = 1000
RENEW_LIMIT = 5.0  # seconds that confirming a lease before the call may wait for each answer
TIMEOUT_GRACE = 2.0  # seconds a timed-out handler has to notice before its attempt is ended


class Lines:
    """What a handler logs: kept with the execution, at most MAX_LINES an attempt."""

    __slots__ = ("_claim", "_count", "_lines", "_started")

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._started = clock.monotonic()
        self._count = 0
        self._lines: deque[LogLine] = deque()

    def debug(self, message: str, **metadata: Any) -> None:
        self._write("DEBUG", message, metadata)

    def info(self, message: str, **metadata: Any) -> None:
        self._write("INFO", message, metadata)

    def warning(self, message: str, **metadata: Any) -> None:
        self._write("WARN", message, metadata)

    def error(self, message: str, **metadata: Any) -> None:
        self._write("ERROR", message, metadata)

    def _write(self, level: str, message: str, metadata: dict[str, Any]) -> None:
        self._count += 1
        if self._count > MAX_LINES:
            return
        if self._count == MAX_LINES:
            level, message, metadata = "WARN", "further lines of this attempt are not kept", {}
        self.write(level, message, metadata)

    def write(self, level: str, message: str, metadata: dict[str, Any]) -> None:
        """Keep one line, its time counted from the attempt's start on the database's clock."""
        at = self._claim.started_at + timedelta(seconds=clock.monotonic() - self._started)
        self._lines.append(
            LogLine(
                execution_id=self._claim.execution_id,
                at=at,
                level=level,
                message=message,
                metadata={"attempt": self._claim.attempt} | metadata,
                foreign=True,
            )
        )

    def start(self) -> LogLine:
        """The line that opens an attempt's log."""
        return LogLine(
            execution_id=self._claim.execution_id,
            at=self._claim.started_at,
            level="INFO",
            message="Job execution started",
            metadata={"attempt": self._claim.attempt},
        )

    def drain(self) -> tuple[LogLine, ...]:
        """The lines since the last drain."""
        taken: list[LogLine] = []
        while self._lines:
            taken.append(self._lines.popleft())
        return tuple(taken)


_waiters = threading.Condition()


class StopSignal:
    """The flag behind `run.should_stop()`: knows why it was set and whether the handler saw it.

    Made for every run, so it costs nothing: all signals share one condition to wait on.
    """

    __slots__ = ("_set", "cancel_reason", "cause", "noticed")

    def __init__(self) -> None:
        self._set = False
        self.cause = ""
        self.cancel_reason = "operator"
        self.noticed = False

    def ask(self, cause: str, *, reason: str = "operator") -> None:
        """Ask to stop; the first cause counts, but a lost lease overrules every other."""
        if not self.cause or cause == "lost":
            self.cause, self.cancel_reason = cause, reason
        self._set = True
        with _waiters:
            _waiters.notify_all()

    def is_set(self) -> bool:
        """Whether the run shall stop; asking counts as having noticed."""
        self.noticed = self.noticed or self._set
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until asked to stop or the time (seconds) is over; waking for it is noticing."""
        with _waiters:
            _waiters.wait_for(lambda: self._set, timeout)
        return self.is_set()

    def asked(self) -> bool:
        """Whether it was set, without counting as noticed."""
        return self._set


@dataclass(kw_only=True, slots=True)
class Active:
    """One claimed attempt from the claim to its end."""

    assignment: Assignment
    confirmed: float
    lines: Lines
    submitted: float
    stop: StopSignal = field(default_factory=StopSignal)
    started: float | None = None
    progress: Progress | None = None
    reported: Progress | None = None
    ended: bool = False
    start_shown: bool = False
    kept: tuple[LogLine, ...] | None = None

    @property
    def claim(self) -> Claim:
        return self.assignment.claim

    @property
    def deadline(self) -> float | None:
        """The monotonic moment at which the attempt has used up its time."""
        if self.started is None:
            return None
        return self.started + self.assignment.job.timeout_ms / 1000

    def news(self) -> tuple[LogLine, ...]:
        """What to show of a running attempt since the last look, its start first."""
        if self.started is None or self.ended:
            return ()
        lines = self.lines.drain()
        if not self.start_shown:
            self.start_shown = True
            return (self.lines.start(), *lines)
        return lines

    def last_words(self) -> tuple[LogLine, ...]:
        """The lines not shown yet, the same however often the end is written."""
        if self.kept is None:
            self.kept = self.lines.drain()
        return self.kept


@dataclass(kw_only=True, slots=True)
class Finished:
    """An attempt whose call ended, for the completer."""

    active: Active
    outcome: Outcome


class Runner:
    """Runs what was claimed; collects what has finished.

    Thread-safe: the loop submits, collects and looks; slots run.
    """

    def __init__(self, config: EngineConfig, *, ring: Callable[[], None]) -> None:
        self._config = config
        self._ring = ring
        self.pool = Pool(config.concurrency, name="slot")
        self._lock = threading.Lock()
        self._active: dict[UUID, Active] = {}
        self._finished: deque[Finished] = deque()
        self._durations: dict[str, tuple[float, float]] = {}
        self.draining = False

    # the loop's side ------------------------------------------------------------------------------

    def submit(self, assignment: Assignment) -> None:
        """Queue a claimed attempt for the next free slot."""
        claim = assignment.claim
        active = Active(
            assignment=assignment,
            confirmed=assignment.confirmed,
            lines=Lines(claim),
            submitted=clock.monotonic(),
        )
        with self._lock:
            self._active[claim.token] = active
        self.pool.submit(lambda: self._serve(active))

    def collect(self) -> list[Finished]:
        """What finished since the last call."""
        taken: list[Finished] = []
        while self._finished:
            taken.append(self._finished.popleft())
        return taken

    def active(self) -> list[Active]:
        """All that is claimed and has not ended."""
        with self._lock:
            return list(self._active.values())

    @property
    def stuck(self) -> int:
        """Slots held by handlers whose attempts ended without them."""
        return max(0, self.pool.busy - sum(one.started is not None for one in self.active()))

    @property
    def appetite(self) -> int:
        """How many to claim: the free slots, and what will start within about 100 ms."""
        claimed = self.pool.busy + self.pool.queued
        horizon = self._horizon()
        return max(0, self.pool.size + horizon - claimed)

    @property
    def is_hungry(self) -> bool:
        """Whether to claim now: a slot is idle, or half of what may be claimed ahead is used up."""
        wanted = self.appetite
        return wanted > 0 and (not self.pool.queued or 2 * wanted >= self._horizon())

    def _horizon(self) -> int:
        """How many runs will end, by the longest recent duration, while a claim is on its way."""
        at = clock.monotonic()
        known = list(self._durations.values())  # at once: slots write into it meanwhile
        recent = [spent for spent, ended in known if at - ended < 2.0]
        if not recent:
            return 0
        return min(MAX_PREFETCH, int(self.pool.size * PREFETCH_HORIZON / max(max(recent), 1e-5)))

    @property
    def has_finished(self) -> bool:
        """Whether something finished that was not collected yet."""
        return bool(self._finished)

    def withdraw(self, after: float) -> None:
        """Give back what has waited this many seconds for a slot: another process may be free."""
        at = clock.monotonic()
        for active in self.active():
            if at - active.submitted > after:
                self._give_back(active)

    def abandon(self, active: Active, cause: str) -> None:
        """End an attempt without its handler, which may never return; its slot stays visible.

        One that was not called yet is given back instead, as far as it is still ours.
        """
        if not self._give_back(active):
            self._end(active, Outcome(stopped_for=cause, duration_ms=_since(active)))

    def watch(self) -> None:
        """Ask what has used up its time to stop, and end what does not listen.

        A claim whose lease was not confirmed in time is stopped before the lease ends, so
        that another worker never runs beside it.
        """
        at = clock.monotonic()
        limit = (self._config.lease - self._config.margin).total_seconds()
        for active in self.active():
            if at - active.confirmed > limit:
                active.stop.ask("lost")
                self.abandon(active, "lost")
            elif active.deadline is not None and at > active.deadline:
                active.stop.ask("timeout")
                if at > active.deadline + TIMEOUT_GRACE and active.stop.cause == "timeout":
                    self.abandon(active, "timeout")

    def advances(self) -> list[Advance]:
        """Progress that was said since the last look."""
        changed = [
            one for one in self.active() if one.progress is not None and one.progress is not one.reported
        ]
        for one in changed:
            one.reported = one.progress
        return [
            Advance(claim=one.claim, processed=one.progress.processed, total=one.progress.total)
            for one in changed
            if one.progress is not None
        ]

    # the slots' side ------------------------------------------------------------------------------

    def _serve(self, active: Active) -> None:
        try:
            outcome = self._attempt(active)
        except BaseException as error:  # whatever went wrong here, the claim must not stay open
            log.exception("an attempt failed outside of its handler")
            outcome = Outcome(error=error, called=active.started is not None, duration_ms=_since(active))
        if active.started is not None:
            close_connection()
        self._end(active, outcome)

    def _attempt(self, active: Active) -> Outcome:
        if self.draining and not active.ended:
            return Outcome(called=False)
        if active.ended or not self._is_fresh(active):
            active.stop.ask("lost")
            return Outcome(stopped_for="lost", called=False)
        if active.stop.asked():
            return Outcome(
                called=False,
                stopped_for=active.stop.cause,
                cancel_reason=active.stop.cancel_reason,
            )
        if not self._begin(active):
            return Outcome(called=False)
        # A statement of the handler may take as long as the attempt, but never for ever.
        with patience.limit(active.assignment.job.timeout_ms / 1000 + TIMEOUT_GRACE):
            fault("call_before")
            with logcontext.bound(**_names(active)):
                outcome = call_traced(active) if tracing.is_on() else call(active)
            fault("call_after")
        self._remember(active)
        return outcome

    def _begin(self, active: Active) -> bool:
        """From here on the handler counts as called; False where the claim was given back meanwhile."""
        with self._lock:
            if active.ended:
                return False
            active.started = clock.monotonic()
            return True

    def _is_fresh(self, active: Active) -> bool:
        """Call only on a lease confirmed less than a tenth of it ago; else confirm it first."""
        before = clock.monotonic()
        if before - active.confirmed < self._config.fresh.total_seconds():
            return True
        try:
            with patience.limit(RENEW_LIMIT), transaction.atomic():
                owned = lifecycle.renew([active.claim], now=clock.now(), lease=self._config.lease)
                fault("confirm_before_commit")
        except Exception:
            log.warning("the lease could not be confirmed before the call", exc_info=True)
            return False
        finally:
            close_connection()
        fault("confirm_after_commit")
        active.confirmed = before
        return active.claim.token in owned

    def _remember(self, active: Active) -> None:
        at, handler = clock.monotonic(), active.assignment.job.handler
        spent = at - (active.started or at)
        before, _ = self._durations.get(handler, (spent, at))
        self._durations[handler] = (before * 0.8 + spent * 0.2, at)

    def _end(self, active: Active, outcome: Outcome) -> None:
        with self._lock:
            if active.ended:
                return
            self._hand_over(active, outcome)
        self._ring()

    def _give_back(self, active: Active) -> bool:
        """End a claim whose handler was not called, so that nobody calls it here any more."""
        with self._lock:
            if active.ended or active.started is not None:
                return False
            self._hand_over(active, Outcome(called=False))
        self._ring()
        return True

    def _hand_over(self, active: Active, outcome: Outcome) -> None:
        """From the claimed to the finished, under the lock: it is never in neither."""
        active.ended = True
        self._finished.append(Finished(active=active, outcome=outcome))
        self._active.pop(active.claim.token, None)


def _names(active: Active) -> dict[str, Any]:
    """What every log line of a handler is about."""
    claim = active.claim
    return {
        "job_id": str(active.assignment.job.uuid),
        "execution_id": str(claim.execution_id),
        "attempt": claim.attempt,
    }


def _since(active: Active) -> int:
    return 0 if active.started is None else int((clock.monotonic() - active.started) * 1000)


def close_connection() -> None:
    """Give this thread's database connection back, if it used one (broken ones are thrown away)."""
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        try:
            # A handler that returned inside its own transaction left it for good.
            connection.in_atomic_block = False
            connection.close()
        except Exception:
            log.warning("a slot's database connection could not be given back", exc_info=True)
            connection.connection = None


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
        duration_ms=_since(active),
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
    if assignment.job.problem:
        raise ValueError(assignment.job.problem)
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
