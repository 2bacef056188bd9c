"""What holds waiting executions back, in words; judged by the same rules as the claim, without its locks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from executions import workers
from executions.engine import dependencies, facts
from executions.engine.limits import Candidate, Room
from executions.models import WAITING, Execution, Status
from executions.rows import Rows, fetch, moment, read_uuid
from executions.workers import Worker
from web.moments import format_moment

MANY = 100


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Why an execution waits.

    `due`: its moment has come. `limited`: a rule or a switch holds it back. `crowded`: nothing does, but
    every slot that could take it is busy.
    """

    words: str
    due: bool = True
    limited: bool = False
    crowded: bool = False


def waiting_for(executions: Iterable[Execution], now: datetime) -> dict[UUID, str]:
    """The words of `waitingFor` for those of these executions that wait, by their ids."""
    return {key: hold.words for key, hold in judge(executions, now).items()}


def judge(executions: Iterable[Execution], now: datetime) -> dict[UUID, Hold]:
    """What holds back each of these executions that waits; ended and running ones are left out.

    The number of queries does not depend on the number of executions.
    """
    waiting = [one for one in executions if one.status in WAITING]
    holds = {one.id: _not_due(one) for one in waiting if not _is_due(one, now)}
    due = [candidate_of(one) for one in waiting if one.id not in holds]
    return holds | judge_due(due, now) if due else holds


def candidate_of(execution: Execution) -> Candidate:
    """The execution as the claim judges it."""
    assert execution.next_attempt_at is not None
    return Candidate(
        id=execution.id,
        job_id=execution.job_id,
        priority=execution.priority,
        due_at=execution.next_attempt_at,
        scheduled_at=execution.scheduled_at,
        trigger=execution.trigger,
        queue=execution.queue,
        batch=execution.batch,
        batch_limit=execution.batch_limit,
    )


def judge_due(due: Sequence[Candidate], now: datetime) -> dict[UUID, Hold]:
    """What holds back each of these due executions."""
    look = facts.look(due, now, lock=False)
    room = look.room
    verdicts = dependencies.unmet([one for one in due if one.job_id in look.dependent], now)
    ahead = _count_ahead(due, now)
    alive = workers.find_live(now)
    holds: dict[UUID, Hold] = {}
    for one in due:
        verdict = verdicts.get(one.id)
        limit = verdict.why if verdict else room.why_not(one) or _behind(one, room, ahead.get(one.id, 0))
        holds[one.id] = Hold(words=limit, limited=True) if limit else _find_slot(one, alive)
    return holds


def _is_due(execution: Execution, now: datetime) -> bool:
    return execution.next_attempt_at is not None and execution.next_attempt_at <= now


def _not_due(execution: Execution) -> Hold:
    if execution.next_attempt_at is None:
        return Hold(words="nothing: it has no time at which it becomes due", due=False)
    at = format_moment(execution.next_attempt_at)
    if execution.status == Status.RETRYING:
        return Hold(words=f"its retry {execution.retry_count} at {at}", due=False)
    return Hold(words=f"its start at {at}", due=False)


def _count_ahead(due: Sequence[Candidate], now: datetime) -> dict[UUID, int]:
    """How many due executions of the same job go before each, counted up to MANY."""
    own = Rows(
        "v",
        {"key": "uuid", "job_id": "bigint", "priority": "smallint", "due_at": "timestamptz"},
        ((one.id, one.job_id, one.priority, one.due_at) for one in due),
    )
    rows = fetch(
        f"""
        SELECT v.key, (
            SELECT count(*) FROM (
                SELECT 1 FROM job_executions AS e
                WHERE e.job_id = v.job_id AND e.status IN ('PENDING', 'RETRYING')
                    AND (e.priority > v.priority
                        OR (e.priority = v.priority AND e.next_attempt_at < v.due_at))
                    AND e.next_attempt_at <= %s
                LIMIT {MANY}) AS older)
        FROM {own.sql}
        """,
        [moment(now), *own.params],
    )
    return {read_uuid(row[0]): int(row[1]) for row in rows}


def _behind(one: Candidate, room: Room, ahead: int) -> str:
    job = room.jobs[one.job_id]
    if ahead == 0 or job.running + ahead < job.max_concurrent:
        return ""
    number = f"{MANY} or more" if ahead >= MANY else str(ahead)
    return f"{number} older {'execution' if ahead == 1 else 'executions'} of the job to start first"


def _find_slot(one: Candidate, alive: Sequence[Worker]) -> Hold:
    """Nothing of ours holds it back: so a process must take it."""
    serving = [worker for worker in alive if worker.serves(one.queue)]
    if not alive:
        return Hold(words="a scheduler: no process that runs executions is alive")
    if not serving:
        return Hold(words=f"a scheduler that serves queue {one.queue}: none is alive")
    if not any(worker.free for worker in serving):
        slots = sum(worker.slots for worker in serving)
        return Hold(words=f"a free slot: all {slots} are busy", crowded=True)
    return Hold(words="the next look of a scheduler")
