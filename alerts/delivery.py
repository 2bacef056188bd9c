"""Sends what was picked: claimed by one process at a time, tried three times, outcome kept."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from django.db import connection
from django.utils.dateparse import parse_datetime

from alerts import channels, ledger, messages, rules
from alerts.channels import NotDelivered
from alerts.messages import Message
from alerts.models import Alert, AlertType, Delivery, DeliveryStatus
from executions.engine import clock
from executions.engine.pool import Pool
from jobs.models import Job

log = logging.getLogger(__name__)

SENDERS = 4
# How long a claim holds: longer than a send takes, so that only a dead process loses it.
CLAIM = timedelta(minutes=1)
WINDOW = 50
PATIENCE = 5.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A delivery that this process may send, and which try this is."""

    delivery: Delivery
    tries: int


class InFlight:
    """The alerts that some thread of this process is sending for: one at a time each.

    So an endpoint that hangs holds one sender, however much waits for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alerts: set[UUID] = set()

    def enter(self, alert: UUID) -> bool:
        """Whether the alert was free; it is taken then."""
        with self._lock:
            free = alert not in self._alerts
            self._alerts.add(alert)
            return free

    def leave(self, alert: UUID) -> None:
        """Free it again."""
        with self._lock:
            self._alerts.discard(alert)


_in_flight = InFlight()
_one_waits = threading.Lock()
_one_makes = threading.Lock()


def _pool() -> Pool:
    """The threads that send, made when first needed; apart from those of jobs and of other duties."""
    with _one_makes:
        return _make_pool()


@cache
def _make_pool() -> Pool:
    return Pool(SENDERS, name="alert")


def send_due(now: datetime) -> None:
    """Set the free senders to what is due, and see them through for a few seconds.

    Where an endpoint hangs, its sender goes on alone: this returns after PATIENCE, and at once while
    another call of this process is still waiting.
    """
    due = Delivery.objects.filter(status=DeliveryStatus.PENDING, next_try_at__lte=now)
    wanted = min(_pool().free, len(due.values_list("alert_id")[:SENDERS]))
    ends = [_start_sender() for _ in range(wanted)]
    if ends and _one_waits.acquire(blocking=False):
        try:
            until = clock.monotonic() + PATIENCE
            for end in ends:
                end.wait(max(0.0, until - clock.monotonic()))
        finally:
            _one_waits.release()


def _start_sender() -> threading.Event:
    end = threading.Event()

    def serve() -> None:
        try:
            send_all()
        except Exception:
            log.exception("sending alerts failed")
        finally:
            connection.close()
            end.set()

    _pool().submit(serve)
    return end


def send_all() -> int:
    """One sender's share: claim, send and note until nothing is due that nobody else is at."""
    count = 0
    while (claimed := claim(clock.now())) is not None:
        try:
            deliver(claimed)
        finally:
            _in_flight.leave(claimed.delivery.alert_id)
        count += 1
    return count


def claim(now: datetime) -> Claimed | None:
    """Take the delivery that is due longest, of an alert that nobody here sends for; None: none is.

    The moment of its next try is what is fenced: whoever moves it first has it.
    """
    due = Delivery.objects.filter(status=DeliveryStatus.PENDING, next_try_at__lte=now)
    for delivery in due.select_related("alert__job").order_by("next_try_at", "id")[:WINDOW]:
        if not _in_flight.enter(delivery.alert_id):
            continue
        if _take(delivery, now):
            return Claimed(delivery=delivery, tries=delivery.tries + 1)
        _in_flight.leave(delivery.alert_id)
    return None


def _take(delivery: Delivery, now: datetime) -> bool:
    seen = Delivery.objects.filter(
        id=delivery.id, status=DeliveryStatus.PENDING, next_try_at=delivery.next_try_at
    )
    if delivery.tries >= rules.MAX_TRIES:
        seen.update(status=DeliveryStatus.FAILED, next_try_at=None, error="the last try was cut short")
        return False
    return bool(seen.update(next_try_at=now + CLAIM, tries=delivery.tries + 1))


def deliver(claimed: Claimed) -> None:
    """Send one claimed delivery and keep what came of it."""
    delivery, alert = claimed.delivery, claimed.delivery.alert
    try:
        if not alert.enabled:
            raise NotDelivered("the alert was switched off before this was sent", permanent=True)
        channels.send(alert.type, alert.endpoint, _compose(delivery), now=clock.now())
    except NotDelivered as problem:
        _note_failure(claimed, problem)
    except Exception as error:
        log.exception("an alert could not be made or sent")
        _note_failure(claimed, NotDelivered(f"it could not be made or sent: {type(error).__name__}"))
    else:
        _note(claimed, status=DeliveryStatus.DELIVERED, error=None, next_try_at=None)
        log.info("alert delivered", extra={"delivery": str(delivery.id), "type": alert.type})


def _note_failure(claimed: Claimed, problem: NotDelivered) -> None:
    now = clock.now()
    tries = claimed.tries - 1 if problem.unsent else claimed.tries
    delay = rules.next_try(max(tries, 1), wanted=problem.delay)
    if problem.permanent or delay is None:
        _note(claimed, status=DeliveryStatus.FAILED, error=str(problem), next_try_at=None)
        log.warning("alert not delivered", extra={"delivery": str(claimed.delivery.id)})
        return
    if problem.unsent:
        delay = problem.delay or timedelta(seconds=1)
    _note(
        claimed,
        status=DeliveryStatus.PENDING,
        error=str(problem),
        next_try_at=now + delay,
        tries=tries,
    )


def _note(claimed: Claimed, **values: Any) -> None:
    """Write the outcome, unless another process took the delivery over meanwhile."""
    mine = Delivery.objects.filter(id=claimed.delivery.id, status=DeliveryStatus.PENDING, tries=claimed.tries)
    mine.update(**values)


def _compose(delivery: Delivery) -> Message:
    execution = ledger.find(delivery.execution_id)
    job = execution.job if execution else Job.objects.filter(id=delivery.job_id or 0).first()
    planned = parse_datetime(str(delivery.details.get("scheduledAt") or ""))
    return messages.compose(
        key=delivery.id,
        event=delivery.event,
        at=delivery.created_at,
        job=job,
        execution=execution,
        details=delivery.details,
        scheduled_at=planned,
    )


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What came of a test: whether it arrived, else why not."""

    delivered: bool
    error: str | None = None


def send_test(alert: Alert, *, now: datetime) -> Tried:
    """Send a test message at once, once, whether the alert is enabled or not; nothing is stored."""
    message = messages.compose_test(key=uuid4(), at=now, job=alert.job)
    try:
        channels.send(alert.type, alert.endpoint, message, now=now)
    except NotDelivered as problem:
        return Tried(delivered=False, error=str(problem))
    return Tried(delivered=True)


def is_staff_only(kind: str) -> bool:
    """Whether only staff may make such an alert: its library dials by itself, past our guard."""
    return kind == AlertType.APPRISE
