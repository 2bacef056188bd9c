"""Every route under a job or a tag, replayed by somebody else."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from jobs.api import urls
from jobs.models import AuditEntry, Calendar, Dependency, Job, JobTag, JobVersion, Tag
from tests.db.api.jobs import DAILY, Caller, create, make_user, row

pytestmark = pytest.mark.django_db

# What each route is sent; a new route fails here until somebody thinks of what it may be asked.
BODIES: dict[str, Any] = {
    "put jobs/<id:id>": {"name": "mine"},
    "patch jobs/<id:id>": {"name": "mine"},
    "get jobs/<id:id>": None,
    "delete jobs/<id:id>": None,
    "post jobs/<id:id>/pause": {},
    "post jobs/<id:id>/resume": {},
    "post jobs/<id:id>/cancel": {},
    "post jobs/<id:id>/reschedule": {"scheduledAt": "2030-01-01T00:00:00Z"},
    "post jobs/<id:id>/trigger": {},
    "post jobs/<id:id>/backfill": {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"},
    "post jobs/<id:id>/clone": {},
    "get jobs/<id:id>/preview": None,
    "get jobs/<id:id>/versions": None,
    "post jobs/<id:id>/rollback": {"version": 1},
    "get jobs/<id:id>/audit": None,
    "get jobs/<id:id>/tags": None,
    "put jobs/<id:id>/tags": {"tags": ["mine"]},
    "get jobs/<id:id>/dependencies": None,
    "post jobs/<id:id>/dependencies": {"dependsOnJobId": "{other}"},
    "delete jobs/<id:id>/dependencies/<id:depends_on_job_id>": None,
    "patch tags/<id:id>": {"name": "mine"},
    "delete tags/<id:id>": None,
}
SHARED = {
    "get jobs",
    "post jobs",
    "get tags",
    "post tags",
    "post schedules/preview",
    "get calendars",
    "post calendars",
    "get calendars/<str:name>",
    "patch calendars/<str:name>",
    "delete calendars/<str:name>",
    "post calendars/<str:name>/import",
}
READING = [name for name in BODIES if name.startswith("get ")]


def routes() -> set[str]:
    found = set()
    for pattern in urls.urlpatterns:
        actions = pattern.callback.actions  # type: ignore[attr-defined]
        found |= {f"{method} {pattern.pattern}" for method in actions if method != "head"}
    return found


def test_every_route_is_listed_here() -> None:
    assert routes() == BODIES.keys() | SHARED


def snapshot() -> list[Any]:
    tables = (Job, JobVersion, AuditEntry, Tag, JobTag, Dependency, Calendar)
    return [list(table.objects.order_by("pk").values()) for table in tables]


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


@pytest.fixture
def job(ada: Caller) -> dict[str, Any]:
    first = create(ada, name="first")
    return create(ada, tags=["a"], dependsOn=[first["id"]])


def replay(caller: Caller, route: str, job: dict[str, Any]) -> Any:
    method, _, path = route.partition(" ")
    key = job["id"] if path.startswith("jobs") else str(Tag.objects.get(name="a").pk)
    path = path.replace("<id:id>", key).replace("<id:depends_on_job_id>", job["dependsOn"][0])
    body = BODIES[route]
    if body and "dependsOnJobId" in body:
        body = {"dependsOnJobId": job["dependsOn"][0]}
    return caller(method, f"/{path}", body)


@pytest.mark.parametrize("route", BODIES)
def test_another_user_finds_nothing_and_changes_nothing(job: dict[str, Any], route: str) -> None:
    bob = Caller(make_user("bob@example.com"))
    before = snapshot()
    assert replay(bob, route, job).status_code == 404
    assert snapshot() == before


@pytest.mark.parametrize("route", BODIES)
def test_without_a_token_it_is_401_or_for_guests_404(job: dict[str, Any], route: str) -> None:
    before = snapshot()
    assert replay(Caller(), route, job).status_code == 401
    with override_settings(AUTH_MODE="optional"):
        assert replay(Caller(), route, job).status_code == 404
    assert snapshot() == before


@pytest.mark.parametrize("route", BODIES)
def test_staff_without_rights_read_and_change_nothing(job: dict[str, Any], route: str) -> None:
    viewer = Caller(make_user("v@example.com", groups=("viewers",), is_staff=True))
    before = snapshot()
    assert replay(viewer, route, job).status_code == (200 if route in READING else 403)
    assert snapshot() == before


@override_settings(AUTH_MODE="optional")
def test_guests_change_the_jobs_of_nobody_and_users_do_not() -> None:
    job = create(Caller(), name="of nobody")
    bob = Caller(make_user("bob@example.com"))
    assert bob("patch", f"/jobs/{job['id']}", {"name": "mine"}).status_code == 404
    assert Caller()("patch", f"/jobs/{job['id']}", {"name": "ours"}).status_code == 200
    assert row(job).name == "ours"


def test_a_forged_owner_is_refused_on_its_field(ada: Caller) -> None:
    bob = make_user("bob@example.com")
    response = ada("post", "/jobs", {"name": "n", "schedule": DAILY, "userId": str(bob.pk)})
    assert response.status_code == 400
    assert not Job.objects.exists()
