"""What the loop repeats for executions: pauses that end by themselves, bulk requeues, counts, retention."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection

from executions import deadman, retention, statistics
from executions.engine import clock
from executions.engine.duty import duty
from executions.models import BulkRequeue, RequeueState
from executions.operations import end_pause, resume_queue
from executions.operations.dead_letters import advance
from jobs.audit import SCHEDULER
from jobs.models import Job, JobState, Queue

BATCH = 100
PRUNE_SPAN = 1.0  # seconds


@duty(every=timedelta(seconds=2))
def end_pauses(now: datetime) -> None:
    """Resume jobs and queues whose pause has an end that has come, the earliest first, a batch of each.

    What somebody else works on is passed over: it may be resumed just now, or paused anew.
    """
    jobs = Job.objects.filter(state=JobState.PAUSED, paused_until__lte=now).order_by("paused_until", "id")
    for job in jobs.select_for_update(skip_locked=True, of=("self",))[:BATCH]:
        end_pause(job, by=SCHEDULER)
    queues = Queue.objects.filter(paused=True, paused_until__lte=now).order_by("paused_until", "name")
    for queue in queues.select_for_update(skip_locked=True)[:BATCH]:
        resume_queue(queue.name, by=SCHEDULER)


@duty(every=timedelta(seconds=2))
def advance_requeues(now: datetime) -> None:
    """Go on with bulk requeues, a bounded step each."""
    open_ones = BulkRequeue.objects.filter(status__in=(RequeueState.CANARY, RequeueState.RUNNING))
    for bulk in open_ones.select_for_update().order_by("created_at")[:10]:
        advance(bulk, now)


@duty(every=timedelta(seconds=10))
def fold_statistics(now: datetime) -> None:
    """Fold the counts that the triggers wrote, so that they stay few."""
    statistics.fold(now)


_history = retention.steps()


@duty(every=timedelta(seconds=10), outside=True)
def prune_history(now: datetime) -> None:
    """Delete what is older than the settings keep, in bounded steps, each kind for PRUNE_SPAN at most.

    Beside the loop, which plans and claims meanwhile; several processes pass over what others delete.
    """
    for prune in _history.values():
        ends_at = clock.monotonic() + PRUNE_SPAN
        while prune(now).more and clock.monotonic() < ends_at and can_share():
            continue


def can_share() -> bool:
    """Whether others write meanwhile; SQLite has one writer, so there one step is enough for a time."""
    return connection.features.has_select_for_update_skip_locked


@duty(every=deadman.EVERY, outside=True)
def send_heartbeat(now: datetime) -> None:
    """Tell HEARTBEAT_URL that work goes on."""
    deadman.ping(now)
