"""Somebody opens a transaction on a row and goes to lunch (41): his row waits, and nothing else does.

Whoever has the right to write the tables may do so for as long as he likes: an operator at a prompt, a
migration of his own, a large `apply_jobs`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.fault.processes import LEASE, SLACK
from tests.fault.proxy import Proxy
from tests.fault.world import World

HELD = 2 * LEASE + 1  # seconds: whatever is not kept meanwhile is lost


@contextmanager
def holding(world: World, statement: str) -> Iterator[None]:
    """An open transaction that has said this."""
    with psycopg.connect(world.database.url) as stranger:
        assert stranger.execute(statement).rowcount, "void: nothing was held"
        yield
        stranger.rollback()


def add_canary(world: World, seconds: float) -> str:
    """A job of the lowest priority that fires every second."""
    (name,) = world.add_every_second(
        1, int(seconds), first=world.now(), ms=5, priority=0, overlap_policy="allow"
    )
    return name


def sing(world: World, canary: str, seconds: float) -> int:
    """How often the canary is called in this time."""
    before = sum(call.job == canary for call in world.calls())
    time.sleep(seconds)
    return sum(call.job == canary for call in world.calls()) - before


@pytest.mark.timeout(120)
def test_a_job_that_somebody_holds_keeps_its_own_endings_back_and_no_other(shared_world: World) -> None:
    world = shared_world
    world.start()
    (held,) = world.add_once(1, ms=400)
    world.add_once(2, ms=int(1000 * (HELD + 1)), execution_type="ATMOST_ONCE")
    canary = add_canary(world, HELD + 4)
    world.wait_in_flight(3)
    with holding(world, f"UPDATE batch_jobs SET description = 'mine' WHERE job_name = '{held}'"):
        assert sing(world, canary, HELD) >= HELD - 2
        assert world.count("status = 'RUNNING'") >= 3, "void: the ending was not kept back"
    world.wait_done(30)
    found = world.judge()
    assert found.extra_calls == 0
    assert found.finals.keys() == {"SUCCESS"}


@pytest.mark.timeout(120)
def test_a_run_whose_row_somebody_holds_keeps_its_lease_and_the_others_theirs(shared_world: World) -> None:
    world = shared_world
    world.start()
    world.add_once(3, ms=int(1000 * (HELD + 1)), execution_type="ATMOST_ONCE")
    canary = add_canary(world, HELD + 4)
    world.wait_in_flight(3)
    one = "(SELECT id FROM job_executions WHERE status = 'RUNNING' ORDER BY started_at LIMIT 1)"
    heard = 0
    for _ in range(4):  # each time for less than a lease
        with holding(world, f"UPDATE job_executions SET priority = priority WHERE id = {one}"):
            heard += sing(world, canary, LEASE / 2)
        time.sleep(LEASE / 4)
    assert heard >= 2
    world.wait_done(30)
    found = world.judge()
    assert found.extra_calls == 0
    assert found.finals.keys() == {"SUCCESS"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("table", ["job_tags", "queues"])
def test_limits_that_somebody_is_changing_count_as_before_and_hold_nobody_up(
    shared_world: World, table: str
) -> None:
    world = shared_world
    world.start()
    names = world.add_every_second(2, 8, first=world.now(), ms=5, queue="narrow", overlap_policy="allow")
    world.database.write("INSERT INTO queues (name, max_concurrent) VALUES ('narrow', 2)")
    world.database.write(
        "INSERT INTO job_tags (id, name, max_concurrent) VALUES (gen_random_uuid(), 'few', 2)"
    )
    world.database.write(
        "INSERT INTO job_tag_associations (job_id, tag_id) SELECT j.id, t.id FROM batch_jobs AS j, job_tags AS t"
        f" WHERE j.job_name IN ('{names[0]}', '{names[1]}')"
    )
    canary = add_canary(world, 8)
    world.wait_calls(2)
    with holding(world, f"UPDATE {table} SET max_concurrent = 6"):
        assert sing(world, canary, 4) >= 2
        assert sing(world, names[0], 3) >= 1
    world.wait_done(30)
    world.judge()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("table", ["batch_jobs", "job_executions"])
def test_a_crowd_that_somebody_holds_at_the_front_starves_nobody(shared_world: World, table: str) -> None:
    world = shared_world
    names = world.add_once(300, ms=5, priority=9, at=world.now(), status="paused")
    world.start()
    canary = add_canary(world, 12)
    world.wait_calls(1)
    world.database.write("UPDATE batch_jobs SET status = 'active' WHERE priority = 9")
    column = "job_name" if table == "batch_jobs" else "job_id"
    rows = "SELECT job_name" if table == "batch_jobs" else "SELECT id"
    which = f"{column} IN ({rows} FROM batch_jobs WHERE priority = 9)"
    deadline = time.monotonic() + 20
    while table == "job_executions" and world.count("priority = 9") < 300 and time.monotonic() < deadline:
        time.sleep(0.05)
    with holding(world, f"UPDATE {table} SET priority = 9 WHERE {which}"):
        assert sing(world, canary, 5) >= 3
    world.wait_done(60)
    assert len(names) == 300
    world.judge()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", ["blackhole", "refuse"])
def test_a_process_that_cannot_reach_its_database_stops_in_time(
    proxied_world: tuple[World, Proxy], mode: str
) -> None:
    world, proxy = proxied_world
    scheduler = world.start(SHUTDOWN_TIMEOUT_SECONDS="3")
    world.add_once(2, ms=1500)
    world.wait_in_flight(2)
    if mode == "refuse":
        proxy.switch(1)
        proxy.cut()
    else:
        proxy.mode = mode
    asked_at = time.monotonic()
    scheduler.terminate()
    scheduler.ended(60)
    took = time.monotonic() - asked_at
    proxy.mode = "pass"
    world.notes["recovery s"] = round(took, 2)
    # A line that goes dead amid an answer is given up by the system after ten seconds (tcp_user_timeout).
    assert took <= 3 + 5 + (10 if mode == "blackhole" else 0) + SLACK
