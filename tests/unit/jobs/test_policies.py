"""What a retry policy may say."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from executions.retry import Defaults, read_policy
from jobs import policies

DEFAULTS = Defaults(max_retries=3, initial_delay_ms=5000)


@pytest.mark.parametrize(
    ("stored", "policy", "given", "max_retries", "expected"),
    [
        (None, None, False, None, None),
        ({"maxRetries": 1}, None, False, None, {"maxRetries": 1}),
        ({"maxRetries": 1}, None, True, None, None),
        ({"maxRetries": 1}, {"jitter": True}, True, None, {"jitter": True}),
        ({"maxRetries": 1, "jitter": True}, None, False, 2, {"maxRetries": 2, "jitter": True}),
        (None, {"jitter": True}, True, 2, {"maxRetries": 2, "jitter": True}),
        (None, {"maxRetries": 2}, True, 2, {"maxRetries": 2}),
    ],
)
def test_policy_and_max_retries_become_one(
    stored: Any, policy: Any, given: bool, max_retries: int | None, expected: Any
) -> None:
    assert policies.merge(stored, policy=policy, given=given, max_retries=max_retries) == expected


def test_a_policy_and_another_number_contradict() -> None:
    with pytest.raises(ValueError, match="Contradicts"):
        policies.merge(None, policy={"maxRetries": 1}, given=True, max_retries=2)


@pytest.mark.parametrize(("delay", "longest"), [(5000, 60_000), (90_000, 90_000)])
def test_max_retries_alone_takes_the_rest_from_the_settings(delay: int, longest: int) -> None:
    with override_settings(RETRY_DELAY_MS=delay):
        stored = policies.merge(None, policy=None, given=False, max_retries=2)
        read = read_policy(stored, family="cron", execution_type="ATLEAST_ONCE", defaults=DEFAULTS)
    assert (read.max_retries, read.strategy) == (2, "EXPONENTIAL")
    assert (read.initial_delay_ms, read.max_delay_ms) == (delay, longest)
    assert policies.as_given(stored) is None
    assert not list(policies.find_problems(stored))


def test_an_empty_policy_is_one_with_every_default() -> None:
    read = read_policy({}, family="cron", execution_type="ATLEAST_ONCE", defaults=DEFAULTS)
    assert (read.max_retries, read.initial_delay_ms, read.max_delay_ms) == (3, 1000, 60_000)


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"maxRetries": 0},
        {"maxRetries": 10, "initialDelayMs": 1, "maxDelayMs": 1},
        {"initialDelayMs": 3_600_000, "maxDelayMs": 86_400_000},
        {"backoffStrategy": "linear", "jitter": False, "doNotRetryOn": [100, 599]},
    ],
)
def test_what_is_found_good_can_be_read_by_the_engine(policy: dict[str, Any]) -> None:
    assert not list(policies.find_problems(policy))
    read_policy(policies.normalize(policy), family="cron", execution_type="ATLEAST_ONCE", defaults=DEFAULTS)
