"""The ledger: one row for one occurrence, or one manual, backfill or requeued run."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import F, Q

from jobs.models import Job
from jobs.models.job import one_of
from jobs.models.owned import OwnedQuerySet
from web.columns import DatabaseNow, RandomUUID
from web.unreadable import JSONField


class Status(models.TextChoices):
    """Where an execution stands. The last four are final and never left."""

    PENDING = "PENDING", "pending"
    RUNNING = "RUNNING", "running"
    RETRYING = "RETRYING", "retrying"
    SUCCESS = "SUCCESS", "success"
    FAILED = "FAILED", "failed"
    CANCELLED = "CANCELLED", "cancelled"
    SKIPPED = "SKIPPED", "skipped"


WAITING = (Status.PENDING, Status.RETRYING)
FINAL = (Status.SUCCESS, Status.FAILED, Status.CANCELLED, Status.SKIPPED)


class Trigger(models.TextChoices):
    """Why an execution exists."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    BACKFILL = "backfill"
    REQUEUE = "requeue"


class Reason(models.TextChoices):
    """Why an execution was skipped, failed or cancelled."""

    MISFIRE = "misfire"
    OVERLAP = "overlap"
    PAUSED = "paused"
    CALENDAR = "calendar"
    DEPENDENCY = "dependency"
    BACKLOG = "backlog"
    RESCHEDULED = "rescheduled"
    ERROR = "error"
    TIMEOUT = "timeout"
    HTTP_STATUS = "http_status", "HTTP status"
    EGRESS_DENIED = "egress_denied", "egress denied"
    TOO_LARGE = "too_large", "too large"
    WORKER_LOST = "worker_lost", "worker lost"
    INVALID_OUTPUT = "invalid_output", "invalid output"
    OPERATOR = "operator"
    REPLACED = "replaced"
    JOB_CANCELLED = "job_cancelled", "job cancelled"
    JOB_DELETED = "job_deleted", "job deleted"


class ExecutionQuerySet(OwnedQuerySet):
    """Questions that several rooms ask about executions."""

    owner = "job__user"

    def waiting(self) -> Self:
        """Those that will run: PENDING and RETRYING."""
        return self.filter(status__in=WAITING)

    def unfinished(self) -> Self:
        """Those without a final state."""
        return self.exclude(status__in=FINAL)


