"""Calendars: GET, POST /calendars; GET, PATCH, DELETE /calendars/{name}; POST …/import."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from executions.operations import calendars as verbs
from jobs.models import AuditEntry, Calendar, Job
from tests.db.api.jobs import Caller, answer, create, fields_of, ledger, make_user, row
from tests.factories import NOON, at

pytestmark = pytest.mark.django_db

ICS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//tests//
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:20260303
SUMMARY:Stocktaking
END:VEVENT
BEGIN:VEVENT
UID:2
DTSTART;VALUE=DATE:20261224
DTEND;VALUE=DATE:20261227
SUMMARY:Christmas
END:VEVENT
END:VCALENDAR
"""


@pytest.fixture
def admin() -> Caller:
    return Caller(make_user("admin@example.com", groups=("admins",), is_staff=True))


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


def test_a_calendar_is_answered_as_it_is_given(admin: Caller) -> None:
    body = {
        "name": "bank",
        "description": "branches",
        "dates": [{"date": "2026-12-24", "open": False, "note": "half day"}],
        "weekend": [6, 7],
        "holidays": "DE-BY",
    }
    response = admin("post", "/calendars", body)
    assert answer(response, 201) == body
    assert response["Location"] == "/api/v1/calendars/bank"
    assert answer(admin("get", "/calendars/bank")) == body
    assert answer(admin("get", "/calendars"))["calendars"] == [body]
    assert AuditEntry.objects.get().subject == "calendar:bank"


