"""How much longer a run will take, by the pace it had so far. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta


def time_left(
    *, done: int | None, total: int | None, since: datetime | None, now: datetime
) -> timedelta | None:
    """The time that the rest takes if it goes on as it went since the first attempt began.

    None while it cannot be said: nothing is done yet, or how much there is is not known. After a crash the
    time until the next attempt counts as well, so the answer is too long at first and never too short.
    """
    if not done or not total or since is None or now <= since:
        return None
    return (now - since) * (max(total - done, 0) / done)
