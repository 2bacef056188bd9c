"""Whether the web process or the scheduler of this host does its work: what a container's health check asks.

It is asked every few seconds of every container, so it reads the settings and no app: a quarter of the
processor time that a whole command of Django needs.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import warnings
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseProblem
from django.db import connection

from executions.engine import clock
from executions.rows import fetch, read_moment
from web import refusals

WEB, SCHEDULER = "web", "scheduler"
CHOICES = (WEB, SCHEDULER)
ROLES = {WEB: WEB, "gunicorn": WEB, SCHEDULER: SCHEDULER, "run_scheduler": SCHEDULER, "worker": SCHEDULER}
OLDEST_PASS = timedelta(seconds=60)
TIMEOUT = 5.0  # seconds
HEALTH = "/api/v1/health"


class Unhealthy(Exception):
    """The process does not do its work; the text says what is seen of it."""


class Instance(NamedTuple):
    """What the list of instances says of one process."""

    id: str
    last_heartbeat: datetime


def main(arguments: Sequence[str]) -> int:
    """The exit code of `manage.py healthcheck [web|scheduler]`, and one line that says why."""
    # Django wonders that somebody reads the database while no app is ready.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="django.db")
    try:
        said, code = check(arguments[0] if arguments else None), 0
    except (Unhealthy, ImproperlyConfigured) as problem:
        said, code = str(problem), 1
    (sys.stderr if code else sys.stdout).write(f"{said}\n")
    return code


def check(role: str | None = None) -> str:
    """Check `role`: without one, what the container was started as, else the scheduler where one of this
    host is known, else the web process. Answers in words.

    Raises Unhealthy.
    """
    role = role or started_as(Path("/proc/1/cmdline"))
    if role == WEB:
        return check_web()
    try:
        found = find_instance(socket.gethostname())
        if role is None and found is None:
            return check_web()
        return check_scheduler(found)
    except DatabaseProblem as problem:
        raise Unhealthy(refusals.tell(problem)) from problem


def started_as(command_line: Path) -> str | None:
    """What the container's first process was told to be, if it says so."""
    try:
        words = command_line.read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    return next((ROLES[name] for word in words if (name := word.rpartition("/")[2]) in ROLES), None)


def find_instance(hostname: str) -> Instance | None:
    """The newest process of this host that has not left."""
    postgresql = connection.vendor == "postgresql"
    told = "metadata->>'hostname'" if postgresql else "json_extract(metadata, '$.hostname')"
    rows = fetch(
        f"SELECT id, last_heartbeat FROM scheduler_metadata WHERE status = 'ACTIVE' AND {told} = %s"
        " ORDER BY created_at DESC, id DESC LIMIT 1",
        [hostname],
    )
    for name, heard in rows:
        moment = read_moment(heard)
        assert moment is not None  # the column is never NULL
        return Instance(name, moment)
    return None


def check_scheduler(found: Instance | None) -> str:
    """Answers in words when the process's last pass is young; raises Unhealthy."""
    if found is None:
        raise Unhealthy("no scheduler of this host is running")
    age = clock.now() - found.last_heartbeat
    oldest = max(OLDEST_PASS, timedelta(seconds=2 * settings.SCHEDULER_HEARTBEAT_SECONDS))
    if age >= oldest:
        raise Unhealthy(f"the last pass of {found.id} was {age.total_seconds():.0f} s ago")
    return f"{found.id} is alive"


def check_web() -> str:
    """Answers in words when the web process of this host is healthy; raises Unhealthy."""
    asked = http.client.HTTPConnection("127.0.0.1", settings.PORT, timeout=TIMEOUT)
    try:
        asked.request("GET", HEALTH, headers={"Host": _allowed_host()})
        response = asked.getresponse()
        body = response.read(100_000)
    except (OSError, http.client.HTTPException) as error:
        raise Unhealthy(f"the web process on port {settings.PORT} does not answer: {error}") from error
    finally:
        asked.close()
    if response.status != 200:
        raise Unhealthy(f"{HEALTH} answered {response.status}: {_told(body)}")
    return f"the web process on port {settings.PORT} is healthy"


def _allowed_host() -> str:
    """A host name that this installation answers to."""
    named = [host.lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    return named[0] if named else "localhost"


def _told(body: bytes) -> str:
    try:
        told = json.loads(body)
    except ValueError:
        return "no JSON"
    return ", ".join(f"{name} {told[name]}" for name in ("status", "database", "message") if name in told)