def test_what_is_not_given_is_open(admin: Caller) -> None:
    body = answer(admin("post", "/calendars", {"name": "plain", "dates": [{"date": "2026-05-01"}]}), 201)
    assert body == {
        "name": "plain",
        "description": None,
        "dates": [{"date": "2026-05-01", "open": False, "note": ""}],
        "weekend": [],
        "holidays": None,
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": ".."}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"dates": {}}, "dates"),
        ({"dates": [{"date": "2026-02-30"}]}, "dates.0.date"),
        ({"dates": [{"date": "2026-05-01", "open": 1}]}, "dates.0.open"),
        ({"dates": [{"date": "2026-05-01", "x": 1}]}, "dates.0"),
        ({"dates": [{"date": "2026-05-01"}, {"date": "2026-05-01"}]}, "dates.1.date"),
        ({"weekend": [0]}, "weekend"),
        ({"weekend": "67"}, "weekend"),
        ({"holidays": "XX"}, "holidays"),
        ({"holidays": "DE-ZZ"}, "holidays"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_bad_calendar_is_400(admin: Caller, change: dict[str, Any], field: str) -> None:
    assert list(fields_of(admin("post", "/calendars", {"name": "bank"} | change))) == [field]
    assert not Calendar.objects.exists()


def test_a_name_that_is_taken_is_409_and_an_unknown_one_404(admin: Caller) -> None:
    answer(admin("post", "/calendars", {"name": "bank"}), 201)
    assert admin("post", "/calendars", {"name": "bank"}).status_code == 409
    for method, body in (("get", None), ("patch", {}), ("delete", None)):
        response = admin(method, "/calendars/none", body)
        assert (response.status_code, response.json()["error"]) == (404, "Calendar not found")


def test_a_change_leaves_what_is_not_given_and_null_clears(admin: Caller) -> None:
    answer(admin("post", "/calendars", {"name": "bank", "weekend": [6, 7], "holidays": "DE"}), 201)
    body = answer(admin("patch", "/calendars/bank", {"holidays": None, "description": "d"}))
    assert (body["weekend"], body["holidays"], body["description"]) == ([6, 7], None, "d")
    assert list(fields_of(admin("patch", "/calendars/bank", {"name": "other"}))) == ["name"]


def test_the_jobs_that_use_it_are_planned_anew_and_the_others_are_left(admin: Caller, ada: Caller) -> None:
    with at(NOON):  # a Monday
        answer(admin("post", "/calendars", {"name": "bank"}), 201)
        moved = create(ada, calendar="bank", businessDayShift="next")
        other = create(ada)
        paused = create(ada, calendar="bank", status="PAUSED", businessDayShift="next")
        once = create(
            ada, calendar="bank", businessDayShift="next", type="one_time", scheduledAt="2026-03-03T10:00:00Z"
        )
        before = row(paused).next_run_at
        assert moved["nextRunAt"] == "2026-03-03T09:00:00.000Z"
        answer(admin("patch", "/calendars/bank", {"dates": [{"date": "2026-03-03"}]}))
        assert answer(ada("get", f"/jobs/{moved['id']}"))["nextRunAt"] == "2026-03-04T09:00:00.000Z"
        assert answer(ada("get", f"/jobs/{once['id']}"))["nextRunAt"] == "2026-03-04T10:00:00.000Z"
        assert answer(ada("get", f"/jobs/{other['id']}"))["nextRunAt"] == other["nextRunAt"]
        assert row(paused).next_run_at == before
        assert [row(job).version for job in (moved, other, once)] == [1, 1, 1]
        assert ledger(moved) == []


def test_what_the_first_batches_do_not_reach_waits_for_the_scheduler(
    admin: Caller, ada: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "MAX_BATCHES", 0)
    with at(NOON):
        answer(admin("post", "/calendars", {"name": "bank"}), 201)
        job = create(ada, calendar="bank", businessDayShift="next")
        answer(admin("patch", "/calendars/bank", {"dates": [{"date": "2026-03-03"}]}))
    assert list(Job.objects.to_replan()) == [row(job)]


def test_another_description_moves_nothing(admin: Caller, ada: Caller) -> None:
    answer(admin("post", "/calendars", {"name": "bank"}), 201)
    job = create(ada, calendar="bank")
    answer(admin("patch", "/calendars/bank", {"description": "d", "dates": []}))
    assert not Job.objects.to_replan().exists()
    assert answer(ada("get", f"/jobs/{job['id']}"))["nextRunAt"] == job["nextRunAt"]


def test_a_calendar_in_use_cannot_be_deleted(admin: Caller, ada: Caller) -> None:
    answer(admin("post", "/calendars", {"name": "bank"}), 201)
    job = create(ada, calendar="bank", isActive=False)
    response = admin("delete", "/calendars/bank")
    assert (response.status_code, "1 job uses it" in response.json()["message"]) == (409, True)
    ada("delete", f"/jobs/{job['id']}")
    assert admin("delete", "/calendars/bank").status_code == 204
    assert row(job).calendar_id is None


def test_the_days_of_an_ical_text_are_closed_and_own_days_stay(admin: Caller) -> None:
    own = {"date": "2026-12-25", "open": True, "note": "we work"}
    answer(admin("post", "/calendars", {"name": "bank", "dates": [own]}), 201)
    body = answer(admin("post", "/calendars/bank/import", {"ics": ICS}))
    assert body["dates"] == [
        {"date": "2026-03-03", "open": False, "note": "Stocktaking"},
        {"date": "2026-12-24", "open": False, "note": "Christmas"},
        own,
        {"date": "2026-12-26", "open": False, "note": "Christmas"},
    ]


@pytest.mark.parametrize("ics", ["", "nonsense", "BEGIN:VCALENDAR\nEND:VCALENDAR", 5, None])
def test_text_that_is_no_ical_is_400(admin: Caller, ics: Any) -> None:
    answer(admin("post", "/calendars", {"name": "bank"}), 201)
    assert list(fields_of(admin("post", "/calendars/bank/import", {"ics": ics}))) == ["ics"]


def test_all_read_and_admins_change(admin: Caller, ada: Caller) -> None:
    answer(admin("post", "/calendars", {"name": "bank"}), 201)
    operator = Caller(make_user("o@example.com", groups=("operators",), is_staff=True))
    for caller in (ada, operator):
        answer(caller("get", "/calendars/bank"))
        assert caller("post", "/calendars", {"name": "x"}).status_code == 403
        assert caller("patch", "/calendars/bank", {}).status_code == 403
        assert caller("post", "/calendars/bank/import", {"ics": ICS}).status_code == 403
        assert caller("delete", "/calendars/bank").status_code == 403
    assert Caller()("get", "/calendars").status_code == 401
    with override_settings(AUTH_MODE="optional"):
        answer(Caller()("get", "/calendars"))
        assert Caller()("post", "/calendars", {"name": "x"}).status_code == 401
