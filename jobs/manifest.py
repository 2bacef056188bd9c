"""Definitions as code: the file of jobs, read and judged with its lines; and drift from it.

The format is `manifest.schema.json`. A file is complete: what a job's entry leaves out has its default,
except `status` and `owner`, which stay as they are.
"""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any

from django.db.models import Prefetch, QuerySet
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from jobs import definitions, documents
from jobs.covering import Uncovering, fingerprint, hide_fingerprints
from jobs.models import AppliedDefinition, Dependency, Job, JobState, ScheduleType
from jobs.versions import MOMENTS
from jobs.yaml_lines import Located, Path, Unreadable, parse
from web.moments import parse_since

SCHEMA_FILE = FilePath(__file__).with_name("manifest.schema.json")
SHOWN_PROBLEMS = 100
# What drift is judged by: what a file says, without what operators switch.
SWITCHED = ("status", "owner")


@dataclass(frozen=True, kw_only=True, order=True)
class FileProblem:
    """One thing that is wrong with a file: where, and what."""

    line: int
    place: str
    message: str

    def __str__(self) -> str:
        return (
            f"line {self.line}: {self.place}: {self.message}"
            if self.place
            else f"line {self.line}: {self.message}"
        )


class ManifestError(ValueError):
    """The file cannot be applied; `problems` has every reason with its line."""

    def __init__(self, problems: Iterable[FileProblem]) -> None:
        self.problems = sorted(problems)[:SHOWN_PROBLEMS]
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One job of a file, its form checked: the document, and where it stands."""

    name: str
    document: Mapping[str, Any]
    path: Path
    located: Located = field(repr=False)

    def blame(self, place: str, message: str) -> FileProblem:
        """A problem at a dotted place of this entry, with its line."""
        path = (*self.path, *_as_path(place))
        return FileProblem(line=self.located.line_of(path), place=f"{self.name}: {place}", message=message)


def schema() -> dict[str, Any]:
    """The published JSON Schema of the file."""
    loaded: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return loaded


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    return Draft202012Validator(schema())


def read(text: str) -> list[Entry]:
    """The jobs of a file in their order; raises ManifestError with every problem of its form."""
    try:
        located = parse(text)
    except Unreadable as error:
        raise ManifestError([FileProblem(line=error.line, place="", message=str(error))]) from None
    if located.value is None:
        raise ManifestError([FileProblem(line=1, place="", message="the file is empty")])
    problems = [
        problem for error in _validator().iter_errors(located.value) for problem in _explain(error, located)
    ]
    if problems:
        raise ManifestError(problems)
    entries = [
        Entry(name=document["name"], document=document, path=("jobs", place), located=located)
        for place, document in enumerate(located.value["jobs"])
    ]
    first: dict[str, Entry] = {}
    for entry in entries:
        if first.setdefault(entry.name, entry) is not entry:
            line = located.line_of(first[entry.name].path)
            problems.append(entry.blame("name", f"is taken by the job in line {line}"))
    if problems:
        raise ManifestError(problems)
    return entries


def _explain(error: ValidationError, located: Located) -> Iterable[FileProblem]:
    rule: Any = error.validator_value
    path = tuple(error.absolute_path)
    place = _place(path, located.value)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = _properties(error.schema)
        for name in (name for name in error.instance if name not in known):
            near = difflib.get_close_matches(name, known, 1) or _ALIASES.get(name, [])
            hint = f" (did you mean {near[0]}?)" if near else ""
            yield FileProblem(
                line=located.line_of((*path, name)), place=place, message=f"unknown field {name}{hint}"
            )
        return
    if error.validator == "required":
        given: Any = error.instance
        missing = [name for name in rule if name not in given]
        yield FileProblem(line=located.line_of(path), place=place, message=f"{', '.join(missing)}: Required")
        return
    yield FileProblem(line=located.line_of(path), place=place, message=_reword(error))


def _properties(schema: Any) -> dict[str, Any]:
    """The fields that this part of the schema knows."""
    found: dict[str, Any] = schema.get("properties", {})
    return found


_ALIASES = {
    "cronExpression": ["schedule"],
    "apiEndpoint": ["api"],
    "isActive": ["status"],
    "dependencies": ["dependsOn"],
}


def _reword(error: ValidationError) -> str:
    """The rule that was broken. The library's own words hold the value, which may be a secret."""
    wanted: Any = error.validator_value
    if error.validator == "enum":
        return f"must be one of {', '.join(str(word) for word in wanted)}"
    if error.validator == "type":
        return f"must be {wanted if isinstance(wanted, str) else ' or '.join(wanted)}"
    if error.validator == "anyOf":
        return "has a form that is not known here"
    if error.validator == "pattern" and error.absolute_path and str(error.absolute_path[-1]).endswith("At"):
        return "must be a time such as 2026-01-20T10:00:00Z"
    words = _RULES.get(str(error.validator), f"must keep to {error.validator} {{}}")
    return words.format(wanted)


