"""Saving what an importer found, and telling what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.core.management.base import OutputWrapper
from django.db import transaction

from executions import operations
from jobs import definitions, documents
from jobs.audit import Actor
from jobs.importers import Candidate
from jobs.models import Job, JobState, Origin

SOURCE = "importedFrom"


@dataclass(kw_only=True)
class Report:
    """What became of each original: the job's name, or the reason."""

    made: list[Candidate] = field(default_factory=list)
    known: list[Candidate] = field(default_factory=list)
    lost: list[Candidate] = field(default_factory=list)

    def write(self, out: OutputWrapper, *, dry_run: bool) -> None:
        """One line for each original, its notes below, the sums at the end."""
        for one in self.made:
            out.write(f"+ {one.name} ({one.origin}){'' if one.active else ', inactive'}: {_when(one)}")
            for note in one.notes:
                out.write(f"    note: {note}")
        for one in self.known:
            out.write(f"= {one.name} ({one.origin}): imported before")
        for one in self.lost:
            out.write(f"! {one.name} ({one.origin}): cannot be carried over: {one.lost}")
        counts = f"{len(self.made)} imported, {len(self.known)} known already, {len(self.lost)} left out"
        out.write(f"{counts} (dry run: nothing was changed)" if dry_run else counts)


def _when(one: Candidate) -> str:
    columns = one.columns
    if columns.get("cron_expression"):
        return f"{columns['cron_expression']}  {columns.get('timezone') or ''}".rstrip()
    at = columns["scheduled_at"].isoformat(timespec="seconds")
    return (
        f"{columns['recurrence_pattern']} from {at}" if columns.get("recurrence_pattern") else f"once at {at}"
    )


@transaction.atomic
def save(candidates: Iterable[Candidate], *, by: Actor, dry_run: bool, inactive: bool) -> Report:
    """Make a job of each candidate that was not imported before; a dry run makes none.

    `inactive` lets none of them run before it is resumed. What the rules of jobs refuse is left out.
    """
    report = Report()
    for one in candidates:
        if not one.lost and Job.objects.present().filter(**{f"metadata__{SOURCE}": one.key}).exists():
            report.known.append(one)
            continue
        one.active = one.active and not inactive
        job = None if one.lost else _build(one)
        if job is None:
            report.lost.append(one)
            continue
        report.made.append(one)
        if not dry_run:
            operations.create(job, by=by)
    return report


def _build(one: Candidate) -> Job | None:
    columns, problems = definitions.complete({**one.columns, "metadata": {SOURCE: one.key}})
    job = Job(name=one.name, origin=Origin.IMPORT, **columns)
    problems |= definitions.check(job, staff=True, unwritten=not one.active)  # a note says it then
    if problems:
        one.lost = "; ".join(f"{documents.WIRE.get(name, name)}: {text}" for name, text in problems.items())
        return None
    job.state = JobState.ACTIVE if one.active else JobState.INACTIVE
    return job
