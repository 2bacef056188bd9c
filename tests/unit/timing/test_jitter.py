"""Jitter: a spread that is the same each time it is asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from jobs.timing import jitter

FIRE = datetime(2026, 1, 1, tzinfo=UTC)
KEY = UUID("00000000-0000-4000-8000-000000000001")


def test_it_is_stable_per_key_and_fire_time() -> None:
    assert jitter(KEY, FIRE, 60) == jitter(str(KEY), FIRE, 60)
    assert jitter(7, FIRE, 60) == jitter("7", FIRE.astimezone(timezone(timedelta(hours=5))), 60)
    # Written out: another release or host must not move the starts of known occurrences.
    assert jitter(7, FIRE, 60) == timedelta(seconds=23.885077)


def test_it_lies_between_nothing_and_the_given_seconds_and_spreads() -> None:
    delays = [jitter(KEY, FIRE + timedelta(minutes=number), 10) for number in range(1000)]
    assert all(timedelta(0) <= delay <= timedelta(seconds=10) for delay in delays)
    for tenth in range(10):
        inside = sum(timedelta(seconds=tenth) <= delay < timedelta(seconds=tenth + 1) for delay in delays)
        assert 50 < inside < 150


def test_it_differs_between_keys() -> None:
    assert len({jitter(key, FIRE, 3600) for key in range(100)}) == 100


@pytest.mark.parametrize("seconds", [0, -5])
def test_no_seconds_are_no_delay(seconds: int) -> None:
    assert jitter(KEY, FIRE, seconds) == timedelta(0)


def test_a_naive_fire_time_is_refused() -> None:
    with pytest.raises(ValueError, match="fire_time"):
        jitter(KEY, datetime(2026, 1, 1), 60)
