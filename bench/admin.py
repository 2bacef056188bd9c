"""How long do the admin's pages take over a large ledger, and do they ask more of it than over a small one?

    python -m bench.admin [--jobs 10000] [--executions 1000000] [--rounds 9]

Peer: the same pages, measured first in the same database while it holds a hundredth. Every page takes at most
300 ms and the same number of queries; what stands behind the target is `--jobs 100000 --executions 10000000`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.database import own_database
from bench.table import Finding, load, machine, publish

REACH = 300
LEDGER = "job_executions"
DAYS = 30


# What is filled in, as set-based SQL; a ledger of 30 days ---------------------------------------------

JOBS = """
    INSERT INTO batch_jobs (job_name, description, cron_expression, planned_cron_expression, timezone,
        planned_timezone, status, paused_reason, origin, handler, api_endpoint, queue, user_id, created_by,
        consecutive_failures, last_run_at, next_run_at)
    SELECT 'bench job ' || n, 'What it does, in a sentence.', cron, cron, zone, zone,
        CASE WHEN n %% 50 = 0 THEN 'paused' ELSE 'active' END,
        CASE WHEN n %% 50 = 0 THEN 'month end' END, 'admin',
        CASE WHEN n %% 3 = 0 THEN 'default' END,
        CASE WHEN n %% 3 > 0 THEN 'https://api.example/' || n END,
        'queue-' || n %% 20, %(user)s, 'bench', CASE WHEN n %% 100 = 0 THEN 3 ELSE 0 END, now(),
        date_trunc('minute', now()) + interval '1 minute' * (1 + n %% 1440)
    FROM generate_series(1, %(count)s) AS n,
        LATERAL (SELECT format('%%s %%s * * *', n %% 60, n / 60 %% 24) AS cron,
            CASE WHEN n %% 4 = 0 THEN 'Europe/Berlin' END AS zone) AS s
    RETURNING id
"""
TAGGED = """
    INSERT INTO job_tag_associations (job_id, tag_id, created_at)
    SELECT j.id, t.id, now() FROM batch_jobs AS j
    JOIN (SELECT id, row_number() OVER (ORDER BY name) AS place FROM job_tags) AS t
        ON t.place = 1 + j.id %% 20
    WHERE j.id > %(after)s
"""
# One round: an execution of every job, as a real ledger grows.
RUNS = """
    INSERT INTO job_executions (id, job_id, scheduled_at, started_at, executed_at, completed_at, status,
        reason, error_message, execution_duration_ms, attempt, next_attempt_at, queue)
    SELECT gen_random_uuid(), j.id, s.at, s.start, s.start, s.start + interval '1 second', s.status,
        CASE s.status WHEN 'FAILED' THEN 'error' WHEN 'SKIPPED' THEN 'misfire' END,
        CASE s.status WHEN 'FAILED' THEN 'connection refused, kind ' || j.id %% 5 END,
        CASE WHEN s.status <> 'SKIPPED' THEN 1000 END, 1, NULL, j.queue
    FROM batch_jobs AS j,
        LATERAL (SELECT now() - %(span)s * (%(round)s + (j.id %% 997) / 997.0) AS at) AS a,
        LATERAL (SELECT a.at, a.at + interval '20 milliseconds' AS start,
            CASE WHEN (j.id + %(round)s) %% 100 = 0 THEN 'FAILED'
                 WHEN (j.id + %(round)s) %% 100 = 1 THEN 'SKIPPED' ELSE 'SUCCESS' END AS status) AS s
    WHERE j.id > %(after)s
"""
# What goes on at this moment: some run, many wait, more is to come.
PRESENT = """
    INSERT INTO job_executions (id, job_id, scheduled_at, started_at, executed_at, status, attempt, queue,
        priority, next_attempt_at, token, lease_expires_at, progress_processed, progress_total)
    SELECT gen_random_uuid(), j.id, now() - interval '1 minute' * s.place,
        CASE WHEN s.runs THEN now() END, CASE WHEN s.runs THEN now() END,
        CASE WHEN s.runs THEN 'RUNNING' ELSE 'PENDING' END, CASE WHEN s.runs THEN 1 ELSE 0 END, j.queue, 5,
        CASE WHEN NOT s.runs THEN now() - interval '1 minute' * (s.place - 400) END,
        CASE WHEN s.runs THEN gen_random_uuid() END,
        CASE WHEN s.runs THEN now() + interval '1 hour' END,
        CASE WHEN s.runs THEN 40 END, CASE WHEN s.runs THEN 100 END
    FROM (SELECT id, queue, row_number() OVER (ORDER BY id) AS place FROM batch_jobs WHERE id > %(after)s
          ORDER BY id LIMIT %(present)s) AS j,
        LATERAL (SELECT j.place, j.place <= 20 AS runs) AS s
"""
LETTERS = """
    INSERT INTO failed_jobs_dlq (id, execution_id, job_id, failed_at, error_details, resolved)
    SELECT gen_random_uuid(), e.id, e.job_id, e.completed_at,
        jsonb_build_object('message', e.error_message, 'statusCode', 500, 'attempts', 1),
        e.completed_at < now() - interval '5 days'
    FROM job_executions AS e WHERE e.status = 'FAILED' AND e.job_id > %(after)s
