"""The slots: threads that call handlers, and nothing else."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

Work = Callable[[], None]


class Pool:
    """A fixed number of daemon threads that take work in order.

    `busy` and `queued` are exact: a thread that never returns from its work stays busy and
    visible, and never keeps the process from ending. Work must not raise.
    """

    def __init__(self, size: int, *, name: str) -> None:
        self.size = size
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._busy = 0
        self._queued = 0
        self._idle = threading.Condition(self._lock)
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}-{number}", daemon=True)
            for number in range(size)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def busy(self) -> int:
        """How many slots run something."""
        return self._busy

    @property
    def queued(self) -> int:
        """How much work waits for a slot."""
        return self._queued

    @property
    def free(self) -> int:
        """Slots that would start new work at once (never below 0)."""
        return max(0, self.size - self._busy - self._queued)

    def submit(self, work: Work) -> None:
        """Queue work for the next free slot."""
        with self._lock:
            self._queued += 1
        self._work.put(work)

    def wait_idle(self, seconds: float) -> bool:
        """Sleep until nothing runs and nothing waits, or the time is over; answers whether it is so."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._busy and not self._queued, seconds)

    def close(self) -> None:
        """Let every thread end after its present work."""
        for _ in self._threads:
            self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            with self._lock:
                self._queued -= 1
                self._busy += 1
            try:
                work()
            except BaseException:  # a bug of its own must not cost the pool a thread for ever
                log.exception("work in a slot raised")
            finally:
                with self._idle:
                    self._busy -= 1
                    self._idle.notify_all()
