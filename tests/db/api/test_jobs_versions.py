"""GET /jobs/{id}/versions, POST /jobs/{id}/rollback, GET /jobs/{id}/audit."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs import secrets
from jobs.models import Calendar
from tests.db.api.jobs import DAILY, Caller, answer, create, fields_of, make_user, row, trail
from tests.factories import handling

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


def test_every_change_is_a_version_with_what_it_changed(ada: Caller) -> None:
    job = create(ada, api="https://example.com/?token=canary", headers={"X-Key": "canary"})
    ada("patch", f"/jobs/{job['id']}", {"schedule": "0 10 * * *", "priority": 1})
    ada("patch", f"/jobs/{job['id']}", {"headers": {"X-Key": "canary2"}, "payload": {"password": "canary3"}})
    response = ada("get", f"/jobs/{job['id']}/versions")
    body = answer(response)
    versions = body["versions"]
    assert [version["version"] for version in versions] == [3, 2, 1]
    assert set(versions[0]) == {"version", "validFrom", "validTo", "changedBy", "changes"}
    assert versions[0]["validTo"] is None
    assert versions[1]["validTo"] == versions[0]["validFrom"]
    assert versions[1]["changes"] == {
        "schedule": {"old": DAILY, "new": "0 10 * * *"},
        "priority": {"old": 5, "new": 1},
    }
    assert versions[2]["changes"] == {}
    assert body["pagination"]["total"] == 3
    assert b"canary" not in response.content
    assert b"sealed:" not in response.content


def test_pages_of_versions_know_what_came_before_them(ada: Caller) -> None:
    job = create(ada)
    for number in range(3):
        ada("patch", f"/jobs/{job['id']}", {"priority": number})
    page = answer(ada("get", f"/jobs/{job['id']}/versions?limit=1&page=2"))["versions"]
    assert page[0]["changes"] == {"priority": {"old": 0, "new": 1}}


def test_a_rollback_is_a_new_version_with_the_old_definition(ada: Caller) -> None:
    job = create(ada, headers={"X-Key": "one"}, payload={"a": 1})
    ada("patch", f"/jobs/{job['id']}", {"schedule": "0 10 * * *", "headers": {}, "payload": {}, "name": "x"})
    body = answer(ada("post", f"/jobs/{job['id']}/rollback", {"version": 1}))
    assert (body["version"], body["schedule"], body["name"], body["payload"]) == (
        3,
        DAILY,
        "nightly",
        {"a": 1},
    )
    assert body["nextRunAt"] == job["nextRunAt"]
    assert secrets.reveal(row(job).headers) == {"X-Key": "one"}
    assert trail(job)[-1] == ("UPDATED", "ada@example.com")


@pytest.mark.parametrize(
    "body", [{}, {"version": 0}, {"version": 9}, {"version": "1"}, {"version": 10**12}, {"version": None}]
)
def test_a_version_that_is_not_there_is_400(ada: Caller, body: dict[str, Any]) -> None:
    job = create(ada)
    assert list(fields_of(ada("post", f"/jobs/{job['id']}/rollback", body))) == ["version"]


def test_a_version_that_no_longer_makes_sense_is_refused_with_the_reason(ada: Caller) -> None:
    Calendar.objects.create(name="bank", definition={})
    job = create(ada, calendar="bank")
    ada("patch", f"/jobs/{job['id']}", {"calendar": None})
    Calendar.objects.all().delete()
    found = fields_of(ada("post", f"/jobs/{job['id']}/rollback", {"version": 1}))
    assert "calendar" in found["version"]
    assert row(job).version == 2


def test_an_owner_does_not_roll_back_into_a_staff_only_handler(ada: Caller) -> None:
    with handling(lambda run: None, staff_only=True):
        root = Caller(make_user("root@example.com", is_staff=True, is_superuser=True))
        job = create(ada)
        answer(root("patch", f"/jobs/{job['id']}", {"handler": "scripted"}))
        answer(root("patch", f"/jobs/{job['id']}", {"handler": None}))
        assert list(fields_of(ada("post", f"/jobs/{job['id']}/rollback", {"version": 2}))) == ["version"]
        answer(root("post", f"/jobs/{job['id']}/rollback", {"version": 2}))


def test_the_audit_tells_who_did_what_under_which_request(ada: Caller) -> None:
    job = create(ada)
    ada("patch", f"/jobs/{job['id']}", {"schedule": "0 10 * * *"}, **{"X-Request-ID": "req-17"})
    body = answer(ada("get", f"/jobs/{job['id']}/audit"))
    newest, oldest = body["audit"]
    assert set(newest) == {
        "id",
        "jobId",
        "action",
        "changedBy",
        "changeDetails",
        "requestId",
        "timestamp",
    }
    assert (newest["action"], newest["changedBy"], newest["requestId"]) == (
        "UPDATED",
        "ada@example.com",
        "req-17",
    )
    assert newest["changeDetails"] == {"schedule": {"old": DAILY, "new": "0 10 * * *"}}
    assert newest["jobId"] == job["id"]
    assert oldest["action"] == "CREATED"
    assert oldest["changeDetails"]["new"]["schedule"] == DAILY


def test_the_history_of_another_user_is_404(ada: Caller) -> None:
    job = create(ada)
    bob = Caller(make_user("bob@example.com"))
    for path in ("versions", "audit"):
        assert bob("get", f"/jobs/{job['id']}/{path}").status_code == 404
    assert bob("post", f"/jobs/{job['id']}/rollback", {"version": 1}).status_code == 404


@pytest.mark.parametrize("path", ["versions", "audit"])
def test_the_number_of_queries_does_not_grow_with_the_history(ada: Caller, path: str) -> None:
    job = create(ada)

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            answer(ada("get", f"/jobs/{job['id']}/{path}?limit=100"))
        return len(queries)

    few = count()
    for number in range(6):
        ada("patch", f"/jobs/{job['id']}", {"priority": number})
    assert count() == few
