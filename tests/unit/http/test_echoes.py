"""What a target gives back of the secrets that it was sent."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from executions.http.echoes import find_secrets, hide

SECRET = 'c4n4ry "ö" s3cr3t/+'
BASIC = base64.b64encode(b"ada:c4n4ry-s3cr3t").decode()


@pytest.mark.parametrize(
    "sent",
    [
        {"headers": {"X-Api-Key": SECRET}},
        {"headers": {"authorization": f"Bearer {SECRET}"}},
        {"headers": {"Cookie": f"a=1; session={SECRET}"}},
        {"url": f"https://example.org/?page=1&token={quote(SECRET, safe='')}"},
        {"payload": {"deep": [{"dbPassword": SECRET}]}},
        {"payload": {"secrets": [{"name": SECRET}]}},
    ],
)
@pytest.mark.parametrize(
    "told", [SECRET, json.dumps(SECRET), json.dumps(SECRET, ensure_ascii=False), quote(SECRET, safe="")]
)
def test_a_secret_that_was_sent_comes_back_as_a_mask_in_whatever_form(
    sent: dict[str, Any], told: str
) -> None:
    secrets = find_secrets(**{"headers": {}, "url": "https://example.org/", **sent})

    assert hide(f"you sent <{told.strip(chr(34))}>!", secrets) == "you sent <***>!"


@pytest.mark.parametrize("told", [f"Basic {BASIC}", BASIC, "ada:c4n4ry-s3cr3t", "c4n4ry-s3cr3t"])
def test_basic_credentials_are_hidden_with_what_they_mean(told: str) -> None:
    secrets = find_secrets(headers={"Authorization": f"Basic {BASIC}"}, url="https://example.org/")

    assert hide(f"<{told}>", secrets) == "<***>"


def test_what_is_no_secret_stays() -> None:
    secrets = find_secrets(
        headers={"Idempotency-Key": "5f0c9a34-6a0e", "X-Team": "team-blue", "X-Api-Key": "short"},
        url="https://example.org/?page=10000000",
        payload={"name": "somebody", "useToken": True, "tokens": ["true", None]},
    )

    assert hide("5f0c9a34-6a0e team-blue short 10000000 somebody true", secrets) == (
        "5f0c9a34-6a0e team-blue short 10000000 somebody true"
    )


@pytest.mark.parametrize("length", range(4, len(SECRET)))
def test_a_text_that_breaks_off_within_a_secret_does_not_keep_its_beginning(length: int) -> None:
    secrets = find_secrets(headers={"X-Api-Key": SECRET}, url="https://example.org/")

    assert hide(f"you sent {SECRET[:length]}", secrets, cut=True) == "you sent ***"
