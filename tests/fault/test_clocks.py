"""Clocks that are wrong, jump or change their zone (cases 13, 15, 37)."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.fault.checker import Definition
from tests.fault.clocks import DatabaseClock
from tests.fault.processes import LEASE, POLL, SLACK, wait_for
from tests.fault.world import World


@pytest.mark.slow
@pytest.mark.parametrize("shift", ["jumping", "7200", "-7200"])
def test_a_host_whose_clock_is_wrong_runs_nothing_early_twice_or_late(
    shared_world: World, shift: str
) -> None:
    world = shared_world
    world.start(FAULT_HOST_CLOCK=shift)
    world.start()
    first = world.now() + timedelta(seconds=2)
    world.add_every_second(6, 8, first=first, ms=30)
    world.add_once(6, at=first + timedelta(seconds=3))
    world.wait_done(40)
    found = world.judge(latest=POLL + 1 + SLACK)
    assert found.extra_calls == 0
    pids = {call.pid for call in world.calls()}
    assert world.schedulers[0].pid in pids, "void: the one with the wrong clock did nothing"


@pytest.mark.parametrize("shift", [pytest.param(7200.0, marks=pytest.mark.slow), -7200.0])
def test_a_database_clock_that_jumps_ends_nothing_twice_and_leaves_no_lease_behind(
    world: World, shift: float
) -> None:
    clock = DatabaseClock(world.database, world.folder)
    number = 2 if world.database.kind == "postgresql" else 1
    for _ in range(number):
        world.start(**clock.environment)
    world.add_once(8, ms=1500)
    world.wait_in_flight(8)
    in_flight = len(world.in_flight())
    clock.set(shift)
    jumped_at = time.monotonic()
    world.wait_done(60)
    world.note_recovery(time.monotonic() - jumped_at, bound=60)
    found = world.judge(clock_moved=True)
    world.notes |= {"in flight": in_flight, "faults": 1}
    # Set forward every lease has ended at once, set back it lies too far ahead: both must be noticed.
    assert found.lost_attempts >= 1, "void: no lease was judged by the moved clock"
    assert found.extra_calls <= in_flight


# The wall clock as its zone shows it, and the instants that follow for each schedule.
# Berlin  2025-03-30  01:00Z: 02:00 +01 becomes 03:00 +02     2025-10-26  01:00Z: 03:00 +02 becomes 02:00 +01
# New York 2025-11-02 06:00Z: 02:00 -04 becomes 01:00 -05     Lord Howe 2025-04-05 15:00Z: 02:00 +11 becomes 01:30
# +10:30; 2025-10-04 15:30Z: 02:00 +10:30 becomes 02:30 +11   Kolkata stays as it is
CHANGES = [
    ("Europe/Berlin", "30 2 * * *", "2025-10-25T12:00Z", "2025-10-27T12:00Z", ["2025-10-26T00:30Z", "2025-10-27T01:30Z"]),
    ("Europe/Berlin", "30 2 * * *", "2025-03-29T12:00Z", "2025-03-31T12:00Z", ["2025-03-30T01:00Z", "2025-03-31T00:30Z"]),
    ("America/New_York", "30 1 * * *", "2025-11-01T12:00Z", "2025-11-03T12:00Z", ["2025-11-02T05:30Z", "2025-11-03T06:30Z"]),
    ("Australia/Lord_Howe", "45 1 * * *", "2025-04-05T00:00Z", "2025-04-06T23:00Z", ["2025-04-05T14:45Z", "2025-04-06T15:15Z"]),
    ("Australia/Lord_Howe", "15 2 * * *", "2025-10-04T00:00Z", "2025-10-05T20:00Z", ["2025-10-04T15:30Z", "2025-10-05T15:15Z"]),
    ("Asia/Kolkata", "0 6 * * *", "2025-10-25T12:00Z", "2025-10-27T12:00Z", ["2025-10-26T00:30Z", "2025-10-27T00:30Z"]),
]  # fmt: skip
QUARTERS = [
    ("Europe/Berlin", "2025-10-25T23:00Z"),
    ("Europe/Berlin", "2025-03-29T23:00Z"),
    ("Australia/Lord_Howe", "2025-04-05T13:00Z"),
    ("America/New_York", "2025-11-02T04:00Z"),
]


def at(text: str) -> datetime:
    """An instant written with its Z."""
    return datetime.fromisoformat(text).astimezone(UTC)


def test_clock_changes_neither_double_nor_drop_a_run_when_two_schedulers_plan(shared_world: World) -> None:
    world = shared_world
    common = {
        "catch_up": "all",
        "handler": "target",
        "overlap_policy": "allow",
        "max_concurrent_executions": 100,
    }
    for number, (zone, cron, start, end, times) in enumerate(CHANGES):
        row = {"job_name": f"change-{number}", "cron_expression": cron, "timezone": zone, "end_at": at(end)}
        expected = tuple(at(text) for text in times)
        world.add(
            Definition(name=f"change-{number}", times=expected, one_at_a_time=False),
            jobs=[{**row, "start_at": at(start), "next_run_at": expected[0], **common}],
        )
    for number, (zone, start) in enumerate(QUARTERS):
        moments = tuple(at(start) + timedelta(minutes=15 * step) for step in range(24))
        row = {"job_name": f"quarter-{number}", "cron_expression": "*/15 * * * *", "timezone": zone}
        world.add(
            Definition(name=f"quarter-{number}", times=moments, one_at_a_time=False),
            jobs=[{**row, "next_run_at": moments[0], "end_at": moments[-1], **common}],
        )
        hours = moments[::4]
        row = {"job_name": f"hourly-{number}", "schedule_type": "recurring", "recurrence_pattern": "hourly"}
        world.add(
            Definition(name=f"hourly-{number}", times=hours, one_at_a_time=False),
            jobs=[
                {
                    **row,
                    "timezone": zone,
                    "scheduled_at": hours[0],
                    "next_run_at": hours[0],
                    "end_at": hours[-1],
                    **common,
                }
            ],
        )
    both = [world.launch(), world.launch()]
    for one in both:
        one.ready()
    world.wait_done(60)
    found = world.judge(clock_moved=True)
    assert found.finals == {"SUCCESS": 12 + 4 * 24 + 4 * 6}
    assert found.extra_calls == 0


def test_a_lease_that_the_clock_left_far_ahead_is_taken_over(make_world: Callable[[str], World]) -> None:
    """Without a process that holds it: only the reaper's second half finds it."""
    world = make_world("postgresql")
    victim = world.start()
    world.add_once(3, ms=20_000, do="stubborn")
    world.wait_in_flight(3)
    victim.kill()
    world.database.write(
        "UPDATE job_executions SET lease_expires_at = lease_expires_at + interval '2 hours' WHERE status = 'RUNNING'"
    )
    world.database.write("""UPDATE batch_jobs SET payload = '{"do": "ok", "ms": 10}'""")
    world.start()
    waited = wait_for(lambda: world.count("lost_count = 1") == 3, LEASE + POLL + 1 + SLACK, "the rescue")
    world.note_recovery(waited)
    world.wait_done(20)
    world.judge()
