"""The job: what should run, when, under which policies. Its verbs live in `executions.operations`."""

from __future__ import annotations

from datetime import datetime
from functools import reduce
from operator import and_, or_
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from jobs.models import lookups as lookups
from jobs.models.owned import OwnedQuerySet
from web.columns import DatabaseNow, RandomUUID
from web.unreadable import JSONField


class JobState(models.TextChoices):
    """The stored word of a job; only active jobs get occurrences."""

    ACTIVE = "active"
    PAUSED = "paused"
    INACTIVE = "inactive"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    FAILED = "failed"
    DELETED = "deleted"


class ScheduleType(models.TextChoices):
    """The family of a job: it never changes after creation."""

    CRON = "cron"
    ONE_TIME = "one_time"
    RECURRING = "recurring"


class ExecutionType(models.TextChoices):
    """What a crash may cost: a second call, or the call."""

    ATLEAST_ONCE = "ATLEAST_ONCE", "at least once"
    ATMOST_ONCE = "ATMOST_ONCE", "at most once"


class RecurrencePattern(models.TextChoices):
    """The period of a recurring job, counted from its anchor."""

    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class CatchUp(models.TextChoices):
    """What becomes of fire times noticed later than the grace."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"


class OverlapPolicy(models.TextChoices):
    """What a fire time does while older executions are unfinished."""

    QUEUE = "queue"
    SKIP = "skip"
    ALLOW = "allow"
    REPLACE = "replace"


class BusinessDayShift(models.TextChoices):
    """Where a fire time on a closed day goes."""

    NONE = "none"
    NEXT = "next"
    PREVIOUS = "previous"


class DependencyMode(models.TextChoices):
    """Whether all dependencies must hold, or any."""

    ALL = "all"
    ANY = "any"


class Origin(models.TextChoices):
    """Where a job was made."""

    SQL = "sql", "SQL"
    SEED = "seed"
    API = "api", "API"
    ADMIN = "admin"
    FILE = "file"
    IMPORT = "import"


class Method(models.TextChoices):
    """The methods an HTTP job may use."""

    GET = "GET", "GET"
    POST = "POST", "POST"
    PUT = "PUT", "PUT"
    PATCH = "PATCH", "PATCH"
    DELETE = "DELETE", "DELETE"
    HEAD = "HEAD", "HEAD"


# The columns that decide the fire times. Each has a twin `planned_…`: the value that
# `next_run_at` was planned from, so that an edit by SQL is noticed by looking for a difference.
SCHEDULE_COLUMNS = (
    "cron_expression",
    "recurrence_pattern",
    "timezone",
    "scheduled_at",
    "start_at",
    "end_at",
)
# Those that move fire times to other days. A row that an older release planned has no copies of them.
DAY_COLUMNS = ("calendar_id", "business_day_shift")
PLANNED_COLUMNS = (*SCHEDULE_COLUMNS, *DAY_COLUMNS)
_DAYS_UNKNOWN = Q(planned_business_day_shift__isnull=True)


def _compared(how: str, names: tuple[str, ...]) -> list[Q]:
    return [Q(**{f"planned_{name}__{how}": F(name)}) for name in names]


SCHEDULE_CHANGED = reduce(or_, _compared("differs", SCHEDULE_COLUMNS)) | (
    ~_DAYS_UNKNOWN & reduce(or_, _compared("differs", DAY_COLUMNS))
)
SCHEDULE_KEPT = reduce(and_, _compared("same", SCHEDULE_COLUMNS)) & (
    _DAYS_UNKNOWN | reduce(and_, _compared("same", DAY_COLUMNS))
)
# The cursor has a twin too: what SQL passes over by moving it is answered for.
CURSOR_MOVED = Q(planned_next_run_at__differs=F("next_run_at"))
CURSOR_KEPT = Q(planned_next_run_at__same=F("next_run_at"))
# A job to look at although nothing is due: edited or moved by SQL, or never planned.
TO_REPLAN = SCHEDULE_CHANGED | CURSOR_MOVED | Q(next_run_at__isnull=True, exhausted=False)


# The word as text of the statement, not as its parameter: by a parameter SQLite cannot tell that an index
# of active jobs alone will do, and reads all of them.
WRITTEN_ACTIVE = models.Func(template=f"'{JobState.ACTIVE.value}'", output_field=models.CharField())


def one_of(field: str, choices: type[models.TextChoices], name: str) -> models.CheckConstraint:
    """The database's own refusal of any other word in this column."""
    return models.CheckConstraint(name=name, condition=Q(**{f"{field}__in": choices.values}))


