"""What is found in the ledger, exactly once, and what stays quiet."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts import picking
from alerts.models import Cursor, Delivery
from executions.engine import clock
from jobs.models import Queue
from tests.db.accounts.people import make_user
from tests.db.alerts.world import BORN, end, look, make_alert, pick, second, skip, tag
from tests.factories import NOON, make_execution, make_job

pytestmark = pytest.mark.django_db


# Failures -------------------------------------------------------------------------------------------


def test_a_failure_is_told_once_per_episode_and_again_after_a_success() -> None:
    job = make_job(name="report")
    make_alert(conditions={"onRecovery": True})

    end(job, "FAILED", 1)
    assert pick(2) == [("job.failed", "report")]
    end(job, "FAILED", 3)
    end(job, "FAILED", 4)
    assert pick(5) == []
    end(job, "SUCCESS", 6)
    assert pick(7) == [("job.recovered", "report")]
    end(job, "SUCCESS", 8)
    assert pick(9) == []
    end(job, "FAILED", 10)
    assert pick(11) == [("job.failed", "report")]


def test_a_whole_story_found_in_one_look_is_told_the_same() -> None:
    job = make_job(name="report")
    make_alert(conditions={"onRecovery": True})
    for place, status in enumerate(["FAILED", "FAILED", "SUCCESS", "FAILED", "SUCCESS", "SUCCESS"], 1):
        end(job, status, place)

    assert [event for event, _ in pick(60)] == [
        "job.failed",
        "job.recovered",
        "job.failed",
        "job.recovered",
    ]


def test_so_many_in_a_row_are_counted_across_looks_and_a_success_begins_anew() -> None:
    job = make_job(name="report")
    make_alert(conditions={"consecutiveFailures": 3})

    for at, status in [(1, "FAILED"), (2, "FAILED"), (3, "SUCCESS"), (4, "FAILED"), (5, "FAILED")]:
        end(job, status, at)
        assert pick(at) == []
    end(job, "CANCELLED", 6)
    skip(job, "misfire", 6.5)
    assert pick(7) == []
    end(job, "FAILED", 8)
    assert pick(8) == [("job.failed", "report")]
    end(job, "FAILED", 9)
    assert pick(9) == []


def test_recovery_is_told_only_after_as_many_failures_as_are_told() -> None:
    job = make_job(name="report")
    make_alert(conditions={"consecutiveFailures": 2, "onRecovery": True, "onFailure": False})

    end(job, "FAILED", 1)
    end(job, "SUCCESS", 2)
    assert pick(3) == []
    end(job, "FAILED", 4)
    end(job, "FAILED", 5)
    end(job, "SUCCESS", 6)
    assert pick(7) == [("job.recovered", "report")]


def test_every_success_is_told_to_who_wants_it() -> None:
    job = make_job(name="report")
    make_alert(conditions={"onSuccess": True})
    end(job, "SUCCESS", 1)
    end(job, "SUCCESS", 2)

    assert pick(3) == [("job.succeeded", "report")] * 2


def test_the_first_dead_letter_of_an_episode_is_told_whatever_counts_as_a_failure() -> None:
    job = make_job(name="report")
    make_alert(conditions={"consecutiveFailures": 2, "onDeadLetter": True})
    for at in (1, 2, 3):
        end(job, "FAILED", at)

    assert pick(4) == [("job.dead_letter", "report"), ("job.failed", "report")]


def test_a_job_is_quiet_while_paused_and_its_episode_is_told_after_that() -> None:
    job = make_job(name="report", state="paused")
    make_alert(conditions={"onRecovery": True})
    end(job, "FAILED", 1)
    assert pick(2) == []

    job.state = "active"
    job.save()
    assert pick(3) == []
    end(job, "FAILED", 4)
    assert pick(5) == [("job.failed", "report")]


def test_an_alert_made_in_the_middle_of_an_episode_tells_it_at_the_next_failure() -> None:
    job = make_job(name="report")
    end(job, "FAILED", 1)
    end(job, "FAILED", 2)
    make_alert(created_at=second(3))
    assert pick(4) == []
    end(job, "FAILED", 5)

    assert pick(6) == [("job.failed", "report")]


def test_two_jobs_have_two_episodes() -> None:
    make_alert()
    first, other = make_job(name="first"), make_job(name="other")
    end(first, "FAILED", 1)
    assert pick(2) == [("job.failed", "first")]
    end(other, "FAILED", 3)
    end(first, "FAILED", 4)
    assert pick(5) == [("job.failed", "other")]


# Nothing lost, nothing twice --------------------------------------------------------------------------


def test_an_ending_that_becomes_visible_late_is_found_by_the_second_look() -> None:
    job = make_job(name="report")
    make_alert()
    other = make_job(name="other")
    end(other, "FAILED", 10)
    assert pick(11) == [("job.failed", "other")]

    end(job, "FAILED", 5)  # its transaction began before that of the other one
    assert pick(12) == []
    assert pick(20, picking.SWEEP) == []
    assert pick(75, picking.SWEEP) == [("job.failed", "report")]
    assert pick(200, picking.SWEEP) == []


def test_an_earlier_failure_that_comes_to_light_late_belongs_to_the_told_episode() -> None:
    job = make_job(name="report")
    make_alert()
    end(job, "FAILED", 10)
    assert pick(11) == [("job.failed", "report")]
    end(job, "FAILED", 5)

    assert pick(90, picking.SWEEP) == []


def test_the_second_look_tells_nothing_again_of_a_job_that_flaps() -> None:
    job = make_job(name="report")
    make_alert(conditions={"onRecovery": True, "consecutiveFailures": 1})
    for at, status in enumerate(["FAILED", "FAILED", "SUCCESS", "FAILED", "FAILED", "SUCCESS"], 1):
        end(job, status, at)
    assert len(pick(10)) == 4

    assert pick(100, picking.SWEEP) == []


def test_a_late_failure_completes_a_row_of_failures() -> None:
    job = make_job(name="report")
    make_alert(conditions={"consecutiveFailures": 3})
    end(job, "FAILED", 2)
    end(job, "FAILED", 3)
    assert pick(4) == []
    end(job, "FAILED", 1)

    assert pick(90, picking.SWEEP) == [("job.failed", "report")]


def test_a_cursor_goes_on_after_a_restart_where_it_stood() -> None:
    job = make_job(name="report")
    make_alert(conditions={"onSuccess": True})
    end(job, "SUCCESS", 1)
    pick(2)
    stood = Cursor.objects.get(name=picking.LEAD)
    end(job, "SUCCESS", 3600)

    assert stood.moment == second(2)
    assert pick(3601) == [("job.succeeded", "report")]


def test_endings_of_the_same_instant_are_all_found_however_small_the_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(picking, "BATCH", 2)
    make_alert(conditions={"onSuccess": True})
    job = make_job(name="report")
    for number in range(7):
        end(job, "SUCCESS", 1, scheduled_at=second(-number))

    assert len(pick(1)) == 7
    end(job, "SUCCESS", 2)
    assert len(pick(3)) == 1


def test_a_step_that_runs_out_of_time_goes_on_at_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock jumps past the budget at every look at it, so each step does one chunk and stops."""
    ticks = itertools.count(step=10)
    monkeypatch.setattr(clock, "monotonic", lambda: float(next(ticks)))
    monkeypatch.setattr(picking, "BUDGET", 15)
    monkeypatch.setattr(picking, "CHUNK", 2)
    make_alert(conditions={"onSuccess": True})
    job = make_job(name="report")
    for number in range(5):
        end(job, "SUCCESS", 1, scheduled_at=second(-number))

    assert [len(pick(9)) for _ in range(4)] == [2, 2, 1, 0]
    assert Cursor.objects.get().moment == second(9)


