"""What a job's schedule was, and when: the stretches of its past in which one definition was in force."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jobs import models, schedules, versions
from jobs.models import BusinessDayShift, Job, JobState, JobVersion, ScheduleType
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

    Where a calendar moves fire times, each of its versions is a term of its own. A job that SQL made and no
    scheduler has looked at yet has the definition of its row, from now on if it is active.
    """
    rows = list(JobVersion.objects.filter(job__in=[job.id for job in jobs]).order_by("job_id", "version"))
    names = {name for row in rows if (name := row.definition.get("calendar_id"))}
    eras = _read_eras(names | {job.calendar_id for job in jobs if job.calendar_id})
    found: dict[int, list[Term]] = {job.id: [] for job in jobs}
    for row in rows:
        found[row.job_id] += _terms_of(row, eras)
    for job in jobs:
        if not found[job.id]:
            found[job.id] += _unversioned(job, eras, now)
    return found


@dataclass(frozen=True, kw_only=True)
class Era:
    """The days of a calendar up to a moment (NEVER: still); None where they could not be read."""

    until: datetime
    days: Calendar | None


ALWAYS = (Era(until=NEVER, days=None),)


def _read_eras(names: Collection[str]) -> dict[str, list[Era]]:
    rows = models.Calendar.objects.filter(name__in=names)
    columns = ("name", "past", "planned_definition", "definition")
    return {
        name: [
            *(Era(until=datetime.fromisoformat(until), days=schedules.read_days(old)) for until, old in past),
            Era(until=NEVER, days=schedules.read_days(definition if planned is None else planned)),
        ]
        for name, past, planned, definition in rows.values_list(*columns)
    }


def _terms_of(row: JobVersion, eras: Mapping[str, Sequence[Era]]) -> list[Term]:
    values, end = versions.restore(row), row.valid_to or NEVER
    if versions.problem_of(row):
        kind = values["schedule_type"] or ScheduleType.CRON
        return [Term(kind=kind, schedule=None, start=row.valid_from, end=end)]
    return _split(values, row.valid_from, end, eras)


def _unversioned(job: Job, eras: Mapping[str, Sequence[Era]], now: datetime) -> list[Term]:
    values = {name: getattr(job, name) for name in versions.DEFINITION}
    start = now if job.state == JobState.ACTIVE else job.created_at
    return _split(values, start, NEVER, eras)


def _split(
    values: Mapping[str, Any], start: datetime, end: datetime, eras: Mapping[str, Sequence[Era]]
) -> list[Term]:
    """One definition, cut where the days of its calendar changed, as far as they move fire times."""
    moves = (values["business_day_shift"] or BusinessDayShift.NONE) != BusinessDayShift.NONE
    known = eras.get(values["calendar_id"] or "", ALWAYS)
    terms: list[Term] = []
    for era in known if moves else known[-1:]:
        if era.until > start:
            schedule = _read(values, era.days)
            kind = values["schedule_type"] or ScheduleType.CRON
            terms.append(Term(kind=kind, schedule=schedule, start=start, end=min(end, era.until)))
            start = era.until
        if start >= end:
            break
    return terms


def _read(values: Mapping[str, Any], days: Calendar | None) -> Schedule | None:
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
            calendar=days,
            shift=values["business_day_shift"] or "none",
        )
    except (ValueError, OverflowError):
        return None
