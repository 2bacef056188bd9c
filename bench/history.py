"""Does a long history slow claims down, and does deleting it?

    python -m bench.history [--rows 1000000] [--claims 200]

So many ended executions with their attempts, of 1,000 jobs over 100 days. Floor: the same claims on an empty
table. Then claims while another thread deletes what is older than 50 days as the retention duty does, step
after step without a pause.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.database import fill, new_id, numbers, own_database, settle
from bench.table import Table, percentile
from bench.waiting import World, clear

JOBS = 1000
DAYS = 100
KEPT_DAYS = 50
AT_ONCE = 500_000
EMPTY = "an empty table"

EXECUTIONS = """
INSERT INTO job_executions (id, job_id, scheduled_at, status, next_attempt_at, started_at, executed_at,
    completed_at, execution_duration_ms, attempt)
SELECT {id}, {first} + n % {jobs}, at, 'SUCCESS', NULL, at, at, at, 3, 1
  FROM (SELECT n, statement_timestamp() - ({rows} + 1 - n - {done}) * interval '{days} days' / {rows} AS at
          FROM {numbers}) AS moments
"""
ATTEMPTS = """
INSERT INTO batch_job_logs (execution_id, job_id, job_name, cron_expression, attempt_number, started_at,
    finished_at, status)
SELECT id, job_id, 'history', '', 1, started_at, completed_at, 'success' FROM job_executions AS e
 WHERE e.completed_at IS NOT NULL
"""
INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
 WHERE tablename IN ('job_executions', 'batch_job_logs') AND schemaname = current_schema()
   AND indexname NOT IN (SELECT conname FROM pg_constraint)
"""


def write_history(rows: int) -> None:
    """The executions and their attempts, in the order of their endings."""
    from django.db import connection

    from executions import statistics
    from executions.rows import fetch
    from jobs.models import Job

    jobs = Job.objects.bulk_create(Job(name=f"old-{n}", cron_expression="0 0 1 1 *") for n in range(JOBS))
    with without_indexes():
        fill("ALTER TABLE job_executions DISABLE TRIGGER USER")
        for done in range(0, rows, AT_ONCE):
            count = numbers(min(AT_ONCE, rows - done))
            fill(
                EXECUTIONS.format(
                    id=new_id(), first=jobs[0].pk, jobs=JOBS, rows=rows, done=done, days=DAYS, numbers=count
                )
            )
        fill(ATTEMPTS)
        fill("ALTER TABLE job_executions ENABLE TRIGGER USER")
    with connection.cursor() as cursor:
        statistics._recount(connection, cursor)
    assert fetch("SELECT count(*) FROM job_executions")[0][0] == rows
    settle()


@contextmanager
def without_indexes() -> Iterator[None]:
    """Rows first and their indexes afterwards: a third of the time."""
    from executions.rows import fetch

    indexes = fetch(INDEXES)
    for name, _ in indexes:
        fill(f"DROP INDEX {name}")
    yield
    for _, definition in indexes:
        fill(definition)


class Pruning:
    """Retention's steps one after another in a thread, until the block ends."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.rows = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Pruning:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        from django.db import connection

        from executions import retention
        from executions.engine import clock

        while not self._stopped.is_set():
            begun = time.perf_counter()
            step = retention.prune_old_executions(clock.now())
            self.seconds.append(time.perf_counter() - begun)
            self.rows += step.rows
            if not step.more:
                break
        connection.close()


def claims(world: World, count: int) -> list[float]:
    """The times of so many claims, in ms."""
    for _ in range(5):
        world.claim()
    return [world.claim() for _ in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--claims", type=int, default=200)
    given = parser.parse_args()
    with own_database():
        from django.conf import settings

        clear()
        floor = claims(World(), given.claims)
        clear()
        begun = time.monotonic()
        write_history(given.rows)
        print(f"{given.rows:,} executions written in {time.monotonic() - begun:.0f} s", flush=True)
        world = World()
        long = claims(world, given.claims)
        settings.RETENTION_DAYS = KEPT_DAYS
        with Pruning() as pruning:
            pruned = claims(world, given.claims)
        fill("TRUNCATE job_executions CASCADE")
        clear()
        floor += claims(World(), given.claims)  # once more, for a machine that does not stay the same
        show(given.rows, {EMPTY: floor, "a long history": long, "while it is pruned": pruned}, pruning)


def show(rows: int, found: dict[str, list[float]], pruning: Pruning) -> None:
    table = Table(f"Claim p95 beside {rows:,} ended executions, PostgreSQL", unit="ms")
    for name, figures in found.items():
        table.add(name, percentile(figures, 0.95), f"p50 {percentile(figures, 0.5):.2f}")
        if name != EMPTY:
            table.judge(name, to=EMPTY, at_most=2.0)
    table.show(floor=EMPTY)
    steps = Table(f"Retention's steps, {pruning.rows:,} executions deleted meanwhile", unit="s")
    steps.add("longest", max(pruning.seconds))
    steps.judge("longest", at_most=5.0, note="the statement limit of the loop")
    steps.show()


if __name__ == "__main__":
    main()
