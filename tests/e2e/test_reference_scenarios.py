"""The main job from outside, as the reference system's users know it: SQL in, SQL and files out."""

from __future__ import annotations

import csv
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.brokers import engine_broker
from tests.fault.database import Database, read_moment
from tests.fault.processes import Scheduler, wait_for
from tests.fault.team import Team

pytestmark = pytest.mark.promise
PATIENCE = 90.0


@pytest.fixture
def database(migrated_url: str) -> Database:
    """A migrated database that this test has for itself."""
    return Database(migrated_url)


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    return tmp_path / "exports"


@pytest.fixture
def scheduler(database: Database, tmp_path: Path, exports: Path) -> Iterator[Scheduler]:
    process = start(database, tmp_path / "scheduler.log", exports)
    yield process.ready(PATIENCE)
    process.end()


def start(database: Database, log: Path, exports: Path) -> Scheduler:
    """A scheduler; with FAULT_ENGINE=celery (on the broker of the fixture below) one that rings, and a worker."""
    # How soon a lease of two seconds is kept on a busy machine is asked elsewhere (tests/fault).
    extra = {"EXPORT_DIRECTORY": str(exports), "LEASE_SECONDS": "5"}
    if engine_broker():
        return Team(database.url, log, extra={**extra, "CELERY_BROKER_URL": os.environ["TEST_BROKER_URL"]})
    return Scheduler(database.url, log, extra=extra)


@pytest.fixture(autouse=True)
def broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if engine_broker():
        found = request.getfixturevalue("find_broker")(engine_broker())
        found.flush()
        monkeypatch.setenv("TEST_BROKER_URL", found.url)


def insert_job(database: Database, name: str, cron: str = "0 0 1 1 *", **more: object) -> int:
    database.insert("batch_jobs", [{"job_name": name, "cron_expression": cron, "status": "active"} | more])
    return int(database.one("SELECT id FROM batch_jobs WHERE job_name = %s", [name]))


def insert_transactions(database: Database, count: int, created_at: datetime) -> None:
    database.insert(
        "transactions",
        [
            {
                "id": uuid.uuid4(),
                "type": "credit",
                "amount": "12.50",
                "status": "pending",
                "consumer_id": uuid.uuid4(),
                "created_at": created_at,
                "updated_at": created_at,
            }
            for _ in range(count)
        ],
    )


def ended(database: Database, job_id: int) -> bool:
    left = database.one(
        "SELECT count(*) FROM job_executions WHERE job_id = %s"
        " AND status IN ('PENDING', 'RUNNING', 'RETRYING')",
        [job_id],
    )
    runs = database.one("SELECT count(*) FROM job_executions WHERE job_id = %s", [job_id])
    return bool(runs) and not left


def test_a_job_inserted_by_sql_waits_for_the_next_midnight(database: Database, scheduler: Scheduler) -> None:
    insert_job(database, "other-daily-reports", "0 0 * * *")
    sql = "SELECT next_run_at FROM batch_jobs WHERE job_name = 'other-daily-reports'"
    wait_for(lambda: database.one(sql) is not None, PATIENCE, "the job's next run")
    tomorrow = database.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert read_moment(database.one(sql)) == tomorrow
    assert database.one("SELECT last_run_at FROM batch_jobs") is None


def test_an_edit_by_sql_is_noticed_while_the_scheduler_runs(database: Database, scheduler: Scheduler) -> None:
    job_id = insert_job(database, "edited")
    planned = "SELECT next_run_at FROM batch_jobs WHERE id = %s"
    wait_for(lambda: database.one(planned, [job_id]) is not None, PATIENCE, "the first plan")
    database.write("UPDATE batch_jobs SET cron_expression = '* * * * * *' WHERE id = %s", [job_id])
    done = "SELECT count(*) FROM batch_job_logs WHERE job_name = 'edited' AND status = 'success'"
    wait_for(lambda: database.one(done) >= 2, PATIENCE, "runs of the new schedule")


def test_a_wrong_cron_in_one_row_is_shown_there_and_others_run(
    database: Database, scheduler: Scheduler
) -> None:
    insert_job(database, "broken", "every now and then")
    insert_job(database, "sound", "* * * * * *")
    done = "SELECT count(*) FROM batch_job_logs WHERE job_name = 'sound' AND status = 'success'"
    wait_for(lambda: database.one(done) >= 1, PATIENCE, "a run of the sound job")
    assert database.one("SELECT error_message FROM batch_jobs WHERE job_name = 'broken'")
    assert "broken" in scheduler.said


