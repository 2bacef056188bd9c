"""Takes secrets out of text and values before they are logged, audited or shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

MASK = "***"

SECRET_NAME = re.compile(r"key|token|secret|password", re.IGNORECASE)
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})

# A name is looked at once and whole, at most 100 characters of it, so a long line costs linear time.
_NAME = r"(?=[\w.-]{0,100}?(?:authorization|cookie|key|token|secret|password|passwd))[\w.-]{1,100}"
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # Authorization: Bearer abc, Cookie: a=b; c=d (the whole value)
        (r"((?:proxy-)?authorization|(?:set-)?cookie)(\s{0,9}:\s{0,9})[^\r\n\"']+", rf"\1\2{MASK}"),
        (r"\b(bearer|basic)\s{1,9}[a-z0-9._~+/=-]{6,}", rf"\1 {MASK}"),
        # our API keys, and anything that looks like a JSON Web Token
        (r"(?<![\w-])sk_[a-z0-9_-]{8,}", MASK),
        (r"(?<![\w-])eyJ[a-z0-9_-]{8,}\.[a-z0-9_-]+(?:\.[a-z0-9_-]*)?", MASK),
        # scheme://user:password@host
        (r"((?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}://[^\s/:@\"']{0,300}):[^\s/@\"']{1,300}@", rf"\1:{MASK}@"),
        # "name": "value" and 'name': 'value'
        (
            rf"""((["']){_NAME}\2\s{{0,9}}:\s{{0,9}})("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,}}\]]+)""",
            rf'\1"{MASK}"',
        ),
        # name=value, as in a query
        (rf"""((?<![\w.-]){_NAME}=)("[^"]*"|'[^']*'|[^\s&,;"')\]}}]+)""", rf"\1{MASK}"),
    )
)
# One pass over the text tells whether any rule could bite; most lines end here.
_HINT = re.compile(r"auth|cookie|bearer|basic|sk_|eyj|://|key|token|secret|passw", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether a value under this name is a secret: headers that carry credentials, and what is called so."""
    return name.lower() in SECRET_HEADERS or bool(SECRET_NAME.search(name))


def redact(text: str, known: frozenset[str] = frozenset()) -> str:
    """The text with `***` for everything that looks like a secret, and for each of the `known` ones."""
    for secret in known:
        if secret in text:
            text = text.replace(secret, MASK)
    if _HINT.search(text):
        for pattern, replacement in _RULES:
            text = pattern.sub(replacement, text)
    return text


def masked(value: Any, known: frozenset[str] = frozenset()) -> Any:
    """A copy of the value in which secrets are `***`, at any depth: by their name or by their look."""
    if isinstance(value, str):
        return redact(value, known)
    if isinstance(value, Mapping):
        return {
            key: MASK if is_secret(str(key)) and entry not in (None, "") else masked(entry, known)
            for key, entry in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(entry, known) for entry in value]
    return value


def find_secrets(value: Any, place: str) -> Iterator[str]:
    """The dotted places below `place` of what `masked` takes for secrets, at any depth."""
    if isinstance(value, str) and redact(value) != value:
        yield place
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            if is_secret(str(key)) and entry not in (None, ""):
                yield f"{place}.{key}"
            else:
                yield from find_secrets(entry, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for number, entry in enumerate(value):
            yield from find_secrets(entry, f"{place}.{number}")
