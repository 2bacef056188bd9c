"""What the pages of one job show: sections, timeline, audit, versions, and why it did not run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote as quote
from uuid import UUID
from zoneinfo import ZoneInfo

from django.urls import reverse

from executions import ledger
from executions.engine import clock
from executions.models import Attempt, Execution, Reason
from jobs import definitions, manifest, schedules, timing, versions
from jobs.admin.forms import OF_KIND
from jobs.models import AppliedDefinition, AuditEntry, Dependency, Job, JobVersion
from web.admin import shown
from web.errors import Invalid
from web.redaction import masked

PAGE = 30
SHOWN_RUNS = 40
WIDTH = 520
CROSSED = 12  # a failed bar from this width on has room for its cross

# Title, classes, fields. A section that is folded opens by itself where it holds more than defaults.
_FOLDED = "collapse"
_SECTIONS: tuple[tuple[str | None, str, tuple[str, ...]], ...] = (
    (None, "", ("name", "description", "tags")),
    (
        "When",
        "",
        ("schedule_type", "cron_expression", "recurrence_pattern", "scheduled_at", "timezone"),
    ),
    (
        "Window, calendar, jitter",
        _FOLDED,
        ("start_at", "end_at", "calendar", "business_day_shift", "jitter_seconds"),
    ),
    ("What", "", ("handler", "payload")),
    ("HTTP call", "of-http", ("api_endpoint", "method", "headers", "follow_redirects", "metadata")),
    ("If it fails", "", ("timeout_ms", "retry_policy", "execution_type")),
    (
        "Limits and order",
        _FOLDED,
        (
            "queue",
            "priority",
            "max_concurrent_executions",
            "overlap_policy",
            "rate_limit_per_minute",
            "catch_up",
            "misfire_grace_seconds",
        ),
    ),
    ("Dependencies", _FOLDED, ("depends_on", "dependency_mode", "dependency_wait_seconds")),
)
# How a field is shown to those who may not change it.
_SHOWN = {
    "schedule_type": "kind_shown",
    "headers": "headers_shown",
    "payload": "payload_shown",
    "metadata": "metadata_shown",
    "retry_policy": "retries_shown",
    "api_endpoint": "url_shown",
    "tags": "tags_shown",
    "depends_on": "bonds_shown",
}


def sections(job: Job | None, *, may_change: bool) -> list[tuple[str | None, dict[str, Any]]]:
    """The sections of the form, with only what the job's kind has; a new job has every kind's."""
    found = []
    for title, classes, names in _SECTIONS:
        fields = [name for name in names if job is None or job.schedule_type in _kinds(name, job)]
        if not may_change:
            fields = [_SHOWN.get(name, name) for name in fields]
        elif job is not None:
            fields = ["kind_shown" if name == "schedule_type" else name for name in fields]
        if title is None and may_change and job is not None:
            fields.append("seen_version")
        folded = classes != _FOLDED or job is None or _is_plain(job, names)
        found.append((title, {"fields": fields, "classes": [classes] if classes and folded else []}))
    return found


def _is_plain(job: Job, names: Sequence[str]) -> bool:
    """Whether these fields of the job hold their defaults."""
    columns = [name for name in names if name != "depends_on"]
    if len(columns) < len(names) and Dependency.objects.filter(job=job).exists():
        return False
    plain = Job()
    return all(getattr(job, name) == getattr(plain, name) for name in columns)


def _kinds(name: str, job: Job) -> tuple[str, ...]:
    return OF_KIND.get(name, (job.schedule_type,))


def tabs(job: Job) -> list[dict[str, str]]:
    """The pages of one job."""
    names = ("timeline", "audit", "versions", "explain")
    texts = {"explain": "Why did it not run?"}
    executions = reverse("admin:executions_execution_changelist")
    return [
        {"name": "definition", "text": "Definition", "url": reverse("admin:jobs_job_change", args=(job.pk,))},
        *(
            {
                "name": name,
                "text": texts.get(name, name.capitalize()),
                "url": reverse(f"admin:jobs_job_{name}", args=(job.pk,)),
            }
            for name in names
        ),
        {"name": "executions", "text": "Executions", "url": f"{executions}?job={job.pk}"},
    ]


def summarize(job: Job, now: datetime) -> list[tuple[str, Any]]:
    """The facts that stand above every page of a job."""
    facts: list[tuple[str, Any]] = []
    try:
        facts.append(("Schedule", timing.describe(schedules.read(job))))
    except ValueError as error:
        facts.append(("Schedule cannot be read", str(error)))
    if job.is_active:
        facts.append(("Next run", shown.when(job.next_run_at, now, job.zone)))
    facts.append(("Last run", shown.when(job.last_run_at, now, job.zone)))
    if job.paused_reason or job.paused_until:
        until = (
            shown.when(job.paused_until, now, job.zone) if job.paused_until else "until somebody resumes it"
        )
        facts += [
            ("Paused because", shown.name(job.paused_reason or shown.NOTHING, 200)),
            ("Paused until", until),
        ]
    if job.consecutive_failures:
        facts.append(("Failures in a row", job.consecutive_failures))
    if job.error_message:
        facts.append(("Last error", shown.name(job.error_message, 300)))
    owner = job.user.email if job.user else "nobody"
    facts.append(("Owner", shown.name(owner, 60)))
    by = "" if job.created_by in (None, owner) else f", {job.created_by}"
    facts += [
        ("Origin", shown.name(f"{job.origin}{by}", 60)),
        ("Version", job.version),
        ("Id", str(job.uuid)),
    ]
    return facts


def next_runs(job: Job, count: int = 5) -> list[datetime]:
    """The next fire times by the row's schedule; none where it cannot be read."""
    try:
        row = Job.objects.get(pk=job.pk)
        return [one.at for one in timing.preview(schedules.read(row), clock.now(), count)]
    except ValueError:
        return []


