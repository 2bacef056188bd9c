"""Hourly recurrence: every whole hour of real time, as the wall times of each offset."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from jobs.timing.days import Days
from jobs.timing.fires import WallFires
from jobs.timing.ticks import HOUR, SECOND
from jobs.timing.times import Times
from jobs.timing.walls import Walls
from jobs.timing.zones import Piece

_ALL_HOURS = tuple(range(24))


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyFires(WallFires):
    """The instants that are whole hours away from `anchor` and fall on `walls.days`.

    The minute that the clock shows then changes with offsets that are no whole hours
    (Australia/Lord_Howe), so the times of the day are those of the piece.
    """

    anchor: int

    def walls_in(self, piece: Piece) -> Walls:
        return hourly_walls(self.walls.days, (self.anchor + piece.offset) % HOUR)


@lru_cache(maxsize=4096)
def hourly_walls(days: Days, past_the_hour: int) -> Walls:
    """On these days, each hour at the same microsecond past it."""
    seconds, extra = divmod(past_the_hour, SECOND)
    return Walls(days, Times(_ALL_HOURS, (seconds // 60,), (seconds % 60,), extra))
