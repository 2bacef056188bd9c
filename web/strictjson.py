"""JSON as we accept it: nothing that one of our databases, or the next reader, would choke on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn

from web.errors import Invalid

MAX_DEPTH = 32
MAX_DIGITS = 4300
BODY = "body"  # what the error body calls the whole, as there is no field to name


def parse_json(raw: bytes) -> Any:
    """The value of a JSON document in UTF-8; of duplicate keys the last counts.

    Raises Invalid for malformed text, a byte order mark, NaN and Infinity (also numbers that become
    so), numbers of more than 4,300 digits, nesting over 32, and text or keys with NUL or a lone
    surrogate, each problem under its dotted field.
    """
    text = _decode(raw)
    try:
        value = json.loads(
            text, parse_float=_read_float, parse_int=_read_int, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise _refused(f"Must not be nested deeper than {MAX_DEPTH}") from None
    except json.JSONDecodeError as error:
        raise _refused(f"Malformed JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    if _is_suspicious(text):
        problems = dict(_find_problems(value))
        if problems:
            raise Invalid(problems)
    return value


def check_json(value: Any) -> None:
    """Refuse a value, however it was made, that `parse_json` would have refused (Invalid)."""
    problems = dict(_find_problems(value))
    if problems:
        raise Invalid(problems)


def _decode(raw: bytes) -> str:
    if raw.startswith(b"\xef\xbb\xbf"):
        raise _refused("Must not begin with a byte order mark")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _refused("Must be UTF-8") from None


def _is_suspicious(text: str) -> bool:
    # Raw NUL and raw surrogates cannot come through UTF-8 and the parser; only escapes can. Looking at
    # the text is much cheaper than a walk through every value, which most bodies then do not need.
    return (
        "\\u0000" in text or "\\ud" in text or "\\uD" in text or text.count("[") + text.count("{") > MAX_DEPTH
    )


def _find_problems(root: Any) -> Iterator[tuple[str, str]]:
    # A stack, not recursion: the depth is the caller's.
    stack: list[tuple[str, int, Any]] = [("", 0, root)]
    while stack:
        field, depth, value = stack.pop()
        if isinstance(value, str):
            reason = find_bad_text(value)
            if reason:
                yield field or BODY, reason
        elif isinstance(value, float):
            if not math.isfinite(value):
                yield field or BODY, "Must be a finite number"
        elif isinstance(value, dict | list):
            if depth >= MAX_DEPTH:
                yield (field or BODY)[:200], f"Must not be nested deeper than {MAX_DEPTH}"
                return
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in items:
                if isinstance(key, str) and find_bad_text(key):
                    yield field or BODY, f"Key: {find_bad_text(key)}"
                else:
                    stack.append((f"{field}.{key}" if field else str(key), depth + 1, item))


def find_bad_text(text: str) -> str | None:
    """Why this text cannot be stored, or None."""
    if "\x00" in text:
        return "Must not contain a NUL character"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "Must not contain a lone surrogate"
    return None


def _read_float(text: str) -> float:
    if len(text) > MAX_DIGITS:
        raise _refused(f"Numbers must not have more than {MAX_DIGITS} digits")
    number = float(text)
    if not math.isfinite(number):
        raise _refused("Numbers must be finite")
    return number


def _read_int(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise _refused(f"Numbers must not have more than {MAX_DIGITS} digits")
    return int(text)


def _refuse_constant(name: str) -> NoReturn:
    raise _refused(f"Malformed JSON: {name} is not a JSON value")


def _refused(reason: str) -> Invalid:
    return Invalid({BODY: reason})
