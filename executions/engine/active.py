"""An attempt between its claim and its end, as slots and loop share it: lines, stop signal, progress."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from executions.engine import clock
from executions.engine.assignment import Assignment
from executions.engine.outcome import Outcome
from executions.lifecycle import Claim, LogLine
from jobs.contract import Progress

MAX_LINES = 1000


class Lines:
    """What a handler logs: kept with the execution, at most MAX_LINES an attempt."""

    __slots__ = ("_claim", "_count", "_lines", "_started")

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._started = clock.monotonic()
        self._count = 0
        self._lines: deque[LogLine] = deque()

    def debug(self, message: str, **metadata: Any) -> None:
        self._write("DEBUG", message, metadata)

    def info(self, message: str, **metadata: Any) -> None:
        self._write("INFO", message, metadata)

    def warning(self, message: str, **metadata: Any) -> None:
        self._write("WARN", message, metadata)

    def error(self, message: str, **metadata: Any) -> None:
        self._write("ERROR", message, metadata)

    def _write(self, level: str, message: str, metadata: dict[str, Any]) -> None:
        self._count += 1
        if self._count > MAX_LINES:
            return
        if self._count == MAX_LINES:
            level, message, metadata = "WARN", "further lines of this attempt are not kept", {}
        self.write(level, message, metadata)

    def write(self, level: str, message: str, metadata: dict[str, Any]) -> None:
        """Keep one line, its time counted from the attempt's start on the database's clock."""
        at = self._claim.started_at + timedelta(seconds=clock.monotonic() - self._started)
        self._lines.append(
            LogLine(
                execution_id=self._claim.execution_id,
                at=at,
                level=level,
                message=message,
                metadata={"attempt": self._claim.attempt} | metadata,
                foreign=True,
            )
        )

    def start(self) -> LogLine:
        """The line that opens an attempt's log."""
        return LogLine(
            execution_id=self._claim.execution_id,
            at=self._claim.started_at,
            level="INFO",
            message="Job execution started",
            metadata={"attempt": self._claim.attempt},
        )

    def drain(self) -> tuple[LogLine, ...]:
        """The lines since the last drain."""
        taken: list[LogLine] = []
        while self._lines:
            taken.append(self._lines.popleft())
        return tuple(taken)


_waiters = threading.Condition()


class StopSignal:
    """The flag behind `run.should_stop()`: knows why it was set and whether the handler saw it.

    Made for every run, so it costs nothing: all signals share one condition to wait on.
    """

    __slots__ = ("_set", "cancel_reason", "cause", "noticed")

    def __init__(self) -> None:
        self._set = False
        self.cause = ""
        self.cancel_reason = "operator"
        self.noticed = False

    def ask(self, cause: str, *, reason: str = "operator") -> None:
        """Ask to stop; the first cause counts, but a lost lease overrules every other."""
        if not self.cause or cause == "lost":
            self.cause, self.cancel_reason = cause, reason
        self._set = True
        with _waiters:
            _waiters.notify_all()

    def is_set(self) -> bool:
        """Whether the run shall stop; asking counts as having noticed."""
        self.noticed = self.noticed or self._set
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until asked to stop or the time (seconds) is over; waking for it is noticing."""
        with _waiters:
            _waiters.wait_for(lambda: self._set, timeout)
        return self.is_set()

    def asked(self) -> bool:
        """Whether it was set, without counting as noticed."""
        return self._set


@dataclass(kw_only=True, slots=True)
class Active:
    """One claimed attempt from the claim to its end."""

    assignment: Assignment
    confirmed: float
    lines: Lines
    submitted: float
    stop: StopSignal = field(default_factory=StopSignal)
    started: float | None = None
    progress: Progress | None = None
    reported: Progress | None = None
    ended: bool = False
    start_shown: bool = False
    kept: tuple[LogLine, ...] | None = None

    @property
    def claim(self) -> Claim:
        return self.assignment.claim

    @property
    def deadline(self) -> float | None:
        """The monotonic moment at which the attempt has used up its time."""
        if self.started is None:
            return None
        return self.started + self.assignment.job.timeout_ms / 1000

    def news(self) -> tuple[LogLine, ...]:
        """What to show of a running attempt since the last look, its start first."""
        if self.started is None or self.ended:
            return ()
        lines = self.lines.drain()
        if not self.start_shown:
            self.start_shown = True
            return (self.lines.start(), *lines)
        return lines

    @property
    def spent_ms(self) -> int:
        """Milliseconds since its handler was called; 0 before that."""
        return 0 if self.started is None else int((clock.monotonic() - self.started) * 1000)

    def last_words(self) -> tuple[LogLine, ...]:
        """The lines not shown yet, the same however often the end is written."""
        if self.kept is None:
            self.kept = self.lines.drain()
        return self.kept


@dataclass(kw_only=True, slots=True)
class Finished:
    """An attempt whose call ended, for the completer."""

    active: Active
    outcome: Outcome
