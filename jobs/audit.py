"""Who did what to which thing. Written in the same transaction as the change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs.models import AuditEntry, Job
from web import logcontext
from web.redaction import masked

SQL = "sql"


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who acts: the name that row and audit keep, and the user's id where there is one."""

    name: str
    user_id: Any = None
    is_staff: bool = False


SCHEDULER = Actor(name="scheduler")
COMMAND_LINE = Actor(name="command line", is_staff=True)
GUEST = "guest"


def actor_of(user: Any, *, called: str | None = None) -> Actor:
    """Who a request acts for: the user by the e-mail, a guest by the name it gives itself."""
    if not user.is_authenticated:
        return Actor(name=called or GUEST)
    return Actor(name=user.email, user_id=user.pk, is_staff=user.is_staff)


def write(
    action: str,
    *,
    by: Actor | str,
    job: Job | None = None,
    subject: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Keep one entry; `changes` is {field: {"old", "new"}} or other details, secrets masked."""
    return AuditEntry.objects.create(**_values(action, by, job, subject, changes))


def write_many(
    action: str, *, by: Actor | str, jobs: list[Job], changes: Mapping[str, Any] | None = None
) -> None:
    """The same entry for many jobs, in one statement."""
    AuditEntry.objects.bulk_create([AuditEntry(**_values(action, by, job, None, changes)) for job in jobs])


def _values(
    action: str,
    by: Actor | str,
    job: Job | None,
    subject: str | None,
    changes: Mapping[str, Any] | None,
) -> dict[str, Any]:
    request_id = logcontext.current().get("requestId")
    return {
        "action": action,
        "changed_by": by if isinstance(by, str) else by.name,
        "job": job,
        "subject": subject,
        "change_details": masked(dict(changes or {})),
        "request_id": None if request_id is None else str(request_id)[:100],
    }
