"""`manage.py prune`: delete at once what the settings no longer keep."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from executions import retention
from executions.engine import clock
from reports.retention import STEP_FILES, prune_exports
from web.progress import on_terminal


class Command(BaseCommand):
    """The same steps as the loop does, until nothing is left to delete."""

    help = (
        "Delete executions, logs, audit entries, exports and idempotency keys that are older than the"
        " settings keep (RETENTION_DAYS, RETENTION_PER_JOB, AUDIT_RETENTION_DAYS, EXPORT_RETENTION_DAYS)."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed}"), TimeElapsedColumn())
        with on_terminal(*columns) as progress:
            counts = {}
            for name, prune in retention.steps().items():
                task = progress.add_task(name, total=None)
                counts[name] = 0
                while True:
                    step = prune(clock.now())
                    counts[name] += step.rows
                    progress.update(task, completed=counts[name])
                    if not step.more:
                        break
            task = progress.add_task("exports", total=None)
            counts["exports"] = 0
            while done := prune_exports(clock.now()):
                counts["exports"] += done
                progress.update(task, completed=counts["exports"])
                if done < STEP_FILES:
                    break
        for name, count in counts.items():
            self.stdout.write(f"{name}: {count}")
