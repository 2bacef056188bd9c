"""Bounded work that the loop repeats: found in every app's `duties.py`, as handlers are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

Step = Callable[[datetime], object]


class AlreadyRegistered(Exception):
    """A second duty with this name was registered."""


@dataclass(frozen=True, kw_only=True)
class Duty:
    """One step, its pace, and whether it talks to anything but the database.

    A step does a bounded piece (a second at most) and is harmless when run twice. It runs in
    the loop under an advisory lock, so one process at a time does it; an `outside` step runs
    in a small pool of its own, because the loop speaks only to the database. `local` steps
    concern this process alone and run in every one.
    """

    name: str
    step: Step
    every: timedelta
    outside: bool = False
    local: bool = False


class Duties:
    """Duties by name. One instance, `duties`, serves the whole process."""

    def __init__(self) -> None:
        self._duties: dict[str, Duty] = {}

    def register(self, duty: Duty) -> None:
        """Add a duty; raises AlreadyRegistered when its name is taken."""
        if duty.name in self._duties:
            raise AlreadyRegistered(f"duty {duty.name!r} is already registered")
        self._duties[duty.name] = duty

    def __iter__(self) -> Iterator[Duty]:
        return iter(self._duties.values())


duties = Duties()


def duty(
    *, every: timedelta, name: str | None = None, outside: bool = False, local: bool = False
) -> Callable[[Step], Step]:
    """Register the decorated function (it takes the database's `now`) as a duty of the loop."""

    def register(step: Step) -> Step:
        label = name or f"{step.__module__}.{step.__qualname__}"
        duties.register(Duty(name=label, step=step, every=every, outside=outside, local=local))
        return step

    return register
