"""Why did it not run? Over the API and on the command line."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from executions import operations
from executions.engine import clock, planner
from executions.models import Execution
from jobs.audit import COMMAND_LINE, Actor
from tests.db.accounts.people import Caller, fields_of, make_user
from tests.db.executions.world import NOW, make_execution, make_job

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def ada() -> Any:
    return make_user("ada@example.com")


@pytest.fixture
def job(ada: Any) -> Any:
    """An hourly job: two hours planned, then paused at 14:30; it is 16:30."""
    job = make_job(user=ada, name="nightly")
    with clock.moved(lambda: NOW + 2 * HOUR):
        for hour in (1, 2):
            planner.plan_due(NOW + hour * HOUR)
    with clock.moved(lambda: NOW + 2.5 * HOUR):
        operations.pause(job, by=Actor(name="ada@example.com"), reason="maintenance")
    return job


@pytest.fixture(autouse=True)
def now() -> Any:
    with clock.moved(lambda: NOW + 4.5 * HOUR):
        yield


def test_every_fire_time_of_a_window_is_answered(ada: Any, job: Any) -> None:
    body = Caller(ada)("get", f"/jobs/{job.uuid}/explain?from=2026-03-04&to=2026-03-04T16:00:00Z").json()
    assert body["next"] is None
    assert [(one["scheduledAt"][11:16], one["outcome"]) for one in body["occurrences"]] == [
        ("13:00", "PENDING"),
        ("14:00", "PENDING"),
        ("15:00", "INACTIVE"),
        ("16:00", "INACTIVE"),
    ]
    first, last = body["occurrences"][0], body["occurrences"][-1]
    assert set(first) == {"scheduledAt", "outcome", "reason", "executionId", "detail"}
    assert first["executionId"] == str(Execution.objects.get(scheduled_at=NOW + HOUR).id)
    assert first["detail"] == "waits: the job is paused"
    assert last["detail"].endswith(": maintenance")


def test_without_a_window_it_is_the_last_day(ada: Any, job: Any) -> None:
    assert len(Caller(ada)("get", f"/jobs/{job.uuid}/explain").json()["occurrences"]) == 4


def test_one_moment_is_answered_alone(ada: Any, job: Any) -> None:
    body = Caller(ada)("get", f"/jobs/{job.uuid}/explain?at=2026-03-04T14:00:00%2B00:00").json()
    assert [one["scheduledAt"] for one in body["occurrences"]] == ["2026-03-04T14:00:00.000Z"]


def test_bad_moments_and_windows_are_named(ada: Any, job: Any) -> None:
    call = Caller(ada)
    assert set(fields_of(call("get", f"/jobs/{job.uuid}/explain?at=noon&from=x"))) == {"at", "from"}
    path = f"/jobs/{job.uuid}/explain?from=2026-03-05&to=2026-03-01"
    assert fields_of(call("get", path)) == {"to": "Must not lie before from"}


def test_others_do_not_find_the_job(job: Any) -> None:
    response = Caller(make_user("eve@example.com"))("get", f"/jobs/{job.uuid}/explain")
    assert (response.status_code, response.json()["error"]) == (404, "Job not found")


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_command_tells_it_in_lines(job: Any) -> None:
    text = run("explain", "nightly", "--at", "2026-03-04T15:00:00Z")
    assert text.startswith("2026-03-04T15:00:00.000Z  INACTIVE: the job is paused (by ada@example.com at")
    assert len(run("explain", str(job.uuid), "--from", "2026-03-04").splitlines()) == 4
    text = run("explain", str(job.id), "--at", "2026-03-04T13:30:00Z")
    assert text.splitlines()[-1] == "2026-03-04T13:30:00.000Z is no fire time of nightly."


def test_a_window_without_a_fire_time_says_so_and_what_else_ran(job: Any) -> None:
    text = run("explain", "nightly", "--from", "2026-03-04T13:10:00Z", "--to", "2026-03-04T13:50:00Z")
    assert text == (
        "nightly has no fire time from 2026-03-04T13:10:00.000Z to 2026-03-04T13:50:00.000Z;"
        " the next one is 2026-03-04T14:00:00.000Z.\n"
    )
    make_execution(job, trigger="manual", status="SUCCESS", created_at=NOW + 3 * HOUR)
    lines = run("explain", "nightly").splitlines()
    assert len(lines) == 5
    assert lines[-1].endswith("not scheduled (manual)  SUCCESS")


def test_a_window_that_ends_before_it_begins_is_refused(job: Any) -> None:
    with pytest.raises(CommandError, match="--to must not lie before --from"):
        run("explain", "nightly", "--from", "2026-03-05", "--to", "2026-03-04")


def test_the_command_names_what_is_wrong(job: Any) -> None:
    with pytest.raises(CommandError, match="no job has the id or the name"):
        run("explain", "elsewhere")
    with pytest.raises(CommandError, match="noon"):
        run("explain", "nightly", "--at", "noon")
    make_job(name="nightly")
    with pytest.raises(CommandError, match=f"several jobs are named.*{job.uuid}"):
        run("explain", "nightly")


def test_a_deleted_job_is_explained_by_its_id(job: Any) -> None:
    operations.delete(job, by=COMMAND_LINE)
    assert run("explain", str(job.uuid), "--at", "2026-03-04T15:00:00Z").startswith(
        "2026-03-04T15:00:00.000Z"
    )
    with pytest.raises(CommandError, match="no job has the id or the name"):
        run("explain", "nightly")


def test_verify_ledger_is_silent_when_all_is_answered_and_fails_when_not(job: Any) -> None:
    text = run("verify_ledger", "--from", "2026-03-04")
    assert text == "1 jobs, 4 fire times, 0 due and not planned yet, 0 without an answer\n"
    Execution.objects.filter(scheduled_at=NOW + HOUR).delete()
    out = StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("verify_ledger", "--from", "2026-03-04", "--to", "2026-03-05", stdout=out)
    assert end.value.code == 1
    assert f"2026-03-04T13:00:00.000Z  MISSING  nightly ({job.uuid})" in out.getvalue()
    assert "1 without an answer" in out.getvalue()
