"""Tags by themselves: make, change, forget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from executions import wake
from executions.operations.refusal import Refused
from jobs import audit
from jobs.audit import Actor
from jobs.models import AuditAction, Tag


@transaction.atomic
def create_tag(values: Mapping[str, Any], *, by: Actor) -> Tag:
    """Make a tag of the actor. Raises Refused for a name that the actor has already."""
    tag = Tag(user_id=by.user_id, **values)
    _save(tag)
    audit.write(AuditAction.CREATED, by=by, subject=f"tag:{tag.pk}", changes={"new": dict(values)})
    return tag


@transaction.atomic
def change_tag(tag: Tag, values: Mapping[str, Any], *, by: Actor) -> Tag:
    """Rename a tag or change its limits. Raises Refused for a name that its owner has already."""
    tag = Tag.objects.select_for_update(of=("self",)).get(pk=tag.pk)
    changes = {
        name: {"old": getattr(tag, name), "new": value}
        for name, value in values.items()
        if getattr(tag, name) != value
    }
    if not changes:
        return tag
    for name, value in values.items():
        setattr(tag, name, value)
    _save(tag)
    audit.write(AuditAction.UPDATED, by=by, subject=f"tag:{tag.pk}", changes=changes)
    wake.ring()
    return tag


@transaction.atomic
def delete_tag(tag: Tag, *, by: Actor) -> None:
    """Take the tag from all its jobs and forget it."""
    changes = {"name": tag.name, "jobs": tag.job_tags.count()}
    audit.write(AuditAction.DELETED, by=by, subject=f"tag:{tag.pk}", changes=changes)
    tag.delete()
    wake.ring()


def _save(tag: Tag) -> None:
    try:
        with transaction.atomic():
            tag.save()
    except IntegrityError:
        raise Refused(f"There is a tag {tag.name} already") from None
    tag.refresh_from_db()
