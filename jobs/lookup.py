"""Finding a job by what a person types: its id, its number, or a name that only one job has."""

from __future__ import annotations

from uuid import UUID

from jobs.models import Job


class NotFound(LookupError):
    """No job, or more than one, answers to this text; the message says which."""


def find_job(text: str, *, deleted: bool = False) -> Job:
    """The job with this UUID, number or name; raises NotFound with what to do instead.

    `deleted`: a UUID may be that of a job which was deleted. Its history stays.
    """
    jobs = Job.objects.present()
    try:
        found: Job | None = (Job.objects.all() if deleted else jobs).filter(uuid=UUID(text)).first()
    except ValueError:
        found = jobs.filter(id=int(text)).first() if text.isdecimal() and len(text) < 19 else None
    if found is not None:
        return found
    named: list[Job] = list(jobs.filter(name=text)[:2])
    if len(named) == 1:
        return named[0]
    if named:
        ids = ", ".join(str(job.uuid) for job in named)
        raise NotFound(f"several jobs are named {text!r}: give the id of one, such as {ids}")
    raise NotFound(f"no job has the id or the name {text!r}")
