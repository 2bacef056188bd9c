"""`manage.py healthcheck`: what a container's health check runs."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from executions import healthcheck


class Command(BaseCommand):
    """Exit code 0 when this host's web or scheduler process does its work, else 1 and the reason."""

    requires_system_checks = []  # it runs every few seconds and looks at nothing that they judge

    help = (
        "Check the web process (it answers /api/v1/health) or the scheduler of this host (its last pass is"
        " younger than 60 s). Without an argument: the one that the container was started as, else the"
        " scheduler where one of this host is known, else the web process."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", nargs="?", choices=healthcheck.CHOICES)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(healthcheck.check(options["role"]))
        except healthcheck.Unhealthy as problem:
            raise CommandError(str(problem)) from problem
