"""What a handler is given and what it answers. Pure: knows no Django.

A handler is a function of one `Run` that answers a `Result` (or None, which counts as a
success without totals). It is registered with `@handler` of `jobs.registry`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID


class HandlerError(Exception):
    """A failed attempt, in words an operator understands.

    `reason` is one of the words of the contract's states (error, timeout, http_status,
    egress_denied, too_large, invalid_output); the other fields are stored with the attempt.
    """

    reason = "error"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        status_code: int | None = None,
        body: str | None = None,
        totals: tuple[int, int, int] = (0, 0, 0),
        data: Any = None,
    ) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason
        self.status_code = status_code
        self.body = body
        self.totals = totals
        self.data = data


class RetryLater(HandlerError):
    """The attempt failed; try again, not before `delay` has passed (if retries are left)."""

    def __init__(self, message: str, *, delay: timedelta | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.delay = delay


class PermanentError(HandlerError):
    """The attempt failed and no retry can help: the execution ends FAILED at once."""


class NotNow(HandlerError):
    """Nothing was done yet, because there was no room; give the slot back and come again.

    Neither a failure nor a retry: the execution waits at least `delay` (a second) and its next
    attempt begins afresh, also for a job that runs at most once.
    """

    def __init__(self, message: str, *, delay: timedelta | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.delay = delay or timedelta(seconds=1)


class Stopped(HandlerError):
    """Raised by a handler (or `Run.check_stop`) that stopped because it was asked to."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an attempt did. `failure` > 0 makes it a failed attempt with `reason` as its message.

    `total`, `success` and `failure` count items of the handler's own kind; `data` is any
    JSON value, kept with the execution; `status_code` and `body` are those of an HTTP answer.
    """

    total: int = 0
    success: int = 0
    failure: int = 0
    reason: str = ""
    data: Any = None
    status_code: int | None = None
    body: str | None = None


@dataclass(frozen=True, kw_only=True)
class JobInfo:
    """The job as it was when the attempt was claimed. Read-only; changes do not reach it."""

    key: int
    id: UUID
    name: str
    zone: str = "UTC"
    owner_id: UUID | None = None
    timeout_ms: int = 900_000
    api: str | None = None
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    payload: Any = None
    metadata: Any = None
    follow_redirects: bool = False
    do_not_retry_on: tuple[int, ...] = ()


class RunLog(Protocol):
    """Writes lines that are kept with the execution, shown live, and never hold a run up."""

    def debug(self, message: str, **metadata: Any) -> None: ...
    def info(self, message: str, **metadata: Any) -> None: ...
    def warning(self, message: str, **metadata: Any) -> None: ...
    def error(self, message: str, **metadata: Any) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is, in items. `total` is None while it is not known."""

    processed: int = 0
    total: int | None = None
    success: int = 0
    failure: int = 0


class StopFlag(Protocol):
    """Set when a run shall end; a `threading.Event` is one."""

    def is_set(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> bool: ...


@dataclass(kw_only=True)
class Run:
    """One attempt of one execution, as its handler sees it.

    `id` is the execution's id: constant over all attempts, so the right idempotency key.
    `scheduled_at` is aware UTC: the fire time, however late the attempt starts.
    `attempt` counts from 1 and only rises. `params` is the payload, or an instance of the
    dataclass named in `@handler(…, params=…)`. `deadline` is on the monotonic clock, seconds.
    """

    id: UUID
    scheduled_at: datetime
    attempt: int
    params: Any
    job: JobInfo
    log: RunLog
    trigger: str = "schedule"
    deadline: float | None = None
    stop: StopFlag = field(default_factory=threading.Event)
    report: Callable[[Progress], None] = lambda progress: None
    committed: Progress = Progress()
    save: Callable[[Progress], None] = lambda progress: None

    def checkpoint(self, progress: Progress) -> None:
        """Write the totals now, on the caller's own connection and so in its transaction.

        `progress` counts from the start of the execution, not of the attempt: begin with
        `committed`, which holds what earlier attempts of this execution wrote. Raises
        `Stopped` when the claim is no longer ours, so that the caller's transaction rolls
        back and a worker that lost its lease changes nothing.
        """
        self.save(progress)

    def progress(
        self, processed: int, total: int | None = None, *, success: int = 0, failure: int = 0
    ) -> None:
        """Say how far the run is. Cheap: written to the database at most once a second."""
        self.report(Progress(processed=processed, total=total, success=success, failure=failure))

    def should_stop(self) -> bool:
        """True once the run was cancelled, timed out or lost its lease: end soon, cleanly."""
        return self.stop.is_set()

    def check_stop(self) -> None:
        """Raise `Stopped` once `should_stop()` is true; for handlers that work in steps."""
        if self.stop.is_set():
            raise Stopped("stopped on request")
