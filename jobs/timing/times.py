"""The times of the day that a schedule names, in order, without listing them."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from jobs.timing.ticks import HOUR, SECOND


@dataclass(frozen=True, slots=True)
class Times:
    """Every combination of the given hours, minutes and seconds, plus `extra` microseconds.

    Each field is sorted and not empty. Times are microseconds since midnight.
    """

    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...]
    extra: int = 0

    def __len__(self) -> int:
        return len(self.hours) * len(self.minutes) * len(self.seconds)

    def __getitem__(self, index: int) -> int:
        rest, second = divmod(index, len(self.seconds))
        hour, minute = divmod(rest, len(self.minutes))
        whole = self.hours[hour] * 3600 + self.minutes[minute] * 60 + self.seconds[second]
        return whole * SECOND + self.extra

    def rank(self, time: int) -> int:
        """How many of the times lie before `time`."""
        hour, rest = divmod(max(time - self.extra, 0), HOUR)
        minute, rest = divmod(rest, 60 * SECOND)
        second = -(-rest // SECOND)  # a started second has passed
        rank, known = _count(self.hours, hour)
        part, known = _count(self.minutes, minute) if known else (0, False)
        rank = rank * len(self.minutes) + part
        part, _ = _count(self.seconds, second) if known else (0, False)
        return rank * len(self.seconds) + part


def _count(values: tuple[int, ...], value: int) -> tuple[int, bool]:
    """How many values lie below, and whether the value itself is one of them."""
    index = bisect_left(values, value)
    return index, index < len(values) and values[index] == value
