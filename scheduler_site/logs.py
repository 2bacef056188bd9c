"""Where log lines go: always to the console, and to files of one day each where LOG_DIRECTORY is set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

LEVELS = {"error": "ERROR", "warn": "WARNING", "info": "INFO", "debug": "DEBUG", "verbose": "DEBUG"}
APPS = ("web", "accounts", "jobs", "executions", "reports", "alerts", "scheduler_site")
# Shorter texts are words, not secrets, and would mask innocent lines.
SHORTEST_SECRET = 12


def configure(*, level: str, directory: Path | None, as_json: bool, secrets: Iterable[str]) -> dict[str, Any]:
    """The LOGGING setting: our own loggers at `level`, libraries at warning unless it is `verbose`.

    `secrets` are never written, wherever they turn up in a line.
    """
    known = frozenset(secret for secret in secrets if len(secret) >= SHORTEST_SECRET)
    handlers: dict[str, Any] = {
        "console": {"class": "logging.StreamHandler", "formatter": "json" if as_json else "short"},
    }
    if directory is not None:
        handlers["files"] = {
            "()": "scheduler_site.dated_files.DatedFiles",
            "directory": directory,
            "formatter": "json",
        }
    ours = {"level": LEVELS[level]}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {"()": "scheduler_site.log_lines.JsonLines", "known_secrets": known},
            "short": {"()": "scheduler_site.log_lines.ShortLines", "known_secrets": known},
        },
        "handlers": handlers,
        "root": {"level": _library_level(level), "handlers": list(handlers)},
        "loggers": {
            **dict.fromkeys(APPS, ours),
            "django": {"level": _library_level(level), "handlers": [], "propagate": True},
            # Refused requests are answers, not events; the metrics count them, and proxies log accesses.
            "django.request": {"level": "DEBUG" if level == "verbose" else "ERROR"},
            "gunicorn.access": {"level": "INFO" if level == "verbose" else "WARNING", "propagate": True},
            "gunicorn.error": {"level": "ERROR" if level == "error" else "INFO", "propagate": True},
        },
    }


def _library_level(level: str) -> str:
    return {"verbose": "DEBUG", "error": "ERROR"}.get(level, "WARNING")