_RULES = {
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "maxItems": "must have at most {} entries",
    "maxProperties": "must have at most {} entries",
    "uniqueItems": "must not say anything twice",
    "const": "must be {}",
    "pattern": "must match {}",
}


def _place(path: tuple[Any, ...], value: Any) -> str:
    """The path in words, a job by its name."""
    words: list[str] = []
    if len(path) >= 2 and path[0] == "jobs":
        job = value["jobs"][path[1]]
        name = job.get("name") if isinstance(job, dict) else None
        words.append(name if isinstance(name, str) else f"job {path[1] + 1}")
        path = path[2:]
    rest = ".".join(str(part) for part in path)
    return ": ".join([*words, rest] if rest else words)


def _as_path(place: str) -> Path:
    return tuple(int(part) if part.isdecimal() else part for part in place.split(".")) if place else ()


# From an entry to columns ----------------------------------------------------------------------------


def columns_of(
    entry: Entry, job: Job | None, *, environ: Mapping[str, str]
) -> tuple[dict[str, Any], list[FileProblem]]:
    """All columns that the entry means, for a new job or for `job`; and what is wrong with them."""
    document, problems = _uncover(entry, job, environ)
    overlap = document.get("overlapPolicy", "queue")
    values: dict[str, Any] = {}
    for name, column in documents.COLUMNS.items():
        value = document[name] if name in document else documents.default_of(name, overlap=overlap)
        if column in MOMENTS and value is not None:
            try:
                value = parse_since(value)
            except ValueError as error:
                problems.append(entry.blame(name, str(error)))
                continue
        values[column] = value
    if "maxRetries" in document:
        values["max_retries"] = document["maxRetries"]
    family = next((kind for kind, own in definitions.OWN_COLUMN.items() if values.get(own) is not None), None)
    if family is None:
        # A time that cannot be read is a problem already.
        if not problems:
            problems.append(entry.blame("schedule", definitions.REQUIRED))
        return values, problems
    whole = {**values, "name": entry.name, "schedule_type": family.value}
    columns, found = definitions.complete(whole, job)
    del columns["name"]  # it is the key, and no value
    if family != ScheduleType.CRON and columns.get("scheduled_at") is None:
        found["scheduled_at"] = (
            f"{definitions.REQUIRED} in a file, which must mean the same whenever it is read"
        )
    return columns, [*problems, *name_problems(entry, found)]


def _uncover(
    entry: Entry, job: Job | None, environ: Mapping[str, str]
) -> tuple[dict[str, Any], list[FileProblem]]:
    """The document with its secrets in place."""
    document, back = dict(entry.document), Uncovering(environ)
    for name in documents.WITH_SECRETS:
        if name in document:
            stored = getattr(job, documents.COLUMNS[name]) if job else None
            document[name] = back.value(document[name], stored, (name,))
    if isinstance(document.get("api"), str):
        document["api"] = back.url(document["api"], job.api_endpoint if job else None)
    return document, [entry.blame(".".join(path), text) for path, text in back.problems.items()]


