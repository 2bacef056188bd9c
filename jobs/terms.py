"""What a job's schedule was, and when: the stretches of its past in which one definition was in force."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jobs import schedules, versions
from jobs.models import Job, JobState, JobVersion, ScheduleType
from jobs.timing import Calendar, Schedule, backlog, between
from jobs.timing.coverage import Stretch, count_fires, uncovered

EVER = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = datetime(9998, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Term:
    """One definition of a job while it was in force, from `start` to `end` (NEVER: still).

    `schedule` is None where it could not be read: then it names nothing.
    """

    kind: str
    schedule: Schedule | None
    start: datetime
    end: datetime = NEVER

    def fire_times(self, start: datetime, end: datetime, limit: int) -> list[datetime]:
        """The first `limit` fire times from `start` up to and with `end` that this definition owed."""
        after, until = self._within(start, end)
        if self.schedule is None or until <= after:
            return []
        return [found.at for found in between(self.schedule, after, until, limit)]

    def last_before(self, at: datetime) -> datetime | None:
        """The last fire time before a moment."""
        after, until = self._within(EVER, at - schedules.MOMENT)
        if self.schedule is None or until <= after:
            return None
        found = backlog(self.schedule, after, until).last
        return found.at if found else None

    def count(self, start: datetime, end: datetime) -> int:
        """How many there are."""
        after, until = self._within(start, end)
        return count_fires(self.schedule, after, until) if self.schedule and until > after else 0

    def unanswered(
        self, start: datetime, end: datetime, *, points: Collection[datetime], stretches: list[Stretch]
    ) -> Iterator[datetime]:
        """Those of them that neither a point nor a stretch covers."""
        after, until = self._within(start, end)
        if self.schedule is None or until <= after:
            return iter(())
        return uncovered(self.schedule, after, until, points=points, stretches=stretches)

    def _within(self, start: datetime, end: datetime) -> tuple[datetime, datetime]:
        """The part of a window that is this definition's: strictly after one moment, not after the other.

        A cron job is planned from the moment after its change, a recurring one from that very moment
        (`schedules.first_run`), and a one-time job runs at its time even if that had passed.
        """
        after = start - schedules.MOMENT
        if self.kind == ScheduleType.CRON:
            after = max(after, self.start)
        elif self.kind == ScheduleType.RECURRING:
            after = max(after, self.start - schedules.MOMENT)
        return after, min(end, self.end)


def read_terms(jobs: Collection[Job], *, now: datetime) -> dict[int, list[Term]]:
    """Each job's definitions in order of time; two queries for any number of jobs.

    Calendars are as they are now. A job that SQL made and no scheduler has looked at yet has the
    definition of its row, from now on if it is active.
    """
    rows = list(JobVersion.objects.filter(job__in=[job.id for job in jobs]).order_by("job_id", "version"))
    names = {name for row in rows if (name := row.definition.get("calendar_id"))}
    days = schedules.days_of(names | {job.calendar_id for job in jobs if job.calendar_id})
    found: dict[int, list[Term]] = {job.id: [] for job in jobs}
    for row in rows:
        found[row.job_id].append(_term(row, days))
    for job in jobs:
        if not found[job.id]:
            found[job.id].append(_unversioned(job, days, now))
    return found


def _term(row: JobVersion, days: Mapping[str, Calendar]) -> Term:
    values = versions.restore(row)
    return Term(
        kind=values["schedule_type"] or ScheduleType.CRON,
        schedule=None if versions.problem_of(row) else _read(values, days),
        start=row.valid_from,
        end=row.valid_to or NEVER,
    )


def _unversioned(job: Job, days: Mapping[str, Calendar], now: datetime) -> Term:
    values = {name: getattr(job, name) for name in versions.DEFINITION}
    start = now if job.state == JobState.ACTIVE else job.created_at
    return Term(kind=job.schedule_type, schedule=_read(values, days), start=start)


def _read(values: Mapping[str, Any], days: Mapping[str, Calendar]) -> Schedule | None:
    kind = values["schedule_type"] or ScheduleType.CRON
    if kind == ScheduleType.ONE_TIME and values["scheduled_at"] is None:
        return None
    try:
        return schedules.build(
            kind=kind,
            cron_expression=values["cron_expression"],
            recurrence_pattern=values["recurrence_pattern"],
            timezone=values["timezone"],
            scheduled_at=values["scheduled_at"],
            start_at=values["start_at"],
            end_at=values["end_at"],
            calendar=days.get(values["calendar_id"] or ""),
            shift=values["business_day_shift"] or "none",
        )
    except (ValueError, OverflowError):
        return None
