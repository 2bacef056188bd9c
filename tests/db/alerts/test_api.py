"""The routes of alerts: what they answer, whom they refuse, and what they never show."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from cryptography.fernet import Fernet

from accounts.models import User
from alerts import addresses
from alerts.models import Alert, Delivery
from jobs.models import AuditEntry, Job
from tests.db.accounts.people import Caller, fields_of, make_user
from tests.db.alerts.world import end, make_alert, tag
from tests.factories import NOON, make_job

pytestmark = pytest.mark.django_db

CANARY = "c4n4ry-s3cr3t"
HOOK = "https://hooks.example.org/alerts"
DEFAULTS = {
    "onFailure": True,
    "onSuccess": False,
    "consecutiveFailures": 1,
    "onRecovery": False,
    "onLate": None,
    "onMissed": False,
    "onLongRunning": None,
    "onDeadLetter": False,
}


@pytest.fixture
def ada() -> User:
    return make_user("ada@example.com")


@pytest.fixture
def call(ada: User) -> Caller:
    return Caller(ada)


@pytest.fixture
def job(ada: User) -> Job:
    return make_job(name="nightly", user=ada)


def create(call: Caller, **fields: Any) -> Any:
    return call("post", "/alerts", {"type": "WEBHOOK", "endpoint": HOOK} | fields)


# Making ----------------------------------------------------------------------------------------------


def test_an_alert_of_a_job_answers_all_of_itself(call: Caller, job: Job, ada: User) -> None:
    response = call("post", f"/jobs/{job.uuid}/alerts", {"type": "webhook", "endpoint": HOOK})

    assert response.status_code == 201, response.content
    body = response.json()
    alert = Alert.objects.get()
    assert response["Location"] == f"/api/v1/alerts/{alert.id}"
    assert body == {
        "id": str(alert.id),
        "jobId": str(job.uuid),
        "tag": None,
        "type": "WEBHOOK",
        "endpoint": HOOK,
        "conditions": DEFAULTS,
        "enabled": True,
        "createdAt": body["createdAt"],
        "updatedAt": body["createdAt"],
    }
    assert alert.user_id == ada.id
    assert call("get", f"/alerts/{alert.id}").json() == body
    assert call("get", f"/jobs/{job.uuid}/alerts").json()["alerts"] == [body]


def test_an_alert_is_for_a_job_for_a_tag_or_for_all_jobs(call: Caller, job: Job) -> None:
    tag(job, "nightly-jobs")
    of_job = create(call, jobId=str(job.uuid)).json()
    of_tag = create(call, tag="nightly-jobs").json()
    of_all = create(call).json()

    assert [(one["jobId"], one["tag"]) for one in (of_job, of_tag, of_all)] == [
        (str(job.uuid), None),
        (None, "nightly-jobs"),
        (None, None),
    ]
    listed = call("get", "/alerts").json()
    assert listed["alerts"] == [of_all, of_tag, of_job]
    assert listed["total"] == 3
    assert [one["id"] for one in call("get", f"/jobs/{job.uuid}/alerts").json()["alerts"]] == [of_job["id"]]


def test_conditions_are_kept_as_given(call: Caller) -> None:
    given = {
        "onFailure": False,
        "onSuccess": True,
        "consecutiveFailures": 5,
        "onRecovery": True,
        "onLate": 60,
        "onMissed": True,
        "onLongRunning": 3600,
        "onDeadLetter": True,
    }

    assert create(call, conditions=given).json()["conditions"] == given
    assert create(call, conditions={"onLate": 9}).json()["conditions"] == DEFAULTS | {"onLate": 9}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"type": "PIGEON"}, "type"),
        ({"type": None}, "type"),
        ({"endpoint": ""}, "endpoint"),
        ({"endpoint": "ops@example.org"}, "endpoint"),
        ({"endpoint": 7}, "endpoint"),
        ({"endpoint": "https://example.org/?token=***"}, "endpoint"),
        ({"type": "EMAIL", "endpoint": HOOK}, "endpoint"),
        ({"type": "SLACK", "endpoint": "slack://a/b"}, "endpoint"),
        ({"type": "APPRISE", "endpoint": "discord://id/token"}, "type"),
        ({"enabled": "yes"}, "enabled"),
        ({"conditions": []}, "conditions"),
        ({"conditions": {"onFailure": 1}}, "conditions.onFailure"),
        ({"conditions": {"onFailure": None}}, "conditions.onFailure"),
        ({"conditions": {"consecutiveFailures": 0}}, "conditions.consecutiveFailures"),
        ({"conditions": {"consecutiveFailures": "3"}}, "conditions.consecutiveFailures"),
        ({"conditions": {"onLate": 0}}, "conditions.onLate"),
        ({"conditions": {"onLate": True}}, "conditions.onLate"),
        ({"conditions": {"onLongRunning": 10**9}}, "conditions.onLongRunning"),
        ({"conditions": {"onFire": True}}, "conditions.onFire"),
        ({"jobId": "7"}, "jobId"),
        ({"jobId": str(uuid.uuid4())}, "jobId"),
        ({"tag": "unknown"}, "tag"),
        ({"tag": 7}, "tag"),
        ({"userId": str(uuid.uuid4())}, "userId"),
        ({"createdAt": "2026-01-01T00:00:00Z"}, "createdAt"),
    ],
)
def test_a_bad_field_is_named(call: Caller, fields: dict[str, Any], field: str) -> None:
    response = create(call, **fields)

    assert field in fields_of(response)
    assert not Alert.objects.exists()


def test_what_is_missing_is_required(call: Caller) -> None:
    assert fields_of(call("post", "/alerts", {})) == {"type": "Required", "endpoint": "Required"}


def test_job_and_tag_together_are_refused(call: Caller, job: Job) -> None:
    tag(job, "nightly-jobs")

    assert "tag" in fields_of(create(call, jobId=str(job.uuid), tag="nightly-jobs"))


def test_the_job_in_the_address_cannot_be_another_in_the_body(call: Caller, job: Job) -> None:
    body = {"type": "WEBHOOK", "endpoint": HOOK, "jobId": str(job.uuid)}

    assert "jobId" in fields_of(call("post", f"/jobs/{job.uuid}/alerts", body))


# Changing --------------------------------------------------------------------------------------------


def test_a_change_leaves_alone_what_it_does_not_name(call: Caller) -> None:
    made = create(call, conditions={"onLate": 60, "consecutiveFailures": 3}).json()
    path = f"/alerts/{made['id']}"

    changed = call("patch", path, {"conditions": {"onSuccess": True}}).json()
    assert changed["conditions"] == made["conditions"] | {"onSuccess": True}
    changed = call("patch", path, {"conditions": {"onLate": None}, "enabled": False}).json()
    assert changed["conditions"]["onLate"] is None
    assert changed["enabled"] is False
    assert changed["endpoint"] == HOOK
    assert changed["updatedAt"] >= made["updatedAt"]
    changed = call("patch", path, {"type": "EMAIL", "endpoint": "ops@example.org"}).json()
    assert (changed["type"], changed["endpoint"]) == ("EMAIL", "ops@example.org")


@pytest.mark.parametrize(
    "body",
    [
        {"type": "EMAIL"},
        {"endpoint": "ops@example.org"},
        {"endpoint": None},
        {"jobId": None},
        {"tag": "x"},
        {"id": str(uuid.uuid4())},
    ],
)
def test_a_change_that_does_not_fit_is_refused(call: Caller, body: dict[str, Any]) -> None:
    made = create(call).json()

    assert fields_of(call("patch", f"/alerts/{made['id']}", body))
    assert call("get", f"/alerts/{made['id']}").json() == made


def test_a_removed_alert_is_gone_with_its_deliveries(call: Caller, job: Job) -> None:
    made = create(call).json()
    Delivery.objects.create(id=uuid.uuid4(), alert_id=made["id"], event="job.failed")

    assert call("delete", f"/alerts/{made['id']}").status_code == 204
    assert call("get", f"/alerts/{made['id']}").status_code == 404
    assert not Delivery.objects.exists()


def test_every_change_is_in_the_audit(call: Caller) -> None:
    path = f"/alerts/{create(call).json()['id']}"
    call("patch", path, {"enabled": False})
    call("patch", path, {"enabled": False})
    call("delete", path)

    entries = AuditEntry.objects.order_by("id")
    assert [entry.action for entry in entries] == ["CREATED", "UPDATED", "DELETED"]
    assert {entry.subject for entry in entries} == {f"alert:{path.rpartition('/')[2]}"}
    assert {entry.changed_by for entry in entries} == {"ada@example.com"}
    assert entries[1].change_details == {"enabled": {"old": True, "new": False}}


# Secrets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "endpoint"),
    [
        ("WEBHOOK", f"https://hooks.example.org/x?token={CANARY}"),
        ("WEBHOOK", f"https://user:{CANARY}@hooks.example.org/x"),
        ("SLACK", f"https://hooks.slack.com/services/T0/B0/{CANARY}"),
        ("APPRISE", f"discord://{CANARY}/{CANARY}"),
    ],
)
def test_a_secret_in_the_address_is_shown_nowhere_and_kept_when_sent_back(kind: str, endpoint: str) -> None:
    call = Caller(make_user("boss@example.com", is_staff=True, groups=("admins",)))
    response = create(call, type=kind, endpoint=endpoint)
    assert response.status_code == 201, response.content
    made = response.json()
    path = f"/alerts/{made['id']}"
    assert "***" in made["endpoint"]

    sent_back = call("patch", path, {"type": kind, "endpoint": made["endpoint"], "enabled": False})
    assert sent_back.status_code == 200, sent_back.content
    stored = Alert.objects.get().endpoint
    assert addresses.reveal(stored) == endpoint
    assert CANARY not in stored
    altered = call("patch", path, {"endpoint": made["endpoint"] + "x"})
    assert "endpoint" in fields_of(altered)
    call("delete", path)
    answers = [response, sent_back, altered, call("get", "/alerts")]
    audit = json.dumps(list(AuditEntry.objects.values_list("change_details", flat=True)))
    assert all(CANARY not in answer.content.decode() for answer in answers)
    assert CANARY not in audit


@pytest.mark.parametrize("length", [1400, 1500])
def test_an_address_with_a_secret_may_be_as_long_as_its_sealed_form_has_room(
    call: Caller, length: int
) -> None:
    start = "https://hooks.example.org/x?token="
    made = create(call, endpoint=start + "x" * (length - len(start)))

    assert made.status_code == (201 if length == 1400 else 400), made.content
    assert length == 1400 or "endpoint" in fields_of(made)


def test_an_address_that_no_key_opens_is_shown_as_a_mask_and_sent_to_nowhere(
    call: Caller, settings: Any
) -> None:
    path = f"/alerts/{create(call, endpoint='https://hooks.example.org/x?token=abc').json()['id']}"
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    assert call("get", path).json()["endpoint"] == "***"
    assert call("patch", path, {"endpoint": "***", "enabled": False}).status_code == 200
    assert "ENCRYPTION_KEYS" in call("post", f"{path}/test").json()["error"]
    moved = call("patch", path, {"endpoint": "https://hooks.example.org/y?token=abc"})
    assert moved.json()["endpoint"] == "https://hooks.example.org/y?token=***"


def test_a_plain_address_that_sql_wrote_is_used_and_sealed_at_the_next_rotation(settings: Any) -> None:
    old = settings.ENCRYPTION_KEYS[0]
    plain = Alert.objects.create(type="SLACK", endpoint="https://hooks.slack.com/services/T0/B0/abc")
    mail = Alert.objects.create(type="EMAIL", endpoint="ops@example.org")
    assert addresses.reveal(plain.endpoint) == plain.endpoint

    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), old]
    assert addresses.rotate() == 1
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[:1]
    sealed = Alert.objects.get(id=plain.id).endpoint
    assert "abc" not in sealed
    assert addresses.reveal(sealed) == plain.endpoint
    assert Alert.objects.get(id=mail.id).endpoint == "ops@example.org"


# Whose -------------------------------------------------------------------------------------------------


def test_what_belongs_to_others_does_not_exist(call: Caller) -> None:
    bob = make_user("bob@example.com")
    his_job = make_job(user=bob)
    his_tag = tag(his_job, "his-tag")
    his = make_alert(user=bob, job=his_job)
    before = call("get", "/alerts").json()["total"]

    assert call("get", f"/alerts/{his.id}").status_code == 404
    assert call("patch", f"/alerts/{his.id}", {"enabled": False}).status_code == 404
    assert call("delete", f"/alerts/{his.id}").status_code == 404
    assert call("get", f"/alerts/{his.id}/deliveries").status_code == 404
    assert call("post", f"/alerts/{his.id}/test").status_code == 404
    assert call("get", f"/jobs/{his_job.uuid}/alerts").status_code == 404
    assert create_for(call, his_job).status_code == 404
    assert "jobId" in fields_of(create(call, jobId=str(his_job.uuid)))
    assert "tag" in fields_of(create(call, tag=his_tag.name))
    assert before == 0
    assert Alert.objects.get() == his


def create_for(call: Caller, job: Job) -> Any:
    return call("post", f"/jobs/{job.uuid}/alerts", {"type": "WEBHOOK", "endpoint": HOOK})


def test_a_deleted_job_takes_no_alerts(call: Caller, ada: User) -> None:
    gone = make_job(user=ada, state="deleted")

    assert create_for(call, gone).status_code == 404
    assert "jobId" in fields_of(create(call, jobId=str(gone.uuid)))


def test_ids_that_are_none_are_called_so(call: Caller) -> None:
    assert "id" in fields_of(call("get", "/alerts/7"))
    assert call("get", f"/alerts/{uuid.uuid4()}").json()["error"] == "Alert not found"
    assert call("get", f"/jobs/{uuid.uuid4()}/alerts").json()["error"] == "Job not found"


@pytest.mark.parametrize(("group", "allowed"), [("viewers", False), ("operators", False), ("admins", True)])
def test_staff_see_all_and_change_what_their_group_allows(
    job: Job, ada: User, group: str, allowed: bool
) -> None:
    alert = make_alert(user=ada, job=job)
    staff = Caller(make_user("boss@example.com", is_staff=True, groups=(group,)))

    assert staff("get", f"/alerts/{alert.id}").status_code == 200
    assert staff("patch", f"/alerts/{alert.id}", {"enabled": False}).status_code == (200 if allowed else 403)
    assert create_for(staff, job).status_code == (201 if allowed else 403)
    assert create(staff, jobId=str(job.uuid)).status_code == (201 if allowed else 403)
    assert create(staff).status_code == 201
    if allowed:
        assert set(Alert.objects.filter(job=job).values_list("user_id", flat=True)) == {ada.id}


def test_guests_have_their_own_where_they_are_let_in(settings: Any, ada: User) -> None:
    nobodys, hers = make_job(), make_job(user=ada)
    guest = Caller()
    assert create(guest).status_code == 401

    settings.AUTH_MODE = "optional"
    assert create_for(guest, nobodys).status_code == 201
    assert create_for(guest, hers).status_code == 404
    assert create(guest).status_code == 201
    assert "type" in fields_of(create(guest, type="APPRISE", endpoint="discord://id/token"))
    assert set(Alert.objects.values_list("user_id", flat=True)) == {None}
    assert AuditEntry.objects.filter(changed_by="guest").count() == 2


# Deliveries and tests --------------------------------------------------------------------------------------


def test_deliveries_tell_what_became_of_each_message(call: Caller, job: Job, ada: User) -> None:
    alert = make_alert(user=ada, job=job)
    execution = end(job, "FAILED", 0)
    sent = Delivery.objects.create(
        id=uuid.uuid4(),
        alert=alert,
        execution_id=execution.id,
        job_id=job.id,
        event="job.failed",
        status="FAILED",
        tries=3,
        error="HTTP 500: Internal Server Error",
        created_at=NOON,
    )
    Delivery.objects.create(
        id=uuid.uuid4(),
        alert=alert,
        execution_id=uuid.uuid4(),
        job_id=job.id,
        event="job.missed",
        details={"unplanned": True},
    )

    body = call("get", f"/alerts/{alert.id}/deliveries").json()
    assert body["total"] == 2
    assert body["deliveries"][0]["executionId"] is None
    assert body["deliveries"][1] == {
        "id": str(sent.id),
        "alertId": str(alert.id),
        "jobId": str(job.uuid),
        "executionId": str(execution.id),
        "event": "job.failed",
        "status": "FAILED",
        "tries": 3,
        "nextTryAt": None,
        "error": "HTTP 500: Internal Server Error",
        "createdAt": "2026-03-02T12:00:00.000Z",
    }


def test_a_test_says_why_it_did_not_arrive(call: Caller) -> None:
    made = create(call, endpoint="http://127.0.0.1:9/").json()
    response = call("post", f"/alerts/{made['id']}/test")

    assert response.status_code == 200
    assert response.json()["delivered"] is False
    assert "HTTP_ALLOWED_CIDRS" in response.json()["error"]
    assert not Delivery.objects.exists()


def test_a_test_mail_arrives(call: Caller, mailoutbox: list[Any]) -> None:
    made = create(call, type="EMAIL", endpoint="ops@example.org").json()

    assert call("post", f"/alerts/{made['id']}/test").json() == {"delivered": True, "error": None}
    assert mailoutbox[0].to == ["ops@example.org"]


def test_an_alert_that_sql_wrote_with_what_it_needs_is_shown(call: Caller, job: Job, ada: User) -> None:
    alert = make_alert(user=ada, job=job, conditions={"onLate": "soon", "onSuccess": True})

    assert call("get", f"/alerts/{alert.id}").json()["conditions"] == DEFAULTS | {"onSuccess": True}
