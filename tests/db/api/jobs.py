"""Jobs by way of the API, and what the ledger holds of them."""

from __future__ import annotations

from typing import Any

from executions.models import Execution
from jobs.models import AuditEntry, Job
from tests.db.accounts.people import Caller, fields_of, make_user

NO_ID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
DAILY = "0 9 * * *"

__all__ = ["DAILY", "NO_ID", "Caller", "answer", "create", "fields_of", "ledger", "make_user", "row", "trail"]


def answer(response: Any, status: int = 200) -> dict[str, Any]:
    """The body of an answer with this status code."""
    assert response.status_code == status, response.content
    body: dict[str, Any] = response.json()
    return body


def create(caller: Caller, **fields: Any) -> dict[str, Any]:
    """A job object, made by POST; a daily one unless the test says otherwise."""
    if not {"schedule", "cronExpression", "type", "scheduleType", "recurrencePattern"} & fields.keys():
        fields["schedule"] = DAILY
    return answer(caller("post", "/jobs", {"name": "nightly"} | fields), 201)


def row(job: dict[str, Any]) -> Job:
    """The row of a job object, deleted or not."""
    found: Job = Job.objects.get(uuid=job["id"])
    return found


def trail(job: dict[str, Any]) -> list[tuple[str, str | None]]:
    """What was done to the job and by whom, oldest first."""
    entries = AuditEntry.objects.filter(job__uuid=job["id"]).order_by("id")
    return list(entries.values_list("action", "changed_by"))


def ledger(job: dict[str, Any]) -> list[tuple[str, str | None]]:
    """The executions of the job as (status, reason), oldest fire time first."""
    executions = Execution.objects.filter(job__uuid=job["id"]).order_by("scheduled_at", "created_at")
    return list(executions.values_list("status", "reason"))
