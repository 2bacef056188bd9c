"""The verbs of alerts: the change and its audit entry in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from alerts import addresses, delivery
from alerts.delivery import Tried
from alerts.models import Alert
from alerts.rules import read_conditions, show_conditions
from executions.engine import clock
from jobs import audit
from jobs.audit import Actor
from jobs.models import AuditAction, Job, JobState, Tag
from web.errors import Invalid

FIELDS = ("type", "endpoint", "conditions", "enabled")


@transaction.atomic
def create(
    *,
    by: Actor,
    kind: str,
    endpoint: str,
    job: Job | None = None,
    tag: Tag | None = None,
    conditions: Mapping[str, Any] | None = None,
    enabled: bool = True,
) -> Alert:
    """Make an alert for a job, for a tag, or for every job of whoever makes it.

    It belongs to the owner of the job or tag. Raises Invalid for an address that its type cannot be
    sent to, and for a type that is for staff only.
    """
    if job is not None and tag is not None:
        raise Invalid({"tag": "Give jobId or tag, not both"})
    owner = job.user_id if job is not None else tag.user_id if tag is not None else by.user_id
    now = clock.now()
    alert = Alert(
        job=job,
        tag=tag,
        user_id=owner,
        type=_check_type(kind, by),
        endpoint=_prepare(kind, endpoint),
        conditions=_merge({}, conditions or {}),
        enabled=enabled,
        created_at=now,
        updated_at=now,
    )
    alert.save(force_insert=True)
    alert.refresh_from_db()
    audit.write(AuditAction.CREATED, by=by, subject=_subject(alert), changes={"new": show(alert)})
    return alert


@transaction.atomic
def update(alert: Alert, values: Mapping[str, Any], *, by: Actor) -> Alert:
    """Change some of type, endpoint, conditions and enabled.

    An endpoint sent back as it is shown stays what it is; conditions that are not named stay, and a
    null takes one back to its default. Raises as `create` does.
    """
    alert = Alert.objects.select_for_update(of=("self",)).get(id=alert.id)
    before = show(alert)
    kind = values.get("type", alert.type)
    given = values.get("endpoint", before["endpoint"])
    if kind != alert.type or given != before["endpoint"]:
        _check_type(alert.type, by)
        alert.endpoint = _prepare(kind, given, kept=alert.endpoint, shown=before["endpoint"])
        alert.type = _check_type(kind, by)
    if "conditions" in values:
        alert.conditions = _merge(alert.conditions, values["conditions"])
    alert.enabled = values.get("enabled", alert.enabled)
    alert.updated_at = clock.now()
    alert.save(update_fields=[*FIELDS, "updated_at"])
    after = show(alert)
    changes = {
        name: {"old": before[name], "new": after[name]} for name in FIELDS if before[name] != after[name]
    }
    if changes:
        audit.write(AuditAction.UPDATED, by=by, subject=_subject(alert), changes=changes)
    return alert


@transaction.atomic
def delete(alert: Alert, *, by: Actor) -> None:
    """Remove an alert with its deliveries; what was not sent yet is not sent any more."""
    audit.write(AuditAction.DELETED, by=by, subject=_subject(alert), changes={"old": show(alert)})
    alert.delete()


def test(alert: Alert, *, by: Actor) -> Tried:
    """Send a test message now; answers whether it arrived."""
    _check_type(alert.type, by)
    return delivery.send_test(alert, now=clock.now())


def show(alert: Alert) -> dict[str, Any]:
    """The alert as everybody may see it, for audit and faces: secrets of the address as `***`."""
    return {
        "jobId": str(alert.job.uuid) if alert.job else None,
        "tag": alert.tag.name if alert.tag else None,
        "type": alert.type,
        "endpoint": addresses.shown(alert.type, alert.endpoint),
        "conditions": show_conditions(read_conditions(alert.conditions)),
        "enabled": alert.enabled,
    }


def find_job(uuid: Any, *, of: Any) -> Job:
    """The job with this id that the user may see; raises Invalid on `jobId`."""
    job: Job | None = Job.objects.visible_to(of).exclude(state=JobState.DELETED).filter(uuid=uuid).first()
    if job is None:
        raise Invalid({"jobId": "Is not one of your jobs"})
    return job


def find_tag(name: str, *, of: Any) -> Tag:
    """The user's own tag with this name (of guests: the one of nobody); raises Invalid on `tag`."""
    owner = of if of.is_authenticated else None
    tag: Tag | None = Tag.objects.filter(user=owner, name=name).first()
    if tag is None:
        raise Invalid({"tag": "Is not one of your tags"})
    return tag


def _subject(alert: Alert) -> str:
    return f"alert:{alert.id}"


def _check_type(kind: str, by: Actor) -> str:
    if delivery.is_staff_only(kind) and not by.is_staff:
        raise Invalid({"type": "Alerts of type APPRISE are for staff"})
    return kind


def _prepare(kind: str, given: str, *, kept: str = "", shown: str | None = None) -> str:
    """The address to store; one that is given as it is shown stands for the one that is kept."""
    try:
        return addresses.prepare(kind, addresses.reveal(kept) if given == shown else given)
    except ValueError as error:
        raise Invalid({"endpoint": str(error)}) from None


def _merge(stored: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """All conditions, those given over those stored; unreadable stored ones are put right."""
    known = show_conditions(read_conditions(stored))
    return show_conditions(read_conditions(known | dict(given)))
