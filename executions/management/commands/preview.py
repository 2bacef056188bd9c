"""`manage.py preview "CRON"`: what an expression means, and when it fires next."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from executions.engine import clock
from jobs.timing import Schedule, describe, preview, warnings


class Command(BaseCommand):
    """Reads nothing but the clock."""

    help = "Show in words what a cron expression means and its next fire times."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cron", help='five or six fields in quotes, as "*/5 9-17 * * MON-FRI"')
        parser.add_argument("--zone", default=settings.SCHEDULER_TIMEZONE, help="an IANA zone")
        parser.add_argument("--count", type=int, default=10, help="how many fire times (1 to 100)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["count"] <= 100:
            raise CommandError("--count must be from 1 to 100")
        schedule = Schedule(kind="cron", expression=options["cron"], zone=options["zone"])
        try:
            shown = preview(schedule, clock.now(), options["count"])
        except ValueError as error:
            raise CommandError(f"Invalid schedule: {error}") from error
        self.stdout.write(describe(schedule))
        for text in warnings(schedule):
            self.stdout.write(f"warning: {text}")
        for one in shown:
            local = one.local.isoformat(sep=" ", timespec="seconds")
            self.stdout.write(f"{local}  {one.at:%Y-%m-%d %H:%M:%S} UTC  {one.note}".rstrip())
