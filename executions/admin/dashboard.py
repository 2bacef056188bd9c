"""The figures of the front page. The number of queries is constant, and none counts the ledger."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.urls import reverse

from executions import health, metrics, recent, statistics, waiting
from executions.admin import filters
from executions.models import WAITING, DeadLetter, Execution, Status
from jobs import forecast
from jobs.models import Job, JobState
from web.admin import shown
from web.admin.lists import CAP

ROWS = 8
HOURS = 24
FORECAST_SECONDS = 60
OUTCOMES = ("SUCCESS", "FAILED", "CANCELLED", "SKIPPED")
HEAT_CELL = 16
HEAT_LEFT = 34
HEAVY = ("payload", "result", "response_body", "job__payload", "job__headers", "job__metadata", "job__result")


def read_live(now: datetime) -> dict[str, Any]:
    """What changes from one refresh to the next, ready for its template."""
    picture = health.look(now)
    by_state = metrics.count_jobs()
    recently = metrics.count_recent(now)
    took, late = recent.read_spreads(now - timedelta(hours=24))
    letters = DeadLetter.objects.filter(resolved=False).order_by()[: CAP + 1].count()
    return {
        "now": shown.moment(now),
        "picture": picture,
        "state": shown.badge(picture.status),
        "sentence": _say(picture),
        "tiles": _tiles(picture, by_state, recently, letters),
        "processes": [_process(one, now) for one in picture.processes if one.alive][:ROWS]
        or [_process(one, now) for one in picture.processes][:3],
        "running": [_running(row, now) for row in _rows(Execution.objects.filter(status=Status.RUNNING))],
        "late": _late(now),
        "failures": [_failure(row, now) for row in _failed(now)],
        "spreads": [
            ("Duration", shown.duration(took.median), shown.duration(took.high), took.sample),
            ("Lateness", shown.duration(late.median), shown.duration(late.high), late.sample),
        ],
        "has_jobs": bool(by_state),
        "urls": _urls(),
    }


def _urls() -> dict[str, str]:
    executions = reverse("admin:executions_execution_changelist")
    return {
        "jobs": reverse("admin:jobs_job_changelist"),
        "add_job": reverse("admin:jobs_job_add"),
        "executions": executions,
        "running": f"{executions}?status=RUNNING",
        "late": f"{executions}?status=late",
        "failed": f"{executions}?status=FAILED&ended=24h",
        "letters": reverse("admin:executions_deadletter_changelist"),
        "instances": reverse("admin:executions_instance_changelist"),
    }


def _say(picture: health.Picture) -> str:
    if picture.status == health.ACTIVE:
        if not picture.queued:
            return "Everything that is due has started."
        waits = "1 due run waits" if picture.queued == 1 else f"{shown.number(picture.queued)} due runs wait"
        return f"The scheduler is at work; {waits}, and the list below says for what."
    if picture.status == health.STALLED:
        waits = shown.spell_span(picture.lag)
        return f"Work has waited {waits} though a slot is free: look at the processes and at the log."
    return "No scheduler is heard of: start one with manage.py run_scheduler."


def _tiles(
    picture: health.Picture, jobs: dict[str, int], recently: dict[str, int], letters: int
) -> list[dict[str, Any]]:
    urls = _urls()
    lag = picture.lag.total_seconds()
    good, bad = recently.get("SUCCESS", 0), recently.get("FAILED", 0)
    rate = f"{metrics.success_rate(good, bad)} % of {shown.number(good + bad)}"
    return [
        _tile("Running", picture.running, urls["running"], f"of {picture.slots} slots"),
        _tile("Late", picture.queued, urls["late"], f"lag {lag:.0f} s", bad=picture.status == health.STALLED),
        _tile("Failed, 24 h", bad, urls["failed"], "for good", bad=True),
        _tile(
            "Dead letters",
            min(letters, CAP),
            urls["letters"],
            "open",
            bad=True,
            more=letters > CAP,
        ),
        _tile("Succeeded, 24 h", good, f"{urls['executions']}?status=SUCCESS&ended=24h", rate),
        _tile(
            "Active jobs",
            jobs.get(JobState.ACTIVE, 0),
            f"{urls['jobs']}?state=active",
            f"{shown.number(sum(jobs.values()))} in all",
        ),
        _tile("Paused jobs", jobs.get(JobState.PAUSED, 0), f"{urls['jobs']}?state=paused", "until resumed"),
    ]


def _tile(
    title: str, value: int, url: str, note: str, *, bad: bool = False, more: bool = False
) -> dict[str, Any]:
    text = f"{shown.number(value)}{'+' if more else ''}"
    return {"title": title, "value": text, "url": url, "note": note, "bad": bad and value > 0}


def _process(one: health.Process, now: datetime) -> dict[str, Any]:
    return {
        "badge": shown.badge("active", "alive") if one.alive else shown.badge("inactive", "gone"),
        "role": one.role,
        "host": f"{one.hostname or ''} {one.pid or ''}".strip() or one.id[:18],
        "heartbeat": shown.relative(one.last_heartbeat, now),
        "processed": shown.number(one.processed),
        "url": reverse("admin:executions_instance_change", args=(one.id,)),
    }


def _rows(rows: Any) -> list[Execution]:
    return list(rows.select_related("job").defer(*HEAVY).order_by("-scheduled_at", "-id")[:ROWS])


def _running(row: Execution, now: datetime) -> dict[str, Any]:
    total, done = row.progress_total, row.progress_processed
    return {
        "name": shown.name(row.job.name, 50),
        "url": reverse("admin:executions_execution_change", args=(row.id,)),
        "since": shown.relative(row.executed_at, now),
        "attempt": row.attempt,
        "total": total,
        "done": min(done or 0, total) if total else done,
        "percent": round(min(100, 100 * (done or 0) / total)) if total else None,
    }


def _late(now: datetime) -> list[dict[str, Any]]:
    rows = list(
        Execution.objects.filter(status__in=WAITING, next_attempt_at__lte=now)
        .select_related("job")
        .defer(*HEAVY)
        .order_by("-priority", "next_attempt_at")[:ROWS]
    )
    words = waiting.waiting_for(rows, now)
    return [
        {
            "name": shown.name(row.job.name, 50),
            "url": reverse("admin:executions_execution_change", args=(row.id,)),
            "since": shown.spell_span(now - row.next_attempt_at) if row.next_attempt_at else "",
            "words": shown.name(words.get(row.id, ""), 120),
        }
        for row in rows
    ]


def _failed(now: datetime) -> list[Execution]:
    """The newest failures; by the index over states, whose order is that of fire times."""
    return list(
        Execution.objects.filter(status=Status.FAILED, scheduled_at__gte=now - timedelta(days=2))
        .select_related("job")
        .defer(*HEAVY)
        .order_by("-scheduled_at")[:ROWS]
    )


def _failure(row: Execution, now: datetime) -> dict[str, Any]:
    return {
        "name": shown.name(row.job.name, 50),
        "url": reverse("admin:executions_execution_change", args=(row.id,)),
        "when": shown.relative(row.completed_at, now),
        "reason": shown.name(row.error_message or row.get_reason_display() or "", 120),
    }


def read_chart(now: datetime) -> dict[str, Any]:
    """Executions per hour by outcome, for the chart and for the table that says the same."""
    start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    hours = [start + timedelta(hours=number) for number in range(HOURS)]
    counts = {outcome: [0] * HOURS for outcome in OUTCOMES}
    for one in statistics.by_hour(start):
        place = int((one.start - start).total_seconds() // 3600)
        if one.status in counts and 0 <= place < HOURS:
            counts[one.status][place] += one.count
    return {
        "labels": [f"{hour:%H}:00" for hour in hours],
        "series": [
            {"name": outcome.lower(), "counts": counts[outcome], "status": outcome} for outcome in OUTCOMES
        ],
        "hours": [f"{hour:{filters.HOUR}}" for hour in hours],
        "url": reverse("admin:executions_execution_changelist"),
    }


def read_heat(now: datetime) -> dict[str, Any]:
    """The next 24 hours as a map: a column an hour, a cell five minutes. Kept for a minute."""
    found = _predict(now)
    usual = _usual(found.counts)
    cells = [
        {
            "x": HEAT_LEFT + place // 12 * (HEAT_CELL * 2),
            "y": 4 + place % 12 * HEAT_CELL,
            "level": _level(count, usual),
            "over": found.start + (place + 1) * forecast.SLOT <= now,
            "title": f"{found.start + place * forecast.SLOT:%Y-%m-%d %H:%M} UTC: {_fire_times(count)}",
        }
        for place, count in enumerate(found.counts)
    ]
    return {
        "cells": cells,
        "cell": HEAT_CELL - 2,
        "cell_width": HEAT_CELL * 2 - 2,
        "width": HEAT_LEFT + 24 * HEAT_CELL * 2,
        "height": 12 * HEAT_CELL + 22,
        "hours": [
            {"x": HEAT_LEFT + number * HEAT_CELL * 2, "text": f"{found.start + timedelta(hours=number):%H}"}
            for number in range(0, 24, 2)
        ],
        "minutes": [
            {"y": 4 + number * HEAT_CELL + 11, "text": f":{number * 5:02d}"} for number in (0, 3, 6, 9)
        ],
        "levels": _legend(usual),
        "hot": [_hot(spot) for spot in found.hot_spots(now)],
        "estimated": shown.number(found.estimated) if found.estimated else "",
        "total": shown.number(sum(found.counts)),
    }


def _predict(now: datetime) -> forecast.Forecast:
    newest = Job.objects.order_by("-id").values_list("id", flat=True).first()  # a new job is seen at once
    key = f"dashboard-forecast-{now:%Y%m%d%H}-{newest}"
    found: forecast.Forecast | None = cache.get(key)
    if found is None:
        found = forecast.predict(now)
        cache.set(key, found, FORECAST_SECONDS)
    return found


def _usual(counts: list[int]) -> int:
    """What a slot with fire times usually holds; the colours tell what is more and what is less."""
    busy = sorted(count for count in counts if count)
    return busy[len(busy) // 2] if busy else 1


def _level(count: int, usual: int) -> int:
    """0 nothing, 1 and 2 less than usual, 3 usual, 4 from half as much again, 5 from twice as much."""
    if not count:
        return 0
    return next(level for level, least in reversed(_steps(usual)) if count >= least)


def _steps(usual: int) -> list[tuple[int, int]]:
    """The levels, each with the least count that has it."""
    return [(1, 1), (2, -(-usual // 2)), (3, usual), (4, -(-usual * 3 // 2)), (5, usual * 2)]


def _legend(usual: int) -> list[dict[str, Any]]:
    """The levels that can be told apart, each with where it begins."""
    least = {count: level for level, count in _steps(usual)}
    return [{"level": level, "least": shown.number(count)} for count, level in sorted(least.items())]


def _hot(spot: forecast.HotSpot) -> dict[str, Any]:
    return {
        "at": shown.moment(spot.at, seconds=False),
        "count": _fire_times(spot.count),
        "jobs": "1 job" if spot.jobs == 1 else f"{shown.number(spot.jobs)} jobs",
        "url": f"{reverse('admin:jobs_job_changelist')}?fires={spot.at:%Y-%m-%dT%H:%M}",
    }


def _fire_times(count: int) -> str:
    return "1 fire time" if count == 1 else f"{shown.number(count)} fire times"
