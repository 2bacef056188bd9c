"""When each part of a pass is due, on the monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from executions.engine import clock


@dataclass(kw_only=True)
class Timer:
    """Something that is done every `every`, or earlier when somebody asks for it."""

    every: timedelta
    at: float = 0.0

    def is_due(self) -> bool:
        """Whether its moment has come."""
        return clock.monotonic() >= self.at

    def is_near(self) -> bool:
        """Whether its moment has come, or will within a fifth of its span: work that others woke us for
        takes along what would wake us again in a moment."""
        return clock.monotonic() >= self.at - self.every.total_seconds() / 5

    def done(self) -> None:
        """It was done now: due again after its span."""
        self.at = clock.monotonic() + self.every.total_seconds()

    def at_once(self) -> None:
        """Make it due."""
        self.at = 0.0

    def no_later_than(self, at: float) -> None:
        """Make it due at this monotonic moment, if it is not earlier anyway."""
        self.at = min(self.at, at)


@dataclass(kw_only=True)
class Backoff:
    """A wait that doubles while what is waited for does not come: from `first` to `most` seconds."""

    first: float
    most: float
    _next: float = 0.0

    def grow(self) -> float:
        """The next wait, in seconds."""
        wait = self._next or self.first
        self._next = min(2 * wait, self.most)
        return min(wait, self.most)

    def reset(self) -> None:
        """It came: begin anew."""
        self._next = 0.0


def monotonic_of(moment: datetime, *, now: datetime, read_at: float) -> float:
    """The monotonic moment of a database time, given that `now` was read at `read_at`."""
    return read_at + (moment - now).total_seconds()
