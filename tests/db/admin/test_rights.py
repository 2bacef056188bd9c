"""What each group may do: viewers look, operators act, admins change; all by POST, with a token."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import ApiToken
from executions.models import DeadLetter, Execution
from jobs.models import AuditEntry, Job, JobState, Queue
from tests.db.accounts.people import make_user
from tests.db.admin.world import browse, make_admin_job, make_letter, make_run, staff

pytestmark = pytest.mark.django_db

NOBODY, VIEWERS, OPERATORS, ADMINS = "", "viewers", "operators", "admins"
OPERATING = ("run", "pause", "cancel", "reschedule", "backfill")
CHANGING = ("tag", "duplicate", "delete")


def person(group: str) -> Client:
    return browse(make_user("nogroup@example.com", is_staff=True) if not group else staff(group))


def url(job: Job, verb: str) -> str:
    return reverse("admin:jobs_job_verb", args=(job.pk, verb))


@pytest.mark.parametrize("group", [NOBODY, VIEWERS])
@pytest.mark.parametrize("verb", [*OPERATING, *CHANGING])
def test_those_who_look_do_nothing(group: str, verb: str) -> None:
    job = make_admin_job()
    client = person(group)
    assert client.get(url(job, verb)).status_code == 403
    assert client.post(url(job, verb), {"confirmed": "1"}).status_code == 403
    assert Job.objects.get().state == JobState.ACTIVE
    assert not Execution.objects.exists()


@pytest.mark.parametrize("verb", CHANGING)
def test_operators_change_no_job(verb: str) -> None:
    job = make_admin_job()
    assert person(OPERATORS).post(url(job, verb), {"confirmed": "1", "add": "x"}).status_code == 403
    assert Job.objects.get().state == JobState.ACTIVE
    assert Job.objects.count() == 1


def test_operators_pause_resume_run_and_cancel() -> None:
    job, client = make_admin_job(), person(OPERATORS)
    client.post(url(job, "pause"), {"reason": "month end", "confirmed": "1"})
    assert (Job.objects.get().state, Job.objects.get().paused_reason) == ("paused", "month end")
    client.post(url(job, "resume"))
    client.post(url(job, "run"))
    assert Execution.objects.get().triggered_by == "operators@example.com"
    client.post(url(job, "cancel"))
    assert Job.objects.get().state == "cancelled"
    actions = list(AuditEntry.objects.order_by("id").values_list("action", "changed_by"))[1:]
    assert actions == [
        (action, "operators@example.com") for action in ("PAUSED", "RESUMED", "TRIGGERED", "CANCELLED")
    ]


@pytest.mark.parametrize("group", [NOBODY, VIEWERS, OPERATORS])
def test_only_admins_save_a_job(group: str) -> None:
    job = make_admin_job()
    path = reverse("admin:jobs_job_change", args=(job.pk,))
    client = person(group)
    assert client.get(path).status_code == 200
    assert client.post(path, {"name": "changed"}).status_code == 403
    assert client.post(reverse("admin:jobs_job_add"), {"name": "new"}).status_code == 403
    assert client.post(reverse("admin:jobs_job_rollback", args=(job.pk,)), {"version": 1}).status_code == 403
    assert [one.name for one in Job.objects.all()] == ["nightly"]


@pytest.mark.parametrize("group", [NOBODY, VIEWERS])
def test_those_who_look_touch_no_queue_and_no_dead_letter(group: str) -> None:
    letter = make_letter(make_admin_job())
    client = person(group)
    for name, values in (
        ("admin:jobs_queue_pause", {"name": "default"}),
        ("admin:jobs_queue_resume", {"name": "default"}),
        ("admin:jobs_queue_limit", {"name": "default", "max_concurrent": "1"}),
    ):
        assert client.post(reverse(name), values).status_code == 403
    for verb in ("requeue", "resolve"):
        path = reverse("admin:executions_deadletter_verb", args=(letter.pk, verb))
        assert client.post(path).status_code == 403
    bulk: dict[str, Any] = {"action": "resolve", "_selected_action": str(letter.pk), "confirmed": "1"}
    client.post(reverse("admin:executions_deadletter_changelist"), bulk)
    assert not DeadLetter.objects.get().resolved
    assert not Queue.objects.exists()


def test_operators_pause_queues_but_set_no_limits() -> None:
    client = person(OPERATORS)
    client.post(reverse("admin:jobs_queue_pause"), {"name": "*", "reason": "incident"})
    assert Queue.objects.get(name="*").paused
    assert (
        client.post(reverse("admin:jobs_queue_limit"), {"name": "*", "max_concurrent": "1"}).status_code
        == 403
    )


def test_nothing_is_done_by_get() -> None:
    job = make_admin_job()
    run = make_run(job, "RUNNING")
    letter = make_letter(job, ago=timedelta(hours=2))
    client = person(ADMINS)
    for verb in ("run", "pause", "cancel", "delete", "duplicate"):
        assert client.get(url(job, verb)).status_code == 200
    client.get(reverse("admin:executions_execution_verb", args=(run.pk, "cancel")))
    client.get(reverse("admin:executions_deadletter_verb", args=(letter.pk, "resolve")))
    for name in ("pause", "resume", "limit"):
        assert client.get(reverse(f"admin:jobs_queue_{name}"), {"name": "*"}).status_code == 405
    assert client.get(reverse("admin:jobs_job_rollback", args=(job.pk,))).status_code == 405
    assert Job.objects.get().state == JobState.ACTIVE
    assert Execution.objects.count() == 2
    assert not Execution.objects.get(pk=run.pk).cancel_requested
    assert not DeadLetter.objects.get().resolved


def test_a_post_without_the_token_is_refused() -> None:
    job = make_admin_job()
    client = Client(enforce_csrf_checks=True)
    client.force_login(staff(), backend="accounts.backends.StaffBackend")
    assert client.post(url(job, "run")).status_code == 403
    assert client.post(reverse("admin:jobs_queue_pause"), {"name": "*"}).status_code == 403
    assert not Execution.objects.exists()
    assert not Queue.objects.exists()


def test_those_who_look_see_no_secret_header() -> None:
    job = make_admin_job(headers={"Authorization": "Bearer hush", "X-Team": "ops"})
    assert "hush" not in str(Job.objects.get().headers)
    for group in (VIEWERS, ADMINS):
        page = person(group).get(reverse("admin:jobs_job_change", args=(job.pk,))).content.decode()
        assert "hush" not in page
        assert "sealed:" not in page
        assert "X-Team" in page


SECRET_PAYLOAD = {"apiKey": "hush", "n": 1, "deep": [{"password": "hush"}]}


def test_a_secret_of_the_payload_is_shown_in_the_job_object_only() -> None:
    job = make_admin_job(
        payload=SECRET_PAYLOAD, handler="http", api_endpoint="https://example.com/?token=hush"
    )
    run, letter = make_run(job), make_letter(job, ago=timedelta(hours=2))
    client = person(ADMINS)
    for path in (
        reverse("admin:executions_execution_change", args=(run.pk,)),
        reverse("admin:executions_deadletter_verb", args=(letter.pk, "requeue")),
        reverse("admin:jobs_job_audit", args=(job.pk,)),
        reverse("admin:jobs_job_versions", args=(job.pk,)),
        url(job, "run"),
    ):
        assert "hush" not in client.get(path).content.decode(), path


def test_a_masked_secret_that_comes_back_keeps_what_is_stored() -> None:
    job = make_admin_job(payload=SECRET_PAYLOAD, handler="default")
    masked = '{"apiKey": "***", "n": 2, "deep": [{"password": "***"}]}'
    person(OPERATORS).post(url(job, "run"), {"payload": masked, "confirmed": "1"})
    assert Execution.objects.get().payload == SECRET_PAYLOAD | {"n": 2}


def test_what_is_done_to_users_and_keys_is_audited() -> None:
    client, user = person(ADMINS), make_user("gone@example.com")
    client.post("/admin/accounts/apitoken/add/", {"name": "nightly"})
    key = ApiToken.objects.get()
    client.post(f"/admin/accounts/apitoken/{key.pk}/delete/", {"post": "yes"})
    form = {"usable_password": "true", "password1": "a long word", "password2": "a long word"}
    client.post(f"/admin/accounts/user/{user.pk}/password/", form)
    client.post(f"/admin/accounts/user/{user.pk}/delete/", {"post": "yes"})
    found = list(AuditEntry.objects.order_by("id").values_list("action", "subject", "changed_by"))
    by = "admins@example.com"
    assert found == [
        ("CREATED", f"key:{key.pk}", by),
        ("DELETED", f"key:{key.pk}", by),
        ("UPDATED", f"user:{user.pk}", by),
        ("DELETED", f"user:{user.pk}", by),
    ]


def test_buttons_are_shown_only_to_those_who_may_press_them() -> None:
    make_admin_job()
    path = reverse("admin:jobs_job_changelist")
    assert "Run now" not in person(VIEWERS).get(path).content.decode()
    assert "Run now" in person(OPERATORS).get(path).content.decode()
