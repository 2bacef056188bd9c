"""GET /jobs: pages, filters and order."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.models import Job
from tests.db.api.jobs import Caller, answer, create, fields_of, make_user
from tests.factories import make_execution, make_job

pytestmark = pytest.mark.django_db

DAY = datetime(2026, 1, 20, tzinfo=UTC)


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


@pytest.fixture
def owner(ada: Caller) -> Any:
    from accounts.models import User

    return User.objects.get(email="ada@example.com")


def names(response: Any) -> list[str]:
    return [job["name"] for job in answer(response)["jobs"]]


def test_the_newest_come_first_in_an_envelope_of_ten(ada: Caller, owner: Any) -> None:
    for number in range(12):
        make_job(user=owner, name=f"n{number:02}", created_at=DAY + timedelta(minutes=number))
    body = answer(ada("get", "/jobs"))
    assert [job["name"] for job in body["jobs"]] == [f"n{number:02}" for number in range(11, 1, -1)]
    assert body["pagination"] == {"page": 1, "limit": 10, "total": 12, "totalPages": 2}
    assert (body["total"], body["page"], body["limit"]) == (12, 1, 10)
    assert names(ada("get", "/jobs?page=2")) == ["n01", "n00"]
    assert names(ada("get", "/jobs?page=3")) == []


def test_the_bare_array_tells_its_total_in_a_header(ada: Caller) -> None:
    create(ada)
    create(ada)
    response = ada("get", "/jobs?envelope=false&limit=1")
    assert len(response.json()) == 1
    assert response["X-Total-Count"] == "2"


def test_each_status_word_finds_its_jobs(ada: Caller, owner: Any) -> None:
    anchor = {"scheduled_at": DAY, "user": owner}
    make_job(name="cron", user=owner)
    make_job(name="cron paused", user=owner, state="paused")
    make_job(name="pending", schedule_type="one_time", **anchor)
    running = make_job(name="running", schedule_type="recurring", recurrence_pattern="daily", **anchor)
    make_execution(
        running, status="RUNNING", token=uuid.uuid4(), lease_expires_at=datetime(2099, 1, 1, tzinfo=UTC)
    )
    make_job(name="completed", schedule_type="one_time", state="completed", **anchor)
    make_job(name="failed", schedule_type="one_time", state="failed", **anchor)
    make_job(name="inactive", user=owner, state="inactive")
    make_job(name="cancelled", schedule_type="one_time", state="cancelled", **anchor)
    make_job(name="deleted", user=owner, state="deleted")
    found = {
        word: sorted(names(ada("get", f"/jobs?status={word}&limit=100")))
        for word in (
            "ACTIVE",
            "paused",
            "pending",
            "running",
            "completed",
            "FAILED",
            "inactive",
            "Cancelled",
            "DELETED",
        )
    }
    assert found == {
        "ACTIVE": ["cron", "pending", "running"],
        "paused": ["cron paused"],
        "pending": ["pending"],
        "running": ["running"],
        "completed": ["completed"],
        "FAILED": ["failed"],
        "inactive": ["inactive"],
        "Cancelled": ["cancelled"],
        "DELETED": ["deleted"],
    }
    assert "deleted" not in names(ada("get", "/jobs?limit=100"))
    assert answer(ada("get", "/jobs"))["total"] == 8


def test_type_finds_either_family(ada: Caller, owner: Any) -> None:
    make_job(name="a", user=owner)
    make_job(name="b", user=owner, execution_type="ATMOST_ONCE")
    make_job(name="c", user=owner, schedule_type="one_time", scheduled_at=DAY)
    make_job(name="d", user=owner, schedule_type="recurring", recurrence_pattern="daily", scheduled_at=DAY)
    found = {
        word: sorted(names(ada("get", f"/jobs?type={word}")))
        for word in ("ATLEAST_ONCE", "atmost_once", "one_time", "recurring", "cron")
    }
    assert found == {
        "ATLEAST_ONCE": ["a"],
        "atmost_once": ["b"],
        "one_time": ["c"],
        "recurring": ["d"],
        "cron": ["a", "b"],
    }


def test_tag_and_search_find_by_name_and_description(ada: Caller) -> None:
    create(ada, name="Nightly Backup", tags=["ops"])
    create(ada, name="report", description="of the BACKUP", tags=["ops", "mail"])
    create(ada, name="100% sure_thing")
    assert sorted(names(ada("get", "/jobs?search=backup"))) == ["Nightly Backup", "report"]
    assert names(ada("get", "/jobs?tag=mail")) == ["report"]
    assert sorted(names(ada("get", "/jobs?tag=ops"))) == ["Nightly Backup", "report"]
    assert names(ada("get", "/jobs?tag=op")) == []
    assert names(ada("get", "/jobs?search=100%25")) == ["100% sure_thing"]
    assert names(ada("get", "/jobs?search=e_t")) == ["100% sure_thing"]


def test_dates_are_inclusive_and_a_day_is_whole(ada: Caller, owner: Any) -> None:
    for name, moment in {
        "before": DAY - timedelta(milliseconds=1),
        "first": DAY,
        "last": DAY + timedelta(days=1) - timedelta(milliseconds=1),
        "after": DAY + timedelta(days=1),
    }.items():
        make_job(name=name, user=owner, created_at=moment)
    assert sorted(names(ada("get", "/jobs?fromDate=2026-01-20&toDate=2026-01-20"))) == ["first", "last"]
    assert names(ada("get", "/jobs?toDate=2026-01-19T23:59:59.999Z")) == ["before"]
    assert names(ada("get", "/jobs?fromDate=2026-01-21T01:00:00%2B01:00")) == ["after"]


def test_every_order_is_the_same_on_every_database(ada: Caller, owner: Any) -> None:
    make_job(name="b", user=owner, priority=1, next_run_at=DAY, created_at=DAY)
    make_job(name="a", user=owner, priority=9, next_run_at=None, created_at=DAY + timedelta(1))
    make_job(name="c", user=owner, priority=9, next_run_at=DAY + timedelta(1), created_at=DAY + timedelta(2))
    Job.objects.filter(name="b").update(updated_at=DAY + timedelta(9))
    Job.objects.exclude(name="b").update(updated_at=DAY)

    def order(query: str) -> str:
        return "".join(names(ada("get", f"/jobs?{query}")))

    assert order("") == order("sortBy=createdAt&order=desc") == "cab"
    assert order("order=asc") == "bac"
    assert order("sortBy=name&order=ASC") == "abc"
    assert order("sortBy=nextRunAt&order=asc") == "bca"
    assert order("sortBy=nextRunAt") == "cba"
    # One that is off shows none, whatever its row keeps for the resume.
    Job.objects.filter(name="b").update(state="paused")
    assert order("sortBy=nextRunAt&order=asc") == "cba"
    Job.objects.filter(name="b").update(state="active", updated_at=DAY + timedelta(9))
    assert order("sortBy=priority") == "cab"
    assert order("sortBy=updatedAt&order=asc") == "acb"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=sleeping", "status"),
        ("type=sometimes", "type"),
        ("sortBy=payload", "sortBy"),
        ("order=up", "order"),
        ("fromDate=soon", "fromDate"),
        ("toDate=2026-02-30", "toDate"),
        ("page=0", "page"),
        ("limit=101", "limit"),
        ("limit=1000000000", "limit"),
        ("envelope=maybe", "envelope"),
        ("search=" + "x" * 256, "search"),
        ("search=%00", "search"),
    ],
)
def test_a_bad_query_value_is_400_and_unknown_parameters_are_ignored(
    ada: Caller, query: str, field: str
) -> None:
    assert field in fields_of(ada("get", f"/jobs?{query}"))
    answer(ada("get", "/jobs?unknown=x"))


def test_users_see_their_own_jobs_and_staff_see_all(ada: Caller) -> None:
    bob = Caller(make_user("bob@example.com"))
    viewer = Caller(make_user("view@example.com", is_staff=True))
    create(ada, name="of ada", tags=["shared"])
    create(bob, name="of bob", tags=["shared"])
    assert names(ada("get", "/jobs")) == ["of ada"]
    assert names(bob("get", "/jobs?tag=shared&search=of")) == ["of bob"]
    assert sorted(names(viewer("get", "/jobs"))) == ["of ada", "of bob"]
    assert Caller()("get", "/jobs").status_code == 401


def test_the_number_of_queries_does_not_grow_with_the_rows(ada: Caller) -> None:
    first = create(ada, tags=["a"])

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            answer(ada("get", "/jobs?limit=100&status=active"))
        return len(queries)

    few = count()
    for number in range(15):
        create(ada, tags=["a", f"t{number}"], dependsOn=[first["id"]])
    create(ada, type="one_time", scheduledAt="2030-01-01T00:00:00Z")
    assert count() == few == 3  # the caller, the total, and the jobs with all that hangs on them
