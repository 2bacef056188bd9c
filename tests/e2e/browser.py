"""A real browser for tests of pages; everything it complains about is kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from playwright.sync_api import Page, sync_playwright

from accounts.models import User

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WATCH = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error("CSP: " + event.violatedDirective + " " + event.blockedURI + " " + event.sourceFile));
"""


def find_chromium() -> str:
    """The system's Chromium; the test is skipped where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is installed")
    return found


class Visitor:
    """A person with a browser who is logged in."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.complaints: list[str] = []
        page.add_init_script(WATCH)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{self.page.url}: {message.text}")

    def visit(self, path: str) -> Page:
        """Go there and wait until the page is quiet."""
        self.page.goto(self.base + path, wait_until="load")
        return self.page

    def judge(self, *rules: str) -> list[str]:
        """What axe finds serious or critical on the page that is open, by these rules or by all."""
        heard = len(self.complaints)
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE)
        options: dict[str, Any] = {"resultTypes": ["violations"], "preload": False}
        if rules:
            options["runOnly"] = list(rules)
        found = self.page.evaluate(
            "options => axe.run(document, options).then(found => found.violations)", options
        )
        # What axe itself puts into the page is refused by the policy, and no fault of the page.
        self.page.wait_for_timeout(50)
        del self.complaints[heard:]
        return [
            f"{self.page.url}: {one['id']} ({one['impact']}): "
            + "; ".join(f"{node['target']} {node['failureSummary'][:200]}" for node in one["nodes"][:3])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]


def session_of(user: User) -> str:
    """The cookie of a session of this user."""
    client = Client()
    client.force_login(user, backend="accounts.backends.StaffBackend")
    return client.cookies["sessionid"].value


@contextmanager
def browsing(base: str, user: User, **options: Any) -> Iterator[Visitor]:
    """A browser at the pages of `base`; ends with an assertion that nothing was complained about."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        context = browser.new_context(**{"viewport": {"width": 1360, "height": 900}} | options)
        context.set_default_timeout(30_000)
        context.add_cookies([{"name": "sessionid", "value": session_of(user), "url": base}])
        visitor = Visitor(context.new_page(), base)
        try:
            yield visitor
        finally:
            context.close()
            browser.close()
            # Beside Playwright's loop Django keeps connections of their own, which nobody else would close.
            connections.close_all()
    assert not visitor.complaints, visitor.complaints
