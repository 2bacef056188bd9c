"""Dead letters over the API: seen, requeued, resolved; one by one and many."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from executions.models import BulkRequeue, DeadLetter, Execution, Status
from jobs.models import AuditEntry
from tests.db.accounts.people import Caller, fields_of, make_user
from tests.db.executions.world import NOW, make_dead_letter, make_execution, make_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Any:
    return make_user("ada@example.com")


@pytest.fixture
def call(ada: Any) -> Caller:
    return Caller(ada)


def make_letter(user: Any, **fields: Any) -> DeadLetter:
    job = fields.pop("job", None) or make_job(user=user)
    failed = make_execution(job, status=Status.FAILED, completed_at=NOW, payload={"a": 1})
    return make_dead_letter(failed, **fields)


def test_open_letters_are_listed_the_newest_first(call: Caller, ada: Any) -> None:
    old = make_letter(ada, failed_at=NOW - timedelta(days=1), retry_attempts=2)
    new = make_letter(ada, failed_at=NOW)
    done = make_letter(ada, resolved=True, resolved_by="x", resolved_at=NOW)
    body = call("get", "/dlq").json()
    assert [item["id"] for item in body["items"]] == [str(new.id), str(old.id)]
    assert body["items"][1] == {
        "id": str(old.id),
        "executionId": str(old.execution_id),
        "jobId": str(old.execution.job.uuid),
        "failedAt": "2026-03-03T12:00:00.000Z",
        "errorDetails": {"message": "broken", "statusCode": None, "retryPolicy": None, "attempts": 1},
        "retryAttempts": 2,
        "resolved": False,
        "resolvedAt": None,
        "resolvedBy": None,
    }
    (shown,) = call("get", "/dlq?resolved=true").json()["items"]
    assert shown["id"] == str(done.id)
    (shown,) = call("get", f"/dlq?jobId={old.execution.job.uuid}").json()["items"]
    assert shown == call("get", f"/dlq/{old.id}").json()


def test_a_retry_is_a_new_execution_of_the_same_fire_time(call: Caller, ada: Any) -> None:
    letter = make_letter(ada)
    body = call("post", f"/dlq/{letter.id}/retry", {}).json()
    assert set(body) == {"executionId", "status"}
    again = Execution.objects.get(id=body["executionId"])
    assert (again.trigger, again.requeued_from, again.status) == ("requeue", letter.execution_id, "PENDING")
    assert again.scheduled_at == letter.execution.scheduled_at
    assert again.payload == {"a": 1}
    assert call("get", f"/dlq/{letter.id}").json()["resolvedBy"] == "ada@example.com"
    assert call("post", f"/dlq/{letter.id}/retry", {}).status_code == 409
    assert call("post", f"/dlq/{letter.id}/resolve").status_code == 409
    assert AuditEntry.objects.get().action == "REQUEUED"


def test_a_retry_may_replace_the_payload(call: Caller, ada: Any) -> None:
    key = call("post", f"/dlq/{make_letter(ada).id}/retry", {"payload": {"b": 2}}).json()["executionId"]
    assert Execution.objects.get(id=key).payload == {"b": 2}
    assert fields_of(call("post", f"/dlq/{make_letter(ada).id}/retry", {"payload": 1, "odd": 1})) == {
        "payload": "Must be an object",
        "odd": "Unknown field",
    }


@pytest.mark.parametrize("path", ["/dlq/{}/retry", "/dlq/retry"])
def test_a_payload_that_the_handler_does_not_take_is_refused_and_nothing_is_planned(
    call: Caller, ada: Any, path: str
) -> None:
    letter = make_letter(ada, job=make_job(user=ada, handler="process-transactions"))
    response = call("post", path.format(letter.id), {"payload": {"odd": 1}})
    assert set(fields_of(response)) == {"payload.odd"}
    assert Execution.objects.count() == 1
    assert not BulkRequeue.objects.exists()


def test_the_status_of_a_retry_speaks_the_words_of_the_family(call: Caller, ada: Any) -> None:
    job = make_job(
        user=ada,
        schedule_type="recurring",
        cron_expression=None,
        recurrence_pattern="daily",
        scheduled_at=NOW,
    )
    assert call("post", f"/dlq/{make_letter(ada, job=job).id}/retry", {}).json()["status"] == "pending"


def test_resolving_puts_it_to_rest(call: Caller, ada: Any) -> None:
    letter = make_letter(ada)
    body = call("post", f"/dlq/{letter.id}/resolve").json()
    assert (body["resolved"], body["resolvedBy"]) == (True, "ada@example.com")
    assert not Execution.objects.filter(trigger="requeue").exists()


def test_many_are_resolved_by_filter_or_by_ids(call: Caller, ada: Any) -> None:
    job = make_job(user=ada)
    mine = [make_letter(ada, job=job) for _ in range(2)]
    other = make_letter(ada)
    assert call("post", "/dlq/resolve", {"jobId": str(job.uuid)}).json() == {"count": 2}
    assert call("post", "/dlq/resolve", {"ids": [str(other.id), str(mine[0].id)]}).json() == {"count": 1}
    assert call("post", "/dlq/resolve", {}).json() == {"count": 0}


def test_a_bulk_retry_answers_where_to_follow_it(call: Caller, ada: Any) -> None:
    letters = [make_letter(ada) for _ in range(3)]
    response = call("post", "/dlq/retry", {"ratePerMinute": 60, "payload": {"x": 1}})
    assert response.status_code == 202
    body = response.json()
    assert body["count"] == 3
    bulk = BulkRequeue.objects.get(id=body["requeueId"])
    assert (bulk.canary, bulk.rate_per_minute, bulk.payload) == (True, 60, {"x": 1})
    assert set(bulk.filters["letters"]) == {str(letter.id) for letter in letters}
    assert call("get", f"/dlq/requeues/{bulk.id}").json() == {
        "id": str(bulk.id),
        "status": "canary",
        "count": 3,
        "done": 0,
        "failed": 0,
        "reason": None,
    }


def test_nobody_reaches_the_letters_and_requeues_of_others(ada: Any) -> None:
    letter = make_letter(ada)
    bulk = BulkRequeue.objects.create(user=ada)
    stranger = Caller(make_user("eve@example.com"))
    assert stranger("get", "/dlq").json()["total"] == 0
    for method, path in [
        ("get", f"/dlq/{letter.id}"),
        ("post", f"/dlq/{letter.id}/retry"),
        ("post", f"/dlq/{letter.id}/resolve"),
        ("get", f"/dlq/requeues/{bulk.id}"),
    ]:
        assert stranger(method, path, {} if method == "post" else None).status_code == 404
    assert stranger("post", "/dlq/resolve", {}).json() == {"count": 0}
    assert stranger("post", "/dlq/retry", {"jobId": str(letter.execution.job.uuid)}).json()["count"] == 0
    assert fields_of(stranger("post", "/dlq/resolve", {"ids": [str(letter.id)]})) == {
        "ids.0": "Unknown dead letter"
    }
    assert DeadLetter.objects.filter(resolved=False).count() == 1


def test_staff_do_what_their_group_allows(ada: Any) -> None:
    letter = make_letter(ada)
    viewer = Caller(make_user("v@example.com", is_staff=True, groups=("viewers",)))
    assert viewer("get", f"/dlq/{letter.id}").status_code == 200
    for path in (f"/dlq/{letter.id}/retry", f"/dlq/{letter.id}/resolve", "/dlq/resolve", "/dlq/retry"):
        assert viewer("post", path, {}).status_code == 403
    operator = Caller(make_user("o@example.com", is_staff=True, groups=("operators",)))
    assert operator("post", "/dlq/resolve", {}).json() == {"count": 1}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"ids": ["1"]}, "ids.0"),
        ({"ids": [str(uuid.uuid4())] * 1001}, "ids"),
        ({"resolved": True}, "resolved"),
        ({"jobId": "x"}, "jobId"),
        ({"ratePerMinute": 0}, "ratePerMinute"),
        ({"canary": "yes"}, "canary"),
        ({"limit": 3}, "limit"),
    ],
)
def test_bad_bulk_bodies_are_named(call: Caller, body: Any, field: str) -> None:
    assert set(fields_of(call("post", "/dlq/retry", body))) == {field}


def test_the_list_takes_the_same_number_of_queries_whatever_it_holds(call: Caller, ada: Any) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as found:
            call("get", "/dlq?limit=100")
        return len(found)

    make_letter(ada)
    few = count()
    for _ in range(8):
        make_letter(ada)
    assert count() == few <= 4
