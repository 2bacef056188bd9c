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


@dataclass(frozen=True, kw_only=True)
class Audience:
    """Jobs as the rules see them, and who listens to each."""

    jobs: Mapping[int, Watched] = field(default_factory=dict)
    listeners: Mapping[int, list[Listener]] = field(default_factory=dict)


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
    """The audience of these jobs, in a handful of queries however many they are."""
    rows = list(Job.objects.filter(id__in=job_ids))
    paused = set(Queue.objects.filter(paused=True).values_list("name", flat=True)) if rows else set()
    listeners: dict[int, list[Listener]] = {job.id: [] for job in rows}
    for job_id, alert in _find_pairs(rows):
        listeners[job_id].append(Listener(alert=alert, conditions=read_conditions(alert.conditions)))
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


def _find_pairs(jobs: list[Job]) -> list[tuple[int, Alert]]:
    """(job, alert) for everything that listens, each alert once per job."""
    enabled: QuerySet[Any] = Alert.objects.filter(enabled=True).order_by("created_at", "id")
    ids = [job.id for job in jobs]
    pairs = [(alert.job_id, alert) for alert in enabled.filter(job_id__in=ids)]
    tagged = enabled.filter(tag__job_tags__job_id__in=ids).annotate(tagged_job=F("tag__job_tags__job_id"))
    pairs += [(alert.tagged_job, alert) for alert in tagged]
    owned = _by_owner(jobs)
    of_owners = Q(user_id__in=[owner for owner in owned if owner is not None])
    if None in owned:
        of_owners |= Q(user__isnull=True)
    for alert in enabled.filter(of_owners, job__isnull=True, tag__isnull=True):
        pairs += [(job_id, alert) for job_id in owned.get(alert.user_id, [])]
    return pairs


def _by_owner(jobs: list[Job]) -> dict[UUID | None, list[int]]:
    owned: dict[UUID | None, list[int]] = {}
    for job in jobs:
        owned.setdefault(job.user_id, []).append(job.id)
    return owned
