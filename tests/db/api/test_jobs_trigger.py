"""POST /jobs/{id}/trigger."""

from __future__ import annotations

from typing import Any

import pytest

from executions.models import Execution
from jobs.models import Job
from tests.db.api.jobs import Caller, answer, create, fields_of, make_user, row, trail
from tests.factories import handling, make_job, run_due

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


def test_a_run_is_planned_now_besides_the_schedule(ada: Caller) -> None:
    job = create(ada)
    body = answer(ada("post", f"/jobs/{job['id']}/trigger", {}))
    assert set(body) == {"executionId", "id", "jobId", "status", "scheduledAt"}
    assert (body["id"], body["jobId"], body["status"]) == (body["executionId"], job["id"], "PENDING")
    execution = Execution.objects.get(id=body["id"])
    assert (execution.trigger, execution.triggered_by, execution.payload) == (
        "manual",
        "ada@example.com",
        None,
    )
    assert answer(ada("get", f"/jobs/{job['id']}"))["nextRunAt"] == job["nextRunAt"]
    assert trail(job)[-1] == ("TRIGGERED", "ada@example.com")


def test_the_status_has_the_case_of_the_family(ada: Caller) -> None:
    job = create(ada, type="one_time", scheduledAt="2030-01-01T00:00:00Z")
    assert answer(ada("post", f"/jobs/{job['id']}/trigger", {}))["status"] == "pending"


@pytest.mark.django_db(transaction=True)
def test_the_payload_stands_in_once(ada: Caller) -> None:
    with handling(lambda run: None) as calls:
        job = create(ada, handler="scripted", payload={"a": 1})
        ada("post", f"/jobs/{job['id']}/trigger", {"payload": {"b": 2}})
        ada("post", f"/jobs/{job['id']}/trigger", {"payload": {}})
        ada("post", f"/jobs/{job['id']}/trigger", {"payload": None})
        run_due()
    assert [call.params for call in calls] == [{"b": 2}, {}, {"a": 1}]
    assert row(job).payload == {"a": 1}


@pytest.mark.parametrize("state", ["paused", "inactive", "cancelled", "completed", "failed"])
def test_a_job_that_is_not_active_is_409(ada: Caller, state: str) -> None:
    job = create(ada)
    Job.objects.update(state=state)
    response = ada("post", f"/jobs/{job['id']}/trigger", {})
    assert (response.status_code, response.json()["message"]) == (409, "Cannot trigger inactive job")
    assert not Execution.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"payload": []}, "payload"),
        ({"payload": {"a": "x" * 65536}}, "payload"),
        ({"payload": {"skipLimit": "x"}}, "payload.skipLimit"),
        ({"payload": {"unknown": 1}}, "payload.unknown"),
        ({"scheduledAt": "2030-01-01T00:00:00Z"}, "scheduledAt"),
    ],
)
def test_a_bad_body_is_400_and_nothing_is_planned(ada: Caller, body: dict[str, Any], field: str) -> None:
    job = create(ada, name="process-transactions")
    assert list(fields_of(ada("post", f"/jobs/{job['id']}/trigger", body))) == [field]
    assert not Execution.objects.exists()


def test_the_payload_of_a_staff_only_handler_is_for_staff_too(ada: Caller) -> None:
    root = Caller(make_user("root@example.com", is_staff=True, is_superuser=True))
    with handling(lambda run: None, staff_only=True):
        job = make_job(user_id=row(create(ada)).user_id, handler="scripted")
        path = f"/jobs/{job.uuid}/trigger"
        assert list(fields_of(ada("post", path, {"payload": {"run": "evil"}}))) == ["handler"]
        answer(ada("post", path, {}))
        answer(root("post", path, {"payload": {"run": "good"}}))
    assert Execution.objects.count() == 2


def test_a_handler_whose_program_is_the_payload_takes_no_other(ada: Caller) -> None:
    with handling(lambda run: None, dangerous=True):
        job = make_job(user_id=row(create(ada)).user_id, handler="scripted")
        path = f"/jobs/{job.uuid}/trigger"
        told = fields_of(ada("post", path, {"payload": {"run": "evil"}}))
        assert told == {"payload": "Handler scripted takes no payload but the job's own"}
    assert not Execution.objects.exists()


def test_the_same_key_plans_one_run(ada: Caller) -> None:
    job = create(ada)
    path = f"/jobs/{job['id']}/trigger"
    first = answer(ada("post", path, {}, **{"Idempotency-Key": "k"}))
    assert answer(ada("post", path, {}, **{"Idempotency-Key": "k"})) == first
    assert ada("post", path, {"payload": {}}, **{"Idempotency-Key": "k"}).status_code == 409
    assert Execution.objects.count() == 1
