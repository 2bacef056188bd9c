"""What becomes of a job's due fire times. Pure: decides and returns values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from executions.chart import PENDING, SKIPPED
from executions.lifecycle import Planned
from jobs.timing import Occurrence, Schedule, backlog, jitter, next_occurrence

MAX_PER_PASS = 100
MAX_WAITING = 100
MOMENT = timedelta(microseconds=1)
# However small the grace: what a planner that is at its work notices within this is on time.
SHORTEST_GRACE = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A job whose next fire time, `cursor`, has come, and what its policies need to know.

    `waiting`: its scheduled executions that wait; `unfinished`: those and the running ones.
    """

    job_id: int
    schedule: Schedule
    cursor: datetime
    catch_up: str = "latest"
    grace: timedelta = timedelta(seconds=60)
    overlap: str = "queue"
    max_concurrent: int = 1
    jitter_seconds: int = 0
    start_delay: timedelta = timedelta(0)
    priority: int = 5
    queue: str = "default"
    waiting: int = 0
    unfinished: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class JobPlan:
    """The rows for the ledger and the new cursor (None: the schedule names no more)."""

    rows: list[Planned]
    next_run_at: datetime | None


@dataclass(kw_only=True, slots=True)
class _Pen:
    """Collects rows; a run of skipped fire times with one reason becomes one row."""

    due: Due
    rows: list[Planned]
    waiting: int
    unfinished: int

    def run(self, at: datetime) -> None:
        self.rows.append(
            Planned(
                job_id=self.due.job_id,
                scheduled_at=at,
                due_at=at + self.due.start_delay + jitter(self.due.job_id, at, self.due.jitter_seconds),
                priority=self.due.priority,
                queue=self.due.queue,
            )
        )
        self.waiting += 1
        self.unfinished += 1

    def skip(self, at: datetime, reason: str, *, until: datetime | None = None, count: int = 1) -> None:
        last = self.rows[-1] if self.rows else None
        if last is not None and last.status == SKIPPED and last.reason == reason:
            at, count = last.scheduled_at, (last.skipped_count or 1) + count
            until = until or self._end(last, at)
            self.rows.pop()
        self.rows.append(
            Planned(
                job_id=self.due.job_id,
                scheduled_at=at,
                status=SKIPPED,
                reason=reason,
                priority=self.due.priority,
                queue=self.due.queue,
                skipped_until=until if count > 1 else None,
                skipped_count=count if count > 1 else None,
            )
        )

    @staticmethod
    def _end(last: Planned, at: datetime) -> datetime:
        return last.skipped_until or at


def plan_job(due: Due, now: datetime) -> JobPlan:
    """Judge every fire time from the cursor to now, at most 100 runs a pass.

    1. Fire times later than the grace are misfires: with `none` they are skipped, with
       `latest` all but the newest fire time are, with `all` they run as there is room.
    2. What is on time runs, unless its calendar closes the day, older ones are unfinished
       and the policy says skip, or 100 wait already.
    3. What was not reached stays due: the cursor says where to go on.
    """
    pen = _Pen(due=due, rows=[], waiting=due.waiting, unfinished=due.unfinished)
    first = _at_cursor(due)
    if due.schedule.kind == "one_time":
        pen.run(first.at)
        return JobPlan(rows=pen.rows, next_run_at=None)
    at = first if due.catch_up == "all" else _pass_misfires(pen, first, now)
    planned = 0
    while at is not None and at.at <= now and planned < MAX_PER_PASS:
        if pen.waiting >= MAX_WAITING and due.catch_up == "all" and not at.closed:
            break
        _settle(pen, at)
        planned += 1
        at = next_occurrence(due.schedule, at.at)
    return JobPlan(rows=pen.rows, next_run_at=None if at is None else at.at)


def _at_cursor(due: Due) -> Occurrence:
    """The occurrence at the cursor; a time that SQL or a reschedule set need not be on the schedule."""
    found = next_occurrence(due.schedule, due.cursor - MOMENT)
    if found is not None and found.at == due.cursor:
        return found
    return Occurrence(at=due.cursor)


def _pass_misfires(pen: _Pen, first: Occurrence, now: datetime) -> Occurrence | None:
    """Answer for the late fire times in one row; answers the first one that is on time."""
    due = pen.due
    boundary = now - max(due.grace, SHORTEST_GRACE)
    if first.at >= boundary:
        return first
    late = backlog(due.schedule, first.at, boundary - MOMENT, newest=1)
    last = late.last or first
    count = late.count + 1
    following = next_occurrence(due.schedule, last.at)
    runs = due.catch_up == "latest" and (following is None or following.at > now)
    newest = (late.newest_open or (None if first.closed else first)) if runs else None
    if newest is None:
        pen.skip(first.at, "misfire", until=last.at, count=count)
        return following
    before = backlog(due.schedule, first.at, newest.at - MOMENT, newest=1)
    if newest.at > first.at:
        ends = before.last.at if before.last else first.at
        pen.skip(first.at, "misfire", until=ends, count=before.count + 1)
    _settle(pen, newest)
    after = count - before.count - 1 - (1 if newest.at > first.at else 0)
    if after > 0:
        rest = next_occurrence(due.schedule, newest.at)
        assert rest is not None
        pen.skip(rest.at, "calendar", until=last.at, count=after)
    return following


def _settle(pen: _Pen, occurrence: Occurrence) -> None:
    due = pen.due
    if occurrence.closed:
        pen.skip(occurrence.at, "calendar", until=occurrence.at)
    elif due.overlap == "skip" and pen.unfinished >= due.max_concurrent:
        pen.skip(occurrence.at, "overlap", until=occurrence.at)
    elif pen.waiting >= MAX_WAITING:
        pen.skip(occurrence.at, "backlog", until=occurrence.at)
    else:
        pen.run(occurrence.at)


__all__ = ["MAX_PER_PASS", "MAX_WAITING", "PENDING", "Due", "JobPlan", "plan_job"]
