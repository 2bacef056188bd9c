"""The virtual world: jobs, slots and a heap of moments. Pure: no database, no clock, seeded chance."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from executions.chart import PENDING
from executions.engine.limits import EVERYTHING, Candidate, JobFacts, Room, SharedFacts
from executions.engine.planning import Due, plan_job
from executions.lifecycle import Planned
from executions.retry import CRASH_RECOVERIES, RetryPolicy, decide
from executions.simulation.report import Report

MINUTE = timedelta(seconds=60)
NO_RETRIES = RetryPolicy(max_retries=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class SimJob:
    """One job: its policies as the planner sees them, and what its runs are like.

    `durations` are samples in seconds; `failure_rate` is the share of attempts that fail.
    """

    name: str
    due: Due
    durations: Sequence[float] = (1.0,)
    failure_rate: float = 0.0
    at_most_once: bool = False
    policy: RetryPolicy = NO_RETRIES
    rate: int | None = None
    tags: tuple[UUID, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """The surroundings: slots over all processes, shared limits, and how often workers die.

    `crash_rate` is the share of attempts whose worker is lost; `lease` the time until noticed.
    """

    slots: int = 10
    tags: dict[UUID, SharedFacts] = field(default_factory=dict)
    queues: dict[str, SharedFacts] = field(default_factory=dict)
    crash_rate: float = 0.0
    lease: timedelta = timedelta(seconds=30)
    seed: int = 0


@dataclass(kw_only=True, slots=True)
class _Run:
    candidate: Candidate
    attempt: int = 0
    retries: int = 0
    lost: int = 0


@dataclass(kw_only=True, slots=True)
class _Lane:
    """One job's present."""

    job: SimJob
    waiting: list[_Run] = field(default_factory=list)
    backoff: dict[UUID, datetime] = field(default_factory=dict)
    running: set[UUID] = field(default_factory=set)
    starts: deque[datetime] = field(default_factory=deque)

    @property
    def unfinished(self) -> int:
        return len(self.waiting) + len(self.backoff) + len(self.running)


def simulate(
    jobs: Sequence[SimJob],
    start: datetime,
    end: datetime,
    *,
    situation: Situation | None = None,
    tell: Callable[[datetime, Report], None] = lambda now, report: None,
) -> Report:
    """Play the jobs from `start` (whose cursors must not lie before it) to `end`.

    `tell` hears of the virtual time about every thousandth moment. Deterministic: the same
    jobs, range and seed give the same report.
    """
    return _World(jobs, situation or Situation(), end).play(start, tell)


