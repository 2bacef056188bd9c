"""POST /jobs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from jobs.models import AuditEntry, Calendar, Job, JobVersion, Tag
from jobs.timing import fire_times
from tests.db.api.jobs import DAILY, NO_ID, Caller, answer, create, fields_of, make_user, row, trail
from tests.factories import handling
from web.moments import format_moment, parse_moment

pytestmark = pytest.mark.django_db

URL = "https://api.example.com/sync"


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


@pytest.fixture
def root() -> Caller:
    return Caller(make_user("root@example.com", is_staff=True, is_superuser=True))


def test_a_new_job_is_answered_whole_and_found_at_its_location(ada: Caller) -> None:
    response = ada("post", "/jobs", {"name": "nightly", "schedule": DAILY, "api": URL})
    body = answer(response, 201)
    assert body.pop("warnings") == []
    assert response["Location"] == f"/api/v1/jobs/{body['id']}"
    assert answer(ada("get", f"/jobs/{body['id']}")) == body


def test_what_is_not_given_has_the_documented_default(ada: Caller) -> None:
    body = create(ada)
    expected: dict[str, Any] = {
        "type": "ATLEAST_ONCE",
        "scheduleType": "cron",
        "executionType": "ATLEAST_ONCE",
        "schedule": DAILY,
        "cronExpression": DAILY,
        "timezone": None,
        "recurrencePattern": None,
        "scheduledAt": None,
        "description": None,
        "api": None,
        "apiEndpoint": None,
        "method": "POST",
        "headers": {},
        "payload": {},
        "metadata": None,
        "handler": "default",
        "timeoutMs": 900_000,
        "retryPolicy": None,
        "maxRetries": 0,
        "retryCount": 0,
        "maxConcurrentExecutions": 1,
        "rateLimitPerMinute": None,
        "priority": 5,
        "queue": "default",
        "catchUp": "latest",
        "misfireGraceSeconds": 60,
        "overlapPolicy": "queue",
        "jitterSeconds": 0,
        "startAt": None,
        "endAt": None,
        "calendar": None,
        "businessDayShift": "none",
        "dependencyMode": "all",
        "dependencyWaitSeconds": 3600,
        "followRedirects": False,
        "origin": "api",
        "version": 1,
        "status": "ACTIVE",
        "state": "active",
        "isActive": True,
        "pausedReason": None,
        "pausedUntil": None,
        "lastRunAt": None,
        "lastRun": None,
        "startedAt": None,
        "completedAt": None,
        "errorMessage": None,
        "result": None,
        "tags": [],
        "dependsOn": [],
        "createdBy": "ada@example.com",
    }
    assert {name: body[name] for name in expected} == expected
    assert body["jobId"] == body["id"]
    assert body["userId"] == str(row(body).user_id)
    assert "pingUrl" not in body


def test_the_next_run_is_the_next_fire_time_of_the_schedule(ada: Caller) -> None:
    body = create(ada, timezone="Europe/Berlin")
    following = next(fire_times(DAILY, "Europe/Berlin", timezone.now()))
    assert body["nextRunAt"] == body["nextRun"] == body["nextScheduledRun"] == format_moment(following)


def test_creating_writes_the_first_version_and_the_audit_in_the_users_name(ada: Caller) -> None:
    body = create(ada, createdBy="somebody else")
    assert trail(body) == [("CREATED", "ada@example.com")]
    assert body["createdBy"] == "ada@example.com"
    version = JobVersion.objects.get(job=row(body))
    assert (version.version, version.valid_to) == (1, None)
    assert version.definition["cron_expression"] == DAILY


def test_a_job_with_an_address_needs_no_name(ada: Caller) -> None:
    body = answer(ada("post", "/jobs", {"schedule": DAILY, "api": URL}), 201)
    assert body["name"] == f"job-{body['id'][:8]}"
    assert (body["handler"], body["timeoutMs"], body["apiEndpoint"]) == ("http", 30_000, URL)


def test_a_job_without_name_and_address_is_refused(ada: Caller) -> None:
    assert fields_of(ada("post", "/jobs", {"schedule": DAILY})) == {"name": "Required"}


def test_the_family_follows_from_what_is_given(ada: Caller) -> None:
    moment = "2030-01-20T10:00:00.000Z"
    once = create(ada, scheduledAt=moment, scheduleType=None)
    again = create(ada, recurrencePattern="DAILY", scheduledAt=moment)
    assert (once["scheduleType"], once["type"], once["status"]) == ("one_time", "one_time", "pending")
    assert (again["scheduleType"], again["type"], again["status"]) == ("recurring", "recurring", "pending")
    assert once["nextRunAt"] == again["nextRunAt"] == once["scheduledAt"] == moment
    assert again["recurrencePattern"] == "daily"


def test_nothing_that_says_when_is_a_problem_of_schedule(ada: Caller) -> None:
    assert fields_of(ada("post", "/jobs", {"name": "n"})) == {"schedule": "Required"}
    assert fields_of(ada("post", "/jobs", {"name": "n", "type": "recurring"})) == {
        "recurrencePattern": "Required"
    }


def test_a_one_time_job_without_a_time_runs_now(ada: Caller) -> None:
    before = timezone.now() - timedelta(seconds=1)
    body = create(ada, type="one_time")
    assert before <= parse_moment(body["scheduledAt"]) <= timezone.now()
    assert body["nextRunAt"] == body["scheduledAt"]


def test_a_one_time_job_of_the_past_is_due_at_its_time_and_a_recurring_one_at_its_next(ada: Caller) -> None:
    past = "2020-01-20T10:00:00.000Z"
    assert create(ada, type="one_time", scheduledAt=past)["nextRunAt"] == past
    body = create(ada, type="recurring", recurrencePattern="daily", scheduledAt=past)
    assert body["scheduledAt"] == past
    assert timezone.now() <= parse_moment(body["nextRunAt"]) <= timezone.now() + timedelta(days=1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "one_time", "schedule": DAILY}, "schedule"),
        ({"type": "one_time", "recurrencePattern": "daily"}, "recurrencePattern"),
        ({"type": "recurring", "recurrencePattern": "daily", "schedule": DAILY}, "schedule"),
        ({"schedule": DAILY, "recurrencePattern": "daily"}, "recurrencePattern"),
        ({"schedule": DAILY, "scheduledAt": "2030-01-01T00:00:00Z"}, "scheduledAt"),
        ({"schedule": DAILY, "cronExpression": "0 8 * * *"}, "cronExpression"),
        ({"schedule": DAILY, "api": URL, "apiEndpoint": URL + "/2"}, "apiEndpoint"),
        ({"schedule": DAILY, "type": "ATLEAST_ONCE", "executionType": "ATMOST_ONCE"}, "type"),
        ({"schedule": DAILY, "type": "cron", "scheduleType": "one_time"}, "type"),
        ({"schedule": DAILY, "isActive": True, "status": "PAUSED"}, "isActive"),
        ({"schedule": DAILY, "maxRetries": 2, "retryPolicy": {"maxRetries": 3}}, "maxRetries"),
        ({"schedule": DAILY, "startAt": "2030-01-02T00:00:00Z", "endAt": "2030-01-01T00:00:00Z"}, "endAt"),
    ],
)
def test_contradictions_are_refused(ada: Caller, body: dict[str, Any], field: str) -> None:
    assert field in fields_of(ada("post", "/jobs", {"name": "n"} | body))
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "words",
    [
        {"type": "ATMOST_ONCE"},
        {"executionType": "atmost_once"},
        {"type": "cron", "executionType": "ATMOST_ONCE"},
        {"type": "atmost_once", "executionType": "ATMOST_ONCE", "scheduleType": "CRON"},
    ],
)
def test_type_takes_either_word_in_any_case(ada: Caller, words: dict[str, Any]) -> None:
    body = create(ada, schedule=DAILY, **words)
    assert (body["type"], body["executionType"], body["scheduleType"]) == (
        "ATMOST_ONCE",
        "ATMOST_ONCE",
        "cron",
    )


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("bad", "5 or 6 fields"),
        ("61 * * * *", "61"),
        ("*/0 * * * *", ""),
        ("0 0 30 2 *", "never fires"),
        ("R * * * *", ""),
        ("0 0 * * 1 2026", ""),
        ("@Daily", ""),
        ("0 0 0 * * * *", "5 or 6 fields"),
    ],
)
def test_a_bad_expression_is_refused_with_its_reason(ada: Caller, schedule: str, reason: str) -> None:
    found = fields_of(ada("post", "/jobs", {"name": "n", "schedule": schedule}))
    assert found["schedule"].startswith("Invalid cron expression format: ")
    assert reason in found["schedule"]
    named = fields_of(ada("post", "/jobs", {"name": "n", "cronExpression": schedule}))
    assert named == {"cronExpression": found["schedule"]}


def test_a_long_expression_is_refused_by_its_length(ada: Caller) -> None:
    schedule = "0 " * 5000
    assert "schedule" in fields_of(ada("post", "/jobs", {"name": "n", "schedule": schedule}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", " "),
        ("name", "x" * 256),
        ("name", 5),
        ("name", None),
        ("name", "a\u0000b"),
        ("description", "x" * 2001),
        ("type", "sometimes"),
        ("scheduleType", "ATLEAST_ONCE"),
        ("executionType", "one_time"),
        ("timezone", "Mars/Olympus"),
        ("timezone", "../etc/passwd"),
        ("scheduledAt", "tomorrow"),
        ("recurrencePattern", "yearly"),
        ("api", "ftp://example.com"),
        ("api", "http://user:pw@example.com"),
        ("api", "http://"),
        ("api", "javascript:alert(1)"),
        ("api", "http://example.com/a b"),
        ("api", "https://example.com/" + "x" * 2048),
        ("method", "TRACE"),
        ("headers", ["a"]),
        ("payload", []),
        ("payload", None),
        ("payload", {"a": "x" * 65536}),
        ("metadata", {"a": "x" * 65536}),
        ("metadata", "text"),
        ("handler", "nobody"),
        ("timeoutMs", 99),
        ("timeoutMs", 3_600_001),
        ("timeoutMs", "1000"),
        ("timeoutMs", True),
        ("maxRetries", 11),
        ("maxRetries", -1),
        ("maxConcurrentExecutions", 0),
        ("maxConcurrentExecutions", 101),
        ("rateLimitPerMinute", 0),
        ("rateLimitPerMinute", 6001),
        ("priority", 10),
        ("priority", -1),
        ("queue", "a b"),
        ("queue", "*"),
        ("queue", "x" * 51),
        ("catchUp", "some"),
        ("misfireGraceSeconds", 604_801),
        ("overlapPolicy", "never"),
        ("jitterSeconds", 3601),
        ("startAt", "2026"),
        ("endAt", "0001-01-01T00:00:00Z"),
        ("calendar", "unknown"),
        ("businessDayShift", "sideways"),
        ("dependencyMode", "none"),
        ("dependencyWaitSeconds", 86_401),
        ("followRedirects", "true"),
        ("isActive", 1),
        ("status", "DELETED"),
        ("status", "running"),
        ("tags", "a"),
        ("tags", ["x" * 101]),
        ("tags", ["t"] * 21),
        ("dependsOn", NO_ID),
    ],
)
def test_a_bad_value_is_refused_on_its_field_and_stores_nothing(ada: Caller, field: str, value: Any) -> None:
    found = fields_of(ada("post", "/jobs", {"name": "n", "schedule": DAILY, field: value}))
    assert [name.partition(".")[0] for name in found] == [field]
    assert not Job.objects.exists()
    assert not AuditEntry.objects.exists()
    assert not Tag.objects.exists()


def test_every_problem_is_told_at_once(ada: Caller) -> None:
    body = {
        "name": 5,
        "schedule": "bad",
        "priority": 11,
        "queue": "a b",
        "retryPolicy": {"maxRetries": 11},
        "nextRunAt": "2030-01-01T00:00:00Z",
        "surprise": 1,
    }
    found = fields_of(ada("post", "/jobs", body))
    assert set(found) == {
        "name",
        "schedule",
        "priority",
        "queue",
        "retryPolicy.maxRetries",
        "nextRunAt",
        "surprise",
    }


@pytest.mark.parametrize(
    "field",
    [
        "id",
        "jobId",
        "userId",
        "state",
        "origin",
        "version",
        "nextRunAt",
        "lastRunAt",
        "retryCount",
        "errorMessage",
        "result",
        "createdAt",
        "updatedAt",
        "startedAt",
        "completedAt",
        "pausedUntil",
        "isStaff",
        "lease",
        "attempt",
        "user_id",
        "cron_expression",
        "__proto__",
    ],
)
def test_what_cannot_be_set_is_refused_by_name(ada: Caller, field: str) -> None:
    assert field in fields_of(ada("post", "/jobs", {"name": "n", "schedule": DAILY, field: "x"}))
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("headers", "part"),
    [
        ({"X-A": "a\r\nX-B: b"}, "X-A"),
        ({"X-A": "a\n b"}, "X-A"),
        ({"X A": "a"}, "X A"),
        ({"": "a"}, ""),
        ({"Host": "internal"}, "Host"),
        ({"transfer-encoding": "chunked"}, "transfer-encoding"),
        ({"Content-Length": "5"}, "Content-Length"),
        ({"Connection": "close"}, "Connection"),
        ({"Idempotency-Key": "mine"}, "Idempotency-Key"),
        ({"X-A": 5}, "X-A"),
        ({"X-A": None}, "X-A"),
        ({"X-A": "1", "x-a": "2"}, "x-a"),
        ({"X-A": "ü€"}, "X-A"),
        ({f"X-{number}": "a" for number in range(51)}, "50"),
        ({"X-A": "a" * 8193}, "8192"),
    ],
)
def test_headers_that_could_break_the_request_are_refused(
    ada: Caller, headers: dict[str, Any], part: str
) -> None:
    found = fields_of(ada("post", "/jobs", {"schedule": DAILY, "api": URL, "headers": headers}))
    assert list(found) == ["headers"]
    assert part in found["headers"]


def test_secret_headers_are_sealed_in_the_row_and_masked_everywhere(ada: Caller) -> None:
    headers = {"Authorization": "Bearer canary-1", "X-Api-Key": "canary-2", "X-Team": "ops"}
    body = create(ada, api=URL, headers=headers)
    assert body["headers"] == {"Authorization": "***", "X-Api-Key": "***", "X-Team": "ops"}
    stored = row(body).headers
    assert stored["X-Team"] == "ops"
    everything = str(list(Job.objects.values())) + str(list(AuditEntry.objects.values()))
    everything += str(list(JobVersion.objects.values()))
    everything += ada("get", f"/jobs/{body['id']}/audit").content.decode()
    everything += ada("get", f"/jobs/{body['id']}/versions").content.decode()
    assert "canary" not in everything


def test_stars_that_stand_for_nothing_and_forged_seals_are_refused(ada: Caller) -> None:
    for value in ("***", "sealed:gAAAAA"):
        found = fields_of(
            ada("post", "/jobs", {"schedule": DAILY, "api": URL, "headers": {"X-Token": value}})
        )
        assert list(found) == ["headers.X-Token"]


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"maxRetries": 11}, "maxRetries"),
        ({"maxRetries": None}, "maxRetries"),
        ({"maxRetries": "3"}, "maxRetries"),
        ({"backoffStrategy": "RANDOM"}, "backoffStrategy"),
        ({"initialDelayMs": 0}, "initialDelayMs"),
        ({"initialDelayMs": 3_600_001}, "initialDelayMs"),
        ({"initialDelayMs": 5000, "maxDelayMs": 4999}, "maxDelayMs"),
        ({"maxDelayMs": 86_400_001}, "maxDelayMs"),
        ({"jitter": "yes"}, "jitter"),
        ({"doNotRetryOn": 404}, "doNotRetryOn"),
        ({"doNotRetryOn": [99]}, "doNotRetryOn"),
        ({"doNotRetryOn": ["404"]}, "doNotRetryOn"),
        ({"retries": 3}, "retries"),
        ({"fromMaxRetries": True}, "fromMaxRetries"),
    ],
)
def test_a_bad_retry_policy_is_refused_on_its_part(ada: Caller, policy: dict[str, Any], field: str) -> None:
    found = fields_of(ada("post", "/jobs", {"name": "n", "schedule": DAILY, "retryPolicy": policy}))
    assert list(found) == [f"retryPolicy.{field}"]


def test_a_retry_policy_is_answered_as_given(ada: Caller) -> None:
    policy = {"maxRetries": 2, "backoffStrategy": "FIXED", "jitter": True, "doNotRetryOn": [400, 404]}
    body = create(ada, retryPolicy=policy)
    assert (body["retryPolicy"], body["maxRetries"]) == (policy, 2)
    assert create(ada, retryPolicy={})["maxRetries"] == 3
    assert create(ada, retryPolicy={"backoffStrategy": "linear"})["retryPolicy"] == {
        "backoffStrategy": "LINEAR"
    }
    assert create(ada, retryPolicy={"jitter": False}, maxRetries=4)["maxRetries"] == 4


@override_settings(RETRY_DELAY_MS=7000)
def test_max_retries_alone_is_a_policy_of_the_settings_that_nobody_gave(ada: Caller) -> None:
    body = create(ada, maxRetries=2)
    assert (body["retryPolicy"], body["maxRetries"]) == (None, 2)
    stored = row(body).retry_policy or {}
    assert {
        name: stored[name] for name in ("maxRetries", "backoffStrategy", "initialDelayMs", "maxDelayMs")
    } == {
        "maxRetries": 2,
        "backoffStrategy": "EXPONENTIAL",
        "initialDelayMs": 7000,
        "maxDelayMs": 60_000,
    }


def test_without_a_policy_only_one_time_and_recurring_jobs_are_retried(ada: Caller) -> None:
    assert create(ada)["maxRetries"] == 0
    assert create(ada, type="one_time")["maxRetries"] == 3
    assert create(ada, type="recurring", recurrencePattern="daily")["maxRetries"] == 3
    assert create(ada, type="one_time", executionType="ATMOST_ONCE")["maxRetries"] == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"maxRetries": 1}, "maxRetries"),
        ({"retryPolicy": {"maxRetries": 1}}, "retryPolicy.maxRetries"),
        ({"retryPolicy": {"jitter": True}}, "retryPolicy.maxRetries"),
    ],
)
def test_an_at_most_once_job_refuses_retries(ada: Caller, body: dict[str, Any], field: str) -> None:
    found = fields_of(ada("post", "/jobs", {"name": "n", "schedule": DAILY, "type": "ATMOST_ONCE"} | body))
    assert list(found) == [field]
    create(ada, schedule=DAILY, type="ATMOST_ONCE", maxRetries=0)


def test_where_overlaps_are_allowed_a_hundred_may_run_at_once(ada: Caller) -> None:
    assert create(ada, overlapPolicy="allow")["maxConcurrentExecutions"] == 100
    assert create(ada, overlapPolicy="allow", maxConcurrentExecutions=7)["maxConcurrentExecutions"] == 7
    assert create(ada, overlapPolicy="skip")["maxConcurrentExecutions"] == 1


@pytest.mark.parametrize(
    ("words", "state", "status"),
    [
        ({"isActive": False}, "inactive", "INACTIVE"),
        ({"status": "inactive"}, "inactive", "INACTIVE"),
        ({"status": "PAUSED"}, "paused", "PAUSED"),
        ({"status": "pending"}, "active", "ACTIVE"),
        ({"status": "ACTIVE", "isActive": True}, "active", "ACTIVE"),
        ({"status": "PAUSED", "isActive": False}, "paused", "PAUSED"),
    ],
)
def test_a_job_may_be_made_in_another_state(
    ada: Caller, words: dict[str, Any], state: str, status: str
) -> None:
    body = create(ada, **words)
    assert (body["state"], body["status"], body["isActive"]) == (state, status, state == "active")
    assert (body["nextRunAt"] is None) == (state != "active")


def test_tags_are_made_on_demand_and_belong_to_the_owner(ada: Caller) -> None:
    assert create(ada, tags=["b", "a", "b", " a "])["tags"] == ["a", "b"]
    create(ada, tags=["a"])
    assert Tag.objects.count() == 2
    assert set(Tag.objects.values_list("user__email", flat=True)) == {"ada@example.com"}


def test_a_job_waits_for_own_jobs_only(ada: Caller) -> None:
    first, second = create(ada), create(ada)
    foreign = create(Caller(make_user("bob@example.com")))
    deleted = create(ada)
    ada("delete", f"/jobs/{deleted['id']}")
    body = create(ada, dependsOn=[second["id"], first["id"]])
    assert body["dependsOn"] == [second["id"], first["id"]]
    for bad in (foreign["id"], NO_ID, deleted["id"], "x"):
        found = fields_of(ada("post", "/jobs", {"name": "n", "schedule": DAILY, "dependsOn": [bad]}))
        assert [name.partition(".")[0] for name in found] == ["dependsOn"]


def test_a_calendar_must_exist(ada: Caller) -> None:
    Calendar.objects.create(name="bank", definition={"weekend": [6, 7]})
    body = create(ada, calendar="bank", businessDayShift="next")
    assert (body["calendar"], body["businessDayShift"]) == ("bank", "next")


def test_a_handler_must_be_known_and_enabled(ada: Caller) -> None:
    assert create(ada, handler="default")["handler"] == "default"
    assert (
        "known are"
        in fields_of(ada("post", "/jobs", {"name": "n", "schedule": DAILY, "handler": "x"}))["handler"]
    )
    assert list(fields_of(ada("post", "/jobs", {"name": "n", "schedule": DAILY, "handler": "http"}))) == [
        "api"
    ]
    with handling(lambda run: None, dangerous=True):
        body = {"name": "n", "schedule": DAILY, "handler": "scripted"}
        assert "ENABLED_HANDLERS" in fields_of(ada("post", "/jobs", body))["handler"]
        with override_settings(ENABLED_HANDLERS=["scripted"]):
            answer(ada("post", "/jobs", body), 201)


def test_only_staff_name_a_staff_only_handler_also_by_the_jobs_name(ada: Caller, root: Caller) -> None:
    with handling(lambda run: None, staff_only=True):
        by_handler = {"name": "n", "schedule": DAILY, "handler": "scripted"}
        by_name = {"name": "scripted", "schedule": DAILY}
        assert list(fields_of(ada("post", "/jobs", by_handler))) == ["handler"]
        assert list(fields_of(ada("post", "/jobs", by_name))) == ["name"]
        assert answer(root("post", "/jobs", by_name), 201)["handler"] == "scripted"
        assert answer(root("post", "/jobs", by_handler), 201)["handler"] == "scripted"


def test_the_payload_is_checked_by_the_handlers_own_parameters(ada: Caller) -> None:
    body = {"name": "process-transactions", "schedule": DAILY, "payload": {"skipLimit": "many", "x": 1}}
    found = fields_of(ada("post", "/jobs", body))
    assert {"payload.skipLimit", "payload.x"} <= set(found)
    answer(ada("post", "/jobs", body | {"payload": {"skipLimit": 5}}), 201)


def test_the_payloads_own_keys_stay_as_they_are(ada: Caller) -> None:
    payload = {"snake_key": {"camelKey": [1, 2.5, None, True, "ü"]}, "cron_expression": "x"}
    assert create(ada, payload=payload, metadata=payload)["payload"] == payload


@pytest.mark.parametrize("host", ["169.254.169.254", "[::1]", "10.0.0.7"])
def test_an_address_that_no_call_may_go_to_is_warned_of(ada: Caller, settings: Any, host: str) -> None:
    body = {"name": "inner", "schedule": DAILY, "api": f"http://{host}/latest"}
    settings.HTTP_ALLOWED_CIDRS = []
    (warning,) = answer(ada("post", "/jobs", body), 201)["warnings"]
    assert warning.startswith("egress denied: ")
    settings.HTTP_ALLOWED_CIDRS = ["169.254.0.0/16", "::1/128", "10.0.0.0/8"]
    assert answer(ada("post", "/jobs", body), 201)["warnings"] == []


def test_a_job_that_does_nothing_is_warned_of(ada: Caller) -> None:
    def warned(**fields: Any) -> str:
        return " ".join(answer(ada("post", "/jobs", {"schedule": DAILY, **fields}), 201)["warnings"])

    assert warned(name="nightly").endswith("it does nothing and succeeds")
    assert "did you mean the handler process-transactions?" in warned(name="process-transaction")
    assert warned(name="meant so", handler="default") == ""
    assert warned(name="process-transactions") == ""


def test_warnings_tell_what_is_seldom_meant(ada: Caller) -> None:
    body = create(ada, schedule="0 0 13 * 5")
    assert any("both restricted" in text for text in body["warnings"])
    ended = create(ada, endAt="2020-01-01T00:00:00Z")
    assert "the schedule names no fire time from now on" in ended["warnings"]
    assert ended["nextRunAt"] is None


def test_without_a_token_nobody_makes_a_job_where_one_is_required() -> None:
    assert Caller()("post", "/jobs", {"name": "n", "schedule": DAILY}).status_code == 401
    assert not Job.objects.exists()


@override_settings(AUTH_MODE="optional")
def test_guests_make_jobs_of_nobody_under_the_name_they_give() -> None:
    guest = Caller()
    named = create(guest, createdBy="cron team", changedBy="x")
    plain = create(guest)
    assert (named["createdBy"], named["userId"]) == ("cron team", None)
    assert plain["createdBy"] == "guest"
    assert trail(named) == [("CREATED", "cron team")]
    assert answer(guest("get", "/jobs"))["total"] == 2


def test_the_same_key_makes_one_job_and_another_body_is_409(ada: Caller) -> None:
    body = {"name": "n", "schedule": DAILY}
    first = ada("post", "/jobs", body, **{"Idempotency-Key": "k1"})
    again = ada("post", "/jobs", body, **{"Idempotency-Key": "k1"})
    other = ada("post", "/jobs", body | {"name": "m"}, **{"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 409)
    assert (first.json(), first["Location"]) == (again.json(), again["Location"])
    assert Job.objects.count() == 1


def test_a_refused_request_leaves_its_key_unused(ada: Caller) -> None:
    assert ada("post", "/jobs", {"name": "n"}, **{"Idempotency-Key": "k1"}).status_code == 400
    answer(ada("post", "/jobs", {"name": "n", "schedule": DAILY}, **{"Idempotency-Key": "k1"}), 201)


@pytest.mark.parametrize("body", [[], "text", 5, None, [{"name": "n"}]])
def test_a_body_that_is_no_object_is_400(ada: Caller, body: Any) -> None:
    response = ada.client.post(
        "/api/v1/jobs",
        json.dumps(body),
        content_type="application/json",
        headers={"authorization": f"Bearer {ada.token}"},
    )
    assert response.status_code == 400
    assert response.json()["details"]


def test_times_are_read_with_any_offset_and_shown_in_utc(ada: Caller) -> None:
    body = create(ada, type="one_time", scheduledAt="2030-06-01T12:00:00.1239+02:00")
    assert body["scheduledAt"] == "2030-06-01T10:00:00.123Z"
    assert create(ada, type="one_time", scheduledAt="2030-06-01T12:00:00")["scheduledAt"] == (
        "2030-06-01T12:00:00.000Z"
    )
    assert row(body).scheduled_at == datetime(2030, 6, 1, 10, 0, 0, 123900, tzinfo=UTC)
