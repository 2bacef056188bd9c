"""One user with a thing of every kind, and what each route of the API may be asked about them."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from django.apps import apps

from accounts.api_keys import create_key
from accounts.models import User
from alerts.models import Alert, Delivery
from executions.models import BulkRequeue, ExecutionLog, Status
from jobs.models import Calendar, Dependency, JobTag, Queue, Tag
from reports.models import ReportFile
from tests.db.accounts.people import make_user
from tests.db.executions.world import NOW, make_attempt, make_dead_letter, make_execution, make_job

CANARY = "canary-of-ada"
HOOK = "http://127.0.0.1:9/"
CSV = "id,name\n1,canary-of-ada\n"

# The things of an owner, by what stands in the address; and what is everybody's or of staff.
OWNED: dict[str, Any] = {
    "GET /jobs/{job}": None,
    "PUT /jobs/{job}": {"name": "taken"},
    "PATCH /jobs/{job}": {"name": "taken"},
    "DELETE /jobs/{job}": None,
    "POST /jobs/{job}/pause": {},
    "POST /jobs/{job}/resume": {},
    "POST /jobs/{job}/cancel": {},
    "POST /jobs/{job}/reschedule": {"scheduledAt": "2030-01-01T00:00:00Z"},
    "POST /jobs/{job}/trigger": {},
    "POST /jobs/{job}/backfill": {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"},
    "POST /jobs/{job}/clone": {},
    "GET /jobs/{job}/preview": None,
    "GET /jobs/{job}/explain": None,
    "GET /jobs/{job}/executions": None,
    "GET /jobs/{job}/versions": None,
    "POST /jobs/{job}/rollback": {"version": 1},
    "GET /jobs/{job}/audit": None,
    "GET /jobs/{job}/tags": None,
    "PUT /jobs/{job}/tags": {"tags": ["taken"]},
    "GET /jobs/{job}/dependencies": None,
    "POST /jobs/{job}/dependencies": {"dependsOnJobId": "{first}"},
    "DELETE /jobs/{job}/dependencies/{first}": None,
    "GET /jobs/{job}/alerts": None,
    "POST /jobs/{job}/alerts": {"type": "WEBHOOK", "endpoint": HOOK},
    "GET /metrics/jobs/{job}": None,
    "GET /executions/{execution}": None,
    "GET /executions/{execution}/logs": None,
    "POST /executions/{waiting}/cancel": None,
    "GET /dlq/{letter}": None,
    "POST /dlq/{letter}/retry": {},
    "POST /dlq/{letter}/resolve": None,
    "GET /dlq/requeues/{requeue}": None,
    "GET /alerts/{alert}": None,
    "PATCH /alerts/{alert}": {"enabled": False},
    "DELETE /alerts/{alert}": None,
    "GET /alerts/{alert}/deliveries": None,
    "POST /alerts/{alert}/test": None,
    "PATCH /tags/{tag}": {"name": "taken"},
    "DELETE /tags/{tag}": None,
    "GET /reports/{report}": None,
    "GET /reports/{report}/download": None,
    "DELETE /auth/tokens/{token}": None,
}
LISTS = ("/jobs", "/executions", "/dlq", "/alerts", "/tags", "/reports", "/auth/tokens")
# Bodies that name a thing of somebody else: 400 on that field.
IN_BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "POST /jobs": ({"name": "n", "schedule": "0 9 * * *", "dependsOn": ["{job}"]}, "dependsOn"),
    "POST /alerts": ({"type": "WEBHOOK", "endpoint": HOOK, "jobId": "{job}"}, "jobId"),
    "POST /alerts by tag": ({"type": "WEBHOOK", "endpoint": HOOK, "tag": "ada-tag"}, "tag"),
    "POST /dlq/retry": ({"ids": ["{letter}"]}, "ids.0"),
    "POST /dlq/resolve": ({"ids": ["{letter}"]}, "ids.0"),
    "PATCH /jobs/{own}": ({"dependsOn": ["{job}"]}, "dependsOn"),
    "PUT /jobs/{own}": ({"dependsOn": ["{job}"]}, "dependsOn"),
    "POST /jobs/{own}/dependencies": ({"dependsOnJobId": "{job}"}, "dependsOnJobId"),
    "POST /jobs/{own}/clone": ({"dependsOn": ["{job}"]}, "dependsOn"),
}
# What belongs to nobody in particular.
SHARED = {
    "POST /schedules/preview",
    "GET /calendars",
    "POST /calendars",
    "GET /calendars/{name}",
    "PATCH /calendars/{name}",
    "DELETE /calendars/{name}",
    "POST /calendars/{name}/import",
    "GET /queues",
    "PATCH /queues/{name}",
    "POST /queues/{name}/pause",
    "POST /queues/{name}/resume",
    "GET /handlers",
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /health/scheduler",
    "GET /scheduler/status",
    "GET /metrics",
    "POST /auth/register",
    "POST /auth/login",
    "GET /auth/me",
    "PATCH /auth/me",
    "POST /auth/tokens",
    "POST /tags",
    "GET /users",
    "PATCH /users/{id}",
}


@dataclass
class Estate:
    """The ids of one user's things, by the words of the tables above."""

    user: User
    ids: dict[str, str] = field(default_factory=dict)

    def fill(self, text: str) -> str:
        """The text with ids for its words."""
        for word, key in self.ids.items():
            text = text.replace(f"{{{word}}}", key)
        return text

    def body(self, value: Any) -> Any:
        """The same inside a body."""
        if isinstance(value, dict):
            return {key: self.body(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.body(inner) for inner in value]
        return self.fill(value) if isinstance(value, str) else value


def make_estate(exports: Path, email: str = "ada@example.com", name: str = "ada", **fields: Any) -> Estate:
    """A user with a job, its executions, a dead letter, an alert and a report: all that can be owned."""
    user = make_user(email, **fields)
    canary = f"canary-of-{name}"
    first = make_job(user=user, name=f"first {canary}")
    job = make_job(user=user, name=canary, payload={"secret": canary}, description=canary)
    Dependency.objects.create(job=job, depends_on=first)
    tag = Tag.objects.create(id=uuid.uuid4(), user=user, name=f"{name}-tag", description=canary)
    JobTag.objects.create(job=job, tag=tag)
    done = make_execution(job, status=Status.FAILED, completed_at=NOW, error_message=canary, attempt=1)
    make_attempt(done, failure_reason=canary, status="failed")
    ExecutionLog.objects.create(execution=done, log_level="ERROR", message=canary)
    waiting = make_execution(job, next_attempt_at=NOW)
    letter = make_dead_letter(done)
    requeue = BulkRequeue.objects.create(id=uuid.uuid4(), user=user, count=1, reason=canary)
    alert = Alert.objects.create(
        id=uuid.uuid4(), user=user, job=job, type="WEBHOOK", endpoint=f"{HOOK}{canary}"
    )
    Delivery.objects.create(
        id=uuid.uuid4(), alert=alert, job_id=job.id, execution_id=done.id, event="job.failed", error=canary
    )
    token, _text = create_key(user, name=canary)
    things = {
        "job": job.uuid,
        "first": first.uuid,
        "execution": done.id,
        "waiting": waiting.id,
        "letter": letter.id,
        "requeue": requeue.id,
        "alert": alert.id,
        "tag": tag.id,
        "report": make_report(exports, job, done, f"{canary}.csv").id,
        "token": token.pk,
        "user": user.pk,
    }
    return Estate(user=user, ids={word: str(key) for word, key in things.items()})


def make_shared() -> None:
    """A calendar and a queue, which have no owner."""
    definition = {"dates": [{"date": "2026-12-24"}], "weekend": [6, 7]}
    Calendar.objects.get_or_create(name="office", defaults={"definition": definition})
    Queue.objects.get_or_create(name="default")


def make_report(folder: Path, job: Any, execution: Any, name: str) -> ReportFile:
    """A report file in the export folder, and its row."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(CSV)
    report: ReportFile = ReportFile.objects.create(
        id=uuid.uuid4(),
        execution=execution,
        job_id=job.id,
        name=name,
        data_date=date(2026, 3, 3),
        rows=1,
        bytes=len(CSV),
        sha256=hashlib.sha256(CSV.encode()).hexdigest(),
    )
    return report


# Bookkeeping of the database itself, and what notes that somebody came by.
NOT_OURS = {"sessions.Session", "accounts.LoginTry", "contenttypes.ContentType", "accounts.ApiToken"}


def snapshot() -> dict[str, list[Any]]:
    """Every row of every table of ours."""
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values())
        for model in apps.get_models()
        if model._meta.managed and model._meta.label not in NOT_OURS
    }
