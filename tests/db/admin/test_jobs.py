"""The form of a job and what its lists do, checked in the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from executions import operations
from executions.engine import clock
from executions.models import Execution
from jobs import manifest
from jobs.audit import actor_of
from jobs.models import AuditEntry, Dependency, Job, JobVersion
from tests.db.admin.world import browse, make_admin_job, make_letter, make_run, staff
from web.admin import shown

pytestmark = pytest.mark.django_db

FORM: dict[str, Any] = {
    "name": "nightly",
    "description": "",
    "tags": "",
    "schedule_type": "cron",
    "cron_expression": "0 3 * * *",
    "recurrence_pattern": "",
    "timezone": "",
    "calendar": "",
    "business_day_shift": "none",
    "jitter_seconds": "0",
    "handler": "default",
    "payload": "",
    "api_endpoint": "",
    "method": "POST",
    "headers": "",
    "metadata": "",
    "timeout_ms": "",
    "retry_policy": "",
    "execution_type": "ATLEAST_ONCE",
    "queue": "default",
    "priority": "5",
    "max_concurrent_executions": "1",
    "overlap_policy": "queue",
    "rate_limit_per_minute": "",
    "catch_up": "latest",
    "misfire_grace_seconds": "60",
    "depends_on": "",
    "dependency_mode": "all",
    "dependency_wait_seconds": "3600",
}
ADD = "/admin/jobs/job/add/"


def errors_of(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.content[:500]
    return dict(answer.context["adminform"].form.errors)


def change(job: Job) -> str:
    return reverse("admin:jobs_job_change", args=(job.pk,))


def test_a_job_is_made_with_tags_and_dependencies() -> None:
    other = make_admin_job("first", by=staff())
    form = FORM | {"tags": "a, b", "depends_on": "first", "payload": '{"n": 1}', "timezone": "Europe/Berlin"}
    assert browse(staff()).post(ADD, form).status_code == 302
    job = Job.objects.get(name="nightly")
    assert (job.origin, job.user, job.payload, job.timezone) == ("admin", staff(), {"n": 1}, "Europe/Berlin")
    assert job.next_run_at is not None
    assert sorted(tag.name for tag in job.tags.all()) == ["a", "b"]
    assert Dependency.objects.get(job=job).depends_on == other
    assert JobVersion.objects.filter(job=job).count() == 1
    assert AuditEntry.objects.filter(job=job).get().changed_by == "admins@example.com"


@pytest.mark.parametrize("kind", ["recurring", "one_time"])
def test_other_kinds_are_made_without_the_fields_of_cron(kind: str) -> None:
    form = FORM | {"schedule_type": kind, "recurrence_pattern": "daily", "cron_expression": "left over"}
    form |= {"scheduled_at_0": "2030-01-01", "scheduled_at_1": "10:00:00"}
    assert browse(staff()).post(ADD, form).status_code == 302
    job = Job.objects.get()
    assert (job.schedule_type, job.cron_expression) == (kind, None)
    assert job.next_run_at is not None
    assert job.next_run_at.isoformat() == "2030-01-01T10:00:00+00:00"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"cron_expression": "61 * * * *"}, "cron_expression"),
        ({"cron_expression": ""}, "cron_expression"),
        ({"name": ""}, "name"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"payload": "[1]"}, "payload"),
        ({"payload": "{"}, "payload"),
        ({"payload": '{"a": NaN}'}, "payload"),
        ({"headers": '{"Host": "x"}'}, "headers"),
        ({"headers": '{"X-Key": "***"}'}, "headers"),
        ({"api_endpoint": "javascript:alert(1)", "handler": "http"}, "api_endpoint"),
        ({"handler": "http"}, "api_endpoint"),
        ({"retry_policy": '{"maxRetries": 99}'}, "retry_policy"),
        ({"priority": "12"}, "priority"),
        ({"tags": "x" * 101}, "tags"),
        ({"depends_on": "no such job"}, "depends_on"),
        ({"queue": "not a slug"}, "queue"),
    ],
)
def test_what_is_wrong_is_told_beside_the_field(changes: dict[str, str], field: str) -> None:
    answer = browse(staff()).post(ADD, FORM | changes)
    assert field in errors_of(answer)
    assert not Job.objects.exists()


def test_a_change_shows_old_and_new_runs_and_keeps_a_version() -> None:
    job, client = make_admin_job(), browse(staff())
    answer = client.post(
        change(job),
        FORM | {"cron_expression": "0 4 * * *", "seen_version": "1", "_continue": "1"},
        follow=True,
    )
    assert "The next runs changed." in answer.content.decode()
    assert 'class="side-by-side"' in answer.content.decode()
    assert Job.objects.get().cron_expression == "0 4 * * *"
    assert Job.objects.get().version == 2
    entry = AuditEntry.objects.filter(action="UPDATED").get()
    assert entry.change_details["cron_expression"] == {"old": "0 3 * * *", "new": "0 4 * * *"}


def test_saving_without_a_change_changes_nothing() -> None:
    job = make_admin_job(
        handler="default",
        headers={"X-Key": "hush"},
        retry_policy={"maxRetries": 2, "fromMaxRetries": True},
    )
    client = browse(staff())
    page = client.get(change(job)).context["adminform"].form
    form = {name: page.get_initial_for_field(field, name) for name, field in page.fields.items()}
    posted = FORM | {
        name: page.fields[name].prepare_value(value) for name, value in form.items() if value is not None
    }
    assert client.post(change(job), posted).status_code == 302
    assert Job.objects.get().version == 1
    assert not AuditEntry.objects.filter(action="UPDATED").exists()


def test_a_change_over_somebody_elses_is_refused() -> None:
    job, client = make_admin_job(), browse(staff())
    Job.objects.filter(pk=job.pk).update(version=7)
    answer = client.post(change(job), FORM | {"name": "mine", "seen_version": "1"})
    assert "Somebody changed this job meanwhile" in answer.content.decode()
    assert Job.objects.get().name == "nightly"


def test_a_circle_is_refused() -> None:
    first, client = make_admin_job("first", by=staff()), browse(staff())
    second = make_admin_job("second", by=staff())
    Dependency.objects.create(job=second, depends_on=first)
    answer = client.post(change(first), FORM | {"name": "first", "seen_version": "1", "depends_on": "second"})
    assert "a circle" in str(errors_of(answer)["depends_on"])


def test_the_preview_speaks_while_one_types() -> None:
    client = browse(staff("viewers"))
    path = reverse("admin:jobs_job_preview")
    good = client.post(path, {"cron_expression": "30 2 * * *", "timezone": "Europe/Berlin"}).json()["html"]
    assert "Europe/Berlin" in good
    assert good.count("<tr>") == 11
    bad = client.post(path, {"cron_expression": "61 <b>"}).json()["html"]
    assert "✕" in bad
    assert "<b>" not in bad
    assert client.get(path).status_code == 405


def test_a_run_may_have_a_payload_of_its_own() -> None:
    job, client = make_admin_job(handler="default", payload={"a": 1}), browse(staff("operators"))
    path = reverse("admin:jobs_job_verb", args=(job.pk, "run"))
    assert "&quot;a&quot;: 1" in client.get(path).content.decode()
    answer = client.post(path, {"payload": '{"a": 2}', "confirmed": "1"})
    run = Execution.objects.get()
    assert answer["Location"] == reverse("admin:executions_execution_change", args=(run.pk,))
    assert run.payload == {"a": 2}


def test_a_payload_that_is_no_object_is_told_on_the_page() -> None:
    job = make_admin_job(handler="default")
    path = reverse("admin:jobs_job_verb", args=(job.pk, "run"))
    answer = browse(staff("operators")).post(path, {"payload": "[1]", "confirmed": "1"})
    assert answer.status_code == 200
    assert "Must be an object" in answer.content.decode()
    assert not Execution.objects.exists()


def bulk(jobs: list[Job], action: str, **more: str) -> Any:
    values = {"action": action, "_selected_action": [str(job.pk) for job in jobs], **more}
    return browse(staff()).post(reverse("admin:jobs_job_changelist"), values, follow=True)


def test_many_jobs_are_paused_after_a_page_that_says_so() -> None:
    jobs = [make_admin_job(f"job {number}") for number in range(3)]
    page = bulk(jobs, "pause", index="0")
    assert "what waits goes on waiting" in page.content.decode()
    assert Job.objects.filter(state="paused").count() == 0
    answer = bulk(jobs[:2], "pause", confirmed="1", reason="release")
    assert "2 jobs: paused." in answer.content.decode()
    assert sorted(Job.objects.filter(state="paused").values_list("name", "paused_reason")) == [
        ("job 0", "release"),
        ("job 1", "release"),
    ]


def test_what_cannot_be_done_to_some_is_told_with_its_reason() -> None:
    jobs = [make_admin_job("runs"), make_admin_job("stands")]
    bulk(jobs[1:], "pause", confirmed="1")
    answer = bulk(jobs, "pause", confirmed="1").content.decode()
    assert "1 job: paused." in answer
    assert "stands: Cannot pause job in paused status" in answer


@pytest.mark.parametrize(
    ("action", "values", "check"),
    [
        ("resume", {"catch_up": "none"}, lambda: Job.objects.filter(state="active").count() == 2),
        ("cancel", {}, lambda: Job.objects.filter(state="cancelled").count() == 2),
        ("delete", {}, lambda: Job.objects.filter(state="deleted").count() == 2),
        ("duplicate", {}, lambda: Job.objects.filter(name__endswith="(copy)", state="inactive").count() == 2),
        ("tag", {"add": "red, blue"}, lambda: {job.tags.count() for job in Job.objects.all()} == {2}),
    ],
)
def test_every_action_is_done_to_many(action: str, values: dict[str, str], check: Any) -> None:
    jobs = [make_admin_job(f"job {number}") for number in range(2)]
    if action == "resume":
        bulk(jobs, "pause", confirmed="1")
    bulk(jobs, action, confirmed="1", **values)
    assert check()


def test_many_are_run_at_once() -> None:
    bulk([make_admin_job("one"), make_admin_job("two")], "run_many", confirmed="1")
    assert Execution.objects.filter(trigger="manual").count() == 2


def test_all_that_a_filter_leaves_are_reached() -> None:
    make_admin_job("wanted one"), make_admin_job("wanted two"), make_admin_job("other")
    values = {"action": "cancel", "_selected_action": "0", "select_across": "1", "confirmed": "1"}
    browse(staff()).post(reverse("admin:jobs_job_changelist") + "?q=wanted", values)
    assert sorted(Job.objects.filter(state="cancelled").values_list("name", flat=True)) == [
        "wanted one",
        "wanted two",
    ]


def test_a_button_of_a_row_acts_at_once_and_comes_back() -> None:
    job = make_admin_job()
    path = reverse("admin:jobs_job_changelist")
    answer = browse(staff()).post(
        reverse("admin:jobs_job_verb", args=(job.pk, "pause")), {"next": f"{path}?q=n"}
    )
    assert answer["Location"] == f"{path}?q=n"
    assert Job.objects.get().state == "paused"


def test_nobody_is_sent_to_another_site() -> None:
    job = make_admin_job()
    answer = browse(staff()).post(
        reverse("admin:jobs_job_verb", args=(job.pk, "pause")), {"next": "https://evil.example/"}
    )
    assert answer["Location"] == reverse("admin:jobs_job_change", args=(job.pk,))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?state=paused", ["quiet"]),
        ("?outcome=failing", ["broken"]),
        ("?tag=red", ["quiet"]),
        ("?handler=http", ["calls"]),
        ("?handler=default", ["broken", "nightly", "quiet"]),
        ("?queue=mails", ["calls"]),
        ("?q=CALL", ["calls"]),
        ("?owner=none", []),
        ("?kind=recurring", []),
        ("", ["broken", "calls", "nightly", "quiet"]),
    ],
)
def test_the_list_is_filtered(query: str, names: list[str]) -> None:
    make_admin_job("nightly")
    make_admin_job("calls", api_endpoint="https://example.com/", queue="mails")
    quiet, broken = make_admin_job("quiet", tags=("red",)), make_admin_job("broken")
    Job.objects.filter(pk=quiet.pk).update(state="paused")
    Job.objects.filter(pk=broken.pk).update(consecutive_failures=2)
    answer = browse(staff()).get(reverse("admin:jobs_job_changelist") + query)
    assert [job.name for job in answer.context["cl"].result_list] == names


def test_versions_are_taken_again() -> None:
    job, client = make_admin_job(), browse(staff())
    client.post(change(job), FORM | {"cron_expression": "0 4 * * *", "seen_version": "1"})
    client.post(reverse("admin:jobs_job_rollback", args=(job.pk,)), {"version": "1"})
    assert (Job.objects.get().cron_expression, Job.objects.get().version) == ("0 3 * * *", 3)
    answer = client.post(reverse("admin:jobs_job_rollback", args=(job.pk,)), {"version": "99"}, follow=True)
    assert "no version 99" in answer.content.decode()


def test_the_timeline_has_a_bar_for_every_attempt() -> None:
    job = make_admin_job()
    make_run(job)
    make_letter(job, ago=timedelta(hours=2))
    page = browse(staff()).get(reverse("admin:jobs_job_timeline", args=(job.pk,))).content.decode()
    assert page.count('class="gantt"') == 2
    assert "attempt 1: success" in page
    assert "attempt 1: failed" in page


def test_a_day_is_explained() -> None:
    job = make_admin_job()
    path = reverse("admin:jobs_job_explain", args=(job.pk,))
    client = browse(staff("viewers"))
    assert client.get(path, {"day": "2031-01-01"}).status_code == 200
    assert "scheduled" in client.get(path, {"day": "2031-01-01"}).content.decode()
    assert client.get(path, {"day": "not a day"}).status_code == 200


def test_a_deleted_job_can_be_looked_at_and_nothing_else() -> None:
    job = make_admin_job()
    bulk([job], "delete", confirmed="1")
    client = browse(staff())
    assert client.get(change(job)).status_code == 200
    assert client.post(change(job), FORM | {"name": "again"}).status_code == 403
    assert "nightly" not in [row.name for row in client.get("/admin/jobs/job/").context["cl"].result_list]


# The file a job came from --------------------------------------------------------------------------


def make_filed_job(name: str = "filed", **fields: Any) -> Job:
    """A job as `apply_jobs` leaves it."""
    job = make_admin_job(name, origin="file", headers={"Authorization": "Bearer hush"}, **fields)
    manifest.remember(job, source="deploy/jobs.yaml", now=clock.now())
    return job


def test_a_job_that_was_changed_elsewhere_tells_how_it_differs_from_its_file() -> None:
    job = make_filed_job()
    path, client = reverse("admin:jobs_job_change", args=(job.pk,)), browse(staff())
    assert "differs from its file" not in client.get(path).content.decode()
    operations.update(
        job, {"priority": 8, "headers": {"Authorization": "Bearer other"}}, by=actor_of(staff()), tags=["new"]
    )
    answer = client.get(path)
    rows = {row["field"]: (row["file"], row["now"]) for row in answer.context["drift"]["rows"]}
    assert rows["priority"] == (shown.NOTHING, "8")
    assert rows["tags"] == (shown.NOTHING, "new")
    assert "***" in rows["headers"][0]
    page = answer.content.decode()
    assert "deploy/jobs.yaml" in page
    assert "apply_jobs" in page
    assert "hush" not in page
    assert "hmac" not in page
    operations.update(
        job, {"priority": 5, "headers": {"Authorization": "Bearer hush"}}, by=actor_of(staff()), tags=[]
    )
    assert client.get(path).context["drift"] is None


def test_the_list_marks_and_finds_the_jobs_that_differ_from_their_file() -> None:
    same, other = make_filed_job("same"), make_filed_job("other")
    make_admin_job("by hand")
    Dependency.objects.create(job=other, depends_on=same)
    client, path = browse(staff()), reverse("admin:jobs_job_changelist")
    marked = [job.name for job in client.get(path).context["cl"].result_list if job.is_drifted]
    assert marked == ["other"]
    for value, names in (("made", ["other", "same"]), ("drifted", ["other"])):
        found = client.get(path, {"file": value}).context["cl"].result_list
        assert [job.name for job in found] == names


def test_whether_jobs_differ_from_their_file_is_asked_for_all_at_once() -> None:
    client, path = browse(staff()), reverse("admin:jobs_job_changelist")
    make_filed_job("first")
    client.get(path)
    with CaptureQueriesContext(connection) as few:
        client.get(path)
    for number in range(4):
        Dependency.objects.create(
            job=make_filed_job(f"more {number}"), depends_on=Job.objects.get(name="first")
        )
    client.get(path)  # the filters look once at what new jobs bring
    with CaptureQueriesContext(connection) as many:
        client.get(path)
    assert len(many) == len(few)


def test_sections_that_hold_only_defaults_are_folded() -> None:
    plain, busy = make_admin_job("plain"), make_admin_job("busy", priority=9)
    client = browse(staff())
    for job, folded in ((plain, True), (busy, False)):
        form = client.get(reverse("admin:jobs_job_change", args=(job.pk,))).context["adminform"]
        section = next(one for one in form if one.name == "Limits and order")
        assert ("collapse" in section.classes) is folded