class JobQuerySet(OwnedQuerySet):
    """Questions that several rooms ask about jobs."""

    def present(self) -> Self:
        """Jobs that were not deleted."""
        return self.exclude(state=JobState.DELETED)

    def to_replan(self) -> Self:
        """Active jobs whose schedule or next_run_at differs from what the planner left, and new ones."""
        return self.filter(TO_REPLAN, state=WRITTEN_ACTIVE)

    def due(self, now: datetime) -> Self:
        """Active jobs whose next fire time has come, planned from the schedule they have now."""
        return self.filter(SCHEDULE_KEPT, CURSOR_KEPT, state=WRITTEN_ACTIVE, next_run_at__lte=now)


class Job(models.Model):
    """One row of `batch_jobs`.

    Every column but the name has a database default or may be null, so a row inserted by
    SQL with a name, an expression and a state is complete.
    """

    id = models.BigAutoField(primary_key=True)
    uuid = models.UUIDField(unique=True, editable=False, db_default=RandomUUID())
    name = models.CharField(max_length=255, db_column="job_name")
    description = models.TextField(null=True, blank=True)
    cron_expression = models.TextField(null=True, blank=True)
    state = models.CharField(
        max_length=20,
        choices=JobState,
        db_column="status",
        default=JobState.ACTIVE,
        db_default=JobState.ACTIVE,
    )
    schedule_type = models.CharField(
        max_length=10, choices=ScheduleType, default=ScheduleType.CRON, db_default=ScheduleType.CRON
    )
    execution_type = models.CharField(
        max_length=20,
        choices=ExecutionType,
        default=ExecutionType.ATLEAST_ONCE,
        db_default=ExecutionType.ATLEAST_ONCE,
    )
    recurrence_pattern = models.CharField(max_length=10, choices=RecurrencePattern, null=True, blank=True)
    timezone = models.CharField(max_length=64, null=True, blank=True)
    scheduled_at = models.DateTimeField(null=True, blank=True)
    start_at = models.DateTimeField(null=True, blank=True)
    end_at = models.DateTimeField(null=True, blank=True)
    calendar = models.ForeignKey(
        "Calendar",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="jobs",
        db_column="calendar",
    )
    business_day_shift = models.CharField(
        max_length=10,
        choices=BusinessDayShift,
        default=BusinessDayShift.NONE,
        db_default=BusinessDayShift.NONE,
    )

    api_endpoint = models.CharField(max_length=2048, null=True, blank=True)
    method = models.CharField(max_length=7, choices=Method, default=Method.POST, db_default=Method.POST)
    headers = JSONField(default=dict, db_default=models.Value({}, models.JSONField()), blank=True)
    payload = JSONField(default=dict, db_default=models.Value({}, models.JSONField()), blank=True)
    metadata = JSONField(null=True, blank=True)
    handler = models.CharField(max_length=100, null=True, blank=True)
    timeout_ms = models.IntegerField(null=True, blank=True)
    follow_redirects = models.BooleanField(default=False, db_default=False)

    retry_policy = JSONField(null=True, blank=True)
    max_concurrent_executions = models.IntegerField(default=1, db_default=1)
    rate_limit_per_minute = models.IntegerField(null=True, blank=True)
    priority = models.SmallIntegerField(default=5, db_default=5)
    queue = models.CharField(max_length=50, default="default", db_default="default")
    catch_up = models.CharField(
        max_length=10, choices=CatchUp, default=CatchUp.LATEST, db_default=CatchUp.LATEST
    )
    misfire_grace_seconds = models.IntegerField(default=60, db_default=60)
    overlap_policy = models.CharField(
        max_length=10, choices=OverlapPolicy, default=OverlapPolicy.QUEUE, db_default=OverlapPolicy.QUEUE
    )
    jitter_seconds = models.IntegerField(default=0, db_default=0)
    dependency_mode = models.CharField(
        max_length=5, choices=DependencyMode, default=DependencyMode.ALL, db_default=DependencyMode.ALL
    )
    dependency_wait_seconds = models.IntegerField(default=3600, db_default=3600)

    result = JSONField(null=True, blank=True)
    retry_count = models.IntegerField(default=0, db_default=0)
    consecutive_failures = models.IntegerField(default=0, db_default=0)
    version = models.IntegerField(default=1, db_default=1)
    error_message = models.TextField(null=True, blank=True)
    schedule_error = models.TextField(null=True, blank=True)
    origin = models.CharField(max_length=10, choices=Origin, default=Origin.SQL, db_default=Origin.SQL)
    paused_reason = models.CharField(max_length=500, null=True, blank=True)
    paused_until = models.DateTimeField(null=True, blank=True)

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="jobs"
    )
    created_by = models.CharField(max_length=255, null=True, blank=True)
    last_run_at = models.DateTimeField(null=True, blank=True)
    # The next fire time that has no execution yet: the planner's cursor, in the past while
    # it catches up. It stays while the job is off, so that resume knows what was missed.
    next_run_at = models.DateTimeField(null=True, blank=True)
    # True when the schedule names no fire time after the last planned one.
    exhausted = models.BooleanField(default=False, db_default=False, editable=False)
    planned_cron_expression = models.TextField(null=True, blank=True, editable=False)
    planned_recurrence_pattern = models.CharField(max_length=10, null=True, blank=True, editable=False)
    planned_timezone = models.CharField(max_length=64, null=True, blank=True, editable=False)
    planned_scheduled_at = models.DateTimeField(null=True, blank=True, editable=False)
    planned_start_at = models.DateTimeField(null=True, blank=True, editable=False)
    planned_end_at = models.DateTimeField(null=True, blank=True, editable=False)
    planned_calendar_id = models.CharField(
        max_length=100, null=True, blank=True, editable=False, db_column="planned_calendar"
    )
    planned_business_day_shift = models.CharField(max_length=10, null=True, blank=True, editable=False)
    planned_next_run_at = models.DateTimeField(null=True, blank=True, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=DatabaseNow())
    updated_at = models.DateTimeField(db_default=DatabaseNow())

    objects = JobQuerySet.as_manager()

    class Meta:
        db_table = "batch_jobs"
        permissions = [("operate_job", "Can pause, resume, trigger, cancel, reschedule and backfill jobs")]
        constraints = [
            one_of("state", JobState, "batch_jobs_status"),
            one_of("schedule_type", ScheduleType, "batch_jobs_schedule_type"),
            one_of("execution_type", ExecutionType, "batch_jobs_execution_type"),
            one_of("catch_up", CatchUp, "batch_jobs_catch_up"),
            one_of("overlap_policy", OverlapPolicy, "batch_jobs_overlap_policy"),
            one_of("origin", Origin, "batch_jobs_origin"),
            models.CheckConstraint(
                name="batch_jobs_cron_needs_expression",
                condition=~Q(schedule_type=ScheduleType.CRON) | Q(cron_expression__isnull=False),
            ),
            # Jobs made in SQL, by the seed or by a file go by their name; API names may repeat.
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(origin__in=[Origin.SQL, Origin.SEED, Origin.FILE]) & ~Q(state=JobState.DELETED),
                name="batch_jobs_unique_name",
            ),
        ]
        indexes = [
            # The planner's look: what is due.
            models.Index(fields=["next_run_at"], condition=Q(state=JobState.ACTIVE), name="batch_jobs_due"),
            # The planner's second look: schedules and next runs edited by SQL. Empty in peace, so it is free.
            models.Index(
                fields=["id"],
                condition=TO_REPLAN & Q(state=JobState.ACTIVE),
                name="batch_jobs_replan",
            ),
            # The API's lists of one owner, newest first.
            models.Index(fields=["user", "created_at"], name="batch_jobs_owner"),
            models.Index(fields=["state"], name="batch_jobs_state"),
            # Pauses that end by themselves.
            models.Index(
                fields=["paused_until"],
                condition=Q(paused_until__isnull=False),
                name="batch_jobs_paused_until",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:
        """Whether the job gets occurrences."""
        return self.state == JobState.ACTIVE

    @property
    def is_cron(self) -> bool:
        """Whether the job speaks the words of the cron family (upper case)."""
        return self.schedule_type == ScheduleType.CRON

    @property
    def zone(self) -> str:
        """The name of the zone its schedule is read in."""
        return self.timezone or settings.SCHEDULER_TIMEZONE
