"""How fast is the API beside a plain ModelViewSet of the same rows, and does it stay quick under load?

    python -m bench.api [--jobs 500] [--seconds 4] [--rounds 3] [--steady 60] [--servers 2x4,2x8,1x8]

Floor: REST framework's own ModelViewSet and ModelSerializer over the same table, in the same server
(gunicorn, gthread), with the same middleware. Accepted from 0.8 of its requests/s. Then 100 requests/s of
mixed routes for a minute while the scheduler runs 100 executions/s beside it: p99 at most 100 ms, no error.
What both processes' kinds cost is told as processor time, which says something on a busy machine too.

The second part alone, as it is judged:  python -m bench.api --rounds 0
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.database import own_database
from bench.load import Connection, pace, press, request
from bench.table import Finding, Table, load, machine, publish
from tests.postgres import free_port

ROOT = Path(__file__).resolve().parents[1]
OPEN = {"DJANGO_SETTINGS_MODULE": "bench.api_settings", "AUTH_MODE": "optional", "LOG_LEVEL": "warn"}
EVERY_SECOND = 100


def make_jobs(count: int) -> tuple[list[str], str, list[str]]:
    """Jobs of nobody and of a user with all that a job can have; answers ids, the user's token and ids."""
    from django.utils import timezone

    from accounts.access_tokens import issue_token
    from accounts.models import User
    from jobs.models import Job, JobTag, Tag

    user = User.objects.create_user("bench@example.com", "long enough", name="Bench")
    tag = Tag.objects.create(id=uuid.uuid4(), name="bench", user=user)
    ids: dict[Any, list[str]] = {None: [], user: []}
    for owner, made in ids.items():
        jobs = Job.objects.bulk_create(
            Job(
                uuid=uuid.uuid4(),
                user=owner,
                name=f"job {number}",
                description="What it does, in a sentence or two as people write them.",
                cron_expression="0 3 1 1 *",
                api_endpoint="https://api.example.com/sync",
                headers={"X-Team": "ops"},
                payload={"customer": number, "options": {"full": True}},
                retry_policy={"maxRetries": 3, "backoffStrategy": "EXPONENTIAL", "initialDelayMs": 1000},
                origin="api",
            )
            for number in range(count)
        )
        made += [str(job.uuid) for job in jobs]
        if owner is not None:
            JobTag.objects.bulk_create(JobTag(job=job, tag=tag) for job in jobs)
    return ids[None], issue_token(user, now=timezone.now()), ids[user]


@contextmanager
def serving(*, workers: int, threads: int) -> Iterator[tuple[int, int]]:
    """gunicorn as it is deployed; yields its port and its process."""
    port = free_port()
    given = {"PORT": str(port), "WEB_CONCURRENCY": str(workers), "WEB_THREADS": str(threads)}
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn"], cwd=ROOT, env=os.environ | OPEN | given, start_new_session=True
    )
    try:
        _wait_for(port)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait_for(port: int) -> None:
    for _ in range(300):
        try:
            if Connection(port).ask(request("/health/live")):
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit("gunicorn did not start")


