"""The loop: plan, claim, run, complete, keep house. The only part that knows its siblings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import transaction

from executions import lifecycle
from executions.engine import adoption, clock, completer, doorbell, guard, heartbeat, planner, reaper, window
from executions.engine.active import Active, Finished
from executions.engine.agenda import Backoff, Timer, monotonic_of
from executions.engine.assignment import Assignment
from executions.engine.bell import Bell
from executions.engine.claimer import Claimer
from executions.engine.completer import Report
from executions.engine.config import EngineConfig
from executions.engine.doorbell import Doorbell
from executions.engine.duty import duties
from executions.engine.guard import Guard
from executions.engine.housekeeper import Housekeeper
from executions.engine.inbox import Inbox
from executions.engine.listener import Listener
from executions.engine.runner import Runner
from executions.engine.watchdog import Watchdog
from executions.faults import fault
from executions.rows import plan_afresh
from web import tracing

log = logging.getLogger(__name__)

DATABASE_LIMIT = 5.0  # seconds that one step of database work may take
SHORTEST_LIMIT = 1.0  # the same when the time to stop is over
# Seconds of planning in a pass. Long, so that a herd is in the ledger before most of it is claimed: only what
# is there can be claimed by priority. Short, so that what ran is written down meanwhile.
PLAN_SPAN = 0.25
BUSY_PLAN_SPAN = 0.05  # while endings wait to be written: a crash would call what ended once more
SHORTEST_WAIT = 0.005
BUSY_WAIT = 0.05
WITHDRAW_AFTER = 1.0  # seconds a claim may wait for a slot before it is given back
STOP_GRACE = 2.0
MAX_FAILURES = 60


class Engine:
    """One process of the scheduler. `run()` ends after `stop()`; everything else is inside.

    `only`: claim this one execution and do no duties (`run_job`).
    `doorbell`: tell the workers of a broker what is due, besides planning it (ENGINE=celery).
    `inbox`: claim what such a bell named and nothing else, and do no duties (a Celery worker).
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        only: UUID | None = None,
        doorbell: Doorbell | None = None,
        inbox: Inbox | None = None,
    ) -> None:
        self.config = config
        self._only = None if only is None else (only,)
        self.doorbell = doorbell
        self.inbox = inbox
        self.bell = Bell()
        self.runner = Runner(config, ring=self.bell.ring)
        self.claimer = Claimer(config=config)
        self.watchdog = Watchdog(self.runner.watch)
        self.listener = Listener(self.wake)
        self.processed = 0
        self.stale_writes = 0
        self._unwritten: list[Finished] = []
        # Endings whose rows somebody else holds: tried again apart from the others, and their leases kept.
        self._put_off: list[Finished] = []
        self._patience = Backoff(first=SHORTEST_WAIT, most=config.poll.total_seconds())
        self._contention = Backoff(first=SHORTEST_WAIT, most=config.poll.total_seconds())
        self._stopping = False
        self._asked_at: float | None = None
        self._found_work = False
        self._poll = Timer(every=config.poll)
        self._plan = Timer(every=config.poll)
        self._claim = Timer(every=config.poll)
        self._renew = Timer(every=config.renew_every)
        self._retry = Timer(every=config.poll)
        self._beat = Timer(every=config.heartbeat)
        self._guard = Guard(after_failure=self._look_again)
        self._housekeeper = Housekeeper(
            [] if only or inbox else duties, watchdog=self.watchdog, bell=self.bell
        )
        if inbox is not None:
            inbox.wake = self.wake

    # Life -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Go round until told to stop, then drain: finish what runs, give the rest back."""
        if self.inbox is None:
            self.listener.start()
        self._begin()
        while not self._stopping:
            self.bell.wait(self._guard.run(self._pass))
        self._drain()
        self._leave()

    def run_once(self) -> None:
        """Plan and run what is due until nothing is, then drain.

        Raises RuntimeError when the database, or a pass, fails MAX_FAILURES times in a row.
        """
        self._begin()
        while not self._stopping:
            self._plan.at_once()  # only a pass that looked at everything can say that nothing is due
            self._claim.at_once()
            wait = self._guard.run(self._pass)
            if self._is_idle():
                break
            if self._guard.failures >= MAX_FAILURES:
                self._drain()
                raise RuntimeError(f"{self._guard.failures} passes in a row failed; the log says why")
            self.bell.wait(min(wait, 0.05) if not self._guard.failures else wait)
        self._drain()
        self._guard.run(self._do_last_duties)
        self._leave()

    def run_until(self, done: Callable[[], bool]) -> None:
        """Go round until `done` says so; it is asked about twice a second."""
        self._begin()
        while not self._stopping:
            wait = self._guard.run(self._pass)
            if done():
                break
            self.bell.wait(min(wait, 0.5))
        self._drain()
        self._leave()

    def wake(self) -> None:
        """Look now for what is due; safe to call from any thread."""
        self._plan.at_once()
        self._claim.at_once()
        self.bell.ring()

    def stop(self) -> None:
        """Ask the loop to end; safe to call from a signal handler."""
        self._asked_at = clock.monotonic()
        self._stopping = True
        self.bell.ring()

    def _begin(self) -> None:
        self.watchdog.start()
        while not self._stopping:
            if self._guard.run(self._register) == 0.0:
                break
            self.bell.wait(1.0)

    def _register(self) -> float:
        fault("register_before")
        heartbeat.register(self.config, clock.now())
        fault("register_after")
        self._beat.done()
        return 0.0

    def _is_idle(self) -> bool:
        runner = self.runner
        busy = runner.active() or runner.has_finished or self._ended or self._found_work
        return not busy

    def _look_again(self) -> None:
        """After a failure nothing that was known before it counts."""
        self._found_work = True
        for timer in (self._plan, self._claim, self._renew):
            timer.at_once()

    # One pass -------------------------------------------------------------------------------------

    def _pass(self) -> float:
        """Every part that is due, each in its own short transaction; answers seconds to wait."""
        self._found_work = False
        if self._poll.is_due() and self._put_off:  # before anybody takes them for lost
            self._renew.at_once()
            self._retry.at_once()
        if self._renew.is_due():  # first of all, so that nothing holds it up
            with self.watchdog.limit(DATABASE_LIMIT):
                self._renew_leases()
        with self.watchdog.limit(DATABASE_LIMIT):
            read_at, now = clock.monotonic(), clock.now()
            self._complete(now)
        if self._poll.is_due():
            self._poll.done()
            with self.watchdog.limit(DATABASE_LIMIT):
                self._look_around(now)
        if self.config.plans and self._plan.is_due():
            with self.watchdog.limit(DATABASE_LIMIT):
                self._plan_due(now, read_at)
        if self.config.works and self._claim.is_due() and self.runner.is_hungry:
            with self.watchdog.limit(DATABASE_LIMIT):
                self._claim_due() if self.inbox is None else self._answer_rings(self.inbox)
        if self.doorbell is not None and self._claim.is_due():
            with self.watchdog.limit(DATABASE_LIMIT):
                self._ring_due(self.doorbell)
        self._housekeeper.do_due(now)
        return self._wait()

    def _wait(self) -> float:
        # The heartbeat goes with the poll: a timer that nobody serves would make the loop spin.
        timers = [self._poll, self._renew, *([self._retry] if self._put_off else [])]
        if self.config.plans:
            timers.append(self._plan)
        if self.doorbell is not None or (self.config.works and self.runner.is_hungry):
            timers.append(self._claim)
        # So do the duties, as long as that does not make them late: each wake-up costs a look around.
        earliest = min([*(timer.at for timer in timers), *self._housekeeper.moments()]) - clock.monotonic()
        return min(max(earliest, 0.0), self.config.poll.total_seconds())

    # Complete -------------------------------------------------------------------------------------

    @property
    def _ended(self) -> list[Finished]:
        """What ended and is not written yet."""
        return self._unwritten + self._put_off

    def _complete(self, now: datetime) -> None:
        self._unwritten += self.runner.collect()
        while self._unwritten:
            group = self._unwritten[: completer.MAX_GROUP]
            put_off = self._write(group, now)
            del self._unwritten[: len(group)]
            self._put_off += put_off
            if put_off:
                self._retry_after(self._patience.first)
        if self._put_off and self._retry.is_due():
            group, rest = self._put_off[: completer.MAX_GROUP], self._put_off[completer.MAX_GROUP :]
            self._put_off = rest + self._write(group, now, skip_locked=True)
            if self._put_off:
                self._retry_after(self._patience.grow())
            else:
                self._patience.reset()

    def _retry_after(self, seconds: float) -> None:
        self._retry.done()
        self._retry.no_later_than(clock.monotonic() + seconds)

    def _write(
        self, group: Sequence[Finished], now: datetime, *, skip_locked: bool = False
    ) -> list[Finished]:
        """Write how these ended; answers those whose rows somebody else holds."""
        done = completer.complete([_report(one) for one in group], now, skip_locked=skip_locked)
        put_off = [one for one in group if one.active.claim.token in done.put_off]
        self.processed += done.written
        self._count_stale(done.stale + done.lost)
        if self.inbox is not None:
            self.inbox.close(
                one.active.claim.execution_id for one in group if one.active.claim.token not in done.put_off
            )
        if len(put_off) < len(group):
            self._claim.at_once()
            self._found_work = True
        return put_off

    def _count_stale(self, count: int) -> None:
        """What this process had to say and may not: its claim was lost, whether noticed in time or not."""
        if count:
            self.stale_writes += count
            log.warning("stale_write", extra={"count": count})

    # Keep the leases ------------------------------------------------------------------------------

    def _renew_leases(self) -> None:
        active = self.runner.active()
        claims = [one.claim for one in active] + [one.active.claim for one in self._ended]
        read_at, now = clock.monotonic(), clock.now()
        with transaction.atomic():
            renewed = lifecycle.renew(claims, now=now, lease=self.config.lease, skip_locked=True)
            if active:
                fault("renew_before_commit")
        if active:
            fault("renew_after_commit")
        for one in active:
            token = one.claim.token
            if token in renewed.confirmed:
                one.confirmed = read_at
            elif token not in renewed.busy and not one.ended:
                one.stop.ask("lost")
                self.runner.abandon(one, "lost")
        self._renew.done()
        if renewed.busy:  # its lease is as old as before: look again long before it ends
            self._renew.no_later_than(read_at + self.config.poll.total_seconds())

    def _look_around(self, now: datetime) -> None:
        """Every poll: what others asked of us, what our runs say, and whose lease ran out."""
        active = self.runner.active()
        for token, reason in lifecycle.asked_to_stop([one.claim for one in active]).items():
            for one in active:
                if one.claim.token == token:
                    one.stop.ask("cancel", reason=reason)
        self._show_progress(active)
        self.runner.withdraw(WITHDRAW_AFTER)
        if self._beat.is_due():  # before what strange rows may make slow
            self._say_alive(now)
        reaper.reap(now, self.config.lease)
        if self.config.plans:
            if adoption.adopt(now).more:  # the next batch in the next pass: leases come first
                self._found_work = True
                self._poll.at_once()
            self._plan.at_once()
        self._claim.at_once()

    def _say_alive(self, now: datetime) -> None:
        heartbeat.beat(
            self.config,
            now,
            processed=self.processed,
            figures={
                "busySlots": self.runner.pool.busy,
                "stuckSlots": self.runner.stuck,
                "staleWrites": self.stale_writes,
            },
        )
        fault("beat_after")
        plan_afresh()
        self._beat.done()

    def _show_progress(self, active: list[Active]) -> None:
        begun = [one.claim for one in active if one.started is not None and not one.start_shown]
        lines = [line for one in active for line in one.news()]
        advances = self.runner.advances()
        if lines or advances:
            with transaction.atomic():
                lifecycle.note_starts(begun)
                lifecycle.write_lines(lines)
                lifecycle.report(advances)
                fault("progress_before_commit")

    # Plan and claim -------------------------------------------------------------------------------

    def _plan_due(self, now: datetime, read_at: float) -> None:
        self._plan.done()  # before the look, so that a ring during it asks for another one
        with tracing.span("plan") as span:
            done = planner.plan_due(now)
            while done.more and clock.monotonic() < read_at + self._plan_span:
                done = planner.plan_due(now).after(done)
            span.note({"scheduler.jobs": done.jobs, "scheduler.executions": done.rows})
            if not done.jobs:
                span.drop()
        if done.rows:
            self._found_work = True
            self._claim.at_once()
        if done.more:
            self._plan.at_once()
            return
        due_at = planner.next_due()
        if due_at is not None:
            at = monotonic_of(due_at, now=now, read_at=read_at)
            patience = SHORTEST_WAIT if done.jobs else self.config.poll.total_seconds() / 4
            self._plan.no_later_than(max(at, read_at + patience) if at <= read_at else at)

    @property
    def _plan_span(self) -> float:
        return BUSY_PLAN_SPAN if self.runner.has_finished else PLAN_SPAN

    def _claim_due(self) -> None:
        read_at, now = clock.monotonic(), clock.now()
        wanted = self.runner.appetite
        self._claim.done()  # before the look, as above
        with tracing.span("claim") as span:
            found = self.claimer.claim(
                now, slots=wanted, confirmed=read_at, free=self.runner.pool.free, only=self._only
            )
            span.note({"scheduler.slots": wanted, "scheduler.executions": len(found.assignments)})
            if not found.assignments:
                span.drop()
        self._submit(found.assignments)
        if found.assignments:
            self._found_work = True
        self._found_work = self._found_work or found.contended
        if found.contended and not found.assignments:
            self._claim.no_later_than(read_at + self._contention.grow())
            return
        self._contention.reset()
        if len(found.assignments) >= wanted or found.contended:
            self._claim.no_later_than(read_at + SHORTEST_WAIT)
            return
        if found.assignments:  # what ends soon makes room for more: look again then
            self._claim.no_later_than(read_at + BUSY_WAIT)
            return
        due_at = window.next_attempt(now)
        if due_at is not None:
            self._claim.no_later_than(monotonic_of(due_at, now=now, read_at=read_at))

    def _answer_rings(self, inbox: Inbox) -> None:
        """Claim what the bell named; what may not start now is put back, to be rung for again."""
        read_at, now = clock.monotonic(), clock.now()
        self._claim.done()
        wanted = inbox.wanted()[: self.runner.appetite]
        if not wanted:
            return
        found = self.claimer.claim(now, slots=len(wanted), confirmed=read_at, only=wanted)
        for assignment in found.assignments:
            inbox.take(assignment.claim.execution_id)
        self._submit(found.assignments)
        refused = inbox.refused(wanted, patient=found.contended)
        doorbell.take_back(refused)
        inbox.close(ring.execution_id for ring in refused)
        if inbox.waiting:
            self._claim.no_later_than(read_at + SHORTEST_WAIT)

    def _ring_due(self, bell: Doorbell) -> None:
        read_at, now = clock.monotonic(), clock.now()
        self._claim.done()
        self._claim.no_later_than(read_at + bell.ring_due(now))
        due_at = window.next_attempt(now)
        if due_at is not None:
            self._claim.no_later_than(monotonic_of(due_at, now=now, read_at=read_at))

    def _submit(self, assignments: Sequence[Assignment]) -> None:
        for assignment in assignments:
            self.runner.submit(assignment)
            fault("submit_between")

    def _do_last_duties(self) -> float:
        self._housekeeper.do_all(clock.now())
        return 0.0

    # The end --------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Finish what runs within the time for it, then give the rest back."""
        self.runner.draining = True
        # A pass may have waited for the database since somebody asked.
        asked_at = self._asked_at or clock.monotonic()
        ends_at = asked_at + self.config.shutdown.total_seconds()
        asked = False
        while self.runner.active() or self._ended or self.runner.has_finished:
            left = ends_at - clock.monotonic()
            if left <= 0 and not asked:
                asked = True
                for one in self.runner.active():
                    one.stop.ask("shutdown")
            if left <= -STOP_GRACE:
                for one in self.runner.active():
                    self.runner.abandon(one, "shutdown")
            if left <= -2 * STOP_GRACE:
                break
            limit = min(max(left + 2 * STOP_GRACE, SHORTEST_LIMIT), DATABASE_LIMIT)
            self._guard.run(partial(self._drain_pass, limit))
            self.bell.wait(0.1)

    def _drain_pass(self, limit: float) -> float:
        fault("release_before")
        guard.wait_for_connection(limit)
        with self.watchdog.limit(limit):
            if self._renew.is_due():
                self._renew_leases()
            self._complete(clock.now())
        return 0.0

    def _leave(self) -> None:
        def leave() -> float:
            fault("leave_before")
            guard.wait_for_connection(STOP_GRACE)
            with self.watchdog.limit(STOP_GRACE):  # a line that went dead would keep us for ten seconds
                heartbeat.leave(self.config, clock.now(), processed=self.processed)
            return 0.0

        if not self._guard.failures:  # else the database does not answer, and nobody waits for it any longer
            self._guard.run(leave)
        self.watchdog.stop()
        self.listener.stop()
        self.runner.pool.close()
        self._housekeeper.close()
        if self.doorbell is not None:
            self.doorbell.close()


def _report(finished: Finished) -> Report:
    active = finished.active
    return Report(
        assignment=active.assignment,
        outcome=finished.outcome,
        said=active.last_words(),
        start_shown=active.start_shown,
    )
