"""Pauses with an end: each ends by itself, whatever became of the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from executions import duties
from executions.duties import end_pauses
from executions.engine import clock
from executions.ledger import explain
from executions.models import Execution, Reason
from jobs.models import AuditAction, AuditEntry, Job, JobState, JobVersion, Queue
from tests.db.executions.world import NOW, Story, make_job

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def story() -> Iterator[Story]:
    story = Story()
    with clock.moved(story):
        yield story


def paused(*, until: timedelta = -HOUR, **fields: Any) -> Job:
    """A job whose pause has an end, an hour ago unless the test says otherwise."""
    return make_job(state=JobState.PAUSED, paused_until=NOW + until, paused_reason="moving", **fields)


def unreadable(*, until: timedelta = -HOUR) -> Job:
    """Such a job as SQL may insert it."""
    return paused(cron_expression="bad cron", planned_at=None, until=until)


def states(*jobs: Job) -> list[str]:
    for job in jobs:
        job.refresh_from_db()
    return [job.state for job in jobs]


def test_a_pause_ends_at_its_time_and_no_sooner(story: Story) -> None:
    over, open_ended, to_come = paused(until=timedelta()), paused(), paused(until=HOUR)
    Job.objects.filter(id=open_ended.id).update(paused_until=None)
    end_pauses(NOW)
    assert states(over, open_ended, to_come) == ["active", "paused", "paused"]
    assert (over.paused_until, over.paused_reason) == (None, None)


def test_a_job_that_cannot_be_read_keeps_no_other_pause_from_ending(story: Story) -> None:
    bad, good = unreadable(until=-9 * HOUR), [paused() for _ in range(3)]
    Queue.objects.create(name="shut", paused=True, paused_until=NOW - HOUR)
    end_pauses(NOW)
    assert states(bad, *good) == ["active"] * 4
    assert not Queue.objects.get(name="shut").paused
    story.look()
    bad.refresh_from_db()
    assert "5 or 6 fields" in (bad.error_message or "")
    assert (bad.state, bad.next_run_at, bad.schedule_error) == ("active", None, bad.error_message)


def test_jobs_that_cannot_be_read_starve_nobody(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duties, "BATCH", 2)
    bad, good = [unreadable(until=-9 * HOUR) for _ in range(4)], paused()
    for left in ([2, "paused"], [0, "paused"], [0, "active"]):
        end_pauses(NOW)
        assert [states(*bad).count("paused"), *states(good)] == left


def test_the_earliest_end_comes_first(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duties, "BATCH", 1)
    later, sooner = paused(until=-HOUR), paused(until=-2 * HOUR)
    for name, hours in (("a", 1), ("b", 2)):
        Queue.objects.create(name=name, paused=True, paused_until=NOW - hours * HOUR)
    end_pauses(NOW)
    assert states(later, sooner) == ["paused", "active"]
    assert Queue.objects.get(paused=True).name == "a"


def test_a_job_that_broke_while_it_was_off_says_so_when_its_pause_ends(story: Story) -> None:
    job = paused(planned_at=NOW - 3 * HOUR)
    Job.objects.filter(id=job.id).update(cron_expression="bad cron")
    end_pauses(NOW)
    assert states(job) == ["active"]
    assert "5 or 6 fields" in (job.schedule_error or "")
    assert (job.paused_until, job.paused_reason, job.next_run_at) == (None, None, None)
    assert job.error_message == job.schedule_error
    assert AuditEntry.objects.filter(job=job, action=AuditAction.RESUMED).count() == 1


def test_its_time_off_is_answered_for_and_it_goes_on_when_it_is_mended(story: Story) -> None:
    job = paused(planned_at=NOW - 3 * HOUR)
    Job.objects.filter(id=job.id).update(cron_expression="bad cron")
    end_pauses(NOW)
    off = Execution.objects.get(job=job)
    assert (off.reason, off.scheduled_at, off.skipped_until) == (Reason.PAUSED, NOW - 2 * HOUR, NOW)
    story.wait(timedelta(minutes=90), step=timedelta(minutes=30))
    Job.objects.filter(id=job.id).update(cron_expression="0 * * * *")
    story.look()
    story.wait(HOUR)
    job.refresh_from_db()
    assert (job.schedule_error, job.next_run_at) == (None, NOW + 3 * HOUR)
    answers = [one.outcome for one in explain(job, NOW - 2 * HOUR, story.now, now=story.now).answers]
    assert answers == ["SKIPPED"] * 3 + ["PENDING"]


def test_a_job_that_lacks_only_what_the_planner_adds_is_planned(story: Story) -> None:
    fields: dict[str, Any] = {
        "schedule_type": "recurring",
        "cron_expression": None,
        "recurrence_pattern": "hourly",
    }
    job = paused(planned_at=None, **fields)
    end_pauses(NOW)
    story.look()
    assert states(job) == ["active"]
    assert (job.schedule_error, job.scheduled_at) == (None, NOW)


def test_a_job_that_was_put_aside_before_is_no_other_version_after_its_pause(story: Story) -> None:
    job = make_job(planned_at=None, cron_expression="bad cron")
    story.look()
    Job.objects.filter(id=job.id).update(state=JobState.PAUSED, paused_until=NOW - HOUR)
    before = JobVersion.objects.filter(job=job).count()
    end_pauses(NOW)
    story.look()
    assert states(job) == ["active"]
    assert "5 or 6 fields" in (job.schedule_error or "")
    assert JobVersion.objects.filter(job=job).count() == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="a file has one writer")
def test_what_somebody_else_works_on_is_passed_over(story: Story) -> None:
    held, free = paused(until=-2 * HOUR), paused()
    for name in ("held", "free"):
        Queue.objects.create(name=name, paused=True, paused_until=NOW - HOUR)
    passed = threading.Event()

    def end() -> None:
        try:
            with transaction.atomic():
                end_pauses(NOW)
            passed.set()
        finally:
            connection.close()

    with transaction.atomic():
        Job.objects.select_for_update(of=("self",)).get(id=held.id)
        Queue.objects.select_for_update().get(name="held")
        thread = threading.Thread(target=end)
        thread.start()
        assert passed.wait(10)
    thread.join(10)
    assert states(held, free) == ["paused", "active"]
    assert Queue.objects.get(paused=True).name == "held"
