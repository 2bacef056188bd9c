"""`manage.py simulate --from --to`: what the jobs would do, on a virtual clock."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from executions.engine import clock
from executions.simulation import Report, simulate
from executions.simulation.loading import load_jobs, load_situation
from jobs import manifest
from jobs.models import Job, JobState
from web.moments import parse_since
from web.progress import on_terminal

SHADES = " ▁▂▃▄▅▆▇█"


class Command(BaseCommand):
    """Stores nothing. Durations and failures are learned from the last 30 days of the ledger."""

    help = "Play a range of time with the real planner and policies; nothing is stored or called."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="start", required=True, help="RFC 3339 time, or a date: its begin")
        parser.add_argument("--to", dest="end", required=True, help="RFC 3339 time, or a date: its begin")
        parser.add_argument("--jobs", help="a YAML file of jobs instead of the active ones")
        parser.add_argument("--slots", type=int, default=settings.WORKER_CONCURRENCY)
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument(
            "--crash-rate", type=float, default=0.0, help="share of attempts whose worker dies"
        )
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        start, end = _range(options["start"], options["end"])
        if not 0 <= options["crash_rate"] < 1 or options["slots"] < 1:
            raise CommandError("--crash-rate must be from 0 to below 1, --slots at least 1")
        jobs, left_out = load_jobs(_jobs(options["jobs"]), start, now=clock.now())
        situation = load_situation(
            slots=options["slots"], seed=options["seed"], crash_rate=options["crash_rate"]
        )
        with _progress() as progress:
            span = (end - start).total_seconds()
            task = progress.add_task(f"{len(jobs)} jobs", total=span)

            def tell(now: datetime, report: Report) -> None:
                progress.update(task, completed=(now - start).total_seconds())

            report = simulate(jobs, start, end, situation=situation, tell=tell)
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict(slots=options["slots"]) | {"leftOut": left_out}))
            return
        self._show(report, left_out, options["slots"])

    def _show(self, report: Report, left_out: list[str], slots: int) -> None:
        console = Console(file=sys.stdout)
        table = Table(title="Simulation", show_header=False)
        for name, value in _figures(report).items():
            table.add_row(name, value)
        console.print(table)
        console.print(f"fire times by hour  {_sparkline(report)}")
        for at, count in report.hot_spots():
            console.print(f"hot spot  {at:%Y-%m-%d %H:%M} UTC  {count} fire times")
        for text in report.advice(slots=slots):
            console.print(f"advice    {text}", markup=False)
        for text in left_out[:20]:
            console.print(f"left out  {text}", markup=False)


def _range(start: str, end: str) -> tuple[datetime, datetime]:
    try:
        found = parse_since(start), parse_since(end)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if found[1] <= found[0]:
        raise CommandError("--to must lie after --from")
    return found


def _jobs(path: str | None) -> list[Job]:
    if path is None:
        return list(Job.objects.filter(state=JobState.ACTIVE).order_by("id"))
    try:
        return manifest.read_jobs(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"{path}: {error}") from error


def _progress() -> Progress:
    return on_terminal(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        transient=True,
    )


def _figures(report: Report) -> dict[str, str]:
    return {
        "fire times": str(report.fire_times),
        "started": str(report.started),
        "outcomes": _words(report.outcomes),
        "skipped": _words(report.skipped),
        "retries": str(report.retries),
        "crashes": str(report.crashes),
        "overlaps": _words(dict(report.overlaps.most_common(5))),
        "most running at once": str(report.most_running),
        "lateness p50 / p95 / max": (
            f"{report.percentile(0.5):.1f} s / {report.percentile(0.95):.1f} s / "
            f"{max(report.lateness, default=0.0):.1f} s"
        ),
        "unfinished at the end": str(report.unfinished),
    }


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def _sparkline(report: Report) -> str:
    hours = [count for _, count in sorted(report.per_hour.items())][:168]
    most = max(hours, default=1)
    return "".join(SHADES[round(count / most * (len(SHADES) - 1))] for count in hours)
