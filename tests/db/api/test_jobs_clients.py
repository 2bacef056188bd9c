"""The documented calls of the reference systems, as their clients send and read them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, override_settings

from tests.db.api.jobs import Caller, answer, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def open_server() -> Any:
    with override_settings(AUTH_MODE="optional"):
        yield


def call(method: str, path: str, body: Any = None) -> Any:
    options = {} if body is None else {"data": body, "content_type": "application/json"}
    return getattr(Client(), method)(path, **options)


@pytest.mark.usefixtures("open_server")
def test_c4_posts_schedule_api_and_type_and_reads_the_job_id() -> None:
    body = {"schedule": "31 10-15 1 * * MON-FRI", "api": "http://127.0.0.1:4000/hook", "type": "ATLEAST_ONCE"}
    job = answer(call("post", "/jobs", body), 201)
    assert job["jobId"]
    assert (job["schedule"], job["api"], job["type"]) == (body["schedule"], body["api"], body["type"])
    assert job["method"] == "POST"
    assert "Invalid cron expression" in str(answer(call("post", "/jobs", body | {"schedule": "x"}), 400))


@pytest.mark.usefixtures("open_server")
def test_c3_makes_lists_reads_patches_and_deletes_plain_jobs() -> None:
    job = answer(call("post", "/jobs", {"name": "plain", "schedule": "*/5 * * * *", "isActive": True}), 201)
    assert (job["name"], job["isActive"], job["lastRun"]) == ("plain", True, None)
    assert job["nextRun"]
    assert [one["id"] for one in call("get", "/jobs?envelope=false").json()] == [job["id"]]
    assert answer(call("get", f"/jobs/{job['id']}"))["schedule"] == "*/5 * * * *"
    changed = answer(call("patch", f"/jobs/{job['id']}", {"isActive": False, "name": "renamed"}))
    assert (changed["isActive"], changed["name"]) == (False, "renamed")
    assert answer(call("delete", f"/jobs/{job['id']}"))["id"] == job["id"]
    assert call("get", f"/jobs/{job['id']}").status_code == 404


def test_c2_works_with_one_time_and_recurring_jobs_behind_a_token() -> None:
    ada = Caller(make_user())
    once = answer(
        ada(
            "post",
            "/jobs",
            {
                "name": "mail",
                "description": "d",
                "scheduleType": "one_time",
                "scheduledAt": "2030-01-20T10:00:00Z",
                "payload": {"duration": 10},
                "maxRetries": 3,
            },
        ),
        201,
    )
    again = answer(
        ada(
            "post",
            "/jobs",
            {
                "name": "digest",
                "type": "recurring",
                "recurrencePattern": "weekly",
                "scheduledAt": "2030-01-20T10:00:00Z",
            },
        ),
        201,
    )
    assert (once["type"], once["status"], once["retryCount"], once["maxRetries"]) == (
        "one_time",
        "pending",
        0,
        3,
    )
    assert (again["type"], again["nextRunAt"]) == ("recurring", "2030-01-20T10:00:00.000Z")
    page = answer(ada("get", "/jobs?status=pending&type=one_time&page=1&limit=10"))
    assert (page["total"], page["page"], page["limit"], len(page["jobs"])) == (1, 1, 10, 1)
    moved = answer(ada("post", f"/jobs/{once['id']}/reschedule", {"scheduledAt": "2030-02-20T10:00:00Z"}))
    assert moved["scheduledAt"] == "2030-02-20T10:00:00.000Z"
    assert answer(ada("put", f"/jobs/{once['id']}", {"name": "mail 2"}))["name"] == "mail 2"
    assert answer(ada("post", f"/jobs/{once['id']}/cancel", {}))["status"] == "cancelled"
    refused = ada("post", f"/jobs/{once['id']}/cancel", {})
    assert (refused.status_code, refused.json()["message"]) == (409, "Cannot cancel job in cancelled status")
    assert answer(ada("post", f"/jobs/{again['id']}/trigger", {}))["status"] == "pending"


@pytest.mark.usefixtures("open_server")
def test_c1_reads_envelopes_and_upper_case_under_the_versioned_path() -> None:
    job = answer(
        call(
            "post",
            "/api/v1/jobs",
            {
                "name": "billing",
                "cronExpression": "0 */15 * * * *",
                "apiEndpoint": "https://api.example.com/bill",
                "method": "post",
                "headers": {"X-Team": "billing"},
                "payload": {"a": 1},
                "executionType": "ATLEAST_ONCE",
                "timezone": "Asia/Kolkata",
                "retryPolicy": {
                    "maxRetries": 3,
                    "backoffStrategy": "EXPONENTIAL",
                    "initialDelayMs": 1000,
                    "maxDelayMs": 60000,
                },
                "timeoutMs": 30000,
                "maxConcurrentExecutions": 1,
                "rateLimitPerMinute": 60,
                "tags": ["billing"],
                "createdBy": "ops",
            },
        ),
        201,
    )
    assert (job["status"], job["cronExpression"], job["apiEndpoint"], job["createdBy"]) == (
        "ACTIVE",
        "0 */15 * * * *",
        "https://api.example.com/bill",
        "ops",
    )
    page = answer(call("get", "/api/v1/jobs?status=ACTIVE"))
    assert page["pagination"] == {"page": 1, "limit": 10, "total": 1, "totalPages": 1}
    path = f"/api/v1/jobs/{job['id']}"
    changed = answer(call("put", path, {"status": "PAUSED", "changedBy": "ops"}))
    assert changed["status"] == "PAUSED"
    assert answer(call("post", f"{path}/resume", {}))["status"] == "ACTIVE"
    assert answer(call("post", f"{path}/pause", {}))["status"] == "PAUSED"
    actions = [entry["action"] for entry in answer(call("get", f"{path}/audit"))["audit"]]
    assert actions == ["PAUSED", "RESUMED", "PAUSED", "CREATED"]
    assert answer(call("delete", path))["status"] == "DELETED"
