"""`manage.py demo`: the whole product on one machine, for a newcomer. `make run` calls it."""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from accounts.models import User
from executions import workers
from executions.engine import clock

HOST = "127.0.0.1"
ADMIN = "admin@example.com"
NEW_PASSWORD = f"SETTINGS_PROFILE=demo .venv/bin/python manage.py changepassword {ADMIN}"
START_SECONDS = 60
GRACE_SECONDS = 5
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


class Command(BaseCommand):
    """Prepares a database with demo data, then runs web and scheduler until Ctrl-C ends both."""

    help = "Prepare demo data, then run web and scheduler on this machine until Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_taken_port(settings.PORT)
        self.say("Preparing the database …")
        call_command("prepare_database", verbosity=0)
        call_command("seed", demo=True, verbosity=0)
        password = find_or_make_admin()
        self.tell_of_others()
        connections.close_all()
        with interruptible() as interruptions:
            children = {"web": start_web(), "scheduler": start("manage.py", "run_scheduler")}
            try:
                wait_until_it_answers(children, interruptions)
                if not interruptions:
                    self.greet(password)
                watch(children, interruptions)
                seconds = settings.SHUTDOWN_TIMEOUT_SECONDS
                self.say(f"Finishing what runs, for {seconds} s at most. Ctrl-C again cuts it short.")
            finally:
                end(children, interruptions)
        self.say("Stopped.")

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def tell_of_others(self) -> None:
        """Two schedulers on one database are welcome, but seldom what a newcomer wants."""
        for other in workers.live_rows(clock.now()):
            self.say(f"Another scheduler was heard here a moment ago, {other.id}. Both would share the jobs.")

    def greet(self, password: str | None) -> None:
        """Tell where to look, and the password when this start made it."""
        here = f"http://{HOST}:{settings.PORT}"
        known = f"as printed at the first start; another one is set by\n{' ' * 13}{NEW_PASSWORD}"
        if settings.ADMIN_PASSWORD:
            known = "as set in ADMIN_PASSWORD"
        self.say(
            f"""
The scheduler runs. Jobs fire every minute; have a look:

  Admin      {here}/{settings.ADMIN_PATH}
             {settings.ADMIN_EMAIL or ADMIN}, password {password or known}
  API        {here}/api           (Swagger UI; no token needed on this machine)
  Health     {here}/api/v1/health
  Reports    {settings.EXPORT_DIRECTORY}

Ctrl-C stops web and scheduler.
"""
        )


def refuse_taken_port(port: int) -> None:
    """Raise CommandError when something on this machine listens on the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise CommandError(
                f"Port {port} cannot be used ({error.strerror}). Stop what uses it, or choose another: "
                f"PORT={port + 1 if port < 65535 else 8000} make run"
            ) from error


def find_or_make_admin() -> str | None:
    """Make the demo's superuser where there is none at all; the password is answered that one time."""
    if User.objects.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(9)
    User.objects.create_superuser(ADMIN, password, name="Demo administrator")
    return password


def start_web() -> subprocess.Popen[bytes]:
    """gunicorn, on this machine only unless WEB_HOST says otherwise."""
    return start("-m", "gunicorn", WEB_HOST=os.environ.get("WEB_HOST", HOST))


def start(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start a program of ours in a session of its own: Ctrl-C reaches it once, through us.

    Where the system can do it (Linux), the program ends with us even when we are killed.
    """
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=settings.BASE_DIR,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_end_with_parent(),
    )


def _end_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(DIE_WITH_PARENT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """A list that grows by each SIGINT or SIGTERM that arrives inside the block."""
    received: list[int] = []
    old = {
        number: signal.signal(number, lambda got, _frame: received.append(got))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def wait_until_it_answers(children: dict[str, subprocess.Popen[bytes]], interruptions: list[int]) -> None:
    """Return when the web process answers, or somebody interrupts. Raises CommandError when it does not."""
    end_at = time.monotonic() + START_SECONDS
    while not interruptions:
        refuse_dead_child(children)
        try:
            with urllib.request.urlopen(f"http://{HOST}:{settings.PORT}/api/v1/health/live", timeout=2):
                return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return
        except (OSError, HTTPException):
            pass  # not yet
        if time.monotonic() > end_at:
            raise CommandError(f"The web process does not answer after {START_SECONDS} s.")
        time.sleep(0.1)


def watch(children: dict[str, subprocess.Popen[bytes]], interruptions: list[int]) -> None:
    """Return at the first interruption; raises CommandError when a child ends by itself."""
    while not interruptions:
        refuse_dead_child(children)
        time.sleep(0.2)


def refuse_dead_child(children: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, child in children.items():
        code = child.poll()
        if code is not None:
            raise CommandError(
                f"The {name} process ended by itself with code {code}; the other one is stopped too."
            )


def end(children: dict[str, subprocess.Popen[bytes]], interruptions: list[int]) -> None:
    """End the children: work in hand is finished first, a second interruption cuts it short."""
    for child in children.values():
        _signal(child, signal.SIGTERM)
    already = len(interruptions)
    end_at = time.monotonic() + settings.SHUTDOWN_TIMEOUT_SECONDS + GRACE_SECONDS
    while any(child.poll() is None for child in children.values()):
        if len(interruptions) > already:
            already = len(interruptions)
            for child in children.values():
                _signal(child, signal.SIGTERM)
        if time.monotonic() > end_at:
            for child in children.values():
                _signal(child, signal.SIGKILL)
        time.sleep(0.05)


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    if child.poll() is None:
        child.send_signal(number)
