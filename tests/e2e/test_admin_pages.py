"""Every page of the admin in a real browser: nothing breaks the policy, nothing shuts anybody out."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from tests.db.admin.world import HOSTILE, make_world, pages_of, staff
from tests.e2e.browser import browsing

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

# A page of every kind; axe takes a second for each.
JUDGED = (
    "admin:index",
    "admin:jobs_job_changelist",
    "admin:jobs_job_add",
    "admin:jobs_queue_changelist",
    "admin:jobs_dependency_graph",
    "admin:jobs_auditentry_changelist",
    "admin:executions_execution_changelist",
    "admin:executions_deadletter_changelist",
    "admin:executions_deadletter_groups",
    "admin:alerts_alert_add",
    "admin:accounts_apitoken_add",
    "admin:accounts_user_changelist",
)


@pytest.fixture(autouse=True)
def _in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # Playwright keeps a loop in this thread, which Django takes for an asynchronous context.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")


def test_no_page_breaks_the_policy_or_logs_an_error(live_server: Any) -> None:
    world = make_world()
    with browsing(live_server.url, staff()) as visitor:
        for path in pages_of(world):
            visitor.visit(path)


@pytest.mark.parametrize("text", [*HOSTILE, "x" * 10_240])
def test_a_hostile_name_runs_nothing_and_is_read_as_it_is(live_server: Any, text: str) -> None:
    world = make_world(text)
    with browsing(live_server.url, staff()) as visitor:
        visitor.page.on("dialog", lambda dialog: visitor.complaints.append(f"dialog {dialog.message}"))
        for name in ("admin:index", "admin:jobs_job_changelist", "admin:executions_deadletter_groups"):
            page = visitor.visit(reverse(name))
            assert page.locator("img[src='x']").count() == 0
        page = visitor.visit(reverse("admin:jobs_job_change", args=(world.job.pk,)))
        assert page.locator("#id_name").input_value() == world.job.name
        page = visitor.visit(reverse("admin:executions_execution_change", args=(world.run.pk,)))
        assert text[:60] in (page.locator("#log").text_content() or "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(live_server: Any, scheme: str) -> None:
    world = make_world()
    of_world = [
        reverse("admin:jobs_job_change", args=(world.job.pk,)),
        reverse("admin:jobs_job_timeline", args=(world.job.pk,)),
        reverse("admin:jobs_job_audit", args=(world.job.pk,)),
        reverse("admin:jobs_job_versions", args=(world.job.pk,)),
        reverse("admin:jobs_job_explain", args=(world.job.pk,)),
        reverse("admin:jobs_job_verb", args=(world.job.pk, "pause")),
        reverse("admin:jobs_calendar_change", args=(world.calendar.pk,)),
        reverse("admin:executions_execution_change", args=(world.running.pk,)),
        reverse("admin:executions_deadletter_change", args=(world.letter.pk,)),
    ]
    found: list[str] = []
    with browsing(live_server.url, staff(), color_scheme=scheme) as visitor:
        for path in [*(reverse(name) for name in JUDGED), *of_world]:
            visitor.visit(path)
            found += visitor.judge()
    assert not found, "\n".join(found)


def test_a_phone_shows_every_page_without_scrolling_sideways(live_server: Any) -> None:
    world = make_world()
    paths = [
        reverse("admin:index"),
        reverse("admin:jobs_job_changelist"),
        reverse("admin:jobs_job_change", args=(world.job.pk,)),
        reverse("admin:jobs_job_timeline", args=(world.job.pk,)),
        reverse("admin:executions_execution_change", args=(world.running.pk,)),
        reverse("admin:executions_deadletter_groups"),
        reverse("admin:jobs_queue_changelist"),
    ]
    with browsing(
        live_server.url, staff(), viewport={"width": 390, "height": 844}, is_mobile=True
    ) as visitor:
        for path in paths:
            page = visitor.visit(path)
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= 400, (path, width)