def test_what_ended_before_the_alert_was_made_is_not_told() -> None:
    job = make_job(name="report")
    end(job, "FAILED", 1)
    make_alert(created_at=second(2))

    assert pick(3) == []


def test_an_alert_that_was_off_tells_nothing_of_that_time() -> None:
    job = make_job(name="report")
    alert = make_alert()
    pick(0)
    alert.enabled = False
    alert.save()
    end(job, "FAILED", 100)
    assert pick(200) == []
    alert.enabled = True
    alert.save()

    assert pick(201) == []
    end(job, "FAILED", 300)
    assert pick(301) == [("job.failed", "report")]


def test_without_an_alert_a_look_is_one_cheap_question() -> None:
    end(make_job(), "FAILED", 1)
    with CaptureQueriesContext(connection) as asked:
        assert picking.pick_endings(picking.LEAD, second(2)) == 0

    assert len(asked) <= 2
    assert not any("job_executions" in query["sql"] for query in asked.captured_queries)


def test_without_an_alert_for_it_what_has_not_ended_is_not_looked_at() -> None:
    make_alert()
    with CaptureQueriesContext(connection) as asked:
        assert picking.pick_unfinished(second(2)) == 0

    assert len(asked) == 1


def test_a_look_asks_as_many_questions_for_fifty_successes_as_for_one() -> None:
    make_alert(conditions={"onSuccess": True})
    pick(0)
    end(make_job(), "SUCCESS", 1)
    with CaptureQueriesContext(connection) as few:
        pick(2)
    for at in range(3, 53):
        end(make_job(), "SUCCESS", at)
    with CaptureQueriesContext(connection) as many:
        assert len(pick(60)) == 50

    assert len(many) == len(few)


