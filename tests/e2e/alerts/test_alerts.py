"""Alerts from the run to the receiver: real listeners, the engine in this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.models import Delivery
from executions.engine import clock
from executions.http.signature import verify
from executions.models import Execution
from jobs.contract import Result, Run
from jobs.models import Job
from tests.db.alerts.world import make_alert
from tests.e2e.alerts.listeners import Hook, hook, mail_server
from tests.e2e.engines import running, wait_for
from tests.factories import handling, make_execution, make_job, run_due

pytestmark = pytest.mark.django_db(transaction=True)

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
CANARY = "c4n4ry-s3cr3t"


@pytest.fixture(autouse=True)
def open_loopback(settings: Any) -> None:
    settings.HTTP_ALLOWED_CIDRS = ["127.0.0.0/8"]
    settings.WEBHOOK_SECRET = ""


@pytest.fixture
def receiver() -> Iterator[Hook]:
    with hook() as found:
        yield found


@pytest.fixture
def work() -> Iterator[list[str]]:
    """A handler `work` that ends as the list says, front first: fail or succeed."""
    endings: list[str] = []

    def serve(run: Run) -> Result:
        if endings.pop(0) == "fail":
            raise RuntimeError("no such customer")
        return Result(total=1, success=1)

    with handling(serve, name="work"):
        yield endings


def run(job: Job) -> None:
    """One manual run, with all that the loop does beside it."""
    make_execution(job, trigger="manual", scheduled_at=clock.now())
    run_due()


def test_a_failure_arrives_once_and_a_recovery_closes_it(receiver: Hook, work: list[str]) -> None:
    job = make_job(name="nightly", handler="work")
    make_alert(endpoint=receiver.url, conditions={"onRecovery": True}, created_at=LONG_AGO)
    work += ["fail", "fail", "ok", "ok", "fail"]
    for _ in range(5):
        run(job)

    assert receiver.types() == ["job.failed", "job.recovered", "job.failed"]
    body = receiver.posts[0].body
    first = Execution.objects.filter(status="FAILED").order_by("completed_at")[0]
    assert set(body) == {"type", "timestamp", "data"}
    assert body["data"]["job"]["name"] == "nightly"
    assert body["data"]["execution"]["id"] == str(first.id)
    assert body["data"]["execution"]["status"] == "FAILED"
    assert body["data"]["execution"]["errorMessage"] == "no such customer"
    assert set(Delivery.objects.values_list("status", "tries")) == {("DELIVERED", 1)}


def test_a_failure_that_a_retry_mends_is_no_failure(receiver: Hook, work: list[str]) -> None:
    job = make_job(
        handler="work", retry_policy={"maxRetries": 2, "initialDelayMs": 1, "backoffStrategy": "FIXED"}
    )
    make_alert(endpoint=receiver.url, conditions={"onDeadLetter": True}, created_at=LONG_AGO)
    work += ["fail", "fail", "ok"]
    run(job)
    while Execution.objects.filter(status="RETRYING").exists():
        run_due()

    assert Execution.objects.get().status == "SUCCESS"
    assert receiver.posts == []


def test_three_in_a_row_are_told_at_the_third(receiver: Hook, work: list[str]) -> None:
    job = make_job(handler="work")
    make_alert(endpoint=receiver.url, conditions={"consecutiveFailures": 3}, created_at=LONG_AGO)
    work += ["fail", "fail", "ok", "fail", "fail", "fail", "fail"]
    told = []
    for _ in range(7):
        run(job)
        told.append(len(receiver.posts))

    assert told == [0, 0, 0, 0, 0, 1, 1]


def test_a_dead_letter_is_told(receiver: Hook, work: list[str]) -> None:
    job = make_job(handler="work")
    conditions = {"onFailure": False, "onDeadLetter": True}
    make_alert(endpoint=receiver.url, conditions=conditions, created_at=LONG_AGO)
    work += ["fail"]
    run(job)

    assert receiver.types() == ["job.dead_letter"]


def test_a_paused_job_is_quiet(receiver: Hook, work: list[str]) -> None:
    job = make_job(handler="work")
    make_alert(endpoint=receiver.url, created_at=LONG_AGO, conditions={"onLate": 1, "onMissed": True})

    def pause_and_fail(run: Run) -> Result:
        Job.objects.filter(id=job.id).update(state="paused")
        raise RuntimeError("too late")

    with handling(pause_and_fail, name="pausing"):
        Job.objects.filter(id=job.id).update(handler="pausing")
        run(job)
    make_execution(job, scheduled_at=clock.now() - timedelta(hours=1))
    run_due()

    assert Execution.objects.filter(status="FAILED").count() == 1
    assert receiver.posts == []


def test_a_late_start_is_told(receiver: Hook, work: list[str]) -> None:
    job = make_job(handler="work", created_at=LONG_AGO)
    make_alert(endpoint=receiver.url, conditions={"onLate": 30}, created_at=LONG_AGO)
    make_execution(job, scheduled_at=clock.now() - timedelta(minutes=5))
    work += ["ok"]
    run_due()

    assert receiver.types() == ["job.late"]


def test_a_missed_fire_time_is_told_once_for_the_whole_outage(receiver: Hook) -> None:
    an_hour_ago = clock.now() - timedelta(hours=1)
    make_job(name="minutely", cron_expression="* * * * *", catch_up="none", created_at=LONG_AGO)
    Job.objects.update(next_run_at=an_hour_ago, planned_cron_expression="* * * * *")
    make_alert(endpoint=receiver.url, conditions={"onMissed": True}, created_at=LONG_AGO)
    run_due()

    assert receiver.types() == ["job.missed"]
    told = receiver.posts[0].body["data"]["execution"]
    assert told["status"] == "SKIPPED"
    assert told["reason"] == "misfire"
    assert told["skippedCount"] > 50


def test_a_long_run_is_told_while_it_still_runs(receiver: Hook) -> None:
    job = make_job(name="slow", handler="slow")
    make_alert(endpoint=receiver.url, conditions={"onLongRunning": 1}, created_at=LONG_AGO)
    status: list[str] = []

    def wait_for_the_alert(run: Run) -> Result:
        receiver.inbox.wait_for(1)
        status.append(Execution.objects.get().status)
        return Result()

    with handling(wait_for_the_alert, name="slow"):
        run(job)

    assert status == ["RUNNING"]
    assert receiver.types() == ["job.long_running"]
    assert receiver.posts[0].body["data"]["execution"]["status"] == "RUNNING"


def test_a_webhook_is_signed_for_every_secret_of_a_rotation(
    receiver: Hook, work: list[str], settings: Any
) -> None:
    settings.WEBHOOK_SECRET = "whsec_bmV3LXNlY3JldA== whsec_b2xkLXNlY3JldA=="
    make_alert(endpoint=receiver.url, created_at=LONG_AGO)
    work += ["fail"]
    run(make_job(handler="work"))

    (post,) = receiver.posts
    for secret in settings.WEBHOOK_SECRET.split():
        verify(secret, post.headers, post.raw, now=int(post.headers["webhook-timestamp"]))
    assert post.headers["webhook-id"] == str(Delivery.objects.get().id)
    assert post.headers["content-type"] == "application/json"


def test_a_chat_gets_one_text_that_says_what_to_do(receiver: Hook, work: list[str]) -> None:
    make_alert(endpoint=receiver.url, type="SLACK", created_at=LONG_AGO)
    work += ["fail"]
    job = make_job(name="<nightly> & co", handler="work")
    run(job)

    body = receiver.posts[0].body
    assert set(body) == {"text"}
    assert "Job &lt;nightly&gt; &amp; co failed" in body["text"]
    assert "What to do:" in body["text"]
    assert f"/api/v1/dlq?jobId={job.uuid}" in body["text"]


def test_a_mail_arrives(work: list[str], settings: Any) -> None:
    with mail_server(settings) as server:
        make_alert(endpoint="ops@example.org", type="EMAIL", created_at=LONG_AGO)
        work += ["fail"]
        run(make_job(name="nightly\r\nBcc: all@example.org", handler="work"))

        (mail,) = server.mails
        assert mail["To"] == "ops@example.org"
        assert mail["From"] == "scheduler@example.org"
        assert mail["Bcc"] is None
        assert mail["Subject"] == "[scheduler] Job nightly Bcc: all@example.org failed"
        assert "no such customer" in mail.get_content()
        assert mail["Message-ID"].startswith(f"<{Delivery.objects.get().id}@")


def test_a_mailbox_that_is_refused_is_said_so(work: list[str], settings: Any) -> None:
    with mail_server(settings) as server:
        server.refuse = "550 no such mailbox"
        make_alert(endpoint="nobody@example.org", type="EMAIL", created_at=LONG_AGO)
        work += ["fail"]
        run(make_job(handler="work"))

    row = Delivery.objects.get()
    assert (row.status, row.tries) == ("PENDING", 1)
    assert "550 no such mailbox" in (row.error or "")


def test_a_receiver_that_fails_is_tried_three_times_with_the_same_id(
    receiver: Hook, work: list[str], settings: Any
) -> None:
    settings.WEBHOOK_SECRET = "secret"
    receiver.answers = [500]
    make_alert(endpoint=receiver.url, created_at=LONG_AGO)
    work += ["fail"]
    run(make_job(handler="work"))
    for _ in range(4):
        Delivery.objects.filter(status="PENDING").update(next_try_at=clock.now())
        run_due()

    row = Delivery.objects.get()
    assert (row.status, row.tries, row.error) == ("FAILED", 3, "HTTP 500: Internal Server Error")
    assert len(receiver.posts) == 3
    assert {post.headers["webhook-id"] for post in receiver.posts} == {str(row.id)}


def test_a_private_address_is_refused_and_nothing_is_connected(
    receiver: Hook, work: list[str], settings: Any
) -> None:
    settings.HTTP_ALLOWED_CIDRS = []
    make_alert(endpoint=receiver.url, created_at=LONG_AGO)
    work += ["fail"]
    run(make_job(handler="work"))

    row = Delivery.objects.get()
    assert (row.status, row.tries) == ("FAILED", 1)
    assert "HTTP_ALLOWED_HOSTS" in (row.error or "")
    assert receiver.posts == []


def test_a_dead_endpoint_delays_no_job(receiver: Hook, work: list[str]) -> None:
    """While the receiver hangs, later jobs start and end; the loop never waits for it."""
    receiver.hold = threading.Event()
    make_alert(endpoint=receiver.url, created_at=LONG_AGO)
    work += ["fail", *["ok"] * 20]
    job = make_job(handler="work", max_concurrent_executions=5)
    make_execution(job, trigger="manual", scheduled_at=clock.now())
    try:
        with running(concurrency=4) as engine:
            assert receiver.arrived.wait(20), "the alert was not sent"
            for _ in range(20):
                make_execution(job, trigger="manual", scheduled_at=clock.now())
            engine.bell.ring()
            assert wait_for(lambda: Execution.objects.filter(status="SUCCESS").count() == 20)
            assert Delivery.objects.get().status == "PENDING"
            assert receiver.posts == []
            receiver.hold.set()
    finally:
        receiver.hold.set()


def test_no_secret_of_a_job_is_in_an_alert(receiver: Hook, work: list[str], settings: Any) -> None:
    def leak(run: Run) -> Result:
        raise RuntimeError(f"GET https://t.example/?token={CANARY} failed, Authorization: Bearer {CANARY}")

    with handling(leak, name="leaky"), mail_server(settings) as server:
        job = make_job(
            handler="leaky",
            api_endpoint=f"https://t.example/x?api_key={CANARY}",
            headers={"Authorization": CANARY, "X-Api-Key": CANARY},
            payload={"password": CANARY, "plain": CANARY},
            metadata={"secret": CANARY},
        )
        make_alert(endpoint=f"{receiver.url}?token=receiver-own", created_at=LONG_AGO)
        make_alert(endpoint=receiver.url, type="SLACK", created_at=LONG_AGO)
        make_alert(endpoint="ops@example.org", type="EMAIL", created_at=LONG_AGO)
        run(job)

        assert len(receiver.posts) == 2
        assert all(CANARY not in post.raw.decode() for post in receiver.posts)
        assert CANARY not in server.mails[0].as_string()
        assert "***" in json.dumps([post.body for post in receiver.posts])
