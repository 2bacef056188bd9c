"""Jobs on the wire: what is read, what is answered, and how both are described."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs import definitions, policies
from jobs.api import dialect
from jobs.api.answers import describe_job
from jobs.definitions import RANGES
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
from web.api.fields import (
    FlagField,
    IdField,
    MomentField,
    ObjectField,
    TextField,
    WholeField,
    WordField,
    words,
)
from web.api.serializers import CamelCaseMixin, StrictSerializer

OPTIONAL: dict[str, Any] = {"required": False}
NULLABLE: dict[str, Any] = {"required": False, "allow_null": True}

POLICY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "maxRetries": {"type": "integer", "minimum": 0, "maximum": 10, "default": 3},
        "backoffStrategy": {"type": "string", "enum": list(policies.STRATEGIES), "default": "EXPONENTIAL"},
        "initialDelayMs": {"type": "integer", "minimum": 1, "maximum": 3_600_000, "default": 1000},
        "maxDelayMs": {"type": "integer", "minimum": 1, "maximum": 86_400_000, "default": 60_000},
        "jitter": {"type": "boolean", "default": False},
        "doNotRetryOn": {
            "type": "array",
            "maxItems": policies.MAX_CODES,
            "items": {"type": "integer", "minimum": 100, "maximum": 599},
            "default": [],
        },
    },
    "example": {"maxRetries": 3, "backoffStrategy": "EXPONENTIAL", "initialDelayMs": 1000},
}


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "maxProperties": 50,
        "example": {"Authorization": "Bearer s3cr3t", "X-Team": "ops"},
        "description": "Values under secret names are stored encrypted and shown as `***`; "
        "`***` sent back keeps the stored one.",
    }
)
class HeadersField(ObjectField):
    """Names and values; the rules of HTTP are those of `jobs.definitions`."""


@extend_schema_field(POLICY_SCHEMA)
class PolicyField(ObjectField):
    """A retry policy; its rules are those of `jobs.definitions`."""


def whole(column: str, **options: Any) -> WholeField:
    """A number with the range that the definition gives its column."""
    low, high = RANGES[column]
    return WholeField(min_value=low, max_value=high, **options)


def word(choices: Any, **options: Any) -> WordField:
    """One of a model's words."""
    return WordField(words(choices.values), **options)


class ScheduleFields(StrictSerializer):
    """The fields that say when."""

    type = WordField(words(dialect.TYPES), **NULLABLE)
    schedule_type = WordField(words(dialect.FAMILIES), **NULLABLE)
    schedule = TextField(max_length=definitions.MAX_SCHEDULE, **NULLABLE)
    cron_expression = TextField(max_length=definitions.MAX_SCHEDULE, **NULLABLE)
    timezone = TextField(max_length=64, **NULLABLE)
    recurrence_pattern = word(RecurrencePattern, **NULLABLE)
    scheduled_at = MomentField(**NULLABLE)
    start_at = MomentField(**NULLABLE)
    end_at = MomentField(**NULLABLE)
    calendar = TextField(max_length=100, **NULLABLE)
    business_day_shift = word(BusinessDayShift, **OPTIONAL)


class NewJobSerializer(ScheduleFields):
    """A job as it is given. Cron jobs need `schedule`, recurring ones `recurrencePattern`; all need `name`
    or `api`."""

    name = TextField(max_length=definitions.MAX_NAME, **OPTIONAL)
    description = TextField(max_length=definitions.MAX_DESCRIPTION, allow_blank=True, **NULLABLE)
    execution_type = WordField(words(dialect.SAFETIES), **OPTIONAL)
    api = TextField(max_length=2048, **NULLABLE)
    api_endpoint = TextField(max_length=2048, **NULLABLE)
    method = word(Method, **OPTIONAL)
    headers = HeadersField(**OPTIONAL)
    payload = ObjectField(**OPTIONAL)
    metadata = ObjectField(**NULLABLE)
    handler = TextField(max_length=100, **NULLABLE)
    timeout_ms = whole("timeout_ms", **NULLABLE)
    retry_policy = PolicyField(**NULLABLE)
    max_retries = WholeField(min_value=0, max_value=10, **OPTIONAL)
    max_concurrent_executions = whole("max_concurrent_executions", **OPTIONAL)
    rate_limit_per_minute = whole("rate_limit_per_minute", **NULLABLE)
    priority = whole("priority", **OPTIONAL)
    queue = TextField(max_length=50, **OPTIONAL)
    catch_up = word(CatchUp, **OPTIONAL)
    misfire_grace_seconds = whole("misfire_grace_seconds", **OPTIONAL)
    overlap_policy = word(OverlapPolicy, **OPTIONAL)
    jitter_seconds = whole("jitter_seconds", **OPTIONAL)
    dependency_mode = word(DependencyMode, **OPTIONAL)
    dependency_wait_seconds = whole("dependency_wait_seconds", **OPTIONAL)
    follow_redirects = FlagField(**OPTIONAL)
    is_active = FlagField(**OPTIONAL)
    status = WordField(words(dialect.NEW_STATES), **OPTIONAL)
    tags = serializers.ListField(
        child=TextField(max_length=definitions.MAX_TAG_NAME), max_length=definitions.MAX_TAGS, **OPTIONAL
    )
    depends_on = serializers.ListField(child=IdField(), max_length=definitions.MAX_DEPENDENCIES, **OPTIONAL)
    created_by = TextField(max_length=255, **NULLABLE)
    changed_by = TextField(max_length=255, **NULLABLE)


