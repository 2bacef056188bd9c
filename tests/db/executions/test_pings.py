"""Programs elsewhere: a ping ends what waits for it, none is a failure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from executions.engine import clock, planner
from executions.handlers import await_ping
from executions.models import Attempt, DeadLetter, Execution, Status
from executions.operations import pings
from jobs.contract import JobInfo, NotNow, PermanentError, Run
from jobs.models import Job
from tests.db.executions.world import NOW, make_job

pytestmark = pytest.mark.django_db
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


class Now:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def now() -> Any:
    source = Now()
    with clock.moved(source):
        yield source


def make_pinged(**fields: Any) -> Job:
    return make_job(handler="ping", timeout_ms=600_000, **fields)


def wait_for_occurrence(job: Job, now: Now) -> Execution:
    now.at = NOW + HOUR
    planner.plan_due(now.at)
    return Execution.objects.get(job=job)


def ping(client: Client, job: Job, signal: str = "", method: str = "get", **body: Any) -> Any:
    return getattr(client, method)(f"/ping/{job.uuid}{signal}", **body)


def test_an_occurrence_becomes_due_only_when_its_time_is_over(now: Now) -> None:
    assert wait_for_occurrence(make_pinged(), now).next_attempt_at == NOW + HOUR + 10 * MINUTE


@pytest.mark.parametrize("method", ["get", "head", "post"])
def test_a_ping_ends_the_occurrence_well(client: Client, now: Now, method: str) -> None:
    job = make_pinged()
    execution = wait_for_occurrence(job, now)
    now.at += 5 * MINUTE
    response = ping(client, job, method=method)
    assert (response.status_code, response["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert response.content == (b"" if method == "head" else b"OK")
    execution.refresh_from_db()
    assert (execution.status, execution.completed_at) == (Status.SUCCESS, now.at)
    assert Attempt.objects.get().status == "success"


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        ("/fail", "the program reported a failure"),
        ("/3", "the program ended with exit code 3"),
        ("/255", "the program ended with exit code 255"),
    ],
)
def test_a_failure_ends_it_so_and_keeps_what_the_program_said(
    client: Client, now: Now, signal: str, words: str
) -> None:
    job = make_pinged()
    execution = wait_for_occurrence(job, now)
    response = ping(client, job, signal, "post", data=b"disk \xff full\x00", content_type="text/plain")
    assert response.status_code == 200
    execution.refresh_from_db()
    assert (execution.status, execution.reason, execution.error_message) == ("FAILED", "error", words)
    assert (execution.response_body or "").startswith("disk \ufffd full")
    assert DeadLetter.objects.get().execution_id == execution.id


def test_exit_code_zero_is_a_success(client: Client, now: Now) -> None:
    job = make_pinged()
    execution = wait_for_occurrence(job, now)
    ping(client, job, "/0")
    execution.refresh_from_db()
    assert execution.status == Status.SUCCESS


def test_a_start_gives_the_program_its_time_from_then_and_tells_how_long_it_took(
    client: Client, now: Now
) -> None:
    job = make_pinged()
    execution = wait_for_occurrence(job, now)
    now.at += 8 * MINUTE
    ping(client, job, "/start")
    execution.refresh_from_db()
    assert (execution.status, execution.next_attempt_at) == (Status.PENDING, now.at + 10 * MINUTE)
    now.at += 3 * MINUTE
    ping(client, job)
    execution.refresh_from_db()
    assert (execution.status, execution.execution_duration_ms) == (Status.SUCCESS, 180_000)


def test_a_ping_a_little_early_is_for_the_next_fire_time_and_the_planner_leaves_it_alone(
    client: Client, now: Now
) -> None:
    job = make_pinged()
    now.at = NOW + HOUR - timedelta(seconds=20)
    ping(client, job)
    now.at = NOW + HOUR + MINUTE
    planner.plan_due(now.at)
    (execution,) = Execution.objects.filter(job=job)
    assert (execution.scheduled_at, execution.status) == (NOW + HOUR, Status.SUCCESS)


def test_a_success_that_nothing_waits_for_changes_nothing(client: Client, now: Now) -> None:
    assert ping(client, make_pinged()).status_code == 200
    assert not Execution.objects.exists()


def test_a_failure_that_nothing_waits_for_is_not_lost(client: Client, now: Now) -> None:
    ping(client, make_pinged(), "/fail")
    execution = Execution.objects.get()
    assert (execution.trigger, execution.status) == ("manual", Status.FAILED)


def test_the_oldest_waiting_occurrence_comes_first(client: Client, now: Now) -> None:
    job = make_job(handler="ping", timeout_ms=3_600_000, cron_expression="*/30 * * * *")
    for minutes in (30, 60):
        now.at = NOW + minutes * MINUTE
        planner.plan_due(now.at)
    ping(client, job)
    done = Execution.objects.get(status=Status.SUCCESS)
    assert done.scheduled_at == NOW + 30 * MINUTE


@pytest.mark.parametrize("signal", ["/soon", "/256", "/-1", "/1e1", "/٣", "/start/again"])
def test_what_is_no_signal_is_no_route(client: Client, now: Now, signal: str) -> None:
    job = make_pinged()
    execution = wait_for_occurrence(job, now)
    assert ping(client, job, signal).status_code == 404
    execution.refresh_from_db()
    assert execution.status == Status.PENDING


def test_only_the_address_of_a_ping_job_answers(client: Client) -> None:
    other = make_job(handler="default")
    assert ping(client, other).status_code == 404
    deleted = make_pinged(state="deleted")
    assert ping(client, deleted).status_code == 404
    assert client.get("/ping/not-an-id").status_code == 400


def test_pings_exist_only_at_their_bare_address(client: Client) -> None:
    assert client.get(f"/api/v1/ping/{make_pinged().uuid}").status_code == 404


def run_of(job: Job, at: datetime) -> Run:
    info = JobInfo(key=job.id, id=job.uuid, name=job.name, timeout_ms=600_000)
    return Run(id=job.uuid, scheduled_at=at, attempt=1, params={}, job=info, log=None)  # type: ignore[arg-type]


def test_the_handler_fails_when_no_ping_came_in_time(now: Now) -> None:
    job = make_pinged()
    with pytest.raises(PermanentError, match="no ping within 600000 ms") as failure:
        await_ping(run_of(job, NOW - 10 * MINUTE))
    assert failure.value.reason == "timeout"


def test_a_run_on_request_waits_for_its_ping_too(now: Now) -> None:
    with pytest.raises(NotNow) as later:
        await_ping(run_of(make_pinged(), NOW - 4 * MINUTE))
    assert later.value.delay == 6 * MINUTE


def test_who_is_pinged_goes_by_the_job_that_resolves_to_the_handler() -> None:
    by_name = make_job(name="ping")
    assert pings.find_pinged(by_name.uuid) == by_name
