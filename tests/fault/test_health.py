"""Health turns red when progress stops, not when a process dies: asked from outside, of real processes."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest
import requests

from tests.fault.processes import ROOT, environment, serving, wait_for
from tests.fault.world import World


def check(world: World) -> tuple[int, str]:
    """What the health check of a scheduler's container says."""
    done = subprocess.run(
        [sys.executable, "manage.py", "healthcheck", "scheduler"],
        cwd=ROOT,
        env=environment(world.url),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_a_loop_that_stands_still_and_one_that_cannot_claim_are_seen_though_their_processes_live(
    shared_world: World,
) -> None:
    world = shared_world
    scheduler = world.start()
    with serving(environment(world.url)) as base:

        def says(code: int, status: str) -> bool:
            answer = requests.get(f"{base}/api/v1/health/scheduler", timeout=10)
            return (answer.status_code, answer.json()["status"]) == (code, status)

        wait_for(lambda: says(200, "ACTIVE"), 20, "ACTIVE")
        assert check(world)[0] == 0

        scheduler.pause()
        wait_for(lambda: says(503, "INACTIVE"), 20, "INACTIVE while the process stands still")
        world.database.write("UPDATE scheduler_metadata SET last_heartbeat = now() - interval '61 seconds'")
        code, said = check(world)
        assert (code, "the last pass of scheduler-" in said) == (1, True)
        assert scheduler.alive
        held = lock_a_due_execution(world)
        scheduler.go_on()
        wait_for(lambda: says(503, "STALLED"), 20, "STALLED with free slots")
        assert check(world)[0] == 0, "the process itself is well: a restart of it would not help"
        held.close()
        wait_for(lambda: says(200, "ACTIVE"), 20, "ACTIVE when nobody holds it any more")
    assert world.count("status = 'SUCCESS'") == 1


def lock_a_due_execution(world: World) -> psycopg.Connection[object]:
    """An execution that is due for two minutes, and somebody's session that locks its row."""
    job = {"job_name": "held", "cron_expression": "0 0 1 1 *", "handler": "default"}
    world.database.insert("batch_jobs", [job])
    world.database.write(
        "INSERT INTO job_executions (id, job_id, scheduled_at, trigger, next_attempt_at)"
        " SELECT gen_random_uuid(), id, now() - interval '2 minutes', 'manual', now() - interval '2 minutes'"
        " FROM batch_jobs WHERE job_name = 'held'"
    )
    session: psycopg.Connection[object] = psycopg.connect(world.database.url)
    session.execute("SELECT id FROM job_executions FOR UPDATE")
    return session


def test_each_web_process_tells_the_figures_of_all(shared_world: World) -> None:
    folder = shared_world.folder / "figures"
    folder.mkdir()
    given = environment(shared_world.url, WEB_CONCURRENCY="2", PROMETHEUS_MULTIPROC_DIR=str(folder))
    with serving(given) as base:
        asked = 0

        def both_answered() -> bool:
            nonlocal asked
            asked += 1
            assert requests.get(f"{base}/api/v1/health/live", timeout=10).status_code == 200
            return len(list(folder.glob("counter_*.db"))) == 2

        wait_for(both_answered, 60, "an answer of each of two processes")
        line = f'http_requests_total{{code="200",method="GET",route="/health/live"}} {asked}.0'
        for _ in range(8):
            assert line in requests.get(f"{base}/metrics", timeout=10).text.splitlines()
