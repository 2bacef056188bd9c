"""What a container's health check costs: a processor that is short of time must still be able to answer it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOOK = """
import runpy, sys
sys.argv = ["manage.py", *sys.argv[1:]]
try:
    runpy.run_path("manage.py", run_name="__main__")
except SystemExit as end:
    print("ended with", end.code)
from django.apps import apps
print("apps were read" if apps.apps_ready else "no app was read")
"""


def ask(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOOK, *arguments],
        cwd=ROOT,
        env={"APP_ENV": "test", "PORT": "1", "SECRET_KEY": "a" * 40, "JWT_SECRET": "b" * 40} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["healthcheck", "web"], ["healthcheck", "scheduler"]])
def test_the_check_reads_no_app_and_says_what_is_wrong(arguments: list[str], tmp_path: Path) -> None:
    done = ask(*arguments, DATABASE_URL=f"sqlite:///{tmp_path}/none.sqlite3")
    assert done.stdout == "ended with 1\nno app was read\n", done
    assert done.stderr.count("\n") == 1
    assert "does not answer" in done.stderr or "is not migrated" in done.stderr


def test_settings_that_are_wrong_are_told_without_a_traceback() -> None:
    done = ask("healthcheck", "web", PORT="many")
    assert done.stdout.startswith("ended with 3\n"), done
    assert "PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_whatever_else_is_asked_for_is_a_command_like_any_other() -> None:
    done = ask("healthcheck", "everything")
    assert "invalid choice: 'everything'" in done.stderr
    assert "apps were read" in ask("healthcheck", "--help").stdout
