"""What the loop repeats for alerts: pick what happened, send it from a pool apart, forget old ones."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from alerts import delivery, picking
from alerts.models import Delivery, DeliveryStatus
from executions.engine.duty import duty

PRUNED_AT_ONCE = 1000


@duty(every=timedelta(seconds=1))
def pick_endings(now: datetime) -> None:
    """Find what ended since the last look."""
    picking.pick_endings(picking.LEAD, now)


@duty(every=timedelta(seconds=10))
def pick_late_commits(now: datetime) -> None:
    """Go once more over what ended a minute ago, for what was not visible then."""
    picking.pick_endings(picking.SWEEP, now)


@duty(every=timedelta(seconds=5))
def pick_unfinished(now: datetime) -> None:
    """Find what is late, runs long or was not planned."""
    picking.pick_unfinished(now)


@duty(every=timedelta(seconds=2), outside=True)
def send_due(now: datetime) -> None:
    """Send what is due."""
    delivery.send_due(now)


@duty(every=timedelta(minutes=10))
def prune(now: datetime) -> None:
    """Forget deliveries as old as the executions they told of (RETENTION_DAYS)."""
    if settings.RETENTION_DAYS:
        old = Delivery.objects.filter(created_at__lt=now - timedelta(days=settings.RETENTION_DAYS))
        settled = old.exclude(status=DeliveryStatus.PENDING).order_by("created_at")
        ids = list(settled.values_list("id", flat=True)[:PRUNED_AT_ONCE])
        Delivery.objects.filter(id__in=ids).delete()
