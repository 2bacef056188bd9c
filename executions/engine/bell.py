"""What wakes the loop before its time: a finished run, a notification, a signal."""

from __future__ import annotations

import threading


class Bell:
    """An event that several threads ring and one waits for. Ringing twice wakes once."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def ring(self) -> None:
        """Wake the waiting thread, or keep its next wait from sleeping."""
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Sleep until rung or the time is over; answers whether it was rung."""
        rung = self._event.wait(max(0.0, seconds))
        self._event.clear()
        return rung
