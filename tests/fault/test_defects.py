"""Does the harness catch what it should? Ten known defects, each within three runs, and none without them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.fault.defects import DEFECTS
from tests.fault.operators import Operator
from tests.fault.processes import LEASE, POLL, wait_for
from tests.fault.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

Scenario = Callable[[World, str], list[str]]


def settle(world: World, seconds: float) -> list[str]:
    """Give the run so long to end; answers what the checker finds then."""
    ends_at = time.monotonic() + seconds
    while world.unfinished() and time.monotonic() < ends_at:
        time.sleep(0.1)
    return world.check().breaches


def no_token(world: World, defect: str) -> list[str]:
    """It stands still with finished work in its hands, and others take over before it goes on."""
    sleeper = world.launch(FAULT_DEFECT=defect, SCHEDULER_FAULT="complete_before:1:stop")
    world.add_once(8, ms=600)
    world.wait_in_flight(8)
    world.database.write("""UPDATE batch_jobs SET payload = '{"do": "ok", "ms": 6000}'""")
    wait_for(lambda: "fault: stop" in sleeper.said, 30, "the stop")
    world.start(FAULT_DEFECT=defect)
    wait_for(
        lambda: len({call.execution for call in world.calls() if call.attempt > 1}) >= 1, 20, "the rescue"
    )
    sleeper.go_on()
    return settle(world, 25)


def no_status(world: World, defect: str) -> list[str]:
    four = [world.launch(FAULT_DEFECT=defect) for _ in range(4)]
    for one in four:
        one.ready()
    for _ in range(5):
        world.add_every_second(10, 40, ms=5, overlap_policy="allow", misfire_grace_seconds=3600)
    return settle(world, 25)


def no_unique_key(world: World, defect: str) -> list[str]:
    if defect:
        world.database.write("DROP INDEX job_executions_unique_occurrence")
    world.start(FAULT_DEFECT=defect)
    (name,) = world.add_every_second(1, 10, ms=5, overlap_policy="allow", misfire_grace_seconds=3600)
    wait_for(lambda: world.unfinished() == 0, 30, "the first round")
    times = world.definitions[0].times
    assert times is not None
    world.database.write(
        "UPDATE batch_jobs SET next_run_at = %s, exhausted = %s WHERE job_name = %s", [times[4], False, name]
    )
    wait_for(
        lambda: world.database.one("SELECT count(*) FROM batch_jobs WHERE next_run_at IS NOT NULL") == 0,
        20,
        "planning",
    )
    return settle(world, 10)


def split_plan(world: World, defect: str) -> list[str]:
    world.add_every_second(3, 5, ms=5, misfire_grace_seconds=3600)
    victim = world.launch(FAULT_DEFECT=defect, SCHEDULER_FAULT="plan_after_commit")
    assert victim.ended(40) == 137
    world.start(FAULT_DEFECT=defect)
    return settle(world, 10)


def host_clock(world: World, defect: str) -> list[str]:
    world.start(FAULT_DEFECT=defect, FAULT_HOST_CLOCK="7200")
    world.add_every_second(2, 3, first=world.now() + timedelta(seconds=4), ms=5)
    return settle(world, 15)


def no_reaper(world: World, defect: str) -> list[str]:
    victim = world.start(FAULT_DEFECT=defect)
    world.add_once(3, ms=1500)
    world.wait_in_flight(3)
    victim.kill()
    world.start(FAULT_DEFECT=defect)
    return settle(world, LEASE + POLL + 6)


def unbounded_catch_up(world: World, defect: str) -> list[str]:
    world.add_every_second(2, 400, ms=20, misfire_grace_seconds=3600)
    world.start(FAULT_DEFECT=defect)
    most = 0

    def look() -> bool:
        nonlocal most
        rows = world.database.fetch(
            "SELECT count(*) FROM job_executions WHERE status = 'PENDING' GROUP BY job_id"
        )
        most = max([most, *(int(row[0]) for row in rows)])
        return world.unfinished() == 0 or most > 100

    wait_for(look, 90, "the end of the catch-up")
    return [f"{most} executions of one job waited"] if most > 100 else settle(world, 10)


def unsanitised_output(world: World, defect: str) -> list[str]:
    world.start(FAULT_DEFECT=defect)
    world.add_once(2, do="nul", expect={"final": ("SUCCESS",)})
    found = settle(world, 10)
    for status, body in world.database.fetch("SELECT status, response_body FROM job_executions"):
        if status == "SUCCESS" and body != "x\ufffdy":
            found.append(f"the output of a finished run is {body!r}")
    return found


def judge_then_resolve(world: World, defect: str) -> list[str]:
    reached: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def accept() -> None:
            while True:
                try:
                    peer, address = listener.accept()
                except OSError:
                    return
                reached.append(str(address))
                peer.close()

        threading.Thread(target=accept, daemon=True).start()
        world.start(FAULT_DEFECT=defect, FAULT_NAMES="100.63.255.254,127.0.0.1")
        for number in range(3):
            row = {"job_name": f"rebind-{number}", "schedule_type": "one_time", "scheduled_at": world.now()}
            policy = {"maxRetries": 0}
            call = {"api_endpoint": f"http://rebind.test:{port}/", "timeout_ms": 700, "retry_policy": policy}
            world.database.insert("batch_jobs", [{**row, **call}])
        wait_for(lambda: world.count("status = 'FAILED'") + len(reached) >= 3, 30, "the calls")
        listener.close()
    return [f"a connection to loopback from {address}" for address in reached]


def no_owner_filter(world: World, defect: str) -> list[str]:
    world.start()
    (name,) = world.add_once(1, ms=5)
    world.wait_done(30)
    neighbour = Operator(world.database.url, FAULT_DEFECT=defect)
    try:
        verdict, answers = neighbour.ask("browse", name)
    finally:
        neighbour.close()
    assert verdict == "done", answers
    return [f"{route} answers {status} to another user" for route, status, shows in answers if shows]


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        no_token, no_status, no_unique_key, split_plan, host_clock, no_reaper, unbounded_catch_up,
        unsanitised_output, judge_then_resolve, no_owner_filter,
    )
}  # fmt: skip


def test_each_defect_has_its_scenario() -> None:
    assert SCENARIOS.keys() == DEFECTS.keys()
    assert len(DEFECTS) == 10


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_seeded_defect_is_caught_within_three_runs(make_world: Callable[[str], World], name: str) -> None:
    for run in range(1, 4):
        world = make_world("postgresql")
        found = SCENARIOS[name](world, name)
        world.notes |= {"faults": run}
        world.close()
        if found:
            return
    pytest.fail(f"{name} was not caught in three runs")


@pytest.mark.parametrize("name", SCENARIOS)
def test_without_the_defect_the_same_run_is_clean(make_world: Callable[[str], World], name: str) -> None:
    world = make_world("postgresql")
    found = SCENARIOS[name](world, "")
    assert not found, "\n".join([*found[:10], world.last_words()])
