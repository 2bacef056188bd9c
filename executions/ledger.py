"""What became of every fire time: the ledger compared with what the schedules of then named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet

from executions import horizons, words
from executions.models import Execution, Trigger
from executions.rows import Rows, fetch, moment, read_moment
from executions.words import Circumstances
from jobs import schedules
from jobs.models import Job, JobState
from jobs.schedules import MOMENT
from jobs.terms import EVER, NEVER, Term, read_terms

SCHEDULED, INACTIVE, PRUNED, MISSING = "SCHEDULED", "INACTIVE", "PRUNED", "MISSING"
MAX_ANSWERS = 1000
DAY = timedelta(days=1)
MILLISECOND = timedelta(milliseconds=1)
VERIFIED_JOBS = 100  # whose rows are read at once


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of one fire time.

    `outcome` is the execution's status, SCHEDULED (to come), INACTIVE (the job was off and was not
    resumed), PRUNED (history that retention deleted) or MISSING, which is a defect. `detail` says it
    in words.
    """

    scheduled_at: datetime
    outcome: str
    detail: str
    reason: str | None = None
    execution_id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Answers in order of time; `next` is where to go on when there are more."""

    answers: list[Answer]
    next: datetime | None = None


def explain(job: Job, start: datetime, end: datetime, *, now: datetime) -> Explanation:
    """Answer for every fire time from `start` up to, not including, `end`; at most 1000, then `next`.

    1. The definitions that were in force name the fire times.
    2. What the ledger holds besides (a run that SQL or a reschedule moved) is listed with them.
    3. Each is answered by its own row, else by the SKIPPED row that stands for its stretch, else by the
       state of the job: what lies from its cursor on is to come, or waits for the job to be resumed.
    """
    terms = read_terms([job], now=now)[job.id]
    last = end - MOMENT
    named = _name(terms, start, last, MAX_ANSWERS + 1)
    if len(named) > MAX_ANSWERS:
        last = min(last, named[MAX_ANSWERS])
    rows = list(
        Execution.objects.filter(
            job=job, trigger=Trigger.SCHEDULE, scheduled_at__gte=start, scheduled_at__lte=last
        )
        .defer("response_body", "payload", "result")
        .order_by("scheduled_at")[: MAX_ANSWERS + 1]
    )
    found = {row.scheduled_at: row for row in rows}
    times = sorted({*named, *found})
    page = times[:MAX_ANSWERS]
    answers = _answer(job, page, set(named), found, start, now)
    return Explanation(answers=answers, next=times[MAX_ANSWERS] if len(times) > MAX_ANSWERS else None)


def explain_at(job: Job, at: datetime, *, now: datetime) -> Explanation:
    """Answer for the fire time at `at` (to the millisecond); where there is none, for those around it."""
    exact = explain(job, at, at + MILLISECOND, now=now)
    if exact.answers:
        return exact
    terms = read_terms([job], now=now)[job.id]
    around = [*_last_before(job, terms, at), *_name(terms, at, NEVER, 1)]
    answers = [
        answer for moment in around for answer in explain(job, moment, moment + MOMENT, now=now).answers
    ]
    return Explanation(answers=answers)


def explain_between(job: Job, start: datetime | None, end: datetime | None, *, now: datetime) -> Explanation:
    """As `explain`, of the window that `find_window` answers."""
    return explain(job, *find_window(start, end, now=now), now=now)


def find_window(start: datetime | None, end: datetime | None, *, now: datetime) -> tuple[datetime, datetime]:
    """From where up to where: without an end up to now, without a start a day before the end."""
    end = end or now + MOMENT
    return start or max(EVER, end - DAY), end


def find_next(job: Job, at: datetime, *, now: datetime) -> datetime | None:
    """The first fire time from `at` on that the job's definitions name."""
    return next(iter(_name(read_terms([job], now=now)[job.id], at, NEVER, 1)), None)


