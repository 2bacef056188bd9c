"""What a doorbell named to this process: claimed by its loop, awaited by the tasks that brought it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from executions.engine import clock
from executions.engine.ring import Ring

PATIENCE = 1.0  # seconds that a ring is tried again while others hold the rows of its job


@dataclass(kw_only=True)
class Errand:
    """One ring on its way: taken by the loop once its execution is claimed, closed when all is done.

    `answered` is false where the process ended first, so that the ring belongs to another one.
    """

    ring: Ring
    asked: float = field(default_factory=clock.monotonic)
    taken: bool = False
    answered: bool = True
    closed: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> bool:
        """Sleep until the execution ended, or turned out to be not for us; answers `answered`."""
        self.closed.wait()
        return self.answered


class Inbox:
    """Rings by execution. Thread-safe: tasks ask, the loop takes and closes."""

    def __init__(self) -> None:
        self.wake: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._errands: dict[UUID, Errand] = {}
        self._shut = False

    def ask(self, ring: Ring) -> Errand:
        """Let the loop claim this execution; a second ring for it, while the first is open, is closed."""
        errand = Errand(ring=ring)
        with self._lock:
            if self._shut or ring.execution_id in self._errands:
                errand.answered = not self._shut
                errand.closed.set()
                return errand
            self._errands[ring.execution_id] = errand
        self.wake()
        return errand

    @property
    def waiting(self) -> int:
        """How many rings are not claimed yet."""
        return len(self.wanted())

    def wanted(self) -> list[UUID]:
        """The executions that are not claimed yet, the longest asked first."""
        with self._lock:
            return [key for key, errand in self._errands.items() if not errand.taken]

    def take(self, execution_id: UUID) -> None:
        """It is claimed: it stays until its end is written."""
        with self._lock:
            self._errands[execution_id].taken = True

    def refused(self, wanted: Iterable[UUID], *, patient: bool) -> Sequence[Ring]:
        """Those of them that were not claimed; `patient`: only what was asked longer than PATIENCE ago."""
        latest = clock.monotonic() - (PATIENCE if patient else 0.0)
        with self._lock:
            errands = [self._errands[key] for key in wanted if key in self._errands]
            return [one.ring for one in errands if not one.taken and one.asked <= latest]

    def close(self, execution_ids: Iterable[UUID]) -> None:
        """Nothing is left to do for these: let their tasks go."""
        with self._lock:
            errands = [self._errands.pop(key) for key in execution_ids if key in self._errands]
        for errand in errands:
            errand.closed.set()

    def shut(self) -> None:
        """The loop ended: what it did not take is another process's."""
        with self._lock:
            self._shut = True
            errands, self._errands = list(self._errands.values()), {}
        for errand in errands:
            errand.answered = errand.taken
            errand.closed.set()