class JobChangesSerializer(NewJobSerializer):
    """What shall change; absent fields stay, null clears."""

    status = WordField(words(dialect.STATES), **OPTIONAL)


class PreviewRequestSerializer(ScheduleFields):
    """A schedule to look at; nothing is stored."""

    count = WholeField(min_value=1, max_value=100, default=10)
    from_ = MomentField(**OPTIONAL)


class ActorSerializer(StrictSerializer):
    """`changedBy` names a guest in the audit; a user is named by the e-mail."""

    changed_by = TextField(max_length=255, **NULLABLE)


class PauseSerializer(ActorSerializer):
    reason = TextField(max_length=500, allow_blank=True, **NULLABLE)
    until = MomentField(**NULLABLE)


class ResumeSerializer(ActorSerializer):
    catch_up = word(CatchUp, **OPTIONAL)


class RescheduleSerializer(ActorSerializer):
    scheduled_at = MomentField()


class TriggerSerializer(ActorSerializer):
    payload = ObjectField(**NULLABLE)


class BackfillSerializer(ActorSerializer):
    from_ = MomentField()
    to = MomentField()
    dry_run = FlagField(default=False)
    max_concurrent = WholeField(min_value=1, max_value=100, default=1)
    reprocess = WordField(words(("none", "failed", "all")), default="none")


class RollbackSerializer(ActorSerializer):
    version = WholeField(min_value=1, max_value=2_147_483_647)


class JobTagsSerializer(ActorSerializer):
    tags = serializers.ListField(
        child=TextField(max_length=definitions.MAX_TAG_NAME), max_length=definitions.MAX_TAGS
    )


class NewDependencySerializer(ActorSerializer):
    depends_on_job_id = IdField()
    outcome = word(DependencyOutcome, **OPTIONAL)
    within_seconds = WholeField(min_value=1, max_value=31_536_000, **NULLABLE)


class NewTagSerializer(ActorSerializer):
    name = TextField(max_length=definitions.MAX_TAG_NAME)
    description = TextField(max_length=definitions.MAX_DESCRIPTION, allow_blank=True, **NULLABLE)
    max_concurrent = WholeField(min_value=1, max_value=10_000, **NULLABLE)
    rate_limit_per_minute = whole("rate_limit_per_minute", **NULLABLE)


CALENDAR_DAY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["date"],
    "properties": {
        "date": {"type": "string", "format": "date", "example": "2026-12-24"},
        "open": {"type": "boolean", "default": False},
        "note": {"type": "string", "nullable": True, "maxLength": 200, "example": "Christmas Eve"},
    },
}


@extend_schema_field({"type": "array", "maxItems": 10_000, "items": CALENDAR_DAY})
class DatesField(serializers.JSONField):
    """Days of a calendar; `jobs.timing.Calendar` reads them."""


@extend_schema_field(
    {
        "type": "array",
        "maxItems": 7,
        "items": {"type": "integer", "minimum": 1, "maximum": 7},
        "example": [6, 7],
    }
)
class WeekendField(serializers.JSONField):
    """ISO weekdays, 1 Monday to 7 Sunday."""


class CalendarChangesSerializer(ActorSerializer):
    description = TextField(max_length=definitions.MAX_DESCRIPTION, allow_blank=True, **NULLABLE)
    dates = DatesField(**OPTIONAL)
    weekend = WeekendField(**OPTIONAL)
    holidays = TextField(max_length=40, help_text="As DE or DE-BY", **NULLABLE)


class NewCalendarSerializer(CalendarChangesSerializer):
    name = serializers.RegexField(
        r"\A[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}\Z",
        error_messages={
            "invalid": "Must be 1 to 100 letters, digits, blanks, dots, hyphens or underscores, the first a "
            "letter or digit"
        },
    )


class CalendarImportSerializer(ActorSerializer):
    ics = TextField(max_length=1_000_000, trim_whitespace=False)


# Answers --------------------------------------------------------------------------------------------


def said(choices: Any, **options: Any) -> serializers.ChoiceField:
    """One of a few words, as an answer."""
    return serializers.ChoiceField(words(getattr(choices, "values", choices)), **options)


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
