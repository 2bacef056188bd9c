"""Rows and runs for the tests of the business work."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from executions.models import Execution, Status
from jobs.contract import JobInfo, Progress, Run, Stopped
from jobs.models import Job
from reports.models import Transaction

FIRE_TIME = datetime(2025, 7, 20, 17, 18, tzinfo=UTC)
BEFORE = FIRE_TIME - timedelta(hours=1)


@dataclass
class Lines:
    """A run log that keeps what it is told."""

    said: list[tuple[str, str]] = field(default_factory=list)

    def debug(self, message: str, **metadata: Any) -> None:
        self.said.append(("DEBUG", message))

    def info(self, message: str, **metadata: Any) -> None:
        self.said.append(("INFO", message))

    def warning(self, message: str, **metadata: Any) -> None:
        self.said.append(("WARN", message))

    def error(self, message: str, **metadata: Any) -> None:
        self.said.append(("ERROR", message))


def make_transaction(**fields: Any) -> Transaction:
    return make_transactions(1, **fields)[0]


def make_transactions(count: int, **fields: Any) -> list[Transaction]:
    """Pending credits created an hour before the fire time, unless the fields say otherwise."""
    given: dict[str, Any] = {
        "type": "credit",
        "amount": Decimal("1234.50"),
        "status": "pending",
        "created_at": BEFORE,
        "updated_at": BEFORE,
        **fields,
    }
    rows = [Transaction(**{"id": uuid.uuid4(), **given}) for _ in range(count)]
    return Transaction.objects.bulk_create(rows, batch_size=1000)


def make_job(**fields: Any) -> Job:
    given = {"name": f"work-{uuid.uuid4()}", "cron_expression": "0 18 17 * * *", **fields}
    return Job.objects.create(**given)


def make_execution(job: Job | None = None, **fields: Any) -> Execution:
    """A RUNNING execution with a claim of its own."""
    given: dict[str, Any] = {
        "id": uuid.uuid4(),
        "job": job or make_job(),
        "scheduled_at": FIRE_TIME,
        "trigger": "manual",
        "status": Status.RUNNING,
        "token": uuid.uuid4(),
        "lease_expires_at": FIRE_TIME + timedelta(seconds=30),
        "attempt": 1,
        **fields,
    }
    return Execution.objects.create(**given)


def make_run(execution: Execution | None = None, *, zone: str = "UTC", **fields: Any) -> Run:
    """An attempt of the execution; its checkpoints are fenced by its token, as the engine's are."""
    execution = execution or make_execution()
    token = execution.token

    def save(progress: Progress) -> None:
        moved = Execution.objects.filter(pk=execution.pk, status=Status.RUNNING, token=token).update(
            total_processed=progress.processed,
            total_success=progress.success,
            total_failure=progress.failure,
        )
        if not moved:
            raise Stopped("the claim is lost")

    given: dict[str, Any] = {
        "id": execution.pk,
        "scheduled_at": execution.scheduled_at,
        "attempt": execution.attempt,
        "params": {},
        "job": JobInfo(key=execution.job_id, id=uuid.uuid4(), name="work", zone=zone),
        "log": Lines(),
        "save": save,
        **fields,
    }
    return Run(**given)


def committed_totals(execution: Execution) -> tuple[int, int, int]:
    execution.refresh_from_db()
    return execution.total_processed, execution.total_success, execution.total_failure


def statuses() -> dict[str, int]:
    """How many transactions there are in each status."""
    counts: dict[str, int] = {}
    for status in Transaction.objects.values_list("status", flat=True):
        counts[status] = counts.get(status, 0) + 1
    return counts


@contextmanager
def in_thread(work: Any) -> Iterator[list[Any]]:
    """Run `work` beside the block in a thread with its own connection; the list gets its answer."""
    answers: list[Any] = []

    def body() -> None:
        try:
            answers.append(work())
        finally:
            connection.close()

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield answers
    finally:
        thread.join(timeout=60)
        assert not thread.is_alive(), "the thread hangs"
        assert answers, "the thread died"


def refuse_updates_of(*ids: uuid.UUID) -> None:
    """Make the database itself refuse an update of these transactions."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            words = ", ".join(f"'{key}'" for key in ids)
            cursor.execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF NEW.id IN ({words}) THEN RAISE EXCEPTION 'this one is refused'; END IF;"
                " RETURN NEW; END $$"
            )
            cursor.execute(
                "CREATE TRIGGER refuse BEFORE UPDATE ON transactions FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        else:
            words = ", ".join(f"'{key.hex}'" for key in ids)
            cursor.execute(
                f"CREATE TRIGGER refuse BEFORE UPDATE ON transactions WHEN NEW.id IN ({words})"
                " BEGIN SELECT RAISE(ABORT, 'this one is refused'); END"
            )


@contextmanager
def updates_counted() -> Iterator[dict[uuid.UUID, int]]:
    """Count in the database how often each transaction is updated; filled when the block ends."""
    counts: dict[uuid.UUID, int] = {}
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE touches (id varchar(36))")
        if connection.vendor == "postgresql":
            cursor.execute(
                "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " INSERT INTO touches VALUES (NEW.id); RETURN NEW; END $$"
            )
            cursor.execute(
                "CREATE TRIGGER touch AFTER UPDATE ON transactions FOR EACH ROW EXECUTE FUNCTION touch()"
            )
        else:
            cursor.execute(
                "CREATE TRIGGER touch AFTER UPDATE ON transactions"
                " BEGIN INSERT INTO touches VALUES (NEW.id); END"
            )
    try:
        yield counts
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id, count(*) FROM touches GROUP BY id")
            counts.update({uuid.UUID(key): number for key, number in cursor.fetchall()})
            if connection.vendor == "postgresql":
                cursor.execute("DROP TRIGGER touch ON transactions")
                cursor.execute("DROP FUNCTION touch")
            else:
                cursor.execute("DROP TRIGGER touch")
            cursor.execute("DROP TABLE touches")
