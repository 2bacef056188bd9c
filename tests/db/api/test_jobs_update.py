"""PUT and PATCH /jobs/{id}."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from executions.engine import planner
from jobs import secrets
from jobs.models import AuditEntry, Calendar, Job, JobVersion
from tests.db.api.jobs import (
    DAILY,
    NO_ID,
    Caller,
    answer,
    create,
    fields_of,
    ledger,
    make_user,
    row,
    trail,
)
from tests.factories import NOON, at, handling, make_job
from web.moments import parse_moment

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


def snapshot() -> list[Any]:
    tables = (Job, JobVersion, AuditEntry)
    return [list(table.objects.order_by("id").values()) for table in tables]


@pytest.mark.parametrize("method", ["put", "patch"])
def test_both_methods_change_what_is_given_and_leave_the_rest(ada: Caller, method: str) -> None:
    idle = "the job has neither a handler nor an address: it does nothing and succeeds"
    job = create(ada, description="old", payload={"a": 1}, tags=["t"])
    body = answer(ada(method, f"/jobs/{job['id']}", {"description": "new", "priority": 9}))
    assert body.pop("warnings") == [idle]
    changed = {name for name in job if name != "warnings" and body[name] != job[name]}
    assert changed == {"description", "priority", "version", "updatedAt"}
    assert (body["description"], body["priority"], body["version"]) == ("new", 9, 2)
    assert trail(job)[1:] == [("UPDATED", "ada@example.com")]


def test_null_clears_what_may_be_null(ada: Caller) -> None:
    job = create(
        ada,
        api="https://example.com",
        description="d",
        timezone="Europe/Berlin",
        metadata={"a": 1},
        timeoutMs=500,
        retryPolicy={"maxRetries": 2},
        rateLimitPerMinute=5,
        startAt="2020-01-01T00:00:00Z",
        endAt="2040-01-01T00:00:00Z",
        handler="http",
    )
    nulls = [
        "api",
        "description",
        "timezone",
        "metadata",
        "timeoutMs",
        "retryPolicy",
        "rateLimitPerMinute",
        "startAt",
        "endAt",
        "handler",
        "calendar",
    ]
    body = answer(ada("patch", f"/jobs/{job['id']}", dict.fromkeys(nulls)))
    expected = dict.fromkeys(nulls) | {"handler": "default", "timeoutMs": 900_000}
    assert {name: body[name] for name in nulls} == expected
    assert body["maxRetries"] == 0


@pytest.mark.parametrize(
    "field", ["name", "schedule", "payload", "headers", "priority", "queue", "isActive", "status", "tags"]
)
def test_null_does_not_clear_what_must_be_there(ada: Caller, field: str) -> None:
    job = create(ada)
    assert list(fields_of(ada("patch", f"/jobs/{job['id']}", {field: None}))) == [field]


def test_the_time_of_a_one_time_job_cannot_be_cleared(ada: Caller) -> None:
    job = create(ada, type="one_time", scheduledAt="2030-01-01T00:00:00Z")
    assert list(fields_of(ada("patch", f"/jobs/{job['id']}", {"scheduledAt": None}))) == ["scheduledAt"]


def test_an_empty_change_changes_nothing(ada: Caller) -> None:
    job = create(ada)
    before = snapshot()
    body = answer(ada("patch", f"/jobs/{job['id']}", {}))
    assert body == job
    answer(
        ada("put", f"/jobs/{job['id']}", {"name": job["name"], "schedule": job["schedule"], "isActive": True})
    )
    assert snapshot() == before


def test_a_refused_change_changes_nothing_at_all(ada: Caller) -> None:
    job = create(ada)
    before = snapshot()
    body = {"description": "new", "schedule": "bad", "priority": 10, "nextRunAt": None, "x": 1}
    found = fields_of(ada("patch", f"/jobs/{job['id']}", body))
    assert set(found) == {"schedule", "priority", "nextRunAt", "x"}
    assert found["schedule"].startswith("Invalid cron expression format: ")
    assert snapshot() == before


@pytest.mark.parametrize(
    "field",
    [
        "id",
        "userId",
        "state",
        "origin",
        "version",
        "nextRunAt",
        "lastRunAt",
        "retryCount",
        "pausedReason",
        "createdAt",
        "isStaff",
        "lease",
    ],
)
def test_what_cannot_be_set_is_refused_and_stays(ada: Caller, field: str) -> None:
    job = create(ada)
    before = snapshot()
    assert list(fields_of(ada("patch", f"/jobs/{job['id']}", {field: "x"}))) == [field]
    assert snapshot() == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scheduleType": "recurring"}, "scheduleType"),
        ({"type": "one_time"}, "scheduleType"),
        ({"recurrencePattern": "daily"}, "recurrencePattern"),
        ({"scheduledAt": "2030-01-01T00:00:00Z"}, "scheduledAt"),
    ],
)
def test_the_family_never_changes(ada: Caller, change: dict[str, Any], field: str) -> None:
    job = create(ada)
    assert list(fields_of(ada("patch", f"/jobs/{job['id']}", change))) == [field]
    answer(ada("patch", f"/jobs/{job['id']}", {"scheduleType": "cron", "type": "ATMOST_ONCE"}))


@pytest.mark.parametrize(
    ("made", "change"),
    [
        ({"schedule": DAILY}, {"schedule": "0 10 * * *"}),
        ({"schedule": DAILY}, {"timezone": "Asia/Tokyo"}),
        ({"schedule": DAILY}, {"startAt": "2035-01-01T00:00:00Z"}),
        ({"schedule": DAILY}, {"calendar": "closed", "businessDayShift": "next"}),
        (
            {"type": "recurring", "recurrencePattern": "daily", "scheduledAt": "2030-01-05T00:00:00Z"},
            {"scheduledAt": "2030-01-06T00:00:00Z"},
        ),
        (
            {"type": "one_time", "scheduledAt": "2030-01-05T00:00:00Z"},
            {"scheduledAt": "2030-01-06T00:00:00Z"},
        ),
    ],
)
def test_whatever_moves_the_fire_times_plans_the_next_run_anew(
    ada: Caller, made: dict[str, Any], change: dict[str, Any]
) -> None:
    days = [{"date": f"2026-{month:02}-{day:02}"} for month in range(1, 13) for day in range(1, 29)]
    Calendar.objects.create(name="closed", definition={"dates": days})
    job = create(ada, **made)
    body = answer(ada("patch", f"/jobs/{job['id']}", change))
    assert body["nextRunAt"] not in (None, job["nextRunAt"])
    shown = answer(ada("get", f"/jobs/{job['id']}/preview?count=1"))["occurrences"][0]
    if "startAt" not in change:
        assert shown["scheduledAt"] == body["nextRunAt"]


def test_a_changed_schedule_cancels_what_waits(ada: Caller) -> None:
    with at(NOON) as moving:
        job = create(ada, schedule="* * * * * *")
        planner.plan_due(moving.advance(seconds=2))
        assert ledger(job) == [("PENDING", None)] * 2
        body = answer(ada("patch", f"/jobs/{job['id']}", {"schedule": DAILY}))
    assert ledger(job) == [("CANCELLED", "rescheduled")] * 2
    assert body["nextRunAt"] == "2026-03-03T09:00:00.000Z"


def test_another_name_does_not_move_the_next_run(ada: Caller) -> None:
    job = create(ada)
    assert answer(ada("patch", f"/jobs/{job['id']}", {"name": "other"}))["nextRunAt"] == job["nextRunAt"]


def test_a_handler_that_came_by_the_name_stays_under_another_name(ada: Caller) -> None:
    job = create(ada, name="process-transactions")
    assert job["handler"] == row(job).handler == "process-transactions"
    body = answer(ada("patch", f"/jobs/{job['id']}", {"name": "nightly work"}))
    assert body["handler"] == "process-transactions"
    assert body["warnings"] == []


def test_a_change_of_the_handler_is_warned_of(ada: Caller) -> None:
    job = create(ada, name="process-transactions")
    body = answer(ada("patch", f"/jobs/{job['id']}", {"name": "nightly work", "handler": None}))
    assert body["handler"] == "default"
    assert body["warnings"] == [
        "the job has neither a handler nor an address: it does nothing and succeeds",
        "the handler was process-transactions and is default now",
    ]


def test_stars_keep_a_secret_header_and_other_values_replace_it(ada: Caller) -> None:
    job = create(ada, api="https://example.com", headers={"Authorization": "one", "X-A": "a"})
    answer(ada("patch", f"/jobs/{job['id']}", {"headers": {"authorization": "***", "X-B": "b"}}))
    assert secrets.reveal(row(job).headers) == {"authorization": "one", "X-B": "b"}
    body = answer(ada("patch", f"/jobs/{job['id']}", {"headers": {"Authorization": "two"}}))
    assert body["headers"] == {"Authorization": "***"}
    assert secrets.reveal(row(job).headers) == {"Authorization": "two"}
    found = fields_of(ada("patch", f"/jobs/{job['id']}", {"headers": {"X-Token": "***"}}))
    assert list(found) == ["headers.X-Token"]


def test_sending_the_shown_headers_back_is_no_change(ada: Caller) -> None:
    job = create(ada, api="https://example.com", headers={"Authorization": "one", "X-A": "a"})
    body = answer(ada("patch", f"/jobs/{job['id']}", {"headers": job["headers"]}))
    assert body["version"] == 1
    assert (
        answer(ada("patch", f"/jobs/{job['id']}", {"headers": {"Authorization": "one", "X-A": "a"}}))[
            "version"
        ]
        == 1
    )


def test_max_retries_goes_into_the_given_policy_and_replaces_one_that_nobody_gave(ada: Caller) -> None:
    given = create(ada, retryPolicy={"maxRetries": 1, "backoffStrategy": "FIXED"})
    body = answer(ada("patch", f"/jobs/{given['id']}", {"maxRetries": 4}))
    assert body["retryPolicy"] == {"maxRetries": 4, "backoffStrategy": "FIXED"}
    plain = create(ada, maxRetries=1)
    body = answer(ada("patch", f"/jobs/{plain['id']}", {"maxRetries": 4}))
    assert (body["retryPolicy"], body["maxRetries"]) == (None, 4)
    body = answer(ada("patch", f"/jobs/{plain['id']}", {"retryPolicy": None}))
    assert body["maxRetries"] == 0


def test_at_most_once_does_not_fit_a_policy_with_retries(ada: Caller) -> None:
    job = create(ada, retryPolicy={"maxRetries": 2})
    found = fields_of(ada("patch", f"/jobs/{job['id']}", {"type": "ATMOST_ONCE"}))
    assert list(found) == ["retryPolicy.maxRetries"]
    body = answer(ada("patch", f"/jobs/{job['id']}", {"type": "ATMOST_ONCE", "maxRetries": 0}))
    assert (body["type"], body["maxRetries"]) == ("ATMOST_ONCE", 0)


def test_the_number_of_runs_at_once_follows_the_overlap_policy_until_it_is_chosen(ada: Caller) -> None:
    job = create(ada)

    def change(**fields: Any) -> int:
        return int(answer(ada("patch", f"/jobs/{job['id']}", fields))["maxConcurrentExecutions"])

    assert change(overlapPolicy="allow") == 100
    assert change(overlapPolicy="skip") == 1
    assert change(maxConcurrentExecutions=3) == 3
    assert change(overlapPolicy="allow") == 3


def test_tags_and_dependencies_are_replaced_whole(ada: Caller) -> None:
    first, second = create(ada, name="first"), create(ada, name="second")
    job = create(ada, tags=["a", "b"], dependsOn=[first["id"]])
    body = answer(ada("patch", f"/jobs/{job['id']}", {"tags": ["c", "b"], "dependsOn": [second["id"]]}))
    assert (body["tags"], body["dependsOn"]) == (["b", "c"], [second["id"]])
    body = answer(ada("patch", f"/jobs/{job['id']}", {"tags": [], "dependsOn": []}))
    assert (body["tags"], body["dependsOn"]) == ([], [])
    details = answer(ada("get", f"/jobs/{job['id']}/audit"))["audit"][1]["changeDetails"]
    assert details["tags"] == {"old": ["a", "b"], "new": ["b", "c"]}
    assert details["dependsOn"] == {"old": [first["id"]], "new": [second["id"]]}


def test_a_circle_is_refused(ada: Caller) -> None:
    first = create(ada)
    second = create(ada, dependsOn=[first["id"]])
    third = create(ada, dependsOn=[second["id"]])
    for bad in (third["id"], first["id"]):
        assert list(fields_of(ada("patch", f"/jobs/{first['id']}", {"dependsOn": [bad]}))) == ["dependsOn"]
    assert answer(ada("get", f"/jobs/{first['id']}"))["dependsOn"] == []


def test_a_deleted_dependency_may_be_sent_back(ada: Caller) -> None:
    first = create(ada)
    job = create(ada, dependsOn=[first["id"]])
    ada("delete", f"/jobs/{first['id']}")
    body = answer(ada("patch", f"/jobs/{job['id']}", {"dependsOn": [first["id"]], "description": "d"}))
    assert body["dependsOn"] == [first["id"]]


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ("ACTIVE", {"isActive": False}, "inactive"),
        ("ACTIVE", {"status": "paused"}, "paused"),
        ("ACTIVE", {"status": "INACTIVE"}, "inactive"),
        ("ACTIVE", {"status": "DELETED"}, "deleted"),
        ("PAUSED", {"status": "pending"}, "active"),
        ("PAUSED", {"isActive": True}, "active"),
        ("PAUSED", {"isActive": False}, "inactive"),
        ("INACTIVE", {"isActive": True}, "active"),
        ("INACTIVE", {"status": "PAUSED"}, "paused"),
        ("INACTIVE", {"isActive": False}, "inactive"),
    ],
)
def test_the_state_moves_by_the_verbs(ada: Caller, before: str, change: dict[str, Any], after: str) -> None:
    job = create(ada, status=before)
    body = answer(ada("put", f"/jobs/{job['id']}", {"description": "moved"} | change))
    assert (body["state"], body["status"], body["description"]) == (after, after.upper(), "moved")


@pytest.mark.parametrize(
    ("state", "change"),
    [
        ("completed", {"isActive": True}),
        ("failed", {"status": "ACTIVE"}),
        ("completed", {"status": "PAUSED"}),
        ("failed", {"status": "INACTIVE"}),
        ("cancelled", {"status": "PAUSED"}),
    ],
)
def test_a_move_that_does_not_exist_is_409_and_the_rest_is_not_saved(
    ada: Caller, state: str, change: dict[str, Any]
) -> None:
    job = create(ada, type="one_time", scheduledAt="2030-01-01T00:00:00Z")
    Job.objects.update(state=state)
    response = ada("patch", f"/jobs/{job['id']}", {"description": "new"} | change)
    assert (response.status_code, response.json()["error"]) == (409, "Conflict")
    assert (row(job).state, row(job).description, row(job).version) == (state, None, 1)


def test_what_ended_is_not_active_and_may_be_told_so(ada: Caller) -> None:
    job = create(ada, type="one_time", scheduledAt="2030-01-01T00:00:00Z")
    Job.objects.update(state="completed")
    assert answer(ada("patch", f"/jobs/{job['id']}", {"isActive": False}))["state"] == "completed"


def test_a_job_that_sql_broke_can_still_be_renamed_and_switched_off(ada: Caller) -> None:
    owner = row(create(ada)).user_id
    job = make_job(user_id=owner, cron_expression="nonsense", handler="gone", timezone="Mars")
    body = answer(ada("patch", f"/jobs/{job.uuid}", {"name": "renamed", "isActive": False}))
    assert (body["name"], body["state"]) == ("renamed", "inactive")
    assert "schedule" in fields_of(ada("patch", f"/jobs/{job.uuid}", {"schedule": "still bad"}))


def test_a_seeded_job_keeps_a_name_that_no_other_seeded_job_has(ada: Caller) -> None:
    owner = row(create(ada, name="taken")).user_id
    make_job(user_id=owner, name="first", origin="seed")
    second = make_job(user_id=owner, name="second", origin="sql")
    assert list(fields_of(ada("patch", f"/jobs/{second.uuid}", {"name": "first"}))) == ["name"]
    answer(ada("patch", f"/jobs/{second.uuid}", {"name": "taken"}))


def test_an_owner_cannot_reprogram_a_job_whose_handler_is_for_staff(ada: Caller) -> None:
    with handling(lambda run: None, staff_only=True):
        job = make_job(user_id=row(create(ada)).user_id, handler="scripted", payload={"run": "good"})
        changes: list[dict[str, Any]] = [{"payload": {"run": "evil"}}, {"description": "d"}, {"metadata": {}}]
        for change in changes:
            assert list(fields_of(ada("patch", f"/jobs/{job.uuid}", change))) == ["handler"]
        job.refresh_from_db()
        assert job.payload == {"run": "good"}
        answer(ada("patch", f"/jobs/{job.uuid}", {"isActive": False}))
        answer(ada("patch", f"/jobs/{job.uuid}", {"handler": "default", "payload": {}}))


def test_another_users_job_is_404_and_stays(ada: Caller) -> None:
    job = create(ada)
    bob = Caller(make_user("bob@example.com"))
    for method in ("put", "patch"):
        assert bob(method, f"/jobs/{job['id']}", {"name": "mine"}).status_code == 404
        assert ada(method, f"/jobs/{NO_ID}", {"name": "mine"}).status_code == 404
    assert row(job).name == job["name"]


@pytest.mark.parametrize(
    ("groups", "status"), [((), 403), (("viewers",), 403), (("operators",), 403), (("admins",), 200)]
)
def test_only_admins_change_the_jobs_of_others(ada: Caller, groups: tuple[str, ...], status: int) -> None:
    job = create(ada)
    staff = Caller(make_user("staff@example.com", groups=groups, is_staff=True))
    assert staff("patch", f"/jobs/{job['id']}", {"description": "x"}).status_code == status
    if status == 200:
        assert trail(job)[-1] == ("UPDATED", "staff@example.com")
        assert row(job).user_id == row(create(ada)).user_id


@override_settings(AUTH_MODE="optional")
def test_a_guest_signs_changes_with_the_name_it_gives() -> None:
    guest = Caller()
    job = create(guest)
    answer(guest("put", f"/jobs/{job['id']}", {"description": "x", "changedBy": "night shift"}))
    assert trail(job) == [("CREATED", "guest"), ("UPDATED", "night shift")]
    assert row(job).created_by == "guest"


def test_updated_at_moves_with_the_change(ada: Caller) -> None:
    job = create(ada)
    Job.objects.update(updated_at=parse_moment("2020-01-01T00:00:00Z"))
    body = answer(ada("patch", f"/jobs/{job['id']}", {"description": "x"}))
    assert body["updatedAt"] > "2026"
