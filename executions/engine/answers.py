"""Rows that answer for fire times: those that run, and the stretches that nobody will run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

from executions import lifecycle
from executions.chart import SKIPPED
from executions.lifecycle import Planned
from executions.rows import Rows, fetch, read_moment
from jobs import schedules
from jobs.models import Job
from jobs.timing import Calendar, Schedule, backlog
from jobs.timing.coverage import Stretch

MOMENT = schedules.MOMENT


def write(rows: Sequence[Planned], read: Mapping[int, Schedule | None], now: datetime) -> set[UUID]:
    """Write rows to the ledger; answers the ids of the new ones.

    A row that stands for a stretch of fire times is cut where the ledger has answers already, so that each
    fire time of it is answered for once. `read`: the schedules by job; None where it cannot be read.
    """
    written: set[UUID] = set()
    left = list(rows)
    while left:
        left = _cut(left, read)
        new = lifecycle.plan(left, now)
        written |= new
        # Another process answered for its first fire time in between: what is left of it is cut again.
        left = [row for row in left if row.id not in new and row.skipped_until is not None]
    return written


def _cut(rows: Sequence[Planned], read: Mapping[int, Schedule | None]) -> list[Planned]:
    stretches = [row for row in rows if row.skipped_until is not None]
    known = _answered(stretches) if stretches else {}
    return [
        part
        for row in rows
        for part in (_parts(row, known[row.id], read.get(row.job_id)) if row.id in known else (row,))
    ]


def _answered(rows: Sequence[Planned]) -> dict[UUID, list[Stretch]]:
    """What the ledger says already within these stretches, in order of time; none: left out."""
    values = Rows(
        "v",
        {"key": "uuid", "job_id": "bigint", "start": "timestamptz", "until": "timestamptz"},
        ((row.id, row.job_id, row.scheduled_at, row.skipped_until) for row in rows),
    )
    found: dict[UUID, list[Stretch]] = {}
    by_text = {row.id.hex: row.id for row in rows}
    answers = fetch(
        f"""
        SELECT v.key, e.scheduled_at, e.skipped_until FROM {values.sql}
        JOIN job_executions AS e ON e.job_id = v.job_id AND e.trigger = 'schedule'
            AND e.scheduled_at >= v.start AND e.scheduled_at <= v.until
        ORDER BY e.scheduled_at
        """,
        values.params,
    )
    for key, start, until in answers:
        first = read_moment(start)
        assert first is not None
        row_id = by_text[str(key).replace("-", "")]
        found.setdefault(row_id, []).append((first, read_moment(until) or first))
    return found


def _parts(row: Planned, answered: Sequence[Stretch], schedule: Schedule | None) -> Iterator[Planned]:
    """What is left of a stretch between the answers that stand in it."""
    assert row.skipped_until is not None
    start = row.scheduled_at
    for first, last in answered:
        if start < first:
            yield from _part(row, start, first - MOMENT, schedule)
        start = max(start, last + MOMENT)
    if start <= row.skipped_until:
        yield from _part(row, start, row.skipped_until, schedule)


def _part(row: Planned, start: datetime, until: datetime, schedule: Schedule | None) -> Iterator[Planned]:
    first, last, count = start, until, row.skipped_count or 1
    if schedule is not None:
        within = backlog(schedule, start - MOMENT, until)
        # The stretch may begin at a time that the schedule does not name (SQL or a reschedule set it).
        odd = start == row.scheduled_at and (within.first is None or within.first.at > start)
        count = within.count + odd
        if not count:
            return
        first = start if odd or within.first is None else within.first.at
        last = within.last.at if within.last is not None else start
    several = last > first
    yield replace(
        row,
        id=row.id if first == row.scheduled_at else uuid4(),
        scheduled_at=first,
        skipped_until=last if several else None,
        skipped_count=count if several else None,
    )


def answer_for_unplanned(
    job: Job,
    calendars: Mapping[str, Calendar] | None,
    until: datetime,
    *,
    start: datetime | None = None,
    reason: str = "rescheduled",
    now: datetime | None = None,
) -> int:
    """SKIPPED rows for the fire times that the planned schedule names from the cursor to `until`.

    For an edit, a reschedule or a resume: nothing that was promised is left without an answer. Answers
    how many rows that took. `until` may lie ahead; `now` then says what time it is. `start`: from where,
    if not from the first fire time that nobody answered for.
    """
    cursor = start or schedules.owed_from(job)
    if cursor is None or cursor > until:
        return 0
    schedule, count, last = _owed(job, calendars, cursor, until)
    row = Planned(
        job_id=job.id,
        scheduled_at=cursor,
        status=SKIPPED,
        reason=reason,
        priority=job.priority,
        queue=job.queue,
        skipped_until=last if last > cursor else None,
        skipped_count=count if last > cursor else None,
    )
    return len(write([row], {job.id: schedule}, now or until))


def _owed(
    job: Job, calendars: Mapping[str, Calendar] | None, cursor: datetime, until: datetime
) -> tuple[Schedule | None, int, datetime]:
    """The planned schedule, how many fire times it names from the cursor to `until`, and the last of them.

    Where it cannot be read any more, all of the time up to `until` is answered for.
    """
    try:
        schedule = schedules.read(job, calendars, planned=True)
        missed = backlog(schedule, cursor, until)
    except (ValueError, OverflowError):
        return None, 1, until
    return schedule, missed.count + 1, missed.last.at if missed.last is not None else cursor


def close_account(
    job: Job, calendars: Mapping[str, Calendar] | None, now: datetime, *, reason: str = "rescheduled"
) -> None:
    """The planned schedule ends now: what it still owes is answered for, and what comes is open again."""
    answer_for_unplanned(job, calendars, now, reason=reason)
    promise_again(job, now + MOMENT, calendars)


def promise_again(job: Job, start: datetime, calendars: Mapping[str, Calendar] | None = None) -> None:
    """Fire times from `start` on are the planner's again: stretches that answered for them end before it.

    For a next run that moves back: what an earlier move passed over comes after all.
    """
    try:
        schedule = schedules.read(job, calendars, planned=True)
    except (ValueError, OverflowError):
        return
    for key, first in lifecycle.skipped_beyond(job.id, start):
        rest = backlog(schedule, first, max(start - MOMENT, first))
        last = rest.last.at if rest.last is not None else None
        lifecycle.shorten(key, until=last, count=rest.count + 1)
