"""Cuts a database statement that hangs: its connection is half-open and will never answer."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection

from executions.engine import clock

log = logging.getLogger("scheduler.watchdog")

STEP = 0.2  # seconds between looks


class Watchdog:
    """A thread that looks every STEP: calls `look`, and cuts what runs past its limit.

    It never works for the loop and reports nothing as alive; a loop that hangs stays
    visible as a loop that hangs.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._until: float | None = None
        self._descriptor = -1
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Let the database work of the calling thread take at most this long."""
        with self._lock:
            self._descriptor = descriptor()
            self._until = clock.monotonic() + seconds
        try:
            yield
        finally:
            with self._lock:
                self._until = None

    def _watch(self) -> None:
        while not self._stopped.wait(STEP):
            try:
                self._look()
            except Exception:
                log.exception("the watchdog's look failed")
            with self._lock:
                if self._until is not None and clock.monotonic() > self._until:
                    self._until = None
                    cut(self._descriptor)


def descriptor() -> int:
    """The socket of this thread's PostgreSQL connection, or -1 where there is none."""
    if connection.vendor != "postgresql" or connection.connection is None:
        return -1
    try:
        return int(connection.connection.pgconn.socket)
    except Exception:
        return -1


def cut(number: int) -> None:
    """Shut a socket down from outside, so that the thread that waits on it gets an error."""
    if number < 0:
        return
    log.warning("a database statement hangs; its connection is cut")
    try:
        with socket.socket(fileno=_copy(number)) as half_open:
            half_open.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _copy(number: int) -> int:
    return os.dup(number)
