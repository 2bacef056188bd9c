"""What keeps a loop going when one of its steps fails."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from datetime import timedelta

from django.db import Error as DatabaseProblem
from django.db import connection

from executions.engine.agenda import Timer
from web import refusals

log = logging.getLogger(__name__)


class Guard:
    """Runs steps: one that fails costs a wait, and one line a second in the log, not the loop.

    `after_failure` is told of each failure, once the connection that may be broken is gone.
    """

    def __init__(self, *, after_failure: Callable[[], None]) -> None:
        self.failures = 0  # in a row
        self._after_failure = after_failure
        self._complaint = Timer(every=timedelta(seconds=1))

    def run(self, step: Callable[[], float]) -> float:
        """Seconds to wait before the next step: what this one answered, or a moment after its failure."""
        try:
            wait = step()
            self.failures = 0
            return wait
        except DatabaseProblem as problem:
            if self._may_complain():
                log.error(refusals.tell(problem))
        except Exception:
            if self._may_complain():
                log.exception("a pass failed")
        self.failures += 1
        _throw_connection_away()
        self._after_failure()
        return random.uniform(0.1, 0.4)

    def _may_complain(self) -> bool:
        if not self._complaint.is_due():
            return False
        self._complaint.done()
        return True


def _throw_connection_away() -> None:
    """Where the connection broke, those that wait in the pool are broken too."""
    used = connection.connection
    broken = used is None or bool(getattr(used, "closed", False))
    try:
        connection.close()
    except Exception:  # a broken connection may fail to close in any way
        connection.connection = None
    pool = getattr(connection, "pool", None)
    if broken and pool is not None and not pool.closed:
        pool.drain()


def wait_for_connection(seconds: float) -> None:
    """From now on wait this long for a connection of the pool, and not as long as it was made for."""
    pool = getattr(connection, "pool", None)
    if pool is not None:
        pool.timeout = seconds
