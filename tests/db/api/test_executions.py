"""Executions over the API: lists, one, its logs, cancel; for owners and nobody else."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from executions.api.serializers import ExecutionDetailSerializer, ExecutionSerializer
from executions.engine import clock
from executions.models import Execution, ExecutionLog, Status
from jobs.models import AuditEntry, Dependency, Job
from tests.db.accounts.people import Caller, fields_of, make_user
from tests.db.executions.world import NOW, make_attempt, make_execution, make_job
from web.moments import format_moment

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Any:
    return make_user("ada@example.com")


@pytest.fixture
def call(ada: Any) -> Caller:
    return Caller(ada)


def queries(call: Caller, path: str) -> int:
    call("get", path)
    with CaptureQueriesContext(
        connection,
    ) as found:
        assert call("get", path).status_code == 200
    return len(found)


def test_the_list_shows_the_newest_fire_time_first_in_an_envelope_of_five(call: Caller, ada: Any) -> None:
    job = make_job(user=ada)
    made = [make_execution(job, scheduled_at=NOW + timedelta(hours=hour)) for hour in range(7)]
    body = call("get", "/executions").json()
    assert [entry["id"] for entry in body["executions"]] == [str(one.id) for one in made[:1:-1]]
    assert body["pagination"] == {"page": 1, "limit": 5, "total": 7, "totalPages": 2}
    assert (body["total"], body["page"], body["limit"]) == (7, 1, 5)


def test_an_execution_has_exactly_the_documented_fields(call: Caller, ada: Any) -> None:
    execution = make_execution(make_job(user=ada))
    shown = call("get", "/executions").json()["executions"][0]
    assert list(shown) == list(ExecutionSerializer().fields)
    detail = call("get", f"/executions/{execution.id}").json()
    assert list(detail) == list(ExecutionDetailSerializer().fields)


def test_a_running_execution_tells_how_long_the_rest_will_take(call: Caller, ada: Any) -> None:
    a_minute_ago = clock.now() - timedelta(minutes=1)
    execution = make_execution(
        make_job(user=ada),
        status=Status.RUNNING,
        started_at=a_minute_ago,
        token=uuid.uuid4(),
        lease_expires_at=a_minute_ago + timedelta(hours=1),
        progress_processed=250,
        progress_total=1000,
    )
    for address in ("/executions", f"/executions/{execution.id}"):
        body = call("get", address).json()
        progress = (body["executions"][0] if "executions" in body else body)["progress"]
        assert (progress["processed"], progress["total"], progress["percent"]) == (250, 1000, 25.0)
        assert 175 <= progress["secondsLeft"] <= 600, progress


def test_an_ended_execution_tells_its_outcome(call: Caller, ada: Any) -> None:
    job = make_job(user=ada)
    execution = make_execution(
        job,
        status=Status.FAILED,
        reason="http_status",
        started_at=NOW,
        executed_at=NOW + timedelta(seconds=5),
        completed_at=NOW + timedelta(seconds=6),
        attempt=2,
        retry_count=1,
        http_status_code=500,
        execution_duration_ms=812,
        error_message="HTTP 500: Internal Server Error",
        response_body="x" * 6000,
    )
    make_attempt(execution, attempt_number=1, status="failed", failure_reason="first")
    make_attempt(execution, attempt_number=2, status="failed", failure_reason="second")
    ExecutionLog.objects.create(execution=execution, log_level="ERROR", message="Job execution failed")
    detail = call("get", f"/executions/{execution.id}").json()
    expected = {
        "executionId": str(execution.id),
        "jobId": str(job.uuid),
        "jobName": job.name,
        "status": "FAILED",
        "success": False,
        "statusCode": 500,
        "httpStatusCode": 500,
        "durationMs": 812,
        "executionDurationMs": 812,
        "attemptNumber": 2,
        "retryCount": 1,
        "reason": "http_status",
        "executedAt": "2026-03-04T12:00:05.000Z",
        "waitingFor": None,
        "nextRetryAt": None,
        "progress": {"processed": 0, "total": None, "percent": None, "secondsLeft": None},
    }
    assert {name: detail[name] for name in expected} == expected
    assert len(detail["responseBody"]) == 5000
    assert [attempt["failureReason"] for attempt in detail["attempts"]] == ["first", "second"]
    assert [line["message"] for line in detail["logs"]] == ["Job execution failed"]


def test_the_status_speaks_the_words_of_the_jobs_family(call: Caller, ada: Any) -> None:
    one_time = make_job(user=ada, schedule_type="one_time", cron_expression=None, scheduled_at=NOW)
    execution = make_execution(one_time, status=Status.SUCCESS)
    assert call("get", f"/executions/{execution.id}").json()["status"] == "success"
    found = call("get", "/executions?status=Success").json()["executions"]
    assert [entry["id"] for entry in found] == [str(execution.id)]


def test_the_filters_narrow_the_list(call: Caller, ada: Any) -> None:
    job, other = make_job(user=ada), make_job(user=ada)
    old = make_execution(job, scheduled_at=NOW - timedelta(days=2), status=Status.FAILED)
    today = make_execution(job, scheduled_at=NOW, trigger="manual")
    make_execution(other, scheduled_at=NOW)

    def ids(query: str) -> list[str]:
        return [entry["id"] for entry in call("get", f"/executions?{query}").json()["executions"]]

    assert ids(f"jobId={job.uuid}") == [str(today.id), str(old.id)]
    assert ids(f"jobId={job.uuid}&fromDate=2026-03-04&toDate=2026-03-04") == [str(today.id)]
    assert ids("status=failed") == [str(old.id)]
    assert ids("trigger=MANUAL") == [str(today.id)]
    assert ids(f"jobId={uuid.uuid4()}") == []


def test_bad_filters_are_named(call: Caller) -> None:
    problems = fields_of(call("get", "/executions?status=odd&jobId=1&fromDate=soon&limit=0"))
    assert set(problems) == {"status", "jobId", "fromDate", "limit"}


def test_a_jobs_executions_are_a_bare_array_of_five_unless_an_envelope_is_wanted(
    call: Caller, ada: Any
) -> None:
    job = make_job(user=ada)
    for hour in range(6):
        make_execution(job, scheduled_at=NOW + timedelta(hours=hour))
    response = call("get", f"/jobs/{job.uuid}/executions")
    assert len(response.json()) == 5
    assert response["X-Total-Count"] == "6"
    body = call("get", f"/jobs/{job.uuid}/executions?envelope=true&limit=2&page=3").json()
    assert body["jobId"] == str(job.uuid)
    assert len(body["executions"]) == 2
    assert body["total"] == 6


def test_the_executions_of_a_deleted_job_stay_though_the_job_is_gone(call: Caller, ada: Any) -> None:
    job = make_job(user=ada)
    execution = make_execution(job)
    Job.objects.filter(id=job.id).update(state="deleted")
    response = call("get", f"/jobs/{job.uuid}/executions")
    assert (response.status_code, response.json()["error"]) == (404, "Job not found")
    assert call("get", f"/executions?jobId={job.uuid}").json()["total"] == 1
    assert call("get", f"/executions/{execution.id}").status_code == 200


def test_what_belongs_to_others_does_not_exist(ada: Any) -> None:
    job = make_job(user=ada)
    execution = make_execution(job)
    stranger = Caller(make_user("eve@example.com"))
    for method, path in [
        ("get", f"/executions/{execution.id}"),
        ("get", f"/executions/{execution.id}/logs"),
        ("post", f"/executions/{execution.id}/cancel"),
    ]:
        response = stranger(method, path)
        assert (response.status_code, response.json()["error"]) == (404, "Execution not found")
    assert stranger("get", f"/jobs/{job.uuid}/executions").json()["error"] == "Job not found"
    assert stranger("get", "/executions").json()["total"] == 0
    assert stranger("get", f"/executions?jobId={job.uuid}").json()["total"] == 0
    execution.refresh_from_db()
    assert execution.status == Status.PENDING


def test_staff_see_all_and_cancel_only_as_their_group_allows(ada: Any) -> None:
    execution = make_execution(make_job(user=ada))
    viewer = Caller(make_user("v@example.com", is_staff=True, groups=("viewers",)))
    operator = Caller(make_user("o@example.com", is_staff=True, groups=("operators",)))
    assert viewer("get", "/executions").json()["total"] == 1
    assert viewer("post", f"/executions/{execution.id}/cancel").status_code == 403
    assert operator("post", f"/executions/{execution.id}/cancel").status_code == 200


def test_cancelling_ends_what_waits_and_is_audited(call: Caller, ada: Any) -> None:
    execution = make_execution(make_job(user=ada))
    body = call("post", f"/executions/{execution.id}/cancel").json()
    assert (body["status"], body["reason"], body["success"]) == ("CANCELLED", "operator", None)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.changed_by) == ("CANCELLED", "ada@example.com")


def test_cancelling_asks_what_runs(call: Caller, ada: Any) -> None:
    execution = make_execution(make_job(user=ada), status=Status.RUNNING)
    body = call("post", f"/executions/{execution.id}/cancel").json()
    assert (body["status"], body["cancelRequested"]) == ("RUNNING", True)


def test_what_ended_cannot_be_cancelled(call: Caller, ada: Any) -> None:
    execution = make_execution(make_job(user=ada), status=Status.SUCCESS, completed_at=NOW)
    response = call("post", f"/executions/{execution.id}/cancel")
    assert (response.status_code, response.json()["error"]) == (409, "Conflict")


def test_logs_can_be_narrowed_to_a_level(call: Caller, ada: Any) -> None:
    execution = make_execution(make_job(user=ada))
    for level in ("INFO", "ERROR", "INFO"):
        ExecutionLog.objects.create(
            execution=execution, log_level=level, message=level.lower(), metadata={"a": 1}
        )
    body = call("get", f"/executions/{execution.id}/logs").json()
    assert (body["executionId"], len(body["logs"])) == (str(execution.id), 3)
    assert set(body["logs"][0]) == {"id", "executionId", "logLevel", "message", "timestamp", "metadata"}
    only = call("get", f"/executions/{execution.id}/logs?level=error").json()["logs"]
    assert [line["message"] for line in only] == ["error"]


@pytest.mark.parametrize("path", ["/executions?limit=100", "/jobs/{job}/executions?limit=100"])
def test_lists_take_the_same_number_of_queries_whatever_they_hold(call: Caller, ada: Any, path: str) -> None:
    first = make_job(user=ada, rate_limit_per_minute=5, queue="slow")
    Dependency.objects.create(job=first, depends_on=make_job(user=ada))

    def fill(count: int) -> None:
        for number in range(count):
            make_execution(first, next_attempt_at=NOW, scheduled_at=NOW + timedelta(minutes=number))
            other = make_job(user=ada, queue=f"queue-{number}")
            make_execution(other, next_attempt_at=NOW)
            make_execution(first, status=Status.SUCCESS, trigger="manual")
        first.executions.filter(status=Status.PENDING).update(batch=uuid.uuid4(), batch_limit=1)

    path = path.format(job=first.uuid)
    fill(1)
    few = queries(call, path)
    Execution.objects.all().delete()
    fill(12)
    assert queries(call, path) == few <= 16


def test_one_execution_takes_the_same_number_of_queries_whatever_it_holds(call: Caller, ada: Any) -> None:
    execution = make_execution(make_job(user=ada), status=Status.SUCCESS)
    few = queries(call, f"/executions/{execution.id}")
    for number in range(1, 20):
        make_attempt(execution, attempt_number=number)
        ExecutionLog.objects.create(execution=execution, log_level="INFO", message="line")
    assert queries(call, f"/executions/{execution.id}") == few <= 5


def test_a_deep_page_holds_what_a_walk_through_all_pages_would_meet(call: Caller, ada: Any) -> None:
    job = make_job(user=ada)
    Execution.objects.bulk_create(
        Execution(
            id=uuid.uuid4(), job=job, scheduled_at=NOW + timedelta(minutes=number // 3), trigger="manual"
        )
        for number in range(700)
    )
    wanted = list(Execution.objects.order_by("-scheduled_at", "-id").values_list("id", flat=True))
    for page in (1, 5, 30, 45, 70, 71):
        found = call("get", f"/executions?limit=10&page={page}").json()["executions"]
        assert [entry["id"] for entry in found] == [str(key) for key in wanted[10 * page - 10 : 10 * page]]


def test_what_waits_says_what_for(call: Caller, ada: Any) -> None:
    job = make_job(user=ada, state="paused")
    execution = make_execution(job, next_attempt_at=NOW)
    at = NOW + timedelta(days=9000)
    later = make_execution(job, status=Status.RETRYING, retry_count=2, next_attempt_at=at)
    assert call("get", f"/executions/{execution.id}").json()["waitingFor"] == "the job is paused"
    shown = call("get", f"/executions/{later.id}").json()
    assert shown["waitingFor"] == f"its retry 2 at {format_moment(at)}"
    assert shown["nextRetryAt"] == format_moment(at)
