"""Looks after what runs while the loop works, and keeps the loop's own waits for the database short."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from web import patience

log = logging.getLogger(__name__)

STEP = 0.2  # seconds between looks


class Watchdog:
    """A thread that calls `look` every STEP: leases and deadlines end while the loop waits, too.

    It never works for the loop and reports nothing as alive; a loop that hangs stays
    visible as a loop that hangs.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    @staticmethod
    def limit(seconds: float) -> AbstractContextManager[None]:
        """Let each database statement of the calling thread wait at most this long.

        A connection that does not answer in time is half-open: it is closed, and the statement
        ends with an error as on any broken connection.
        """
        return patience.limit(seconds)

    def _watch(self) -> None:
        while not self._stopped.wait(STEP):
            try:
                self._look()
            except Exception:
                log.exception("the watchdog's look failed")
