"""What hangs on a job: its tags and the jobs that it waits for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jobs.definitions.terms import MAX_DEPENDENCIES, MAX_TAG_NAME, MAX_TAGS
from jobs.models import Job
from web.strictjson import find_bad_text


def read_tags(names: Iterable[Any]) -> list[str]:
    """Tag names without doubles, trimmed; raises ValueError with the reason."""
    found: dict[str, None] = {}
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError("Every tag must be text that is not empty")
        if len(name.strip()) > MAX_TAG_NAME:
            raise ValueError(f"A tag must not be longer than {MAX_TAG_NAME} characters")
        if reason := find_bad_text(name):
            raise ValueError(reason)
        found[name.strip()] = None
    if len(found) > MAX_TAGS:
        raise ValueError(f"Must be at most {MAX_TAGS}")
    return list(found)


def find_dependencies(ids: Iterable[Any], *, owner_id: Any, job: Job | None = None) -> list[Job]:
    """The jobs of this owner with these ids, in their order; those that `job` has may be deleted ones.

    Raises ValueError, in the same words for every reason, where an id names none.
    """
    wanted = list(dict.fromkeys(ids))
    if len(wanted) > MAX_DEPENDENCIES:
        raise ValueError(f"Must be at most {MAX_DEPENDENCIES}")
    found = {one.uuid: one for one in Job.objects.present().filter(uuid__in=wanted, user_id=owner_id)}
    if job is not None and len(found) < len(wanted):
        found |= {one.uuid: one for one in Job.objects.filter(dependents__job=job, uuid__in=wanted)}
    if missing := [key for key in wanted if key not in found]:
        raise ValueError(f"There is no job {missing[0]}")
    return [found[key] for key in wanted]
