"""POST /jobs/{id}/backfill."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from executions.models import Execution
from jobs.models import Calendar
from tests.db.api.jobs import Caller, answer, create, fields_of, make_user, row, trail
from tests.factories import NOON, at, make_execution

pytestmark = pytest.mark.django_db

RANGE = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-05T00:00:00Z"}


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


def times(body: dict[str, Any]) -> list[str]:
    return [moment[:10] for moment in body["scheduledAt"]]


def test_a_dry_run_tells_and_plans_nothing(ada: Caller) -> None:
    job = create(ada)
    body = answer(ada("post", f"/jobs/{job['id']}/backfill", RANGE | {"dryRun": True}))
    assert (body["count"], times(body)) == (4, ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"])
    assert not Execution.objects.exists()
    assert len(trail(job)) == 1


def test_the_fire_times_of_the_range_are_planned_in_order_both_ends_included(ada: Caller) -> None:
    job = create(ada, schedule="0 0 * * *")
    body = answer(ada("post", f"/jobs/{job['id']}/backfill", RANGE | {"maxConcurrent": 3}))
    assert body["count"] == 5
    rows = Execution.objects.order_by("scheduled_at")
    assert [execution.trigger for execution in rows] == ["backfill"] * 5
    assert {(execution.status, execution.batch_limit) for execution in rows} == {("PENDING", 3)}
    assert rows[0].scheduled_at == datetime.fromisoformat(RANGE["from"])
    assert trail(job)[-1] == ("BACKFILLED", "ada@example.com")


@pytest.mark.parametrize(
    ("reprocess", "expected"),
    [
        ("none", ["2026-01-03", "2026-01-04"]),
        ("FAILED", ["2026-01-02", "2026-01-03", "2026-01-04"]),
        ("all", ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"]),
    ],
)
def test_what_ran_is_run_again_only_when_asked(ada: Caller, reprocess: str, expected: list[str]) -> None:
    job = create(ada)
    for day, status in ((1, "SUCCESS"), (2, "FAILED"), (3, "SKIPPED")):
        moment = datetime.fromisoformat(f"2026-01-0{day}T09:00:00Z")
        make_execution(row(job), scheduled_at=moment, status=status, next_attempt_at=None)
    body = answer(
        ada("post", f"/jobs/{job['id']}/backfill", RANGE | {"reprocess": reprocess, "dryRun": True})
    )
    assert times(body) == expected


def test_closed_days_are_left_out(ada: Caller) -> None:
    Calendar.objects.create(name="week", definition={"weekend": [6, 7]})
    job = create(ada, calendar="week")
    body = answer(ada("post", f"/jobs/{job['id']}/backfill", RANGE | {"dryRun": True}))
    assert times(body) == ["2026-01-01", "2026-01-02"]


def test_of_many_the_first_and_the_last_are_shown(ada: Caller) -> None:
    job = create(ada, schedule="0 * * * *")
    body = answer(
        ada("post", f"/jobs/{job['id']}/backfill", RANGE | {"to": "2026-01-11T00:00:00Z", "dryRun": True})
    )
    assert (body["count"], len(body["scheduledAt"])) == (241, 100)
    assert body["scheduledAt"][0] == "2026-01-01T00:00:00.000Z"
    assert body["scheduledAt"][-1] == "2026-01-11T00:00:00.000Z"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"from": None}, "from"),
        ({"to": "2025-12-31T00:00:00Z"}, "to"),
        ({"to": "2026-03-02T12:00:01Z"}, "to"),
        ({"to": "x"}, "to"),
        ({"maxConcurrent": 0}, "maxConcurrent"),
        ({"reprocess": "some"}, "reprocess"),
        ({"dryRun": "yes"}, "dryRun"),
        ({"from_": "2026-01-01T00:00:00Z"}, "from_"),
    ],
)
def test_a_bad_body_is_400(ada: Caller, body: dict[str, Any], field: str) -> None:
    with at(NOON):
        job = create(ada)
        assert list(fields_of(ada("post", f"/jobs/{job['id']}/backfill", RANGE | body))) == [field]
    assert not Execution.objects.exists()


def test_both_ends_are_required(ada: Caller) -> None:
    job = create(ada)
    assert fields_of(ada("post", f"/jobs/{job['id']}/backfill", {})) == {"from": "Required", "to": "Required"}


def test_more_than_ten_thousand_fire_times_are_refused(ada: Caller) -> None:
    job = create(ada, schedule="* * * * * *")
    found = fields_of(ada("post", f"/jobs/{job['id']}/backfill", RANGE))
    assert "10000" in found["to"]
    assert not Execution.objects.exists()


def test_the_same_key_plans_once(ada: Caller) -> None:
    job = create(ada)
    path = f"/jobs/{job['id']}/backfill"
    first = answer(ada("post", path, RANGE, **{"Idempotency-Key": "k"}))
    assert answer(ada("post", path, RANGE, **{"Idempotency-Key": "k"})) == first
    assert Execution.objects.count() == 4
