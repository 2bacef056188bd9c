"""GET /jobs/{id}/preview and POST /schedules/preview."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from jobs.models import AuditEntry, Calendar, Job
from tests.db.api.jobs import DAILY, Caller, answer, create, fields_of, make_user, row
from tests.factories import NOON, at, make_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


def moments(body: dict[str, Any]) -> list[str]:
    return [one["scheduledAt"] for one in body["occurrences"]]


def test_a_job_tells_its_next_ten_fire_times_in_words_and_on_the_clock(ada: Caller) -> None:
    with at(NOON):
        job = create(ada, timezone="Asia/Kolkata")
        body = answer(ada("get", f"/jobs/{job['id']}/preview"))
    assert len(body["occurrences"]) == 10
    assert body["occurrences"][0] == {
        "scheduledAt": "2026-03-03T03:30:00.000Z",
        "local": "2026-03-03T09:00:00.000+05:30",
        "note": None,
    }
    assert "09:00" in body["description"]
    assert body["warnings"] == []
    assert body["occurrences"][0]["scheduledAt"] == job["nextRunAt"]


def test_count_and_from_choose_the_window_its_first_moment_included(ada: Caller) -> None:
    job = create(ada)
    body = answer(ada("get", f"/jobs/{job['id']}/preview?count=2&from=2026-01-01T09:00:00Z"))
    assert moments(body) == ["2026-01-01T09:00:00.000Z", "2026-01-02T09:00:00.000Z"]


@pytest.mark.parametrize(
    ("query", "field"),
    [("count=0", "count"), ("count=101", "count"), ("count=x", "count"), ("from=x", "from")],
)
def test_a_bad_window_is_400(ada: Caller, query: str, field: str) -> None:
    assert list(fields_of(ada("get", f"/jobs/{create(ada)['id']}/preview?{query}"))) == [field]


def test_a_job_that_sql_broke_answers_why(ada: Caller) -> None:
    job = make_job(user_id=row(create(ada)).user_id, cron_expression="nonsense")
    response = ada("get", f"/jobs/{job.uuid}/preview")
    assert response.status_code == 409
    assert "5 or 6 fields" in response.json()["message"]


def test_a_schedule_is_previewed_without_being_stored(ada: Caller) -> None:
    body = answer(
        ada(
            "post",
            "/schedules/preview",
            {
                "schedule": "30 2 * * *",
                "timezone": "Europe/Berlin",
                "from": "2026-03-28T12:00:00Z",
                "count": 2,
            },
        )
    )
    assert body["occurrences"][0]["local"] == "2026-03-29T03:00:00.000+02:00"
    assert "moved by a clock change" in body["occurrences"][0]["note"]
    assert body["occurrences"][1]["note"] is None
    assert len(body["warnings"]) == 2
    assert not Job.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_calendar_marks_closed_and_moved_days(ada: Caller) -> None:
    Calendar.objects.create(name="bank", definition={"weekend": [6, 7]})
    schedule = {"schedule": "0 0 7 3 *", "calendar": "bank", "from": "2026-01-01T00:00:00Z", "count": 1}
    closed = answer(ada("post", "/schedules/preview", schedule))
    moved = answer(ada("post", "/schedules/preview", schedule | {"businessDayShift": "next"}))
    assert "closed by the calendar" in closed["occurrences"][0]["note"]
    assert moments(moved) == ["2026-03-09T00:00:00.000Z"]
    assert "moved by the calendar" in moved["occurrences"][0]["note"]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"scheduledAt": "2026-03-05T08:00:00Z"}, ["2026-03-05T08:00:00.000Z"]),
        ({"type": "one_time"}, ["2026-03-02T12:00:00.000Z"]),
        ({"scheduledAt": "2020-03-05T08:00:00Z"}, []),
        (
            {"recurrencePattern": "monthly", "scheduledAt": "2026-01-31T08:00:00Z"},
            ["2026-03-31T08:00:00.000Z", "2026-04-30T08:00:00.000Z"],
        ),
        ({"schedule": DAILY, "endAt": "2026-03-03T10:00:00Z"}, ["2026-03-03T09:00:00.000Z"]),
    ],
)
def test_every_family_can_be_previewed(ada: Caller, schedule: dict[str, Any], expected: list[str]) -> None:
    with at(NOON):
        assert moments(answer(ada("post", "/schedules/preview", schedule | {"count": 2}))) == expected


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        ({}, "schedule"),
        ({"schedule": "bad"}, "schedule"),
        ({"cronExpression": "bad"}, "cronExpression"),
        ({"schedule": DAILY, "timezone": "Mars"}, "timezone"),
        ({"schedule": DAILY, "calendar": "none"}, "calendar"),
        ({"schedule": DAILY, "count": 101}, "count"),
        ({"schedule": DAILY, "from": "x"}, "from"),
        ({"schedule": DAILY, "name": "n"}, "name"),
        ({"type": "recurring"}, "recurrencePattern"),
    ],
)
def test_a_bad_schedule_is_400(ada: Caller, schedule: dict[str, Any], field: str) -> None:
    assert list(fields_of(ada("post", "/schedules/preview", schedule))) == [field]


def test_it_needs_a_token_where_one_is_required() -> None:
    assert Caller()("post", "/schedules/preview", {"schedule": DAILY}).status_code == 401
    with override_settings(AUTH_MODE="optional"):
        answer(Caller()("post", "/schedules/preview", {"schedule": DAILY}))
