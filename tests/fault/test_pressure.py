"""A database under pressure from others: no connection left, locks, deadlocks, no notifications (22, 25, 27, 36)."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import psycopg
import pytest

from tests.fault.processes import ROOT, SLACK, environment, wait_for
from tests.fault.world import World

POOL = 20  # DB_POOL_MAX of the processes here


def connections(world: World) -> int:
    """How many connections the schedulers hold, as the server counts them."""
    return int(
        world.database.one(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'scheduler'"
        )
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_when_no_connection_is_left_nobody_dies_and_work_goes_on_soon_after(shared_world: World) -> None:
    world = shared_world
    both = [world.start(), world.start()]
    world.add_once(60, ms=100)
    world.wait_calls(10)
    in_flight = len(world.in_flight())
    taken: list[psycopg.Connection] = []
    with psycopg.connect(world.database.url, autocommit=True) as warden:
        ends_at = time.monotonic() + 6
        refused = 0
        while time.monotonic() < ends_at:
            try:
                taken.append(psycopg.connect(world.database.url, connect_timeout=2))
            except psycopg.OperationalError:
                refused += 1
                warden.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'scheduler'"
                )
    assert refused, "void: there was always one more connection"
    assert all(one.alive for one in both)
    for connection in taken:
        connection.close()
    freed_at = time.monotonic()
    called = {one.pid: sum(call.pid == one.pid for call in world.calls()) for one in both}
    world.add_once(200, ms=100)
    wait_for(
        lambda: all(sum(call.pid == one.pid for call in world.calls()) > called[one.pid] for one in both),
        10 + SLACK,
        "work in all processes again",
    )
    world.note_recovery(time.monotonic() - freed_at, bound=10)
    world.wait_done(60)
    found = world.judge()
    world.notes |= {"in flight": in_flight, "faults": 1}
    assert found.extra_calls <= 20 * 3, "more than a slot full of calls for each of its interruptions"
    assert connections(world) <= 2 * POOL


def test_the_number_of_connections_stays_within_the_pool_and_does_not_grow(shared_world: World) -> None:
    world = shared_world
    world.start()
    seen = []
    for _ in range(5):
        world.add_once(60, ms=30)
        world.wait_done(30)
        seen.append(connections(world))
    world.judge()
    assert max(seen) <= POOL
    assert seen[-1] <= max(seen[:3]), f"connections grow: {seen}"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_stranger_who_locks_rows_in_the_wrong_order_kills_no_process(shared_world: World) -> None:
    world = shared_world
    both = [world.start(), world.start()]
    world.add_every_second(
        6,
        20,
        ms=20,
        overlap_policy="replace",
        misfire_grace_seconds=3600,
        expect={"final": ("SUCCESS", "CANCELLED")},
    )
    world.add_once(60, ms=50)
    stop = threading.Event()
    aborted = [0, 0]

    def disturb() -> None:
        rng = world.random
        while not stop.is_set():
            try:
                with psycopg.connect(world.database.url) as stranger:
                    stranger.execute("SET deadlock_timeout = '200ms'")
                    steps = [
                        "SELECT id FROM batch_jobs ORDER BY id DESC FOR UPDATE",
                        "UPDATE job_executions SET priority = priority WHERE status IN ('RUNNING', 'PENDING')",
                    ]
                    rng.shuffle(steps)
                    for step in steps:
                        stranger.execute(step)
                        time.sleep(0.02)
                aborted[0] += 1
            except psycopg.OperationalError:
                aborted[1] += 1
            except psycopg.Error:
                continue
            time.sleep(0.02)

    def cancel() -> None:
        while not stop.wait(0.15):
            world.database.fetch(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'scheduler'"
                " AND state = 'active' AND random() < 0.3"
            )

    threads = [
        threading.Thread(target=disturb),
        threading.Thread(target=disturb),
        threading.Thread(target=cancel),
    ]
    for thread in threads:
        thread.start()
    time.sleep(8)
    stop.set()
    for thread in threads:
        thread.join(30)
    world.wait_done(60)
    found = world.judge()
    world.notes["faults"] = sum(aborted)
    assert sum(aborted) > 10, "void: the stranger hardly got in"
    assert all(one.alive for one in both)
    assert found.extra_calls <= found.lost_attempts


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_pausing_everything_at_once_and_claims_do_not_get_into_each_others_way(
    shared_world: World, isolation: str
) -> None:
    """With `repeatable read` every meeting of two writers is a serialization failure (40001)."""
    world = shared_world
    name = world.database.one("SELECT current_database()")
    world.database.write(f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
    both = [world.start(), world.start()]
    world.add_every_second(20, 20, first=world.now(), ms=20, misfire_grace_seconds=3600)
    ends_at = time.monotonic() + 8
    switches = 0
    while time.monotonic() < ends_at:
        for old, new in (("active", "paused"), ("paused", "active")):
            try:
                world.database.write(f"UPDATE batch_jobs SET status = '{new}' WHERE status = '{old}'")
                switches += 1
            except psycopg.OperationalError:  # the stranger may lose as well
                pass
        time.sleep(world.random.uniform(0, 0.3))
    world.database.write("UPDATE batch_jobs SET status = 'active' WHERE status = 'paused'")
    world.wait_done(90)
    found = world.judge()
    world.notes["faults"] = switches
    assert switches >= 8, "void: hardly a switch"
    assert found.finals == {"SUCCESS": 400}
    assert found.extra_calls <= found.lost_attempts
    assert all(one.alive for one in both)


@pytest.mark.slow
@pytest.mark.parametrize("bouncer", ["true", "false"])
def test_losing_every_notification_costs_a_poll_and_nothing_else(shared_world: World, bouncer: str) -> None:
    """Behind PgBouncer nobody listens; elsewhere the listening connection is killed again and again."""
    world = shared_world
    first = world.start(DB_PGBOUNCER=bouncer)
    second = world.start(DB_PGBOUNCER=bouncer)
    world.add_every_second(4, 6, first=world.now(), ms=20)
    ends_at = time.monotonic() + 6
    cut = 0
    while time.monotonic() < ends_at:
        if bouncer == "false":
            cut += len(
                world.database.fetch(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE left(query, 6) = 'LISTEN'"
                )
            )
        world.add_once(2, ms=10)
        time.sleep(0.3)
    world.wait_done(30)
    found = world.judge(latest=3 + SLACK)
    world.notes["faults"] = cut
    assert found.extra_calls == 0
    assert first.alive
    assert second.alive


WRITER = """
import sys, time, django
django.setup()
from django.db import OperationalError
from jobs.models import Job
from executions import operations
from jobs.audit import COMMAND_LINE
locked = number = 0
while True:
    number += 1
    try:
        job = Job(name=f"web-{number}", cron_expression="0 0 1 1 *", handler="target", origin="api")
        operations.create(job, by=COMMAND_LINE)
        operations.pause(job, by=COMMAND_LINE)
    except OperationalError as error:
        locked += 1
        print("LOCKED", error, flush=True)
    if number % 10 == 0:
        print("wrote", number, flush=True)
