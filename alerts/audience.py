"""Which alerts listen to which jobs: those of the job, of its tags, and of all jobs of its owner."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.lookups import IsNull

from alerts.models import Alert
from alerts.rules import Conditions, Watched, read_conditions
from jobs import registry
from jobs.models import Job, JobTag, Queue

ALL_QUEUES = "*"
# The columns that `watch` reads.
WATCHED = (
    "id",
    "uuid",
    "name",
    "state",
    "created_at",
    "jitter_seconds",
    "queue",
    "handler",
    "api_endpoint",
)

# What can make the end of a successful run worth a look, by the stored conditions.
CARES_FOR_SUCCESS = (
    Q(conditions__onSuccess=True)
    | Q(conditions__onRecovery=True)
    | Q(conditions__onLate__gt=0)
    | Q(conditions__onLongRunning__gt=0)
)
CARES_FOR_LATE = Q(conditions__onLate__gt=0)
CARES_FOR_LONG = Q(conditions__onLongRunning__gt=0)
CARES_FOR_MISSED = Q(conditions__onMissed=True)


@dataclass(frozen=True, kw_only=True)
class Listener:
    """One enabled alert with its conditions read."""

    alert: Alert
    conditions: Conditions

    def cares_for(self, status: str) -> bool:
        """Whether the end of an execution with this status can be worth telling."""
        asked = self.conditions
        if status == "SKIPPED":
            return asked.on_missed
        spans = asked.on_late is not None or asked.on_long_running is not None
        if status == "SUCCESS":
            return asked.on_success or asked.on_recovery or spans
        return asked.on_failure or asked.on_dead_letter or spans


@dataclass(frozen=True, kw_only=True)
class Audience:
    """Jobs as the rules see them, and who listens to each."""

    jobs: Mapping[int, Watched] = field(default_factory=dict)
    listeners: Mapping[int, list[Listener]] = field(default_factory=dict)

    def cares_for(self, job_id: int, status: str) -> bool:
        """Whether anybody may want to hear that an execution of this job ended so."""
        return any(listener.cares_for(status) for listener in self.listeners.get(job_id, ()))


def listening(job: str = "job", care: Q | None = None) -> Exists:
    """A condition on rows: some enabled alert listens to the job at the path `job` of the row.

    An empty path means that the rows are jobs themselves.
    """
    key = f"{job}_id" if job else "id"
    owner = f"{job}__user_id" if job else "user_id"
    tagged = JobTag.objects.filter(job_id=OuterRef(OuterRef(key))).values("tag_id")
    same_owner = Q(user_id=OuterRef(owner)) | (Q(user__isnull=True) & Q(IsNull(OuterRef(owner), True)))
    everything = Q(job__isnull=True, tag__isnull=True) & same_owner
    alerts = Alert.objects.filter(Q(job_id=OuterRef(key)) | Q(tag_id__in=tagged) | everything, enabled=True)
    return Exists(alerts.filter(care) if care is not None else alerts)


def gather(job_ids: Collection[int]) -> Audience:
    """The audience of these jobs, in a handful of queries; jobs that nobody listens to are left out."""
    owners = dict(Job.objects.filter(id__in=job_ids).values_list("id", "user_id"))
    listeners: dict[int, list[Listener]] = {}
    read: dict[UUID, Listener] = {}
    for job_id, alert in _find_pairs(owners):
        listener = read.setdefault(
            alert.id, Listener(alert=alert, conditions=read_conditions(alert.conditions))
        )
        listeners.setdefault(job_id, []).append(listener)
    rows = Job.objects.filter(id__in=listeners).only(*WATCHED) if listeners else []
    paused = set(Queue.objects.filter(paused=True).values_list("name", flat=True)) if listeners else set()
    return Audience(jobs={job.id: watch(job, paused) for job in rows}, listeners=listeners)


def watch(job: Job, paused_queues: Collection[str] = ()) -> Watched:
    """The job as the rules see it."""
    handler = registry.resolve(handler=job.handler, api=job.api_endpoint, name=job.name)
    return Watched(
        id=job.id,
        uuid=job.uuid,
        state=job.state,
        created_at=job.created_at,
        jitter=timedelta(seconds=job.jitter_seconds),
        queue_paused=job.queue in paused_queues or ALL_QUEUES in paused_queues,
        awaits_ping=handler == "ping",
    )


def _find_pairs(owners: Mapping[int, UUID | None]) -> list[tuple[int, Alert]]:
    """(job, alert) for everything that listens, each alert once per job. `owners` are those of the jobs."""
    enabled: QuerySet[Any] = Alert.objects.filter(enabled=True).order_by("created_at", "id")
    pairs = [(alert.job_id, alert) for alert in enabled.filter(job_id__in=owners)]
    tagged = enabled.filter(tag__job_tags__job_id__in=owners).annotate(tagged_job=F("tag__job_tags__job_id"))
    pairs += [(alert.tagged_job, alert) for alert in tagged]
    owned: dict[UUID | None, list[int]] = {}
    for job_id, owner in owners.items():
        owned.setdefault(owner, []).append(job_id)
    of_owners = Q(user_id__in=[owner for owner in owned if owner is not None])
    if None in owned:
        of_owners |= Q(user__isnull=True)
    for alert in enabled.filter(of_owners, job__isnull=True, tag__isnull=True):
        pairs += [(job_id, alert) for job_id in owned.get(alert.user_id, [])]
    return pairs
