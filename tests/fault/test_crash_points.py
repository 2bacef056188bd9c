"""A process that dies, fails or stands still at every named place, alone and beside another one."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Sequence
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
GROUP = 7  # places that one world goes through


def grouped(places: Sequence[str]) -> list[tuple[str, ...]]:
    """The places in their order, a world's worth at a time; those of ENGINE=celery have worlds of their own."""
    local = [place for place in places if place not in RINGING]
    ringing = tuple(place for place in places if place in RINGING)
    groups = [tuple(local[start : start + GROUP]) for start in range(0, len(local), GROUP)]
    return [*groups, ringing] if ringing else groups


CASES = [
    pytest.param(("claim_after_commit",), "sqlite", 1, id="one-sqlite-1"),
    pytest.param(("finish_before_commit",), "postgresql", 2, id="one-postgresql-2"),
    *(
        pytest.param(places, kind, number, id=f"{places[0]}-{kind}-{number}", marks=pytest.mark.slow)
        for places in grouped(PLACES)
        for kind in ("sqlite", "postgresql")
        for number in (1, 2)
    ),
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


def tempt(world: World) -> None:
    """A little of everything once more, for places that somebody else was the first to meet."""
    world.add_once(6, ms=5, priority=9)
    world.add_once(2, ms=500, priority=5)  # behind these wait some that were claimed ahead
    world.add_once(6, ms=5, priority=1)
    world.add_once(1, do="talk", ms=50)
    world.add_once(1, do="checkpoint")
    world.add_once(1, do="fail", expect={"final": ("FAILED",)})
    leave_a_corpse(world)
    ask_for_a_requeue(world)


def send_into(world: World, place: str) -> Scheduler:
    """Start a process over fresh work and wait until it died at the place."""
    fill(world)
    hits = 2 if place in OFTEN else 1
    armed = world.launch("--concurrency", "2", SCHEDULER_FAULT=f"{place}:{hits}")
    if place in LEAVING:
        armed.ready()
        world.add_once(8, ms=1500)
        world.wait_in_flight(1, armed.pid)
        armed.terminate()
    ends_at = time.monotonic() + 40
    while armed.alive:
        assert time.monotonic() < ends_at, f"void: {place} was not met\n{world.last_words()}"
        time.sleep(0.5)
        if place not in LEAVING and time.monotonic() > ends_at - 37:
            tempt(world)
    armed.ended()
    assert armed.process.returncode == 137, f"void: it died of something else than {place}"
    assert f"fault: exit at {place}" in armed.said
    return armed


def left_by(world: World, dead: Scheduler) -> int:
    """Executions that still count as run by a process that is no more."""
    return world.count(f"status = 'RUNNING' AND locked_by = '{dead.name}'")


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("places", "kind", "number"), CASES)
def test_a_process_that_dies_anywhere_loses_and_doubles_nothing(
    make_world: Callable[..., World], places: tuple[str, ...], kind: str, number: int
) -> None:
    """One process after another dies, each at the next place; whoever replaces it knows nothing of that."""
    world = make_world(kind, "redis" if places[0] in RINGING else "")
    for _ in range(number - 1):
        world.start("--concurrency", "2")
    at_risk = 0
    for place in places:
        dead = send_into(world, place)
        at_risk += left_by(world, dead)
        if number > 1:  # somebody is there to notice
            world.note_recovery(wait_for(lambda: not left_by(world, dead), BOUND + SLACK, "the rescue"))  # noqa: B023
    last = world.start("--concurrency", "2")
    world.wait_done(60)
    found = world.judge()
    world.notes |= {"in flight": max(at_risk, found.lost_attempts), "faults": len(places)}
    # What was called and not yet written may be called again; nothing else.
    assert found.extra_calls <= found.lost_attempts
    for one in world.schedulers:
        if one.alive:
            one.terminate()
            assert one.ended(30) == 0
    assert last.process.returncode == 0


RAISING = [
    pytest.param(places, kind, id=f"{places[0]}-{kind}", marks=pytest.mark.slow)
    for places in grouped([place for place in PLACES if place not in LEAVING])
    for kind in ("sqlite", "postgresql")
]


@pytest.mark.parametrize(("places", "kind"), RAISING)
def test_a_step_that_fails_anywhere_is_done_again_by_the_same_process(
    make_world: Callable[..., World], places: tuple[str, ...], kind: str
) -> None:
    world = make_world(kind, "redis" if places[0] in RINGING else "")
    fill(world)
    only = world.launch(
        "--concurrency", "2", SCHEDULER_FAULT=",".join(f"{place}:1:raise" for place in places)
    )
    if {"call_before", "call_after", "checkpoint_after"} & set(places):
        # There it is the call that fails, and a failed call is an outcome.
        world.definitions = [replace(one, final=("SUCCESS", "FAILED")) for one in world.definitions]

    def not_met() -> list[str]:
        return [place for place in places if f"fault: raise at {place}" not in only.said]

    ends_at = time.monotonic() + 40
    while not_met():
        assert time.monotonic() < ends_at, f"void: {not_met()} were not met"
        time.sleep(0.5)
    world.wait_done(60)
    world.judge()
    world.notes["faults"] = len(places)
    assert only.alive
    only.terminate()
    assert only.ended(30) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("place", LEAVING)
def test_a_failure_on_the_way_out_does_not_keep_a_process(
    make_world: Callable[[str], World], place: str, kind: str
) -> None:
    world = make_world(kind)
    fill(world)
    only = world.launch("--concurrency", "2", SCHEDULER_FAULT=f"{place}:1:raise")
    world.wait_in_flight(1, only.pid)
    only.terminate()
    assert only.ended(30) == 0
    assert f"fault: raise at {place}" in only.said, f"void: {place} was not met"
    world.start("--concurrency", "2")
    world.wait_done(60)
    world.judge()
    world.notes["faults"] = 1


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
    fill(world)
    hits = 2 if place in OFTEN else 1
    victim = world.launch("--concurrency", "2", SCHEDULER_FAULT=f"{place}:{hits}:stop")
    wait_for(lambda: "fault: stop" in victim.said, 40, f"void: {place} was not met")
    other = world.start()
    stopped_at = time.monotonic()
    world.wait_done(60)
    world.note_recovery(time.monotonic() - stopped_at, bound=60)
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
