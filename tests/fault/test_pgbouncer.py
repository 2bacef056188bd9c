"""Everything through a real PgBouncer in transaction mode: schedulers, web, admin, reports, kills."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import requests

from tests.fault.database import Cluster
from tests.fault.processes import ROOT, environment, serving, wait_for
from tests.fault.world import RECOVERY, World
from tests.pgbouncer import Bouncer

SESSIONS = 6  # fewer than the clients, so that sessions do change hands
BEHIND = {"DB_PGBOUNCER": "true"}
EMAIL, PASSWORD = "admin@example.com", "only-for-this-test"


@pytest.fixture
def bounced(shared_world: World, cluster: Cluster) -> Iterator[tuple[World, Bouncer]]:
    """A world whose processes reach PostgreSQL through PgBouncer; the test itself looks past it."""
    bouncer = Bouncer(cluster.server.url(), connections=SESSIONS)
    try:
        bouncer.start()
        shared_world.url = bouncer.url(shared_world.database.url)
        yield shared_world, bouncer
    finally:
        bouncer.close()


def manage(world: World, *words: str, **more: str) -> str:
    """A command of the product behind PgBouncer."""
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env=environment(world.url, **BEHIND, **more),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def count_sessions(world: World) -> int:
    """PostgreSQL's sessions on this database, but for the one that asks."""
    return int(
        world.database.one(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
    )


def test_kills_behind_pgbouncer_lose_nothing_and_few_sessions_carry_all(
    bounced: tuple[World, Bouncer],
) -> None:
    world, bouncer = bounced
    first, second = world.start(**BEHIND), world.start(**BEHIND)
    world.add_once(40, ms=300)
    world.add_every_second(4, 5, ms=50)
    world.wait_in_flight(3, first.pid)
    killed_at = first.kill()
    in_flight = len(world.in_flight(first.pid))
    world.wait_done()
    found = world.judge()
    assert found.lost_attempts >= 1, "void: no attempt was lost"
    assert found.extra_calls <= in_flight
    assert world.recovery(killed_at) <= RECOVERY
    assert second.alive

    world.add_once(20, ms=300)
    bouncer.kill()
    bouncer.start()
    world.wait_done()
    assert world.judge().missing == []
    assert 0 < count_sessions(world) <= SESSIONS
    assert "prepared statement" not in second.said


@pytest.mark.timeout(300)
def test_api_admin_batch_and_report_work_behind_pgbouncer(bounced: tuple[World, Bouncer]) -> None:
    world, _ = bounced
    exports = str(world.folder / "exports")
    manage(world, "prepare_database", ADMIN_EMAIL=EMAIL, ADMIN_PASSWORD=PASSWORD)
    manage(world, "seed")
    scheduler = world.start(EXPORT_DIRECTORY=exports, **BEHIND)
    with serving(environment(world.url, AUTH_MODE="optional", EXPORT_DIRECTORY=exports, **BEHIND)) as base:
        api = Caller(f"{base}/api/v1")
        batch = api.find_job("process-transactions")
        report = api.find_job("generate-daily-reports")
        assert api.run(batch)["status"] == "SUCCESS"
        done = api.run(report)
        assert (done["status"], done["totalProcessed"] > 0) == ("SUCCESS", True)
        assert api.get("/health")["scheduler"] == "ACTIVE"
        assert api.get(f"/jobs/{batch}/explain")["occurrences"] is not None
        assert api.get("/metrics")["successfulExecutions"] >= 2
        threads = [
            threading.Thread(target=api.get, args=(f"/executions?page={n % 3 + 1}",)) for n in range(24)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert api.codes == {200}
        visit_admin(f"{base}/admin/", report)
    assert count_sessions(world) <= SESSIONS
    assert "0 without an answer" in manage(world, "verify_ledger", "--from", "2026-01-01")
    scheduler.terminate()
    assert scheduler.ended() == 0


class Caller:
    """Somebody who uses the API, and remembers with which codes it answered."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.codes: set[int] = set()

    def get(self, path: str) -> Any:
        answer = requests.get(self.base + path, timeout=60)
        self.codes.add(answer.status_code)
        return answer.json()

    def find_job(self, name: str) -> str:
        return str(self.get(f"/jobs?search={name}")["jobs"][0]["id"])

    def run(self, job: str) -> Any:
        """Trigger the job and wait for the end; nobody rings behind PgBouncer, so the poll finds it."""
        answer = requests.post(f"{self.base}/jobs/{job}/trigger", timeout=60)
        assert answer.status_code == 200, answer.text
        path = f"/executions/{answer.json()['executionId']}"
        wait_for(
            lambda: self.get(path)["status"] in ("SUCCESS", "FAILED"), 60, "the end of the run", step=0.2
        )
        return self.get(path)


def visit_admin(address: str, job: str) -> None:
    """Log in as the first superuser and look at every list."""
    with requests.Session() as browser:
        form = browser.get(f"{address}login/", timeout=60)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)
        assert token is not None
        fields = {"csrfmiddlewaretoken": token[1], "username": EMAIL, "password": PASSWORD, "next": "/admin/"}
        assert "Log out" in browser.post(f"{address}login/", fields, timeout=60).text
        for page in ("", "jobs/job/", "executions/execution/", "executions/deadletter/", "jobs/queue/"):
            assert browser.get(address + page, timeout=60).status_code == 200, page


def test_settings_that_guard_a_session_are_taken_from_the_role(
    bounced: tuple[World, Bouncer],
) -> None:
    world, _ = bounced
    name = world.database.one("SELECT current_database()")
    world.database.write(f"ALTER DATABASE {name} SET lock_timeout = '5s'")
    with psycopg.connect(world.url, prepare_threshold=None, autocommit=True) as connection:
        assert connection.execute("SHOW lock_timeout").fetchall() == [("5s",)]
