"""Saving what an importer found, and telling what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.core.management.base import OutputWrapper
from django.db import transaction

from executions import operations
from jobs import definitions, documents
from jobs.audit import Actor
from jobs.importers import Candidate, Names
from jobs.models import Job, JobState, Origin
from web.redaction import find_secrets

SOURCE = "importedFrom"
# What a handler says against a job, by column.
OF_THE_HANDLER = frozenset({"handler", "payload", "api_endpoint"})


@dataclass(kw_only=True)
class Report:
    """What became of each original: the job's name, or the reason."""

    made: list[Candidate] = field(default_factory=list)
    known: list[Candidate] = field(default_factory=list)
    lost: list[Candidate] = field(default_factory=list)

    def write(self, out: OutputWrapper, *, dry_run: bool) -> None:
        """One line for each original, its own notes below; the notes that several share, and the sums."""
        shared = self._find_shared_notes()
        for one in self.made:
            out.write(f"+ {one.name} ({one.origin}){'' if one.active else ', inactive'}: {_when(one)}")
            for note in one.notes:
                if note not in shared:
                    out.write(f"    note: {note}")
        for one in self.known:
            out.write(f"= {one.name} ({one.origin}): imported before")
        for one in self.lost:
            out.write(f"! {one.name} ({one.origin}): cannot be carried over: {one.lost}")
        for note, origins in shared.items():
            whom = "all" if len(origins) == len(self.made) else ", ".join(origins)
            out.write(f"note for {whom}: {note}")
        counts = f"{len(self.made)} imported, {len(self.known)} known already, {len(self.lost)} left out"
        out.write(f"{counts} (dry run: nothing was changed)" if dry_run else counts)

    def _find_shared_notes(self) -> dict[str, list[str]]:
        """The notes that more than one has, with the originals that have them."""
        found: dict[str, list[str]] = {}
        for one in self.made:
            for note in one.notes:
                found.setdefault(note, []).append(one.origin)
        return {note: origins for note, origins in found.items() if len(origins) > 1}


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

    `inactive` lets none of them run before it is resumed. What the rules of jobs refuse is left out. A name
    that another job has is numbered, because commands and files find a job by its name.
    """
    report = Report()
    names = Names(Job.objects.present().values_list("name", flat=True))
    for one in candidates:
        known = None if one.lost else Job.objects.present().filter(**{f"metadata__{SOURCE}": one.key}).first()
        if known is not None:
            one.name = known.name
            report.known.append(one)
            continue
        one.active = one.active and not inactive
        job = None if one.lost else _build(one)
        if job is None:
            report.lost.append(one)
            continue
        names.give(one)
        job.name = one.name
        one.notes += [_warn_of_secret(place) for place in find_secrets(job.payload, "payload")]
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
        if one.handler_hint and any(name.partition(".")[0] in OF_THE_HANDLER for name in problems):
            one.lost += f" ({one.handler_hint})"
        return None
    job.state = JobState.ACTIVE if one.active else JobState.INACTIVE
    return job


def _warn_of_secret(place: str) -> str:
    return (
        f"{place} looks like a secret, and whoever may see the job can read it:"
        " better leave it where only the work itself looks"
    )
