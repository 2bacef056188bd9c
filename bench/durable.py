"""How many durable executions a second, beside the same lifecycle as bare batched SQL?

    python -m bench.durable [--rows 20000] [--jobs 400] [--slots 20] [--celery]

A no-op handler; every execution waits in the ledger, is claimed, run and finished, and its attempt row
is kept. Floor: the same rows by bare batched SQL with psycopg in groups of 400, without limits, logs or
Python handlers. Peer (--celery): Celery with Redis and its results in the same PostgreSQL, installed
into an environment of its own; needs a Redis at REDIS_URL (redis://127.0.0.1:6379/9).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import psycopg

from bench.database import own_database
from bench.table import Table

FLOOR = "bare batched SQL"
GROUP = 400
CELERY_TASKS = """
import os
from celery import Celery
app = Celery("peer", broker=os.environ["PEER_REDIS"], backend="db+" + os.environ["PEER_DATABASE"])
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=4, worker_hijack_root_logger=False)

@app.task(name="noop")
def noop():
    return None
"""
CELERY_DRIVER = """
import sys, time
from tasks import noop
QUERY = "select count(*) from celery_taskmeta where status='SUCCESS'"
count = int(sys.argv[1])
started = time.perf_counter()
last = [noop.delay() for _ in range(count)]
for result in last:
    result.get(timeout=600, interval=0.01) if result is last[-1] else None
import sqlalchemy, os
engine = sqlalchemy.create_engine(os.environ["PEER_DATABASE"])
while True:
    with engine.connect() as connection:
        done = connection.execute(sqlalchemy.text(QUERY)).scalar()
    if done >= count:
        break
    time.sleep(0.05)