"""
# Attempts and lines of the jobs whose pages are asked for, and of enough others.
ATTEMPTS = """
    INSERT INTO batch_job_logs (job_name, started_at, finished_at, status, execution_id, job_id, worker_id)
    SELECT 'bench', e.started_at, e.completed_at,
        CASE e.status WHEN 'FAILED' THEN 'failed' ELSE 'success' END, e.id, e.job_id, 'scheduler-bench'
    FROM job_executions AS e
    WHERE e.completed_at > now() - interval '3 days' AND e.status <> 'SKIPPED' AND e.job_id > %(after)s
"""
LINES = """
    INSERT INTO job_execution_logs (execution_id, log_level, message)
    SELECT execution_id, 'INFO', 'Job execution ' || n FROM batch_job_logs, generate_series(1, 3) AS n
    WHERE job_id > %(after)s
"""
AUDIT = """
    INSERT INTO job_audit_log (job_id, action, changed_by, change_details, timestamp)
    SELECT id, 'UPDATED', 'bench', '{"priority": {"old": 5, "new": 6}}', now() - interval '1 hour' * n
    FROM batch_jobs, generate_series(1, 3) AS n WHERE id > %(after)s
"""
TRANSACTIONS = """
    INSERT INTO transactions (type, amount, status, created_at)
    SELECT 'credit', 10, 'completed', now() - interval '1 second' * n FROM generate_series(1, %(tenth)s) AS n
"""
AFTER_THE_LEDGER = (TAGGED, PRESENT, LETTERS, ATTEMPTS, LINES, AUDIT, TRANSACTIONS)


def fill(*, jobs: int, executions: int) -> None:
    """Add so many jobs, and so many executions of them, to the database."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM batch_jobs")
        after = cursor.fetchone()[0]
        cursor.execute(JOBS, {"count": jobs, "user": _owner()})
        with _bare_ledger(cursor):
            rounds = executions // jobs
            for number in range(rounds - 1, -1, -1):
                span = f"{DAYS * 86_400 / rounds} seconds"
                cursor.execute(
                    RUNS.replace("%(span)s", "%(span)s::interval"),
                    {"span": span, "round": number, "after": after},
                )
        values = {"after": after, "present": min(5000, jobs // 4), "tenth": executions // 10}
        for sql in AFTER_THE_LEDGER:
            cursor.execute(sql, values)
        cursor.execute("VACUUM ANALYZE")


def _owner() -> Any:
    """The user whose jobs they are; made at first, with twenty tags and three processes that live."""
    from accounts.models import User
    from executions.models import Instance
    from jobs.models import Tag

    known = User.objects.first()
    if known is not None:
        return known.pk
    user = User.objects.create_superuser("bench@example.com", "long enough", name="Bench")
    Tag.objects.bulk_create(Tag(id=uuid.uuid4(), name=f"tag {n:02d}", user=user) for n in range(20))
    Instance.objects.bulk_create(
        Instance(id=f"scheduler-{n}", metadata={"hostname": "bench", "pid": n, "concurrency": 10})
        for n in range(3)
    )
    return user.pk


@contextmanager
def _bare_ledger(cursor: Any) -> Iterator[None]:
    """The ledger without its triggers and secondary indexes; both are made again, and the counts taken."""
    from executions.statistics import POSTGRESQL_TRIGGERS, TABLE, ensure

    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s"
        " AND indexname NOT IN (SELECT conname FROM pg_constraint)",
        [LEDGER],
    )
    indexes = cursor.fetchall()
    for name, _ in indexes:
        cursor.execute(f'DROP INDEX "{name}"')
    for name in POSTGRESQL_TRIGGERS:
        cursor.execute(f"DROP TRIGGER {TABLE}_{name} ON {LEDGER}")
    yield
    for _, definition in indexes:
        cursor.execute(definition)
    ensure()


# What is measured -------------------------------------------------------------------------------------


def pages() -> dict[str, str]:
    """The pages that people look at all day, by name."""
    from django.urls import reverse

    from executions.models import Execution
    from jobs.models import Job
    from web.admin.lists import CAP

    job = Job.objects.filter(state="active").order_by("-id")[0]
    run = Execution.objects.filter(job=job, status="SUCCESS").order_by("-scheduled_at")[0]
    jobs, executions = (
        reverse("admin:jobs_job_changelist"),
        reverse("admin:executions_execution_changelist"),
    )
    letters = reverse("admin:executions_deadletter_changelist")
    of_job = {
        f"job: {name}": reverse(f"admin:jobs_job_{name}", args=(job.pk,))
        for name in ("change", "timeline", "audit", "versions", "explain")
    }
    return {
        "dashboard": reverse("admin:index"),
        "dashboard, refresh": reverse("admin:dashboard"),
        "jobs": jobs,
        "jobs, failing": f"{jobs}?outcome=failing",
        "jobs, by tag": f"{jobs}?tag=tag 07",
        "jobs, by handler": f"{jobs}?handler=default",
        "jobs, by next run": f"{jobs}?o=4",
        "jobs, search": f"{jobs}?q={job.name}",
        **of_job,
        "executions": executions,
        "executions, last page": f"{executions}?p={min(CAP, Execution.objects.count()) // 50}",
        "executions, failed in 24 h": f"{executions}?status=FAILED&ended=24h",
        "executions, succeeded in 24 h": f"{executions}?status=SUCCESS&ended=24h",
        "executions, late": f"{executions}?status=late",
        "executions, by reason": f"{executions}?reason=error",
        "executions, of a job": f"{executions}?job={job.pk}",
        "executions, search": f"{executions}?q={job.name}",
        "execution": reverse("admin:executions_execution_change", args=(run.pk,)),
        "dead letters": letters,
        "dead letters, of a job": f"{letters}?job={job.pk}&resolved=all",
        "dead letters, grouped": reverse("admin:executions_deadletter_groups"),
        "queues": reverse("admin:jobs_queue_changelist"),
        "audit": reverse("admin:jobs_auditentry_changelist"),
        "transactions": reverse("admin:reports_transaction_changelist"),
    }


@dataclass(frozen=True, kw_only=True)
class Page:
    """Milliseconds of `rounds` requests of one page, those of the processors, and its queries.

    `cpu` adds up this process and its connection's backend: on a busy machine it tells more than the clock.
    """

    median: float
    best: float
    cpu: float
    queries: int


def measure(rounds: int) -> dict[str, Page]:
    """Ask for every page so many times."""
    from django.core.cache import cache
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from accounts.models import User
    from executions.engine import clock
    from executions.models import Instance

    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get(), backend="accounts.backends.StaffBackend")
    with connection.cursor() as cursor:
        cursor.execute("SET max_parallel_workers_per_gather = 0")  # they would be counted nowhere
        cursor.execute("SELECT pg_backend_pid()")
        backend = Path(f"/proc/{cursor.fetchone()[0]}/stat")
    found = {}
    for name, address in pages().items():
        Instance.objects.update(last_heartbeat=clock.now())
        cache.clear()  # the first is cold: the forecast is worked out
        begun = _cpu(backend)
        spent = [_time(client, address) for _ in range(rounds)]
        cpu = 1000 * (_cpu(backend) - begun) / rounds
        with CaptureQueriesContext(connection) as captured:
            client.get(address)
        found[name] = Page(median=statistics.median(spent), best=min(spent), cpu=cpu, queries=len(captured))
    return found


