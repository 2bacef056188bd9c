"""How many fire times the coming hours hold, for all jobs together, in a bounded time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import TruncMinute

from jobs import schedules
from jobs.models import SCHEDULE_COLUMNS, Job, JobState
from jobs.timing import Schedule, between
from jobs.timing.backlog import backlog

SLOT = timedelta(minutes=5)
SLOTS = 24 * 12
# Fire times of one schedule that are walked; more are counted and spread evenly.
WALKED = 300
# Different schedules that are read, the most used first; the jobs of the others count with their next run.
MOST_SCHEDULES = 200


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Fire times per slot of five minutes from `start`; `estimated` jobs count with their next run only."""

    start: datetime
    counts: list[int]
    jobs: list[int]
    estimated: int = 0

    def hot_spots(self, now: datetime, most: int = 5) -> list[HotSpot]:
        """The fullest slots that are not over, in order of their fullness."""
        order = sorted(range(len(self.counts)), key=lambda place: (-self.counts[place], place))
        spots = (
            HotSpot(at=self.start + place * SLOT, count=self.counts[place], jobs=self.jobs[place])
            for place in order
            if self.counts[place]
        )
        return [spot for spot in spots if spot.at + SLOT > now][:most]


@dataclass(frozen=True, kw_only=True)
class HotSpot:
    """A slot, its fire times, and how many jobs they are of."""

    at: datetime
    count: int
    jobs: int


def predict(now: datetime) -> Forecast:
    """The fire times of the active jobs in the 24 hours from the full hour on."""
    start = now.replace(minute=0, second=0, microsecond=0)
    counts, jobs_in = [0.0] * SLOTS, [0] * SLOTS
    groups = list(_group())
    for schedule, jobs, _ in groups:
        if schedule is not None:
            _add(counts, jobs_in, schedule, jobs, start)
    estimated = 0
    if len(groups) == MOST_SCHEDULES:
        estimated = _scheduled().count() - sum(jobs for _, jobs, _ in groups)
    if estimated:
        _add_next_runs(counts, jobs_in, start, estimated)
    return Forecast(start=start, counts=[round(count) for count in counts], jobs=jobs_in, estimated=estimated)


def firing(start: datetime, end: datetime) -> Q:
    """The active jobs that fire from `start` on and before `end`, as far as `predict` reads their schedules;
    those of rarer schedules count with their next run."""
    found = Q(next_run_at__gte=start, next_run_at__lt=end)
    for schedule, _, columns in _group():
        if schedule is None:
            continue
        times = between(schedule, start - schedules.MOMENT, end - schedules.MOMENT, WALKED)
        if any(not one.closed for one in times):
            found |= Q(**{name: value for name, value in columns.items() if value is not None}) & Q(
                **{f"{name}__isnull": True for name, value in columns.items() if value is None}
            )
    return Q(state=JobState.ACTIVE, next_run_at__isnull=False) & found


def _group() -> Iterator[tuple[Schedule | None, int, dict[str, Any]]]:
    """The different schedules of active jobs, how many jobs have each, and its columns; the most used
    first."""
    names = ("schedule_type", "calendar_id", "business_day_shift", *SCHEDULE_COLUMNS)
    rows = list(_scheduled().values(*names).annotate(jobs=Count("id")).order_by("-jobs")[:MOST_SCHEDULES])
    calendars = schedules.days_of({row["calendar_id"] for row in rows if row["calendar_id"]})
    for row in rows:
        jobs = row.pop("jobs")
        yield _read(row, calendars), jobs, row


def _scheduled() -> QuerySet[Job]:
    return Job.objects.filter(state=JobState.ACTIVE, next_run_at__isnull=False).order_by()


def _read(row: dict[str, Any], calendars: dict[str, Any]) -> Schedule | None:
    try:
        return schedules.read(Job(**row), calendars)
    except ValueError:
        return None


def _add(counts: list[float], jobs_in: list[int], schedule: Schedule, jobs: int, start: datetime) -> None:
    end = start + SLOTS * SLOT
    found = between(schedule, start - schedules.MOMENT, end - schedules.MOMENT, WALKED + 1)
    if len(found) > WALKED:
        share = jobs * backlog(schedule, start - schedules.MOMENT, end - schedules.MOMENT).count / SLOTS
        for place in range(SLOTS):
            counts[place] += share
            jobs_in[place] += jobs
        return
    places = [int((one.at - start) / SLOT) for one in found if not one.closed]
    for place in places:
        counts[place] += jobs
    for place in set(places):
        jobs_in[place] += jobs


def _add_next_runs(counts: list[float], jobs_in: list[int], start: datetime, most: int) -> None:
    """What many different schedules add: the next runs of all jobs, scaled down to as many."""
    end = start + SLOTS * SLOT
    minutes = (
        _scheduled()
        .filter(next_run_at__gte=start, next_run_at__lt=end)
        .annotate(minute=TruncMinute("next_run_at", tzinfo=UTC))
        .values_list("minute")
        .annotate(Count("id"))
    )
    added = [0] * SLOTS
    for minute, count in minutes:
        added[int((minute - start) / SLOT)] += count
    scale = min(1.0, most / sum(added)) if any(added) else 0.0
    for place, count in enumerate(added):
        counts[place] += count * scale
        jobs_in[place] += round(count * scale)
