"""A small installation for the admin's tests: jobs of every kind with runs, dead letters and all the rest."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.test import Client
from django.urls import resolve, reverse

from accounts.models import ApiToken, User
from alerts.models import Alert, Delivery
from executions import operations
from executions.engine import clock
from executions.models import (
    Attempt,
    BulkRequeue,
    DeadLetter,
    Execution,
    ExecutionLog,
    Instance,
)
from jobs import manifest
from jobs.audit import actor_of
from jobs.models import Calendar, Dependency, Job, Queue, Tag
from reports.models import ReportFile, Transaction
from tests.db.accounts.people import make_user

HOSTILE = (
    "<script>alert(1)</script>",
    "\u202egnp.exe \u2067rtl\u2069",
    "javascript:alert(1)//\"'><img src=x onerror=alert(1)>",
    "{{ 7|add:7 }}{% now 'Y' %} %s {0} &amp; </textarea></script>",
)


def staff(group: str = "admins", email: str = "") -> User:
    """The person of this group; made at the first call."""
    email = email or f"{group}@example.com"
    known = User.objects.filter(email=email).first()
    return known or make_user(email, is_staff=True, groups=(group,))


def browse(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="accounts.backends.StaffBackend")
    return client


def make_admin_job(name: str = "nightly", *, by: User | None = None, tags: Any = (), **fields: Any) -> Job:
    """A job made by the verb, as the form makes it."""
    columns = {"cron_expression": "0 3 * * *", "origin": "admin", "headers": {}, "payload": {}, **fields}
    actor = actor_of(by or User.objects.first() or staff())
    return operations.create(Job(name=name, **columns), by=actor, tags=tags)


def make_run(
    job: Job, status: str = "SUCCESS", *, ago: timedelta = timedelta(hours=1), **fields: Any
) -> Execution:
    """An execution of the past with one attempt and one line."""
    at = clock.now() - ago
    given: dict[str, Any] = {
        "id": uuid.uuid4(),
        "job": job,
        "scheduled_at": at.replace(microsecond=0),
        "started_at": at + timedelta(seconds=1),
        "executed_at": at + timedelta(seconds=1),
        "completed_at": at + timedelta(seconds=3),
        "execution_duration_ms": 2000,
        "status": status,
        "attempt": 1,
    }
    if status in ("PENDING", "RETRYING"):
        given |= {"started_at": None, "completed_at": None, "next_attempt_at": at, "attempt": 0}
    if status == "RUNNING":
        given |= {
            "completed_at": None,
            "token": uuid.uuid4(),
            "lease_expires_at": clock.now() + timedelta(hours=1),
            "progress_processed": 40,
            "progress_total": 100,
            "locked_by": "scheduler-test",
        }
    run = Execution.objects.create(**given | fields)
    if run.attempt:
        Attempt.objects.create(
            execution=run,
            job_id=job.pk,
            job_name=job.name,
            started_at=run.started_at or at,
            finished_at=run.completed_at,
            status={"SUCCESS": "success", "RUNNING": "running"}.get(status, "failed"),
            failure_reason=run.error_message,
        )
        ExecutionLog.objects.create(execution=run, log_level="INFO", message=f"line of {job.name}")
    return run


def make_letter(job: Job, message: str = "broken", **fields: Any) -> DeadLetter:
    run = make_run(job, "FAILED", error_message=message, reason="error", **fields)
    details = {"message": message, "statusCode": 500, "retryPolicy": None, "attempts": 1}
    return DeadLetter.objects.create(execution=run, job_id=job.pk, error_details=details)


@dataclass
class World:
    """What was made, by what it is."""

    job: Job
    run: Execution
    running: Execution
    waiting: Execution
    letter: DeadLetter
    tag: Tag
    calendar: Calendar
    alert: Alert
    user: User


def make_world(text: str = "nightly") -> World:
    """Rows in every table that the admin shows; `text` is every name and message in them."""
    user = User.objects.filter(email="owner@example.com").first() or make_user(
        "owner@example.com", name=text[:255]
    )
    name = text[:255]
    tag = Tag.objects.create(user=user, name=text[:100], description=text)
    calendar = Calendar.objects.create(
        name=f"closed {uuid.uuid4().hex[:6]}",
        description=text,
        definition={
            "dates": [{"date": "2026-12-24", "open": False, "note": text[:200]}],
            "weekend": [6, 7],
            "holidays": None,
        },
    )
    job = make_admin_job(
        name, by=user, description=text[:2000], payload={"text": text[:5000]}, handler="default"
    )
    job.tags.add(tag)
    other = make_admin_job(
        f"{name[:200]} other", by=user, calendar_id=calendar.pk, api_endpoint="http://127.0.0.1/x"
    )
    make_admin_job(f"{name[:200]} once", by=user, schedule_type="one_time", cron_expression=None)
    make_admin_job(
        f"{name[:200]} daily",
        by=user,
        schedule_type="recurring",
        recurrence_pattern="daily",
        cron_expression=None,
    )
    Job.objects.create(name=f"{name[:200]} unread", cron_expression=text[:200], origin="sql")
    manifest.remember(other, source=text[:255], now=clock.now())
    Dependency.objects.create(job=other, depends_on=job)
    operations.pause(other, by=actor_of(user), reason=text[:500])
    run = make_run(job, response_body=text, result={"text": text}, triggered_by=text[:255])
    running = make_run(job, "RUNNING", ago=timedelta(minutes=1))
    waiting = make_run(job, "PENDING", ago=timedelta(minutes=2))
    letter = make_letter(job, text, ago=timedelta(minutes=3))
    alert = Alert.objects.create(
        user=user, job=job, type="WEBHOOK", endpoint="https://hooks.example/x?token=hush"
    )
    Delivery.objects.create(alert=alert, execution_id=letter.execution_id, event="job.failed", error=text)
    Queue.objects.update_or_create(name="mails", defaults={"paused": True, "paused_reason": text[:500]})
    Instance.objects.get_or_create(
        id="scheduler-test", defaults={"metadata": {"hostname": text, "pid": 1, "concurrency": 4}}
    )
    Transaction.objects.create(type="credit", amount="10.00", status="pending")
    ReportFile.objects.create(
        job_id=job.pk, execution=run, name=name, data_date="2026-01-01", rows=1, bytes=10, sha256="0" * 64
    )
    BulkRequeue.objects.create(user=user, requested_by=text[:255], count=3, reason=text)
    ApiToken.objects.create(user=user, name=text[:100], token_hash=uuid.uuid4().hex * 2)
    return World(job, run, running, waiting, letter, tag, calendar, alert, user)


def pages_of(world: World) -> list[str]:
    """The address of every page of the admin over this world."""
    key = world.job.pk
    models = [
        "jobs_job",
        "jobs_tag",
        "jobs_calendar",
        "jobs_queue",
        "jobs_dependency",
        "jobs_auditentry",
        "executions_execution",
        "executions_deadletter",
        "executions_instance",
        "executions_bulkrequeue",
        "reports_transaction",
        "reports_reportfile",
        "alerts_alert",
        "alerts_delivery",
        "accounts_user",
        "accounts_apitoken",
    ]
    lists = [reverse(f"admin:{model}_changelist") for model in models]
    of_job = [
        reverse(f"admin:jobs_job_{name}", args=(key,))
        for name in ("change", "timeline", "audit", "versions", "explain")
    ]
    jobs = [reverse("admin:jobs_job_change", args=(job.pk,)) for job in Job.objects.all()]
    verbs = [
        reverse("admin:jobs_job_verb", args=(key, verb))
        for verb in ("run", "pause", "cancel", "reschedule", "backfill", "tag", "duplicate", "delete")
    ]
    return [
        reverse("admin:index"),
        *lists,
        *of_job,
        *jobs,
        *verbs,
        reverse("admin:jobs_job_changelist") + "?tag=" + "x",
        reverse("admin:jobs_job_add"),
        reverse("admin:jobs_tag_add"),
        reverse("admin:jobs_calendar_add"),
        reverse("admin:jobs_dependency_add"),
        reverse("admin:jobs_dependency_graph"),
        reverse("admin:jobs_tag_change", args=(world.tag.pk,)),
        reverse("admin:jobs_calendar_change", args=(world.calendar.pk,)) + "?month=2026-12",
        reverse("admin:jobs_calendar_verb", args=(world.calendar.pk, "import")),
        *(
            reverse("admin:executions_execution_change", args=(run.pk,))
            for run in (world.run, world.running, world.waiting, world.letter.execution)
        ),
        reverse("admin:executions_execution_verb", args=(world.running.pk, "cancel")),
        reverse("admin:executions_deadletter_change", args=(world.letter.pk,)),
        reverse("admin:executions_deadletter_groups"),
        reverse("admin:executions_deadletter_verb", args=(world.letter.pk, "requeue")),
        reverse("admin:executions_bulkrequeue_change", args=(BulkRequeue.objects.all()[0].pk,)),
        reverse("admin:executions_instance_change", args=("scheduler-test",)),
        reverse("admin:alerts_alert_change", args=(world.alert.pk,)),
        reverse("admin:alerts_alert_add"),
        reverse("admin:alerts_alert_verb", args=(world.alert.pk, "test")),
        reverse("admin:reports_reportfile_change", args=(ReportFile.objects.all()[0].pk,)),
        reverse("admin:accounts_user_change", args=(world.user.pk,)),
        reverse("admin:accounts_user_add"),
        reverse("admin:accounts_apitoken_add"),
        reverse("admin:jobs_tag_delete", args=(world.tag.pk,)),
        reverse("admin:alerts_alert_delete", args=(world.alert.pk,)),
        reverse("admin:auth_group_changelist"),
        reverse("admin:jobs_auditentry_changelist") + "?subject=queue:mails&by=x",
    ]


def kinds_of(world: World) -> list[str]:
    """One address of every kind of page: of a view, and of each verb."""
    found: dict[tuple[str, Any], str] = {}
    for path in pages_of(world):
        match = resolve(path.partition("?")[0])
        found.setdefault((match.view_name, match.kwargs.get("verb")), path)
    drifted = Job.objects.filter(applied__isnull=False).order_by("-id")[0]
    return [*found.values(), reverse("admin:jobs_job_change", args=(drifted.pk,))]


def later(**span: float) -> datetime:
    return clock.now() + timedelta(**span)