def warnings_of(job: Job) -> list[str]:
    """What is legal in the job but often not meant."""
    idle = definitions.find_idleness(job)
    found = [idle] if idle else []
    try:
        return found + timing.warnings(schedules.read(job), after=clock.now())
    except ValueError:
        return found


def read_uuid(text: str) -> UUID | None:
    """The id that somebody typed, or None."""
    try:
        return UUID(text)
    except ValueError:
        return None


# The file it came from ------------------------------------------------------------------------------


def drift(job: Job, now: datetime) -> dict[str, Any] | None:
    """How the job differs from what its file last made of it; None where it does not."""
    rows = manifest.drift(job)
    if not rows:
        return None
    applied = AppliedDefinition.objects.get(job=job)
    return {
        "source": shown.name(applied.source, 120),
        "applied": shown.when(applied.applied_at, now, job.zone),
        "rows": [
            {"field": name, "file": shown.word(row["file"]), "now": shown.word(row["now"])}
            for name, row in rows.items()
        ],
    }


# Timeline -------------------------------------------------------------------------------------------


def timeline(job: Job, now: datetime) -> dict[str, Any]:
    """The latest runs: how late each started, its attempts and its end, all from its fire time on."""
    rows = list(
        Execution.objects.filter(job=job)
        .order_by("-scheduled_at", "-id")
        .defer("payload", "result", "response_body")[:SHOWN_RUNS]
    )
    attempts: dict[Any, list[Attempt]] = {}
    for attempt in Attempt.objects.filter(execution__in=[row.id for row in rows]).order_by("attempt_number"):
        attempts.setdefault(attempt.execution_id, []).append(attempt)
    spans = [_span(row, attempts.get(row.id, []), now) for row in rows]
    longest = max((end for _, end in spans), default=0.0) or 1.0
    return {
        "runs": [
            _draw_run(row, attempts.get(row.id, []), longest, now)
            for row in rows
        ],
        "ticks": [
            {"x": round(WIDTH * share), "text": shown.duration(1000 * longest * share)}
            for share in (0, 0.25, 0.5, 0.75, 1)
        ],
        "width": WIDTH,
        "zone": job.zone,
    }  # fmt: skip


def _span(row: Execution, attempts: Sequence[Attempt], now: datetime) -> tuple[float, float]:
    last = max(
        (attempt.finished_at or now for attempt in attempts), default=row.completed_at or row.scheduled_at
    )
    return 0.0, max(0.0, (last - _origin(row)).total_seconds())


def _origin(row: Execution) -> datetime:
    """Where the row's bar begins: its fire time, or for runs of the past the moment it was asked for."""
    return row.scheduled_at if row.trigger in ("schedule", "manual") else row.created_at


def _draw_run(row: Execution, attempts: Sequence[Attempt], longest: float, now: datetime) -> dict[str, Any]:
    def place(at: datetime) -> float:
        return round(min(WIDTH, max(0.0, (at - _origin(row)).total_seconds() / longest * WIDTH)), 1)

    bars = []
    for attempt in attempts:
        start, end = place(attempt.started_at), place(attempt.finished_at or now)
        spent = ((attempt.finished_at or now) - attempt.started_at) / timedelta(milliseconds=1)
        bars.append(
            {
                "x": start,
                "width": max(3.0, round(end - start, 1)),
                "status": attempt.status,
                "crossed": attempt.status == "failed" and end - start >= CROSSED,
                "title": f"attempt {attempt.attempt_number}: {attempt.status}, {shown.duration(spent)}",
            }
        )
    started = place(row.started_at) if row.started_at else WIDTH if row.status == "PENDING" else 0
    return {
        "url": reverse("admin:executions_execution_change", args=(row.id,)),
        "at": shown.moment(row.scheduled_at, row.job.zone if "job" in row._state.fields_cache else "UTC"),
        "badge": shown.badge(row.status),
        "status": row.status.lower(),
        "trigger": row.trigger,
        "reason": row.get_reason_display() if row.reason else "",
        "late": shown.duration((row.started_at - _origin(row)) / timedelta(milliseconds=1))
        if row.started_at
        else f"{shown.spell_span(now - _origin(row))} so far"
        if row.status == "PENDING" and now > _origin(row)
        else "",
        "spent": shown.duration(row.execution_duration_ms),
        "wait": started,
        "bars": bars,
    }


