"""The one module that knows the clients' words: their names for our columns, states, families and types.

Inside there is one language (columns, lower-case states). Cron jobs speak upper case, one-time and
recurring jobs lower case with `pending` and `running` in place of active.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Q

from jobs.definitions import Problems
from jobs.models import ExecutionType, Job, JobState, ScheduleType
from web.api.serializers import camelize

# Two names of one column: the first is ours, both are read.
ALIASES = {
    "cron_expression": ("schedule", "cron_expression"),
    "api_endpoint": ("api", "api_endpoint"),
    "calendar_id": ("calendar",),
}
_WIRE = {column: names[0] for column, names in ALIASES.items()} | {"depends_on": "dependsOn"}

FAMILIES = tuple(ScheduleType.values)
SAFETIES = tuple(ExecutionType.values)
TYPES = (*SAFETIES, *FAMILIES)

PENDING, RUNNING = "pending", "running"
NEW_STATES = ("ACTIVE", PENDING, "PAUSED", "INACTIVE")
STATES = (*NEW_STATES, "DELETED")
STATUS_WORDS = (*JobState.values, PENDING, RUNNING)
# What a job object may answer as `status`: upper case for cron jobs, lower case for the others.
SAID_STATES = (
    *(state.upper() for state in JobState.values),
    *(state for state in JobState.values if state != JobState.ACTIVE),
    PENDING,
    RUNNING,
)
_NOT_CRON = ~Q(schedule_type=ScheduleType.CRON)


def wire(column: str) -> str:
    """A column's name on the wire: `cron_expression` as `schedule`; dotted parts stay."""
    root, dot, rest = column.partition(".")
    return (_WIRE.get(root) or camelize(root)) + dot + rest


def name_problems(problems: Problems, given: Iterable[str] = ()) -> Problems:
    """Problems under the names that the caller used: `cronExpression` where that was given."""
    sent = set(given)
    named = {}
    for column, text in problems.items():
        root = column.partition(".")[0]
        second = [camelize(name) for name in ALIASES.get(root, ()) if camelize(name) in sent]
        named[second[0] + column[len(root) :] if second else wire(column)] = text
    return named


# In -------------------------------------------------------------------------------------------------


def read_columns(given: dict[str, Any]) -> tuple[dict[str, Any], Problems]:
    """What a client gave, under the names of the columns; and which of its words contradict."""
    values, problems = dict(given), Problems()
    for column, names in ALIASES.items():
        _take_alias(values, column, names, problems)
    word = values.pop("type", None)
    if word is not None:
        column = "execution_type" if word in SAFETIES else "schedule_type"
        if values.setdefault(column, word) != word:
            problems["type"] = f"Contradicts {wire(column)}"
    return values, problems


def _take_alias(values: dict[str, Any], column: str, names: tuple[str, ...], problems: Problems) -> None:
    given = {name: values.pop(name) for name in names if name in values}
    if len({repr(value) for value in given.values()}) > 1:
        problems[camelize(names[1])] = f"Contradicts {names[0]}"
    if given:
        values[column] = next(iter(given.values()))


def read_state(given: dict[str, Any], problems: Problems, job: Job | None = None) -> JobState | None:
    """Take `is_active` and `status` out of what was given: the state that is asked for, if any.

    `isActive: false` asks an active or paused job to be inactive; one that ended is so already.
    """
    flag, word = given.pop("is_active", None), given.pop("status", None)
    state = None
    if word is not None:
        state = JobState.ACTIVE if word.lower() == PENDING else JobState(word.lower())
        if flag is not None and flag != (state == JobState.ACTIVE):
            problems["is_active"] = "Contradicts status"
    elif flag is not None:
        state = JobState.ACTIVE if flag else JobState.INACTIVE
        if not flag and job is not None and job.state not in (JobState.ACTIVE, JobState.PAUSED):
            return None
    return state


# Out ------------------------------------------------------------------------------------------------


def say_state(job: Job, *, running: bool) -> str:
    """The job's `status`, in the language of its family."""
    if job.is_cron:
        return job.state.upper()
    if job.state == JobState.ACTIVE:
        return RUNNING if running else PENDING
    return job.state


def say_type(job: Job) -> str:
    """The job's `type`: what a crash may cost for cron jobs, the family for others."""
    return job.execution_type if job.is_cron else job.schedule_type


def say_status(status: str, job: Job) -> str:
    """An execution's status, in the case of its job's family."""
    return status if job.is_cron else status.lower()


def say_changes(changes: Any) -> Any:
    """Audit details, or the changes of a version, with columns under their names on the wire."""
    if not isinstance(changes, Mapping):
        return changes
    return {
        _say_name(key): _say_names(value) if key in ("old", "new") else value
        for key, value in changes.items()
    }


def _say_names(values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    return {_say_name(key): value for key, value in values.items()}


def _say_name(key: str) -> str:
    return wire(key) if key in _COLUMNS else key


_COLUMNS = frozenset(field.attname for field in Job._meta.concrete_fields)


# Filters --------------------------------------------------------------------------------------------


def with_status(word: str) -> Q:
    """The jobs whose `status` or state is this word; `pending` and `running` need `is_running`."""
    if word == PENDING:
        return _NOT_CRON & Q(state=JobState.ACTIVE, is_running=False)
    if word == RUNNING:
        return _NOT_CRON & Q(state=JobState.ACTIVE, is_running=True)
    if word in (JobState.COMPLETED, JobState.FAILED):
        return _NOT_CRON & Q(state=word)
    return Q(state=word)


def with_type(word: str) -> Q:
    """The jobs whose `type` is this word, or whose family it names."""
    if word in SAFETIES:
        return Q(schedule_type=ScheduleType.CRON, execution_type=word)
    return Q(schedule_type=word)
