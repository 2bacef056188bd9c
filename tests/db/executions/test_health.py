"""Whether work goes on, by its progress."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from executions import health
from executions.health import ACTIVE, INACTIVE, STALLED
from executions.models import Execution, Status
from executions.prober import Prober, Silent
from jobs.models import Job, Queue
from tests.db.executions.world import NOW, make_execution, make_instance, make_job

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def make_due(job: Job | None = None, *, waited: timedelta = 2 * MINUTE, **fields: Any) -> Execution:
    job = job or make_job(next_run_at=NOW + MINUTE)
    return make_execution(job, next_attempt_at=NOW - waited, scheduled_at=NOW - waited, **fields)


def test_without_a_young_heartbeat_of_a_scheduler_it_is_inactive() -> None:
    assert health.look(NOW).status == INACTIVE
    make_instance(role="worker")
    make_instance(at=NOW - timedelta(seconds=31))
    make_instance(status="INACTIVE")
    assert health.look(NOW).status == INACTIVE
    make_instance(at=NOW - timedelta(seconds=29))
    assert health.look(NOW).status == ACTIVE


def test_a_minute_without_progress_on_what_could_start_is_a_stall() -> None:
    make_instance()
    make_due(waited=timedelta(seconds=59))
    assert health.look(NOW).status == ACTIVE
    make_due(waited=timedelta(seconds=60))
    picture = health.look(NOW)
    assert (picture.status, picture.lag) == (STALLED, MINUTE)


def test_a_job_that_is_due_for_a_minute_and_not_planned_is_a_stall() -> None:
    make_instance()
    make_job(next_run_at=NOW - timedelta(seconds=61))
    assert health.look(NOW).status == STALLED


def test_a_job_that_catches_up_behind_a_full_queue_of_its_own_is_none() -> None:
    make_instance()
    job = make_job(catch_up="all", next_run_at=NOW - 90 * MINUTE)
    make_execution(job, status=Status.RUNNING)
    for number in range(100):
        make_due(job, waited=timedelta(minutes=91 + number))
    assert health.look(NOW).status == ACTIVE
    Execution.objects.filter(job=job, status=Status.PENDING)[:1].get().delete()
    assert health.look(NOW).status == STALLED


@pytest.mark.parametrize("held_by", ["pause", "limit", "queue", "slots"])
def test_what_something_holds_back_is_no_stall(held_by: str) -> None:
    job = make_job(next_run_at=NOW + MINUTE, state="paused" if held_by == "pause" else "active")
    make_due(job)
    if held_by == "limit":
        make_execution(job, status=Status.RUNNING)
    if held_by == "queue":
        Queue.objects.create(name="*", paused=True)
    instance = make_instance(concurrency=1 if held_by == "slots" else 10)
    if held_by == "slots":
        other = make_job(next_run_at=NOW + MINUTE)
        make_execution(other, status=Status.RUNNING, locked_by=instance.id)
    assert health.look(NOW).status == ACTIVE


def test_waiting_for_a_slot_counts_as_lag_all_the_same() -> None:
    instance = make_instance(concurrency=1)
    make_execution(make_job(next_run_at=NOW + MINUTE), status=Status.RUNNING, locked_by=instance.id)
    make_due(waited=5 * MINUTE)
    picture = health.look(NOW)
    assert (picture.status, picture.lag) == (ACTIVE, 5 * MINUTE)


def test_the_age_of_the_queue_counts_what_is_held_back_too() -> None:
    assert health.queue_age(NOW) == timedelta(0)
    make_execution(make_job(next_run_at=NOW + MINUTE), next_attempt_at=NOW + MINUTE)
    assert health.queue_age(NOW) == timedelta(0)
    make_due(make_job(next_run_at=NOW + MINUTE, state="paused"), waited=120 * MINUTE, priority=0)
    make_due(waited=5 * MINUTE, priority=9)
    assert health.queue_age(NOW) == 120 * MINUTE


def test_a_clogged_front_does_not_hide_what_could_start_behind_it() -> None:
    make_instance()
    clog = make_job(next_run_at=NOW + MINUTE, state="paused")
    for number in range(health.LOOK + 5):
        make_due(clog, waited=timedelta(hours=1, minutes=number))
    assert health.look(NOW).status == ACTIVE
    make_due(waited=3 * MINUTE)
    picture = health.look(NOW)
    assert (picture.status, picture.lag) == (STALLED, 3 * MINUTE)


def test_the_picture_sums_up_what_lives() -> None:
    old = make_instance(at=NOW - timedelta(hours=1), jobs_processed_count=1000)
    first = make_instance(concurrency=4, jobs_processed_count=5, created_at=NOW - timedelta(hours=2))
    worker = make_instance(role="worker", concurrency=6, jobs_processed_count=7)
    make_execution(status=Status.RUNNING, locked_by=first.id)
    make_execution(status=Status.RUNNING, locked_by=worker.id, lease_expires_at=NOW - MINUTE)
    make_due(make_job(next_run_at=NOW + MINUTE, state="paused"))
    picture = health.look(NOW)
    assert (picture.instance_id, picture.started_at) == (first.id, NOW - timedelta(hours=2))
    assert (picture.processed, picture.slots, picture.busy, picture.utilization) == (12, 10, 2, 20.0)
    assert (picture.running, picture.queued) == (1, 1)
    assert {one.id: one.alive for one in picture.processes} == {
        old.id: False,
        first.id: True,
        worker.id: True,
    }


# The prober -----------------------------------------------------------------------------------------


def test_a_question_that_hangs_is_given_up_and_asked_only_once() -> None:
    asked, release = [], threading.Event()

    def hang() -> int:
        asked.append(1)
        release.wait(30)
        return 1

    prober = Prober(hang)
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(Silent):
            prober.ask(patience=0.05)
    assert time.monotonic() - started < 5
    assert len(asked) == 1
    release.set()
    assert Prober(lambda: 2).ask(patience=10) == 2


def test_who_asks_soon_after_an_answer_gets_the_same() -> None:
    asked: list[int] = []

    def count() -> int:
        asked.append(1)
        return len(asked)

    kept, fresh = Prober(count, keep=60), Prober(count)
    assert [kept.ask(patience=10) for _ in range(3)] == [1, 1, 1]
    kept.forget()
    assert [kept.ask(patience=10) for _ in range(2)] == [2, 2]
    assert [fresh.ask(patience=10) for _ in range(2)] == [3, 4]


def test_a_failure_is_not_kept() -> None:
    asked: list[int] = []

    def ask() -> int:
        asked.append(1)
        if len(asked) == 1:
            raise ValueError("down")
        return 7

    prober = Prober(ask, keep=60)
    with pytest.raises(Silent, match="down"):
        prober.ask(patience=10)
    assert prober.ask(patience=10) == 7


def test_an_error_of_the_question_is_told_as_silence() -> None:
    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(Silent, match="broken"):
        Prober(fail).ask(patience=10)
