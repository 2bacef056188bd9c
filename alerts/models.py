"""Alert rules and what was sent for them."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from jobs.models import Job, Tag
from jobs.models.job import one_of
from jobs.models.owned import OwnedQuerySet
from web.columns import DatabaseNow, RandomUUID
from web.unreadable import JSONField


class AlertType(models.TextChoices):
    """The ways an alert travels."""

    WEBHOOK = "WEBHOOK", "webhook"
    EMAIL = "EMAIL", "e-mail"
    SLACK = "SLACK", "Slack"
    APPRISE = "APPRISE", "Apprise"


class Alert(models.Model):
    """Whom to tell, and when: for one job, for a tag's jobs, or for every job of the owner."""

    id = models.UUIDField(primary_key=True, editable=False, db_default=RandomUUID())
    job = models.ForeignKey(Job, models.CASCADE, null=True, blank=True, related_name="alerts")
    tag = models.ForeignKey(Tag, models.CASCADE, null=True, blank=True, related_name="alerts")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="alerts"
    )
    type = models.CharField(max_length=10, choices=AlertType)
    endpoint = models.CharField(max_length=2048)
    conditions = JSONField(default=dict, db_default=models.Value({}, models.JSONField()), blank=True)
    enabled = models.BooleanField(default=True, db_default=True)
    created_at = models.DateTimeField(db_default=DatabaseNow())
    updated_at = models.DateTimeField(db_default=DatabaseNow())

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "job_alerts"
        constraints = [one_of("type", AlertType, "job_alerts_type")]

    def __str__(self) -> str:
        if self.job is not None:
            return f"{self.type} for {self.job.name}"
        return f"{self.type} for tag {self.tag.name}" if self.tag is not None else f"{self.type} for all jobs"


class DeliveryStatus(models.TextChoices):
    """What became of one message."""

    PENDING = "PENDING", "pending"
    DELIVERED = "DELIVERED", "delivered"
    FAILED = "FAILED", "failed"


class DeliveryQuerySet(OwnedQuerySet):
    """Deliveries belong to the owner of their alert."""

    owner = "alert__user"


class Delivery(models.Model):
    """One message for one event of one execution; sent at most once per episode."""

    id = models.UUIDField(primary_key=True, editable=False, db_default=RandomUUID())
    alert = models.ForeignKey(Alert, models.CASCADE, related_name="deliveries", db_index=False)
    execution_id = models.UUIDField(null=True, blank=True)
    job_id = models.BigIntegerField(null=True, blank=True)
    event = models.CharField(max_length=30)
    status = models.CharField(
        max_length=10,
        choices=DeliveryStatus,
        default=DeliveryStatus.PENDING,
        db_default=DeliveryStatus.PENDING,
    )
    tries = models.IntegerField(default=0, db_default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(null=True, blank=True)
    # Where the event stands among those of its kind, and how long its episode is known to go on.
    happened_at = models.DateTimeField(null=True, blank=True)
    open_until = models.DateTimeField(null=True, blank=True)
    details = JSONField(db_default=models.Value({}, models.JSONField()), blank=True)
    created_at = models.DateTimeField(db_default=DatabaseNow())

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        db_table = "alert_deliveries"
        verbose_name_plural = "deliveries"
        constraints = [
            one_of("status", DeliveryStatus, "alert_deliveries_status"),
            models.UniqueConstraint(fields=["alert", "event", "execution_id"], name="alert_deliveries_once"),
        ]
        indexes = [
            # What to send next.
            models.Index(
                fields=["next_try_at"],
                condition=models.Q(status=DeliveryStatus.PENDING),
                name="alert_deliveries_due",
            ),
            # Whether an episode was told.
            models.Index(
                fields=["alert", "job_id", "event", "happened_at"], name="alert_deliveries_episodes"
            ),
            # Retention.
            models.Index(fields=["created_at"], name="alert_deliveries_created"),
        ]

    def __str__(self) -> str:
        return f"{self.event} ({self.status})"


class Cursor(models.Model):
    """How far the ledger was looked through for endings; moved in the transaction that tells them.

    Behind `moment` all was seen, and at that very moment up to `execution_id` (all, when null).
    """

    name = models.CharField(max_length=20, primary_key=True)
    moment = models.DateTimeField()
    execution_id = models.UUIDField(null=True, blank=True)

    class Meta:
        db_table = "alert_cursors"

    def __str__(self) -> str:
        return f"{self.name} at {self.moment}"