def find_unscheduled(job: Job, start: datetime, end: datetime) -> QuerySet[Execution]:
    """The job's executions of a window that no schedule asked for (manual, backfill, …), in order."""
    found = Execution.objects.filter(job=job, created_at__gte=start, created_at__lt=end)
    return found.exclude(trigger=Trigger.SCHEDULE).order_by("created_at")


def _name(terms: Iterable[Term], start: datetime, last: datetime, limit: int) -> list[datetime]:
    """The first `limit` fire times that the definitions of then name, each once, in order."""
    times = {at for term in terms for at in term.fire_times(start, last, limit)}
    return sorted(times)[:limit]


def _last_before(job: Job, terms: Sequence[Term], at: datetime) -> list[datetime]:
    """The fire time before a moment, as the ledger or the schedule of then knows it."""
    row = (
        Execution.objects.filter(job=job, trigger=Trigger.SCHEDULE, scheduled_at__lt=at)
        .order_by("-scheduled_at")
        .values_list("scheduled_at", flat=True)
        .first()
    )
    found = [last for term in terms if (last := term.last_before(at))]
    return [max([*found, *([row] if row else [])])] if found or row else []


def _answer(
    job: Job,
    times: Sequence[datetime],
    named: set[datetime],
    found: dict[datetime, Execution],
    start: datetime,
    now: datetime,
) -> list[Answer]:
    if not times:
        return []
    stretches = _read_stretches(job, start, times[-1])
    shown = [found[at] for at in times if at in found]
    circumstances = words.read(job, [*shown, *stretches], times[0], times[-1], now=now)
    pruned = horizons.read([job.id]).get(job.id)
    return [
        _answer_one(job, at, at in named, found.get(at), stretches, circumstances, pruned, now)
        for at in times
    ]


def _answer_one(
    job: Job,
    at: datetime,
    named: bool,
    row: Execution | None,
    stretches: Sequence[Execution],
    circumstances: Circumstances,
    pruned: datetime | None,
    now: datetime,
) -> Answer:
    row = row or next((each for each in stretches if _covers(each, at)), None)
    if row is not None:
        detail = words.describe(row, at, circumstances, named=named, now=now)
        return Answer(
            scheduled_at=at, outcome=row.status, detail=detail, reason=row.reason, execution_id=row.id
        )
    outcome = _without_row(job, at, pruned)
    detail = words.describe_absence(job, at, outcome, circumstances, now=now)
    return Answer(scheduled_at=at, outcome=outcome, detail=detail)


def _covers(row: Execution, at: datetime) -> bool:
    return row.skipped_until is not None and row.scheduled_at <= at <= row.skipped_until


def _without_row(job: Job, at: datetime, pruned: datetime | None) -> str:
    """What a fire time without a row of its own has come to."""
    if pruned is not None and at <= pruned:
        return PRUNED
    if is_owed(job, at):
        return SCHEDULED if job.state == JobState.ACTIVE else INACTIVE
    return MISSING


def is_owed(job: Job, at: datetime) -> bool:
    """Whether the planner has not come to this fire time yet: it lies from the job's cursor on."""
    cursor = schedules.owed_from(job)
    if cursor is not None:
        return at >= cursor
    return not job.exhausted or job.schedule_error is not None


def _read_stretches(job: Job, start: datetime, end: datetime) -> list[Execution]:
    """SKIPPED rows that stand for a stretch which reaches into the window."""
    rows = Execution.objects.filter(
        job=job, skipped_until__isnull=False, skipped_until__gte=start, scheduled_at__lte=end
    )
    return list(rows.defer("response_body", "payload", "result").order_by("-scheduled_at"))


# Completeness ---------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Verification:
    """What recomputing all fire times of a window came to. `missing` lists the first of them."""

    MAX_LISTED = 1000

    jobs: int = 0
    fire_times: int = 0
    unplanned: int = 0
    unanswered: int = 0
    missing: list[tuple[Job, datetime]] = field(default_factory=list)

    def add(self, job: Job, at: datetime) -> None:
        """Count a fire time without an answer."""
        self.unanswered += 1
        if len(self.missing) < self.MAX_LISTED:
            self.missing.append((job, at))


