"""Why, in the words of an operator at three in the morning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from executions.models import WAITING, DeadLetter, Execution, Reason, Status, Trigger
from executions.waiting import waiting_for
from jobs import registry, schedules
from jobs.models import AuditAction, AuditEntry, Job, JobState
from jobs.timing import jitter, next_occurrence
from web.moments import format_moment

ON_TIME = timedelta(seconds=1)
SAME_CHANGE = timedelta(seconds=5)  # an audit entry is written in the transaction of its change
AUDIT_ROWS = 2000
TOLD = (
    AuditAction.PAUSED,
    AuditAction.RESUMED,
    AuditAction.CANCELLED,
    AuditAction.DELETED,
    AuditAction.RESCHEDULED,
    AuditAction.UPDATED,
)
SCHEDULE_EDITS = (AuditAction.RESCHEDULED, AuditAction.UPDATED)


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What the words draw on besides the row: who did what, what is waited for, and what ran later."""

    job: Job
    entries: list[AuditEntry] = field(default_factory=list)
    holds: Mapping[UUID, str] = field(default_factory=dict)
    letters: Mapping[UUID, DeadLetter] = field(default_factory=dict)
    reruns: Mapping[datetime, list[tuple[str, str]]] = field(default_factory=dict)

    @property
    def awaits_ping(self) -> bool:
        """Whether the work is done elsewhere, and the run only waits to hear of it."""
        job = self.job
        return registry.resolve(handler=job.handler, api=job.api_endpoint, name=job.name) == "ping"

    def spread(self, row: Execution) -> timedelta:
        """How much the job's jitter puts the start off."""
        if row.trigger != Trigger.SCHEDULE:
            return timedelta(0)
        return jitter(row.job_id, row.scheduled_at, self.job.jitter_seconds)

    def last(self, actions: Sequence[str], at: datetime) -> AuditEntry | None:
        """The last entry of one of these actions at or before a moment."""
        return next((one for one in self.entries if one.action in actions and one.timestamp <= at), None)

    def first(self, actions: Sequence[str], at: datetime) -> AuditEntry | None:
        """The first entry of one of these actions at or after a moment."""
        after = [one for one in self.entries if one.action in actions and one.timestamp >= at]
        return after[-1] if after else None


def read(
    job: Job, rows: Iterable[Execution], first: datetime, last: datetime, *, now: datetime
) -> Circumstances:
    """What is worth knowing about these rows; a handful of queries for any number of them."""
    rows = list(rows)
    failed = [row.id for row in rows if row.status == Status.FAILED]
    reruns: dict[datetime, list[tuple[str, str]]] = {}
    again = Execution.objects.filter(
        job=job,
        trigger__in=(Trigger.BACKFILL, Trigger.REQUEUE),
        scheduled_at__gte=first,
        scheduled_at__lte=last,
    )
    for at, trigger, status in again.order_by("created_at").values_list("scheduled_at", "trigger", "status"):
        reruns.setdefault(at, []).append((trigger, status))
    return Circumstances(
        job=job,
        entries=list(
            AuditEntry.objects.filter(job=job, action__in=TOLD).order_by("-timestamp", "-id")[:AUDIT_ROWS]
        ),
        holds=waiting_for([row for row in rows if row.status in WAITING], now),
        letters={one.execution_id: one for one in DeadLetter.objects.filter(execution__in=failed)},
        reruns=reruns,
    )


