"""Everything at once, at random, for a long time: kills, stops, a database that restarts, half-open lines.

FAULT_NEMESIS_SECONDS (600) says how long, FAULT_SEED repeats a run's choices.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.fault.database import Cluster
from tests.fault.processes import LEASE, Scheduler, wait_for
from tests.fault.proxy import Proxy
from tests.fault.world import World

SECONDS = float(os.environ.get("FAULT_NEMESIS_SECONDS", "600"))
NUMBER = 3  # schedulers at a time
PER_SECOND = 40  # executions


class Nemesis:
    """Does harm to a world, one harm after another, and writes down what it may have cost."""

    def __init__(self, world: World, proxy: Proxy, cluster: Cluster) -> None:
        self.world, self.proxy, self.cluster = world, proxy, cluster
        self.random = world.random
        self.done: Counter[str] = Counter()
        self.at_risk = 0  # calls whose end was not certainly written when a harm began
        self.harms: list[Callable[[], None]] = [
            *[self.kill] * 4, *[self.stop] * 3, self.restart, self.half_open, self.cut, self.swallow, self.slow, self.leave,
        ]  # fmt: skip

    def strike(self) -> None:
        """One harm, to its end."""
        harm = self.random.choice(self.harms)
        self.world.event(harm.__name__)
        harm()
        self.done[harm.__name__] += 1
        self.world.event(f"{harm.__name__} over")

    def risk(self, *pids: int) -> None:
        """Count the calls that run, and those that ended so short ago that it may not be written."""
        now = time.monotonic()
        self.at_risk += sum(
            (call.ended is None or call.ended > now - 1) and (not pids or call.pid in pids)
            for call in self.world.calls()
        )

    def someone(self) -> Scheduler:
        return self.random.choice([one for one in self.world.schedulers if one.alive])

    def fill_up(self) -> None:
        """As many processes as there should be, as a supervisor sees to it."""
        while sum(one.alive for one in self.world.schedulers) < NUMBER:
            self.world.launch()

    def kill(self) -> None:
        victim = self.someone()
        victim.kill()
        self.risk(victim.pid)
        time.sleep(self.random.uniform(0, 1))
        self.fill_up()

    def leave(self) -> None:
        victim = self.someone()
        self.risk(victim.pid)
        victim.terminate()
        assert victim.ended(60) == 0
        self.fill_up()

    def stop(self) -> None:
        victim = self.someone()
        victim.pause()
        self.risk(victim.pid)
        time.sleep(self.random.uniform(0.5, 3) * LEASE)
        victim.go_on()

    def restart(self) -> None:
        self.risk()
        self.cluster.crash()
        time.sleep(self.random.uniform(0, 4))
        self.cluster.start()

    def half_open(self) -> None:
        self.risk()
        self.proxy.mode = self.random.choice(["blackhole", "stall"])
        time.sleep(self.random.uniform(1, 8))
        self.proxy.mode = "pass"

    def cut(self) -> None:
        self.risk()
        self.proxy.cut()

    def swallow(self) -> None:
        before = self.proxy.swallowed
        self.proxy.swallow_commits(3)
        wait_for(lambda: self.proxy.swallowed >= before + 3, 30, "COMMITs to swallow")
        self.risk()

    def slow(self) -> None:
        self.proxy.mode, self.proxy.delay = "delay", 0.004
        time.sleep(self.random.uniform(1, 4))
        self.proxy.mode = "pass"


def feed(world: World, stop: threading.Event) -> None:
    """Steady work of many kinds, written by SQL as the database lets it."""
    every = 5.0
    while not stop.is_set():
        began = time.monotonic()
        try:
            count = int(PER_SECOND * every / 10)
            lenient = {"final": ("SUCCESS", "FAILED")}
            policy = {"maxRetries": 2, "backoffStrategy": "FIXED", "initialDelayMs": 200}
            world.add_every_second(
                count // 2, 10, ms=10, overlap_policy="allow", misfire_grace_seconds=3600, expect=lenient
            )
            world.add_every_second(
                count // 2, 10, first=world.now(), ms=100, misfire_grace_seconds=3600, expect=lenient
            )
            world.add_once(3, ms=1500, expect=lenient)
            world.add_once(3, do="fail-first", expect={**lenient, "retries": 2}, retry_policy=policy)
            world.add_once(2, do="fail", expect=lenient)
            world.add_once(2, ms=300, execution_type="ATMOST_ONCE", expect=lenient)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            world.event("feeding failed", error=str(error))
        stop.wait(max(0.0, every - (time.monotonic() - began)))


@pytest.mark.first
@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 2 + 600)
def test_ten_minutes_of_random_harm_lose_and_double_nothing(
    proxied_world: tuple[World, Proxy], cluster: Cluster
) -> None:
    world, proxy = proxied_world
    nemesis = Nemesis(world, proxy, cluster)
    nemesis.fill_up()
    for one in world.schedulers:
        one.ready()
    stop = threading.Event()
    feeder = threading.Thread(target=feed, args=(world, stop))
    feeder.start()
    ends_at = time.monotonic() + SECONDS
    try:
        while time.monotonic() < ends_at:
            time.sleep(world.random.uniform(0.5, 4))
            nemesis.strike()
    finally:
        stop.set()
        feeder.join(60)
    proxy.mode = "pass"
    nemesis.fill_up()
    world.wait_done(SECONDS + 120)
    found = world.judge()
    world.notes |= {
        "in flight": nemesis.at_risk,
        "faults": sum(nemesis.done.values()),
        "harms": dict(nemesis.done),
    }
    print(f"\nseed {world.seed}: {dict(nemesis.done)}\n{found.text()}")
    assert found.lost_attempts > 0, "void: no attempt was lost"
    assert found.extra_calls <= nemesis.at_risk
    assert found.executions >= SECONDS * PER_SECOND * 5 / 6  # 20,000 in ten minutes
    failed = world.database.fetch(
        "SELECT e.reason, e.lost_count, j.execution_type, j.payload FROM job_executions AS e"
        " JOIN batch_jobs AS j ON j.id = e.job_id WHERE e.status = 'FAILED'"
    )
    for reason, lost, kind, payload in failed:
        on_purpose = payload["do"] == "fail" and reason == "error"
        assert on_purpose or (reason == "worker_lost" and (lost == 4 or kind == "ATMOST_ONCE")), (
            reason,
            lost,
            kind,
        )
