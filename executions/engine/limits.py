"""Who may start now: limits of jobs, tags and queues, overlap and dependencies.

`admit` is pure. What it judges is read under locks, so that no two processes count the same room twice: the
lock of the job's row for the job's own limits, an advisory lock for each count that jobs share (of a tag, of
a queue).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

EVERYTHING = "*"


@dataclass(kw_only=True, slots=True)
class Candidate:
    """A due execution. `order` sorts by priority, then by the moment it became due."""

    id: UUID
    job_id: int
    priority: int
    due_at: datetime
    scheduled_at: datetime
    trigger: str
    queue: str
    batch: UUID | None = None
    batch_limit: int | None = None
    # How often a worker was lost with it.
    lost: int = 0
    # What is wrong with its row, where it cannot be read.
    problem: str = ""

    @property
    def order(self) -> tuple[int, datetime, datetime, int]:
        """What runs first sorts first."""
        return (-self.priority, self.due_at, self.scheduled_at, self.id.int)


@dataclass(kw_only=True, slots=True)
class JobFacts:
    """A job's limits and how much of them is used."""

    id: int
    state: str
    max_concurrent: int
    overlap: str
    running: int
    # Fire times of its scheduled executions that wait for a retry, or whose retry is due: they go first.
    retries: tuple[datetime, ...] = ()
    rate: int | None = None
    started: int = 0
    tags: tuple[UUID, ...] = ()
    at_most_once: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedFacts:
    """A limit that several jobs share (a tag's or a queue's) and how much of it is used.

    `busy`: another process counts it at this moment, and what it takes cannot be seen yet.
    """

    name: str
    paused: bool = False
    max_concurrent: int | None = None
    rate: int | None = None
    running: int = 0
    started: int = 0
    busy: bool = False


@dataclass(kw_only=True, slots=True)
class Room:
    """What is left of the limits while a group is admitted."""

    jobs: Mapping[int, JobFacts]
    tags: Mapping[UUID, SharedFacts] = field(default_factory=dict)
    queues: Mapping[str, SharedFacts] = field(default_factory=dict)
    batches: dict[UUID, int] = field(default_factory=dict)
    taken: dict[object, int] = field(default_factory=dict)

    def why_not(self, candidate: Candidate) -> str:
        """Why this one must wait, in words; empty when it may start."""
        job = self.jobs[candidate.job_id]
        return (
            self._job_holds(job, candidate)
            or self._queue_holds(candidate.queue)
            or next((why for tag in job.tags if (why := self._tag_holds(tag))), "")
        )

    def is_delicate(self, candidate: Candidate) -> bool:
        """Whether it must be claimed for a slot that is free now, and never ahead of its call.

        A claim that is lost before its call counts as a call: it ends what may be called at most once,
        and a third one ends what was lost with its worker before, though its handler harmed nobody.
        """
        return candidate.lost > 0 or self.jobs[candidate.job_id].at_most_once

    def take(self, candidate: Candidate) -> None:
        """Count an admitted one against every limit it uses."""
        job = self.jobs[candidate.job_id]
        keys: list[object] = [job.id, f"queue:{candidate.queue}", f"queue:{EVERYTHING}", *job.tags]
        if candidate.batch:
            keys.append(candidate.batch)
        for key in keys:
            self.taken[key] = self.taken.get(key, 0) + 1

    def _job_holds(self, job: JobFacts, candidate: Candidate) -> str:
        if job.state in ("paused", "inactive", "deleted"):
            return f"the job is {job.state}"
        new = self.taken.get(job.id, 0)
        running = job.running + new
        if running >= job.max_concurrent:
            return f"{running} of at most {job.max_concurrent} executions of the job run"
        if candidate.trigger == "schedule" and job.overlap != "allow":
            older = sum(at < candidate.scheduled_at for at in job.retries)
            if running + older >= job.max_concurrent:
                return "an older execution of the job waits for its retry"
        if job.rate is not None and job.started + new >= job.rate:
            return f"the job's rate of {job.rate} a minute is used up"
        if candidate.batch and candidate.batch_limit:
            running = self.batches.get(candidate.batch, 0) + self.taken.get(candidate.batch, 0)
            if running >= candidate.batch_limit:
                return f"{running} of at most {candidate.batch_limit} of its backfill run"
        return ""

    def _queue_holds(self, name: str) -> str:
        for key in (name, EVERYTHING):
            facts = self.queues.get(key)
            if facts is None:
                continue
            label = "all queues are" if key == EVERYTHING else f"queue {key} is"
            if facts.paused:
                return f"{label} paused"
            if why := self._shared_holds(facts, f"queue:{key}", label.removesuffix(" is")):
                return why
        return ""

    def _tag_holds(self, tag: UUID) -> str:
        facts = self.tags.get(tag)
        return self._shared_holds(facts, tag, f"tag {facts.name}") if facts else ""

    def _shared_holds(self, facts: SharedFacts, key: object, label: str) -> str:
        if facts.busy:
            return f"another process counts what runs of {label}"
        new = self.taken.get(key, 0)
        running, started = facts.running + new, facts.started + new
        if facts.max_concurrent is not None and running >= facts.max_concurrent:
            return f"{running} of at most {facts.max_concurrent} executions of {label} run"
        if facts.rate is not None and started >= facts.rate:
            return f"the rate of {label}, {facts.rate} a minute, is used up"
        return ""

    @property
    def is_busy(self) -> bool:
        """Whether another process counts some of it at this moment."""
        return any(facts.busy for facts in (*self.tags.values(), *self.queues.values()))

    def full_queues(self) -> set[str]:
        """Queues that let nothing start now."""
        return {name for name in self.queues if name != EVERYTHING and self._queue_holds(name)} or (
            {EVERYTHING} if self._queue_holds(EVERYTHING) else set()
        )

    def full_tags(self) -> set[UUID]:
        """Tags that let nothing start now."""
        return {tag for tag in self.tags if self._tag_holds(tag)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """Who starts, and why the others wait. `closed`: the next slot that is free is for one of these."""

    taken: list[Candidate]
    held: dict[UUID, str]
    closed: bool = False


def admit(candidates: Sequence[Candidate], room: Room, *, slots: int, free: int | None = None) -> Admission:
    """Take candidates in their order until the slots or every limit is used up.

    `free` of the slots are free now (all of them, if not said), the others will be soon. A delicate
    candidate for which none is free is left, and with it all that comes after: else those would take
    every slot before one is free for it.
    """
    free = slots if free is None else free
    taken: list[Candidate] = []
    held: dict[UUID, str] = {}
    closed = False
    for candidate in sorted(candidates, key=lambda one: one.order):
        if candidate.job_id not in room.jobs:
            continue
        if why := room.why_not(candidate):
            held[candidate.id] = why
        elif len(taken) < slots and len(taken) >= free and room.is_delicate(candidate):
            closed = True
        elif len(taken) < slots and not closed:
            room.take(candidate)
            taken.append(candidate)
    return Admission(taken=taken, held=held, closed=closed)
