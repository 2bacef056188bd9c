"""The duties of a process: what comes due beside planning and claiming, each with its own pace."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime

from django.db import Error as DatabaseProblem
from django.db import connection, transaction

from executions.engine import clock
from executions.engine.agenda import Timer
from executions.engine.bell import Bell
from executions.engine.duty import Duty
from executions.engine.pool import Pool
from executions.engine.watchdog import Watchdog
from executions.faults import fault
from executions.rows import fetch

log = logging.getLogger(__name__)

LIMIT = 30.0  # seconds that one step may take
PATIENCE = 1.0  # seconds that a duty may wait for company
OUTSIDE_SLOTS = 2
LOCK_PATIENCE = "500ms"  # a duty comes again; leases and runs would wait with it


class Housekeeper:
    """Does the duties that are due: in the loop, or in a small pool when they talk to the outside."""

    def __init__(self, duties: Iterable[Duty], *, watchdog: Watchdog, bell: Bell) -> None:
        self._duties = [(duty, Timer(every=duty.every)) for duty in duties]
        self._watchdog = watchdog
        self._bell = bell
        self._outside = Pool(OUTSIDE_SLOTS, name="duty")

    def moments(self) -> Iterator[float]:
        """When each duty wants the loop to wake up, on the monotonic clock; company may bring it forward."""
        for _, timer in self._duties:
            yield timer.at + PATIENCE

    def do_due(self, now: datetime) -> None:
        """Do what is due, or nearly so; a failure of one duty is its own."""
        for duty, timer in self._duties:
            if timer.is_near():
                timer.done()
                self._do(duty, now)

    def do_all(self, now: datetime) -> None:
        """Every duty once more before a process ends, so that what its runs caused is told by it."""
        ends_at = clock.monotonic() + LIMIT
        for outside in (False, True):  # those inside write what those outside send
            for duty, timer in self._duties:
                if duty.outside == outside:
                    timer.done()
                    self._do(duty, now)
        while (self._outside.busy or self._outside.queued) and clock.monotonic() < ends_at:
            self._bell.wait(0.05)

    def close(self) -> None:
        """Take no more work for the outside."""
        self._outside.close()

    def _do(self, duty: Duty, now: datetime) -> None:
        if duty.outside:
            self._outside.submit(lambda: self._do_outside(duty))
            return
        with self._watchdog.limit(LIMIT):
            do_duty(duty, now)

    def _do_outside(self, duty: Duty) -> None:
        try:
            with self._watchdog.limit(LIMIT):
                duty.step(clock.now())
        except Exception:
            log.exception("duty %s failed", duty.name)
        finally:
            connection.close()


def do_duty(duty: Duty, now: datetime) -> None:
    """Do one duty's step unless another process is at it; its failure is its own.

    Raises the database's error when the connection is gone.
    """
    try:
        with transaction.atomic():
            if _may(duty) or duty.local:
                duty.step(now)
                fault("duty_before_commit")
        fault("duty_after_commit")
    except DatabaseProblem:
        if connection.connection is None or not connection.is_usable():
            raise
        log.exception("duty %s failed", duty.name)
    except Exception:
        log.exception("duty %s failed", duty.name)


def _may(duty: Duty) -> bool:
    """Whether no other process does it now; a step waits only briefly for who holds a row."""
    if connection.vendor != "postgresql":
        return True
    key = zlib.crc32(duty.name.encode())
    sql = "SELECT pg_try_advisory_xact_lock(%s), set_config('lock_timeout', %s, true)"
    return bool(fetch(sql, [key, LOCK_PATIENCE])[0][0])
