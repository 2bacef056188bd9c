"""A process that dies, fails or stands still at every named place, alone and beside another one."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from executions.faults import PLACES
from tests.fault.processes import ROOT, SLACK, Scheduler, wait_for
from tests.fault.world import BOUND, World, ask_for_a_requeue, leave_a_corpse

RINGING = ("ring_after_mark", "ring_before_send")  # with ENGINE=celery only
LEAVING = ("release_before", "leave_before")
# A second hit leaves a process that is in the middle of its work; the other places are met once or seldom.
OFTEN = {
    "claim_before_attempts", "claim_before_commit", "claim_after_commit", "submit_between", "call_before",
    "call_after", "complete_before", "finish_after_move", "finish_after_letter", "finish_before_commit",
    "complete_after_commit",
}  # fmt: skip
FAST = {("claim_after_commit", "sqlite", 1), ("finish_before_commit", "postgresql", 2)}
CASES = [
    pytest.param(
        place,
        kind,
        number,
        id=f"{place}-{kind}-{number}",
        marks=() if (place, kind, number) in FAST else pytest.mark.slow,
    )
    for place in PLACES
    for kind in ("sqlite", "postgresql")
    for number in (1, 2)
]


def test_every_place_in_the_code_is_listed_and_every_listed_place_is_in_the_code() -> None:
    found = [
        place
        for path in (ROOT / "executions").rglob("*.py")
        for place in re.findall(r'\bfault\("(\w+)"\)', path.read_text())
    ]
    assert sorted(found) == sorted(PLACES)
    assert len(PLACES) >= 25


def fill(world: World) -> None:
    """Work that passes every place: plain, long, talking, failing, retried, lost before, brought back."""
    world.add_once(12, ms=20, priority=9)
    world.add_once(2, ms=700, priority=5)  # what was claimed ahead waits so long
    world.add_once(8, ms=20, priority=1)
    world.add_once(2, do="talk", ms=300)
    world.add_once(1, do="checkpoint")
    world.add_once(1, do="fail", expect={"final": ("FAILED",)})
    policy = {"maxRetries": 2, "backoffStrategy": "FIXED", "initialDelayMs": 100}
    world.add_once(2, do="fail-first", expect={"retries": 2}, retry_policy=policy)
    world.add_every_second(2, 5, overlap_policy="allow")
    leave_a_corpse(world)
    ask_for_a_requeue(world)


def run_into(world: World, place: str, number: int, action: str) -> list[Scheduler]:
    """Start processes over the work; answers those that may meet the place.

    A place that is met often is met by the first process, in the middle of its work; one that is met
    once by whoever comes there first.
    """
    fill(world)
    seldom = number == 1 or place not in OFTEN
    armed = [world.launch("--concurrency", "2", SCHEDULER_FAULT=f"{place}:{1 if seldom else 2}:{action}")]
    for _ in range(number - 1):
        fate = {"SCHEDULER_FAULT": f"{place}:1:{action}"} if seldom else {}
        other = world.launch("--concurrency", "2", **fate)
        armed += [other] if seldom else []
    if place in LEAVING:
        world.wait_in_flight(1, armed[0].pid)
        armed[0].terminate()
    return armed


@pytest.mark.parametrize(("place", "kind", "number"), CASES)
def test_a_process_that_dies_anywhere_loses_and_doubles_nothing(
    make_world: Callable[..., World], place: str, kind: str, number: int
) -> None:
    world = make_world(kind, "redis" if place in RINGING else "")
    armed = run_into(world, place, number, "exit")
    wait_for(lambda: not all(one.alive for one in armed), 40, f"void: {place} was not met")
    died_at = time.monotonic()
    in_flight = len(world.in_flight(*(one.pid for one in armed if not one.alive)))
    # Whoever met the place is replaced by a process that knows nothing of it, until all is done.
    ends_at = time.monotonic() + 60
    while world.unfinished():
        assert time.monotonic() < ends_at, f"{world.check().text()}\n{world.last_words()}"
        if sum(one.alive for one in world.schedulers) < number:
            world.launch("--concurrency", "2")
        time.sleep(0.1)
    found = world.judge()
    codes = [one.process.returncode for one in world.schedulers if not one.alive]
    assert 137 in codes, f"void: {place} was not met"
    assert set(codes) == {137}
    world.notes |= {"in flight": in_flight, "faults": len(codes)}
    # What was called and not yet written may be called again; nothing else.
    assert found.extra_calls <= max(in_flight, found.lost_attempts)
    if len(codes) == 1:
        assert world.recovery(died_at) <= BOUND + SLACK + 3
    for one in world.schedulers:
        if one.alive:
            one.terminate()
            assert one.ended(30) == (137 if place in LEAVING and one in armed else 0)


RAISING = [
    pytest.param(place, kind, id=f"{place}-{kind}", marks=pytest.mark.slow)
    for place in PLACES
    for kind in ("sqlite", "postgresql")
]


@pytest.mark.parametrize(("place", "kind"), RAISING)
def test_a_step_that_fails_anywhere_is_done_again_by_the_same_process(
    make_world: Callable[..., World], place: str, kind: str
) -> None:
    world = make_world(kind, "redis" if place in RINGING else "")
    (only,) = run_into(world, place, 1, "raise")
    if place in ("call_before", "call_after", "checkpoint_after"):
        # There it is the call that fails, and a failed call is an outcome.
        world.definitions = [replace(one, final=("SUCCESS", "FAILED")) for one in world.definitions]
    if place in LEAVING:
        wait_for(lambda: f"fault: raise at {place}" in only.said, 30, "the fault")
        assert only.ended(30) == 0
        only = world.start("--concurrency", "2")
    world.wait_done(60)
    assert f"fault: raise at {place}" in world.schedulers[0].said, f"void: {place} was not met"
    world.judge()
    assert only.alive
    only.terminate()
    assert only.ended(30) == 0


STOPPING = (
    "plan_before_commit",
    "claim_before_commit",
    "finish_before_commit",
    "reap_before_commit",
    "call_before",
)


@pytest.mark.slow
@pytest.mark.parametrize("place", STOPPING)
def test_a_process_that_stands_still_inside_a_transaction_holds_nobody_up_for_long(
    shared_world: World, place: str
) -> None:
    """Case 26: the server ends a transaction that idles for 10 s, and its locks with it."""
    world = shared_world
    run_into(world, place, 1, "stop")
    (victim,) = world.schedulers
    wait_for(lambda: "fault: stop" in victim.said, 40, f"void: {place} was not met")
    other = world.start()
    stopped_at = time.monotonic()
    world.wait_done(60)
    world.notes["recovery s"] = round(time.monotonic() - stopped_at, 2)
    victim.go_on()
    # It finds its connection gone and its claims taken, says so, and works on.
    world.add_once(20, ms=100)
    world.wait_done(30)
    world.judge()
    assert victim.alive
    for one in (victim, other):
        one.terminate()
        assert one.ended(30) == 0


def test_a_fault_that_is_misspelt_stops_the_start(make_world: Callable[[str], World]) -> None:
    world = make_world("sqlite")
    wrong = world.launch(SCHEDULER_FAULT="claim_after_comit")
    assert wrong.ended(30) not in (0, 137)
    assert "claim_after_comit" in wrong.said
    assert signal.SIGKILL not in (wrong.process.returncode,)


def test_faults_are_asleep_outside_of_tests() -> None:
    text = Path(ROOT / "executions" / "faults.py").read_text()
    assert 'os.environ.get("APP_ENV") == "test"' in text
