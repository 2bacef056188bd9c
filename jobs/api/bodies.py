"""From a body to what shall be saved; every problem of it in one refusal."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs import definitions, registry
from jobs.api import dialect
from jobs.api.requests import JobChangesSerializer, NewJobSerializer, PreviewRequestSerializer
from jobs.audit import Actor, actor_of
from jobs.definitions import Problems
from jobs.models import Job, JobState, Origin
from jobs.versions import DEFINITION
from web.api.answers import list_problems
from web.errors import Invalid

# What decides the family: where one of these is no value at all, the others cannot be judged.
_FAMILY_WORDS = {"type", "scheduleType", "schedule", "cronExpression", "recurrencePattern", "scheduledAt"}
_FAMILY_COLUMNS = {"schedule_type", "cron_expression", "recurrence_pattern", "scheduled_at"}


@dataclass(kw_only=True)
class Given:
    """A body that was read: columns and what is no column. `problems` are under names of the wire."""

    sent: tuple[str, ...] = ()
    columns: dict[str, Any] = field(default_factory=dict)
    state: JobState | None = None
    tags: list[str] | None = None
    depends_on: list[Job] | None = None
    called: str | None = None
    problems: Problems = field(default_factory=dict)

    def blame(self, problems: Problems) -> None:
        """Add problems by column; what the body's own form explains is left out."""
        broken = {name.partition(".")[0] for name in self.problems}
        if broken & _FAMILY_WORDS:
            problems = {c: text for c, text in problems.items() if c.partition(".")[0] not in _FAMILY_COLUMNS}
        for name, text in dialect.name_problems(problems, self.sent).items():
            if name.partition(".")[0] not in broken:
                self.problems.setdefault(name, text)

    def refuse(self) -> None:
        """Raise the 400 where anything is wrong."""
        if self.problems:
            raise Invalid(self.problems)


def read_new(data: Any, *, user: Any) -> tuple[Job, Given, Actor]:
    """A new job of this user, checked but not saved. Raises Invalid with every problem."""
    given = _read(data, NewJobSerializer, None, owner_id=user.pk)
    actor = actor_of(user, called=given.called)
    job = Job(uuid=uuid.uuid4(), origin=Origin.API, user_id=actor.user_id, **given.columns)
    _name(job)
    given.blame(definitions.check(job, staff=actor.is_staff))
    given.refuse()
    job.state = given.state or JobState.ACTIVE
    return job, given, actor


def read_change(data: Any, job: Job, *, user: Any) -> tuple[Given, Actor]:
    """A change of a job, checked but not saved. Raises Invalid with every problem."""
    given = _read(data, JobChangesSerializer, job, owner_id=job.user_id)
    actor = actor_of(user, called=given.called)
    given.blame(definitions.check_change(job, given.columns, staff=actor.is_staff))
    given.refuse()
    return given, actor


def read_clone(data: Any, original: Job, *, user: Any) -> tuple[Job, Given, Actor]:
    """A copy of a job with changes, checked but not saved: inactive, and of this user."""
    given = _read(data, NewJobSerializer, original, owner_id=user.pk)
    actor = actor_of(user, called=given.called)
    columns = {name: getattr(original, name) for name in DEFINITION} | given.columns
    if "name" not in given.columns:
        columns["name"] = f"{original.name[: definitions.MAX_NAME - 7]} (copy)"
        columns["handler"] = columns["handler"] or _named_handler(original)
    job = Job(uuid=uuid.uuid4(), origin=Origin.API, user_id=actor.user_id, **columns)
    given.blame(definitions.check(job, staff=actor.is_staff))
    given.refuse()
    job.state = given.state or JobState.INACTIVE
    if given.tags is None:
        given.tags = [tag.name for tag in original.tags.all()]
    if given.depends_on is None and original.user_id == job.user_id:
        given.depends_on = [bond.depends_on for bond in original.dependencies.select_related("depends_on")]
    return job, given, actor


def read_schedule(data: Any) -> tuple[Job, dict[str, Any]]:
    """An unsaved job that has the schedule of the body, and the rest of the body."""
    given = _read(data, PreviewRequestSerializer, None, owner_id=None)
    rest = {name: given.columns.pop(name, None) for name in ("count", "from_")}
    job = Job(name="preview", **given.columns)
    problems = Problems()
    definitions.check_schedule(job, problems)
    given.blame(problems)
    given.refuse()
    return job, rest


def _read(data: Any, serializer_class: Any, job: Job | None, *, owner_id: Any) -> Given:
    """The body's form, its words, and what follows from them."""
    values, given = _read_form(data, serializer_class)
    state_problems = Problems()
    given.state = dialect.read_state(values, state_problems, job)
    creator, changer = values.pop("created_by", None), values.pop("changed_by", None)
    given.called = (creator or changer) if job is None else (changer or creator)
    tags, ids = values.pop("tags", None), values.pop("depends_on", None)
    given.tags = _collect(given, "tags", lambda: definitions.read_tags(tags), tags)
    given.depends_on = _collect(
        given, "dependsOn", lambda: definitions.find_dependencies(ids, owner_id=owner_id, job=job), ids
    )
    values, problems = dialect.read_columns(values)
    given.columns, more = definitions.complete(values, job)
    given.blame({**state_problems, **problems, **more})
    return given


def _read_form(data: Any, serializer_class: Any) -> tuple[dict[str, Any], Given]:
    """The values that have a good form; the others are problems, and the rest is read without them."""
    serializer = serializer_class(data=data)
    if serializer.is_valid():
        return dict(serializer.validated_data), Given(sent=tuple(data))
    found = list(list_problems(serializer.errors))
    problems: Problems = {}
    for problem in found:
        problems.setdefault(problem.field, problem.message)
    if not isinstance(data, Mapping):
        raise Invalid(problems)
    broken = {name.partition(".")[0] for name in problems}
    rest = serializer_class(data={name: value for name, value in data.items() if name not in broken})
    values = dict(rest.validated_data) if rest.is_valid() else {}
    return values, Given(sent=tuple(data), problems=problems)


def _collect(given: Given, name: str, read: Any, value: Any) -> Any:
    if value is None:
        return None
    try:
        return read()
    except ValueError as error:
        given.problems.setdefault(name, str(error))
        return None


def _name(job: Job) -> None:
    if not job.name and job.api_endpoint:
        job.name = f"job-{job.uuid.hex[:8]}"


def _named_handler(original: Job) -> str | None:
    """The handler that the original has by its name, which the copy does not share."""
    handler = definitions.resolve_handler(original)
    return handler if handler == original.name and handler in registry.handlers else None
