"""Executions, dead letters, queues, calendars, tags, alerts and reports, checked in the database."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from django.urls import reverse

from alerts import addresses
from alerts.models import Alert
from executions import operations
from executions.models import BulkRequeue, DeadLetter, Execution, Status
from jobs.audit import actor_of
from jobs.models import AuditEntry, Calendar, Dependency, Queue, Tag
from reports.models import ReportFile, Transaction
from tests.db.accounts.people import make_user
from tests.db.admin.world import browse, make_admin_job, make_letter, make_run, make_world, staff

pytestmark = pytest.mark.django_db

LETTERS = "/admin/executions/deadletter/"
RUNS = "/admin/executions/execution/"


def rows_of(answer: Any) -> list[Any]:
    assert answer.status_code == 200
    return list(answer.context["cl"].result_list)


# Executions -----------------------------------------------------------------------------------------


def test_a_waiting_run_is_cancelled_and_a_running_one_is_asked() -> None:
    job, client = make_admin_job(), browse(staff("operators"))
    waiting, running = make_run(job, "PENDING"), make_run(job, "RUNNING", ago=timedelta(minutes=1))
    for run in (waiting, running):
        client.post(reverse("admin:executions_execution_verb", args=(run.pk, "cancel")))
    assert Execution.objects.get(pk=waiting.pk).status == Status.CANCELLED
    assert Execution.objects.get(pk=running.pk).cancel_requested


def test_what_ended_runs_again_with_its_payload() -> None:
    job = make_admin_job()
    run = make_run(job, payload={"n": 1})
    browse(staff("operators")).post(reverse("admin:executions_execution_verb", args=(run.pk, "again")))
    again = Execution.objects.exclude(pk=run.pk).get()
    assert (again.trigger, again.payload) == ("manual", {"n": 1})


def test_what_failed_for_good_is_requeued_and_linked_both_ways() -> None:
    letter, client = make_letter(make_admin_job()), browse(staff("operators"))
    client.post(reverse("admin:executions_execution_verb", args=(letter.execution_id, "again")))
    again = Execution.objects.get(trigger="requeue")
    assert again.scheduled_at == letter.execution.scheduled_at
    assert DeadLetter.objects.get().resolved
    assert str(again.pk) in client.get(f"{RUNS}{letter.execution_id}/change/").content.decode()
    assert str(letter.execution_id) in client.get(f"{RUNS}{again.pk}/change/").content.decode()


def test_the_tail_answers_what_is_new() -> None:
    run, client = make_run(make_admin_job(), "RUNNING"), browse(staff("viewers"))
    path = reverse("admin:executions_execution_tail", args=(run.pk,))
    first = client.get(path, {"after": 0}).json()
    assert "line of nightly" in first["lines"]
    assert "40 %" in first["live"]
    assert not first["final"]
    run.logs.create(log_level="WARN", message="<b>next</b>")
    second = client.get(path, {"after": first["last"]}).json()
    assert "&lt;b&gt;next&lt;/b&gt;" in second["lines"]
    assert "line of nightly" not in second["lines"]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 3),
        ("?status=FAILED", 1),
        ("?status=waiting", 1),
        ("?status=late", 1),
        ("?status=FAILED&ended=1h", 0),
        ("?trigger=schedule", 3),
        ("?trigger=manual", 0),
        ("?reason=error", 1),
        ("?q=nothing", 0),
        ("?q=nigh", 3),
        ("?job=999", 0),
        ("?job=x", 0),
    ],
)
def test_the_ledger_is_filtered(query: str, count: int) -> None:
    job = make_admin_job()
    make_run(job)
    make_run(job, "PENDING", ago=timedelta(minutes=5))
    make_letter(job, ago=timedelta(hours=3))
    assert len(rows_of(browse(staff("viewers")).get(RUNS + query))) == count


def test_no_execution_can_be_made_changed_or_deleted_by_hand() -> None:
    run, client = make_run(make_admin_job()), browse(staff())
    assert client.get(f"{RUNS}add/").status_code == 403
    assert client.post(f"{RUNS}{run.pk}/delete/", {"post": "yes"}).status_code == 403
    values = {"action": "delete_selected", "_selected_action": str(run.pk), "post": "yes"}
    client.post(RUNS, values)
    assert Execution.objects.exists()


# Dead letters ---------------------------------------------------------------------------------------


def test_a_dead_letter_is_requeued_with_another_payload() -> None:
    letter = make_letter(make_admin_job(handler="default", payload={"duration": 1}))
    path = reverse("admin:executions_deadletter_verb", args=(letter.pk, "requeue"))
    client = browse(staff("operators"))
    assert "duration" in client.get(path).content.decode()
    client.post(path, {"payload": '{"duration": 2}', "confirmed": "1"})
    assert Execution.objects.get(trigger="requeue").payload == {"duration": 2}
    assert DeadLetter.objects.get().resolved_by == "operators@example.com"


def test_a_group_is_requeued_by_the_server_with_canary_and_rate() -> None:
    job, other = make_admin_job("one"), make_admin_job("two")
    for hours in (1, 2, 3):
        make_letter(job, "broken <pipe>", ago=timedelta(hours=hours))
    make_letter(job, "another", ago=timedelta(hours=4))
    make_letter(other, "broken <pipe>")
    client = browse(staff("operators"))
    page = client.get(f"{LETTERS}groups/")
    group = page.context["groups"][0]
    assert (group["count"], group["message"]) == (3, "broken <pipe>")
    values = {"action": "requeue_many", "_selected_action": "group", "select_across": "1"}
    assert "3 dead letters" in client.post(group["url"], {**values, "index": "0"}).content.decode()
    client.post(group["url"], {**values, "confirmed": "1", "canary": "on", "rate_per_minute": "30"})
    bulk = BulkRequeue.objects.get()
    assert (bulk.count, bulk.canary, bulk.rate_per_minute) == (3, True, 30)
    assert bulk.requested_by == "operators@example.com"
    assert AuditEntry.objects.filter(action="REQUEUED").get().change_details["count"] == 3


def test_many_are_resolved_at_once_and_the_others_stay() -> None:
    job = make_admin_job()
    letters = [make_letter(job, ago=timedelta(hours=hours)) for hours in (1, 2, 3)]
    values = {"action": "resolve", "_selected_action": [str(one.pk) for one in letters[:2]], "confirmed": "1"}
    browse(staff("operators")).post(LETTERS, values)
    assert DeadLetter.objects.filter(resolved=True).count() == 2
    assert [row.pk for row in rows_of(browse(staff()).get(LETTERS))] == [letters[2].pk]


# Queues ---------------------------------------------------------------------------------------------


def test_a_queue_is_paused_limited_and_resumed() -> None:
    client = browse(staff())
    client.post("/admin/jobs/queue/pause/", {"name": "default", "reason": "moving"})
    assert Queue.objects.get(name="default").paused_reason == "moving"
    page = client.get("/admin/jobs/queue/").content.decode()
    assert page.count("moving") == 2  # the banner and the queue
    client.post(
        "/admin/jobs/queue/limit/", {"name": "default", "max_concurrent": "3", "rate_limit_per_minute": ""}
    )
    assert Queue.objects.get(name="default").max_concurrent == 3
    client.post("/admin/jobs/queue/resume/", {"name": "default"})
    assert not Queue.objects.get(name="default").paused
    again = client.post("/admin/jobs/queue/resume/", {"name": "default"}, follow=True)
    assert "is not paused" in again.content.decode()


@pytest.mark.parametrize("name", ["", "a b", "x" * 51, "../x"])
def test_a_queue_that_cannot_exist_is_not_found(name: str) -> None:
    assert browse(staff()).post("/admin/jobs/queue/pause/", {"name": name}).status_code == 404
    assert not Queue.objects.exists()


# Calendars ------------------------------------------------------------------------------------------

CALENDAR = {
    "name": "works",
    "description": "",
    "weekend": ["6", "7"],
    "holidays": "DE-BY",
    "dates": "2026-12-24 closed Christmas Eve\n2026-12-27 open",
}


def test_a_calendar_is_made_and_its_month_is_drawn() -> None:
    client = browse(staff())
    assert client.post("/admin/jobs/calendar/add/", CALENDAR).status_code == 302
    calendar = Calendar.objects.get()
    assert calendar.definition["weekend"] == [6, 7]
    assert calendar.definition["dates"][0] == {"date": "2026-12-24", "open": False, "note": "Christmas Eve"}
    page = client.get("/admin/jobs/calendar/works/change/?month=2026-12").content.decode()
    assert "December 2026" in page
    assert "Christmas Eve" in page
    for month in ("0000-00", "9999-12", "x", "1970-01"):
        assert client.get(f"/admin/jobs/calendar/works/change/?month={month}").status_code == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"dates": "tomorrow closed"}, "dates"),
        ({"dates": "2026-01-01 shut"}, "dates"),
        ({"holidays": "XX"}, "holidays"),
        ({"name": "-"}, "name"),
    ],
)
def test_a_calendar_that_cannot_be_read_is_refused(changes: dict[str, str], field: str) -> None:
    answer = browse(staff()).post("/admin/jobs/calendar/add/", CALENDAR | changes)
    assert field in answer.context["adminform"].form.errors
    assert not Calendar.objects.exists()


def test_days_are_imported_and_a_calendar_in_use_stays() -> None:
    client = browse(staff())
    client.post("/admin/jobs/calendar/add/", CALENDAR)
    ics = (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\n"
        "DTSTART;VALUE=DATE:20260501\r\nSUMMARY:Outing\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    client.post("/admin/jobs/calendar/works/verb/import/", {"ics": ics, "confirmed": "1"})
    assert "2026-05-01" in str(Calendar.objects.get().definition)
    make_admin_job(calendar_id="works")
    answer = client.post("/admin/jobs/calendar/works/delete/", {"post": "yes"}, follow=True)
    assert "in use" in answer.content.decode()
    assert Calendar.objects.exists()


# Tags, dependencies, alerts, reports ----------------------------------------------------------------


def test_a_tag_is_made_changed_and_forgotten() -> None:
    client = browse(staff())
    form = {"name": "red", "description": "", "max_concurrent": "2", "rate_limit_per_minute": ""}
    assert client.post("/admin/jobs/tag/add/", form).status_code == 302
    tag = Tag.objects.get()
    assert (tag.max_concurrent, tag.user) == (2, staff())
    assert "already" in str(client.post("/admin/jobs/tag/add/", form).context["adminform"].form.errors)
    client.post(f"/admin/jobs/tag/{tag.pk}/change/", form | {"name": "blue"})
    assert Tag.objects.get().name == "blue"
    client.post(f"/admin/jobs/tag/{tag.pk}/delete/", {"post": "yes"})
    assert not Tag.objects.exists()
    assert AuditEntry.objects.filter(subject=f"tag:{tag.pk}").count() == 3


def test_a_dependency_is_made_drawn_and_taken_away() -> None:
    first, second = make_admin_job("first"), make_admin_job("second")
    client = browse(staff())
    form = {"job": "second", "depends_on": str(first.uuid), "outcome": "SUCCESS", "within_seconds": "60"}
    assert client.post("/admin/jobs/dependency/add/", form).status_code == 302
    bond = Dependency.objects.get()
    assert (bond.job, bond.depends_on, bond.within_seconds) == (second, first, 60)
    graph = client.get("/admin/jobs/dependency/graph/", {"job": first.pk})
    assert [box["name"] for box in graph.context["boxes"]] == ["first", "second"]
    assert graph.context["boxes"][0]["x"] < graph.context["boxes"][1]["x"]
    back = {"job": "first", "depends_on": "second", "outcome": "SUCCESS", "within_seconds": ""}
    answer = client.post("/admin/jobs/dependency/add/", back)
    assert "circle" in str(answer.context["adminform"].form.errors)
    client.post(f"/admin/jobs/dependency/{bond.pk}/delete/", {"post": "yes"})
    assert not Dependency.objects.exists()


def test_an_alert_is_made_changed_and_its_secret_stays_hidden() -> None:
    job, client = make_admin_job(), browse(staff())
    form = {
        "job_text": "nightly",
        "tag_text": "",
        "type": "WEBHOOK",
        "endpoint": "https://hooks.example/x?token=hush",
        "enabled": "on",
        "on_failure": "on",
        "consecutive_failures": "2",
        "on_late": "30",
        "on_long_running": "",
    }
    assert client.post("/admin/alerts/alert/add/", form).status_code == 302
    alert = Alert.objects.get()
    assert (alert.job, alert.conditions["consecutiveFailures"], alert.conditions["onLate"]) == (job, 2, 30)
    path = f"/admin/alerts/alert/{alert.pk}/change/"
    page = client.get(path)
    assert "hush" not in page.content.decode()
    shown = page.context["adminform"].form.initial["endpoint"]
    client.post(path, form | {"endpoint": shown, "enabled": "", "consecutive_failures": "5"})
    alert.refresh_from_db()
    assert (alert.enabled, alert.conditions["consecutiveFailures"]) == (False, 5)
    assert "hush" not in alert.endpoint
    assert addresses.reveal(alert.endpoint).endswith("token=hush")
    answer = client.post("/admin/alerts/alert/add/", form | {"endpoint": "ftp://x"})
    assert "endpoint" in answer.context["adminform"].form.errors
    client.post(f"/admin/alerts/alert/{alert.pk}/delete/", {"post": "yes"})
    assert not Alert.objects.exists()


def test_a_test_that_does_not_arrive_says_why() -> None:
    alert = Alert.objects.create(user=staff(), type="WEBHOOK", endpoint="http://127.0.0.1:9/")
    path = reverse("admin:alerts_alert_verb", args=(alert.pk, "test"))
    answer = browse(staff()).post(path, {"confirmed": "1"}, follow=True)
    assert "The test did not arrive" in answer.content.decode()


def test_a_report_is_downloaded_and_a_lost_one_is_told(tmp_path: Path, settings: Any) -> None:
    settings.EXPORT_DIRECTORY = tmp_path
    (tmp_path / "daily.csv").write_text("id\n1\n")
    common = {"data_date": "2026-01-01", "rows": 1, "bytes": 5, "sha256": "0" * 64}
    kept = ReportFile.objects.create(name="daily.csv", **common)
    lost = ReportFile.objects.create(name="../secret", **common)
    client = browse(staff("viewers"))
    answer = client.get(reverse("admin:reports_reportfile_download", args=(kept.pk,)))
    assert b"".join(cast("Any", answer).streaming_content) == b"id\n1\n"
    assert answer["Content-Type"].startswith("text/csv")
    assert answer["Content-Disposition"] == 'attachment; filename="daily.csv"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    gone = client.get(reverse("admin:reports_reportfile_download", args=(lost.pk,)), follow=True)
    assert "is gone" in gone.content.decode()


def test_transactions_are_only_looked_at() -> None:
    row = Transaction.objects.create(type="credit", amount="10.00", status="pending")
    row = Transaction.objects.get()
    client = browse(staff())
    assert client.get(f"/admin/reports/transaction/{row.pk}/change/").status_code == 200
    assert client.post(f"/admin/reports/transaction/{row.pk}/change/", {"amount": "1"}).status_code == 403
    assert len(rows_of(client.get("/admin/reports/transaction/?status=pending"))) == 1


# The dashboard --------------------------------------------------------------------------------------


def test_every_number_links_to_what_it_counts() -> None:
    world, client = make_world(), browse(staff("viewers"))
    make_run(world.job, "SUCCESS", ago=timedelta(hours=5))
    tiles = {tile["title"]: tile for tile in client.get("/admin/").context["live"]["tiles"]}
    for title, tile in tiles.items():
        assert str(len(rows_of(client.get(tile["url"])))) == tile["value"], title
    assert tiles["Failed, 24 h"]["value"] == "1"
    assert tiles["Running"]["value"] == "1"


def test_the_refresh_answers_pieces_of_the_page() -> None:
    make_world()
    answer = browse(staff("viewers")).get("/admin/dashboard.json")
    assert "no-store" in answer["Cache-Control"]
    found = answer.json()
    assert "Running now" in found["live"]
    assert "heat" in found["heat"]
    assert sum(found["chart"]["series"][0]["counts"]) == 1


def test_an_empty_installation_says_what_to_do_first() -> None:
    page = browse(staff()).get("/admin/").content.decode()
    assert "No jobs yet" in page
    assert "run_scheduler" in page
    assert "No jobs yet" in browse(staff()).get("/admin/jobs/job/").content.decode()


def test_what_was_done_in_the_admin_stands_in_the_audit_with_the_person() -> None:
    user = make_user("root@example.com", is_staff=True, is_superuser=True)
    job = make_admin_job(by=user)
    operations.pause(job, by=actor_of(user), reason="<i>why</i>")
    page = browse(user).get(reverse("admin:jobs_job_audit", args=(job.pk,))).content.decode()
    assert "paused" in page
    assert "root@example.com" in page
    assert "&lt;i&gt;why&lt;/i&gt;" in page
