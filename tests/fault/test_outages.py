"""The database goes away, or stops answering without going away (cases 8, 9, 34)."""

from __future__ import annotations

import re
import time

import pytest

from tests.fault.database import Cluster
from tests.fault.processes import LEASE, POLL, SLACK, wait_for
from tests.fault.proxy import Proxy
from tests.fault.world import RECOVERY, World

ERROR_LINE = re.compile(r"^.*\bERROR\b.*$", re.MULTILINE)


def error_lines(world: World) -> int:
    """The most ERROR lines that one process wrote."""
    return max(len(ERROR_LINE.findall(one.said)) for one in world.schedulers)


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("down", [10, 40])
def test_a_crashed_database_is_found_again_without_a_restart(
    shared_world: World, cluster: Cluster, down: int
) -> None:
    world = shared_world
    both = [world.start(), world.start()]
    world.add_once(100, ms=150)
    world.wait_in_flight(5)
    cluster.crash()
    down_at = time.monotonic()
    # Not a wait for an event: this is how long the database is gone.
    time.sleep(down)
    # What was claimed just before is called just after; what ended then could not be written any more.
    in_flight = len(world.at_risk(*{call.pid for call in world.calls()}, killed_at=down_at))
    before = error_lines(world)
    cluster.start()
    up_at = time.monotonic()
    called = {one.pid: sum(call.pid == one.pid for call in world.calls()) for one in both}
    acknowledged = world.count("status = 'SUCCESS'")
    world.add_once(200, ms=50)
    wait_for(
        lambda: all(sum(call.pid == one.pid for call in world.calls()) > called[one.pid] for one in both),
        10 + SLACK,
        "work in all processes again",
    )
    world.note_recovery(time.monotonic() - up_at, bound=10)
    world.wait_done(120)
    found = world.judge()
    world.notes |= {"in flight": in_flight, "faults": 1}
    assert world.count("status = 'SUCCESS'") >= acknowledged
    assert found.extra_calls <= in_flight
    assert found.lost_attempts + found.extra_calls + before > 0, "void: nobody noticed the outage"
    processes = 1 if world.broker is None else 11  # planner and children of a team share a log
    assert before <= processes * (up_at - down_at + 5), f"{before} error lines in {up_at - down_at:.0f} s"
    assert all(one.alive for one in both)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["blackhole", "stall"])
def test_a_half_open_connection_is_given_up_and_another_worker_takes_over(
    proxied_world: tuple[World, Proxy], mode: str
) -> None:
    world, proxy = proxied_world
    victim = world.start()
    world.url = world.database.url
    other = world.start()
    world.add_once(40, ms=3000)
    world.wait_in_flight(8, victim.pid)
    in_flight = len(world.in_flight(victim.pid))
    proxy.mode = mode
    cut_at = time.monotonic()
    world.event(mode)
    wait_for(
        lambda: world.count("lost_count > 0") >= in_flight,
        LEASE + POLL + 1 + SLACK,
        "the other one takes over",
    )
    time.sleep(max(0.0, cut_at + 60 - time.monotonic()))
    late = [
        call for call in world.calls() if call.pid == victim.pid and call.started > cut_at + LEASE * 0.9 + 0.3
    ]
    assert not late, "a call by a worker that could not know whether it owned it"
    proxy.mode = "pass"
    healed_at = time.monotonic()
    world.add_once(120, ms=2000)  # more than the other one can do in the time
    wait_for(
        lambda: (
            not victim.alive
            or any(call.pid == victim.pid and call.started > healed_at for call in world.calls())
        ),
        10 + SLACK,
        "the victim's recovery, or its end",
    )
    world.note_recovery(time.monotonic() - healed_at, bound=10)
    world.notes |= {"in flight": in_flight, "faults": 1}
    world.wait_done(120)
    found = world.judge()
    assert found.lost_attempts >= in_flight, "void: nothing was lost"
    assert found.extra_calls <= in_flight
    assert other.alive
    if victim.alive:
        # Every slot of it works again, not only some.
        victim_calls = len([call for call in world.calls() if call.pid == victim.pid])
        other.kill()
        world.add_once(30, ms=1500)
        world.wait_in_flight(10, victim.pid, seconds=20)
        world.wait_done(60)
        assert len([call for call in world.calls() if call.pid == victim.pid]) >= victim_calls + 30
    else:
        assert victim.process.returncode != 0


@pytest.mark.promise
def test_a_commit_whose_answer_was_lost_is_read_again_and_not_assumed(
    proxied_world: tuple[World, Proxy],
) -> None:
    world, proxy = proxied_world
    world.start()
    world.start()
    world.add_once(40, ms=100)
    world.wait_calls(2)
    for _ in range(6):
        proxy.swallow_commits(1, after=world.random.randint(0, 3))
        swallowed = proxy.swallowed
        wait_for(lambda: proxy.swallowed > swallowed, 20, "a COMMIT to swallow")  # noqa: B023
        world.add_once(10, ms=100)
    world.wait_done(60)
    found = world.judge()
    assert proxy.swallowed >= 6, "void: no answer was swallowed"
    world.notes["faults"] = proxy.swallowed
    # A claim whose COMMIT was swallowed is lost before its call; a finished one is not called again.
    assert found.extra_calls == 0


@pytest.mark.promise
def test_a_line_that_is_cut_and_slow_loses_nothing(proxied_world: tuple[World, Proxy]) -> None:
    world, proxy = proxied_world
    world.start()
    world.start()
    world.add_once(80, ms=100)
    world.wait_calls(4)
    proxy.mode, proxy.delay = "delay", 0.005
    in_flight = 0
    for _ in range(4):
        called = len(world.calls())
        wait_for(lambda: len(world.calls()) > called + 3, 30, "calls between two cuts")  # noqa: B023
        in_flight += len(world.in_flight())
        proxy.cut()
    proxy.mode = "pass"
    world.wait_done(60)
    found = world.judge()
    assert proxy.lines_seen > 4, "void: nobody connected again"
    world.notes |= {"in flight": in_flight, "faults": 4}
    assert found.extra_calls <= in_flight


def test_a_claim_is_taken_over_within_lease_and_poll_when_the_line_of_its_worker_is_refused(
    proxied_world: tuple[World, Proxy],
) -> None:
    world, proxy = proxied_world
    victim = world.start()
    world.url = world.database.url
    world.add_once(4, ms=2500, do="stubborn")
    world.wait_in_flight(3, victim.pid)
    world.start()
    proxy.mode = "refuse"
    proxy.cut()
    cut_at = time.monotonic()
    in_flight = len(world.in_flight(victim.pid))
    world.wait_done(60)
    found = world.judge()
    assert found.lost_attempts >= 1, "void: nothing was lost"
    assert found.extra_calls <= in_flight
    assert world.recovery(cut_at) <= RECOVERY
