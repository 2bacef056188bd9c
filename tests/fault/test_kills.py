"""Workers that die or stand still (cases 1, 2, 3)."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from tests.fault.processes import LEASE, wait_for
from tests.fault.world import RECOVERY, World


@pytest.mark.promise
def test_a_killed_scheduler_loses_nothing(shared_world: World) -> None:
    world = shared_world
    first, second = world.start(), world.start()
    world.add_once(60, ms=300)
    world.wait_in_flight(3, first.pid)
    killed_at = first.kill()
    in_flight = len(world.in_flight(first.pid))
    world.wait_done()
    found = world.judge()
    world.notes["in flight"] = in_flight
    assert found.lost_attempts >= 1, "void: no attempt was lost"
    # What was called and not yet written may be called again; nothing else.
    assert found.extra_calls <= max(in_flight, found.lost_attempts)
    assert world.recovery(killed_at) <= RECOVERY
    assert second.alive


@pytest.mark.promise
def test_a_worker_that_stood_still_past_its_lease_changes_nothing(shared_world: World) -> None:
    world = shared_world
    sleeper = world.start()
    world.add_once(8, ms=1500, do="stubborn")
    world.wait_in_flight(5, sleeper.pid)
    sleeper.pause()
    in_flight = len(world.in_flight(sleeper.pid))
    other = world.start()
    wait_for(lambda: world.count("lost_count > 0") >= in_flight, 30, "the rescue of what stood still")
    before = len([call for call in world.calls() if call.pid == sleeper.pid])
    sleeper.go_on()
    woken_at = time.monotonic()
    world.wait_done()
    # It looks around again before it is judged: what it lost it must have noticed by then.
    wait_for(lambda: world.stale_writes() > 0, 20, "stale writes: the fault never bit")
    found = world.judge()
    world.notes |= {"in flight": in_flight, "stale writes": world.stale_writes()}
    fresh = [c for c in world.calls() if c.pid == sleeper.pid and c.started > woken_at]
    again = len([call for call in world.calls() if call.pid == sleeper.pid]) - before
    assert again - len({c.execution for c in fresh}) == 0
    assert found.extra_calls <= in_flight
    assert other.alive
    assert sleeper.alive


@pytest.mark.promise
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_lone_scheduler_that_is_started_again_takes_up_what_it_left(
    make_world: object, database: str
) -> None:
    world: World = make_world(database)  # type: ignore[operator]
    first = world.start()
    world.add_once(30, ms=200)
    world.add_once(
        2, ms=400, execution_type="ATMOST_ONCE", priority=9, expect={"final": ("SUCCESS", "FAILED")}
    )
    world.wait_in_flight(4)
    killed_at = first.kill()
    in_flight = len(world.in_flight())
    world.start()
    world.wait_done()
    found = world.judge()
    world.notes["in flight"] = in_flight
    assert found.lost_attempts >= 1, "void: no attempt was lost"
    assert found.extra_calls <= in_flight
    assert world.recovery(killed_at) <= RECOVERY + 3  # the new one has to start first


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_of_5000_due_executions_all_succeed_when_one_of_two_schedulers_is_killed(shared_world: World) -> None:
    world = shared_world
    first, second = world.start(), world.start()
    world.add_every_second(50, 100, ms=20, overlap_policy="allow", misfire_grace_seconds=3600)
    world.wait_calls(500, 120)
    world.wait_in_flight(1, first.pid)
    killed_at = first.kill()
    in_flight = len(world.at_risk(first.pid, killed_at=killed_at))
    world.wait_done(300)
    found = world.judge()
    world.notes["in flight"] = in_flight
    assert found.finals == {"SUCCESS": 5000}
    assert found.lost_attempts >= 1, "void: no attempt was lost"
    assert found.extra_calls <= in_flight
    assert world.recovery(killed_at) <= RECOVERY
    assert second.alive


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_with_many_runs_in_flight_leave_nothing_stuck(shared_world: World) -> None:
    world = shared_world
    # A slot of Celery is a process, and its runs are rung for one by one.
    slots, many, shortest = (50, 10, 100) if world.broker is None else (8, 2, 500)
    world.start("--concurrency", str(slots))
    victim = world.start("--concurrency", str(slots))
    total = 0
    for _ in range(20):
        for _ in range(10):  # a Celery worker that is warm may take all before the new one has any
            ms = world.random.randint(shortest, 700)
            world.add_once(3 * slots, ms=ms, expect={"final": ("SUCCESS", "FAILED")})
            with suppress(AssertionError):
                world.wait_in_flight(many, victim.pid, seconds=6)
                break
        assert world.in_flight(victim.pid), "void: the victim had nothing to lose"
        time.sleep(world.random.uniform(0, LEASE / 4))
        killed_at = victim.kill()
        total += len(world.at_risk(victim.pid, killed_at=killed_at))
        victim = world.start("--concurrency", str(slots))
    world.wait_done(300)
    found = world.judge()
    world.notes |= {"in flight": total, "faults": 20}
    assert found.lost_attempts >= 20, "void: hardly an attempt was lost"
    assert found.extra_calls <= total
    # Some were in the slots of four victims: the third recovery is the last.
    failed = world.database.fetch(
        "SELECT e.reason, e.lost_count FROM job_executions AS e WHERE e.status = 'FAILED'"
    )
    assert set(failed) <= {("worker_lost", 4)}
    assert len(failed) <= found.executions * 0.03
