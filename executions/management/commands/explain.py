"""`manage.py explain JOB --at T`: why did it run, or not?"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from executions import ledger
from executions.engine import clock
from executions.ledger import Explanation
from jobs.lookup import NotFound, find_job
from jobs.models import Job
from web.moments import format_moment, parse_moment, parse_since, parse_until

MOST_UNSCHEDULED = 20


class Command(BaseCommand):
    """One line for every fire time, in order."""

    help = "Tell what became of a job's fire times: the one at --at, or all from --from to --to."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job", help="its id (also of a deleted job), or a name that only one job has")
        parser.add_argument("--at", type=read(parse_moment), help="a fire time (UTC unless it has an offset)")
        parser.add_argument("--from", dest="start", type=read(parse_since), help="a day before --to")
        parser.add_argument("--to", dest="end", type=read(parse_until), help="now")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            job = find_job(options["job"], deleted=True)
        except NotFound as error:
            raise CommandError(str(error)) from error
        now = clock.now()
        if options["at"] and (options["start"] or options["end"]):
            raise CommandError("--at goes without --from and --to")
        if options["at"]:
            found = ledger.explain_at(job, options["at"], now=now)
            self._show(found)
            if not any(answer.scheduled_at == options["at"] for answer in found.answers):
                self.stdout.write(f"{format_moment(options['at'])} is no fire time of {job.name}.")
            return
        start, end = ledger.find_window(options["start"], options["end"], now=now)
        if end <= start:
            raise CommandError("--to must not lie before --from")
        self._explain(job, start, end, now)
        self._show_unscheduled(job, start, end)

    def _explain(self, job: Job, start: datetime, end: datetime, now: datetime) -> None:
        following: datetime | None = start
        while following is not None:
            found = ledger.explain(job, following, end, now=now)
            if following == start and not found.answers:
                at = ledger.find_next(job, end, now=now)
                then = f"the next one is {format_moment(at)}" if at else "and none after it"
                window = f"from {format_moment(start)} to {format_moment(end - ledger.MILLISECOND)}"
                self.stdout.write(f"{job.name} has no fire time {window}; {then}.")
            self._show(found)
            following = found.next

    def _show_unscheduled(self, job: Job, start: datetime, end: datetime) -> None:
        runs = ledger.find_unscheduled(job, start, end)
        for run in runs[:MOST_UNSCHEDULED]:
            error = f": {run.error_message}" if run.error_message else ""
            self.stdout.write(
                f"{format_moment(run.created_at)}  not scheduled ({run.trigger})  {run.status}{error}"
            )
        more = runs.count() - MOST_UNSCHEDULED
        if more > 0:
            self.stdout.write(f"… and {more} more that were not scheduled")

    def _show(self, found: Explanation) -> None:
        for answer in found.answers:
            reason = f" {answer.reason}" if answer.reason else ""
            at = format_moment(answer.scheduled_at)
            self.stdout.write(f"{at}  {answer.outcome}{reason}: {answer.detail}")


def read(parse: Callable[[str], datetime]) -> Callable[[str], datetime]:
    """The parser of a time for argparse, which shows the reason of a refusal."""

    def parse_argument(text: str) -> datetime:
        try:
            return parse(text)
        except ValueError as error:
            raise ArgumentTypeError(f"{text!r}: {error}") from None

    return parse_argument
