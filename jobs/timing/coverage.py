"""Which fire times of a schedule have no answer."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from jobs.timing.schedule import Schedule, read_schedule
from jobs.timing.ticks import from_ticks, to_ticks

Stretch = tuple[datetime, datetime]


def uncovered(
    schedule: Schedule,
    after: datetime,
    until: datetime,
    *,
    points: Collection[datetime],
    stretches: Sequence[Stretch] = (),
) -> Iterator[datetime]:
    """The fire times strictly after one moment and not after the other that nothing covers, in order.

    `points` (aware UTC, best a set) cover one fire time each, `stretches` all from their first moment to
    their last; they may touch and overlap. Raises ValueError for a schedule that cannot be read.
    """
    fires = read_schedule(schedule).fires
    at, end = to_ticks(after), to_ticks(until, "until")
    covered = _merged(stretches)
    starts = [start for start, _ in covered]
    while (fire := fires.after(at)) is not None and fire.at <= end:
        at = fire.at
        place = bisect_right(starts, at) - 1
        if place >= 0 and at <= covered[place][1]:
            at = covered[place][1]
        elif (moment := from_ticks(at)) not in points:
            yield moment


def count_fires(schedule: Schedule, after: datetime, until: datetime) -> int:
    """How many fire times lie strictly after one moment and not after the other; closed form."""
    return read_schedule(schedule).fires.count(to_ticks(after), to_ticks(until, "until"))


def _merged(stretches: Sequence[Stretch]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted((to_ticks(start), to_ticks(end)) for start, end in stretches):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
