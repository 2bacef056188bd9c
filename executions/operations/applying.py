"""Bringing the jobs to what a file says: compared first, then done through the same verbs as everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction

from executions.engine import clock
from executions.operations.definition import create, delete, update
from executions.operations.dependencies import add_dependency, remove_dependency
from executions.operations.refusal import Invalid, Refused
from executions.operations.switches import deactivate, pause, resume
from jobs import audit, definitions, documents, manifest, registry
from jobs.audit import Actor
from jobs.definitions.terms import UNIQUE_NAMES
from jobs.manifest import Entry, FileProblem, ManifestError
from jobs.models import AuditAction, Dependency, Job, JobState, Origin

STATES = {"ACTIVE": JobState.ACTIVE, "PAUSED": JobState.PAUSED, "INACTIVE": JobState.INACTIVE}
ENDED = (JobState.COMPLETED, JobState.FAILED, JobState.DELETED)


@dataclass(kw_only=True)
class Step:
    """What the file means for one job. `changes` is {field: {"old", "new"}}, secrets as `***`.

    `drifted` is how the job was changed elsewhere since the last file; what the file says again wins.
    """

    entry: Entry
    job: Job | None
    columns: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    drifted: dict[str, dict[str, Any]] = field(default_factory=dict)
    owner: Any = None
    adopted: str = ""
    is_new: bool = False

    @property
    def kind(self) -> str:
        """create, change or keep."""
        if self.is_new:
            return "create"
        return "change" if self.changes or self.adopted else "keep"


@dataclass(kw_only=True)
class Plan:
    """All that a file would do. `pruned` are the jobs of earlier files that it does not name."""

    source: str
    steps: list[Step]
    pruned: list[Job]
    warnings: list[str]

    @property
    def is_empty(self) -> bool:
        """Whether the jobs are as the file says."""
        return not self.pruned and all(step.kind == "keep" for step in self.steps)


def compare_file(
    entries: Sequence[Entry],
    *,
    source: str,
    prune: bool = False,
    adopt: bool = False,
    environ: Mapping[str, str],
) -> Plan:
    """What applying these entries would do; nothing is written. Raises ManifestError with every problem.

    Jobs made elsewhere are not touched, unless `adopt` takes over those that have a name of the file.
    """
    problems: list[FileProblem] = []
    warnings: list[str] = []
    names = [entry.name for entry in entries]
    found: dict[str, list[Job]] = {}
    for job in Job.objects.present().filter(name__in=names).select_related("user").order_by("id"):
        found.setdefault(job.name, []).append(job)
    steps = []
    for entry in entries:
        step = Step(entry=entry, job=None)
        try:
            _choose(step, found.get(entry.name, []), adopt, warnings)
        except ValueError as error:
            problems.append(entry.blame("name", str(error)))
            continue
        step.is_new = step.job is None
        problems += _read(step, environ)
        steps.append(step)
        if not problems:
            warnings += _warn_of_handler(step)
    problems += _check_dependencies(steps)
    if problems:
        raise ManifestError(problems)
    pruned = Job.objects.present().filter(origin=Origin.FILE).exclude(name__in=names).order_by("name")
    return Plan(source=source, steps=steps, pruned=list(pruned) if prune else [], warnings=warnings)


def _warn_of_handler(step: Step) -> list[str]:
    name = step.entry.name
    meant = Job(name=name, **{column: step.columns.get(column) for column in ("handler", "api_endpoint")})
    if meant.handler and meant.handler not in registry.handlers:
        return [f"{name}: no handler is named {meant.handler}: write it, then resume the job"]
    idle = definitions.find_idleness(meant)
    return [f"{name}: {idle}"] if idle else []


def _choose(step: Step, same_name: list[Job], adopt: bool, warnings: list[str]) -> None:
    """The job that the entry speaks of: the one of an earlier file, or one that is taken over."""
    step.job = next((job for job in same_name if job.origin == Origin.FILE), None)
    others = [job for job in same_name if job.origin != Origin.FILE]
    if step.job is not None or not others:
        return
    if adopt:
        if len(others) > 1:
            raise ValueError(f"{len(others)} jobs have this name, so none can be taken over")
        step.job, step.adopted = others[0], others[0].origin
        return
    if any(job.origin in UNIQUE_NAMES for job in others):
        raise ValueError(f"a job of this name was made elsewhere ({others[0].origin}); --adopt takes it over")
    warnings.append(
        f"{step.entry.name}: a job of this name was made by {others[0].origin} and stays beside it"
    )


def _read(step: Step, environ: Mapping[str, str]) -> list[FileProblem]:
    entry, job = step.entry, step.job
    problems = _read_owner(step)
    step.columns, found = manifest.columns_of(entry, job, environ=environ)
    problems += found or manifest.check(entry, step.columns, job)
    if job is None or problems:
        return problems
    step.drifted = manifest.drift(job)
    for column, value in step.columns.items():
        if getattr(job, column) != value:
            name = documents.WIRE.get(column, column)
            step.changes[name] = {
                "old": documents.show(name, getattr(job, column)),
                "new": documents.show(name, value),
            }
    before = documents.document_of(job)
    for name in ("tags", "dependsOn"):
        old, new = _ordered(before.get(name)), _ordered(entry.document.get(name))
        if old != new:
            step.changes[name] = {"old": old, "new": new}
    status, now = entry.document.get("status"), before.get("status", "ACTIVE")
    if status is not None and job.state not in ENDED and job.state != STATES[status]:
        step.changes["status"] = {
            "old": now if job.state != JobState.CANCELLED else "CANCELLED",
            "new": status,
        }
    return problems


def _ordered(items: Any) -> list[Any]:
    """Tags or dependencies in one form and order, so that equal ones compare equal."""
    plain = [
        {
            key: value
            for key, value in item.items()
            if (key, value) not in (("outcome", "SUCCESS"), ("withinSeconds", None))
        }
        if isinstance(item, Mapping)
        else item
        for item in items or []
    ]
    plain = [item["job"] if isinstance(item, Mapping) and item.keys() == {"job"} else item for item in plain]
    return sorted(plain, key=str)


def _read_owner(step: Step) -> list[FileProblem]:
    email = step.entry.document.get("owner")
    step.owner = step.job.user if step.job else None
    if email is None:
        return []
    user = get_user_model().objects.filter(email=email.lower()).first()
    if user is None:
        return [step.entry.blame("owner", f"there is no user {email}")]
    if step.job is not None and step.job.user_id != user.pk:
        return [step.entry.blame("owner", "cannot change: the job belongs to somebody else")]
    step.owner = user
    return []


def _check_dependencies(steps: Sequence[Step]) -> list[FileProblem]:
    own = {step.entry.name: step for step in steps}
    problems = []
    for step in steps:
        for place, item in enumerate(step.entry.document.get("dependsOn", [])):
            name = item if isinstance(item, str) else item["job"]
            if name in own:
                same = _owner_key(own[name].owner) == _owner_key(step.owner)
                reason = "" if same and name != step.entry.name else "must be another job of the same owner"
            else:
                reason = _find_elsewhere(name, step.owner)[1]
            if reason:
                problems.append(step.entry.blame(f"dependsOn.{place}", f"{name}: {reason}"))
    return problems


def _owner_key(user: Any) -> Any:
    return None if user is None else user.pk


def _find_elsewhere(name: str, owner: Any) -> tuple[Job | None, str]:
    found = list(Job.objects.present().filter(name=name, user=owner)[:2])
    if len(found) == 1:
        return found[0], ""
    return None, "several jobs have this name" if found else "there is no such job"


@transaction.atomic
def apply_plan(plan: Plan, *, by: Actor) -> None:
    """Do what the plan says, with an audit entry for every change, all of it or nothing.

    Raises ManifestError where the database knows better: a circle of dependencies, a name taken meanwhile.
    """
    now = clock.now()
    for step in plan.steps:
        _carry_out(step, by)
    _bind(plan.steps, by)
    for step in plan.steps:
        _switch(step, by)
        assert step.job is not None
        manifest.remember(step.job, source=plan.source, now=now)
    for job in plan.pruned:
        delete(job, by=by)


def _carry_out(step: Step, by: Actor) -> None:
    tags = step.entry.document.get("tags", [])
    if step.job is None:
        made = Job(name=step.entry.name, origin=Origin.FILE, user=step.owner, **step.columns)
        step.job = create(made, by=by, tags=tags)
        return
    if step.adopted:
        Job.objects.filter(pk=step.job.pk).update(origin=Origin.FILE)
        changes = {"origin": {"old": step.adopted, "new": Origin.FILE.value}}
        audit.write(AuditAction.UPDATED, by=by, job=step.job, changes=changes)
    changed = {name: value for name, value in step.columns.items() if getattr(step.job, name) != value}
    step.job = update(step.job, changed, by=by, tags=tags if "tags" in step.changes else None)


def _bind(steps: Sequence[Step], by: Actor) -> None:
    """First all that goes, then all that comes: what is left never makes a circle of the old and the new."""
    own = {step.entry.name: step.job for step in steps}
    missing: list[tuple[Step, int, Job, str, int | None]] = []
    for step in steps:
        assert step.job is not None
        wanted: dict[int, tuple[int, Job, str, int | None]] = {}
        for place, item in enumerate(step.entry.document.get("dependsOn", [])):
            given: Mapping[str, Any] = {"job": item} if isinstance(item, str) else item
            other = own.get(given["job"]) or _find_elsewhere(given["job"], step.owner)[0]
            assert other is not None  # it was looked for when the plan was made
            wanted[other.pk] = (place, other, given.get("outcome", "SUCCESS"), given.get("withinSeconds"))
        for bond in Dependency.objects.filter(job=step.job).select_related("job", "depends_on"):
            if wanted.get(bond.depends_on_id, ())[2:] == (bond.outcome, bond.within_seconds):
                del wanted[bond.depends_on_id]
            else:
                remove_dependency(bond, by=by)
        missing += [(step, *found) for found in wanted.values()]
    for step, place, other, outcome, within in missing:
        assert step.job is not None
        try:
            add_dependency(step.job, other, by=by, outcome=outcome, within_seconds=within)
        except (Invalid, Refused) as error:
            raise ManifestError([step.entry.blame(f"dependsOn.{place}", str(error))]) from None


def _switch(step: Step, by: Actor) -> None:
    """Bring the job to the state that the file asks for, over the arrows there are."""
    assert step.job is not None
    word = step.entry.document.get("status")
    if word is None or step.job.state in ENDED:
        return
    wanted = STATES[word]
    if step.job.state == wanted:
        return
    if wanted == JobState.INACTIVE and step.job.state in (JobState.ACTIVE, JobState.PAUSED):
        step.job = deactivate(step.job, by=by)
        return
    if step.job.state != JobState.ACTIVE:
        step.job = resume(step.job, by=by)
    if wanted == JobState.PAUSED:
        step.job = pause(step.job, by=by, reason="by the file")
    elif wanted == JobState.INACTIVE:
        step.job = deactivate(step.job, by=by)
