"""What browsers are told by every page, and what a cookie may do."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client

pytestmark = pytest.mark.django_db


def test_a_page_may_run_nothing_but_its_own_files() -> None:
    answer = Client().get(f"/{settings.ADMIN_PATH}login/")
    policy = dict(
        part.strip().partition(" ")[::2]
        for part in answer["Content-Security-Policy"].split(";")
        if part.strip()
    )

    assert answer.status_code == 200
    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy
    assert "style-src" not in policy
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert (policy["frame-ancestors"], policy["object-src"], policy["base-uri"]) == (
        "'none'",
        "'none'",
        "'none'",
    )


def test_a_page_cannot_be_framed_sniffed_or_followed() -> None:
    answer = Client().get(f"/{settings.ADMIN_PATH}login/")

    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"


def test_the_login_page_needs_no_inline_script_or_style() -> None:
    page = Client().get(f"/{settings.ADMIN_PATH}login/").content.decode()

    assert "<style" not in page
    assert " style=" not in page
    assert " onclick=" not in page
    assert page.count("<script") == page.count("<script src=")


def test_cookies_are_out_of_reach_for_scripts_and_other_sites() -> None:
    cookie = Client().get(f"/{settings.ADMIN_PATH}login/").cookies["csrftoken"]

    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert settings.SESSION_COOKIE_HTTPONLY
    assert settings.SESSION_COOKIE_SAMESITE == "Lax"


def test_a_host_that_is_not_ours_is_refused() -> None:
    assert Client().get("/", headers={"host": "evil.example"}).status_code == 400
