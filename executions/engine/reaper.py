"""Ends attempts whose lease ran out: their worker died, or lost the database."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction

from executions import lifecycle
from executions.faults import fault
from executions.lifecycle import Ending, Expired
from executions.retry import CRASH_RECOVERIES
from executions.rows import BROKEN

log = logging.getLogger(__name__)

BATCH = 500


def reap(now: datetime, lease: timedelta) -> int:
    """Rescue what was lost, at most one batch; answers how many.

    Lost is: RUNNING with a lease that ended by the database's clock, or one so far ahead that
    the clock must have been set back. ATLEAST_ONCE goes on at once, up to three times, apart
    from its retries; ATMOST_ONCE is never called again.
    """
    with transaction.atomic():
        lost = lifecycle.expired(now, lease, limit=BATCH)
        if lost:
            _finish([_judge(entry, now) for entry in lost], now)
            fault("reap_before_commit")
    if lost:
        fault("reap_after_commit")
    for entry in lost:
        log.warning(
            "worker lost",
            extra={"execution_id": str(entry.claim.execution_id), "attempt": entry.claim.attempt},
        )
    return len(lost)


def _finish(endings: Sequence[Ending], now: datetime) -> None:
    """Write the group; one that cannot be written holds up no other."""
    try:
        lifecycle.finish(endings, now)
    except BROKEN:
        if len(endings) == 1:
            log.exception("execution %s was lost and cannot be ended", endings[0].claim.execution_id)
            return
        for ending in endings:
            _finish([ending], now)


def _judge(entry: Expired, now: datetime) -> Ending:
    if entry.cancel_requested:
        return lifecycle.stop(
            entry.claim, reason=entry.cancel_reason or "operator", message="worker lost", lost=1
        )
    again = entry.execution_type == "ATLEAST_ONCE" and entry.lost_count < CRASH_RECOVERIES
    return lifecycle.rescue(entry.claim, again=again, now=now, policy=entry.retry_policy)
