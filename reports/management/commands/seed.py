"""`manage.py seed`: the two standard jobs and sample transactions; with --demo also a lively demo."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from executions import operations
from executions.engine import clock
from jobs.audit import COMMAND_LINE
from jobs.models import Job, Origin
from reports.seed import plant_transactions

STANDARD = (
    {
        "name": "process-transactions",
        "cron_expression": "0 36 17 * * *",
        "description": "Completes all pending transactions.",
    },
    {
        "name": "generate-daily-reports",
        "cron_expression": "0 18 17 * * *",
        "description": "Writes yesterday's transactions to a CSV file.",
    },
)


def demo_jobs() -> tuple[dict[str, Any], ...]:
    """Jobs that fire every minute or so, so that a newcomer sees work at once."""
    return (
        {
            "name": "demo-transactions-arrive",
            "cron_expression": "*/20 * * * * *",
            "handler": "demo-transactions-arrive",
            "description": "Lets new pending transactions arrive.",
        },
        {
            "name": "demo-process-transactions",
            "cron_expression": "30 * * * * *",
            "handler": "process-transactions",
            "description": "Completes what has arrived, every minute.",
        },
        {
            "name": "demo-daily-report",
            "cron_expression": "45 */2 * * * *",
            "handler": "generate-daily-reports",
            "description": "Writes yesterday's transactions to a CSV file, every other minute.",
        },
        {
            "name": "demo-http-call",
            "cron_expression": "15 * * * * *",
            "api_endpoint": f"http://127.0.0.1:{settings.PORT}/dummy",
            "description": "Calls an address of this machine, every minute.",
        },
        {
            "name": "demo-fails-sometimes",
            "cron_expression": "0 */5 * * * *",
            "handler": "default",
            "payload": {"shouldFail": True},
            "retry_policy": {"maxRetries": 1, "initialDelayMs": 5000},
            "description": "Fails, is tried once more, and ends as a dead letter to look at.",
        },
    )


class Command(BaseCommand):
    """Idempotent: jobs are known by their name, transactions go into an empty table only."""

    help = "Create the standard jobs and sample transactions where they are missing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="also jobs that fire every minute")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = [*STANDARD, *(demo_jobs() if options["demo"] else ())]
        made = [values["name"] for values in wanted if self._make(values)]
        planted = plant_transactions(clock.now())
        if options["verbosity"]:
            self.stdout.write(f"jobs made: {', '.join(made) or 'none'}; transactions made: {planted}")

    def _make(self, values: dict[str, Any]) -> bool:
        found = Job.objects.present().filter(name=values["name"], user=None).first()
        if found is not None:
            _follow_port(found, values.get("api_endpoint"))
            return False
        job = Job(origin=Origin.SEED, **{"headers": {}, "payload": {}, **values})
        operations.create(job, by=COMMAND_LINE)
        return True


def _follow_port(job: Job, address: str | None) -> None:
    """A demo that was started on another port calls itself there, unless somebody changed its job."""
    ours = re.fullmatch(r"http://127\.0\.0\.1:\d+/dummy", job.api_endpoint or "")
    if address is not None and job.origin == Origin.SEED and ours and job.api_endpoint != address:
        operations.update(job, {"api_endpoint": address}, by=COMMAND_LINE)
