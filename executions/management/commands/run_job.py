"""`manage.py run_job JOB`: run a job now, through the same engine, and wait for its end."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from executions import operations
from executions.engine.config import read_config
from executions.engine.loop import Engine
from executions.models import Execution, ExecutionLog, Status
from jobs import definitions
from jobs.audit import COMMAND_LINE
from jobs.lookup import NotFound, find_job
from jobs.models import Job
from web.progress import on_terminal


class Command(BaseCommand):
    """The run is done by this process, unless a scheduler claims it first."""

    help = "Run a job now and wait for its end; exit code 0 only for SUCCESS."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job", help="its id, or a name that only one job has")
        parser.add_argument(
            "--param",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="a parameter over the job's payload; the value is JSON or plain text",
        )
        parser.add_argument("--follow", action="store_true", help="show progress and log lines")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            job = find_job(options["job"])
            payload = read_params(options["param"], job.payload) if options["param"] else None
        except (NotFound, ValueError) as error:
            raise CommandError(str(error)) from error
        execution_id = trigger(job, payload)
        engine = Engine(read_config(concurrency=1, plans=False), only=execution_id)
        with Follower(execution_id, job.name, shown=options["follow"]) as follower:
            engine.run_until(follower.look)
        self._report(Execution.objects.get(id=execution_id))

    def _report(self, execution: Execution) -> None:
        totals = f"{execution.total_processed} processed, {execution.total_failure} failed"
        words = f"{execution.status} after {execution.execution_duration_ms or 0} ms, {totals}"
        if execution.status == Status.SUCCESS:
            self.stdout.write(words)
            return
        self.stderr.write(f"{words}: {execution.error_message or execution.reason}")
        sys.exit(1)


def trigger(job: Job, payload: dict[str, Any] | None) -> UUID:
    """Plan the run; raises CommandError, with nothing written, where it could only fail here."""
    if obstacle := definitions.find_obstacle(job):
        raise CommandError(f"{job.name}: {obstacle}")
    if payload is not None and (problems := definitions.check_override(job, payload, staff=True)):
        raise CommandError("; ".join(f"{field}: {text}" for field, text in problems.items()))
    try:
        return operations.trigger(job, by=COMMAND_LINE, payload=payload)
    except operations.Refused as error:
        raise CommandError(f"{error}: {job.name} is {job.state}; resume or reschedule it first") from error


def read_params(pairs: list[str], payload: Any) -> dict[str, Any]:
    """The payload with `key=value` pairs laid over it; raises ValueError for a pair without `=`."""
    merged = dict(payload if isinstance(payload, dict) else {})
    for pair in pairs:
        key, found, text = pair.partition("=")
        if not found or not key:
            raise ValueError(f"--param {pair!r} must look like key=value")
        try:
            merged[key] = json.loads(text)
        except ValueError:
            merged[key] = text
    return merged


class Follower:
    """Looks at the execution's row; with `shown` as a progress bar and its log lines."""

    def __init__(self, execution_id: UUID, name: str, *, shown: bool) -> None:
        self._id = execution_id
        self._name = name
        self._last_line = 0
        self._bar = (
            on_terminal(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            if shown
            else None
        )
        self._task = self._bar.add_task(name, total=None) if self._bar else None

    def __enter__(self) -> Follower:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._bar:
            self._bar.stop()

    def look(self) -> bool:
        """Show what is new; answers whether the execution has ended."""
        execution = Execution.objects.get(id=self._id)
        if self._bar is not None and self._task is not None:
            done = execution.progress_processed or execution.total_processed
            total = execution.progress_total or (done if execution.is_final else None)
            self._bar.update(
                self._task,
                completed=done,
                total=total,
                description=f"{self._name} {execution.status}",
            )
            self._show_lines()
        return execution.is_final

    def _show_lines(self) -> None:
        assert self._bar is not None
        lines = ExecutionLog.objects.filter(execution_id=self._id, id__gt=self._last_line)
        for line in lines.order_by("id")[:100]:
            self._last_line = line.id
            self._bar.console.print(f"{line.log_level:5} {line.message}", markup=False)