class _World:
    def __init__(self, jobs: Sequence[SimJob], situation: Situation, end: datetime) -> None:
        self.situation = situation
        self.end = end
        self.report = Report()
        self.random = random.Random(situation.seed)
        self.lanes = {job.due.job_id: _Lane(job=job) for job in jobs}
        self.free = situation.slots
        self.moments: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self.order = itertools.count()
        self.held: set[int] = set()
        self.shared: dict[object, int] = defaultdict(int)
        self.shared_starts: dict[object, deque[datetime]] = defaultdict(deque)
        for job in jobs:
            self._at(job.due.cursor, self._planner(job.due.job_id))

    def play(self, start: datetime, tell: Callable[[datetime, Report], None]) -> Report:
        steps = 0
        while self.moments and self.moments[0][0] <= self.end:
            now, _, act = heapq.heappop(self.moments)
            act(max(now, start))
            steps += 1
            if steps % 1000 == 0:
                tell(now, self.report)
        self.report.unfinished = sum(lane.unfinished for lane in self.lanes.values())
        tell(self.end, self.report)
        return self.report

    def _at(self, moment: datetime, act: Callable[[datetime], None]) -> None:
        heapq.heappush(self.moments, (moment, next(self.order), act))

    # Plan -----------------------------------------------------------------------------------------

    def _planner(self, job_id: int) -> Callable[[datetime], None]:
        return lambda now: self._plan(job_id, now)

    def _plan(self, job_id: int, now: datetime) -> None:
        lane = self.lanes[job_id]
        due = replace(
            lane.job.due,
            waiting=len(lane.waiting) + len(lane.backoff),
            unfinished=lane.unfinished,
        )
        plan = plan_job(due, now)
        for row in plan.rows:
            self._write(lane, row, now)
        if plan.next_run_at is not None:
            lane.job = replace(lane.job, due=replace(lane.job.due, cursor=plan.next_run_at))
            self._at(max(plan.next_run_at, now), self._planner(job_id))

    def _write(self, lane: _Lane, row: Planned, now: datetime) -> None:
        self.report.fired(row.scheduled_at, row.skipped_count or 1)
        if row.status != PENDING:
            self.report.skipped[row.reason or ""] += row.skipped_count or 1
            return
        if lane.unfinished:
            self.report.overlaps[lane.job.name] += 1
        if lane.job.due.overlap == "replace" and lane.unfinished >= lane.job.due.max_concurrent:
            self._replace(lane)
        candidate = Candidate(
            id=UUID(int=self.random.getrandbits(128)),
            job_id=row.job_id,
            priority=row.priority,
            due_at=row.due_at or row.scheduled_at,
            scheduled_at=row.scheduled_at,
            trigger="schedule",
            queue=row.queue,
        )
        run = _Run(candidate=candidate)
        if candidate.due_at > now:
            self._wait_until(lane, run, candidate.due_at)
        else:
            self._offer(lane, run, now)

    def _replace(self, lane: _Lane) -> None:
        """The waiting ones end at once; running ones are taken to stop when asked."""
        gone = len(lane.waiting) + len(lane.backoff)
        self.report.outcomes["CANCELLED"] += gone
        lane.waiting.clear()
        lane.backoff.clear()

    def _wait_until(self, lane: _Lane, run: _Run, at: datetime) -> None:
        lane.backoff[run.candidate.id] = run.candidate.scheduled_at

        def due(now: datetime) -> None:
            if lane.backoff.pop(run.candidate.id, None) is not None:
                self._offer(lane, run, now)

        self._at(at, due)

    # Claim and run --------------------------------------------------------------------------------

    def _offer(self, lane: _Lane, run: _Run, now: datetime) -> None:
        lane.waiting.append(run)
        self._start(lane, now)

    def _start(self, lane: _Lane, now: datetime) -> None:
        """Start what the limits let start of this job; what they hold is offered again later."""
        while lane.waiting and self.free > 0:
            lane.waiting.sort(key=lambda one: one.candidate.order)
            run = lane.waiting[0]
            if self._room(lane, now).why_not(run.candidate):
                break
            lane.waiting.pop(0)
            self._run(lane, run, now)
        if lane.waiting:
            self.held.add(lane.job.due.job_id)
            if lane.job.rate or self.situation.tags or self.situation.queues:
                self._at(now + timedelta(seconds=1), self._again(lane.job.due.job_id))
        else:
            self.held.discard(lane.job.due.job_id)

    def _again(self, job_id: int) -> Callable[[datetime], None]:
        return lambda now: self._start(self.lanes[job_id], now)

    def _room(self, lane: _Lane, now: datetime) -> Room:
        job = lane.job
        facts = JobFacts(
            id=job.due.job_id,
            state="active",
            max_concurrent=job.due.max_concurrent,
            overlap=job.due.overlap,
            running=len(lane.running),
            retries=tuple(lane.backoff.values()),
            rate=job.rate,
            started=_recent(lane.starts, now),
            tags=job.tags,
        )
        return Room(
            jobs={facts.id: facts},
            tags={key: self._used(key, self.situation.tags[key], now) for key in job.tags},
            queues={
                key: self._used(f"queue:{key}", self.situation.queues[key], now)
                for key in (job.due.queue, EVERYTHING)
                if key in self.situation.queues
            },
        )

    def _used(self, key: object, facts: SharedFacts, now: datetime) -> SharedFacts:
        return replace(facts, running=self.shared[key], started=_recent(self.shared_starts[key], now))

    def _keys(self, lane: _Lane) -> list[object]:
        return [*lane.job.tags, f"queue:{lane.job.due.queue}", f"queue:{EVERYTHING}"]

    def _run(self, lane: _Lane, run: _Run, now: datetime) -> None:
        job = lane.job
        run.attempt += 1
        self.free -= 1
        lane.running.add(run.candidate.id)
        lane.starts.append(now)
        for key in self._keys(lane):
            self.shared[key] += 1
            self.shared_starts[key].append(now)
        if run.attempt == 1:
            self.report.lateness.append((now - run.candidate.scheduled_at).total_seconds())
        self.report.started += 1
        self.report.most_running = max(self.report.most_running, self.situation.slots - self.free)
        spent = self.random.choice(job.durations)
        lost = self.random.random() < self.situation.crash_rate
        took = (
            timedelta(seconds=spent * self.random.random()) + self.situation.lease
            if lost
            else timedelta(seconds=spent)
        )
        self.report.busy_seconds += took.total_seconds()
        failed = self.random.random() < job.failure_rate
        self._at(now + took, lambda at: self._end(lane, run, at, lost=lost, failed=failed))

    def _end(self, lane: _Lane, run: _Run, now: datetime, *, lost: bool, failed: bool) -> None:
        self.free += 1
        lane.running.discard(run.candidate.id)
        for key in self._keys(lane):
            self.shared[key] -= 1
        if lost:
            self._rescue(lane, run, now)
        elif failed:
            self._fail(lane, run, now)
        else:
            self.report.outcomes["SUCCESS"] += 1
        self._start(lane, now)
        for job_id in sorted(self.held - {lane.job.due.job_id}):
            if self.free <= 0:
                break
            self._start(self.lanes[job_id], now)

    def _rescue(self, lane: _Lane, run: _Run, now: datetime) -> None:
        self.report.crashes += 1
        run.lost += 1
        if lane.job.at_most_once or run.lost > CRASH_RECOVERIES:
            self.report.outcomes["FAILED"] += 1
        else:
            lane.waiting.append(run)

    def _fail(self, lane: _Lane, run: _Run, now: datetime) -> None:
        decision = decide(lane.job.policy, retries_done=run.retries, reason="error", rng=self.random)
        if not decision.again:
            self.report.outcomes["FAILED"] += 1
            return
        run.retries += 1
        self.report.retries += 1
        self._wait_until(lane, run, now + decision.delay)


def _recent(starts: deque[datetime], now: datetime) -> int:
    """How many starts lie in the last minute; older ones are forgotten."""
    while starts and starts[0] <= now - MINUTE:
        starts.popleft()
    return len(starts)
