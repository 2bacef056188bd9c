"""Whether a failed attempt is tried again, and when."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from executions.retry import Defaults, RetryPolicy, decide, read_policy

DEFAULTS = Defaults(max_retries=3, initial_delay_ms=5000)


def seconds(policy: RetryPolicy, count: int) -> list[float]:
    return [policy.delay(number).total_seconds() for number in range(count)]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("EXPONENTIAL", [1, 2, 4, 8, 10]),
        ("LINEAR", [1, 2, 3, 4, 5]),
        ("FIXED", [1, 1, 1, 1, 1]),
    ],
)
def test_the_delay_follows_its_strategy_up_to_the_cap(strategy: str, expected: list[float]) -> None:
    policy = RetryPolicy(strategy=strategy, initial_delay_ms=1000, max_delay_ms=10_000)
    assert seconds(policy, 5) == expected


def test_jitter_stays_in_the_upper_half_of_the_delay() -> None:
    policy = RetryPolicy(strategy="FIXED", initial_delay_ms=1000, jitter=True)
    delays = {policy.delay(0, rng=random.Random(seed)).total_seconds() for seed in range(200)}
    assert min(delays) >= 0.5
    assert max(delays) <= 1.0
    assert len(delays) > 100


def test_a_late_retry_number_does_not_overflow() -> None:
    assert RetryPolicy(max_delay_ms=86_400_000).delay(10_000) == timedelta(days=1)


@pytest.mark.parametrize(("family", "retries"), [("cron", 0), ("one_time", 3), ("recurring", 3)])
def test_without_a_policy_the_family_decides(family: str, retries: int) -> None:
    policy = read_policy(None, family=family, execution_type="ATLEAST_ONCE", defaults=DEFAULTS)
    assert (policy.max_retries, policy.initial_delay_ms, policy.max_delay_ms) == (retries, 5000, 60_000)


def test_at_most_once_never_retries_whatever_is_stored() -> None:
    policy = read_policy({"maxRetries": 5}, family="cron", execution_type="ATMOST_ONCE", defaults=DEFAULTS)
    assert policy.max_retries == 0


def test_a_stored_policy_fills_its_gaps_from_the_contract() -> None:
    policy = read_policy(
        {"initialDelayMs": 90_000}, family="cron", execution_type="ATLEAST_ONCE", defaults=DEFAULTS
    )
    assert (policy.max_retries, policy.strategy, policy.max_delay_ms) == (3, "EXPONENTIAL", 90_000)


@pytest.mark.parametrize(
    "stored",
    [
        {"maxRetries": -1},
        {"maxRetries": 11},
        {"maxRetries": True},
        {"backoffStrategy": "RANDOM"},
        {"initialDelayMs": 0},
        {"initialDelayMs": 5000, "maxDelayMs": 4999},
        ["maxRetries"],
    ],
)
def test_a_policy_that_sql_spoiled_is_refused_with_its_field(stored: object) -> None:
    with pytest.raises(ValueError, match="retry_policy"):
        read_policy(stored, family="cron", execution_type="ATLEAST_ONCE", defaults=DEFAULTS)  # type: ignore[arg-type]


def test_retries_end_when_they_are_used_up() -> None:
    policy = RetryPolicy(max_retries=2)
    assert [decide(policy, retries_done=n, reason="error").again for n in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    "refused",
    [
        {"reason": "egress_denied"},
        {"reason": "error", "permanent": True},
        {"reason": "http_status", "status_code": 410},
    ],
)
def test_what_no_retry_can_help_fails_at_once(refused: dict[str, object]) -> None:
    policy = RetryPolicy(max_retries=3, do_not_retry_on=(410,))
    assert not decide(policy, retries_done=0, **refused).again  # type: ignore[arg-type]


@pytest.mark.parametrize(("wanted", "got"), [(1, 5), (30, 30), (86_400, 3600)])
def test_the_targets_wish_counts_when_it_is_longer_and_at_most_an_hour(wanted: int, got: int) -> None:
    policy = RetryPolicy(initial_delay_ms=5000)
    decision = decide(policy, retries_done=0, reason="http_status", wanted_delay=timedelta(seconds=wanted))
    assert decision.delay == timedelta(seconds=got)
