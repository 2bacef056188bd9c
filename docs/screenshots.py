"""Takes the pictures of the documentation: `make screenshots`.

A database of its own is filled with a day of a small company's work; nothing is read from, or written to, the
one that DATABASE_URL names.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).resolve().parent / "images"
FOLDER = Path(tempfile.mkdtemp(prefix="screenshots-"))
os.environ.update(
    {
        "APP_ENV": "test",
        "DJANGO_SETTINGS_MODULE": "scheduler_site.settings",
        "DATABASE_URL": f"sqlite:///{FOLDER / 'pictures.sqlite3'}",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SECRET": secrets.token_urlsafe(48),
        "EXPORT_DIRECTORY": str(FOLDER / "exports"),
        # Playwright runs a loop of its own in this thread.
        "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
    }
)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import django  # noqa: E402

django.setup()

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import reverse  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402

from accounts.models import User  # noqa: E402
from executions import operations  # noqa: E402
from executions.engine import clock  # noqa: E402
from executions.models import Attempt, DeadLetter, Execution, ExecutionLog, Instance  # noqa: E402
from jobs.audit import actor_of  # noqa: E402
from jobs.models import Job  # noqa: E402

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
]
VIEWS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1360, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1360, "height": 900}, "color_scheme": "dark"},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "color_scheme": "light",
        "is_mobile": True,
        "has_touch": True,
    },
}
# Name, expression, more columns, tags, share of failures, seconds of a run.
JOBS: tuple[tuple[str, str, dict[str, Any], tuple[str, ...], float, float], ...] = (
    ("process-transactions", "0 36 17 * * *", {}, ("finance",), 0.0, 41),
    (
        "generate-daily-reports",
        "0 18 6 * * MON-FRI",
        {"timezone": "Europe/Berlin"},
        ("finance", "reports"),
        0.0,
        12,
    ),
    (
        "sync-inventory",
        "*/10 * * * *",
        {"api_endpoint": "https://shop.example/api/inventory/sync"},
        ("shop",),
        0.04,
        3,
    ),
    (
        "refresh-exchange-rates",
        "5 * * * *",
        {"api_endpoint": "https://rates.example/v2/latest", "method": "GET"},
        ("finance",),
        0.0,
        0.4,
    ),
    ("send-invoices", "0 8 * * MON-FRI", {"timezone": "Europe/Berlin", "queue": "mails"}, ("mail",), 0.0, 95),
    (
        "charge-subscriptions",
        "15 2 * * *",
        {"api_endpoint": "https://pay.example/charges"},
        ("finance",),
        0.5,
        7,
    ),
    ("rebuild-search-index", "30 */3 * * *", {"overlap_policy": "skip"}, ("shop",), 0.1, 240),
    ("expire-sessions", "*/30 * * * *", {}, (), 0.0, 0.2),
    (
        "import-orders",
        "*/15 * * * *",
        {"api_endpoint": "https://orders.example/export", "queue": "imports"},
        ("shop",),
        0.12,
        18,
    ),
    ("warm-caches", "0 */2 * * *", {"api_endpoint": "https://shop.example/warm"}, ("shop",), 0.0, 6),
    ("backup-database", "45 1 * * *", {"timezone": "Europe/Berlin"}, (), 0.0, 610),
    ("send-newsletter", "0 9 * * 2", {"timezone": "America/New_York", "queue": "mails"}, ("mail",), 0.0, 300),
)
ERRORS = ("HTTP 503: Service Unavailable", "timeout of 30000ms exceeded", "HTTP 500: Internal Server Error")


def fill(now: datetime) -> dict[str, Any]:
    """A day of work in the tables; answers what the pictures need to know."""
    dice = random.Random(7)
    user = User.objects.create_superuser("ops@example.com", secrets.token_urlsafe(12), name="Robin")
    jobs = {}
    for name, expression, columns, tags, failing, seconds in JOBS:
        job = Job(
            name=name, cron_expression=expression, origin="admin", **{"headers": {}, "payload": {}, **columns}
        )
        job = operations.create(job, by=actor_of(user), tags=tags)
        jobs[name] = job
        _add_history(job, now, failing, seconds, dice)
    operations.pause(jobs["send-newsletter"], by=actor_of(user), reason="new template is being tested")
    operations.pause_queue("imports", by=actor_of(user), reason="the order system is being moved")
    operations.update(jobs["sync-inventory"], {"timeout_ms": 10_000, "jitter_seconds": 20}, by=actor_of(user))
    running = _add_running(jobs["rebuild-search-index"], now, 62, 100)
    _add_running(jobs["process-transactions"], now, 184_000, 250_000)
    for minutes in (4, 19):
        Execution.objects.create(
            id=uuid.uuid4(),
            job=jobs["import-orders"],
            queue="imports",
            scheduled_at=now - timedelta(minutes=minutes),
            next_attempt_at=now - timedelta(minutes=minutes),
        )
    for number, role in enumerate(("scheduler", "scheduler", "worker")):
        about = {
            "hostname": f"app-{number + 1}",
            "pid": 812 + number,
            "concurrency": 10,
            "queues": ["*"],
            "startTime": now.isoformat(),
        }
        Instance.objects.create(
            id=f"{role}-{uuid.uuid4()}",
            role=role,
            metadata=about,
            jobs_processed_count=4000 + 731 * number,
        )
    return {"jobs": jobs, "running": running}


def _add_history(job: Job, now: datetime, failing: float, seconds: float, dice: random.Random) -> None:
    from jobs import schedules
    from jobs.timing import between

    times = between(schedules.read(job), now - timedelta(days=3), now - timedelta(minutes=10), 400)
    for place, found in enumerate(times):
        fails = dice.random() < failing
        tries = 3 if fails and dice.random() < 0.7 else 1
        spent = timedelta(seconds=seconds * dice.uniform(0.6, 1.5))
        start = found.at + timedelta(milliseconds=dice.randint(8, 90))
        error = dice.choice(ERRORS) if fails else None
        run = Execution(
            id=uuid.uuid4(),
            job=job,
            queue=job.queue,
            scheduled_at=found.at,
            started_at=start,
            executed_at=start + (tries - 1) * (spent + timedelta(seconds=4)),
            completed_at=start + tries * spent + (tries - 1) * timedelta(seconds=4),
            status="FAILED" if fails else "SUCCESS",
            reason="http_status" if fails else None,
            error_message=error,
            attempt=tries,
            retry_count=tries - 1,
            execution_duration_ms=int(spent.total_seconds() * 1000),
            http_status_code=(503 if fails else 200) if job.api_endpoint else None,
            next_attempt_at=None,
        )
        run.save(force_insert=True)
        _add_attempts(run, start, spent, tries, fails)
        if fails:
            details = {"message": error, "statusCode": 503, "retryPolicy": None, "attempts": tries}
            DeadLetter.objects.create(
                execution=run,
                job_id=job.pk,
                failed_at=run.completed_at or now,
                error_details=details,
                retry_attempts=tries - 1,
                resolved=place < len(times) - 30,
            )
    if times:
        Job.objects.filter(pk=job.pk).update(last_run_at=times[-1].at)


def _add_attempts(run: Execution, start: datetime, spent: timedelta, tries: int, fails: bool) -> None:
    for number in range(tries):
        begin = start + number * (spent + timedelta(seconds=4))
        Attempt.objects.create(
            execution=run,
            job_id=run.job_id,
            job_name=run.job.name,
            attempt_number=number + 1,
            started_at=begin,
            finished_at=begin + spent,
            status="failed" if fails else "success",
            failure_reason=run.error_message,
            worker_id="scheduler-app-1",
        )


def _add_running(job: Job, now: datetime, done: int, total: int) -> Execution:
    start = now - timedelta(seconds=47)
    run: Execution = Execution.objects.create(
        id=uuid.uuid4(),
        job=job,
        scheduled_at=now - timedelta(seconds=48),
        started_at=start,
        executed_at=start,
        status="RUNNING",
        attempt=1,
        token=uuid.uuid4(),
        lease_expires_at=now + timedelta(hours=2),
        locked_by="scheduler-app-1",
        progress_processed=done,
        progress_total=total,
        total_processed=done,
        total_success=done,
    )
    Attempt.objects.create(
        execution=run,
        job_id=job.pk,
        job_name=job.name,
        started_at=start,
        status="running",
        worker_id="scheduler-app-1",
    )
    lines = (
        ("INFO", "Job execution started"),
        ("INFO", "reading 100 shards"),
        ("WARN", "shard 17 was locked; tried again"),
        ("INFO", f"{done} of {total} done"),
    )
    for number, (level, text) in enumerate(lines):
        ExecutionLog.objects.create(
            execution=run, log_level=level, message=text, timestamp=start + timedelta(seconds=11 * number)
        )
    return run


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Nobody reads the requests of a picture."""


