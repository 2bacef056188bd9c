"""Calls handlers in the pool and sorts what comes of it; knows nothing of planning or claiming."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import connections, transaction

from executions import lifecycle
from executions.engine import clock
from executions.engine.active import Active, Finished, Lines
from executions.engine.assignment import Assignment
from executions.engine.call import call, call_traced
from executions.engine.config import MAX_PREFETCH, PREFETCH_HORIZON, EngineConfig
from executions.engine.outcome import Outcome
from executions.engine.pool import Pool
from executions.faults import fault
from executions.lifecycle import Advance
from web import logcontext, patience, tracing

log = logging.getLogger(__name__)

RENEW_LIMIT = 5.0  # seconds that confirming a lease before the call may wait for each answer
TIMEOUT_GRACE = 2.0  # seconds a timed-out handler has to notice before its attempt is ended


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
            self._end(active, Outcome(stopped_for=cause, duration_ms=active.spent_ms))

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
            outcome = Outcome(error=error, called=active.started is not None, duration_ms=active.spent_ms)
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
                renewed = lifecycle.renew([active.claim], now=clock.now(), lease=self._config.lease)
                fault("confirm_before_commit")
        except Exception:
            log.warning("the lease could not be confirmed before the call", exc_info=True)
            return False
        finally:
            close_connection()
        fault("confirm_after_commit")
        active.confirmed = before
        return active.claim.token in renewed.confirmed

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
