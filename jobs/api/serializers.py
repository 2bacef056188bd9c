"""What is answered about jobs, tags and calendars."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs.api import dialect
from jobs.api.answers import describe_job
from jobs.api.fields import DatesField, HeadersField, PolicyField, WeekendField, said
from jobs.models import (
    BusinessDayShift,
    CatchUp,
    DependencyMode,
    DependencyOutcome,
    JobState,
    Method,
    Origin,
    OverlapPolicy,
    RecurrencePattern,
)
from web.api.fields import IdField, MomentField, ObjectField
from web.api.serializers import CamelCaseMixin


class AnswerSerializer(CamelCaseMixin, serializers.Serializer[Any]):
    """What is only answered."""


class JobSerializer(AnswerSerializer):
    """Describes the job object; `describe_job` makes it in one pass, without fields."""

    id = serializers.UUIDField()
    job_id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    type = said(dialect.TYPES)
    schedule_type = said(dialect.FAMILIES)
    execution_type = said(dialect.SAFETIES)
    schedule = serializers.CharField(allow_null=True)
    cron_expression = serializers.CharField(allow_null=True)
    timezone = serializers.CharField(allow_null=True)
    recurrence_pattern = said(RecurrencePattern, allow_null=True)
    scheduled_at = serializers.DateTimeField(allow_null=True)
    api = serializers.CharField(allow_null=True)
    api_endpoint = serializers.CharField(allow_null=True)
    method = said(Method)
    headers = HeadersField()
    payload = ObjectField()
    metadata = ObjectField(allow_null=True)
    handler = serializers.CharField(help_text="The handler that does the work, however it was found")
    timeout_ms = serializers.IntegerField(help_text="In force")
    retry_policy = PolicyField(allow_null=True)
    max_retries = serializers.IntegerField(help_text="In force")
    retry_count = serializers.IntegerField(help_text="Of the latest execution")
    max_concurrent_executions = serializers.IntegerField()
    rate_limit_per_minute = serializers.IntegerField(allow_null=True)
    priority = serializers.IntegerField()
    queue = serializers.CharField()
    catch_up = said(CatchUp)
    misfire_grace_seconds = serializers.IntegerField()
    overlap_policy = said(OverlapPolicy)
    jitter_seconds = serializers.IntegerField()
    start_at = serializers.DateTimeField(allow_null=True)
    end_at = serializers.DateTimeField(allow_null=True)
    calendar = serializers.CharField(allow_null=True)
    business_day_shift = said(BusinessDayShift)
    dependency_mode = said(DependencyMode)
    dependency_wait_seconds = serializers.IntegerField()
    follow_redirects = serializers.BooleanField()
    origin = said(Origin)
    version = serializers.IntegerField()
    paused_reason = serializers.CharField(allow_null=True)
    paused_until = serializers.DateTimeField(allow_null=True)
    status = said(
        dialect.SAID_STATES,
        help_text="Upper case for cron jobs, lower case with pending and running for the others",
    )
    state = said(JobState)
    is_active = serializers.BooleanField()
    last_run_at = serializers.DateTimeField(allow_null=True)
    last_run = serializers.DateTimeField(allow_null=True)
    next_run_at = serializers.DateTimeField(allow_null=True)
    next_run = serializers.DateTimeField(allow_null=True)
    next_scheduled_run = serializers.DateTimeField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    error_message = serializers.CharField(allow_null=True)
    result = serializers.JSONField(allow_null=True)
    tags = serializers.ListField(child=serializers.CharField())
    depends_on = serializers.ListField(child=serializers.UUIDField())
    user_id = serializers.UUIDField(allow_null=True)
    created_by = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    ping_url = serializers.CharField(required=False, help_text="Only where the handler is ping")

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return describe_job(instance, self.context.get("request"))


class SavedJobSerializer(JobSerializer):
    """A job with what is legal in it but often not meant."""

    warnings = serializers.ListField(child=serializers.CharField())


class TriggeredSerializer(AnswerSerializer):
    execution_id = serializers.UUIDField()
    id = serializers.UUIDField()
    job_id = serializers.UUIDField()
    status = said(("PENDING", "pending"))
    scheduled_at = serializers.DateTimeField()


class BackfilledSerializer(AnswerSerializer):
    count = serializers.IntegerField()
    scheduled_at = serializers.ListField(
        child=serializers.DateTimeField(), help_text="At most 100: the first and the last ones"
    )


class PreviewOccurrenceSerializer(AnswerSerializer):
    scheduled_at = serializers.DateTimeField()
    local = serializers.CharField(help_text="The wall clock in the job's zone, with its UTC offset")
    note = serializers.CharField(allow_null=True)


class PreviewSerializer(AnswerSerializer):
    description = serializers.CharField()
    warnings = serializers.ListField(child=serializers.CharField())
    occurrences = PreviewOccurrenceSerializer(many=True)


class VersionSerializer(AnswerSerializer):
    """One definition of a job; `changes` are those against the version before."""

    version = serializers.IntegerField()
    valid_from = MomentField()
    valid_to = MomentField(allow_null=True)
    changed_by = serializers.CharField(allow_null=True)
    changes = serializers.DictField()


class AuditSerializer(AnswerSerializer):
    id = serializers.IntegerField()
    job_id = serializers.SerializerMethodField()
    action = serializers.CharField()
    changed_by = serializers.CharField(allow_null=True)
    change_details = serializers.SerializerMethodField()
    request_id = serializers.CharField(allow_null=True)
    timestamp = MomentField()

    @extend_schema_field(OpenApiTypes.UUID)
    def get_job_id(self, entry: Any) -> str:
        return str(self.context["job"].uuid)

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_change_details(self, entry: Any) -> Any:
        return dialect.say_changes(entry.change_details)


class DependencySerializer(AnswerSerializer):
    id = IdField()
    job_id = IdField(source="job.uuid")
    depends_on_job_id = IdField(source="depends_on.uuid")
    depends_on_job_name = serializers.CharField(source="depends_on.name")
    outcome = said(DependencyOutcome)
    within_seconds = serializers.IntegerField(allow_null=True)
    created_at = MomentField()


class TagSerializer(AnswerSerializer):
    id = IdField()
    name = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    max_concurrent = serializers.IntegerField(allow_null=True)
    rate_limit_per_minute = serializers.IntegerField(allow_null=True)
    job_count = serializers.IntegerField()


class CalendarSerializer(AnswerSerializer):
    name = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    dates = DatesField()
    weekend = WeekendField()
    holidays = serializers.CharField(allow_null=True)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        shown = {"dates": [], "weekend": [], "holidays": None, **(instance.definition or {})}
        return {"name": instance.name, "description": instance.description, **shown}
