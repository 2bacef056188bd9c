"""What monitors and scrapers ask: health, readiness, the scheduler, figures."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import settings as project
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from accounts.access_tokens import issue_token
from executions import healthcheck, prober
from executions.api import health as routes
from executions.models import Execution, Instance, Status
from tests.db.accounts.people import Caller, make_user
from tests.db.executions.world import make_dead_letter, make_execution, make_instance, make_job

committed = pytest.mark.django_db(transaction=True)
pytestmark = pytest.mark.django_db


@pytest.fixture
def hanging_database() -> Iterator[None]:
    """A peer that takes connections and says nothing; only connections of the prober go there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken: list[socket.socket] = []
        stop = threading.Event()

        def accept() -> None:
            server.settimeout(0.1)
            while not stop.is_set():
                try:
                    taken.append(server.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        known = connections["default"].settings_dict
        original = {name: known[name] for name in ("HOST", "PORT")}
        known |= {"HOST": "127.0.0.1", "PORT": str(port)}
        try:
            yield
        finally:
            known |= original
            stop.set()
            thread.join()
            for one in taken:
                one.close()


@committed
def test_health_tells_of_this_process_and_its_neighbours(client: Client) -> None:
    now = timezone.now()
    instance = make_instance(at=now)
    job = make_job(next_run_at=now + timedelta(days=1), max_concurrent_executions=2)
    make_execution(job, next_attempt_at=now - timedelta(seconds=5))
    make_execution(job, status=Status.RUNNING, lease_expires_at=now + timedelta(minutes=1))
    for path in ("/health", "/api/v1/health", "/api/v1/health/"):
        response = client.get(path)
        body = response.json()
        assert response.status_code == 200
        assert set(body) == {
            "status",
            "timestamp",
            "uptime",
            "database",
            "scheduler",
            "instanceId",
            "worker",
            "redis",
            "version",
        }
        assert (body["status"], body["database"], body["scheduler"]) == ("healthy", "connected", "ACTIVE")
        assert body["worker"] == {"queueSize": 1, "activeWorkers": 1}
        assert (body["instanceId"], body["redis"]) == (instance.id, "not configured")
        assert body["version"] == project.VERSION
        assert isinstance(body["uptime"], int)


@committed
def test_many_monitors_cost_one_look_a_second(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def look() -> routes.Sight:
        looks.append(1)
        return routes._look()

    monkeypatch.setattr(routes, "_picture", prober.Prober(look, keep=60))
    told = [client.get(path).json() for path in ("/health", "/health/scheduler", "/api/v1/health")]
    assert len(looks) == 1
    # The clock goes on, whatever is shared.
    assert told[0]["timestamp"] < told[2]["timestamp"]


@committed
@pytest.mark.skipif(connection.vendor == "sqlite", reason="a file does not hang")
def test_health_answers_within_a_second_though_the_database_hangs(
    client: Client, request: pytest.FixtureRequest
) -> None:
    token = issue_token(make_user(), now=timezone.now())
    request.getfixturevalue("hanging_database")
    for path, status in [("/health", 503), ("/health/scheduler", 503), ("/health/live", 200)]:
        started = time.monotonic()
        response = client.get(path, headers={"authorization": f"Bearer {token}"} if status == 503 else {})
        assert time.monotonic() - started < 2 * prober.PATIENCE + 0.6
        assert response.status_code == status
    body = client.get("/health").json()
    assert (body["status"], body["database"], body["scheduler"]) == ("unhealthy", "disconnected", "INACTIVE")


@committed
def test_a_bad_token_is_refused_also_where_none_is_needed(client: Client) -> None:
    assert client.get("/health", headers={"authorization": "Bearer nonsense"}).status_code == 401
    caller = Caller(make_user())
    assert caller("get", "/health").status_code == 200


def test_redis_that_does_not_answer_is_said_to(settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.REDIS_URL = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        assert routes.ask_redis() == "disconnected"


@committed
def test_ready_and_live(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/health/live").json() == {"status": "alive"}
    monkeypatch.setattr(routes, "_ready_for_good", False)
    monkeypatch.setattr(routes, "_migrated", prober.Prober(lambda: False))
    response = client.get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (503, "migrations are missing")
    monkeypatch.setattr(routes, "_migrated", prober.Prober(routes._is_migrated))
    for _ in range(2):
        response = client.get("/health/ready")
        assert (response.status_code, response.json()) == (200, {"status": "ready"})


@committed
def test_the_scheduler_is_red_unless_it_is_active(client: Client) -> None:
    response = client.get("/health/scheduler")
    assert (response.status_code, response.json()["status"]) == (503, "INACTIVE")
    now = timezone.now()
    make_instance(at=now, concurrency=4, jobs_processed_count=9)
    response = client.get("/health/scheduler")
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {
        "instanceId",
        "status",
        "jobsProcessedCount",
        "uptime",
        "currentlyRunningJobs",
        "queuedJobs",
        "workerPoolSize",
        "workerPoolUtilization",
        "lastHeartbeat",
        "schedulerLagMs",
    }
    assert (body["jobsProcessedCount"], body["workerPoolSize"]) == (9, 4)
    execution = make_execution(make_job(next_run_at=now + timedelta(days=1)))
    Execution.objects.filter(id=execution.id).update(next_attempt_at=now - timedelta(minutes=2))
    response = client.get("/health/scheduler")
    assert (response.status_code, response.json()["status"]) == (503, "STALLED")
    assert response.json()["schedulerLagMs"] >= 120_000


def test_the_status_lists_the_processes_for_those_with_a_token() -> None:
    make_instance(at=timezone.now())
    assert Caller()("get", "/scheduler/status").status_code == 401
    body = Caller(make_user())("get", "/scheduler/status").json()
    (shown,) = body["instances"]
    assert set(shown) == {
        "instanceId",
        "role",
        "status",
        "lastHeartbeat",
        "hostname",
        "pid",
        "jobsProcessedCount",
    }
    assert (shown["status"], shown["hostname"], body["status"]) == ("ACTIVE", "here", "ACTIVE")


def test_the_figures_of_the_system() -> None:
    job = make_job()
    now = timezone.now()
    for status, duration in [(Status.SUCCESS, 100), (Status.SUCCESS, 201), (Status.FAILED, 900)]:
        make_execution(job, status=status, completed_at=now, execution_duration_ms=duration)
    make_dead_letter(Execution.objects.get(status=Status.FAILED))
    make_execution(job, status=Status.RETRYING)
    body = Caller(make_user())("get", "/metrics").json()
    assert body == {
        "totalJobs": 1,
        "activeJobs": 1,
        "pausedJobs": 0,
        "totalExecutions": 4,
        "successfulExecutions": 2,
        "failedExecutions": 1,
        "successRate": 66.67,
        "avgExecutionTimeMs": 150.5,
        "averageExecutionTime": 150.5,
        "executionsLast24h": 4,
        "failedExecutionsLast24h": 1,
        "currentLoad": {"pendingExecutions": 1, "runningExecutions": 0},
        "deadLetters": 1,
        "schedulerLagMs": body["schedulerLagMs"],
    }


def test_the_figures_of_a_job_are_its_owners() -> None:
    ada = make_user("ada@example.com")
    job = make_job(user=ada)
    now = timezone.now()
    make_execution(
        job,
        status=Status.SUCCESS,
        completed_at=now,
        scheduled_at=now - timedelta(seconds=2),
        started_at=now,
        executed_at=now,
        execution_duration_ms=10,
    )
    body = Caller(ada)("get", f"/metrics/jobs/{job.uuid}").json()
    assert body["lastExecutionAt"][:19] == now.isoformat()[:19]
    del body["lastExecutionAt"]
    assert body == {
        "jobId": str(job.uuid),
        "totalExecutions": 1,
        "successfulExecutions": 1,
        "failedExecutions": 0,
        "successRate": 100.0,
        "avgExecutionTimeMs": 10.0,
        "lastExecutionStatus": "SUCCESS",
        "avgDelayFromScheduleMs": 2000.0,
    }
    stranger = Caller(make_user("eve@example.com"))
    assert stranger("get", f"/metrics/jobs/{job.uuid}").json()["error"] == "Job not found"


def scrape(client: Client) -> dict[str, Any]:
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain")
    return {family.name: family for family in text_string_to_metric_families(response.content.decode())}


def sample(families: dict[str, Any], family: str, name: str, **labels: str) -> float:
    found = [
        one.value
        for one in families[family].samples
        if one.name == name and labels.items() <= one.labels.items()
    ]
    assert len(found) == 1, families[family].samples
    return float(found[0])


def test_scrapers_read_text_at_the_bare_address_without_a_token(client: Client) -> None:
    make_execution(status=Status.SUCCESS, completed_at=timezone.now(), execution_duration_ms=1500)
    client.get("/api/v1/executions/not-an-id")
    families = scrape(client)
    assert {
        "scheduler_executions",
        "scheduler_execution_duration_seconds",
        "scheduler_lag_seconds",
        "scheduler_queue_size",
        "scheduler_active_workers",
        "scheduler_jobs",
        "http_requests",
        "http_request_duration_seconds",
        "db_pool_connections",
    } <= set(families)
    assert sample(families, "scheduler_executions", "scheduler_executions_total", status="SUCCESS") == 1
    duration = "scheduler_execution_duration_seconds"
    assert sample(families, duration, f"{duration}_sum", status="SUCCESS") == 1.5
    assert sample(families, "scheduler_jobs", "scheduler_jobs", state="active") == 1
    labels = {"method": "GET", "route": "/executions/{id}", "code": "401"}
    assert sample(families, "http_requests", "http_requests_total", **labels) >= 1


def test_counters_do_not_fall_when_history_is_deleted(client: Client) -> None:
    make_execution(status=Status.SUCCESS, completed_at=timezone.now())
    Execution.objects.all().delete()
    found = scrape(client)
    assert sample(found, "scheduler_executions", "scheduler_executions_total", status="SUCCESS") == 1


def test_callers_cannot_make_labels(client: Client) -> None:
    client.generic("BREW", "/coffee-1234")
    text = client.get("/metrics").content.decode()
    assert "BREW" not in text
    assert "coffee" not in text


# The container's check ------------------------------------------------------------------------------


def check(*arguments: str) -> str:
    out = StringIO()
    call_command("healthcheck", *arguments, stdout=out)
    return out.getvalue()


def test_a_scheduler_is_judged_by_the_last_pass_of_the_newest_process_of_this_host() -> None:
    with pytest.raises(CommandError, match="no scheduler of this host"):
        check("scheduler")
    now = timezone.now()
    here = {"hostname": socket.gethostname(), "concurrency": 1}
    make_instance(at=now, metadata={"hostname": "elsewhere"})
    old = make_instance(at=now - timedelta(hours=1), metadata=here, created_at=now - timedelta(hours=2))
    with pytest.raises(CommandError, match=r"the last pass of .* was 36\d\d s ago"):
        check("scheduler")
    new = make_instance(at=now - timedelta(seconds=50), metadata=here, created_at=now)
    assert check("scheduler") == f"{new.id} is alive\n"
    Instance.objects.filter(id=new.id).update(status="INACTIVE")
    with pytest.raises(CommandError, match=old.id):
        check("scheduler")


@pytest.mark.django_db(transaction=True)
def test_a_web_process_is_asked_for_its_health(live_server: Any, settings: Any) -> None:
    settings.PORT = live_server.thread.port
    assert "is healthy" in check("web")
    settings.ALLOWED_HOSTS = ["jobs.example.com"]
    assert "is healthy" in check("web")


def test_a_web_process_that_is_not_there_is_not_healthy(settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.PORT = server.getsockname()[1]
    with pytest.raises(CommandError, match="does not answer"):
        check("web")


@pytest.mark.parametrize(
    ("words", "role"),
    [
        ("tini\0--\0docker/entrypoint.sh\0web\0", "web"),
        ("tini\0--\0docker/entrypoint.sh\0scheduler\0--concurrency\0004\0", "scheduler"),
        ("python\0manage.py\0run_scheduler\0", "scheduler"),
        ("/venv/bin/gunicorn\0", "web"),
        ("/sbin/init\0", None),
    ],
)
def test_a_container_knows_what_it_was_started_as(tmp_path: Any, words: str, role: str | None) -> None:
    (tmp_path / "cmdline").write_text(words)
    assert healthcheck.started_as(tmp_path / "cmdline") == role
    assert healthcheck.started_as(tmp_path / "nothing") is None


# The dummy ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
def test_the_dummy_answers_what_it_got(client: Client, settings: Any, method: str) -> None:
    settings.ENABLE_DUMMY_ENDPOINT = True
    body = {} if method == "get" else {"data": json.dumps({"a": [1]}), "content_type": "application/json"}
    response = getattr(client, method)("/dummy", **body)
    received = None if method == "get" else {"a": [1]}
    assert response.json() == {"ok": True, "method": method.upper(), "received": received}


def test_the_dummy_answers_the_code_that_is_wished_for(client: Client, settings: Any) -> None:
    settings.ENABLE_DUMMY_ENDPOINT = True
    response = client.post("/dummy?status=503&delayMs=1", data="plain", content_type="text/plain")
    assert (response.status_code, response.json()["received"]) == (503, "plain")
    assert client.get("/dummy?status=204").content == b""
    assert client.get("/dummy?status=42").status_code == 400
    assert client.head("/dummy").status_code == 200


def test_the_dummy_is_there_only_where_it_is_enabled_and_only_bare(client: Client, settings: Any) -> None:
    settings.ENABLE_DUMMY_ENDPOINT = False
    assert client.get("/dummy").json()["error"] == "Route not found"
    settings.ENABLE_DUMMY_ENDPOINT = True
    assert client.get("/api/v1/dummy").status_code == 404
