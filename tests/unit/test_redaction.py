"""Secrets in text and values, and what only looks like one."""

from __future__ import annotations

import pytest

from web.redaction import MASK, find_secrets, is_secret, masked, redact

CANARY = "hunter2-hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CANARY}",
        f"authorization: {CANARY}",
        f"Proxy-Authorization: Basic {CANARY}",
        f"Cookie: sessionid={CANARY}; other=1",
        f"sent with bearer {CANARY} to the target",
        f"GET https://target.example/?api_key={CANARY}&page=2",
        f"postgresql://scheduler:{CANARY}@db:5432/jobs",
        f"redis://:{CANARY}@cache",
        f'{{"password": "{CANARY}", "name": "x"}}',
        f"{{'X-Api-Key': '{CANARY}'}}",
        f'{{"nested": {{"clientSecret": "{CANARY}"}}}}',
        f'{{"token": "a\\"{CANARY}"}}',
        f"connect(host='db', password='{CANARY}')",
        f"DB_PASSWORD={CANARY}",
        f"the key sk_{CANARY} was used",
    ],
)
def test_a_secret_in_text_is_masked(text: str) -> None:
    assert CANARY not in redact(text)
    assert MASK in redact(text)


def test_a_json_web_token_is_masked_wherever_it_stands() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"

    assert redact(f"got {token}.") == f"got {MASK}."


def test_a_known_secret_is_masked_wherever_it_stands() -> None:
    assert redact("it says swordfish-swordfish!", frozenset({"swordfish-swordfish"})) == f"it says {MASK}!"


@pytest.mark.parametrize(
    "text",
    [
        "KeyError: 'name'",
        "Job execution started",
        "took 12 ms for https://target.example/hook?page=2",
        "the monkey ate a banana",
        "waiting for the token bucket to refill",
        "see http://[::1]:8000/",
        "10:00:00 the queue default is paused",
    ],
)
def test_an_innocent_line_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "proxy-authorization",
        "COOKIE",
        "X-Api-Key",
        "accessToken",
        "client_secret",
        "Password2",
    ],
)
def test_a_name_is_secret_in_any_case(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["name", "Content-Type", "author", "payload", "X-Request-ID"])
def test_other_names_are_not(name: str) -> None:
    assert not is_secret(name)


def test_values_are_masked_at_any_depth_and_the_original_is_left_alone() -> None:
    value = {
        "a": [{"apiKey": CANARY, "b": f"Bearer {CANARY}"}],
        "n": 1,
        "token": None,
        "secret": {"x": CANARY},
    }

    found = masked(value)

    assert found == {"a": [{"apiKey": MASK, "b": f"Bearer {MASK}"}], "n": 1, "token": None, "secret": MASK}
    assert value["a"] == [{"apiKey": CANARY, "b": f"Bearer {CANARY}"}]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece",
    [
        "key",
        "key.",
        "a-",
        "eyJ-",
        "eyJaaaaaaaa.",
        "sk_",
        '"key":',
        "key='",
        "http://a:",
        "cookie :",
        "://",
        "basic  ",
    ],
)
def test_a_hostile_line_costs_no_more_than_its_length(piece: str) -> None:
    redact(piece * (600_000 // len(piece)))


def test_the_places_of_secrets_are_named_and_not_their_values() -> None:
    value = {
        "env": {"API_TOKEN": "abc", "MODE": "fast", "EMPTY_SECRET": "", "KEY": None},
        "argv": ["sh", "-c", "PGPASSWORD=hunter2 pg_dump", "https://u:hunter2@host/"],
        "list": [{"password": 1}],
        "count": 3,
    }
    found = list(find_secrets(value, "payload"))
    assert found == ["payload.env.API_TOKEN", "payload.argv.2", "payload.argv.3", "payload.list.0.password"]
