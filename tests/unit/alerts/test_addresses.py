"""Where alerts may go, and how the address is shown."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from alerts import addresses

SECRET = "c4n4ry"


@pytest.mark.parametrize(
    ("kind", "endpoint"),
    [
        ("WEBHOOK", "https://hooks.example.org/alerts?token=abc"),
        ("WEBHOOK", "http://127.0.0.1:9/x"),
        ("WEBHOOK", "https://user:password@hooks.example.org/x"),
        ("SLACK", "https://hooks.slack.com/services/T0/B0/abc"),
        ("EMAIL", "ops@example.org"),
        ("APPRISE", "discord://id/token"),
        ("APPRISE", "DISCORD://id/token"),
    ],
)
def test_a_usable_address_is_kept_as_it_is(kind: str, endpoint: str) -> None:
    assert addresses.check(kind, endpoint) == endpoint
    assert addresses.check(kind, f"  {endpoint}\n") == endpoint


@pytest.mark.parametrize(
    ("kind", "endpoint"),
    [
        ("WEBHOOK", ""),
        ("WEBHOOK", "   "),
        ("WEBHOOK", "ops@example.org"),
        ("WEBHOOK", "ftp://example.org/"),
        ("WEBHOOK", "file:///etc/passwd"),
        ("WEBHOOK", "http://"),
        ("WEBHOOK", "http://example.org:25/"),
        ("WEBHOOK", "http://exa mple.org/"),
        ("WEBHOOK", "http://a\\b@example.org/"),
        ("WEBHOOK", "http://a:b@c:d@example.org/"),
        ("WEBHOOK", "https://example.org/?token=***"),
        ("WEBHOOK", "https://example.org/" + "x" * 2048),
        ("SLACK", "slack://T0/B0/abc"),
        ("EMAIL", "https://example.org/"),
        ("EMAIL", "ops"),
        ("EMAIL", "ops@example.org, boss@example.org"),
        ("EMAIL", "ops@example.org\nBcc: all@example.org"),
        ("APPRISE", "discord"),
        ("APPRISE", "json://127.0.0.1/"),
        ("APPRISE", "mailto://user:password@example.org"),
    ],
)
def test_an_address_that_the_type_cannot_use_is_refused_with_a_reason(kind: str, endpoint: str) -> None:
    with pytest.raises(ValueError) as refused:
        addresses.check(kind, endpoint)

    assert str(refused.value)
    assert "password" not in str(refused.value).replace("user name or password", "")


def test_which_apprise_services_may_be_used_is_a_setting(settings: Any) -> None:
    settings.APPRISE_SCHEMES = ["tgram"]

    assert addresses.check("APPRISE", "tgram://token/chat")
    with pytest.raises(ValueError, match="APPRISE_SCHEMES"):
        addresses.check("APPRISE", "discord://id/token")


@pytest.mark.parametrize(
    ("kind", "endpoint", "shown"),
    [
        ("WEBHOOK", f"https://h.example/x?token={SECRET}&a=1", "https://h.example/x?token=***&a=1"),
        ("WEBHOOK", f"https://u:{SECRET}@h.example/x", "https://***@h.example/x"),
        ("WEBHOOK", "https://h.example/x", "https://h.example/x"),
        ("SLACK", f"https://hooks.slack.com/services/T0/B0/{SECRET}", "https://hooks.slack.com/services/***"),
        ("SLACK", f"https://chat.example/{SECRET}", "https://chat.example/***"),
        ("SLACK", f"https://chat.example/?key={SECRET}", "https://chat.example/***"),
        ("EMAIL", "ops@example.org", "ops@example.org"),
        ("APPRISE", f"discord://{SECRET}/{SECRET}", "discord://***"),
        ("APPRISE", SECRET, "apprise://***"),
        ("SLACK", f"http://[{SECRET}", "***"),
    ],
)
def test_the_secrets_of_an_address_are_not_shown(kind: str, endpoint: str, shown: str) -> None:
    assert addresses.shown(kind, endpoint) == shown
    assert SECRET not in shown


def test_a_user_and_password_travel_as_a_header_and_not_in_the_address() -> None:
    url, header = addresses.split_credentials("https://us%40er:p%3Aw@h.example:8443/x?y=1@2")

    assert url == "https://h.example:8443/x?y=1@2"
    assert header == "Basic " + base64.b64encode(b"us@er:p:w").decode()
    assert addresses.split_credentials("https://h.example/a@b") == ("https://h.example/a@b", None)
