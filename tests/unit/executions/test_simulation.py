"""The virtual world: the same policies, seeded chance, nothing lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from executions.engine.limits import SharedFacts
from executions.engine.planning import Due
from executions.retry import RetryPolicy
from executions.simulation import Report, SimJob, Situation, simulate
from jobs.timing import Schedule, next_occurrence

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)


def make_job(key: int = 1, expression: str = "0 * * * *", **fields: Any) -> SimJob:
    policies = {
        name: fields.pop(name)
        for name in ("overlap", "max_concurrent", "catch_up", "queue", "jitter_seconds")
        if name in fields
    }
    schedule = Schedule(kind="cron", expression=expression)
    first = next_occurrence(schedule, START - timedelta(microseconds=1))
    assert first is not None
    due = Due(job_id=key, schedule=schedule, cursor=first.at, **policies)
    return SimJob(name=f"job-{key}", due=due, **fields)


def play(*jobs: SimJob, days: float = 1, **situation: Any) -> Report:
    return simulate(jobs, START, START + days * DAY, situation=Situation(**situation))


def answered(report: Report) -> int:
    return sum(report.outcomes.values()) + sum(report.skipped.values()) + report.unfinished


def test_every_fire_time_is_answered_for() -> None:
    report = play(make_job(), make_job(2, "*/5 * * * *", durations=(400.0,)))
    assert report.fire_times == 25 + 289
    assert answered(report) == report.fire_times


def test_the_same_seed_gives_the_same_report() -> None:
    jobs = [make_job(key, "*/7 * * * *", durations=(1, 50, 300), failure_rate=0.3) for key in range(1, 6)]
    first = play(*jobs, crash_rate=0.1, seed=7).as_dict(slots=10)
    assert play(*jobs, crash_rate=0.1, seed=7).as_dict(slots=10) == first
    assert play(*jobs, crash_rate=0.1, seed=8).as_dict(slots=10) != first


def test_overlap_skip_skips_and_queue_waits() -> None:
    skip = play(make_job(expression="* * * * *", overlap="skip", durations=(90.0,)), days=0.1)
    assert skip.skipped["overlap"] > 60
    queue = play(make_job(expression="* * * * *", durations=(90.0,)), days=0.1)
    assert queue.skipped == {}
    assert max(queue.lateness) > 600


def test_too_few_slots_are_told_as_lateness() -> None:
    jobs = [make_job(key, "0 12 * * *", durations=(60.0,)) for key in range(1, 21)]
    report = play(*jobs, slots=2)
    assert report.most_running == 2
    assert max(report.lateness) == 540.0
    assert any("jitterSeconds" in text for text in report.advice(slots=2))


def test_lost_workers_are_rescued_and_counted() -> None:
    report = play(make_job(expression="*/10 * * * *"), crash_rate=0.2, seed=1)
    assert report.crashes > 0
    assert answered(report) == report.fire_times


def test_at_most_once_is_never_started_twice() -> None:
    report = play(make_job(expression="*/10 * * * *", at_most_once=True), crash_rate=0.5, seed=1)
    assert report.started == answered(report) == report.fire_times


def test_retries_follow_the_policy() -> None:
    policy = RetryPolicy(max_retries=2, strategy="FIXED", initial_delay_ms=1000)
    report = play(make_job(failure_rate=1.0, policy=policy))
    assert report.retries == 2 * report.outcomes["FAILED"]


def test_a_queues_limit_holds_in_the_virtual_world_too() -> None:
    jobs = [make_job(key, "0 12 * * *", durations=(60.0,), queue="slow") for key in range(1, 11)]
    report = play(*jobs, queues={"slow": SharedFacts(name="slow", max_concurrent=3)}, slots=100)
    assert report.most_running == 3
    assert report.outcomes["SUCCESS"] == 10
