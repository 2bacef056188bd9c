"""What a job is: create, change, tag, bind to others, go back, delete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction

from executions import lifecycle, wake
from executions.engine import adoption, clock
from executions.models import Execution
from executions.operations.jobrow import (
    leave_schedule,
    locked,
    move,
    plain,
    read_schedule,
    to_millisecond,
)
from executions.operations.refusal import Invalid, Refused
from jobs import audit, schedules, secrets, versions
from jobs.audit import Actor
from jobs.models import (
    SCHEDULE_COLUMNS,
    AuditAction,
    Dependency,
    Job,
    JobState,
    JobTag,
    JobVersion,
    ScheduleType,
    Tag,
)

# An edit of any of these plans the job anew.
REPLANNING = frozenset({*SCHEDULE_COLUMNS, "calendar_id", "business_day_shift"})


@transaction.atomic
def create(job: Job, *, by: Actor, tags: Iterable[str] = (), depends_on: Iterable[Job] = ()) -> Job:
    """Save a new job, checked before; an active one is planned from now.

    Raises Invalid where its schedule cannot be read or the dependencies make a circle.
    """
    now = clock.now()
    job.headers = secrets.seal(job.headers)
    job.user_id = job.user_id or by.user_id
    job.created_by = job.created_by or by.name
    if job.schedule_type != ScheduleType.CRON and job.scheduled_at is None:
        job.scheduled_at = to_millisecond(now)
    schedule = read_schedule(job)
    schedules.point(job, schedules.first_run(schedule, now))
    job.save(force_insert=True)
    job.refresh_from_db()
    versions.record_first([job], by=by.name, now=now)
    set_tags(job, tags)
    for other in depends_on:
        depend(job, other)
    audit.write(AuditAction.CREATED, by=by, job=job, changes={"new": versions.definition(job)})
    wake.ring()
    return job


@transaction.atomic
def update(
    job: Job,
    values: Mapping[str, Any],
    *,
    by: Actor,
    tags: Iterable[str] | None = None,
    depends_on: Iterable[Job] | None = None,
    action: str = AuditAction.UPDATED,
) -> Job:
    """Change columns of the definition, checked before; a new version where anything changed.

    Where the fire times change, what the old schedule still owed up to now is SKIPPED
    `rescheduled`, what waits is cancelled so, and the job is planned from now. A changed
    queue or priority holds for what waits too.
    """
    job, now = locked(job), clock.now()
    if "headers" in values:
        values = {**values, "headers": secrets.seal(values["headers"], job.headers)}
    changes = _changes(job, values)
    if tags is not None:
        changes |= _tag_changes(job, tags)
    if depends_on is not None:
        changes |= _dependency_changes(job, list(depends_on))
    if not changes:
        return job
    # What SQL did to the schedule of a job that is off comes into force with this version too.
    replans = bool(REPLANNING & changes.keys()) or adoption.is_edited(job)
    if replans:
        leave_schedule(job, now)
    for name, value in values.items():
        setattr(job, name, value)
    if replans:
        adoption.keep_apart(job)
        schedules.point(job, schedules.first_run(read_schedule(job), now))
    versions.advance(job)
    job.updated_at = now
    job.save()
    versions.record(job, by=by.name, now=now)
    _move_waiting(job, changes)
    audit.write(action, by=by, job=job, changes=changes)
    wake.ring()
    return job


def _changes(job: Job, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"old": plain(getattr(job, name)), "new": plain(value)}
        for name, value in values.items()
        if getattr(job, name) != value
    }


def _move_waiting(job: Job, changes: Mapping[str, Any]) -> None:
    moved = {name: getattr(job, name) for name in ("queue", "priority") if name in changes}
    if moved:
        Execution.objects.filter(job=job).waiting().update(**moved)


def set_tags(job: Job, names: Iterable[str]) -> None:
    """Give the job these tags of its owner, made where they are missing, and no others."""
    wanted = dict.fromkeys(names)
    JobTag.objects.filter(job=job).exclude(tag__name__in=wanted).delete()
    for name in wanted:
        tag, _ = Tag.objects.get_or_create(user=job.user, name=name)
        JobTag.objects.get_or_create(job=job, tag=tag)


def _tag_changes(job: Job, names: Iterable[str]) -> dict[str, Any]:
    old, new = sorted(tag.name for tag in job.tags.all()), sorted(set(names))
    if old == new:
        return {}
    set_tags(job, new)
    return {"tags": {"old": old, "new": new}}


def _dependency_changes(job: Job, others: Sequence[Job]) -> dict[str, Any]:
    old = {entry.depends_on_id: entry.depends_on for entry in job.dependencies.select_related("depends_on")}
    new = {other.id: other for other in others}
    if old.keys() == new.keys():
        return {}
    job.dependencies.exclude(depends_on_id__in=new).delete()
    for other in others:
        if other.id not in old:
            depend(job, other)
    return {
        "dependsOn": {
            "old": sorted(str(one.uuid) for one in old.values()),
            "new": sorted(str(one.uuid) for one in new.values()),
        }
    }


def depend(
    job: Job, other: Job, *, outcome: str = "SUCCESS", within_seconds: int | None = None
) -> Dependency:
    """Let the job wait for another one of the same owner.

    Raises Invalid for a circle, itself or another owner's job, Refused for a second time.
    """
    if job.id == other.id:
        raise Invalid("dependsOn", "a job cannot depend on itself")
    if job.user_id != other.user_id:
        raise Invalid("dependsOn", f"unknown job {other.uuid}")
    if reaches(other.id, job.id):
        raise Invalid("dependsOn", f"{other.name} depends on this job already: a circle")
    if Dependency.objects.filter(job=job, depends_on=other).exists():
        raise Refused("The job depends on that job already")
    return Dependency.objects.create(
        job=job, depends_on=other, outcome=outcome, within_seconds=within_seconds
    )


def reaches(start: int, goal: int) -> bool:
    """Whether the job `start` waits, over any number of steps, for the job `goal`."""
    seen: set[int] = set()
    edge = {start}
    while edge:
        if goal in edge:
            return True
        seen |= edge
        edge = set(Dependency.objects.filter(job_id__in=edge).values_list("depends_on_id", flat=True)) - seen
    return False


@transaction.atomic
def rollback(job: Job, version: int, *, by: Actor) -> Job:
    """Take the definition of an earlier version again, as a new one.

    Raises Invalid where there is no such version.
    """
    found = JobVersion.objects.filter(job=job, version=version).first()
    if found is None:
        raise Invalid("version", f"the job has no version {version}")
    return update(job, versions.restore(found), by=by)


@transaction.atomic
def delete(job: Job, *, by: Actor) -> Job:
    """End the job for good: what waits is cancelled, what runs finishes, history stays."""
    job, now = locked(job), clock.now()
    if job.state == JobState.DELETED:
        return job
    lifecycle.cancel_waiting(job.id, reason="job_deleted", now=now)
    move(job, JobState.DELETED, now, deleted_at=now)
    audit.write(AuditAction.DELETED, by=by, job=job)
    return job