print(count / (time.perf_counter() - started))
"""


def fill(connection: psycopg.Connection, *, rows: int, jobs: int) -> None:
    """The same waiting executions, anew."""
    connection.execute("TRUNCATE batch_jobs CASCADE")
    connection.execute(
        "INSERT INTO batch_jobs (job_name, cron_expression, status, handler)"
        " SELECT 'noop-' || g, '0 0 1 1 *', 'active', 'bench-noop' FROM generate_series(1, %s) g",
        [jobs],
    )
    connection.execute(
        "INSERT INTO job_executions (id, job_id, scheduled_at, next_attempt_at)"
        " SELECT gen_random_uuid(), j.id, now() - g * interval '1 minute', now() - g * interval '1 minute'"
        " FROM generate_series(1, %s) g, batch_jobs j",
        [rows // jobs],
    )
    connection.execute("VACUUM ANALYZE")


def by_bare_sql(connection: psycopg.Connection) -> float:
    """Claim, attempt row, finish: three statements and two commits for each group."""
    done = 0
    started = time.perf_counter()
    while True:
        with connection.transaction():
            claimed = connection.execute(
                f"""
                WITH due AS (SELECT id FROM job_executions
                    WHERE status IN ('PENDING', 'RETRYING') AND next_attempt_at <= statement_timestamp()
                    ORDER BY priority DESC, next_attempt_at, queue LIMIT {GROUP} FOR UPDATE SKIP LOCKED),
                claimed AS (UPDATE job_executions e SET status = 'RUNNING', attempt = e.attempt + 1,
                    token = gen_random_uuid(), lease_expires_at = statement_timestamp() + interval '30 s'
                    FROM due WHERE e.id = due.id RETURNING e.id, e.job_id, e.attempt, e.token)
                INSERT INTO batch_job_logs (execution_id, job_id, job_name, cron_expression,
                    attempt_number, started_at, status)
                SELECT id, job_id, 'noop', '', attempt, statement_timestamp(), 'running' FROM claimed
                RETURNING execution_id, (SELECT token FROM claimed WHERE claimed.id = execution_id)
                """
            ).fetchall()
        if not claimed:
            return done / (time.perf_counter() - started)
        ids, tokens = [row[0] for row in claimed], [row[1] for row in claimed]
        with connection.transaction():
            connection.execute(
                """
                UPDATE job_executions e SET status = 'SUCCESS', completed_at = statement_timestamp(),
                    token = NULL, lease_expires_at = NULL
                FROM unnest(%s::uuid[], %s::uuid[]) v(id, token)
                WHERE e.id = v.id AND e.status = 'RUNNING' AND e.token = v.token
                """,
                [ids, tokens],
            )
            connection.execute(
                """
                UPDATE batch_job_logs SET status = 'success', finished_at = statement_timestamp()
                WHERE execution_id = ANY(%s) AND attempt_number = 1
                """,
                [ids],
            )
        done += len(claimed)


def by_engine(*, slots: int) -> float:
    """One process of the engine, in this process."""
    from executions.engine import adoption, clock, memory
    from executions.engine.config import read_config
    from executions.engine.loop import Engine

    while adoption.adopt(clock.now()).more:
        pass
    engine = Engine(read_config(concurrency=slots))
    memory.settle()
    started = time.perf_counter()
    engine.run_once()
    return engine.processed / (time.perf_counter() - started)


def by_two_processes(address: str, *, rows: int, slots: int) -> float:
    """Two processes that share the work; counted from the first claim to the last ending."""
    code = (
        "import django; django.setup()\n"
        "from bench.durable import register_noop, by_engine\n"
        f"register_noop(); by_engine(slots={slots})"
    )
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    for child in children:
        child.wait()
    with psycopg.connect(address) as connection:
        row = connection.execute(
            "SELECT extract(epoch FROM max(finished_at) - min(started_at)), count(*) FROM batch_job_logs"
        ).fetchone()
    assert row is not None
    assert row[1] == rows, row
    return rows / float(row[0])


def register_noop() -> None:
    """The handler that does nothing."""
    from jobs.contract import Result
    from jobs.registry import Handler, handlers

    if "bench-noop" not in handlers:
        handlers.register(Handler(name="bench-noop", function=lambda run: Result()))


def by_celery(address: str, *, rows: int, slots: int) -> float:
    """Celery threads, Redis as broker, results in the same PostgreSQL."""
    redis = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/9")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv/bin/python"
        subprocess.run(
            [python, "-m", "pip", "-q", "install", "celery[redis]", "sqlalchemy", "psycopg2-binary"],
            check=True,
        )
        (folder / "tasks.py").write_text(CELERY_TASKS)
        (folder / "driver.py").write_text(CELERY_DRIVER)
        environment = os.environ | {
            "PEER_REDIS": redis,
            "PEER_DATABASE": address.replace("postgresql://", "postgresql+psycopg2://"),
        }
        worker = subprocess.Popen(
            [
                python,
                "-m",
                "celery",
                "-A",
                "tasks",
                "worker",
                "-P",
                "threads",
                "-c",
                str(slots),
                "-l",
                "ERROR",
            ],
            cwd=folder,
            env=environment,
        )
        try:
            time.sleep(5)
            answer = subprocess.run(
                [python, "driver.py", str(rows)],
                cwd=folder,
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            )
        finally:
            worker.terminate()
            worker.wait()
    return float(answer.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--slots", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--celery", action="store_true")
    options = parser.parse_args()
    with own_database() as address:
        register_noop()
        table = Table("Durable executions of a no-op handler", unit="runs/s")
        with psycopg.connect(address, autocommit=True) as connection:
            floors, ours, twos = [], [], []
            for _ in range(options.rounds):
                fill(connection, rows=options.rows, jobs=options.jobs)
                floors.append(by_bare_sql(connection))
                fill(connection, rows=options.rows, jobs=options.jobs)
                ours.append(by_engine(slots=options.slots))
                fill(connection, rows=options.rows, jobs=options.jobs)
                twos.append(by_two_processes(address, rows=options.rows, slots=options.slots))
            table.add(FLOOR, median(floors), "groups of 400, no limits, no logs")
            table.add("engine, one process", median(ours), "accepted from 0.20, goal 0.40")
            table.add(
                "engine, two processes", median(twos), "from 1.6 times one until the database is the limit"
            )
            if options.celery:
                rows = min(options.rows, 3000)
                table.add(
                    "Celery, Redis, results in PostgreSQL", by_celery(address, rows=rows, slots=options.slots)
                )
        table.show(floor=FLOOR)


def median(figures: list[float]) -> float:
    return sorted(figures)[len(figures) // 2]


if __name__ == "__main__":
    main()