@contextmanager
def scheduling() -> Iterator[int]:
    """A scheduler that runs EVERY_SECOND jobs, each once a second; yields its process."""
    from jobs.models import Job

    jobs = Job.objects.bulk_create(
        Job(
            uuid=uuid.uuid4(),
            name=f"tick {number}",
            cron_expression="* * * * * *",
            handler="default",
            payload={"duration": 1},
        )
        for number in range(EVERY_SECOND)
    )
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "run_scheduler"],
            cwd=ROOT,
            env=os.environ | OPEN | {"DJANGO_SETTINGS_MODULE": "scheduler_site.settings"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            Job.objects.filter(pk__in=[job.pk for job in jobs]).update(state="inactive")


def compare(
    port: int, web: int, jobs: tuple[list[str], str, list[str]], *, seconds: float, rounds: int
) -> None:
    """Ours and the floor in turn, the best round of each, and the processor time of all rounds."""
    guests, token, own = jobs
    questions = {
        "detail, guest": (
            [f"/api/v1/jobs/{key}" for key in guests],
            [f"/plain/jobs/{key}" for key in guests],
            None,
        ),
        "20 rows, guest": (["/api/v1/jobs?limit=20"], ["/plain/jobs"], None),
        "detail, token": (
            [f"/api/v1/jobs/{key}" for key in own],
            [f"/known/jobs/{key}" for key in own],
            token,
        ),
        "20 rows, token": (["/api/v1/jobs?limit=20"], ["/known/jobs"], token),
    }
    for question, (ours, plain, bearer) in questions.items():
        best = {"plain ModelViewSet": 0.0, "ours": 0.0}
        spent, asked = dict(best), dict(best)
        for _ in range(rounds):
            for name, paths in (("plain ModelViewSet", plain), ("ours", ours)):
                before = _spent(web)
                figures = press(port, [request(path, token=bearer) for path in paths], seconds=seconds)
                assert not figures.errors, name
                best[name] = max(best[name], figures.rate)
                spent[name] += _spent(web) - before
                asked[name] += len(figures.times)
        table = Table(f"GET /jobs, {question}", unit="requests/s")
        for name, rate in best.items():
            table.add(name, rate, f"{1000 * spent[name] / asked[name]:.2f} ms of a processor each")
        table.show(floor="plain ModelViewSet")


def mixed(jobs: tuple[list[str], str, list[str]]) -> list[bytes]:
    """What a dashboard and a few programs ask."""
    _guests, token, own = jobs
    asked = []
    for turn, key in enumerate(own[:200]):
        asked += [
            request(f"/api/v1/jobs/{key}", token=token),
            request("/api/v1/jobs?limit=20", token=token),
            request(f"/api/v1/jobs/{key}/executions", token=token),
            request("/api/v1/executions"),
            request(f"/api/v1/jobs/{key}", token=token),
        ]
        # Every fifth round, one each: what is written, planned and watched.
        if turn % 5 == 0:
            asked += [
                request(f"/api/v1/jobs/{key}", method="PATCH", token=token, body=b'{"priority": 6}'),
                request(f"/api/v1/jobs/{key}/preview?count=5", token=token),
                request("/api/v1/metrics", token=token),
                request("/health"),
            ]
    return asked


def hold(port: int, web: int, scheduler: int, asked: list[bytes], *, seconds: float) -> None:
    """Ask 100 times a second, and tell what that was like and what ran beside it."""
    pace(port, asked, rate=100, seconds=5)  # connections and pools are open then
    before, ran = _spent(web), count_executions()
    scheduler_before, started = _spent(scheduler), time.perf_counter()
    figures = pace(port, asked, rate=100, seconds=seconds)
    took = time.perf_counter() - started
    times = ", ".join(f"p{100 * share:g} {figures.percentile(share):.0f} ms" for share in (0.5, 0.95, 0.99))
    asked_count = len(figures.times)
    print(
        f"    {asked_count} requests in {took:.1f} s ({asked_count / took:.1f}/s): {times}, "
        f"{figures.errors} errors\n"
        f"    beside them {(count_executions() - ran) / took:.1f} executions/s\n"
        f"    processor time: web {1000 * (_spent(web) - before) / asked_count:.2f} ms a request, "
        f"scheduler {100 * (_spent(scheduler) - scheduler_before) / took:.0f} % of a core",
        flush=True,
    )
    slowest = figures.percentile(0.99)
    publish(
        [
            Finding(
                question="100 requests/s for a minute beside 100 executions/s: p99",
                figure=f"{slowest:.0f} ms",
                reach="≤ 100 ms and 0 errors",
                reached=slowest <= 100 and not figures.errors,
                load=load(),
            )
        ]
    )


def _spent(pid: int) -> float:
    """Processor time of a process and its children until now, in seconds."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return _own_time(pid) + sum(_own_time(int(child)) for child in children)


def _own_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def count_executions() -> int:
    """How many executions ended well so far."""
    from executions.models import Execution

    return Execution.objects.filter(status="SUCCESS").count()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3, help="of floor and ours in turn; the best counts")
    parser.add_argument("--steady", type=float, default=60.0, help="seconds at 100 requests/s")
    parser.add_argument("--servers", default="2x4", help="processes x threads, the first for the comparison")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    servers = [tuple(int(part) for part in text.split("x")) for text in given.servers.split(",")]
    with own_database():
        jobs = make_jobs(given.jobs)
        if given.rounds:
            with serving(workers=servers[0][0], threads=servers[0][1]) as (port, web):
                compare(port, web, jobs, seconds=given.seconds, rounds=given.rounds)
        if given.steady:
            print(f"\n100 requests/s beside {EVERY_SECOND} executions/s\n{machine()}\n")
            with scheduling() as scheduler:
                for workers, threads in servers:
                    with serving(workers=workers, threads=threads) as (port, web):
                        print(f"  {workers} processes of {threads} threads")
                        hold(port, web, scheduler, mixed(jobs), seconds=given.steady)


if __name__ == "__main__":
    main()
