"""Wall times: certain times of the day on certain days, searched both ways and counted."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.timing.days import Days
from jobs.timing.ticks import DAY, FIRST_TICK, LAST_TICK
from jobs.timing.times import Times


@dataclass(frozen=True, slots=True)
class Walls:
    """All `times` on all `days`, as microseconds of a wall clock since 1970."""

    days: Days
    times: Times

    def first(self, low: int, high: int) -> int | None:
        """The first of them from `low` on and before `high`."""
        low, high = max(low, FIRST_TICK), min(high, LAST_TICK + 1)
        if low >= high:
            return None
        day, time = divmod(low, DAY)
        if day in self.days:
            rank = self.times.rank(time)
            if rank < len(self.times):
                wall = day * DAY + self.times[rank]
                return wall if wall < high else None
        found = self.days.first(day + 1, -(-high // DAY))
        if found is None:
            return None
        wall = found * DAY + self.times[0]
        return wall if wall < high else None

    def last(self, low: int, high: int) -> int | None:
        """The last of them from `low` on and before `high`."""
        low, high = max(low, FIRST_TICK), min(high, LAST_TICK + 1)
        if low >= high:
            return None
        day, time = divmod(high, DAY)
        rank = self.times.rank(time) if time and day in self.days else 0
        if rank:
            wall = day * DAY + self.times[rank - 1]
            return wall if wall >= low else None
        found = self.days.last(low // DAY, day)
        if found is None:
            return None
        wall = found * DAY + self.times[len(self.times) - 1]
        return wall if wall >= low else None

    def count(self, low: int, high: int) -> int:
        """How many of them there are from `low` on and before `high`."""
        low, high = max(low, FIRST_TICK), min(high, LAST_TICK + 1)
        if low >= high:
            return 0
        first, last = low // DAY, high // DAY
        total = self.days.count(first, last) * len(self.times)
        if low % DAY and first in self.days:
            total -= self.times.rank(low % DAY)
        if high % DAY and last in self.days:
            total += self.times.rank(high % DAY)
        return total
