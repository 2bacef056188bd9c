"""POST /jobs/{id}/reschedule."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from jobs.models import Job
from tests.db.api.jobs import DAILY, Caller, answer, create, fields_of, ledger, make_user, row, trail
from tests.factories import NOON, at, make_execution

pytestmark = pytest.mark.django_db

NEW = "2026-03-05T08:00:00.000Z"


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


@pytest.mark.parametrize("state", ["active", "cancelled", "completed", "failed"])
def test_a_one_time_job_gets_a_new_time_and_becomes_active(ada: Caller, state: str) -> None:
    with at(NOON):
        job = create(ada, type="one_time", scheduledAt="2026-03-04T08:00:00Z")
        Job.objects.update(state=state)
        body = answer(ada("post", f"/jobs/{job['id']}/reschedule", {"scheduledAt": NEW}))
    assert (body["status"], body["scheduledAt"], body["nextRunAt"]) == ("pending", NEW, NEW)
    assert trail(job)[-1] == ("RESCHEDULED", "ada@example.com")


def test_a_time_that_has_an_execution_moves_to_the_next_free_millisecond(ada: Caller) -> None:
    with at(NOON):
        job = create(ada, type="one_time", scheduledAt="2026-03-04T08:00:00Z")
        taken = datetime.fromisoformat(NEW)
        for number in range(2):
            moment = taken + timedelta(milliseconds=number)
            make_execution(row(job), scheduled_at=moment, status="SUCCESS", next_attempt_at=None)
        body = answer(ada("post", f"/jobs/{job['id']}/reschedule", {"scheduledAt": NEW}))
    assert body["nextRunAt"] == "2026-03-05T08:00:00.002Z"


def test_a_recurring_job_gets_a_new_anchor(ada: Caller) -> None:
    with at(NOON):
        job = create(ada, recurrencePattern="weekly", scheduledAt="2026-03-04T08:00:00Z")
        body = answer(ada("post", f"/jobs/{job['id']}/reschedule", {"scheduledAt": "2026-02-26T09:00:00Z"}))
    assert body["scheduledAt"] == "2026-02-26T09:00:00.000Z"
    assert body["nextRunAt"] == "2026-03-05T09:00:00.000Z"


def test_a_cron_job_moves_its_next_run_only_and_answers_for_what_it_replaces(ada: Caller) -> None:
    with at(NOON):
        job = create(ada, schedule=DAILY)
        body = answer(ada("post", f"/jobs/{job['id']}/reschedule", {"scheduledAt": NEW}))
    assert (body["nextRunAt"], body["scheduledAt"], body["schedule"]) == (NEW, None, DAILY)
    assert ledger(job) == [("SKIPPED", "rescheduled")]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, {"scheduledAt": "Required"}),
        ({"scheduledAt": None}, {"scheduledAt": "Must not be null"}),
        ({"scheduledAt": "9999-01-01T00:00:00Z"}, {"scheduledAt": "Must be within the years 1970 to 9998"}),
        ({"scheduledAt": NEW, "schedule": DAILY}, {"schedule": "Unknown field (did you mean scheduledAt?)"}),
    ],
)
def test_a_bad_body_is_400(ada: Caller, body: dict[str, Any], found: dict[str, str]) -> None:
    job = create(ada)
    assert fields_of(ada("post", f"/jobs/{job['id']}/reschedule", body)) == found
