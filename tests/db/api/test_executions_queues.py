"""Queues for staff, and the handlers that jobs may name."""

from __future__ import annotations

from typing import Any

import pytest

from executions.models import Status
from jobs.models import AuditEntry, Queue
from tests.db.accounts.people import Caller, fields_of, make_user
from tests.db.executions.world import make_execution, make_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> Caller:
    return Caller(make_user("o@example.com", is_staff=True, groups=("operators",)))


def test_all_queues_are_shown_with_their_load(operator: Caller) -> None:
    Queue.objects.create(name="slow", max_concurrent=3)
    make_job(queue="named-by-a-job")
    make_execution(queue="slow")
    make_execution(queue="default", status=Status.RUNNING)
    make_execution(queue="default", status=Status.RETRYING)
    make_execution(queue="default", status=Status.SUCCESS)
    body = operator("get", "/queues").json()
    shown = {
        queue["name"]: (queue["waiting"], queue["running"], queue["maxConcurrent"])
        for queue in body["queues"]
    }
    assert shown == {
        "*": (2, 1, None),
        "default": (1, 1, None),
        "named-by-a-job": (0, 0, None),
        "slow": (1, 0, 3),
    }
    assert body["total"] == 4
    page = operator("get", "/queues?limit=2&page=2").json()
    assert [queue["name"] for queue in page["queues"]] == ["named-by-a-job", "slow"]
    assert operator("get", "/queues?envelope=false")["X-Total-Count"] == "4"


def test_the_switch_for_an_incident(operator: Caller) -> None:
    body = operator("post", "/queues/*/pause", {"reason": "incident", "until": "2999-01-01T00:00:00Z"}).json()
    assert body["paused"] is True
    assert (body["pausedReason"], body["pausedUntil"]) == ("incident", "2999-01-01T00:00:00.000Z")
    assert operator("post", "/queues/*/pause", {}).status_code == 409
    assert operator("post", "/queues/*/resume").json()["paused"] is False
    assert operator("post", "/queues/*/resume").status_code == 409
    assert [entry.action for entry in AuditEntry.objects.order_by("id")] == ["PAUSED", "RESUMED"]


def test_limits_are_for_admins(operator: Caller) -> None:
    assert operator("patch", "/queues/mail", {"maxConcurrent": 2}).status_code == 403
    admin = Caller(make_user("a@example.com", is_staff=True, groups=("admins",)))
    body = admin("patch", "/queues/mail", {"maxConcurrent": 2, "rateLimitPerMinute": 60}).json()
    assert (body["maxConcurrent"], body["rateLimitPerMinute"]) == (2, 60)
    body = admin("patch", "/queues/mail", {"maxConcurrent": None}).json()
    assert (body["maxConcurrent"], body["rateLimitPerMinute"]) == (None, 60)
    assert set(fields_of(admin("patch", "/queues/mail", {"maxConcurrent": -1, "waiting": 1}))) == {
        "maxConcurrent",
        "waiting",
    }


def test_only_staff_see_queues(settings: Any) -> None:
    assert Caller(make_user())("get", "/queues").status_code == 403
    assert Caller()("get", "/queues").status_code == 401
    settings.AUTH_MODE = "optional"
    assert Caller()("get", "/queues").status_code == 401


def test_viewers_see_and_do_nothing() -> None:
    viewer = Caller(make_user("v@example.com", is_staff=True, groups=("viewers",)))
    assert viewer("get", "/queues").status_code == 200
    assert viewer("post", "/queues/default/pause", {}).status_code == 403
    assert not Queue.objects.filter(paused=True).exists()


@pytest.mark.parametrize("name", ["a b", "x" * 51, "%2A%2A", "ä", "a.b"])
def test_what_cannot_be_a_queue_is_none(operator: Caller, name: str) -> None:
    response = operator("post", f"/queues/{name}/pause", {})
    assert (response.status_code, response.json()["error"]) == (404, "Queue not found")


def test_a_pause_that_ended_already_is_refused(operator: Caller) -> None:
    problems = fields_of(operator("post", "/queues/default/pause", {"until": "2020-01-01T00:00:00Z"}))
    assert set(problems) == {"until"}


def test_handlers_are_listed_with_what_they_take(settings: Any) -> None:
    shown = {one["name"]: one for one in Caller(make_user())("get", "/handlers").json()["handlers"]}
    assert {"default", "http", "ping", "process-transactions", "generate-daily-reports"} <= set(shown)
    assert set(shown["default"]) == {"name", "description", "staffOnly", "params"}
    assert "command" not in shown
    settings.ENABLED_HANDLERS = ["command"]
    shown = {one["name"]: one for one in Caller(make_user("b@x.de"))("get", "/handlers").json()["handlers"]}
    assert shown["command"]["staffOnly"] is True