def check(entry: Entry, columns: Mapping[str, Any], job: Job | None) -> list[FileProblem]:
    """The problems of the job as the entry would make it. Files speak with the rights of staff.

    A job that is switched off may name a handler that is still to be written.
    """
    if job is None:
        made = Job(name=entry.name, **columns)
    else:
        made = copy.copy(job)
        for name, value in columns.items():
            setattr(made, name, value)
    return name_problems(entry, definitions.check(made, staff=True, unwritten=is_off(entry, job)))


def is_off(entry: Entry, job: Job | None) -> bool:
    """Whether the job will be inactive; one whose entry does not say so stays as it is."""
    before = JobState(job.state) if job else JobState.ACTIVE
    return bool(entry.document.get("status", documents.STATES.get(before)) == "INACTIVE")


def name_problems(entry: Entry, problems: Mapping[str, str]) -> list[FileProblem]:
    """Problems by column as problems of the file."""
    found = []
    for column, text in problems.items():
        root, dot, rest = column.partition(".")
        found.append(entry.blame(documents.WIRE.get(root, root) + dot + rest, text))
    return found


def read_jobs(text: str) -> list[Job]:
    """The active jobs that a file means, not stored and without their secrets: enough to look ahead with.

    Raises ManifestError with every problem of its form and its values.
    """
    jobs: list[Job] = []
    problems: list[FileProblem] = []
    for entry in read(text):
        bare = replace(entry, document=_without_secrets(entry.document))
        columns, found = columns_of(bare, None, environ={})
        found = found or check(bare, columns, None)
        if not found and entry.document.get("status", "ACTIVE") == "ACTIVE":
            jobs.append(Job(name=entry.name, **columns))
        problems += found
    if problems:
        raise ManifestError(problems)
    return jobs


def _without_secrets(document: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in document.items() if name not in documents.WITH_SECRETS}
    if isinstance(kept.get("api"), str):
        kept["api"] = kept["api"].partition("?")[0]
    return kept


# Drift ----------------------------------------------------------------------------------------------


def remember(job: Job, *, source: str, now: datetime) -> None:
    """Note what the file made of the job, so that a later change elsewhere shows."""
    AppliedDefinition.objects.update_or_create(
        job=job,
        defaults={"source": source, "definition": _fingerprinted(job), "applied_at": now},
    )


def drift(job: Job) -> dict[str, dict[str, Any]]:
    """How a job differs from what a file last made of it: {field: {"file", "now"}}, secrets as `***`.

    Empty where nothing was changed elsewhere since, and for a job that no file ever made.
    """
    applied = AppliedDefinition.objects.filter(job=job).first()
    return _drift_from(applied, job)


def find_drifted(jobs: QuerySet[Job]) -> Iterator[int]:
    """The numbers of those of these jobs that differ from their file; five queries for every 500 jobs."""
    bonds = Prefetch("dependencies", documents.in_order(Dependency.objects.all()))
    made = (
        jobs.filter(applied__isnull=False).select_related("applied", "user").prefetch_related("tags", bonds)
    )
    for job in made.order_by("id").iterator(chunk_size=500):
        if _drift_from(job.applied, job):
            yield job.pk


def _drift_from(applied: AppliedDefinition | None, job: Job) -> dict[str, dict[str, Any]]:
    return compare(applied.definition, _fingerprinted(job)) if applied else {}


def compare(file: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The fields that differ between two fingerprinted documents."""
    names = ("name", *documents.COLUMNS, "maxRetries", "tags", "dependsOn")
    return {
        name: {"file": _unprinted(file.get(name)), "now": _unprinted(now.get(name))}
        for name in names
        if file.get(name) != now.get(name)
    }


def _fingerprinted(job: Job) -> dict[str, Any]:
    document = documents.document_of(job, cover=fingerprint)
    return {name: value for name, value in document.items() if name not in SWITCHED}


def _unprinted(value: Any) -> Any:
    """The value with `***` for every fingerprint."""
    if isinstance(value, str):
        return hide_fingerprints(value)
    if isinstance(value, Mapping):
        return {key: _unprinted(item) for key, item in value.items()}
    return [_unprinted(item) for item in value] if isinstance(value, list) else value
