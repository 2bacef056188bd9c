"""Every page of the admin in a real browser: nothing breaks the policy, nothing shuts anybody out."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import expect

from tests.db.admin.world import HOSTILE, kinds_of, make_world, staff
from tests.e2e.browser import browsing

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]
looks = pytest.mark.skipif(
    settings.DATABASES["default"]["ENGINE"].endswith("postgresql"),
    reason="how a page looks does not depend on the database: tried on SQLite",
)


@pytest.fixture(autouse=True)
def _in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # Playwright keeps a loop in this thread, which Django takes for an asynchronous context.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")


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


@looks
def test_no_kind_of_page_breaks_the_policy_or_shuts_anybody_out_in_light_or_dark(live_server: Any) -> None:
    """By every rule in light; in dark by contrast, which is all that the scheme changes."""
    world = make_world()
    found: list[str] = []
    # Colours that fade from one scheme to the other would be judged halfway.
    with browsing(live_server.url, staff(), reduced_motion="reduce") as visitor:
        for path in [*kinds_of(world), reverse("admin:password_change"), "/admin/nothing/"]:
            visitor.page.emulate_media(color_scheme="light")
            visitor.visit(path)
            found += visitor.judge()
            visitor.page.emulate_media(color_scheme="dark")
            found += visitor.judge("color-contrast")
        # A page that does not exist is told of in the console too.
        visitor.complaints = [text for text in visitor.complaints if "/admin/nothing/" not in text]
    assert not found, "\n".join(found)


@looks
def test_a_phone_shows_every_kind_of_page_without_scrolling_sideways(live_server: Any) -> None:
    world = make_world()
    with browsing(
        live_server.url, staff(), viewport={"width": 390, "height": 844}, is_mobile=True
    ) as visitor:
        for path in kinds_of(world):
            page = visitor.visit(path)
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= 392, (path, width)
        page = visitor.visit(reverse("admin:index"))
        page.get_by_text("Menu", exact=True).click()
        page.get_by_role("navigation", name="Menu").get_by_role("link", name="Dead letters").click()
        expect(page.get_by_role("heading", name="Dead letters", exact=True)).to_be_visible()
