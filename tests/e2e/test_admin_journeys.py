"""What an operator does, clicked in a browser beside a running scheduler, checked in the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.urls import reverse
from playwright.sync_api import Page, expect

from executions.engine.loop import Engine
from executions.models import BulkRequeue, DeadLetter, Execution
from jobs.contract import Result, Run
from jobs.models import AuditEntry, Calendar, Dependency, Job, Queue
from tests.db.admin.world import make_admin_job, make_letter, make_world, staff
from tests.e2e.browser import Visitor, browsing
from tests.factories import handling, make_config

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]


@pytest.fixture(autouse=True)
def _in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # Playwright keeps a loop in this thread, which Django takes for an asynchronous context.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")


@contextmanager
def scheduling() -> Iterator[Engine]:
    """A scheduler beside the test, in a thread of its own."""
    engine = Engine(make_config())

    def run() -> None:
        try:
            engine.run()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, name="scheduler")
    thread.start()
    try:
        yield engine
    finally:
        engine.stop()
        thread.join(60)
        assert not thread.is_alive()


def until(page: Page, is_true: Callable[[], bool], what: str) -> None:
    """Wait, letting the page live, until the database says so."""
    for _ in range(300):
        if is_true():
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never happened: {what}")


def button(page: Page, text: str) -> Any:
    return page.get_by_role("button", name=text, exact=True)


def confirm(page: Page, text: str) -> None:
    """Press the button of the confirmation page."""
    page.locator(".submit-row button[type=submit]", has_text=text).click()
    page.wait_for_load_state()


@pytest.fixture
def visitor(live_server: Any) -> Iterator[Visitor]:
    with browsing(live_server.url, staff()) as found:
        yield found


def test_a_job_is_made_with_a_preview_run_and_watched_to_its_end(visitor: Visitor) -> None:
    page = visitor.visit(reverse("admin:jobs_job_add"))
    expect(page.locator(".field-recurrence_pattern")).to_be_hidden()
    page.select_option("#id_schedule_type", "recurring")
    expect(page.locator(".field-cron_expression")).to_be_hidden()
    expect(page.locator(".field-recurrence_pattern")).to_be_visible()
    page.select_option("#id_schedule_type", "cron")
    page.fill("#id_name", "typed by hand")
    page.fill("#id_cron_expression", "61 * * * *")
    expect(page.locator("#schedule-preview .problems")).to_be_visible()
    page.fill("#id_cron_expression", "30 2 * * *")
    page.fill("#id_timezone", "Europe/Berlin")
    expect(page.locator("#schedule-preview tbody tr")).to_have_count(10)
    expect(page.locator("#schedule-preview")).to_contain_text("Europe/Berlin")
    page.select_option("#id_handler", "watched")
    expect(page.locator("fieldset.of-http")).to_be_hidden()
    page.locator("input[name=_continue]").click()
    job = Job.objects.get(name="typed by hand")
    assert (job.handler, job.timezone) == ("watched", "Europe/Berlin")

    with scheduling():
        page.get_by_role("link", name="Run now").click()
        page.fill("#id_payload", '{"n": 2}')
        confirm(page, "Run now")
        run = Execution.objects.get(job=job)
        expect(page).to_have_url(visitor.base + reverse("admin:executions_execution_change", args=(run.pk,)))
        expect(page.locator("#log")).to_contain_text("first step")
        expect(page.locator("#live progress")).to_be_visible()
        gate.set()
        expect(page.locator("#log")).to_contain_text("second step")
        expect(page.locator("#live .badge-success").first).to_be_visible()
        expect(page.locator("#tail-state")).to_have_text("ended")
    run.refresh_from_db()
    assert (run.status, run.payload, run.result) == ("SUCCESS", {"n": 2}, {"seen": 2})


gate = threading.Event()


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    def watched(run: Run) -> Result:
        run.log.info("first step")
        run.progress(1, 2)
        assert gate.wait(30)
        run.log.info("second step")
        return Result(total=2, success=2, data={"seen": run.params["n"]})

    def patient(run: Run) -> None:
        while not run.should_stop():
            stopped.wait(0.02)

    stopped = threading.Event()
    gate.clear()
    with handling(watched, "watched"), handling(patient, "patient"):
        yield


def test_a_running_execution_is_cancelled_from_its_page(visitor: Visitor) -> None:
    job = make_admin_job("long", handler="patient")
    with scheduling():
        page = visitor.visit(reverse("admin:jobs_job_changelist"))
        page.get_by_role("button", name="Run now long").click()
        until(page, lambda: Execution.objects.filter(job=job, status="RUNNING").exists(), "it runs")
        page.reload()
        page.get_by_role("link", name="Cancel").click()
        confirm(page, "Cancel")
        until(page, lambda: Execution.objects.filter(job=job, status="CANCELLED").exists(), "it ended")
    entry = AuditEntry.objects.filter(job=job, action="CANCELLED").get()
    assert entry.changed_by == "admins@example.com"


def test_a_job_is_paused_with_a_reason_and_resumed_from_the_list(visitor: Visitor) -> None:
    job = make_admin_job()
    page = visitor.visit(reverse("admin:jobs_job_change", args=(job.pk,)))
    page.get_by_role("link", name="Pause").click()
    expect(page.locator(".says")).to_contain_text("what runs finishes")
    page.fill("#id_reason", "month end")
    confirm(page, "Pause")
    expect(page.locator(".job-head")).to_contain_text("month end")
    assert Job.objects.get().paused_reason == "month end"
    page = visitor.visit(reverse("admin:jobs_job_changelist"))
    page.get_by_role("button", name="Resume nightly").click()
    expect(page.locator("#result_list .badge-active")).to_be_visible()
    assert Job.objects.get().state == "active"
    assert "/job/" in page.url


def test_many_jobs_are_paused_and_resumed_by_the_action_of_the_list(visitor: Visitor) -> None:
    for number in range(3):
        make_admin_job(f"job {number}")
    page = visitor.visit(reverse("admin:jobs_job_changelist"))
    for action, state in (("pause", "paused"), ("resume", "active")):
        page.locator("#action-toggle").check()
        page.select_option("select[name=action]", action)
        page.locator("button[name=index]").click()
        expect(page.locator(".names li")).to_have_count(3)
        assert not visitor.judge()
        confirm(page, action.capitalize())
        expect(page.locator(".messagelist")).to_contain_text("3 jobs")
        assert Job.objects.filter(state=state).count() == 3


def test_a_changed_schedule_shows_old_and_new_runs(visitor: Visitor) -> None:
    job = make_admin_job()
    page = visitor.visit(reverse("admin:jobs_job_change", args=(job.pk,)))
    page.fill("#id_cron_expression", "0 4 * * *")
    expect(page.locator("#schedule-preview .words")).to_contain_text("04:00")
    page.locator("input[name=_continue]").click()
    expect(page.locator(".side-by-side tbody tr")).to_have_count(5)
    assert Job.objects.get().cron_expression == "0 4 * * *"
    page.get_by_role("link", name="Audit", exact=True).click()
    expect(page.locator(".diff .new").first).to_contain_text("0 4 * * *")
    page.get_by_role("link", name="Versions", exact=True).click()
    button(page, "Take version 1 again").click()
    expect(page.locator(".messagelist")).to_contain_text("in force again")
    assert Job.objects.get().cron_expression == "0 3 * * *"


def test_the_pages_of_a_job_are_reached_by_its_tabs(visitor: Visitor) -> None:
    world = make_world()
    page = visitor.visit(reverse("admin:jobs_job_change", args=(world.job.pk,)))
    page.get_by_role("link", name="Timeline").click()
    expect(page.locator(".gantt")).to_have_count(4)
    page.get_by_role("link", name="Why did it not run?").click()
    page.fill("#day", "2031-03-01")
    button(page, "Explain").click()
    expect(page.locator("table.plain tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Executions", exact=True).last.click()
    expect(page.locator("#result_list tbody tr")).to_have_count(4)


def test_dead_letters_are_brought_back_by_the_server_one_first(visitor: Visitor) -> None:
    job = make_admin_job("mended", handler="default")
    for hours in (1, 2, 3):
        make_letter(job, "connection refused", ago=timedelta(hours=hours))
    page = visitor.visit(reverse("admin:executions_deadletter_changelist"))
    page.get_by_role("link", name="By job and error").click()
    expect(page.locator("table.plain tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Requeue 3 of mended").click()
    expect(page.locator("#id_canary")).to_be_checked()
    page.fill("#id_rate_per_minute", "6000")
    with scheduling():
        confirm(page, "Requeue")
        until(page, lambda: BulkRequeue.objects.filter(status="done").exists(), "all are back")
        until(
            page,
            lambda: Execution.objects.filter(trigger="requeue", status="SUCCESS").count() == 3,
            "they ran",
        )
    assert not DeadLetter.objects.filter(resolved=False).exists()
    page.get_by_role("link", name="how far it is").click()
    expect(page.locator(".badge-done")).to_be_visible()


def test_one_dead_letter_is_requeued_with_an_edited_payload_another_resolved(visitor: Visitor) -> None:
    job = make_admin_job(handler="default", payload={"duration": 0, "shouldFail": True})
    letter = make_letter(job)
    page = visitor.visit(reverse("admin:executions_deadletter_change", args=(letter.pk,)))
    page.get_by_role("link", name="Requeue", exact=True).click()
    page.fill("#id_payload", '{"duration": 0}')
    with scheduling():
        confirm(page, "Requeue")
        expect(page.locator("#live .badge-success").first).to_be_visible()
    assert Execution.objects.get(trigger="requeue").payload == {"duration": 0}
    other = make_letter(job, ago=timedelta(hours=2))
    page = visitor.visit(reverse("admin:executions_deadletter_changelist"))
    page.locator("#result_list").get_by_role("button", name="Resolve").click()
    expect(page.locator(".messagelist")).to_contain_text("resolved")
    assert DeadLetter.objects.get(pk=other.pk).resolved


def test_all_queues_are_paused_with_a_banner_everywhere_and_resumed(visitor: Visitor) -> None:
    page = visitor.visit(reverse("admin:jobs_queue_changelist"))
    every = page.locator(".queue").first
    every.locator("input[name=reason]").fill("incident 7")
    every.get_by_role("button", name="Pause all queues").click()
    expect(page.locator(".paused-banner")).to_contain_text("incident 7")
    assert Queue.objects.get(name="*").paused
    visitor.visit(reverse("admin:index"))
    expect(page.locator(".paused-banner")).to_contain_text("All queues")
    page.locator(".paused-banner a").click()
    page.locator(".queue").first.get_by_role("button", name="Resume").click()
    expect(page.locator(".paused-banner")).to_have_count(0)
    assert not Queue.objects.get(name="*").paused


def test_the_dashboard_refreshes_itself_and_stops_when_told(visitor: Visitor) -> None:
    page = visitor.visit(reverse("admin:index"))
    expect(page.locator(".headline")).to_contain_text("start one with")
    page.evaluate("document.body.dataset.same = 'page'")
    make_admin_job("newcomer")
    with scheduling():
        expect(page.locator(".headline-active")).to_be_visible(timeout=15_000)
        expect(page.locator(".tile", has_text="Active jobs")).to_contain_text("1")
    assert page.evaluate("document.body.dataset.same") == "page"
    button(page, "Stop refreshing").click()
    expect(page.locator("#refresh-state")).to_have_text("Does not refresh.")
    page.locator("summary", has_text="As a table").click()
    expect(page.locator("#hour-table tbody tr")).to_have_count(24)
    page.get_by_role("link", name="1 job", exact=True).first.click()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)


def test_a_hidden_dashboard_asks_nothing(visitor: Visitor) -> None:
    page = visitor.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "dashboard.json" in request.url else None)
    page.clock.install()
    visitor.visit(reverse("admin:index"))
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    tell = "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(hide % "true" + tell)
    page.clock.run_for(60_000)
    assert not asked
    with page.expect_response("**/dashboard.json"):
        page.evaluate(hide % "false" + tell)
    assert len(asked) == 1


def test_a_calendar_and_a_dependency_are_made_by_hand(visitor: Visitor) -> None:
    page = visitor.visit(reverse("admin:jobs_calendar_add"))
    page.fill("#id_name", "works")
    page.get_by_label("Saturday").check()
    page.fill("#id_dates", "2026-12-24 closed Christmas Eve")
    page.locator("input[name=_continue]").click()
    expect(page.locator(".month-table")).to_be_visible()
    assert Calendar.objects.get().definition["weekend"] == [6]
    make_admin_job("first"), make_admin_job("second")
    visitor.visit(reverse("admin:jobs_dependency_add"))
    page.fill("#id_job", "second")
    page.fill("#id_depends_on", "first")
    page.locator("input[name=_save]").click()
    assert Dependency.objects.get().depends_on.name == "first"
    page.get_by_role("link", name="As a graph").click()
    expect(page.locator(".graph .box")).to_have_count(2)


def test_the_list_is_worked_by_keyboard_alone(visitor: Visitor) -> None:
    make_admin_job("nightly"), make_admin_job("hourly")
    page = visitor.visit(reverse("admin:jobs_job_changelist"))
    page.locator("#searchbar").focus()
    page.keyboard.type("night")
    page.keyboard.press("Enter")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.locator("details.filter summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("details.filter[open] ul")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("details.filter[open]")).to_have_count(0)
    page.get_by_role("button", name="Pause nightly").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("paused")
    assert Job.objects.get(name="nightly").state == "paused"