def _cpu(backend: Path) -> float:
    """Seconds of processor time so far, of this process and of a database on this machine."""
    if not backend.exists():
        return time.process_time()
    user, system = backend.read_text().rpartition(")")[2].split()[11:13]
    return time.process_time() + (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _time(client: Any, address: str) -> float:
    begun = time.perf_counter()
    answer = client.get(address)
    spent = 1000 * (time.perf_counter() - begun)
    assert answer.status_code == 200, answer
    return spent


def tell(small: dict[str, Page], large: dict[str, Page]) -> None:
    """One line a page: small beside large."""
    head = f"  {'page':<30} {'small':>7} {'large':>7} {'ratio':>6} {'best':>7} {'cpu':>7}  queries"
    print(f"\n{machine()}\n\n{head}")
    for name, page in large.items():
        before = small[name]
        figures = (before.median, page.median, page.median / before.median, page.best, page.cpu)
        marks = "" if page.median <= REACH else f"  over {REACH} ms"
        print(
            "  {:<30} {:>4.0f} ms {:>4.0f} ms {:>6.2f} {:>4.0f} ms {:>4.0f} ms".format(name, *figures)
            + f" {before.queries:>4} {page.queries:>4}{marks}"
        )


def publish_slowest(small: dict[str, Page], large: dict[str, Page], size: str) -> None:
    """The dashboard and the slowest page for the table of all questions."""
    slowest = max(large, key=lambda name: large[name].median)
    publish(
        [
            Finding(
                question=f"The admin over {size}: {words}",
                figure=f"{large[name].median:.0f} ms",
                beside=f"a hundredth of it: {small[name].median:.0f} ms",
                ratio=large[name].median / small[name].median,
                reach=f"≤ {REACH} ms",
                reached=large[name].median <= REACH,
                load=load(),
            )
            for name, words in (("dashboard", "dashboard"), (slowest, f"the slowest page ({slowest})"))
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with own_database():
        fill(jobs=given.jobs // 100, executions=given.executions // 100)
        small = measure(given.rounds)
        begun = time.perf_counter()
        fill(jobs=given.jobs, executions=given.executions)
        print(
            f"{given.jobs:,} jobs and {given.executions:,} executions in {time.perf_counter() - begun:.0f} s"
        )
        large = measure(given.rounds)
        tell(small, large)
        publish_slowest(small, large, f"{given.jobs:,} jobs and {given.executions:,} executions")


if __name__ == "__main__":
    main()
