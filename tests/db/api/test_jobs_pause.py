"""POST /jobs/{id}/pause."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.models import Job
from tests.db.api.jobs import Caller, answer, create, fields_of, ledger, make_user, row, trail
from tests.factories import make_execution

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


def test_a_paused_job_says_why_and_until_when(ada: Caller) -> None:
    job = create(ada)
    until = "2035-01-20T10:00:00.000Z"
    body = answer(ada("post", f"/jobs/{job['id']}/pause", {"reason": "moving house", "until": until}))
    assert (body["state"], body["status"], body["isActive"]) == ("paused", "PAUSED", False)
    assert (body["pausedReason"], body["pausedUntil"], body["nextRunAt"]) == ("moving house", until, None)
    assert trail(job)[-1] == ("PAUSED", "ada@example.com")


def test_a_body_is_not_needed(ada: Caller) -> None:
    job = create(ada, type="one_time", scheduledAt="2030-01-01T00:00:00Z")
    response = ada.client.post(
        f"/api/v1/jobs/{job['id']}/pause",
        content_type="application/json",
        headers={"authorization": f"Bearer {ada.token}"},
    )
    assert answer(response)["status"] == "paused"


def test_what_waits_waits_on(ada: Caller) -> None:
    job = create(ada)
    make_execution(row(job))
    answer(ada("post", f"/jobs/{job['id']}/pause", {}))
    assert ledger(job) == [("PENDING", None)]


@pytest.mark.parametrize("state", ["paused", "inactive", "cancelled", "completed", "failed"])
def test_only_an_active_job_can_be_paused(ada: Caller, state: str) -> None:
    job = create(ada)
    Job.objects.update(state=state)
    response = ada("post", f"/jobs/{job['id']}/pause", {})
    assert (response.status_code, response.json()["message"]) == (409, f"Cannot pause job in {state} status")
    assert len(trail(job)) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"until": "2020-01-01T00:00:00Z"}, "until"),
        ({"until": "later"}, "until"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": 5}, "reason"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_bad_body_is_400_and_the_job_stays_active(ada: Caller, body: dict[str, Any], field: str) -> None:
    job = create(ada)
    assert list(fields_of(ada("post", f"/jobs/{job['id']}/pause", body))) == [field]
    assert row(job).state == "active"


def test_operators_pause_the_jobs_of_others_and_viewers_do_not(ada: Caller) -> None:
    job = create(ada)
    assert Caller(make_user("bob@example.com"))("post", f"/jobs/{job['id']}/pause", {}).status_code == 404
    viewer = Caller(make_user("v@example.com", groups=("viewers",), is_staff=True))
    operator = Caller(make_user("o@example.com", groups=("operators",), is_staff=True))
    response = viewer("post", f"/jobs/{job['id']}/pause", {})
    assert (response.status_code, "jobs.operate_job" in response.json()["message"]) == (403, True)
    answer(operator("post", f"/jobs/{job['id']}/pause", {}))
    assert trail(job)[-1] == ("PAUSED", "o@example.com")
