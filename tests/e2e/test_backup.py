"""The drill of docs/operations.md: a backup while it runs, a crash, a restore, the switch, and nothing unanswered."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests import postgres
from tests.fault.database import Database
from tests.fault.processes import ROOT, Scheduler, environment, wait_for

DONE = "SELECT count(*) FROM job_executions WHERE status = 'SUCCESS'"
OPEN = "SELECT count(*) FROM job_executions WHERE status IN ('PENDING', 'RUNNING', 'RETRYING')"
RUNNING = "SELECT count(*) FROM job_executions WHERE status = 'RUNNING'"


def switch() -> str:
    """The SQL by which the runbook throws the switch for everything."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    found = re.search(r"```sql\n(INSERT INTO queues.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1].strip().rstrip(";")


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    found = Database(migrated_url)
    yield found
    if found.kind == "postgresql":
        drop(restored_name(found))


def restored_name(database: Database) -> str:
    return f"{urlsplit(database.url).path.lstrip('/')}_restored"


def drop(name: str) -> None:
    with psycopg.connect(postgres.server_url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def program(name: str) -> str:
    """A client of PostgreSQL, from where the server of the tests comes, else of the system."""
    beside = postgres.find_binaries() / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed here")
    return found


def back_up(database: Database, folder: Path) -> Path:
    """While it runs, as the page says."""
    path = folder / "backup"
    if database.kind == "sqlite":
        with sqlite3.connect(database.url.removeprefix("sqlite:///")) as connection:
            connection.execute("VACUUM INTO ?", [str(path)])
        return path
    run(program("pg_dump"), "--format=custom", f"--file={path}", database.url)
    return path


def restore(database: Database, backup: Path, folder: Path) -> Database:
    if database.kind == "sqlite":
        shutil.copyfile(backup, folder / "restored.sqlite3")
        return Database(f"sqlite:///{folder / 'restored.sqlite3'}")
    name = restored_name(database)
    with psycopg.connect(postgres.server_url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = f"{database.url.rpartition('/')[0]}/{name}"
    run(program("pg_restore"), "--no-owner", f"--dbname={url}", str(backup))
    return Database(url)


def run(*words: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def manage(database: Database, *words: str) -> str:
    return run(sys.executable, "manage.py", *words, env=environment(database.url))


@pytest.mark.timeout(300)
def test_what_was_backed_up_while_it_ran_goes_on_after_a_restore(database: Database, tmp_path: Path) -> None:
    extra = {"TARGET_LOG": str(tmp_path / "calls")}
    columns = {"handler": "target", "catch_up": "latest", "misfire_grace_seconds": 0}
    database.insert(
        "batch_jobs",
        [
            {"job_name": "each second", "cron_expression": "* * * * * *", "payload": {"ms": 1}, **columns},
            {"job_name": "long", "cron_expression": "0 0 1 1 *", "payload": {"ms": 60_000}, **columns},
        ],
    )
    scheduler = Scheduler(database.url, tmp_path / "first", extra=extra).ready()
    try:
        wait_for(lambda: database.one(DONE) > 1, 30, "runs before the backup")
        manage(database, "shell", "-v0", "-c", TRIGGER)
        wait_for(lambda: database.one(RUNNING), 30, "a run that is under way")
        backup = back_up(database, tmp_path)
        kept = database.one(DONE)
        wait_for(lambda: database.one(DONE) > kept + 1, 30, "runs that the backup does not know")
    finally:
        scheduler.kill()

    restored = restore(database, backup, tmp_path)
    manage(restored, "prepare_database")
    restored.write(switch())
    before = restored.one(DONE)
    again = Scheduler(restored.url, tmp_path / "second", extra=extra).ready()
    try:
        wait_for(lambda: not restored.one(RUNNING), 30, "the rescue of what ran in the backup")
        wait_for(lambda: restored.one(OPEN) >= 2, 30, "what waits behind the switch")
        time_of_planning = time.monotonic()
        wait_for(lambda: time.monotonic() - time_of_planning > 1.5, 5, "more than a second of planning")
        assert restored.one(DONE) == before, "nothing runs while the switch is thrown"
        restored.write(
            "UPDATE job_executions SET status = 'CANCELLED', reason = 'operator', next_attempt_at = NULL"
            " WHERE status IN ('PENDING', 'RETRYING') AND job_id ="
            " (SELECT id FROM batch_jobs WHERE job_name = 'long')"
        )
        restored.write("UPDATE queues SET paused = false WHERE name = '*'")
        wait_for(lambda: restored.one(DONE) > before + 1, 30, "runs after the switch was put back")
    finally:
        again.terminate()
        assert again.ended() == 0
    said = manage(restored, "verify_ledger", "--from", "2026-01-01")
    assert " 0 without an answer" in said


TRIGGER = """
from executions import operations
from jobs.audit import COMMAND_LINE
from jobs.models import Job
operations.trigger(Job.objects.get(name="long"), by=COMMAND_LINE)
"""