# Whom -------------------------------------------------------------------------------------------------


def test_an_alert_hears_of_its_job_its_tag_or_all_jobs_of_its_owner() -> None:
    ada, bob = make_user("ada@example.com"), make_user("bob@example.com")
    hers, other = make_job(name="hers", user=ada), make_job(name="other", user=ada)
    his, nobodys = make_job(name="his", user=bob), make_job(name="nobodys")
    alerts = {
        make_alert(user=ada, job=hers).id: {"hers"},
        make_alert(user=ada, tag=tag(other)).id: {"other"},
        make_alert(user=ada).id: {"hers", "other"},
        make_alert(user=bob).id: {"his"},
        make_alert().id: {"nobodys"},
        make_alert(user=ada, enabled=False).id: set(),
    }
    for at, job in enumerate((hers, other, his, nobodys), 1):
        end(job, "FAILED", at)
    pick(60)

    names = {job.id: job.name for job in (hers, other, his, nobodys)}
    heard: dict[object, set[str]] = {key: set() for key in alerts}
    for row in Delivery.objects.all():
        heard[row.alert_id].add(names[row.job_id])
    assert heard == alerts


# Missed ------------------------------------------------------------------------------------------------


def test_a_missed_run_is_told_once_until_one_runs() -> None:
    job = make_job(name="report")
    make_alert(conditions={"onMissed": True})
    skip(job, "misfire", 10)
    assert pick(11) == [("job.missed", "report")]
    skip(job, "backlog", 20)
    skip(job, "overlap", 21)
    assert pick(22) == []
    end(job, "SUCCESS", 31)
    skip(job, "misfire", 40)
    assert pick(41) == [("job.missed", "report")]


def test_a_fire_time_that_nobody_planned_is_told_once_also_when_it_is_skipped_later() -> None:
    job = make_job(name="report", next_run_at=NOON)
    make_alert(conditions={"onMissed": True})
    assert look(30) == []
    assert look(61) == [("job.missed", "report")]
    assert look(63) == []
    skip(job, "misfire", 0, completed_at=second(70))

    assert pick(71) == []


def test_a_schedule_that_cannot_be_read_misses_its_runs() -> None:
    make_job(name="broken", next_run_at=None, exhausted=True, schedule_error="weekday 9 does not exist")
    make_job(name="done", next_run_at=None, exhausted=True)
    make_alert(conditions={"onMissed": True})

    assert look(1) == [("job.missed", "broken")]
    assert look(3) == []
    assert Delivery.objects.get().details["reason"] == "weekday 9 does not exist"


def test_a_job_that_catches_up_all_its_runs_or_is_off_misses_none() -> None:
    make_job(name="behind", next_run_at=NOON, catch_up="all")
    make_job(name="off", next_run_at=NOON, state="paused")
    make_alert(conditions={"onMissed": True})

    assert look(9999) == []


# Late --------------------------------------------------------------------------------------------------


