"""`manage.py` as somebody meets it who forgot something: one line that says what to do, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import postgres

ROOT = Path(__file__).resolve().parents[2]


def ask(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("words", ["explain nightly", "run_job nightly", "verify_ledger --from 2026-01-01"])
def test_a_database_without_tables_is_told_with_the_command_that_makes_them(
    database_url: str, words: str
) -> None:
    done = ask(*words.split(), DATABASE_URL=database_url)
    assert done.returncode == 1
    assert done.stderr.startswith("The database is not migrated (")
    assert "run manage.py prepare_database" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_traceback_may_be_asked_for(database_url: str) -> None:
    done = ask("explain", "nightly", "--traceback", DATABASE_URL=database_url)
    assert "Traceback" in done.stderr


def test_a_database_that_does_not_answer_is_told_without_a_traceback() -> None:
    address = f"postgresql://someone:hunter2hunter2@127.0.0.1:{postgres.free_port()}/name"
    done = ask("explain", "nightly", DATABASE_URL=address)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("The database does not answer: ")
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_settings_that_do_not_exist_are_named() -> None:
    done = ask("run_scheduler", DJANGO_SETTINGS_MODULE="my_setings")
    assert done.returncode == 1
    assert done.stderr == "DJANGO_SETTINGS_MODULE is my_setings, and there is no such module here\n"


def test_a_python_without_django_is_told_which_one_has_it() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(ROOT / "manage.py"), "explain", "nightly"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "`make install` makes a Python that has: .venv/bin/python" in done.stderr
    assert done.stderr.count("\n") == 1
