"""What callers send about jobs, tags and calendars."""

from __future__ import annotations

from rest_framework import serializers

from jobs import definitions
from jobs.api import dialect
from jobs.api.fields import (
    NULLABLE,
    OPTIONAL,
    DatesField,
    HeadersField,
    PolicyField,
    WeekendField,
    whole,
    word,
)
from jobs.models import (
    BusinessDayShift,
    CatchUp,
    DependencyMode,
    DependencyOutcome,
    Method,
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
from web.api.serializers import StrictSerializer


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


class PauseJobSerializer(ActorSerializer):
    reason = TextField(max_length=500, allow_blank=True, **NULLABLE)
    until = MomentField(**NULLABLE)


class ResumeJobSerializer(ActorSerializer):
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
