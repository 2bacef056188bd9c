"""Rows and runs for the measurements of the business work."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from jobs.contract import JobInfo, Progress, Run, Stopped

FIRE_TIME = datetime(2025, 7, 19, 17, 18, tzinfo=UTC)
DAY = datetime(2025, 7, 18, tzinfo=UTC)

# Created within the day before the fire time, in the order of their creation, with random keys.
FILL = """
INSERT INTO transactions (type, amount, status, consumer_id, created_at, updated_at)
SELECT (ARRAY['credit', 'debit'])[1 + n %% 2], 1000 + n %% 9000 + 0.25, 'pending', gen_random_uuid(),
       moment, moment
  FROM (SELECT n, %(day)s::timestamptz + n * interval '24 hours' / %(rows)s AS moment
          FROM generate_series(0, %(rows)s - 1) AS n) AS numbered
"""


class Silent:
    """A run log that keeps nothing."""

    def debug(self, message: str, **metadata: Any) -> None:
        """Nothing is kept."""

    info = warning = error = debug


def fill(address: str, rows: int) -> None:
    """Put so many fresh pending transactions into an empty table, with good statistics and no backlog."""
    with psycopg.connect(address, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("TRUNCATE transactions")
        connection.execute(FILL, {"day": DAY, "rows": rows})
        connection.execute("VACUUM ANALYZE transactions")
        connection.execute("CHECKPOINT")


def make_run() -> Run:
    """An attempt with a row in the ledger and checkpoints that are fenced as the engine's are."""
    from executions import lifecycle
    from executions.models import Execution
    from jobs.models import Job

    job = Job.objects.create(name=f"bench-{uuid.uuid4()}", cron_expression="0 0 * * *")
    execution = Execution.objects.create(
        id=uuid.uuid4(),
        job=job,
        scheduled_at=FIRE_TIME,
        status="RUNNING",
        attempt=1,
        token=uuid.uuid4(),
        lease_expires_at=FIRE_TIME + timedelta(hours=1),
    )
    assert execution.token is not None
    claim = lifecycle.Claim(
        execution_id=execution.pk, job_id=job.pk, token=execution.token, attempt=1, started_at=FIRE_TIME
    )

    def save(progress: Progress) -> None:
        if not lifecycle.checkpoint(
            claim, processed=progress.processed, success=progress.success, failure=progress.failure
        ):
            raise Stopped("the claim is lost")

    return Run(
        id=execution.pk,
        scheduled_at=FIRE_TIME,
        attempt=1,
        params={},
        job=JobInfo(key=job.pk, id=uuid.uuid4(), name=job.name),
        log=Silent(),
        save=save,
    )