def test_an_occurrence_that_does_not_start_is_late_once_until_one_starts_in_time() -> None:
    job = make_job(name="report", created_at=BORN)
    make_alert(conditions={"onLate": 60})
    make_execution(job, scheduled_at=second(0))
    assert look(59) == []
    assert look(61) == [("job.late", "report")]
    make_execution(job, scheduled_at=second(10))
    assert look(90) == []

    first, later = job.executions.order_by("scheduled_at")
    for row, at in ((first, 100), (later, 110)):
        row.status, row.started_at, row.executed_at, row.completed_at = "SUCCESS", *[second(at)] * 3
        row.save()
    assert pick(111) == []
    end(job, "SUCCESS", 200)
    assert pick(201) == []
    make_execution(job, scheduled_at=second(300))
    assert look(400) == [("job.late", "report")]


def test_what_started_late_is_told_also_when_nobody_looked_before_it_ended() -> None:
    job = make_job(name="report", created_at=BORN)
    make_alert(conditions={"onLate": 60})
    end(job, "SUCCESS", 500, scheduled_at=second(0))

    assert pick(501) == [("job.late", "report")]
    assert Delivery.objects.get().details == {"lateSeconds": 499, "limitSeconds": 60}


def test_a_running_occurrence_that_started_late_is_told_while_it_runs() -> None:
    job = make_job(name="report", created_at=BORN)
    make_alert(conditions={"onLate": 60})
    _run(job, scheduled=0, started=100)

    assert look(101) == [("job.late", "report")]


def test_what_waits_because_of_a_pause_is_not_late() -> None:
    make_alert(conditions={"onLate": 1})
    paused = make_job(name="paused", state="paused", created_at=BORN)
    held = make_job(name="held", queue="slow", created_at=BORN)
    Queue.objects.create(name="slow", paused=True)
    for job in (paused, held):
        make_execution(job, scheduled_at=second(0))
    assert look(1000) == []

    Queue.objects.create(name="*", paused=True)
    other = make_job(name="other", created_at=BORN)
    make_execution(other, scheduled_at=second(0))
    assert look(1000) == []


# Long running -------------------------------------------------------------------------------------------


def _run(job: object, *, scheduled: float, started: float) -> object:
    claim = {"token": "0" * 32, "lease_expires_at": second(10**6), "attempt": 1}
    begun = {"started_at": second(started), "executed_at": second(started)}
    return make_execution(job, status="RUNNING", scheduled_at=second(scheduled), **claim, **begun)  # type: ignore[arg-type]


def test_a_run_that_takes_too_long_is_told_while_it_runs_and_only_then() -> None:
    job = make_job(name="report", created_at=BORN)
    make_alert(conditions={"onLongRunning": 60})
    _run(job, scheduled=0, started=0)
    assert look(60) == []
    assert look(62) == [("job.long_running", "report")]
    assert look(64) == []

    row = job.executions.get()
    row.status, row.completed_at, row.token, row.lease_expires_at = "SUCCESS", second(100), None, None
    row.execution_duration_ms = 100_000
    row.save()
    assert pick(101) == []


def test_a_long_run_that_ended_between_two_looks_is_told() -> None:
    job = make_job(name="report", created_at=BORN)
    make_alert(conditions={"onLongRunning": 60})
    end(job, "SUCCESS", 100, execution_duration_ms=61_000)

    assert pick(101) == [("job.long_running", "report")]
    end(job, "SUCCESS", 200, execution_duration_ms=61_000)
    assert pick(201) == []
    end(job, "SUCCESS", 300, execution_duration_ms=1000)
    end(job, "FAILED", 400, execution_duration_ms=61_000)
    assert set(pick(401)) == {("job.failed", "report"), ("job.long_running", "report")}


def test_an_episode_that_goes_on_for_days_is_not_read_from_its_beginning_each_time() -> None:
    job = make_job(name="report")
    make_alert()
    end(job, "FAILED", 1)
    pick(2)
    end(job, "FAILED", 3600)
    pick(3601)

    told = Delivery.objects.get()
    assert told.open_until == second(3600)
    assert told.happened_at == second(1)
    assert told.open_until - told.happened_at > timedelta(minutes=59)
