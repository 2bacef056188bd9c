"""Case 7: a second user replays every route of the first and finds nothing, whichever way an id is given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings

from tests.db.accounts.people import Caller, fields_of, make_user
from tests.db.api.estate import IN_BODIES, LISTS, OWNED, SHARED, Estate, make_estate, make_shared, snapshot
from tests.db.executions.world import make_job
from tests.routes import find_routes

pytestmark = pytest.mark.django_db

READING = [name for name in OWNED if name.startswith("GET ")]
ICS = (
    "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20261225\nSUMMARY:Off\n"
    "END:VEVENT\nEND:VCALENDAR\n"
)
OPERATING = ("pause", "resume", "cancel", "reschedule", "trigger", "backfill", "retry", "resolve")
ONLY_OWNERS = {"DELETE /auth/tokens/{token}"}


@pytest.fixture
def ada(tmp_path: Path, settings: Any) -> Estate:
    settings.EXPORT_DIRECTORY = tmp_path / "exports"
    make_shared()
    return make_estate(settings.EXPORT_DIRECTORY)


@pytest.fixture
def bob(ada: Estate) -> Caller:
    return Caller(make_user("bob@example.com"))


@contextmanager
def undone() -> Iterator[None]:
    """What is done inside is taken back."""
    point = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(point)


def replay(caller: Caller, route: str, estate: Estate) -> Any:
    method, _, path = route.partition(" ")
    return caller(method.lower(), estate.fill(path), estate.body(OWNED[route]))


def test_no_route_is_forgotten_here() -> None:
    """A new route fails until somebody says whose things it tells of."""
    forms: dict[str, str] = {}
    for route in find_routes():
        if route.path.startswith("/api/v1"):
            forms[_shape(f"{route.method.upper()} {route.bare}")] = str(route)
    listed = {
        *OWNED,
        *SHARED,
        *(f"GET {path}" for path in LISTS),
        *(name.split(" by ")[0] for name in IN_BODIES),
    }

    assert {_shape(name) for name in listed} == forms.keys()


def _shape(name: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in name.split("/"))


@pytest.mark.parametrize("route", OWNED)
def test_another_user_gets_404_and_changes_nothing(ada: Estate, bob: Caller, route: str) -> None:
    before = snapshot()

    response = replay(bob, route, ada)

    assert response.status_code == 404, response.content
    assert "canary" not in response.content.decode()
    assert response.json()["error"].endswith("not found")
    assert snapshot() == before
    # And it looks like a thing that never was.
    method, _, path = route.partition(" ")
    nowhere = Estate(ada.user, dict.fromkeys(ada.ids, "6f9619ff-8b86-d011-b42d-00c04fc964ff"))
    missing = bob(method.lower(), nowhere.fill(path), nowhere.body(OWNED[route])).json()
    told = ("error", "message", "details", "statusCode")
    assert [response.json()[name] for name in told] == [missing[name] for name in told]


def test_the_owner_is_served_where_another_is_not(ada: Estate) -> None:
    for route in OWNED:
        with undone():
            response = replay(Caller(ada.user), route, ada)
        # 409: the state of this job or execution does not allow it; a right to ask it was there.
        assert response.status_code in (200, 201, 204, 409), (route, response.content)


@pytest.mark.parametrize("name", IN_BODIES)
def test_an_id_of_another_in_a_body_is_400_on_its_field(ada: Estate, bob: Caller, name: str) -> None:
    from accounts.models import User

    own = make_job(user=User.objects.get(email="bob@example.com"))
    ids = Estate(ada.user, ada.ids | {"own": str(own.uuid)})
    method, _, path = name.split(" by ")[0].partition(" ")
    body, field = IN_BODIES[name]
    before = snapshot()

    response = bob(method.lower(), ids.fill(path), ids.body(body))

    assert list(fields_of(response)) == [field]
    assert "canary" not in response.content.decode()
    assert snapshot() == before


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("query", ["", "?envelope=false", "?limit=100", "?limit=100&page=1&envelope=true"])
def test_no_list_tells_of_anothers_things(ada: Estate, bob: Caller, path: str, query: str) -> None:
    assert len(items_of(Caller(ada.user)("get", f"{path}{query}"))) > 0

    response = bob("get", f"{path}{query}")

    assert items_of(response) == []
    assert response.headers.get("X-Total-Count", "0") == "0"
    assert response.json() == [] or response.json()["total"] == 0


@pytest.mark.parametrize(
    "path",
    [
        "/jobs?search=canary",
        "/jobs?tag=ada-tag",
        "/jobs?status=active",
        "/jobs?status=DELETED",
        "/executions?jobId={job}",
        "/executions?status=FAILED",
        "/dlq?jobId={job}",
        "/dlq?resolved=true",
        "/reports?jobId={job}",
        "/executions?page=10000",
    ],
)
def test_no_filter_tells_of_anothers_things(ada: Estate, bob: Caller, path: str) -> None:
    response = bob("get", ada.fill(path))

    assert items_of(response) == []
    assert response.json()["total"] == 0


@pytest.mark.parametrize("path", ["/dlq/retry", "/dlq/resolve"])
@pytest.mark.parametrize("body", [{}, {"jobId": "{job}"}, {"resolved": False}])
def test_bulk_verbs_reach_only_ones_own(ada: Estate, bob: Caller, path: str, body: dict[str, Any]) -> None:
    before = snapshot()["executions.DeadLetter"]

    response = bob("post", path, ada.body(body))

    assert response.status_code in (200, 202, 400), response.content
    assert response.status_code == 400 or response.json()["count"] == 0
    assert snapshot()["executions.DeadLetter"] == before


def test_figures_of_the_whole_system_name_nobodys_things(ada: Estate, bob: Caller) -> None:
    for path in ("/metrics", "/health", "/scheduler/status", "/handlers", "/queues", "/calendars"):
        assert "canary" not in bob("get", path).content.decode()


def test_without_a_token_it_is_401_or_for_guests_404(ada: Estate) -> None:
    before = snapshot()
    for route in OWNED:
        assert replay(Caller(), route, ada).status_code == 401, route
        with override_settings(AUTH_MODE="optional"):
            # A guest has no keys; that route needs a user in every mode.
            expected = 401 if "/auth/" in route else 404
            assert replay(Caller(), route, ada).status_code == expected, route
    assert snapshot() == before


# Groups ----------------------------------------------------------------------------------------------


def allowed(group: str, route: str) -> bool:
    """Section 3 of the contract: what a group of staff may do to things of others."""
    if group == "admins":
        return True
    verb = route.rpartition("/")[2]
    return group == "operators" and verb in OPERATING


@pytest.mark.parametrize("group", ["none", "viewers", "operators", "admins", "superuser"])
def test_staff_see_all_and_change_what_their_group_allows(ada: Estate, group: str) -> None:
    groups = () if group in ("none", "superuser") else (group,)
    options = {"is_superuser": True} if group == "superuser" else {}
    caller = Caller(make_user("staff@example.com", groups=groups, is_staff=True, **options))
    before = snapshot()
    wrong = {}

    for route in OWNED.keys() - ONLY_OWNERS:
        with undone():
            status = replay(caller, route, ada).status_code
            served = status in (200, 201, 204, 409)
            if route in READING or allowed("admins" if group == "superuser" else group, route):
                good = served
            else:
                good = status == 403 and snapshot() == before
        if not good:
            wrong[route] = status

    assert wrong == {}


@pytest.mark.parametrize("route", sorted(ONLY_OWNERS))
def test_some_things_are_the_owners_alone(ada: Estate, route: str) -> None:
    root = Caller(make_user("root@example.com", is_staff=True, is_superuser=True))

    assert replay(root, route, ada).status_code == 404


# What belongs to the installation: (who may read, who may change).
INSTALLATION: dict[str, tuple[Any, str]] = {
    "GET /calendars": (None, "users"),
    "GET /calendars/office": (None, "users"),
    "POST /calendars": ({"name": "holidays"}, "admins"),
    "PATCH /calendars/office": ({"description": "d"}, "admins"),
    "POST /calendars/office/import": ({"ics": ICS}, "admins"),
    "DELETE /calendars/office": (None, "admins"),
    "GET /queues": (None, "staff"),
    "PATCH /queues/default": ({"maxConcurrent": 2}, "admins"),
    "POST /queues/default/pause": ({}, "operators"),
    "POST /queues/default/resume": (None, "operators"),
    "GET /users": (None, "staff"),
    "PATCH /users/{user}": ({"name": "Countess"}, "admins"),
}
STANDING = ("user", "none", "viewers", "operators", "admins", "superuser")


def may(standing: str, least: str) -> bool:
    """Whether this standing is enough."""
    return {
        "users": True,
        "staff": standing != "user",
        "operators": standing in ("operators", "admins", "superuser"),
        "admins": standing in ("admins", "superuser"),
    }[least]


@pytest.mark.parametrize("standing", STANDING)
def test_what_belongs_to_the_installation_is_changed_by_its_staff(ada: Estate, standing: str) -> None:
    fields: dict[str, Any] = {
        "groups": (standing,) if standing in ("viewers", "operators", "admins") else (),
        "is_staff": standing != "user",
        "is_superuser": standing == "superuser",
    }
    caller = Caller(make_user("staff@example.com", **fields))
    before = snapshot()
    wrong = {}

    for route, (body, least) in INSTALLATION.items():
        method, _, path = route.partition(" ")
        with undone():
            response = caller(method.lower(), ada.fill(path), body)
            if may(standing, least):
                good = response.status_code in (200, 201, 204, 409)
            else:
                good = response.status_code == 403 and snapshot() == before
        if not good:
            wrong[route] = response.content

    assert wrong == {}


# Mass assignment (case 28) -----------------------------------------------------------------------------

FORGED_JOB = {
    "id": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
    "jobId": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
    "uuid": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
    "userId": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
    "user_id": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
    "user": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
    "state": "active",
    "origin": "sql",
    "version": 9,
    "nextRunAt": "2030-01-01T00:00:00Z",
    "nextRun": "2030-01-01T00:00:00Z",
    "next_run_at": "2030-01-01T00:00:00Z",
    "lastRunAt": "2030-01-01T00:00:00Z",
    "retryCount": 3,
    "attempt": 3,
    "token": "x",
    "leaseExpiresAt": "2030-01-01T00:00:00Z",
    "createdAt": "2030-01-01T00:00:00Z",
    "updatedAt": "2030-01-01T00:00:00Z",
    "errorMessage": "x",
    "result": {},
    "pausedReason": "x",
    "pausedUntil": "2030-01-01T00:00:00Z",
    "isStaff": True,
    "schedule_error": "x",
    "cron_expression": "* * * * *",
    "__class__": "x",
}


@pytest.mark.parametrize(
    "route", ["POST /jobs", "PUT /jobs/{job}", "PATCH /jobs/{job}", "POST /jobs/{job}/clone"]
)
def test_what_is_not_the_callers_to_say_is_400(ada: Estate, route: str) -> None:
    method, _, path = route.partition(" ")
    caller, before = Caller(ada.user), snapshot()
    plain = {"name": "n"} | ({"schedule": "0 9 * * *"} if path == "/jobs" else {})

    for field, value in FORGED_JOB.items():
        response = caller(method.lower(), ada.fill(path), plain | {field: value})
        assert list(fields_of(response)) == [field]

    assert snapshot() == before


@pytest.mark.parametrize("field", ["isStaff", "isSuperuser", "groups", "isActive", "id", "email", "userId"])
@pytest.mark.parametrize("route", ["PATCH /auth/me", "POST /auth/register", "POST /auth/tokens"])
def test_nobody_raises_himself(ada: Estate, settings: Any, route: str, field: str) -> None:
    settings.REGISTRATION_OPEN = True
    if route == "POST /auth/register" and field == "email":
        return
    method, _, path = route.partition(" ")
    good = {"email": "new@example.com", "password": "long enough"} if "register" in path else {}
    before = snapshot()

    response = Caller(ada.user)(method.lower(), path, good | {"name": "n", field: True})

    assert list(fields_of(response)) == [field]
    assert snapshot() == before


def items_of(response: Any) -> list[Any]:
    assert response.status_code == 200, response.content
    body = json.loads(response.content)
    if isinstance(body, list):
        return body
    return next(value for value in body.values() if isinstance(value, list))
