"""POST /jobs/{id}/resume."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobs.models import Job
from tests.db.api.jobs import Caller, answer, create, fields_of, ledger, make_user, row, trail
from tests.factories import NOON, at

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


@pytest.mark.parametrize("state", ["paused", "inactive", "cancelled"])
def test_a_job_that_is_off_becomes_active_with_a_next_run(ada: Caller, state: str) -> None:
    job = create(ada)
    Job.objects.update(state=state, paused_reason="why", paused_until=NOON)
    body = answer(ada("post", f"/jobs/{job['id']}/resume", {}))
    assert (body["state"], body["pausedReason"], body["pausedUntil"]) == ("active", None, None)
    assert body["nextRunAt"] == job["nextRunAt"]
    assert trail(job)[-1] == ("RESUMED", "ada@example.com")


@pytest.mark.parametrize("state", ["active", "completed", "failed"])
def test_others_are_409(ada: Caller, state: str) -> None:
    job = create(ada)
    Job.objects.update(state=state)
    response = ada("post", f"/jobs/{job['id']}/resume", {})
    assert (response.status_code, response.json()["message"]) == (409, f"Cannot resume job in {state} status")


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        (None, [("SKIPPED", "paused")]),
        ("none", [("SKIPPED", "paused")]),
        ("LATEST", [("SKIPPED", "paused"), ("PENDING", None)]),
        ("all", [("PENDING", None)] * 3),
    ],
)
def test_the_time_off_is_answered_for_as_asked(
    ada: Caller, catch_up: str | None, expected: list[tuple[str, str | None]]
) -> None:
    with at(NOON) as clock:
        job = create(ada, schedule="0 * * * *")
        answer(ada("post", f"/jobs/{job['id']}/pause", {}))
        clock.now = NOON + timedelta(hours=3, minutes=1)
        body = {} if catch_up is None else {"catchUp": catch_up}
        told = answer(ada("post", f"/jobs/{job['id']}/resume", body))
    assert ledger(job) == expected
    assert told["nextRunAt"] == "2026-03-02T16:00:00.000Z"


def test_a_one_time_job_whose_time_passed_runs_at_once(ada: Caller) -> None:
    with at(NOON) as clock:
        job = create(ada, type="one_time", scheduledAt="2026-03-02T12:30:00Z", status="PAUSED")
        clock.advance(hours=1)
        body = answer(ada("post", f"/jobs/{job['id']}/resume", {}))
    assert (body["status"], body["nextRunAt"]) == ("pending", "2026-03-02T12:30:00.000Z")


def test_a_bad_body_is_400(ada: Caller) -> None:
    job = create(ada, status="PAUSED")
    assert list(fields_of(ada("post", f"/jobs/{job['id']}/resume", {"catchUp": "some"}))) == ["catchUp"]
    assert row(job).state == "paused"
