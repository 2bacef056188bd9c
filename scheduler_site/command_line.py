"""What `manage.py` does before and around Django's commands: one clear line instead of a traceback."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec


def run(arguments: Sequence[str]) -> None:
    """Run the command that `arguments` (with the program's name before them) ask for; may exit."""
    command = arguments[1] if len(arguments) > 1 else ""
    if command == "demo":  # open to its own machine; whatever is set by hand still wins
        os.environ.setdefault("SETTINGS_PROFILE", "demo")
    if command == "run_scheduler":  # asked to stop while it starts: there is nothing to give back yet
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
    _refuse_unknown_settings()
    if command == "healthcheck" and {"web", "scheduler"}.issuperset(arguments[2:]):
        from executions import healthcheck  # asked every few seconds: it needs no app

        sys.exit(healthcheck.main(arguments[2:]))
    _run_command(list(arguments))


def _refuse_unknown_settings() -> None:
    name = os.environ["DJANGO_SETTINGS_MODULE"]
    try:
        found = find_spec(name)
    except ModuleNotFoundError:
        found = None
    if found is None:
        sys.exit(f"DJANGO_SETTINGS_MODULE is {name}, and there is no such module here")


def _run_command(arguments: list[str]) -> None:
    from django.core.management import execute_from_command_line
    from django.db import Error

    from web import refusals

    try:
        execute_from_command_line(arguments)
    except Error as problem:
        if "--traceback" in arguments or not refusals.is_expected(problem):
            raise
        said = refusals.tell(problem)
        sys.exit(f"{said[0].upper()}{said[1:]} (--traceback shows where)")
