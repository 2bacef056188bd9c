"""What a retry policy may say, and how `maxRetries` alone becomes one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings

STRATEGIES = ("EXPONENTIAL", "LINEAR", "FIXED")
MAX_RETRIES = (0, 10)
INITIAL_DELAY_MS = (1, 3_600_000)
LONGEST_DELAY_MS = 86_400_000
DEFAULT_RETRIES = 3
DEFAULT_INITIAL_DELAY_MS = 1000
DEFAULT_MAX_DELAY_MS = 60_000
MAX_CODES = 100
FIELDS = ("maxRetries", "backoffStrategy", "initialDelayMs", "maxDelayMs", "jitter", "doNotRetryOn")

# Marks a stored policy that nobody gave as one: it came from `maxRetries` alone.
SHORTHAND = "fromMaxRetries"


def from_max_retries(count: int) -> dict[str, Any]:
    """The policy that `maxRetries` stands for where no policy is given."""
    delay: int = settings.RETRY_DELAY_MS
    return {
        "maxRetries": count,
        "backoffStrategy": "EXPONENTIAL",
        "initialDelayMs": delay,
        "maxDelayMs": max(DEFAULT_MAX_DELAY_MS, delay),
        SHORTHAND: True,
    }


def as_given(stored: Any) -> Any:
    """The policy as it was given, or None where `maxRetries` alone was."""
    return None if isinstance(stored, Mapping) and stored.get(SHORTHAND) else stored


def merge(
    stored: Any, *, policy: Mapping[str, Any] | None, given: bool, max_retries: int | None
) -> dict[str, Any] | None:
    """The policy to store: `policy` where it was `given`, else the stored one, with `max_retries` in it.

    Raises ValueError where policy and `max_retries` contradict each other.
    """
    base = policy if given else as_given(stored)
    if base is None:
        return (None if given else stored) if max_retries is None else from_max_retries(max_retries)
    if max_retries is None:
        return dict(base)
    if given and base.get("maxRetries", max_retries) != max_retries:
        raise ValueError("Contradicts retryPolicy.maxRetries")
    return {**base, "maxRetries": max_retries}


def find_problems(policy: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with a policy, as (field inside it, message); the field is empty for the whole."""
    if not isinstance(policy, Mapping):
        yield "", "Must be an object"
        return
    for name in policy:
        if name not in FIELDS and name != SHORTHAND:
            yield str(name), "Unknown field"
    yield from _find_number_problems(policy)
    strategy = policy.get("backoffStrategy", "EXPONENTIAL")
    if not isinstance(strategy, str) or strategy.upper() not in STRATEGIES:
        yield "backoffStrategy", f"Must be one of {', '.join(STRATEGIES)}"
    if not isinstance(policy.get("jitter", False), bool):
        yield "jitter", "Must be true or false"
    codes = policy.get("doNotRetryOn", [])
    if not isinstance(codes, list) or len(codes) > MAX_CODES or not all(_is_code(code) for code in codes):
        yield "doNotRetryOn", "Must be a list of HTTP status codes (100 to 599)"


def retries(policy: Any) -> bool:
    """Whether a policy allows any retry."""
    return isinstance(policy, Mapping) and policy.get("maxRetries", DEFAULT_RETRIES) != 0


def normalize(policy: Mapping[str, Any]) -> dict[str, Any]:
    """The policy with its words as we write them."""
    strategy = policy.get("backoffStrategy")
    return {**policy, "backoffStrategy": strategy.upper()} if isinstance(strategy, str) else dict(policy)


def _find_number_problems(policy: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    initial = policy.get("initialDelayMs", DEFAULT_INITIAL_DELAY_MS)
    low = initial if is_whole(initial, *INITIAL_DELAY_MS) else INITIAL_DELAY_MS[0]
    ranges = {
        "maxRetries": MAX_RETRIES,
        "initialDelayMs": INITIAL_DELAY_MS,
        "maxDelayMs": (low, LONGEST_DELAY_MS),
    }
    for name, (least, most) in ranges.items():
        if name in policy and not is_whole(policy[name], least, most):
            yield name, f"Must be a whole number from {least} to {most}"


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether the value is a whole number (no flag, no text) within these bounds."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_code(value: object) -> bool:
    return is_whole(value, 100, 599)
