"""When is ENGINE=celery worth a broker? Runs a second and the way from trigger to start, beside ENGINE=local.

    python -m bench.celery_engine [--rows 2000] [--slots 2] [--rounds 3] [--brokers redis,rabbitmq]

Every engine is what an operator starts: `manage.py run_scheduler` with so many slots, two of them, or one
beside a Celery worker with so many children; each broker is a private one. Handlers: one that does nothing
(what the engine itself costs), and one that computes for 20 ms (what one process of Python cannot do twice
at once). Runs a second count from the first start to the last end; the processor time of the engine's own
processes (not of the database or the broker) says the same on a machine that is busy with other things.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg

from bench.database import own_database
from bench.durable import fill, median
from bench.table import Table
from tests import brokers

PATIENCE = 600.0
LOCAL = "local, one process"
JOBS = 50
SPIN_ROWS = 4  # of the no-op's rows, one in so many


class Crowd:
    """Programs that were started, each with the processes that it started."""

    def __init__(self, started: Sequence[subprocess.Popen[bytes]]) -> None:
        self._sessions = {one.pid for one in started}

    def spent(self) -> float:
        """Seconds of processor time until now."""
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            if int(fields[3]) in self._sessions:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(commands: Sequence[Sequence[str]], **extra: str) -> Iterator[Crowd]:
    """These programs, until the block ends."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "bench.celery_settings",
        "LOG_LEVEL": "error",
        **extra,
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", *words],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for words in commands
    ]
    try:
        yield Crowd(started)
    finally:
        for one in started:
            one.terminate()
        for one in started:
            one.wait(60)


Start = Callable[[], contextlib.AbstractContextManager[Crowd]]


def engines(slots: int, running_brokers: Sequence[brokers.Broker]) -> dict[str, Start]:
    """How each engine is started, by its name in the tables."""
    scheduler = ["manage.py", "run_scheduler", "--concurrency", str(slots)]
    worker = ["-m", "celery", "-A", "scheduler_site", "worker", "--concurrency", str(slots)]
    found: dict[str, Start] = {
        LOCAL: lambda: running([scheduler]),
        "local, two processes": lambda: running([scheduler, scheduler]),
    }
    for broker in running_brokers:
        url = broker.url
        found[f"celery on {broker.kind}"] = lambda url=url: running(  # type: ignore[misc]
            [scheduler, worker], ENGINE="celery", CELERY_BROKER_URL=url
        )
    return found


def whole(rows: int) -> int:
    """So many that each job has as many as every other."""
    return max(1, rows // JOBS) * JOBS


def wait_until(connection: psycopg.Connection, question: str, wanted: int) -> None:
    """Ask until the count is there."""
    ends_at = time.monotonic() + PATIENCE
    while True:
        row = connection.execute(question).fetchone()
        assert row is not None
        if row[0] >= wanted:
            return
        assert time.monotonic() < ends_at, f"{question}: {row[0]} of {wanted}"
        time.sleep(0.05)


def wait_ready(connection: psycopg.Connection, slots: int) -> None:
    """Wait until so many slots are there, whoever has them."""
    wait_until(
        connection,
        "SELECT coalesce(sum((metadata->>'concurrency')::int), 0) FROM scheduler_metadata"
        " WHERE status = 'ACTIVE'",
        slots,
    )


def throughput(
    connection: psycopg.Connection, start: Start, *, rows: int, slots: int, handler: str
) -> tuple[float, float]:
    """Runs a second and milliseconds of processor time a run, over rows that wait for the engine."""
    connection.execute("TRUNCATE scheduler_metadata")
    fill(connection, rows=rows, jobs=JOBS)
    connection.execute("UPDATE batch_jobs SET handler = %s, status = 'paused'", [handler])
    with start() as crowd:
        wait_ready(connection, slots)
        before = crowd.spent()
        connection.execute("UPDATE batch_jobs SET status = 'active'")
        wait_until(connection, "SELECT count(*) FROM job_executions WHERE status = 'SUCCESS'", rows)
        spent = crowd.spent() - before
    row = connection.execute(
        "SELECT extract(epoch FROM max(finished_at) - min(started_at)) FROM batch_job_logs"
    ).fetchone()
    assert row is not None
    return rows / float(row[0]), 1000 * spent / rows


def latencies(connection: psycopg.Connection, start: Start, *, slots: int, count: int = 60) -> list[float]:
    """Milliseconds from the request of a manual run to the start of its attempt, one at a time."""
    from executions import operations
    from jobs.audit import COMMAND_LINE
    from jobs.models import Job

    connection.execute("TRUNCATE scheduler_metadata")
    fill(connection, rows=1, jobs=1)
    connection.execute("UPDATE batch_jobs SET handler = 'bench-noop'")
    connection.execute("DELETE FROM job_executions")
    with start():
        wait_ready(connection, slots)
        job = Job.objects.get()
        for number in range(count):
            operations.trigger(job, by=COMMAND_LINE)
            wait_until(connection, "SELECT count(*) FROM job_executions WHERE status = 'SUCCESS'", number + 1)
    rows = connection.execute(
        "SELECT extract(epoch FROM started_at - scheduled_at) * 1000 FROM job_executions"
    ).fetchall()
    return sorted(float(row[0]) for row in rows[5:])


def measure(address: str, options: argparse.Namespace, found: Sequence[brokers.Broker]) -> None:
    """All tables."""
    idle = Table("Runs of a handler that does nothing", unit="runs/s")
    spun = Table("Runs of a handler that computes for 20 ms", unit="runs/s")
    waits = Table("From the request of a manual run to its start, median", unit="ms")
    with psycopg.connect(address, autocommit=True) as connection:
        for name, start in engines(options.slots, found).items():
            slots = options.slots * (2 if "two" in name else 1)
            for table, handler, rows in (
                (idle, "bench-noop", whole(options.rows)),
                (spun, "bench-spin", whole(options.rows // SPIN_ROWS)),
            ):
                figures = [
                    throughput(connection, start, rows=rows, slots=slots, handler=handler)
                    for _ in range(options.rounds)
                ]
                rate, spent = median([one for one, _ in figures]), median([one for _, one in figures])
                table.add(name, rate, f"{spent:.1f} ms of processor time a run; {rows} runs, {slots} slots")
            spans = latencies(connection, start, slots=slots)
            waits.add(name, median(spans), f"worst of {len(spans)}: {spans[-1]:.0f} ms")
    for table in (idle, spun, waits):
        table.show(floor=LOCAL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--brokers", default="redis,rabbitmq")
    options = parser.parse_args()
    found = [brokers.KINDS[kind]() for kind in options.brokers.split(",")]
    try:
        for broker in found:
            broker.start()
        with own_database() as address:
            measure(address, options, found)
    finally:
        for broker in found:
            broker.remove()


if __name__ == "__main__":
    main()