def verify(
    start: datetime,
    end: datetime,
    *,
    now: datetime,
    tell: Callable[[int, int], object] = lambda done, total: None,
) -> Verification:
    """Recompute the fire times of all jobs, deleted ones too, from `start` up to `end`, not including it.

    Every one must have its row, lie in a SKIPPED stretch, be pruned, or lie from the job's cursor on;
    of the last kind those that are due and not planned yet are counted apart. `tell` hears how many
    jobs of how many are done. Fire times after now are not looked at: they are to come.
    """
    found = Verification()
    last = min(end - MOMENT, now)
    ids = list(Job.objects.order_by("id").values_list("id", flat=True))
    for place in range(0, len(ids), VERIFIED_JOBS):
        _verify_group(ids[place : place + VERIFIED_JOBS], start, last, found, now)
        tell(min(place + VERIFIED_JOBS, len(ids)), len(ids))
    return found


def _verify_group(
    ids: Sequence[int], start: datetime, last: datetime, found: Verification, now: datetime
) -> None:
    # The rows are read before the jobs: a fire time that is planned in between then lies before a cursor
    # that moved, and not in rows that were read; so what looks missing is asked for once more.
    jobs = list(Job.objects.filter(id__in=ids).order_by("id").defer("payload", "headers", "result"))
    points, stretches = _read_points(ids, start, last), _read_all_stretches(ids, start, last)
    terms, pruned = read_terms(jobs, now=now), horizons.read(ids)
    for job in jobs:
        found.jobs += 1
        covered = stretches.get(job.id, [])
        if job.id in pruned:
            covered = [*covered, (EVER, pruned[job.id])]
        absent: set[datetime] = set()
        for term in terms[job.id]:
            found.fire_times += term.count(start, last)
            absent |= set(term.unanswered(start, last, points=points.get(job.id, set()), stretches=covered))
        _sort_out(job, sorted(absent), found)


def _sort_out(job: Job, absent: Sequence[datetime], found: Verification) -> None:
    doubtful = []
    for at in absent:
        if not is_owed(job, at):
            doubtful.append(at)
        elif job.state == JobState.ACTIVE:
            found.unplanned += 1
    known = set(
        Execution.objects.filter(
            job=job, trigger=Trigger.SCHEDULE, scheduled_at__in=doubtful[: Verification.MAX_LISTED]
        ).values_list("scheduled_at", flat=True)
        if doubtful
        else ()
    )
    for at in doubtful:
        if at not in known:
            found.add(job, at)


def _read_points(ids: Sequence[int], start: datetime, last: datetime) -> dict[int, set[datetime]]:
    keys = Rows("v", {"key": "bigint"}, ((key,) for key in ids))
    rows = fetch(
        f"""
        SELECT e.job_id, e.scheduled_at FROM job_executions AS e
        WHERE e.job_id IN (SELECT v.key FROM {keys.sql}) AND e.trigger = 'schedule'
            AND e.scheduled_at >= %s AND e.scheduled_at <= %s
        """,
        [*keys.params, moment(start), moment(last)],
    )
    points: dict[int, set[datetime]] = {}
    for job_id, value in rows:
        at = read_moment(value)
        assert at is not None
        points.setdefault(job_id, set()).add(at)
    return points


def _read_all_stretches(
    ids: Sequence[int], start: datetime, last: datetime
) -> dict[int, list[tuple[datetime, datetime]]]:
    rows = Execution.objects.filter(
        job__in=ids, skipped_until__isnull=False, skipped_until__gte=start, scheduled_at__lte=last
    )
    stretches: dict[int, list[tuple[datetime, datetime]]] = {}
    for job_id, first, until in rows.values_list("job_id", "scheduled_at", "skipped_until"):
        stretches.setdefault(job_id, []).append((first, until))
    return stretches