class Execution(models.Model):
    """One row of `job_executions`. Only `executions.lifecycle` changes its state."""

    id = models.UUIDField(primary_key=True, editable=False, db_default=RandomUUID())
    job = models.ForeignKey(Job, models.CASCADE, related_name="executions", db_index=False)
    scheduled_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    executed_at = models.DateTimeField(null=True, blank=True)
    status = models.CharField(
        max_length=10, choices=Status, default=Status.PENDING, db_default=Status.PENDING
    )
    trigger = models.CharField(
        max_length=10, choices=Trigger, default=Trigger.SCHEDULE, db_default=Trigger.SCHEDULE
    )
    triggered_by = models.CharField(max_length=255, null=True, blank=True)
    http_status_code = models.IntegerField(null=True, blank=True)
    response_body = models.TextField(null=True, blank=True)
    error_message = models.TextField(null=True, blank=True)
    execution_duration_ms = models.IntegerField(null=True, blank=True)
    attempt = models.IntegerField(default=0, db_default=0)
    retry_count = models.IntegerField(default=0, db_default=0)
    lost_count = models.IntegerField(default=0, db_default=0)
    result = JSONField(null=True, blank=True)
    payload = JSONField(null=True, blank=True)
    total_processed = models.IntegerField(default=0, db_default=0)
    total_success = models.IntegerField(default=0, db_default=0)
    total_failure = models.IntegerField(default=0, db_default=0)
    # What the running attempt says of itself; the totals above are those that were committed.
    progress_processed = models.IntegerField(null=True, blank=True)
    progress_total = models.IntegerField(null=True, blank=True)
    priority = models.SmallIntegerField(default=5, db_default=5)
    queue = models.CharField(max_length=50, default="default", db_default="default")
    # Set by the claim: the job allowed one run at a time when this one was claimed.
    exclusive = models.BooleanField(default=False, db_default=False)
    # Of a backfill that was asked to run at most so many of its own at once.
    batch = models.UUIDField(null=True, blank=True)
    batch_limit = models.IntegerField(null=True, blank=True)
    next_attempt_at = models.DateTimeField(null=True, blank=True, db_default=DatabaseNow())
    locked_by = models.CharField(max_length=100, null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    token = models.UUIDField(null=True, blank=True)
    reason = models.CharField(max_length=20, choices=Reason, null=True, blank=True)
    requeued_from = models.UUIDField(null=True, blank=True)
    skipped_until = models.DateTimeField(null=True, blank=True)
    skipped_count = models.IntegerField(null=True, blank=True)
    cancel_requested = models.BooleanField(default=False, db_default=False)
    cancel_reason = models.CharField(max_length=20, null=True, blank=True)
    output_altered = models.BooleanField(default=False, db_default=False)
    # With ENGINE=celery: when workers were last told of it, and after which attempt. In no index, so that
    # telling costs little.
    rung_at = models.DateTimeField(null=True, blank=True)
    rung_attempt = models.IntegerField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=DatabaseNow())

    objects = ExecutionQuerySet.as_manager()

    class Meta:
        db_table = "job_executions"
        constraints = [
            one_of("status", Status, "job_executions_status"),
            one_of("trigger", Trigger, "job_executions_trigger"),
            # The promise: a (job, fire time) is planned once, whoever plans it.
            models.UniqueConstraint(
                fields=["job", "scheduled_at"],
                condition=Q(trigger=Trigger.SCHEDULE),
                name="job_executions_unique_occurrence",
            ),
            # The promise: a job that runs one at a time has one RUNNING row, whoever claims.
            models.UniqueConstraint(
                fields=["job"],
                condition=Q(status=Status.RUNNING, exclusive=True),
                name="job_executions_one_at_a_time",
            ),
            models.CheckConstraint(
                name="job_executions_running_has_claim",
                condition=(
                    Q(status=Status.RUNNING, token__isnull=False, lease_expires_at__isnull=False)
                    | (~Q(status=Status.RUNNING) & (Q(token__isnull=True) | Q(lease_expires_at__isnull=True)))
                ),
            ),
        ]
        indexes = [
            # The claim's window: what is due, by priority, then by the moment it became due.
            models.Index(
                F("priority").desc(),
                "next_attempt_at",
                "queue",
                condition=Q(status__in=WAITING),
                name="job_executions_due",
            ),
            # The claim's lanes: the first due execution of each job and queue, without reading the rest.
            models.Index(
                "job",
                "queue",
                F("priority").desc(),
                "next_attempt_at",
                condition=Q(status__in=WAITING),
                name="job_executions_by_lane",
            ),
            # The reaper's look.
            models.Index(
                fields=["lease_expires_at"],
                condition=Q(status=Status.RUNNING),
                name="job_executions_leases",
            ),
            # Running rows of a job, for limits.
            models.Index(fields=["job"], condition=Q(status=Status.RUNNING), name="job_executions_running"),
            # Rows of a job that wait for a retry: the next ones queue up behind them.
            models.Index(fields=["job"], condition=Q(status=Status.RETRYING), name="job_executions_retrying"),
            # A job's history, newest first.
            models.Index("job", F("scheduled_at").desc(), name="job_executions_history"),
            # The latest outcome of a job, for dependencies and episodes.
            models.Index(fields=["job", "completed_at"], name="job_executions_endings"),
            models.Index(fields=["status", "scheduled_at"], name="job_executions_by_status"),
            # Retention.
            models.Index(fields=["completed_at"], name="job_executions_completed"),
            # The API's and the admin's list of all, newest first, in a total order. With the job's key in it,
            # an owner's deep page is found in the index alone, whosever rows lie between.
            models.Index(F("scheduled_at").desc(), F("id").desc(), "job", name="job_executions_newest_first"),
            # SKIPPED rows that stand for a stretch of fire times: few, and explain looks for them.
            models.Index(
                fields=["job", "skipped_until"],
                condition=Q(skipped_until__isnull=False),
                name="job_executions_stretches",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} at {self.scheduled_at:%Y-%m-%d %H:%M:%S} ({self.status})"

    @property
    def is_final(self) -> bool:
        """Whether it ended: a final state is never left."""
        return self.status in FINAL
