"""The periodic tasks of django-celery-beat as jobs. Works on rows; knows neither Django nor Celery."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jobs.importers.candidate import Candidate
from jobs.timing import Schedule, check_cron, check_zone, next_occurrence

SECONDS = {"days": 86_400, "hours": 3600, "minutes": 60, "seconds": 1}
RECURRING = {3600: "hourly", 86_400: "daily", 7 * 86_400: "weekly"}
KEPT_BY_US = {"celery.backend_cleanup": "is not needed: old executions go by RETENTION_DAYS"}
_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,50}")
# Of a weekday's name Celery reads the first three letters.
_LONG_DAY = re.compile(r"\b(sun|mon|tue|wed|thu|fri|sat)[a-z]+", re.IGNORECASE)
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

# How to run a Celery task here: the handler for a task's name, or None.
FindHandler = Callable[[str], str | None]


@dataclass(kw_only=True)
class Beat:
    """The rows of the tables, each as {column: value}; schedules by their id."""

    tasks: Sequence[Mapping[str, Any]] = ()
    crontabs: Mapping[Any, Mapping[str, Any]] = field(default_factory=dict)
    intervals: Mapping[Any, Mapping[str, Any]] = field(default_factory=dict)
    solars: Mapping[Any, Mapping[str, Any]] = field(default_factory=dict)
    clocks: Mapping[Any, Mapping[str, Any]] = field(default_factory=dict)


class Lost(Exception):
    """Why a task cannot be carried over."""


def read_beat(beat: Beat, *, now: datetime, find_handler: FindHandler) -> list[Candidate]:
    """Every periodic task as a job to be; `now` decides whether a one-off is still to come."""
    return [_read(beat, task, now, find_handler) for task in sorted(beat.tasks, key=lambda row: row["id"])]


def _read(beat: Beat, task: Mapping[str, Any], now: datetime, find_handler: FindHandler) -> Candidate:
    found = Candidate(
        key=f"celery-beat:{task['name']}",
        origin=f"periodic task {task['id']}",
        name=str(task["name"])[:255],
        active=bool(task["enabled"]),
    )
    try:
        if task["task"] in KEPT_BY_US:
            raise Lost(KEPT_BY_US[task["task"]])
        found.columns = {"description": task.get("description") or None, **_schedule(beat, task, now, found)}
        found.columns |= _window(task, now, found)
        found.columns |= _work(task, found, find_handler)
        found.columns |= _policies(task, found)
    except Lost as error:
        found.lost = str(error)
    return found


# When -----------------------------------------------------------------------------------------------


def _schedule(beat: Beat, task: Mapping[str, Any], now: datetime, found: Candidate) -> dict[str, Any]:
    if task.get("crontab_id") is not None:
        columns = read_cron(_row(beat.crontabs, task["crontab_id"]), found.notes)
    elif task.get("interval_id") is not None:
        columns = _read_interval(_row(beat.intervals, task["interval_id"]), task, now, found.notes)
    elif task.get("clocked_id") is not None:
        return _read_clock(_row(beat.clocks, task["clocked_id"]), task, now)
    elif task.get("solar_id") is not None:
        event = _row(beat.solars, task["solar_id"])["event"]
        raise Lost(f"follows the sun ({event}), which has no counterpart")
    else:
        raise Lost("has no schedule")
    return _make_one_off(columns, task, now, found.notes) if task.get("one_off") else columns


def _row(rows: Mapping[Any, Mapping[str, Any]], key: Any) -> Mapping[str, Any]:
    if key not in rows:
        raise Lost("its schedule is not in the database")
    return rows[key]


def read_cron(row: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """The expression of a crontab row. Celery wants day of month and weekday to match both; we, either."""
    minute, hour = _plain(row["minute"]), _plain(row["hour"])
    month_day, month = _plain(row["day_of_month"]), _plain(row["month_of_year"])
    weekday = _LONG_DAY.sub(r"\1", _plain(row["day_of_week"]))
    month_day, weekday = _join_days(month_day, weekday, notes)
    expression = f"{minute} {hour} {month_day} {month} {weekday}"
    zone = str(row.get("timezone") or "UTC")
    try:
        check_cron(expression)
        check_zone(zone)
    except ValueError as error:
        raise Lost(f"the schedule {expression!r} in {zone} cannot be read: {error}") from None
    return {"cron_expression": expression, "timezone": zone}


def _plain(value: Any) -> str:
    return str(value).replace(" ", "") or "*"


def _join_days(month_day: str, weekday: str, notes: list[str]) -> tuple[str, str]:
    """Both as Vixie cron reads them, so that a day is the same: one of them must be every day."""
    days = _expand(month_day, 1, 31)
    weekdays = {day % 7 for day in _expand(_numbered(weekday), 0, 7)} if weekday != "*" else set(range(7))
    if days == set(range(1, 32)):
        return "*", weekday
    if weekdays == set(range(7)):
        return month_day, "*"
    week, rest = divmod(min(days) - 1, 7)
    if rest == 0 and week < 4 and days == set(range(week * 7 + 1, week * 7 + 8)) and len(weekdays) == 1:
        notes.append("day of month and weekday together became the nth weekday of the month")
        return "*", f"{weekdays.pop()}#{week + 1}"
    raise Lost("wants day of month and weekday to match both, which one expression cannot say here")


def _numbered(text: str) -> str:
    for number, name in enumerate(_DAYS):
        text = re.sub(rf"\b{name}[a-z]*", str(number), text, flags=re.IGNORECASE)
    return text


def _expand(text: str, low: int, high: int) -> set[int]:
    """The numbers of a field, by Celery's grammar: lists, ranges (also around the end), steps."""
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\*|\d+(?:-\d+)?)(?:/(\d+))?", part)
        if match is None or match[2] == "0":
            raise Lost(f"the field {text!r} cannot be read")
        if match[1] == "*":
            numbers = list(range(low, high + 1 if high != 7 else 7))
        else:
            first, _, last = match[1].partition("-")
            numbers = _range(int(first), int(last or first), low, high)
        found |= set(numbers[:: int(match[2] or 1)])
    return found


