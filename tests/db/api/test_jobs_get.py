"""GET /jobs/{id}: what the job object tells of row and ledger."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.api.serializers import JobSerializer
from jobs.models import Job
from tests.db.api.jobs import NO_ID, Caller, answer, create, fields_of, make_user, row
from tests.factories import make_execution, make_job, run_due

pytestmark = pytest.mark.django_db

MOMENT = datetime(2026, 1, 20, 10, 0, 0, 5000, tzinfo=UTC)


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


def run_one(job: Job) -> None:
    make_execution(
        job, status="RUNNING", token=uuid.uuid4(), lease_expires_at=datetime(2099, 1, 1, tzinfo=UTC)
    )


def test_every_field_is_documented_and_every_documented_field_is_answered(ada: Caller) -> None:
    documented = set(JobSerializer().fields)
    assert set(answer(ada("get", f"/jobs/{create(ada)['id']}"))) == documented - {"pingUrl"}


def test_only_a_ping_job_shows_where_to_ping(ada: Caller) -> None:
    job = make_job(handler="ping", user_id=row(create(ada)).user_id)
    assert answer(ada("get", f"/jobs/{job.uuid}"))["pingUrl"] == f"http://testserver/ping/{job.uuid}"


@pytest.mark.parametrize(
    ("fields", "running", "status", "type_"),
    [
        ({}, False, "ACTIVE", "ATLEAST_ONCE"),
        ({}, True, "ACTIVE", "ATLEAST_ONCE"),
        ({"state": "paused"}, False, "PAUSED", "ATLEAST_ONCE"),
        ({"state": "cancelled", "execution_type": "ATMOST_ONCE"}, False, "CANCELLED", "ATMOST_ONCE"),
        ({"schedule_type": "one_time"}, False, "pending", "one_time"),
        ({"schedule_type": "one_time"}, True, "running", "one_time"),
        ({"schedule_type": "one_time", "state": "completed"}, False, "completed", "one_time"),
        ({"schedule_type": "one_time", "state": "failed"}, False, "failed", "one_time"),
        ({"schedule_type": "recurring", "recurrence_pattern": "daily"}, True, "running", "recurring"),
        ({"schedule_type": "recurring", "state": "paused"}, True, "paused", "recurring"),
        ({"schedule_type": "recurring", "state": "inactive"}, False, "inactive", "recurring"),
    ],
)
def test_status_and_type_speak_the_language_of_the_family(
    ada: Caller, fields: dict[str, Any], running: bool, status: str, type_: str
) -> None:
    owner = row(create(ada)).user_id
    job = make_job(user_id=owner, scheduled_at=MOMENT, **fields)
    if running:
        run_one(job)
    body = answer(ada("get", f"/jobs/{job.uuid}"))
    assert (body["status"], body["type"], body["state"]) == (status, type_, job.state)
    assert body["isActive"] == (job.state == "active")


@pytest.mark.django_db(transaction=True)
def test_the_latest_execution_is_told(ada: Caller) -> None:
    body = create(ada, type="one_time", payload={"shouldFail": True}, maxRetries=0)
    run_due()
    told = answer(ada("get", f"/jobs/{body['id']}"))
    assert (told["state"], told["status"], told["retryCount"]) == ("failed", "failed", 0)
    assert told["errorMessage"] == "Simulated job failure for testing"
    assert told["startedAt"] is not None
    assert told["completedAt"] is not None
    assert told["lastRunAt"] == told["lastRun"] is not None
    assert told["nextRunAt"] is None


def test_a_schedule_that_cannot_be_read_comes_first_in_the_error(ada: Caller) -> None:
    owner = row(create(ada)).user_id
    job = make_job(user_id=owner, schedule_error="never fires", error_message="HTTP 500")
    assert answer(ada("get", f"/jobs/{job.uuid}"))["errorMessage"] == "never fires"


def test_what_sql_wrote_is_answered_however_odd(ada: Caller) -> None:
    owner = row(create(ada)).user_id
    odd: list[dict[str, Any]] = [
        {"cron_expression": "nonsense", "timezone": "Mars"},
        {"retry_policy": {"maxRetries": "many"}},
        {"retry_policy": []},
        {"headers": ["a"]},
        {"payload": [1, 2]},
        {"handler": "gone"},
        {"timeout_ms": -1},
    ]
    for fields in odd:
        job = make_job(user_id=owner, **fields)
        body = answer(ada("get", f"/jobs/{job.uuid}"))
        assert body["maxRetries"] == 0
        assert ada("get", f"/jobs/{job.uuid}/preview").status_code in (200, 409)


def test_a_plain_secret_that_sql_set_is_masked_too(ada: Caller) -> None:
    owner = row(create(ada)).user_id
    job = make_job(user_id=owner, headers={"Cookie": "canary", "X-A": "b"})
    assert answer(ada("get", f"/jobs/{job.uuid}"))["headers"] == {"Cookie": "***", "X-A": "b"}


@pytest.mark.parametrize("path", ["", "/preview", "/versions", "/audit", "/tags", "/dependencies"])
def test_an_unknown_job_is_404_and_a_bad_id_400(ada: Caller, path: str) -> None:
    response = ada("get", f"/jobs/{NO_ID}{path}")
    assert (response.status_code, response.json()["error"]) == (404, "Job not found")
    assert fields_of(ada("get", f"/jobs/17{path}")) == {"id": "Must be a UUID"}


def test_a_deleted_job_is_404(ada: Caller) -> None:
    body = create(ada)
    ada("delete", f"/jobs/{body['id']}")
    assert ada("get", f"/jobs/{body['id']}").status_code == 404


def test_the_number_of_queries_does_not_grow_with_what_hangs_on_the_job(ada: Caller) -> None:
    plain, first = create(ada), create(ada)
    rich = create(ada, tags=["a", "b", "c"], dependsOn=[plain["id"], first["id"]])

    def count(job: dict[str, Any]) -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            answer(ada("get", f"/jobs/{job['id']}"))
        return len(queries)

    assert count(rich) == count(plain) == 2  # the caller, and the job with all that hangs on it