def span(length: timedelta) -> str:
    """A length of time with its two largest units: `820 ms`, `4.2 s`, `2 min 3 s`, `3 h 5 min`, `2 d 4 h`."""
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    for unit, smaller, size, part in (("min", "s", 60, 1), ("h", "min", 3600, 60), ("d", "h", 86400, 3600)):
        if seconds < size * 60 or unit == "d":
            whole, rest = int(seconds // size), int(seconds % size // part)
            if unit == "h" and whole >= 24:
                continue
            return f"{whole} {unit} {rest} {smaller}" if rest else f"{whole} {unit}"
    raise AssertionError(length)


# A row tells ----------------------------------------------------------------------------------------


def describe(
    row: Execution, at: datetime, circumstances: Circumstances, *, named: bool, now: datetime
) -> str:
    """What became of the fire time that this row answers for."""
    words = _TELL[Status(row.status)](row, at, circumstances, now)
    parts = [] if named else ["moved here: the schedule does not name this time"]
    return "; ".join([words, *parts, *_reruns(at, circumstances)])


def _reruns(at: datetime, circumstances: Circumstances) -> list[str]:
    said = {Trigger.BACKFILL.value: "backfilled", Trigger.REQUEUE.value: "requeued"}
    return [f"{said[trigger]}: {status}" for trigger, status in circumstances.reruns.get(at, [])]


def _started(row: Execution, circumstances: Circumstances) -> str:
    if row.started_at is None:
        return "never started"
    if circumstances.awaits_ping:
        return f"its ping was awaited for {span(max(row.started_at - row.scheduled_at, timedelta(0)))}"
    spread = circumstances.spread(row)
    late = row.started_at - row.scheduled_at - spread
    if late < ON_TIME:
        return "started on time" if spread < ON_TIME else f"started on time, spread by {span(spread)}"
    planned_late = row.created_at - row.scheduled_at
    if planned_late < ON_TIME:
        return f"started {span(late)} late, after waiting for its turn"
    waited = row.started_at - row.created_at
    words = f"started {span(late)} late: it was planned {span(planned_late)} after its time"
    return words if waited < ON_TIME else f"{words} and waited {span(waited)} more"


def _attempts(row: Execution) -> str:
    """How often it was tried, where that was more than once."""
    parts = []
    if row.attempt > 1:
        parts.append(f"{row.attempt} attempts")
    if row.retry_count:
        parts.append(f"{row.retry_count} {'retry' if row.retry_count == 1 else 'retries'}")
    if row.lost_count:
        parts.append(f"its worker was lost {_times(row.lost_count)}")
    return ", ".join(parts)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _tell_success(row: Execution, at: datetime, circumstances: Circumstances, now: datetime) -> str:
    took = row.execution_duration_ms
    took_words = "" if took is None else f"took {span(timedelta(milliseconds=took))}"
    return ", ".join(part for part in (_started(row, circumstances), took_words, _attempts(row)) if part)


def _tell_failure(row: Execution, at: datetime, circumstances: Circumstances, now: datetime) -> str:
    error = row.error_message or row.reason or "no reason was kept"
    parts = [_started(row, circumstances), _attempts(row) or "1 attempt", f"failed: {error}"]
    letter = circumstances.letters.get(row.id)
    if letter is not None:
        parts.append(
            f"dead letter resolved by {letter.resolved_by}" if letter.resolved else "its dead letter is open"
        )
    return ", ".join(parts)


def _tell_running(row: Execution, at: datetime, circumstances: Circumstances, now: datetime) -> str:
    parts = [_started(row, circumstances)]
    if row.executed_at is not None:
        parts.append(f"attempt {row.attempt} has run for {span(max(now - row.executed_at, timedelta(0)))}")
    if row.lease_expires_at is not None and row.lease_expires_at < now:
        parts.append("its worker is silent and it is about to be rescued")
    if row.cancel_requested:
        parts.append("it was asked to stop")
    return ", ".join(parts)


def _tell_waiting(row: Execution, at: datetime, circumstances: Circumstances, now: datetime) -> str:
    hold = circumstances.holds.get(row.id, "its turn")
    words = hold if hold.startswith("waits for ") else f"waits: {hold}"
    if row.status == Status.RETRYING and row.error_message:
        return f"{words}, after attempt {row.attempt} failed: {row.error_message}"
    return words


def _tell_cancelled(row: Execution, at: datetime, circumstances: Circumstances, now: datetime) -> str:
    ended = row.completed_at or now
    begun = f", {_started(row, circumstances)}" if row.started_at else " before it started"
    if row.reason == Reason.REPLACED:
        return f"replaced by a newer fire time (overlapPolicy replace){begun}"
    if row.reason == Reason.JOB_DELETED:
        return f"the job was deleted{_by(circumstances, [AuditAction.DELETED], ended)}{begun}"
    if row.reason == Reason.JOB_CANCELLED:
        return f"the job was cancelled{_by(circumstances, [AuditAction.CANCELLED], ended)}{begun}"
    if row.reason == Reason.RESCHEDULED:
        return f"the schedule was changed{_by(circumstances, SCHEDULE_EDITS, ended)}{begun}"
    entry = next((one for one in circumstances.entries if _detail(one, "executionId") == str(row.id)), None)
    return f"cancelled{f' by {entry.changed_by}' if entry else ''} at {format_moment(ended)}{begun}"


def _detail(entry: AuditEntry, name: str) -> Any:
    return entry.change_details.get(name) if isinstance(entry.change_details, dict) else None


def _by(circumstances: Circumstances, actions: Sequence[str], at: datetime) -> str:
    """Who did it, and when, as far as the audit knows."""
    entry = circumstances.first(actions, at - ON_TIME)
    if entry is None or entry.timestamp > at + SAME_CHANGE:
        return f" at {format_moment(at)}"
    return f" by {entry.changed_by} at {format_moment(entry.timestamp)}"


def _tell_skipped(row: Execution, at: datetime, circumstances: Circumstances, now: datetime) -> str:
    words = _SKIPPED.get(Reason(row.reason), _skipped_plainly) if row.reason else _skipped_plainly
    told = words(row, at, circumstances)
    if row.skipped_until is not None and row.skipped_count:
        told += (
            f" (one of {row.skipped_count} fire times from {format_moment(row.scheduled_at)}"
            f" to {format_moment(row.skipped_until)})"
        )
    return told


def _skipped_plainly(row: Execution, at: datetime, circumstances: Circumstances) -> str:
    return f"skipped: {row.reason or 'no reason was kept'}"


def _misfire(row: Execution, at: datetime, circumstances: Circumstances) -> str:
    late = max(row.created_at - at, timedelta(0))
    job = circumstances.job
    return (
        f"no scheduler was at it in time: noticed {span(late)} late, more than the grace of"
        f" {job.misfire_grace_seconds} s, and catchUp does not run it"
    )


def _overlap(row: Execution, at: datetime, circumstances: Circumstances) -> str:
    most = circumstances.job.max_concurrent_executions
    older = "an older execution was" if most == 1 else f"{most} older executions were"
    return f"{older} unfinished, and overlapPolicy skip leaves such fire times out"


def _paused(row: Execution, at: datetime, circumstances: Circumstances) -> str:
    off = circumstances.last([AuditAction.PAUSED, AuditAction.CANCELLED, AuditAction.UPDATED], at)
    words = "the job was off"
    if off is not None:
        done = {AuditAction.PAUSED: "paused", AuditAction.CANCELLED: "cancelled"}.get(
            AuditAction(off.action), "turned off"
        )
        words = f"the job was {done} by {off.changed_by} at {format_moment(off.timestamp)}"
        if reason := _detail(off, "reason"):
            words += f" ({reason})"
    back = circumstances.first([AuditAction.RESUMED, *SCHEDULE_EDITS], (row.completed_at or at) - ON_TIME)
    if back is not None and back.action == AuditAction.RESUMED:
        words += f", and resumed by {back.changed_by} at {format_moment(back.timestamp)} without catching up"
    return words


def _calendar(row: Execution, at: datetime, circumstances: Circumstances) -> str:
    name = circumstances.job.calendar_id or "its calendar"
    try:
        schedule = schedules.read(circumstances.job)
        found = next_occurrence(schedule, at - schedules.MOMENT)
    except (ValueError, OverflowError):
        found = None
    note = found.note if found is not None and found.at == at and found.note else ""
    return f"calendar {name} closes the day{f': {note}' if note else ''}"


def _dependency(row: Execution, at: datetime, circumstances: Circumstances) -> str:
    wait = timedelta(seconds=circumstances.job.dependency_wait_seconds)
    return f"the jobs that it depends on had not run as wanted within {span(wait)}"


def _backlog(row: Execution, at: datetime, circumstances: Circumstances) -> str:
    return "as many executions of the job waited as may wait"


def _rescheduled(row: Execution, at: datetime, circumstances: Circumstances) -> str:
    return f"the schedule was changed{_by(circumstances, SCHEDULE_EDITS, row.completed_at or row.created_at)}"


_SKIPPED = {
    Reason.MISFIRE: _misfire,
    Reason.OVERLAP: _overlap,
    Reason.PAUSED: _paused,
    Reason.CALENDAR: _calendar,
    Reason.DEPENDENCY: _dependency,
    Reason.BACKLOG: _backlog,
    Reason.RESCHEDULED: _rescheduled,
}
_TELL = {
    Status.SUCCESS: _tell_success,
    Status.FAILED: _tell_failure,
    Status.RUNNING: _tell_running,
    Status.PENDING: _tell_waiting,
    Status.RETRYING: _tell_waiting,
    Status.CANCELLED: _tell_cancelled,
    Status.SKIPPED: _tell_skipped,
}


# No row tells ---------------------------------------------------------------------------------------


def describe_absence(
    job: Job, at: datetime, outcome: str, circumstances: Circumstances, *, now: datetime
) -> str:
    """Why there is no row for a fire time."""
    if outcome == "PRUNED":
        words = "history this old was deleted (RETENTION_DAYS, RETENTION_PER_JOB)"
    elif outcome == "SCHEDULED":
        words = _to_come(at, now)
    elif outcome == "INACTIVE":
        words = _off(job, circumstances)
    else:
        words = "nothing stands in the ledger for it; was next_run_at moved by SQL?"
    return "; ".join([words, *_reruns(at, circumstances)])


def _to_come(at: datetime, now: datetime) -> str:
    if at > now:
        return f"to come in {span(at - now)}"
    return f"due for {span(now - at)} and not planned yet; is a scheduler alive?"


def _off(job: Job, circumstances: Circumstances) -> str:
    if job.schedule_error is not None:
        return f"the schedule cannot be read: {job.schedule_error}"
    verbs = {
        JobState.PAUSED: ("paused", [AuditAction.PAUSED]),
        JobState.INACTIVE: ("inactive", [AuditAction.UPDATED]),
        JobState.CANCELLED: ("cancelled", [AuditAction.CANCELLED]),
        JobState.DELETED: ("deleted", [AuditAction.DELETED]),
    }
    word, actions = verbs.get(JobState(job.state), (job.state, []))
    entry = (
        circumstances.last(actions, datetime.max.replace(tzinfo=job.created_at.tzinfo)) if actions else None
    )
    words = f"the job is {word}"
    if entry is not None:
        words += f" (by {entry.changed_by} at {format_moment(entry.timestamp)})"
    if job.state == JobState.PAUSED and job.paused_reason:
        words += f": {job.paused_reason}"
    if job.state == JobState.PAUSED and job.paused_until:
        words += f", until {format_moment(job.paused_until)}"
    return words