def test_the_daily_report_holds_the_transactions_of_the_day_before(
    database: Database, scheduler: Scheduler, exports: Path
) -> None:
    day = datetime(2025, 7, 18, tzinfo=UTC)
    insert_transactions(database, 25, day + timedelta(hours=3))
    insert_transactions(database, 4, day + timedelta(days=1))
    job_id = insert_job(database, "generate-daily-reports", "0 18 17 * * *")
    database.insert(
        "job_executions",
        [{"id": uuid.uuid4(), "job_id": job_id, "scheduled_at": day + timedelta(days=1, hours=10)}],
    )
    wait_for(lambda: ended(database, job_id), PATIENCE, "the report")
    assert database.fetch(
        "SELECT status, total_processed, total_success, total_failure FROM batch_job_logs"
    ) == [("success", 25, 25, 0)]
    (path,) = exports.iterdir()
    assert path.name.startswith("daily-report_2025-07-18_")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "type", "amount", "status", "consumerId", "createdAt", "updatedAt"]
    kept = database.fetch(
        "SELECT id, amount FROM transactions WHERE created_at < %s", [day + timedelta(days=1)]
    )
    assert {uuid.UUID(row["id"]).hex for row in rows} == {uuid.UUID(str(key)).hex for key, _ in kept}
    assert {row["amount"] for row in rows} == {"12.50"}


def test_failing_items_are_named_and_stay_pending(database: Database, scheduler: Scheduler) -> None:
    insert_transactions(database, 100, datetime(2025, 7, 18, tzinfo=UTC))
    job_id = insert_job(database, "process-transactions", payload={"simulateFailureEvery": 10})
    database.insert(
        "job_executions",
        [{"id": uuid.uuid4(), "job_id": job_id, "scheduled_at": database.now()}],
    )
    wait_for(lambda: ended(database, job_id), PATIENCE, "the batch")
    status, total, success, failure, reason = database.fetch(
        "SELECT status, total_processed, total_success, total_failure, failure_reason FROM batch_job_logs"
    )[0]
    assert (status, total, success, failure) == ("failed", 100, 90, 10)
    pending = database.fetch("SELECT id FROM transactions WHERE status = 'pending'")
    assert len(pending) == 10
    for (key,) in pending:
        assert f"Simulated processing error on transaction-id {uuid.UUID(str(key))}" in reason
    assert database.one("SELECT count(*) FROM failed_jobs_dlq") == 1


def test_a_batch_killed_in_its_middle_is_finished_with_every_row_done_once(
    database: Database, tmp_path: Path, exports: Path
) -> None:
    count = 100_000
    insert_transactions(database, count, datetime(2025, 7, 18, tzinfo=UTC))
    _count_completions(database)
    job_id = insert_job(database, "process-transactions")
    database.insert(
        "job_executions",
        [{"id": uuid.uuid4(), "job_id": job_id, "scheduled_at": database.now()}],
    )
    done = "SELECT count(*) FROM completions"
    first = start(database, tmp_path / "first.log", exports).ready(PATIENCE)
    wait_for(lambda: database.one(done) > 0, PATIENCE, "the first chunk", step=0.005)
    first.kill()
    killed_at = database.one(done)
    assert 0 < killed_at < count, "the kill came too late to prove anything"
    second = start(database, tmp_path / "second.log", exports).ready(PATIENCE)
    wait_for(lambda: ended(database, job_id), PATIENCE, "the rest of the batch")
    second.terminate()
    assert second.ended() == 0
    assert database.fetch("SELECT count(*), count(DISTINCT id) FROM completions") == [(count, count)]
    assert database.fetch("SELECT status, failure_reason FROM batch_job_logs ORDER BY attempt_number") == [
        ("failed", "worker lost"),
        ("success", None),
    ]
    assert database.fetch(
        "SELECT status, total_processed, total_success, lost_count FROM job_executions"
    ) == [("SUCCESS", count, count, 1)]


def _count_completions(database: Database) -> None:
    """A witness outside the product: one row for every completion of a transaction."""
    key = "uuid" if database.kind == "postgresql" else "text"
    database.write(f"CREATE TABLE completions (id {key})")
    if database.kind == "sqlite":
        database.write(
            "CREATE TRIGGER witness AFTER UPDATE OF status ON transactions"
            " WHEN NEW.status = 'completed' BEGIN INSERT INTO completions VALUES (NEW.id); END"
        )
        return
    database.write(
        "CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO completions VALUES (NEW.id); RETURN NULL; END $$"
    )
    database.write(
        "CREATE TRIGGER witness AFTER UPDATE OF status ON transactions FOR EACH ROW"
        " WHEN (NEW.status = 'completed') EXECUTE FUNCTION witness()"
    )


def test_a_stop_gives_the_process_back_cleanly(database: Database, scheduler: Scheduler) -> None:
    scheduler.terminate()
    assert scheduler.ended() == 0
    assert database.fetch("SELECT DISTINCT status FROM scheduler_metadata") == [("INACTIVE",)]
