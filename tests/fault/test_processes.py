"""Many processes: starting together, leaving one after another, killed by their own work (cases 14, 16, 23)."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.processes import POLL, SLACK, wait_for
from tests.fault.world import World

GRACE = 5  # SHUTDOWN_TIMEOUT_SECONDS of these tests, unless one sets its own


def test_four_schedulers_of_one_second_have_four_names_and_share_the_work(shared_world: World) -> None:
    world = shared_world
    world.add_every_second(10, 10, overlap_policy="allow", ms=20)
    world.add_once(40, ms=20)
    four = [world.launch() for _ in range(4)]
    for one in four:
        one.ready()
    world.wait_done(60)
    found = world.judge()
    assert found.finals == {"SUCCESS": 140}
    assert found.calls == 140
    assert len({one.instance for one in four}) == 4
    assert world.database.one("SELECT count(*) FROM scheduler_metadata") == 4


def roll(world: World, times: int) -> None:
    """Replace one scheduler by a new one, under load, again and again."""
    old = world.start()
    for _ in range(times):
        world.add_once(60, ms=world.random.randint(20, 400))
        world.wait_in_flight(2, old.pid)
        new = world.start()
        asked_at = time.monotonic()
        old.terminate()
        assert old.ended(60) == 0
        assert time.monotonic() - asked_at <= GRACE + 5 + SLACK
        old = new
    world.wait_done(60)
    found = world.judge()
    world.notes["faults"] = times
    assert found.extra_calls == 0, "a run that ends within the grace was called again"
    assert found.lost_attempts == 0, "a graceful stop let a lease end"


@pytest.mark.promise
def test_a_rolling_deployment_calls_nothing_twice(shared_world: World) -> None:
    roll(shared_world, 2)


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_rolling_deployments_call_nothing_twice(shared_world: World) -> None:
    roll(shared_world, 10)


@pytest.mark.promise
def test_what_outlasts_the_grace_is_given_back_at_once(world: World) -> None:
    first = world.start(SHUTDOWN_TIMEOUT_SECONDS="1")
    world.add_once(2, ms=6000)
    world.add_once(1, ms=6000, execution_type="ATMOST_ONCE", expect={"final": ("FAILED",)})
    world.add_once(1, ms=8000, do="stubborn")
    world.wait_in_flight(4, first.pid)
    first.terminate()
    asked_at = time.monotonic()
    assert first.ended(60) == 0
    assert time.monotonic() - asked_at <= 1 + 5 + SLACK
    # Released by the leaving process itself: nothing of it is RUNNING any more, and no lease had to end.
    assert world.count("status = 'RUNNING'") == 0
    assert world.count("status = 'PENDING'") == 3
    world.database.write("""UPDATE batch_jobs SET payload = '{"do": "ok", "ms": 10}'""")
    world.start()
    world.wait_done(30)
    found = world.judge()
    assert found.lost_attempts == 0
    assert found.released_attempts >= 3, "void: nothing was given back"
    assert found.extra_calls == 3


def test_a_process_that_is_asked_to_stop_while_it_starts_leaves_in_peace(world: World) -> None:
    first = world.launch()
    wait_for(lambda: first.catches(signal.SIGTERM), 30, "a handler for the signal")
    first.terminate()
    assert first.ended(30) == 0
    assert "Traceback" not in first.said
    world.add_once(2, ms=10)
    world.start()
    world.wait_done(30)
    world.judge()


def test_a_second_signal_ends_a_process_at_once_and_loses_nothing(world: World) -> None:
    first = world.start(SHUTDOWN_TIMEOUT_SECONDS="60")
    world.add_once(4, ms=30_000, do="stubborn")
    world.wait_in_flight(4, first.pid)
    first.terminate()
    wait_for(lambda: first.alive, 1, "the first signal to be taken")
    time.sleep(0.3)  # two signals at the same instant are one
    first.terminate()
    asked_at = time.monotonic()
    assert first.ended(20) == 128 + signal.SIGTERM
    assert time.monotonic() - asked_at <= 1 + SLACK
    world.database.write("""UPDATE batch_jobs SET payload = '{"do": "ok", "ms": 10}'""")
    world.start()
    world.wait_done(30)
    found = world.judge()
    assert found.lost_attempts == 4


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "exit", "segv"])
@pytest.mark.timeout(300)
def test_work_that_kills_its_worker_is_given_up_after_three_recoveries(
    make_world: Callable[[str], World], how: str
) -> None:
    world = make_world("postgresql")
    alive = [world.start(), world.start()]
    world.add_once(1, do=how, ms=300, expect={"final": ("FAILED",)})
    world.add_once(
        1, do=how, ms=300, execution_type="ATMOST_ONCE", expect={"final": ("FAILED",), "at_most_once": True}
    )
    world.add_once(40, ms=20)
    deaths = 0
    ends_at = time.monotonic() + 120
    while world.unfinished():
        assert time.monotonic() < ends_at, world.check().text()
        for one in list(alive):  # as systemd or a container runtime would
            if not one.alive:
                deaths += 1
                alive.remove(one)
                alive.append(world.start())
        time.sleep(0.1)
    found = world.judge()
    world.notes["faults"] = deaths
    assert found.finals == {"SUCCESS": 40, "FAILED": 2}
    rows = world.database.fetch(
        "SELECT j.execution_type, e.reason, e.attempt, e.lost_count FROM job_executions AS e"
        " JOIN batch_jobs AS j ON j.id = e.job_id WHERE e.status = 'FAILED' ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [
        ("ATLEAST_ONCE", "worker_lost", 4, 4),
        ("ATMOST_ONCE", "worker_lost", 1, 1),
    ]
    assert deaths >= 4, "void: hardly a process died"


@pytest.mark.promise
def test_work_in_a_process_of_its_own_dies_alone(world: World) -> None:
    only = world.start()
    for how in ("segv", "exit", "kill"):
        world.add_once(1, do=how, ms=50, handler="target-apart", expect={"final": ("FAILED",)})
    world.add_once(20, ms=20)
    world.wait_done(60)
    found = world.judge()
    assert found.lost_attempts == 0
    assert only.alive
    words = " ".join(
        row[0]
        for row in world.database.fetch("SELECT error_message FROM job_executions WHERE status = 'FAILED'")
    )
    assert "SIGSEGV" in words
    assert "SIGKILL" in words
    assert "exit code 3" in words


def test_the_process_of_an_isolated_handler_does_not_outlive_its_scheduler(shared_world: World) -> None:
    """Or a killed scheduler would leave a call behind that runs beside every later one."""
    world = shared_world
    first = world.start()
    world.add_once(1, do="stubborn", ms=60_000, handler="target-apart")
    world.wait_in_flight(1)
    (call,) = world.in_flight()
    assert call.pid != first.pid
    first.kill()

    def gone() -> bool:
        try:
            stat = Path(f"/proc/{call.pid}/stat").read_text()
            return stat.rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    wait_for(gone, 2 * POLL + 1 + SLACK, "the end of the orphan")


@pytest.mark.promise
def test_a_handler_that_raises_what_nobody_catches_keeps_its_slot_and_ends(world: World) -> None:
    world.start("--concurrency", "2")
    world.add_once(6, do="base", expect={"final": ("FAILED",)})
    world.add_once(10, ms=20)
    world.wait_done(30)
    found = world.judge()
    assert found.finals == {"SUCCESS": 10, "FAILED": 6}