"""


def kill_amid_writes(world: World, times: int) -> None:
    """Kill the scheduler again and again in the middle of its writing, with a web process beside it."""
    log = world.folder / "writer.log"
    with log.open("wb") as output:
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER], cwd=ROOT, env=environment(world.url), stdout=output, stderr=output
        )
    try:
        for _ in range(times):
            world.add_once(
                40,
                ms=world.random.randint(0, 60),
                expect={"final": ("SUCCESS", "FAILED") if times > 4 else ("SUCCESS",)},
            )
            victim = world.start()
            before = world.count("status = 'SUCCESS'")
            wait_for(lambda: world.count("status = 'SUCCESS'") > before + 5, 30, "work before the kill")  # noqa: B023
            time.sleep(world.random.uniform(0, 0.2))
            victim.kill()
        last = world.start()
        world.wait_done(120)
        assert writer.poll() is None, log.read_text()
    finally:
        writer.kill()
        writer.wait(10)
    assert "LOCKED" not in log.read_text(), log.read_text()[-1000:]
    assert "wrote" in log.read_text(), "void: the web process wrote nothing"
    assert not any("locked" in one.said for one in world.schedulers)
    assert last.alive
    path = world.database.url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    found = world.judge()
    world.notes["faults"] = times
    assert found.extra_calls <= found.lost_attempts
    # Of fifty kills four may meet the same execution; what was merely claimed ahead is never so unlucky.
    failed = world.database.fetch(
        "SELECT e.reason, e.lost_count FROM job_executions AS e WHERE e.status = 'FAILED'"
    )
    assert set(failed) <= {("worker_lost", 4)}
    assert len(failed) <= found.executions * 0.03


def test_a_file_survives_kills_in_the_middle_of_writing(make_world: Callable[[str], World]) -> None:
    kill_amid_writes(make_world("sqlite"), 2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_file_survives_fifty_kills_in_the_middle_of_writing(make_world: Callable[[str], World]) -> None:
    kill_amid_writes(make_world("sqlite"), 50)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_long_history_and_its_purge_do_not_hold_up_the_claims(shared_world: World) -> None:
    """A quarter of a million old rows, and a purge beside the work."""
    world = shared_world

    def latest() -> float:
        names = set(world.add_every_second(6, 8, first=world.now(), ms=5))
        world.wait_done(60)
        late = [
            float(row[1])
            for row in world.database.fetch(
                "SELECT j.job_name, extract(epoch FROM e.started_at - e.scheduled_at) FROM job_executions AS e"
                " JOIN batch_jobs AS j ON j.id = e.job_id WHERE e.started_at IS NOT NULL"
            )
            if row[0] in names
        ]
        return sorted(late)[int(len(late) * 0.95)]

    world.start(RETENTION_DAYS="30")
    empty = latest()
    world.database.insert(
        "batch_jobs", [{"job_name": "history", "cron_expression": "0 0 1 1 *", "status": "paused"}]
    )
    job = world.database.one("SELECT id FROM batch_jobs WHERE job_name = 'history'")
    world.database.write("ALTER TABLE job_executions DISABLE TRIGGER USER")
    world.database.write(
        "INSERT INTO job_executions (id, job_id, scheduled_at, status, completed_at, created_at, next_attempt_at)"
        " SELECT gen_random_uuid(), %s, now() - interval '60 days' - make_interval(secs => n), 'SKIPPED',"
        " now() - interval '60 days', now() - interval '60 days', NULL FROM generate_series(1, 250000) AS n",
        [job],
    )
    world.database.write("ALTER TABLE job_executions ENABLE TRIGGER USER")
    world.database.write("ANALYZE job_executions")
    full = latest()
    found = world.check()
    assert not [text for text in found.breaches if "history" not in text]
    assert full <= 2 * empty + 0.5 + SLACK, (
        f"95 % started within {full:.2f} s, {empty:.2f} s without the history"
    )
