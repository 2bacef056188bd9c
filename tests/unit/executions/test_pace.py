"""How much longer a run will take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from executions.pace import time_left

BEGUN = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("done", "total", "left"),
    [(250, 1000, 3 * MINUTE), (1000, 1000, timedelta(0)), (1200, 1000, timedelta(0)), (1, 3, 2 * MINUTE)],
)
def test_the_rest_takes_as_long_as_what_is_done_did(done: int, total: int, left: timedelta) -> None:
    assert time_left(done=done, total=total, since=BEGUN, now=BEGUN + MINUTE) == left


@pytest.mark.parametrize(
    ("done", "total", "since"), [(0, 10, BEGUN), (None, 10, BEGUN), (5, None, BEGUN), (5, 10, None)]
)
def test_nothing_is_promised_while_it_cannot_be_known(
    done: int | None, total: int | None, since: datetime | None
) -> None:
    assert time_left(done=done, total=total, since=since, now=BEGUN + MINUTE) is None


def test_a_clock_that_was_set_back_promises_nothing() -> None:
    assert time_left(done=5, total=10, since=BEGUN, now=BEGUN - MINUTE) is None
