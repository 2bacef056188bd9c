"""Whether a failed attempt is tried again, and when. Pure: knows no Django and no clock."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

STRATEGIES = ("EXPONENTIAL", "LINEAR", "FIXED")
RETRY_AFTER_CAP = timedelta(hours=1)
CRASH_RECOVERIES = 3
NEVER_RETRIED = frozenset({"egress_denied"})


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often and after what wait a failed execution is tried again. Delays in milliseconds."""

    max_retries: int = 3
    strategy: str = "EXPONENTIAL"
    initial_delay_ms: int = 1000
    max_delay_ms: int = 60_000
    jitter: bool = False
    do_not_retry_on: tuple[int, ...] = ()

    def delay(self, retry: int, *, rng: random.Random | None = None) -> timedelta:
        """The wait before retry number `retry`, counted from 0.

        EXPONENTIAL 1, 2, 4, 8 … times the initial delay, LINEAR 1, 2, 3 … times, FIXED
        always once; never above the cap. With jitter a random point in its upper half.
        """
        factor = {"EXPONENTIAL": 2 ** min(retry, 40), "LINEAR": retry + 1, "FIXED": 1}[self.strategy]
        capped: float = min(self.initial_delay_ms * factor, self.max_delay_ms)
        if self.jitter:
            capped = (rng or random).uniform(capped / 2, capped)
        return timedelta(milliseconds=capped)


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What a job without a policy of its own gets, from the settings and its family."""

    max_retries: int
    initial_delay_ms: int


def read_policy(
    stored: Mapping[str, Any] | None, *, family: str, execution_type: str, defaults: Defaults
) -> RetryPolicy:
    """The policy in force for a job.

    ATMOST_ONCE never retries. Without a stored policy cron jobs do not retry and the other
    families do as the settings say; a stored one fills its gaps from the contract's defaults.
    Raises ValueError for a stored policy that cannot be read (SQL can write anything).
    """
    if execution_type == "ATMOST_ONCE":
        return RetryPolicy(max_retries=0)
    if stored is None:
        retries = 0 if family == "cron" else defaults.max_retries
        return RetryPolicy(max_retries=retries, initial_delay_ms=defaults.initial_delay_ms)
    if not isinstance(stored, Mapping):
        raise ValueError("retry_policy must be an object")
    strategy = str(stored.get("backoffStrategy", "EXPONENTIAL")).upper()
    if strategy not in STRATEGIES:
        raise ValueError(f"retry_policy.backoffStrategy must be one of {', '.join(STRATEGIES)}")
    initial = _whole(stored, "initialDelayMs", 1000, 1, 3_600_000)
    return RetryPolicy(
        max_retries=_whole(stored, "maxRetries", 3, 0, 10),
        strategy=strategy,
        initial_delay_ms=initial,
        max_delay_ms=_whole(stored, "maxDelayMs", max(60_000, initial), initial, 86_400_000),
        jitter=bool(stored.get("jitter", False)),
        do_not_retry_on=_codes(stored.get("doNotRetryOn")),
    )


def _codes(value: Any) -> tuple[int, ...]:
    codes = [] if value is None else value
    if not isinstance(codes, list | tuple) or not all(type(code) is int for code in codes):
        raise ValueError("retry_policy.doNotRetryOn must be a list of HTTP codes")
    return tuple(codes)


def _whole(stored: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = stored.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"retry_policy.{name} must be a whole number from {low} to {high}")
    return value


@dataclass(frozen=True, kw_only=True)
class RetryDecision:
    """The answer: try again after `delay`, or give up."""

    again: bool
    delay: timedelta = timedelta(0)


GIVE_UP = RetryDecision(again=False)


def decide(
    policy: RetryPolicy,
    *,
    retries_done: int,
    reason: str,
    status_code: int | None = None,
    permanent: bool = False,
    wanted_delay: timedelta | None = None,
    rng: random.Random | None = None,
) -> RetryDecision:
    """What follows a failed attempt.

    `wanted_delay` is what the handler or the target asked for (Retry-After): it wins when it
    is longer than the policy's, and is believed up to an hour.
    """
    if permanent or reason in NEVER_RETRIED or retries_done >= policy.max_retries:
        return GIVE_UP
    if status_code is not None and status_code in policy.do_not_retry_on:
        return GIVE_UP
    delay = policy.delay(retries_done, rng=rng)
    if wanted_delay is not None:
        delay = max(delay, min(wanted_delay, RETRY_AFTER_CAP))
    return RetryDecision(again=True, delay=delay)
