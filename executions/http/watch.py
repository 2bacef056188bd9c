"""The one deadline of a call, asked before every step that may block."""

from __future__ import annotations

import time
from collections.abc import Callable

from .errors import CallStopped, CallTimeout

# How long a blocking step may go on before `should_stop` is asked again.
STOP_INTERVAL = 0.25


class Watch:
    """Counts one call's time and bytes. Seconds are on the monotonic clock.

    `sent` and `received` count the bytes of this call on the wire (TLS: inside of it).
    `allowance` is how many bytes may be received before `BytesExceeded` is raised.
    """

    __slots__ = ("allowance", "deadline", "received", "sent", "should_stop", "started", "timeout_ms")

    def __init__(self, *, timeout_ms: int, should_stop: Callable[[], bool] | None = None) -> None:
        self.timeout_ms = timeout_ms
        self.should_stop = should_stop
        self.started = time.monotonic()
        self.deadline = self.started + timeout_ms / 1000
        self.sent = 0
        self.received = 0
        self.allowance = 0

    def elapsed(self) -> float:
        """Seconds since the call began."""
        return time.monotonic() - self.started

    def left(self) -> float:
        """Seconds to the deadline, more than zero.

        Raises CallTimeout when it has passed, CallStopped when the run was asked to stop.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise CallTimeout(self.timeout_ms, sent=self.sent > 0)
        if self.should_stop is not None and self.should_stop():
            raise CallStopped("stopped on request", sent=self.sent > 0)
        return left

    def step(self) -> float:
        """How long the next blocking step may take before it must ask again; raises as `left`."""
        left = self.left()
        return left if self.should_stop is None else min(left, STOP_INTERVAL)

    def allow(self, number: int) -> None:
        """From here on `number` more bytes may be received."""
        self.allowance = self.received + number

    def count_received(self, number: int) -> None:
        """Count bytes of the answer; raises BytesExceeded when they are more than allowed."""
        self.received += number
        if self.received > self.allowance:
            raise BytesExceeded


class BytesExceeded(Exception):
    """The answer took more bytes on the wire than any bounded answer needs."""
