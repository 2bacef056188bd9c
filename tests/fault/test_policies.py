"""What the policies promise while processes die: overlap, pause, catch-up (cases 12, 24)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from tests.fault.checker import Definition
from tests.fault.database import read_moment
from tests.fault.operators import Operator
from tests.fault.processes import LEASE, Scheduler, wait_for
from tests.fault.world import World


@pytest.fixture
def operator(shared_world: World) -> Iterator[Operator]:
    """A process that calls verbs on the shared world."""
    made = Operator(shared_world.database.url)
    yield made
    made.close()


@pytest.mark.promise
@pytest.mark.parametrize("policy", [pytest.param("queue", marks=pytest.mark.slow), "skip"])
def test_a_job_that_runs_one_at_a_time_does_so_while_workers_die_and_stand_still(
    shared_world: World, policy: str
) -> None:
    world = shared_world
    three = [world.start(), world.start(), world.start()]
    world.add_every_second(8, 10, first=world.now() + timedelta(seconds=1), ms=1300, overlap_policy=policy)
    first = busy(world, three)
    first.kill()
    three.remove(first)
    second = busy(world, three)
    second.pause()
    three.remove(second)
    lost = len(world.in_flight(second.pid))
    wait_for(lambda: world.count("lost_count > 0") >= lost, 30, "the rescue")
    second.go_on()
    world.wait_done(100)
    found = world.judge()
    assert found.lost_attempts >= 1, "void: no attempt was lost"
    assert three[0].alive
    world.notes["faults"] = 2
    if policy == "skip":
        assert found.finals["SKIPPED"] >= 8, "void: nothing overlapped"
        reasons = {
            row[0]
            for row in world.database.fetch("SELECT reason FROM job_executions WHERE status = 'SKIPPED'")
        }
        assert reasons == {"overlap"}
    else:
        assert found.finals == {"SUCCESS": 80}
        assert_in_order(world)


def busy(world: World, schedulers: list[Scheduler]) -> Scheduler:
    """One of these processes that runs something, as soon as there is one."""
    pids = {one.pid: one for one in schedulers}
    world.wait_in_flight(1, *pids)
    return pids[world.in_flight(*pids)[0].pid]


def assert_in_order(world: World) -> None:
    """First calls of one job come in the order of its fire times."""
    times = {
        row[0]: read_moment(row[1])
        for row in world.database.fetch("SELECT id, scheduled_at FROM job_executions")
    }
    firsts: dict[str, dict[str, float]] = {}
    for call in world.calls():
        mine = firsts.setdefault(call.job, {})
        mine[call.execution] = min(call.started, mine.get(call.execution, call.started))
    for job, mine in firsts.items():
        order = [times[key] for key, _ in sorted(mine.items(), key=lambda item: item[1])]
        for one, following in pairwise(order):
            assert one is not None
            assert following is not None
            assert one < following, f"{job} ran {following} before {one}"


@pytest.mark.promise
def test_nothing_is_planned_after_the_answer_to_a_pause_or_a_delete(
    shared_world: World, operator: Operator
) -> None:
    world = shared_world
    world.start()
    world.start()
    names = world.add_every_second(
        12, 60, first=world.now(), ms=20, expect={"times": None, "final": ("SUCCESS", "CANCELLED")}
    )
    world.wait_calls(20)
    ended: dict[str, datetime] = {}
    for number, name in enumerate(names):
        verb = "pause" if number % 2 else "delete"
        answer = operator.ask(verb, name)
        assert answer[0] == "done", answer
        ended[name] = world.database.now()
    # Two polls in which every scheduler had the chance to be wrong.
    seen = {one.pid: 0 for one in world.schedulers}
    assert seen
    time.sleep(LEASE)
    for name, at in ended.items():
        late = world.database.one(
            "SELECT count(*) FROM job_executions AS e JOIN batch_jobs AS j ON j.id = e.job_id"
            " WHERE j.job_name = %s AND e.created_at > %s",
            [name, at],
        )
        assert late == 0, f"{late} executions of {name} were planned after it was ended"
    before = len(world.calls())
    for name in names[1::2]:
        assert operator.ask("resume", name)[0] == "done"
    world.wait_calls(before + 6)
    for name in names[1::2]:
        assert operator.ask("cancel", name)[0] == "done"
    wait_for(lambda: world.unfinished() == 0, 30, "the rest")
    found = world.judge()
    assert found.finals.get("SKIPPED", 0) >= 6, "the time of the pause has an answer"


@pytest.mark.promise
@pytest.mark.slow
def test_edits_that_race_the_planner_leave_no_fire_time_without_an_answer(
    shared_world: World, operator: Operator
) -> None:
    world = shared_world
    first = world.start()
    world.start()
    first_at = world.now()
    names = world.add_every_second(
        6, 30, first=first_at, ms=20, expect={"times": None, "final": ("SUCCESS", "CANCELLED")}
    )
    ends_at = time.monotonic() + 6
    edits = 0
    while time.monotonic() < ends_at:
        name = world.random.choice(names)
        zone = world.random.choice(["Europe/Berlin", "Asia/Kolkata", "UTC"])
        edits += operator.ask("update", name, {"timezone": zone})[0] == "done"
        if edits == 10:
            first.kill()
    wait_for(lambda: world.database.now() > first_at + timedelta(seconds=31), 60, "the last fire time")
    wait_for(lambda: world.unfinished() == 0, 30, "the rest")
    world.judge()
    assert edits >= 12, "void: hardly an edit"
    world.notes["faults"] = edits
    # The zone does not move a fire time of every second: each of the thirty is answered for once.
    for name in names:
        assert_each_is_answered_for_once(world, name, first_at, 30)


def assert_each_is_answered_for_once(world: World, name: str, first_at: datetime, times: int) -> None:
    """Every second of a job that fires every second has one row, or lies in one stretch."""
    rows = world.database.fetch(
        "SELECT e.scheduled_at, e.skipped_until FROM job_executions AS e JOIN batch_jobs AS j"
        " ON j.id = e.job_id WHERE j.job_name = %s AND e.trigger = 'schedule'",
        [name],
    )
    answered = Counter(
        start + timedelta(seconds=step)
        for start, until in rows
        for step in range(int(((until or start) - start).total_seconds()) + 1)
    )
    wanted = [first_at + timedelta(seconds=step) for step in range(times)]
    wrong = {at: answered[at] for at in wanted if answered[at] != 1}
    assert not wrong, f"{name}: answers for a fire time: {wrong}"


@pytest.mark.slow
def test_moves_by_sql_that_race_the_planner_leave_no_fire_time_without_an_answer(
    shared_world: World,
) -> None:
    world = shared_world
    first = world.start()
    world.start()
    first_at = world.now()
    names = world.add_every_second(
        6, 30, first=first_at, ms=20, expect={"times": None, "final": ("SUCCESS", "CANCELLED")}
    )
    world.wait_calls(6)
    ends_at = time.monotonic() + 8
    moves = 0
    while time.monotonic() < ends_at:
        at = world.now() + timedelta(seconds=world.random.randint(-3, 4))
        world.database.write(
            "UPDATE batch_jobs SET next_run_at = %s, exhausted = %s WHERE job_name = %s",
            [world.random.choice([at, at, at, None]), False, world.random.choice(names)],
        )
        moves += 1
        if moves == 20:
            first.kill()
        time.sleep(world.random.uniform(0, 0.1))
    wait_for(lambda: world.database.now() > first_at + timedelta(seconds=31), 60, "the last fire time")
    wait_for(lambda: world.unfinished() == 0, 60, "the rest")
    found = world.judge()
    world.notes["faults"] = moves
    assert moves >= 40, "void: hardly a move"
    assert found.finals.get("SKIPPED", 0) >= 6, "void: nothing was passed over"
    for name in names:
        assert_each_is_answered_for_once(world, name, first_at, 30)


def misfires(world: World, jobs: int, *, policy: str, times: int, step: timedelta, cron: str) -> list[str]:
    """Jobs whose scheduler was down: their fire times lie in the past, every `step`."""
    last = world.now().replace(second=0, minute=0) - timedelta(hours=1)
    moments = tuple(last - step * number for number in reversed(range(times)))
    names = [f"{policy}-{number}" for number in range(jobs)]
    world.add(
        *(Definition(name=name, times=moments) for name in names),
        jobs=[
            {
                "job_name": name,
                "cron_expression": cron,
                "next_run_at": moments[0],
                "start_at": moments[0],
                "end_at": moments[-1],
                "catch_up": policy,
                "handler": "target",
                "payload": {"ms": 1},
                "jitter_seconds": 1 if policy == "latest" else 0,
            }
            for name in names
        ],
    )
    return names


@pytest.mark.promise
@pytest.mark.parametrize("size", [20, pytest.param(3000, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
def test_after_three_days_down_each_job_gets_what_its_policy_says(world: World, size: int) -> None:
    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    none = misfires(world, size, policy="none", times=72, step=hour, cron="0 * * * *")
    latest = misfires(world, size, policy="latest", times=3 * 24 * 60, step=minute, cron="* * * * *")
    everything = misfires(world, 2, policy="all", times=250, step=minute, cron="* * * * *")
    most = 0

    def done() -> bool:
        nonlocal most
        waiting = world.database.fetch(
            "SELECT count(*) FROM job_executions WHERE status IN ('PENDING', 'RETRYING') GROUP BY job_id"
        )
        most = max([most, *(int(row[0]) for row in waiting)])
        return world.unfinished() == 0

    world.start()
    if world.database.kind == "postgresql":
        world.start()
    started_at = time.monotonic()
    wait_for(done, 300, "the end of the catch-up", step=0.05)
    world.note_recovery(time.monotonic() - started_at, bound=300)
    found = world.judge()
    # A hundred are planned; the one that runs may be given back to them.
    assert most <= 101, f"{most} executions of one job waited"
    assert found.finals["SUCCESS"] == len(latest) + 250 * len(everything)
    rows = world.database.fetch(
        "SELECT j.job_name, e.status, e.reason, e.skipped_count, e.scheduled_at FROM job_executions AS e"
        " JOIN batch_jobs AS j ON j.id = e.job_id WHERE j.catch_up <> 'all'"
    )
    by_job: dict[str, list[tuple[object, ...]]] = {}
    for name, *rest in rows:
        by_job.setdefault(name, []).append(tuple(rest))
    for name in none:
        assert [row[:3] for row in by_job[name]] == [("SKIPPED", "misfire", 72)]
    newest = {definition.name: definition.times[-1] for definition in world.definitions if definition.times}
    for name in latest:
        ran = [row for row in by_job[name] if row[0] == "SUCCESS"]
        assert [read_moment(row[3]) for row in ran] == [newest[name]]
        assert [row[:3] for row in by_job[name] if row[0] != "SUCCESS"] == [("SKIPPED", "misfire", 4319)]


def test_a_fire_time_that_sql_sets_back_is_not_run_again(shared_world: World) -> None:
    """The unique index answers, whoever moved the cursor."""
    world = shared_world
    world.start()
    world.start()
    names = world.add_every_second(4, 10, ms=10, overlap_policy="allow", misfire_grace_seconds=3600)
    world.wait_done(30)
    for name in names:
        moments = next(one.times for one in world.definitions if one.name == name)
        assert moments is not None
        world.database.write(
            "UPDATE batch_jobs SET next_run_at = %s, exhausted = %s WHERE job_name = %s",
            [moments[2], False, name],
        )
    wait_for(
        lambda: world.database.one("SELECT count(*) FROM batch_jobs WHERE next_run_at IS NOT NULL") == 0,
        20,
        "the second planning of the same fire times",
    )
    world.wait_done(30)
    found = world.judge()
    assert found.calls == 40