def _range(first: int, last: int, low: int, high: int) -> list[int]:
    if not (low <= first <= high and low <= last <= high):
        raise Lost(f"{first}-{last} is not within {low} and {high}")
    if first <= last:
        return list(range(first, last + 1))
    return [*range(first, high + 1), *range(low, last + 1)]


def _read_interval(
    row: Mapping[str, Any], task: Mapping[str, Any], now: datetime, notes: list[str]
) -> dict[str, Any]:
    every, period = int(row["every"]), str(row["period"])
    if period == "microseconds":
        every, period = every // 1_000_000 if every % 1_000_000 == 0 else 0, "seconds"
    if every < 1 or period not in SECONDS:
        raise Lost(f"runs every {row['every']} {row['period']}, which is too short or unknown")
    span = every * SECONDS[period]
    if span in RECURRING:
        anchor = task.get("last_run_at") or task.get("start_time") or now
        notes.append(
            f"every {every} {period} became {RECURRING[span]}, counted from {anchor:%Y-%m-%d %H:%M:%S} UTC"
        )
        # The anchor is exact to the millisecond, as everything the API shows.
        anchor = anchor.replace(microsecond=anchor.microsecond // 1000 * 1000)
        return {"recurrence_pattern": RECURRING[span], "scheduled_at": anchor, "timezone": "UTC"}
    expression = _clock_steps(span)
    if expression is None:
        raise Lost(
            f"every {every} {period} cannot be said by the clock: give it a crontab schedule, or an interval"
            " that goes evenly into a minute, an hour or a day, and import it again"
        )
    notes.append(
        f"every {every} {period} now follows the clock ({expression}), not the moment beat was started"
    )
    return {"cron_expression": expression, "timezone": "UTC"}


def _clock_steps(span: int) -> str | None:
    """A cron expression that fires every so many seconds, where the clock has such steps."""
    if span < 60:
        return f"*/{span} * * * * *" if 60 % span == 0 else None
    if span < 3600:
        return f"0 */{span // 60} * * * *" if 3600 % span == 0 and span % 60 == 0 else None
    if span < 86_400:
        return f"0 0 */{span // 3600} * * *" if 86_400 % span == 0 and span % 3600 == 0 else None
    return None


def _read_clock(row: Mapping[str, Any], task: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    at = row["clocked_time"]
    if at <= now:
        raise Lost(f"its only time ({at:%Y-%m-%d %H:%M:%S} UTC) has passed")
    return {"scheduled_at": at}


def _make_one_off(
    columns: dict[str, Any], task: Mapping[str, Any], now: datetime, notes: list[str]
) -> dict[str, Any]:
    if not task["enabled"] and task.get("total_run_count"):
        raise Lost("was to run once, and has run")
    kind = "cron" if "cron_expression" in columns else "recurring"
    schedule = Schedule(
        kind=kind,  # type: ignore[arg-type]  # one of the two words it takes
        expression=columns.get("cron_expression"),
        pattern=columns.get("recurrence_pattern"),
        zone=columns["timezone"],
        anchor=columns.get("scheduled_at"),
    )
    following = next_occurrence(schedule, max(now, task.get("start_time") or now))
    if following is None:
        raise Lost("was to run once, and its schedule names no time from now on")
    notes.append("runs once, at the next time its schedule names")
    return {"scheduled_at": following.at}


def _window(task: Mapping[str, Any], now: datetime, found: Candidate) -> dict[str, Any]:
    start, end = task.get("start_time"), task.get("expires")
    if end is not None and end <= now:
        found.active = False
        found.notes.append(f"expired at {end:%Y-%m-%d %H:%M:%S} UTC: give it another endAt, then resume it")
    return {name: value for name, value in (("start_at", start), ("end_at", end)) if value is not None}


# What -----------------------------------------------------------------------------------------------


def _work(task: Mapping[str, Any], found: Candidate, find_handler: FindHandler) -> dict[str, Any]:
    args, payload = _json(task.get("args"), list, "args"), _json(task.get("kwargs"), dict, "kwargs")
    if args:
        payload = {**payload, "args": args}
        found.notes.append("positional arguments are in the payload as args")
    handler = find_handler(task["task"])
    if handler is None:
        found.active = False
        handler = task["task"][:100]
        found.notes.append(f"no handler is named {handler}: write it, then resume the job")
    else:
        found.handler_hint = f"its handler here is {handler}; --map {task['task']}=HANDLER can name another"
    return {"handler": handler, "payload": payload}


def _json(text: Any, kind: type[Any], name: str) -> Any:
    try:
        value = json.loads(text) if isinstance(text, str) and text.strip() else kind()
    except ValueError:
        raise Lost(f"its {name} are no JSON") from None
    if not isinstance(value, kind):
        raise Lost(f"its {name} are no {'list' if kind is list else 'object'}")
    return value


def _policies(task: Mapping[str, Any], found: Candidate) -> dict[str, Any]:
    # Beat sends a task whether or not the last one is done.
    columns: dict[str, Any] = {"overlap_policy": "allow"}
    queue = task.get("queue")
    if queue and _QUEUE.fullmatch(queue):
        columns["queue"] = queue
    elif queue:
        found.notes.append(f"the queue {queue!r} has a name that is not possible here: default instead")
    priority = task.get("priority")
    if priority is not None and 0 <= priority <= 9:
        columns["priority"] = priority
        found.notes.append(
            "priority 9 comes first here, as with RabbitMQ; with Redis it was the other way round"
        )
    elif priority is not None:
        found.notes.append(f"priority {priority} is not possible here: 5 instead")
    if task.get("expire_seconds") is not None:
        columns |= {"catch_up": "none", "misfire_grace_seconds": min(int(task["expire_seconds"]), 604_800)}
        found.notes.append(
            "expire_seconds became the grace for a late start; later than that it does not run"
        )
    left = [name for name in ("exchange", "routing_key") if task.get(name)]
    if task.get("headers") not in (None, "", "{}"):
        left.append("headers")
    if left:
        found.notes.append(f"{', '.join(left)} have no counterpart")
    return columns


def read_moment(value: Any) -> datetime | None:
    """A time as a database answers it: aware, or naive or text in UTC."""
    if value is None:
        return None
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
