"""DELETE /jobs/{id}."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest

from tests.db.api.jobs import NO_ID, Caller, answer, create, ledger, make_user, row, trail
from tests.factories import make_execution

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


def test_deleting_answers_the_job_with_its_last_status(ada: Caller) -> None:
    cron, once = create(ada), create(ada, type="one_time", scheduledAt="2030-01-01T00:00:00Z")
    body = answer(ada("delete", f"/jobs/{cron['id']}"))
    assert (body["id"], body["status"], body["isActive"]) == (cron["id"], "DELETED", False)
    assert answer(ada("delete", f"/jobs/{once['id']}"))["status"] == "deleted"
    assert trail(cron)[-1] == ("DELETED", "ada@example.com")


def test_what_waits_is_cancelled_what_runs_goes_on_and_history_stays(ada: Caller) -> None:
    job = create(ada)
    make_execution(row(job), status="SUCCESS", next_attempt_at=None)
    make_execution(row(job))
    lease = {"token": uuid.uuid4(), "lease_expires_at": datetime(2099, 1, 1, tzinfo=UTC)}
    make_execution(row(job), status="RUNNING", **lease)
    answer(ada("delete", f"/jobs/{job['id']}"))
    assert ledger(job) == [("SUCCESS", None), ("CANCELLED", "job_deleted"), ("RUNNING", None)]


def test_a_deleted_job_is_gone_for_every_verb(ada: Caller) -> None:
    job = create(ada)
    ada("delete", f"/jobs/{job['id']}")
    path = f"/jobs/{job['id']}"
    for method, rest in [
        ("delete", ""),
        ("patch", ""),
        ("post", "/pause"),
        ("post", "/resume"),
        ("post", "/cancel"),
        ("post", "/trigger"),
        ("post", "/clone"),
        ("get", "/preview"),
        ("get", "/audit"),
    ]:
        body: dict[str, str] | None = None if method in ("get", "delete") else {}
        assert ada(method, path + rest, body).status_code == 404, rest


def test_it_is_listed_only_among_the_deleted(ada: Caller) -> None:
    job = create(ada)
    ada("delete", f"/jobs/{job['id']}")
    assert answer(ada("get", "/jobs"))["total"] == 0
    assert answer(ada("get", "/jobs?status=deleted"))["jobs"][0]["id"] == job["id"]


def test_nobody_deletes_the_jobs_of_others_but_admins(ada: Caller) -> None:
    job = create(ada)
    assert Caller(make_user("bob@example.com"))("delete", f"/jobs/{job['id']}").status_code == 404
    for group in ("viewers", "operators"):
        staff = Caller(make_user(f"{group}@example.com", groups=(group,), is_staff=True))
        assert staff("delete", f"/jobs/{job['id']}").status_code == 403
    assert row(job).state == "active"
    admin = Caller(make_user("admin@example.com", groups=("admins",), is_staff=True))
    answer(admin("delete", f"/jobs/{job['id']}"))
    assert admin("delete", f"/jobs/{NO_ID}").status_code == 404
