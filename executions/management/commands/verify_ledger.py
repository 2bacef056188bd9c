"""`manage.py verify_ledger --from --to`: is any fire time without an answer?"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from executions import ledger
from executions.engine import clock
from executions.management.commands.explain import read
from web.moments import format_moment, parse_since, parse_until
from web.progress import on_terminal


class Command(BaseCommand):
    """Recomputes the fire times of all jobs and compares them with the ledger."""

    help = (
        "Recompute the fire times of every job from --from to --to and report each one that the ledger"
        " does not answer for. Exit code 0 only when there is none."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from", dest="start", type=read(parse_since), required=True, help="a time, or a day"
        )
        parser.add_argument("--to", dest="end", type=read(parse_until), help="now")

    def handle(self, *args: Any, **options: Any) -> None:
        now = clock.now()
        end = options["end"] or now
        if end < options["start"]:
            raise CommandError("--to must not lie before --from")
        columns = (TextColumn("jobs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with on_terminal(*columns) as progress:
            task = progress.add_task("jobs", total=None)

            def tell(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            found = ledger.verify(options["start"], end, now=now, tell=tell)
        for job, at in found.missing:
            self.stdout.write(f"{format_moment(at)}  MISSING  {job.name} ({job.uuid})")
        unlisted = found.unanswered - len(found.missing)
        if unlisted:
            self.stdout.write(f"… and {unlisted} more")
        self.stdout.write(
            f"{found.jobs} jobs, {found.fire_times} fire times, {found.unplanned} due and not planned yet,"
            f" {found.unanswered} without an answer"
        )
        if found.unanswered:
            sys.exit(1)
