"""How many fire times the coming hours hold, for all jobs together, in a bounded time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count

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
    estimated: int = 0

    def hot_spots(self, most: int = 5) -> list[tuple[datetime, int]]:
        """The fullest slots, in order of their fullness."""
        order = sorted(range(len(self.counts)), key=lambda place: (-self.counts[place], place))
        return [
            (self.start + place * SLOT, self.counts[place]) for place in order[:most] if self.counts[place]
        ]


def predict(now: datetime) -> Forecast:
    """The fire times of the active jobs in the 24 hours from the full hour on."""
    start = now.replace(minute=0, second=0, microsecond=0)
    counts = [0.0] * SLOTS
    groups = list(_group())
    for schedule, jobs in groups[:MOST_SCHEDULES]:
        if schedule is not None:
            _add(counts, schedule, jobs, start)
    rest = groups[MOST_SCHEDULES:]
    estimated = sum(jobs for _, jobs in rest)
    if rest:
        _add_next_runs(counts, start, estimated)
    return Forecast(start=start, counts=[round(count) for count in counts], estimated=estimated)


def _group() -> Iterator[tuple[Schedule | None, int]]:
    """The different schedules of active jobs with how many jobs have each, the most used first."""
    names = ("schedule_type", "calendar_id", "business_day_shift", *SCHEDULE_COLUMNS)
    rows = list(
        Job.objects.filter(state=JobState.ACTIVE, next_run_at__isnull=False)
        .order_by()
        .values(*names)
        .annotate(jobs=Count("id"))
        .order_by("-jobs")[: MOST_SCHEDULES * 50]
    )
    calendars = schedules.days_of({row["calendar_id"] for row in rows if row["calendar_id"]})
    for place, row in enumerate(rows):
        jobs = row.pop("jobs")
        yield (_read(row, calendars) if place < MOST_SCHEDULES else None), jobs


def _read(row: dict[str, Any], calendars: dict[str, Any]) -> Schedule | None:
    try:
        return schedules.read(Job(**row), calendars)
    except ValueError:
        return None


def _add(counts: list[float], schedule: Schedule, jobs: int, start: datetime) -> None:
    end = start + SLOTS * SLOT
    found = between(schedule, start - schedules.MOMENT, end - schedules.MOMENT, WALKED + 1)
    if len(found) > WALKED:
        share = jobs * backlog(schedule, start - schedules.MOMENT, end - schedules.MOMENT).count / SLOTS
        for place in range(SLOTS):
            counts[place] += share
        return
    for one in found:
        if not one.closed:
            counts[int((one.at - start) / SLOT)] += jobs


def _add_next_runs(counts: list[float], start: datetime, most: int) -> None:
    """What many different schedules add, by the index of the next runs: a sample, scaled up."""
    end = start + SLOTS * SLOT
    times = list(
        Job.objects.filter(state=JobState.ACTIVE, next_run_at__gte=start, next_run_at__lt=end)
        .order_by("next_run_at")
        .values_list("next_run_at", flat=True)[:20_000]
    )
    scale = min(1.0, most / len(times)) if times else 0.0
    for at in times:
        counts[int((at - start) / SLOT)] += scale
