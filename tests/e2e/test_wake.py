"""A trigger in one process starts the run in another, without waiting for a poll."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault.database import Database, prepare
from tests.fault.processes import Scheduler, wait_for

LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN scheduler_wake'"


def test_a_ring_wakes_a_scheduler_that_would_sleep_for_a_minute(database_url: str, tmp_path: Path) -> None:
    database = Database(database_url)
    if database.kind == "sqlite":
        pytest.skip("SQLite has no notifications: the poll finds it")
    prepare(database)
    database.insert(
        "batch_jobs",
        [{"job_name": "quick", "cron_expression": "0 0 1 1 *", "status": "active", "handler": "default"}],
    )
    scheduler = Scheduler(
        database.url, tmp_path / "log", extra={"SCHEDULER_POLL_INTERVAL_MS": "60000"}
    ).ready()
    try:
        wait_for(
            lambda: database.one(LISTENERS),
            30,
            "the listener",
        )
        database.write(
            "INSERT INTO job_executions (id, job_id, scheduled_at) SELECT gen_random_uuid(), id, now() FROM batch_jobs"
        )
        database.fetch("SELECT pg_notify('scheduler_wake', '')")
        done = "SELECT count(*) FROM job_executions WHERE status = 'SUCCESS'"
        wait_for(lambda: database.one(done) == 1, 20, "the run, long before the next poll")
    finally:
        scheduler.end()
