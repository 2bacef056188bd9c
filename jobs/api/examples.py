"""Bodies that work, for readers of the documentation."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample


def _ask(name: str, value: dict[str, Any]) -> OpenApiExample:
    return OpenApiExample(name, value=value, request_only=True)


NEW_JOBS = [
    _ask(
        "An HTTP call by cron",
        {"schedule": "0 9 * * MON-FRI", "api": "https://api.example.com/sync", "type": "ATLEAST_ONCE"},
    ),
    _ask("A named job", {"name": "nightly", "schedule": "0 3 * * *", "isActive": True}),
    _ask(
        "Once, at a time",
        {
            "name": "welcome mail",
            "type": "one_time",
            "scheduledAt": "2027-01-20T10:00:00Z",
            "payload": {"userId": 7},
            "maxRetries": 3,
        },
    ),
    _ask(
        "Every day from an anchor",
        {
            "name": "digest",
            "scheduleType": "recurring",
            "recurrencePattern": "daily",
            "scheduledAt": "2027-01-20T08:00:00Z",
            "timezone": "Europe/Berlin",
        },
    ),
    _ask(
        "With a retry policy",
        {
            "name": "billing",
            "cronExpression": "0 */15 * * * *",
            "apiEndpoint": "https://api.example.com/bill",
            "method": "PUT",
            "headers": {"Authorization": "Bearer s3cr3t"},
            "retryPolicy": {"maxRetries": 5, "backoffStrategy": "LINEAR", "initialDelayMs": 2000},
            "tags": ["billing"],
        },
    ),
]
JOB_CHANGES = [
    _ask("Another time", {"schedule": "30 9 * * *", "timezone": "Europe/Berlin"}),
    _ask("Switch off", {"isActive": False}),
    _ask("Clear the retry policy", {"retryPolicy": None}),
]
PAUSE = [_ask("For an hour", {"reason": "maintenance", "until": "2027-01-20T11:00:00Z"})]
RESUME = [_ask("Run the newest of what was missed", {"catchUp": "latest"})]
RESCHEDULE = [_ask("To a new time", {"scheduledAt": "2027-01-21T10:00:00Z"})]
TRIGGER = [_ask("With another payload", {"payload": {"dryRun": True}})]
BACKFILL = [
    _ask(
        "A day, first on paper",
        {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "dryRun": True},
    )
]
CLONE = [_ask("Under another name", {"name": "nightly for tests", "timezone": "UTC"})]
ROLLBACK = [_ask("To the first version", {"version": 1})]
PREVIEW = [
    _ask("Five of a cron expression", {"schedule": "30 2 * * *", "timezone": "Europe/Berlin", "count": 5})
]

_JOB: dict[str, Any] = {
    "id": "6f1c2a52-90b5-4f0f-8a35-0c8a7a3f2b10",
    "jobId": "6f1c2a52-90b5-4f0f-8a35-0c8a7a3f2b10",
    "name": "nightly",
    "type": "ATLEAST_ONCE",
    "scheduleType": "cron",
    "schedule": "0 3 * * *",
    "status": "ACTIVE",
    "state": "active",
    "isActive": True,
    "nextRunAt": "2027-01-20T03:00:00.000Z",
}
JOB = [OpenApiExample("A cron job, shortened", value=_JOB, response_only=True)]
JOBS: list[OpenApiExample] = []
