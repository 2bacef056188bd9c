"""POST /jobs/{id}/cancel."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest

from jobs.models import Job
from tests.db.api.jobs import Caller, answer, create, ledger, make_user, row, trail
from tests.factories import make_execution

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


@pytest.mark.parametrize("state", ["active", "paused", "inactive"])
def test_what_waits_is_cancelled_and_what_runs_finishes(ada: Caller, state: str) -> None:
    job = create(ada, type="one_time", scheduledAt="2030-01-01T00:00:00Z")
    make_execution(row(job))
    lease = {"token": uuid.uuid4(), "lease_expires_at": datetime(2099, 1, 1, tzinfo=UTC)}
    make_execution(row(job), status="RUNNING", **lease)
    Job.objects.update(state=state)
    body = answer(ada("post", f"/jobs/{job['id']}/cancel", {}))
    assert (body["state"], body["status"], body["isActive"]) == ("cancelled", "cancelled", False)
    assert ledger(job) == [("CANCELLED", "job_cancelled"), ("RUNNING", None)]
    assert trail(job)[-1] == ("CANCELLED", "ada@example.com")


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_what_ended_cannot_be_cancelled(ada: Caller, state: str) -> None:
    job = create(ada)
    Job.objects.update(state=state)
    response = ada("post", f"/jobs/{job['id']}/cancel", {})
    assert response.status_code == 409
    assert response.json()["message"] == f"Cannot cancel job in {state} status"
