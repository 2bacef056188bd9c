"""Alerts and their deliveries on the wire."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from alerts import operations
from alerts.addresses import MAX_LENGTH
from alerts.models import Alert, AlertType, Delivery
from alerts.rules import MAX_FAILURES, MAX_SECONDS
from web.api.fields import FlagField, IdField, MomentField, TextField, WholeField, WordField, words
from web.api.serializers import StrictSerializer

SPAN: dict[str, Any] = {"min_value": 1, "max_value": MAX_SECONDS, "allow_null": True, "required": False}


class ConditionsSerializer(StrictSerializer):
    """When an alert speaks; spans in seconds, null: not."""

    on_failure = FlagField(required=False, default=True)
    on_success = FlagField(required=False, default=False)
    consecutive_failures = WholeField(min_value=1, max_value=MAX_FAILURES, required=False, default=1)
    on_recovery = FlagField(required=False, default=False)
    on_late = WholeField(**SPAN, default=None)
    on_missed = FlagField(required=False, default=False)
    on_long_running = WholeField(**SPAN, default=None)
    on_dead_letter = FlagField(required=False, default=False)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """The given ones only, by their names on the wire: the rest is as it was."""
        checked = super().to_internal_value(data)
        return {name: checked[field.source] for name, field in self.fields.items() if name in data}

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return dict(instance)


class AlertSerializer(StrictSerializer):
    """An alert; a password or key inside the endpoint is `***`, and sent back so it stays."""

    id = IdField(read_only=True)
    job_id = IdField(required=False, allow_null=True)
    tag = TextField(max_length=100, required=False, allow_null=True)
    type = WordField(choices=words(AlertType.values))
    endpoint = TextField(max_length=MAX_LENGTH)
    conditions = ConditionsSerializer(required=False)
    enabled = FlagField(required=False, default=True)
    created_at = MomentField(read_only=True)
    updated_at = MomentField(read_only=True)

    def to_representation(self, instance: Alert) -> dict[str, Any]:
        moments = {"createdAt": instance.created_at, "updatedAt": instance.updated_at}
        return {"id": str(instance.id), **operations.show(instance), **moments}


class JobAlertSerializer(AlertSerializer):
    """An alert of the job that the address names."""

    job_id = IdField(read_only=True)
    tag = TextField(read_only=True)


class ChangedAlertSerializer(AlertSerializer):
    """What can be changed of an alert; for another job or tag make another alert."""

    job_id = IdField(read_only=True)
    tag = TextField(read_only=True)
    enabled = FlagField(required=False)


class DeliverySerializer(StrictSerializer):
    """One message: what it told, and what became of it."""

    id = IdField(read_only=True)
    alert_id = IdField(read_only=True)
    job_id = IdField(read_only=True, allow_null=True)
    execution_id = IdField(read_only=True, allow_null=True)
    event = TextField(read_only=True)
    status = TextField(read_only=True)
    tries = WholeField(read_only=True)
    next_try_at = MomentField(read_only=True, allow_null=True)
    error = TextField(read_only=True, allow_null=True)
    created_at = MomentField(read_only=True)

    def to_representation(self, instance: Delivery) -> dict[str, Any]:
        unplanned = bool(instance.details.get("unplanned"))
        job_uuids: dict[int, Any] = self.context.get("job_uuids", {})
        return {
            "id": str(instance.id),
            "alertId": str(instance.alert_id),
            "jobId": job_uuids.get(instance.job_id or 0),
            "executionId": None if unplanned else instance.execution_id,
            "event": instance.event,
            "status": instance.status,
            "tries": instance.tries,
            "nextTryAt": instance.next_try_at,
            "error": instance.error,
            "createdAt": instance.created_at,
        }


class TriedSerializer(StrictSerializer):
    """Whether a test message arrived, else why not."""

    delivered = serializers.BooleanField(read_only=True)
    error = TextField(read_only=True, allow_null=True)
