"""GET, POST /jobs/{id}/dependencies; DELETE /jobs/{id}/dependencies/{dependsOnJobId}."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.models import Dependency
from tests.db.api.jobs import NO_ID, Caller, answer, create, fields_of, make_user, trail

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


def bind(caller: Caller, job: dict[str, Any], other: dict[str, Any], **fields: Any) -> Any:
    return caller("post", f"/jobs/{job['id']}/dependencies", {"dependsOnJobId": other["id"]} | fields)


def test_a_job_waits_for_another_with_an_outcome_and_a_span(ada: Caller) -> None:
    first, job = create(ada, name="first"), create(ada)
    body = answer(bind(ada, job, first, outcome="any", withinSeconds=3600), 201)
    assert (body["jobId"], body["dependsOnJobId"], body["dependsOnJobName"]) == (
        job["id"],
        first["id"],
        "first",
    )
    assert (body["outcome"], body["withinSeconds"]) == ("ANY", 3600)
    listed = answer(ada("get", f"/jobs/{job['id']}/dependencies"))
    assert (listed["dependencies"], listed["total"]) == ([body], 1)
    assert answer(ada("get", f"/jobs/{job['id']}"))["dependsOn"] == [first["id"]]
    assert trail(job)[-1] == ("UPDATED", "ada@example.com")


def test_success_is_what_is_waited_for_unless_said_otherwise(ada: Caller) -> None:
    body = answer(bind(ada, create(ada), create(ada)), 201)
    assert (body["outcome"], body["withinSeconds"]) == ("SUCCESS", None)


def test_it_can_be_taken_back_once(ada: Caller) -> None:
    first, job = create(ada), create(ada)
    answer(bind(ada, job, first), 201)
    path = f"/jobs/{job['id']}/dependencies/{first['id']}"
    assert ada("delete", path).status_code == 204
    response = ada("delete", path)
    assert (response.status_code, response.json()["error"]) == (404, "Dependency not found")
    assert len(trail(job)) == 3
    assert fields_of(ada("delete", f"/jobs/{job['id']}/dependencies/x")) == {
        "dependsOnJobId": "Must be a UUID"
    }


def test_a_deleted_job_can_still_be_let_go(ada: Caller) -> None:
    first, job = create(ada), create(ada)
    answer(bind(ada, job, first), 201)
    ada("delete", f"/jobs/{first['id']}")
    assert ada("delete", f"/jobs/{job['id']}/dependencies/{first['id']}").status_code == 204


def test_itself_a_circle_and_a_second_time_are_refused(ada: Caller) -> None:
    first, second, third = create(ada), create(ada), create(ada)
    answer(bind(ada, second, first), 201)
    answer(bind(ada, third, second), 201)
    for job, other in ((first, first), (first, second), (first, third)):
        assert list(fields_of(bind(ada, job, other))) == ["dependsOnJobId"]
    assert bind(ada, second, first, outcome="FAILED").status_code == 409
    assert Dependency.objects.count() == 2


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"dependsOnJobId": None}, "dependsOnJobId"),
        ({"dependsOnJobId": "x"}, "dependsOnJobId"),
        ({"dependsOnJobId": NO_ID}, "dependsOnJobId"),
        ({"outcome": "SKIPPED"}, "outcome"),
        ({"withinSeconds": 0}, "withinSeconds"),
        ({"jobId": NO_ID}, "jobId"),
    ],
)
def test_a_bad_body_is_400(ada: Caller, fields: dict[str, Any], field: str) -> None:
    assert list(fields_of(bind(ada, create(ada), create(ada), **fields))) == [field]
    assert not Dependency.objects.exists()


def test_a_job_of_another_owner_is_as_unknown_as_one_that_does_not_exist(ada: Caller) -> None:
    bob = Caller(make_user("bob@example.com"))
    mine, theirs = create(ada), create(bob)
    message = fields_of(bind(ada, mine, theirs))["dependsOnJobId"].replace(theirs["id"], "")
    assert message == fields_of(bind(ada, mine, {"id": NO_ID}))["dependsOnJobId"].replace(NO_ID, "")
    assert bind(bob, mine, theirs).status_code == 404
    assert bob("get", f"/jobs/{mine['id']}/dependencies").status_code == 404
    root = Caller(make_user("root@example.com", is_staff=True, is_superuser=True))
    assert list(fields_of(bind(root, mine, theirs))) == ["dependsOnJobId"]
    assert list(fields_of(bind(root, mine, create(root)))) == ["dependsOnJobId"]
    answer(bind(root, mine, create(ada)), 201)
