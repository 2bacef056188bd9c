"""Jobs that call an address: what goes over the wire, and what the ledger says of what came back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from executions import egress, lifecycle
from executions.engine import clock
from executions.http.signature import verify
from executions.models import Attempt, DeadLetter, Execution, ExecutionLog
from jobs.models import Job
from jobs.secrets import seal
from tests.e2e.engines import running, wait_for
from tests.e2e.http_targets import HttpTarget
from tests.factories import make_execution, make_job, run_due

pytestmark = pytest.mark.django_db(transaction=True)

FIRE_TIME = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
CANARY = "c4n4ry-s3cr3t"


@pytest.fixture
def target(settings: Any) -> Iterator[HttpTarget]:
    settings.HTTP_ALLOWED_CIDRS = ["127.0.0.0/8"]
    settings.WEBHOOK_SECRET = ""
    settings.HTTP_MAX_PER_HOST = 0
    with HttpTarget() as found:
        yield found
    egress.caller().close()


def run(job: Job, **fields: Any) -> Any:
    """One execution of the job, run to where it stands when nothing is due any more."""
    execution = make_execution(job, scheduled_at=FIRE_TIME, **fields)
    run_due()
    execution.refresh_from_db()
    return execution


def call(target: HttpTarget, path: str = "/ok", **fields: Any) -> Any:
    """One execution of a new job that calls this path."""
    return run(make_job(api_endpoint=target.url(path), **fields))


def totals(execution: Execution) -> tuple[int, int, int]:
    return execution.total_processed, execution.total_success, execution.total_failure


# The request ------------------------------------------------------------------------------------------


def test_the_call_carries_the_documented_body_and_headers(target: HttpTarget) -> None:
    job = make_job(name="nightly", api_endpoint=target.url(), payload={"a": 1}, metadata={"team": "x"})
    execution = run(job)

    (request,) = target.requests
    assert request.method == "POST"
    assert json.loads(request.body) == {
        "jobId": str(job.uuid),
        "jobName": "nightly",
        "executionId": str(execution.id),
        "scheduledAt": "2026-03-02T12:00:00.000Z",
        "attemptNumber": 1,
        "payload": {"a": 1},
        "metadata": {"team": "x"},
    }
    assert request.header("Content-Type") == "application/json"
    assert (request.header("User-Agent") or "").startswith("batch-job-scheduler/")
    assert request.header("Idempotency-Key") == request.header("X-Execution-Id") == str(execution.id)
    assert request.header("X-Job-Id") == str(job.uuid)
    assert request.header("X-Attempt") == "1"
    assert request.header("webhook-signature") is None


def test_a_success_is_kept_with_status_body_totals_and_duration(target: HttpTarget) -> None:
    execution = call(target)

    assert (execution.status, execution.http_status_code) == ("SUCCESS", 200)
    assert execution.response_body == '{"ok":true}'
    assert totals(execution) == (1, 1, 0)
    assert execution.execution_duration_ms is not None
    assert execution.result["request"] == {"method": "POST", "url": target.url()}
    assert execution.result["response"]["statusCode"] == 200
    lines = list(ExecutionLog.objects.order_by("id").values_list("message", flat=True))
    assert lines[1].startswith(f"POST {target.url()}: HTTP 200 in ")


def test_a_payload_given_to_one_run_is_sent_instead_of_the_jobs(target: HttpTarget) -> None:
    run(make_job(api_endpoint=target.url(), payload={"a": 1}), payload={"b": 2}, trigger="manual")

    assert json.loads(target.requests[0].body)["payload"] == {"b": 2}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_a_body_goes_with_every_method_that_has_one(target: HttpTarget, method: str) -> None:
    execution = call(target, method=method)

    (request,) = target.requests
    assert request.method == method
    assert bool(request.body) is (method not in ("GET", "HEAD"))
    assert (request.header("Content-Type") is None) is (method in ("GET", "HEAD"))
    assert execution.status == "SUCCESS"


def test_the_jobs_headers_replace_content_type_and_user_agent_and_no_other(target: HttpTarget) -> None:
    headers = {
        "content-type": "application/vnd.api+json",
        "USER-AGENT": "mine",
        "x-attempt": "99",
        "X-Execution-Id": "other",
        "idempotency-key": "other",
        "X-Team": "blue",
    }
    execution = call(target, headers=headers)

    (request,) = target.requests
    names = [name.lower() for name, _ in request.headers]
    assert len(names) == len(set(names))
    assert request.header("Content-Type") == "application/vnd.api+json"
    assert request.header("User-Agent") == "mine"
    assert request.header("X-Team") == "blue"
    assert request.header("X-Attempt") == "1"
    assert request.header("X-Execution-Id") == request.header("Idempotency-Key") == str(execution.id)


def test_headers_that_sql_wrote_wrongly_fail_for_good_and_nothing_is_called(target: HttpTarget) -> None:
    retry = {"maxRetries": 5, "initialDelayMs": 1}
    execution = call(target, headers={"X-Bad": "a\r\nHost: evil"}, retry_policy=retry)

    assert execution.status == "FAILED"
    assert execution.error_message.startswith("headers: ")
    assert target.connections == 0


def test_sealed_header_values_are_sent_open_and_never_shown(target: HttpTarget) -> None:
    headers = seal({"Authorization": f"Bearer {CANARY}", "X-Api-Key": CANARY})
    assert CANARY not in json.dumps(headers)
    execution = call(target, f"/status/500?token={CANARY}", headers=headers)

    (request,) = target.requests
    assert request.header("Authorization") == f"Bearer {CANARY}"
    assert request.header("X-Api-Key") == CANARY
    said = list(ExecutionLog.objects.values_list("message", "metadata"))
    told = [execution.error_message, execution.result, execution.response_body, said]
    told += list(DeadLetter.objects.values_list("error_details", flat=True))
    told += list(Attempt.objects.values_list("failure_reason", flat=True))
    assert CANARY not in json.dumps(told)
    assert "token=***" in json.dumps(said)


@pytest.mark.parametrize("status", ["200", "500"])
def test_a_target_that_echoes_what_it_was_sent_shows_no_secret(target: HttpTarget, status: str) -> None:
    headers = seal({"Authorization": f"Bearer {CANARY}", "X-Api-Key": f"{CANARY}/2"})
    payload = {"dbPassword": f"{CANARY}-3", "note": "kept"}
    execution = call(target, f"/mirror/{status}?token={CANARY}-4", headers=headers, payload=payload)

    assert execution.http_status_code == int(status)
    assert CANARY in target.requests[0].raw.decode()
    assert '"note":"kept"' in execution.response_body
    assert execution.response_body.count("***") >= 4
    said = list(ExecutionLog.objects.values_list("message", "metadata"))
    told = [execution.error_message, execution.result, execution.response_body, said]
    told += list(DeadLetter.objects.values_list("error_details", flat=True))
    assert CANARY not in json.dumps(told)


def test_a_value_that_no_key_opens_fails_for_good_and_never_leaves(target: HttpTarget) -> None:
    execution = call(target, headers={"Authorization": "sealed:gAAAAA"})

    assert execution.status == "FAILED"
    assert "ENCRYPTION_KEYS" in execution.error_message
    assert target.connections == 0


def test_calls_are_signed_for_every_secret_of_a_rotation(target: HttpTarget, settings: Any) -> None:
    settings.WEBHOOK_SECRET = "whsec_bmV3LXNlY3JldA== plain-old-secret"
    execution = call(target)

    (request,) = target.requests
    headers = dict(request.headers)
    for secret in settings.WEBHOOK_SECRET.split():
        verify(secret, headers, request.body, now=int(request.header("webhook-timestamp") or 0))
    assert request.header("webhook-id") == str(execution.id)


# What came back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/status/500", 500, "HTTP 500: Internal Server Error"),
        ("/status/404?reason=Not%20Found", 404, "HTTP 404: Not Found"),
        ("/status/301?reason=Moved%20Permanently", 301, "HTTP 301: Moved Permanently"),
    ],
)
def test_an_answer_that_is_no_2xx_fails_with_its_words(
    target: HttpTarget, path: str, status: int, message: str
) -> None:
    execution = call(target, path)

    assert (execution.status, execution.reason) == ("FAILED", "http_status")
    assert (execution.http_status_code, execution.error_message) == (status, message)
    assert execution.response_body == "status"
    assert totals(execution) == (1, 0, 1)
    assert execution.result["response"]["statusCode"] == status
    assert DeadLetter.objects.get().error_details["statusCode"] == status


def test_a_call_that_takes_too_long_says_how_long_it_might(target: HttpTarget) -> None:
    execution = call(target, "/silent", timeout_ms=300)

    assert (execution.status, execution.reason) == ("FAILED", "timeout")
    assert execution.error_message == "timeout of 300ms exceeded"
    assert totals(execution) == (1, 0, 1)


def test_a_job_without_a_time_limit_of_its_own_has_thirty_seconds() -> None:
    from jobs.registry import default_timeout_ms

    assert default_timeout_ms("http") == 30_000


def test_a_private_address_is_refused_once_and_not_retried(target: HttpTarget, settings: Any) -> None:
    settings.HTTP_ALLOWED_CIDRS = []
    execution = call(target, retry_policy={"maxRetries": 5, "initialDelayMs": 1})

    assert (execution.status, execution.reason, execution.attempt) == ("FAILED", "egress_denied", 1)
    assert "HTTP_ALLOWED_HOSTS" in execution.error_message
    assert "HTTP_ALLOWED_CIDRS" in execution.error_message
    assert totals(execution) == (1, 0, 1)
    assert target.connections == 0


def test_an_answer_with_too_many_headers_is_too_large(target: HttpTarget) -> None:
    execution = call(target, "/headers/1000")

    assert (execution.status, execution.reason) == ("FAILED", "too_large")


def test_a_body_is_kept_up_to_five_thousand_characters(target: HttpTarget) -> None:
    execution = call(target, "/infinite", timeout_ms=20_000)

    assert execution.status == "SUCCESS"
    assert execution.response_body == "x" * 5000
    assert execution.result["response"]["truncated"] is True


def test_redirects_are_answers_unless_the_job_follows_them(target: HttpTarget) -> None:
    there = target.url("/ok")
    answer = call(target, f"/redirect?to={there}")
    followed = call(target, f"/redirect?to={there}", follow_redirects=True)

    assert answer.status == "FAILED"
    assert answer.http_status_code in (301, 302, 303, 307, 308)
    assert (followed.status, followed.http_status_code) == ("SUCCESS", 200)
    assert followed.result["response"]["redirects"] == 1


def test_a_job_without_an_address_fails_for_good() -> None:
    execution = run(make_job(handler="http", retry_policy={"maxRetries": 5}))

    assert (execution.status, execution.attempt) == ("FAILED", 1)
    assert "address" in execution.error_message


# Retries -------------------------------------------------------------------------------------------------


def test_retries_keep_the_key_and_raise_the_attempt(target: HttpTarget) -> None:
    policy = {"maxRetries": 2, "initialDelayMs": 1, "backoffStrategy": "FIXED"}
    execution = call(target, "/status/503", retry_policy=policy)
    while Execution.objects.filter(status="RETRYING").exists():
        run_due()
    execution.refresh_from_db()

    assert (execution.status, execution.retry_count) == ("FAILED", 2)
    assert [request.header("X-Attempt") for request in target.requests] == ["1", "2", "3"]
    assert [json.loads(request.body)["attemptNumber"] for request in target.requests] == [1, 2, 3]
    assert len({request.header("Idempotency-Key") for request in target.requests}) == 1


def test_a_target_that_asks_for_time_gets_it(target: HttpTarget) -> None:
    policy = {"maxRetries": 3, "initialDelayMs": 1}
    before = clock.now()
    execution = call(target, "/status/429?reason=Slow&retryAfter=120", retry_policy=policy)

    assert execution.status == "RETRYING"
    assert execution.next_attempt_at is not None
    assert execution.next_attempt_at >= before + timedelta(seconds=120)


def test_a_status_that_shall_not_be_retried_fails_at_once(target: HttpTarget) -> None:
    policy = {"maxRetries": 3, "initialDelayMs": 1, "doNotRetryOn": [404]}
    execution = call(target, "/status/404", retry_policy=policy)

    assert (execution.status, execution.attempt) == ("FAILED", 1)


def test_a_call_that_must_not_repeat_is_made_once(target: HttpTarget) -> None:
    execution = call(target, "/hang-up", execution_type="ATMOST_ONCE", retry_policy={"maxRetries": 5})

    assert (execution.status, execution.reason, execution.attempt) == ("FAILED", "error", 1)
    assert len(target.requests) == 1


# Manners ---------------------------------------------------------------------------------------------------


def test_a_full_host_costs_the_waiting_call_neither_a_retry_nor_its_one_attempt(
    target: HttpTarget, settings: Any
) -> None:
    """Two at-most-once calls, room for one: the second waits its turn and still succeeds."""
    settings.HTTP_MAX_PER_HOST = 1
    jobs = [make_job(api_endpoint=target.url("/wait"), execution_type="ATMOST_ONCE") for _ in range(2)]
    for job in jobs:
        make_execution(job)
    with running(concurrency=4):
        try:
            assert target.waiting.acquire(timeout=20)
            assert wait_for(lambda: Attempt.objects.filter(failure_reason="released").exists())
            assert len(target.requests) == 1
            target.release()
            assert wait_for(lambda: Execution.objects.filter(status="SUCCESS").count() == 2)
        finally:
            target.release()

    assert set(Execution.objects.values_list("retry_count", flat=True)) == {0}
    assert len(target.requests) == 2
    assert not DeadLetter.objects.exists()


def test_a_call_that_is_cancelled_ends_soon(target: HttpTarget) -> None:
    execution = make_execution(make_job(api_endpoint=target.url("/wait")))
    with running(concurrency=2):
        try:
            assert target.waiting.acquire(timeout=20)
            lifecycle.ask_to_stop([execution.id], reason="operator")
            assert wait_for(lambda: Execution.objects.get().status == "CANCELLED")
        finally:
            target.release()