@contextmanager
def serving() -> Iterator[str]:
    """The site on a free port of this machine."""
    server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
    server.set_app(get_wsgi_application())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def log_in() -> str:
    """The key of a session of the superuser."""
    user = User.objects.get(email="ops@example.com")
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "accounts.backends.StaffBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return str(session.session_key)


def shoot(browser: Browser, base: str, pages: dict[str, str], session: str) -> None:
    """Every page in every view."""
    for view, options in VIEWS.items():
        context = browser.new_context(locale="en-GB", timezone_id="UTC", reduced_motion="reduce", **options)
        context.add_cookies([{"name": "sessionid", "value": session, "url": base}])
        page = context.new_page()
        for name, address in pages.items():
            Instance.objects.update(last_heartbeat=clock.now())
            page.goto(base + address)
            page.wait_for_load_state("networkidle")
            page.screenshot(path=IMAGES / f"{name}-{view}.png")
        context.close()


def main() -> None:
    """Fill, serve, shoot."""
    call_command("migrate", verbosity=0)
    made = fill(clock.now())
    jobs = made["jobs"]
    pages = {
        "dashboard": reverse("admin:index"),
        "jobs": reverse("admin:jobs_job_changelist"),
        "job-form": reverse("admin:jobs_job_change", args=(jobs["generate-daily-reports"].pk,)),
        "timeline": reverse("admin:jobs_job_timeline", args=(jobs["import-orders"].pk,)),
        "execution": reverse("admin:executions_execution_change", args=(made["running"].pk,)),
        "dead-letters": reverse("admin:executions_deadletter_groups"),
    }
    IMAGES.mkdir(exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with serving() as base, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        shoot(browser, base, pages, log_in())
        browser.close()
    for path in sorted(IMAGES.glob("*.png")):
        sys.stdout.write(f"{path.name} {path.stat().st_size // 1024} KiB\n")


if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