# Audit and versions ---------------------------------------------------------------------------------


def audit(job: Job, page: str) -> dict[str, Any]:
    """One page of the job's audit, the newest first."""
    number = max(1, min(10_000, int(page))) if page.isdecimal() and len(page) < 6 else 1
    start = (number - 1) * PAGE
    rows = list(AuditEntry.objects.filter(job=job).order_by("-timestamp", "-id")[start : start + PAGE + 1])
    return {
        "entries": [
            {
                "action": entry.action.lower(),
                "by": entry.changed_by or shown.NOTHING,
                "at": shown.moment(entry.timestamp, job.zone),
                "request_id": entry.request_id,
                "rows": shown.differences(masked(entry.change_details)),
            }
            for entry in rows[:PAGE]
        ],
        "page": number,
        "newer": number - 1,
        "older": number + 1 if len(rows) > PAGE else 0,
    }


def history(job: Job) -> dict[str, Any]:
    """The job's latest versions, each with what it changed."""
    rows = list(JobVersion.objects.filter(job=job).order_by("-version")[: PAGE + 1])
    shown_rows = []
    for place, row in enumerate(rows[:PAGE]):
        before = rows[place + 1].definition if place + 1 < len(rows) else None
        changes = _compare(before, row.definition) if before is not None else {}
        shown_rows.append(
            {
                "version": row.version,
                "by": row.changed_by or shown.NOTHING,
                "from": shown.moment(row.valid_from, job.zone),
                "to": shown.moment(row.valid_to, job.zone) if row.valid_to else "now",
                "is_present": row.valid_to is None,
                "rows": shown.differences(masked(changes)),
            }
        )
    return {"versions": shown_rows}


def _compare(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"old": old.get(name), "new": value} for name, value in new.items() if old.get(name) != value
    }


def check_version(job: Job, number: int) -> None:
    """Raise Invalid where that version does not exist, or may not be saved again."""
    version = JobVersion.objects.filter(job=job, version=number).first()
    if version is None:
        raise Invalid({"version": f"The job has no version {number}"})
    problems = definitions.check_change(job, versions.restore(version), staff=True)
    if problems:
        reasons = "; ".join(f"{field}: {text}" for field, text in problems.items())
        raise Invalid({"version": f"Cannot be taken again: {reasons}"})


# Why did it not run? --------------------------------------------------------------------------------


def explain_day(job: Job, text: str, now: datetime) -> dict[str, Any]:
    """What became of every fire time of one day in the job's zone."""
    zone = _zone(job)
    try:
        day = date.fromisoformat(text) if text else now.astimezone(zone).date()
        start = datetime.combine(day, datetime.min.time(), tzinfo=zone).astimezone(UTC)
        end = datetime.combine(day + timedelta(days=1), datetime.min.time(), tzinfo=zone).astimezone(UTC)
        found = ledger.explain(job, start, end, now=now)
    except (ValueError, OverflowError) as error:
        return {"day": text, "problem": str(error), "zone": job.zone, "answers": []}
    counts = Counter(answer.outcome for answer in found.answers)
    return {
        "day": day.isoformat(),
        "before": (day - timedelta(days=1)).isoformat() if day > date(1970, 1, 1) else "",
        "after": (day + timedelta(days=1)).isoformat(),
        "zone": job.zone,
        "counts": [
            {"badge": shown.badge(outcome), "count": count} for outcome, count in counts.most_common()
        ],
        "answers": [_say_answer(answer, job) for answer in found.answers],
        "more": shown.moment(found.next, job.zone) if found.next else "",
    }


def _zone(job: Job) -> ZoneInfo:
    try:
        return ZoneInfo(job.zone)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def _say_answer(answer: Any, job: Job) -> dict[str, Any]:
    return {
        "at": shown.moment(answer.scheduled_at, job.zone),
        "badge": shown.badge(answer.outcome),
        "reason": Reason(answer.reason).label if answer.reason in Reason.values else answer.reason or "",
        "detail": answer.detail,
        "url": reverse("admin:executions_execution_change", args=(answer.execution_id,))
        if answer.execution_id
        else "",
    }
