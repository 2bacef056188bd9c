"""POST /jobs/{id}/clone."""

from __future__ import annotations

from typing import Any

import pytest

from jobs import secrets
from jobs.models import Job
from tests.db.api.jobs import Caller, answer, create, fields_of, make_user, row, trail
from tests.factories import handling, make_job

pytestmark = pytest.mark.django_db

OWN = {
    "id",
    "jobId",
    "name",
    "status",
    "state",
    "isActive",
    "nextRunAt",
    "nextRun",
    "nextScheduledRun",
    "createdAt",
    "updatedAt",
}


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


def test_a_copy_has_everything_but_is_inactive_and_named_so(ada: Caller) -> None:
    first = create(ada)
    job = create(
        ada,
        api="https://example.com",
        headers={"Authorization": "canary"},
        retryPolicy={"maxRetries": 2},
        tags=["a"],
        dependsOn=[first["id"]],
        payload={"x": 1},
        priority=9,
    )
    response = ada("post", f"/jobs/{job['id']}/clone", {})
    body = answer(response, 201)
    assert response["Location"] == f"/api/v1/jobs/{body['id']}"
    assert (body["name"], body["status"]) == ("nightly (copy)", "INACTIVE")
    assert {name: body[name] for name in job.keys() - OWN} == {name: job[name] for name in job.keys() - OWN}
    assert secrets.reveal(row(body).headers) == {"Authorization": "canary"}
    assert trail(body) == [("CREATED", "ada@example.com")]


def test_the_body_has_the_last_word(ada: Caller) -> None:
    job = create(ada, headers={"X-Token": "canary", "X-A": "a"}, tags=["a"])
    changes = {
        "name": "other",
        "schedule": "0 5 * * *",
        "isActive": True,
        "tags": ["b"],
        "headers": {"X-Token": "***"},
    }
    body = answer(ada("post", f"/jobs/{job['id']}/clone", changes), 201)
    assert (body["name"], body["schedule"], body["status"], body["tags"]) == (
        "other",
        "0 5 * * *",
        "ACTIVE",
        ["b"],
    )
    assert secrets.reveal(row(body).headers) == {"X-Token": "canary"}
    assert row(job).cron_expression == job["schedule"]


def test_a_copy_does_the_same_work_though_its_name_differs(ada: Caller) -> None:
    job = create(ada, name="process-transactions")
    body = answer(ada("post", f"/jobs/{job['id']}/clone", {}), 201)
    assert body["handler"] == job["handler"] == "process-transactions"


def test_a_long_name_is_cut_to_fit(ada: Caller) -> None:
    body = answer(ada("post", f"/jobs/{create(ada, name='x' * 255)['id']}/clone", {}), 201)
    assert (len(body["name"]), body["name"][-8:]) == (255, "x (copy)")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "one_time"}, "scheduleType"),
        ({"schedule": "bad"}, "schedule"),
        ({"surprise": 1}, "surprise"),
        ({"version": 3}, "version"),
    ],
)
def test_a_bad_change_is_400_and_makes_nothing(ada: Caller, changes: dict[str, Any], field: str) -> None:
    job = create(ada)
    assert list(fields_of(ada("post", f"/jobs/{job['id']}/clone", changes))) == [field]
    assert Job.objects.count() == 1


def test_a_staff_only_handler_is_not_copied_by_its_owner(ada: Caller) -> None:
    with handling(lambda run: None, staff_only=True):
        job = make_job(user_id=row(create(ada)).user_id, handler="scripted")
        assert list(fields_of(ada("post", f"/jobs/{job.uuid}/clone", {"payload": {"x": 1}}))) == ["handler"]


def test_admins_copy_the_jobs_of_others_into_their_own_and_viewers_do_not(ada: Caller) -> None:
    first = create(ada)
    job = create(ada, headers={"X-Token": "canary"}, dependsOn=[first["id"]], tags=["a"])
    viewer = Caller(make_user("v@example.com", groups=("viewers",), is_staff=True))
    user = make_user("admin@example.com", groups=("admins",), is_staff=True)
    assert viewer("post", f"/jobs/{job['id']}/clone", {}).status_code == 403
    assert Caller(make_user("bob@example.com"))("post", f"/jobs/{job['id']}/clone", {}).status_code == 404
    body = answer(Caller(user)("post", f"/jobs/{job['id']}/clone", {}), 201)
    assert (body["userId"], body["tags"], body["dependsOn"]) == (str(user.pk), ["a"], [])
