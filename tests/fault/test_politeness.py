"""A host that goes down under load and comes back (case 20): a real engine and a real host.

Half an hour in two minutes: delays of seconds stand for delays of minutes, the ratios are the same.
"""

from __future__ import annotations

import time
from datetime import timedelta
from itertools import groupby, pairwise
from statistics import mean

import pytest

from tests.fault.host import Host, host
from tests.fault.processes import wait_for
from tests.fault.world import World

JOBS = 50  # each fires every second, so this is the steady rate
WELL, ILL = 15, 100  # seconds
AT_ONCE = 20
WINDOW = 5.0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_5000_executions_that_fail_while_a_host_is_down_come_back_politely(shared_world: World) -> None:
    world = shared_world
    with host() as target:
        world.start("--concurrency", "40", HTTP_ALLOWED_CIDRS="127.0.0.0/8", HTTP_MAX_PER_HOST=str(AT_ONCE))
        first = world.now() + timedelta(seconds=3)
        times = WELL + ILL + 45
        add_calls(world, target, first=first, times=times)
        began = time.monotonic() + 3
        pause_until(began + WELL)
        target.ill = True
        down = time.monotonic()
        pause_until(down + ILL)
        target.ill = False
        up = time.monotonic()
        pause_until(began + times)
        wait_for(lambda: world.count("completed_at IS NULL") == 0, 300, "the last run", step=0.5)

    steady = target.rate(began + 2, down)
    peak, second = (target.peak(up, up + 400, window=span) for span in (WINDOW, 1.0))
    usual = target.peak(began + 2, down, window=1.0)  # all jobs fire at the same moment of a second
    failing = {one.execution for one in target.requests if one.failed}
    world.notes |= {
        "executions": world.count(),
        "calls": len(target.requests),
        "faults": f"{len(failing)} failing; steady {steady:.0f}/s, after recovery at most {peak:.0f}/s"
        f" ({second:.0f} in one second; before {usual:.0f}), {target.most} at once",
    }
    print(world.notes["faults"])
    assert steady >= 0.9 * JOBS, "void: this machine is too busy for the load"
    assert len(failing) >= 5000 * 0.95, "void: too few failed"
    assert peak <= 2 * steady
    assert second <= 2 * usual
    assert target.most <= AT_ONCE
    check_attempts(world, target)
    check_letters(world)


def add_calls(world: World, target: Host, *, first: object, times: int) -> None:
    """Jobs that call the host every second; half of them give up after one retry."""
    end = first + timedelta(seconds=times - 1)  # type: ignore[operator]
    world.database.insert(
        "batch_jobs",
        [
            {
                "job_name": f"call-{number}",
                "cron_expression": "* * * * * *",
                "start_at": first,
                "end_at": end,
                "catch_up": "all",
                "misfire_grace_seconds": 600,
                "overlap_policy": "allow",
                "max_concurrent_executions": 100,
                "api_endpoint": target.url,
                "timeout_ms": 5000,
                "retry_policy": {
                    "maxRetries": 1 if number % 2 else 4,
                    "backoffStrategy": "EXPONENTIAL",
                    "initialDelayMs": 1000,
                    "maxDelayMs": 8000,
                    "jitter": True,
                },
            }
            for number in range(JOBS)
        ],
    )


def pause_until(moment: float) -> None:
    """Let the world go on."""
    wait_for(lambda: time.monotonic() >= moment, 600, "a moment")


def check_attempts(world: World, target: Host) -> None:
    """Never more calls than attempts are allowed, Retry-After obeyed, and retries spread."""
    retries = dict(
        world.database.fetch(
            "SELECT e.id, CAST(j.retry_policy->>'maxRetries' AS int) FROM job_executions AS e"
            " JOIN batch_jobs AS j ON j.id = e.job_id"
        )
    )
    calls = sorted(target.requests, key=lambda one: (one.execution, one.at))
    waits = []
    for key, group in groupby(calls, key=lambda one: one.execution):
        mine = list(group)
        assert len(mine) <= 1 + retries[key.replace("-", "")], key
        assert len({one.attempt for one in mine}) == len(mine), key
        for before, after in pairwise(mine):
            waits.append(after.at - before.at)
            assert after.at - before.at >= before.retry_after, key
    # The first wait alone is a second, of which jitter takes up to half.
    assert min(waits) >= 0.5
    assert max(waits) - min(waits) >= 0.5 * mean(waits), "void: retries were not spread"


def check_letters(world: World) -> None:
    """FAILED if and only if there is one dead letter, and only after the last retry."""
    failed = world.count("status = 'FAILED'")
    letters = world.database.one("SELECT count(*) FROM failed_jobs_dlq")
    distinct = world.database.one(
        "SELECT count(DISTINCT d.execution_id) FROM failed_jobs_dlq AS d"
        " JOIN job_executions AS e ON e.id = d.execution_id AND e.status = 'FAILED'"
    )
    assert failed == letters == distinct
    assert failed >= 100, "void: too few gave up"
    early = world.database.one(
        "SELECT count(*) FROM job_executions AS e JOIN batch_jobs AS j ON j.id = e.job_id"
        " WHERE e.status = 'FAILED' AND e.retry_count < CAST(j.retry_policy->>'maxRetries' AS int)"
    )
    assert early == 0
