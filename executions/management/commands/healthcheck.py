"""`manage.py healthcheck`: what a container's health check runs."""

from __future__ import annotations

import http.client
import json
import socket
from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseProblem

from executions.engine import clock
from executions.models import Instance, InstanceStatus

WEB, SCHEDULER = "web", "scheduler"
ROLES = {WEB: WEB, "gunicorn": WEB, SCHEDULER: SCHEDULER, "run_scheduler": SCHEDULER, "worker": SCHEDULER}
OLDEST_PASS = timedelta(seconds=60)
TIMEOUT = 5.0
HEALTH = "/api/v1/health"


class Command(BaseCommand):
    """Exit code 0 when this host's web or scheduler process does its work, else 1 and the reason."""

    requires_system_checks = []  # it runs every few seconds and looks at nothing that they judge

    help = (
        "Check the web process (it answers /api/v1/health) or the scheduler of this host (its last pass is"
        " younger than 60 s). Without an argument: the one that the container was started as, else the"
        " scheduler where one of this host is known, else the web process."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", nargs="?", choices=[WEB, SCHEDULER])

    def handle(self, *args: Any, **options: Any) -> None:
        role = options["role"] or started_as(Path("/proc/1/cmdline"))
        if role == WEB:
            self.stdout.write(check_web())
            return
        try:
            row = find_instance(socket.gethostname())
            if role is None and row is None:
                self.stdout.write(check_web())
            else:
                self.stdout.write(check_scheduler(row))
        except DatabaseProblem as problem:
            raise CommandError(f"the database does not answer: {problem}") from problem


def started_as(command_line: Path) -> str | None:
    """What the container's first process was told to be, if it says so."""
    try:
        words = command_line.read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    return next((ROLES[name] for word in words if (name := word.rpartition("/")[2]) in ROLES), None)


def find_instance(hostname: str) -> Instance | None:
    """The newest process of this host that has not left."""
    rows = Instance.objects.filter(status=InstanceStatus.ACTIVE, metadata__hostname=hostname)
    return rows.order_by("-created_at", "-id").first()


def check_scheduler(row: Instance | None) -> str:
    """Raises CommandError unless the process's last pass is young; answers in words."""
    if row is None:
        raise CommandError("no scheduler of this host is running")
    age = clock.now() - row.last_heartbeat
    oldest = max(OLDEST_PASS, timedelta(seconds=2 * settings.SCHEDULER_HEARTBEAT_SECONDS))
    if age >= oldest:
        raise CommandError(f"the last pass of {row.id} was {age.total_seconds():.0f} s ago")
    return f"{row.id} is alive"


def check_web() -> str:
    """Raises CommandError unless the web process of this host is healthy; answers in words."""
    connection = http.client.HTTPConnection("127.0.0.1", settings.PORT, timeout=TIMEOUT)
    try:
        connection.request("GET", HEALTH, headers={"Host": allowed_host()})
        response = connection.getresponse()
        body = response.read(100_000)
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(f"the web process on port {settings.PORT} does not answer: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise CommandError(f"{HEALTH} answered {response.status}: {_told(body)}")
    return f"the web process on port {settings.PORT} is healthy"


def allowed_host() -> str:
    """A host name that this installation answers to."""
    named = [host.lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    return named[0] if named else "localhost"


def _told(body: bytes) -> str:
    try:
        told = json.loads(body)
    except ValueError:
        return "no JSON"
    return ", ".join(f"{name} {told[name]}" for name in ("status", "database", "message") if name in told)
