"""Secrets that went out with a call, and how to keep them from coming back with its answer.

Targets answer with what they were sent more often than one thinks (debug pages, validation
errors). What we mask at home must not be readable in what they echo.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

from jobs.http_rules import MASK, is_secret

# Shorter values are words of every other answer ("true", "2024"), and no secrets worth the name.
SHORTEST = 6
# Named like secrets, and none.
_KNOWN_TO_ALL = frozenset({"idempotency-key", "x-idempotency-key", "webhook-signature"})


def find_secrets(*, headers: Mapping[str, str], url: str, payload: Any = None) -> frozenset[str]:
    """Every form in which a secret of the call may come back: plain, in JSON, in a URL.

    Secret is what has a secret name, among the headers, in the query, and at any depth of the payload;
    of `Basic` and `Bearer` credentials also what follows the word, and what it means.
    """
    values = set(_of_headers(headers)) | set(_of_payload(payload))
    if "?" in url:
        pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
        values.update(value for name, value in pairs if is_secret(name))
    return frozenset(form for value in values for form in _forms(value) if len(form) >= SHORTEST)


def hide(text: str, secrets: frozenset[str], *, cut: bool = False) -> str:
    """The text with `***` for each of them; `cut` says that it broke off, perhaps within one."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _hide_tail(text, secrets) if cut and secrets else text


def _hide_tail(text: str, secrets: Iterable[str]) -> str:
    begun = (
        length
        for secret in secrets
        for length in range(len(secret) - 1, SHORTEST - 3, -1)
        if text.endswith(secret[:length])
    )
    longest = max(begun, default=0)
    return text[: len(text) - longest] + MASK if longest else text


def _of_headers(headers: Mapping[str, str]) -> Iterator[str]:
    for name, value in headers.items():
        if not is_secret(name) or name.lower() in _KNOWN_TO_ALL:
            continue
        yield value
        scheme, _, credentials = value.partition(" ")
        if credentials:
            yield credentials.strip()
        if scheme.lower() == "basic":
            yield from _of_basic(credentials)
        if name.lower() == "cookie":
            yield from (pair.partition("=")[2].strip() for pair in value.split(";"))


def _of_basic(credentials: str) -> Iterator[str]:
    try:
        pair = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return
    yield pair
    yield pair.partition(":")[2]


def _of_payload(value: Any, *, secret: bool = False) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _of_payload(inner, secret=secret or is_secret(str(name)))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _of_payload(inner, secret=secret)
    elif secret and isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def _forms(value: str) -> Iterator[str]:
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="")
    yield quote_plus(value)
