"""One dependency at a time."""

from __future__ import annotations

from django.db import transaction

from executions import wake
from executions.operations.definition import depend
from jobs import audit
from jobs.audit import Actor
from jobs.models import AuditAction, Dependency, Job


@transaction.atomic
def add_dependency(
    job: Job, other: Job, *, by: Actor, outcome: str = "SUCCESS", within_seconds: int | None = None
) -> Dependency:
    """Let the job wait for the other one; raises as `depend`.

    Both rows are locked in the order of their keys, so that two halves of a circle cannot be closed
    at the same moment.
    """
    list(Job.objects.select_for_update(of=("self",)).filter(pk__in=(job.pk, other.pk)).order_by("pk"))
    bond = depend(job, other, outcome=outcome, within_seconds=within_seconds)
    new = {"jobId": str(other.uuid), "outcome": outcome, "withinSeconds": within_seconds}
    audit.write(AuditAction.UPDATED, by=by, job=job, changes={"dependsOn": {"old": None, "new": new}})
    return bond


@transaction.atomic
def remove_dependency(bond: Dependency, *, by: Actor) -> None:
    """Let the job wait for that one no longer."""
    old = {"jobId": str(bond.depends_on.uuid), "outcome": bond.outcome, "withinSeconds": bond.within_seconds}
    audit.write(AuditAction.UPDATED, by=by, job=bond.job, changes={"dependsOn": {"old": old, "new": None}})
    bond.delete()
    wake.ring()
