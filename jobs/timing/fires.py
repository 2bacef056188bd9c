"""Fire times from wall times: what becomes of a schedule's wall times in real time.

A `Fires` is a set of instants that can be searched both ways and counted without a walk.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import NamedTuple, Protocol

from jobs.timing.ticks import FIRST_TICK, LAST_TICK
from jobs.timing.walls import Walls
from jobs.timing.zones import Piece, pieces_back, pieces_from


class Fire(NamedTuple):
    """One fire time: the instant, the wall time the schedule names for it, the piece it is in."""

    at: int
    wall: int
    piece: Piece


class Fires(Protocol):
    """A set of fire times, none of them named twice."""

    def after(self, at: int) -> Fire | None:
        """The first fire time strictly after an instant."""
        ...

    def until(self, at: int) -> Fire | None:
        """The last fire time at or before an instant."""
        ...

    def count(self, after: int, until: int) -> int:
        """How many fire times lie strictly after one instant and not after the other."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WallFires:
    """The fire times of wall times by the clock of a zone.

    `follows_clock`: every real instant whose wall time is named. Otherwise every named wall
    time once: right after the gap that skips it, in the first pass of an overlap.
    """

    walls: Walls
    zone: tzinfo
    follows_clock: bool

    def after(self, at: int) -> Fire | None:
        for piece in pieces_from(self.zone, at):
            low = self._lowest(piece)
            if at >= piece.start:
                low = max(low, at + piece.offset + 1)
            wall = self.walls_in(piece).first(low, piece.wall_end)
            if wall is not None:
                return Fire(max(wall - piece.offset, piece.start), wall, piece)
        return None

    def until(self, at: int) -> Fire | None:
        for piece in pieces_back(self.zone, at):
            walls, low = self.walls_in(piece), self._lowest(piece)
            wall = walls.last(low, min(piece.wall_end, at + piece.offset + 1))
            if wall is not None and wall <= piece.wall_start:
                # Of several skipped times, which fire as one, the first gives the name.
                wall = walls.first(low, piece.wall_start + 1)
            if wall is not None:
                return Fire(max(wall - piece.offset, piece.start), wall, piece)
        return None

    def count(self, after: int, until: int) -> int:
        total = 0
        for piece in pieces_from(self.zone, after):
            if piece.start > until:
                break
            walls, low = self.walls_in(piece), self._lowest(piece)
            if after >= piece.start:
                low = max(low, after + piece.offset + 1)
            elif low < piece.wall_start:  # all the skipped times are one fire
                total += walls.first(low, piece.wall_start + 1) is not None
                low = piece.wall_start + 1
            total += walls.count(low, min(piece.wall_end, until + piece.offset + 1))
        return total

    def walls_in(self, piece: Piece) -> Walls:
        """The wall times as they are while a piece lasts."""
        return self.walls

    def _lowest(self, piece: Piece) -> int:
        return piece.wall_start if self.follows_clock else piece.seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Of other fire times, those from `start` to `end`, both included."""

    fires: Fires
    start: int = FIRST_TICK
    end: int = LAST_TICK

    def after(self, at: int) -> Fire | None:
        if at >= self.end:
            return None
        fire = self.fires.after(max(at, self.start - 1))
        return fire if fire is not None and fire.at <= self.end else None

    def until(self, at: int) -> Fire | None:
        if at < self.start:
            return None
        fire = self.fires.until(min(at, self.end))
        return fire if fire is not None and fire.at >= self.start else None

    def count(self, after: int, until: int) -> int:
        return self.fires.count(max(after, self.start - 1), min(until, self.end))


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A single fire time, and after it those of `rest` (all of which must be later)."""

    fire: Fire
    rest: Fires | None = None

    def after(self, at: int) -> Fire | None:
        if at < self.fire.at:
            return self.fire
        return self.rest.after(at) if self.rest else None

    def until(self, at: int) -> Fire | None:
        later = self.rest.until(at) if self.rest else None
        return later or (self.fire if at >= self.fire.at else None)

    def count(self, after: int, until: int) -> int:
        later = self.rest.count(after, until) if self.rest else 0
        return later + (after < self.fire.at <= until)
