"""Five kinds of client against one server: the web processes and a scheduler as they are deployed.

Each test plays the documented calls of one reference system over a socket, and waits for what its user
waits for. Both modes of AUTH_MODE are in the tests of the routes; here guests are served, as those systems
do, and the one client that has a token sends it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import fresh_database
from tests.e2e.http_targets import HttpTarget
from tests.fault.database import Database
from tests.fault.processes import ROOT, Scheduler, environment, wait_for
from tests.postgres import free_port

PATIENCE = 60.0
OPEN = {"AUTH_MODE": "optional", "REGISTRATION_OPEN": "true", "HTTP_ALLOWED_CIDRS": "127.0.0.0/8"}


@dataclass(kw_only=True)
class Product:
    """A running installation."""

    database: Database
    address: str

    def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.request(method, f"{self.address}{path}", json=body, headers=headers, timeout=30)

    def get(self, path: str, *, token: str | None = None) -> Any:
        response = self.ask("GET", path, token=token)
        assert response.status_code == 200, response.text
        return response.json()

    def wait_until(self, condition: Any, what: str) -> None:
        wait_for(condition, PATIENCE, what)


class Web:
    """gunicorn, as the image starts it."""

    def __init__(self, database: Database, log: Path, more: dict[str, str]) -> None:
        self.port = free_port()
        extra = {"PORT": str(self.port), "WEB_CONCURRENCY": "2", **more}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn"],
                cwd=ROOT,
                env=environment(database.url, **extra),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.address = f"http://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        assert self.process.poll() is None, "gunicorn ended"
        try:
            return requests.get(f"{self.address}/health/live", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def end(self) -> None:
        os.kill(self.process.pid, signal.SIGTERM)
        self.process.wait(30)


@pytest.fixture(scope="module")
def product(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, migrated_template: str
) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("product")
    with fresh_database(request, folder, template=migrated_template) as address:
        database = Database(address)
        extra = {"EXPORT_DIRECTORY": str(folder / "exports"), **OPEN}
        scheduler = Scheduler(address, folder / "scheduler.log", extra=extra)
        web = Web(database, folder / "web.log", extra)
        try:
            scheduler.ready(PATIENCE)
            wait_for(web.answers, PATIENCE, "gunicorn")
            yield Product(database=database, address=web.address)
        finally:
            web.end()
            scheduler.end()


@pytest.fixture(scope="module")
def target() -> Iterator[HttpTarget]:
    with HttpTarget() as found:
        yield found


def test_c4_schedules_a_call_and_reads_its_last_five_executions(product: Product, target: HttpTarget) -> None:
    body = {"schedule": "* * * * * *", "api": target.url("/ok"), "type": "ATLEAST_ONCE"}

    made = product.ask("POST", "/jobs", body)
    assert made.status_code == 201, made.text
    job_id = made.json()["jobId"]
    product.wait_until(
        lambda: sum(bool(one["success"]) for one in product.get(f"/jobs/{job_id}/executions")) == 5,
        "five calls",
    )

    executions = product.get(f"/jobs/{job_id}/executions")
    assert len(executions) == 5
    assert [one["scheduledAt"] for one in executions] == sorted(
        (one["scheduledAt"] for one in executions), reverse=True
    )
    assert {one["httpStatusCode"] for one in executions} == {200}
    assert all(one["executedAt"] and one["durationMs"] is not None for one in executions)
    health = product.get("/health")
    assert (health["status"], health["scheduler"], health["database"]) == ("healthy", "ACTIVE", "connected")
    refused = product.ask("POST", "/jobs", body | {"schedule": "every day"})
    assert (refused.status_code, refused.json()["error"]) == (400, "Validation error")
    assert product.ask("DELETE", f"/jobs/{job_id}").status_code == 200


def test_c3_makes_reads_changes_and_deletes_jobs(product: Product) -> None:
    made = product.ask("POST", "/jobs", {"name": "c3", "schedule": "*/5 * * * *", "isActive": True})
    assert made.status_code == 201
    job = made.json()

    assert job["id"] in [one["id"] for one in product.get("/jobs?envelope=false&limit=100")]
    assert product.get(f"/jobs/{job['id']}")["nextRun"]
    changed = product.ask("PATCH", f"/jobs/{job['id']}", {"isActive": False}).json()
    assert (changed["isActive"], changed["nextRun"]) == (False, None)
    assert product.ask("PATCH", f"/jobs/{job['id']}", {"isActive": True}).json()["nextRun"]
    assert product.ask("DELETE", f"/jobs/{job['id']}").status_code == 200
    gone = product.ask("GET", f"/jobs/{job['id']}")
    assert (gone.status_code, gone.json()["error"]) == (404, "Job not found")


def test_c2_registers_logs_in_and_runs_one_time_and_recurring_jobs(product: Product) -> None:
    account = {"email": f"{uuid.uuid4().hex}@example.com", "password": "long enough", "name": "Ada"}
    registered = product.ask("POST", "/auth/register", account)
    assert (registered.status_code, registered.json()["user"]["email"]) == (201, account["email"])
    assert product.ask("POST", "/auth/register", account).status_code == 409
    login = product.ask("POST", "/auth/login", {"email": account["email"], "password": account["password"]})
    body = login.json()
    assert (login.status_code, body["token_type"]) == (200, "Bearer")
    assert body["expires_in"] > 0
    token = body["access_token"]
    assert product.get("/auth/me", token=token)["email"] == account["email"]
    wrong = product.ask("POST", "/auth/login", {"email": account["email"], "password": "wrong"})
    assert (wrong.status_code, wrong.json()["message"]) == (401, "Invalid credentials")

    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    once = product.ask(
        "POST",
        "/jobs",
        {
            "name": "once",
            "type": "one_time",
            "scheduledAt": soon,
            "payload": {"duration": 10},
            "maxRetries": 3,
        },
        token=token,
    ).json()
    assert (once["type"], once["status"]) == ("one_time", "pending")
    path = f"/jobs/{once['id']}"
    product.wait_until(lambda: product.get(path, token=token)["status"] == "completed", "the one run")
    done = product.get(path, token=token)
    assert (done["retryCount"], done["errorMessage"]) == (0, None)
    assert done["startedAt"]
    assert done["completedAt"]
    assert [one["status"] for one in product.get(f"{path}/executions", token=token)] == ["success"]

    recurring = {"name": "again", "type": "recurring", "recurrencePattern": "daily", "scheduledAt": soon}
    again = product.ask("POST", "/jobs", recurring, token=token).json()
    later = {"scheduledAt": "2030-01-01T00:00:00Z"}
    moved = product.ask("POST", f"/jobs/{again['id']}/reschedule", later, token=token)
    assert moved.json()["nextRunAt"] == "2030-01-01T00:00:00.000Z"
    cancelled = product.ask("POST", f"/jobs/{again['id']}/cancel", token=token)
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert product.ask("POST", f"/jobs/{again['id']}/cancel", token=token).status_code == 409
    page = product.get("/jobs?status=completed&page=1&limit=10", token=token)
    assert [job["id"] for job in page["jobs"]] == [once["id"]]
    # Nobody else sees them.
    assert product.ask("GET", path).status_code == 404
    assert once["id"] not in [one["id"] for one in product.get("/jobs?envelope=false&limit=100")]


def test_c1_watches_metrics_and_brings_a_dead_letter_back(product: Product, target: HttpTarget) -> None:
    before = product.get("/api/v1/metrics")
    body = {
        "name": "c1",
        "type": "ATLEAST_ONCE",
        "cronExpression": "0 0 1 1 *",
        "apiEndpoint": target.url("/status/500"),
        "retryPolicy": {"maxRetries": 1, "backoffStrategy": "FIXED", "initialDelayMs": 1, "maxDelayMs": 1},
    }
    made = product.ask("POST", "/api/v1/jobs", body)
    assert made.status_code == 201, made.text
    job = made.json()
    assert (job["status"], job["type"], job["maxRetries"]) == ("ACTIVE", "ATLEAST_ONCE", 1)
    triggered = product.ask("POST", f"/api/v1/jobs/{job['id']}/trigger")
    assert (triggered.status_code, triggered.json()["status"]) == (200, "PENDING")
    execution = triggered.json()["executionId"]

    def letters() -> list[Any]:
        return list(product.get(f"/api/v1/dlq?jobId={job['id']}")["items"])

    product.wait_until(letters, "the dead letter")
    (letter,) = letters()
    assert (letter["executionId"], letter["resolved"]) == (execution, False)
    told = product.get(f"/api/v1/executions/{execution}")
    assert (told["status"], told["httpStatusCode"], told["retryCount"]) == ("FAILED", 500, 1)
    assert [one["attemptNumber"] for one in told["attempts"]] == [1, 2]
    figures = product.get(f"/api/v1/metrics/jobs/{job['id']}")
    assert (figures["failedExecutions"], figures["lastExecutionStatus"]) == (1, "FAILED")

    good = product.ask("PUT", f"/api/v1/jobs/{job['id']}", {"apiEndpoint": target.url("/ok")})
    assert good.status_code == 200
    again = product.ask("POST", f"/api/v1/dlq/{letter['id']}/retry", {})
    assert again.status_code == 200, again.text
    product.wait_until(
        lambda: product.get(f"/api/v1/executions/{again.json()['executionId']}")["status"] == "SUCCESS",
        "the requeued run",
    )
    assert letters() == []
    assert product.ask("POST", f"/api/v1/dlq/{letter['id']}/resolve").status_code == 409
    after = product.get("/api/v1/metrics")
    assert after["totalExecutions"] >= before["totalExecutions"] + 2
    assert after["failedExecutions"] == before["failedExecutions"] + 1
    envelope = product.get(f"/api/v1/jobs/{job['id']}/executions?envelope=true")
    assert (envelope["jobId"], envelope["total"]) == (job["id"], 2)
    assert (
        product.ask("POST", f"/api/v1/jobs/{job['id']}/pause", {"reason": "r"}).json()["status"] == "PAUSED"
    )
    assert product.ask("POST", f"/api/v1/jobs/{job['id']}/resume").json()["status"] == "ACTIVE"
    status = product.get("/api/v1/scheduler/status")
    assert (status["status"], len(status["instances"])) == ("ACTIVE", 1)
    assert b"scheduler_executions_total" in requests.get(f"{product.address}/metrics", timeout=30).content
    deleted = product.ask("DELETE", f"/api/v1/jobs/{job['id']}")
    assert (deleted.status_code, deleted.json()["status"]) == (200, "DELETED")


def test_c0_writes_sql_and_reads_rows_and_files(product: Product) -> None:
    database = product.database
    database.insert(
        "batch_jobs",
        [{"job_name": "generate-daily-reports", "cron_expression": "* * * * * *", "status": "active"}],
    )
    ended = (
        "SELECT count(*) FROM batch_job_logs WHERE job_name = 'generate-daily-reports' AND status = 'success'"
    )
    product.wait_until(lambda: database.one(ended) >= 1, "a report")
    database.write("UPDATE batch_jobs SET status = 'inactive' WHERE job_name = 'generate-daily-reports'")

    # What SQL made is seen and served by the API as well.
    (job,) = [
        one for one in product.get("/jobs?envelope=false&limit=100") if one["name"].startswith("generate")
    ]
    assert (job["origin"], job["status"], job["isActive"]) == ("sql", "INACTIVE", False)
    report = product.get(f"/reports?jobId={job['id']}")["reports"][0]
    download = product.ask("GET", f"/reports/{report['id']}/download")
    assert (download.status_code, download.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert len(download.content) == report["bytes"]
