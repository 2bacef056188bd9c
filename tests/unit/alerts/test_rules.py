"""What is worth an alert, as tables: no clock, no database."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts import rules
from alerts.rules import Conditions, Happening, Occurrence, Watched, read_conditions, show_conditions

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
JOB = Watched(id=1, uuid=uuid.UUID(int=1), state="active", created_at=NOON - timedelta(days=1))
ENDED = Occurrence(
    id=uuid.UUID(int=2),
    job_id=1,
    status="FAILED",
    scheduled_at=NOON,
    started_at=NOON,
    executed_at=NOON,
    completed_at=NOON + timedelta(seconds=5),
    duration=timedelta(seconds=5),
)
SILENT: dict[str, Any] = {"onFailure": False}


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def judge(
    conditions: dict[str, Any], occurrence: Occurrence, failures: int = 0, job: Watched = JOB
) -> list[str]:
    """The events of an ending before which so many stood in a row that failed."""
    found = rules.judge_ending(
        read_conditions(conditions), job, occurrence, failures_before=lambda limit: min(failures, limit)
    )
    return [happening.event for happening in found]


# Conditions -----------------------------------------------------------------------------------------


def test_conditions_that_name_nothing_speak_of_failures() -> None:
    assert read_conditions({}) == Conditions(on_failure=True, consecutive_failures=1)


@pytest.mark.parametrize("stored", [None, [], "x", 7])
def test_conditions_that_are_no_object_count_as_empty(stored: object) -> None:
    assert read_conditions(stored) == Conditions()


@pytest.mark.parametrize(
    "stored",
    [
        {"onFailure": "yes"},
        {"consecutiveFailures": 0},
        {"consecutiveFailures": True},
        {"consecutiveFailures": 10**9},
        {"onLate": -1},
        {"onLate": "60"},
        {"onLongRunning": 1.5},
        {"onMissed": 1},
    ],
)
def test_a_condition_that_sql_wrote_wrongly_counts_as_not_given(stored: dict[str, Any]) -> None:
    assert read_conditions(stored) == Conditions()


def test_conditions_survive_being_shown_and_read_again() -> None:
    given = {
        "onFailure": False,
        "onSuccess": True,
        "consecutiveFailures": 3,
        "onRecovery": True,
        "onLate": 60,
        "onMissed": True,
        "onLongRunning": 120,
        "onDeadLetter": True,
    }

    assert show_conditions(read_conditions(given)) == given


# Endings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "status", "failures_before", "events"),
    [
        ({}, "FAILED", 0, [rules.FAILED]),
        ({}, "FAILED", 7, [rules.FAILED]),
        ({}, "SUCCESS", 7, []),
        (SILENT, "FAILED", 0, []),
        ({"consecutiveFailures": 3}, "FAILED", 0, []),
        ({"consecutiveFailures": 3}, "FAILED", 1, []),
        ({"consecutiveFailures": 3}, "FAILED", 2, [rules.FAILED]),
        ({"consecutiveFailures": 3}, "FAILED", 9, [rules.FAILED]),
        ({"onSuccess": True}, "SUCCESS", 0, [rules.SUCCEEDED]),
        ({"onSuccess": True, **SILENT}, "FAILED", 0, []),
        ({"onRecovery": True}, "SUCCESS", 0, []),
        ({"onRecovery": True}, "SUCCESS", 1, [rules.RECOVERED]),
        ({"onRecovery": True, "consecutiveFailures": 3}, "SUCCESS", 2, []),
        ({"onRecovery": True, "consecutiveFailures": 3}, "SUCCESS", 3, [rules.RECOVERED]),
        ({"onRecovery": True, "onSuccess": True}, "SUCCESS", 1, [rules.SUCCEEDED, rules.RECOVERED]),
        ({"onDeadLetter": True, **SILENT}, "FAILED", 0, [rules.DEAD_LETTER]),
        ({"onDeadLetter": True, "consecutiveFailures": 3}, "FAILED", 0, [rules.DEAD_LETTER]),
        ({"onDeadLetter": True}, "FAILED", 0, [rules.FAILED, rules.DEAD_LETTER]),
        ({"onDeadLetter": True}, "SUCCESS", 3, []),
    ],
)
def test_the_end_of_an_execution_is_told_as_the_conditions_say(
    conditions: dict[str, Any], status: str, failures_before: int, events: list[str]
) -> None:
    assert judge(conditions, replace(ENDED, status=status), failures_before) == events


@pytest.mark.parametrize("state", ["paused", "inactive", "deleted"])
@pytest.mark.parametrize("status", ["FAILED", "SUCCESS", "SKIPPED"])
def test_nothing_is_told_of_a_job_that_is_off(state: str, status: str) -> None:
    everything = {"onSuccess": True, "onMissed": True, "onDeadLetter": True, "onLate": 1, "onLongRunning": 1}
    occurrence = replace(ENDED, status=status, reason="misfire", started_at=NOON + seconds(60))

    assert judge(everything, occurrence, job=replace(JOB, state=state)) == []


@pytest.mark.parametrize("state", ["active", "completed", "failed", "cancelled"])
def test_a_job_that_ended_with_its_run_is_still_told_of(state: str) -> None:
    assert judge({}, ENDED, job=replace(JOB, state=state)) == [rules.FAILED]


@pytest.mark.parametrize(
    ("reason", "events"),
    [
        ("misfire", [rules.MISSED]),
        ("backlog", [rules.MISSED]),
        ("dependency", [rules.MISSED]),
        ("overlap", []),
        ("calendar", []),
        ("paused", []),
        ("rescheduled", []),
        (None, []),
    ],
)
def test_a_skipped_run_is_missed_unless_somebody_decided_it(reason: str | None, events: list[str]) -> None:
    skipped = replace(ENDED, status="SKIPPED", reason=reason, started_at=None, executed_at=None)

    assert judge({"onMissed": True}, skipped) == events
    assert judge({}, skipped) == []


# Late -----------------------------------------------------------------------------------------------


def start(*, limit: float = 60, now: datetime, job: Watched = JOB, **fields: Any) -> Happening | None:
    waiting = replace(ENDED, status="PENDING", started_at=None, executed_at=None, completed_at=None)
    conditions = read_conditions({"onLate": limit})
    return rules.judge_start(conditions, job, replace(waiting, **fields), now=now)


@pytest.mark.parametrize(("waited", "late"), [(0, False), (60, False), (60.5, True), (3600, True)])
def test_an_occurrence_that_waits_longer_than_allowed_is_late(waited: float, late: bool) -> None:
    assert (start(now=NOON + seconds(waited)) is not None) is late


@pytest.mark.parametrize(("after", "late"), [(0, False), (60, False), (61, True)])
def test_an_occurrence_that_started_is_late_by_its_start_and_not_by_now(after: float, late: bool) -> None:
    found = start(now=NOON + seconds(9999), status="SUCCESS", started_at=NOON + seconds(after))

    assert (found is not None) is late


def test_the_jitter_that_a_job_allows_is_no_lateness() -> None:
    spread = replace(JOB, jitter=seconds(300))

    assert start(now=NOON + seconds(359), job=spread) is None
    assert start(now=NOON + seconds(361), job=spread) is not None


def test_a_past_time_given_to_a_new_job_does_not_make_it_late() -> None:
    new = replace(JOB, created_at=NOON + timedelta(days=1))

    assert start(now=NOON + timedelta(days=1, seconds=30), job=new) is None
    assert start(now=NOON + timedelta(days=1, seconds=90), job=new) is not None


@pytest.mark.parametrize(
    ("job", "fields"),
    [
        (replace(JOB, state="paused"), {}),
        (replace(JOB, queue_paused=True), {}),
        (replace(JOB, awaits_ping=True), {}),
        (JOB, {"trigger": "requeue"}),
        (JOB, {"trigger": "backfill"}),
        (JOB, {"trigger": "manual"}),
        (JOB, {"status": "CANCELLED"}),
    ],
    ids=["paused job", "paused queue", "ping", "requeue", "backfill", "manual", "cancelled"],
)
def test_what_waits_on_purpose_is_not_late(job: Watched, fields: dict[str, Any]) -> None:
    assert start(now=NOON + timedelta(days=1), job=job, **fields) is None


# Long running ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "spent", "now", "long"),
    [
        ("RUNNING", None, 60, False),
        ("RUNNING", None, 61, True),
        ("SUCCESS", 60, 9999, False),
        ("SUCCESS", 61, 9999, True),
        ("FAILED", 61, 9999, True),
        ("FAILED", None, 9999, False),
    ],
)
def test_a_run_is_long_by_its_own_time(status: str, spent: float | None, now: float, long: bool) -> None:
    duration = None if spent is None else seconds(spent)
    row = replace(ENDED, status=status, duration=duration)
    found = rules.judge_duration(read_conditions({"onLongRunning": 60}), JOB, row, now=NOON + seconds(now))

    assert (found is not None) is long


# Fire times that nobody planned ----------------------------------------------------------------------


@pytest.mark.parametrize(("passed", "missed"), [(0, False), (60, False), (61, True)])
def test_a_fire_time_that_nobody_planned_is_missed_after_a_minute(passed: float, missed: bool) -> None:
    found = rules.judge_unplanned(
        read_conditions({"onMissed": True}), JOB, fire_time=NOON, problem="", now=NOON + seconds(passed)
    )

    assert (found is not None) is missed


def test_a_schedule_that_cannot_be_read_is_told_once_per_reason() -> None:
    conditions = read_conditions({"onMissed": True})

    def ask(problem: str, now: datetime) -> Happening | None:
        return rules.judge_unplanned(conditions, JOB, fire_time=None, problem=problem, now=now)

    first, again, other = ask("bad", NOON), ask("bad", NOON + seconds(9)), ask("worse", NOON)
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.execution_id == again.execution_id != other.execution_id
    assert ask("", NOON) is None


def test_a_fire_time_has_the_same_id_on_every_host() -> None:
    assert rules.name_fire_time(JOB.uuid, NOON) == uuid.UUID("6bc9dba2-0611-57de-b948-09a7ea28d85d")
    assert rules.name_fire_time(JOB.uuid, NOON) != rules.name_fire_time(JOB.uuid, NOON + seconds(1))
    assert rules.name_fire_time(JOB.uuid, NOON) != rules.name_fire_time(uuid.UUID(int=9), NOON)


# Once per episode ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "good", "expected"),
    [
        ([], [], False),
        ([-10], [], True),
        ([-10], [-5], False),
        ([-10], [-20], True),
        ([-30, -10], [-20], True),
        ([-30], [-20], False),
        ([0], [], True),
        ([10], [], True),
        ([10], [5], False),
        ([-10, 10], [-5], True),
        ([-10, 10], [-5, 5], False),
    ],
)
def test_an_episode_is_told_once_whatever_came_to_light_first(
    told: list[int], good: list[int], expected: bool
) -> None:
    """Seconds around the failure in question: when something was told, when something good happened."""
    answers = rules.is_told(
        NOON,
        [NOON + seconds(one) for one in told],
        closed_between=lambda low, high: any(low < NOON + seconds(one) < high for one in good),
    )

    assert answers is expected


# Tries -----------------------------------------------------------------------------------------------


def test_there_are_three_tries_with_growing_waits() -> None:
    first, second, third = (rules.next_try(number) for number in (1, 2, 3))

    assert first is not None
    assert second is not None
    assert timedelta(0) < first < second
    assert third is None


@pytest.mark.parametrize(
    ("wanted", "wait"),
    [(None, 5), (seconds(1), 5), (seconds(90), 90), (timedelta(days=1), 300)],
)
def test_a_receiver_that_asks_for_more_time_gets_up_to_five_minutes(
    wanted: timedelta | None, wait: float
) -> None:
    assert rules.next_try(1, wanted=wanted) == seconds(wait)
