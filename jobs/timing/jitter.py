"""A delay that spreads starts, the same however often it is asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

from jobs.timing.ticks import SECOND, to_ticks


def jitter(key: str | UUID | int, fire_time: datetime, seconds: int) -> timedelta:
    """A delay from 0 to `seconds`, stable per (key, fire time), alike on every host.

    `fire_time` is aware; the delay is even over the whole span, to the microsecond.
    """
    if seconds <= 0:
        return timedelta(0)
    text = f"{key}|{to_ticks(fire_time, 'fire_time')}"
    number = int.from_bytes(blake2b(text.encode(errors="replace"), digest_size=8).digest())
    return timedelta(microseconds=number % (seconds * SECOND + 1))
