"""Who may start now: pure judgements over counted limits."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from executions.engine.limits import Candidate, JobFacts, Room, SharedFacts, admit

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def make_candidate(job_id: int = 1, **fields: Any) -> Candidate:
    defaults: dict[str, Any] = {
        "id": uuid.uuid4(),
        "priority": 5,
        "due_at": NOON,
        "scheduled_at": NOON,
        "trigger": "schedule",
        "queue": "default",
    }
    return Candidate(job_id=job_id, **defaults | fields)


def make_job(key: int = 1, **fields: Any) -> JobFacts:
    defaults: dict[str, Any] = {
        "state": "active",
        "max_concurrent": 1,
        "overlap": "queue",
        "running": 0,
    }
    return JobFacts(id=key, **defaults | fields)


def make_room(*jobs: JobFacts, **fields: Any) -> Room:
    return Room(jobs={job.id: job for job in jobs}, **fields)


def test_the_higher_priority_goes_first_then_the_longer_due() -> None:
    late = make_candidate(1, due_at=NOON - timedelta(hours=1))
    early = make_candidate(2)
    urgent = make_candidate(3, priority=9)
    room = make_room(make_job(1), make_job(2), make_job(3))
    assert admit([early, late, urgent], room, slots=2).taken == [urgent, late]


def test_a_job_that_runs_one_at_a_time_gets_one_of_a_group() -> None:
    pair = [make_candidate(), make_candidate(due_at=NOON + timedelta(seconds=1))]
    admission = admit(pair, make_room(make_job()), slots=10)
    assert admission.taken == pair[:1]
    assert "1 of at most 1" in admission.held[pair[1].id]


def test_what_runs_already_counts() -> None:
    group = [make_candidate() for _ in range(5)]
    admission = admit(group, make_room(make_job(max_concurrent=4, running=2)), slots=10)
    assert len(admission.taken) == 2


def test_a_job_that_is_off_starts_nothing() -> None:
    for state in ("paused", "inactive", "deleted"):
        candidate = make_candidate()
        admission = admit([candidate], make_room(make_job(state=state)), slots=1)
        assert admission.held == {candidate.id: f"the job is {state}"}


def test_an_older_occurrence_waiting_for_its_retry_goes_first_unless_overlap_is_allowed() -> None:
    candidate = make_candidate()
    older = (NOON - timedelta(minutes=5),)
    queued = admit([candidate], make_room(make_job(retries=older)), slots=1)
    assert "waits for its retry" in queued.held[candidate.id]
    beside = admit([candidate], make_room(make_job(retries=older, overlap="allow")), slots=1)
    assert beside.taken == [candidate]


def test_a_newer_occurrence_waiting_for_its_retry_holds_nobody() -> None:
    newer = (NOON + timedelta(minutes=5),)
    assert admit([make_candidate()], make_room(make_job(retries=newer)), slots=1).taken


def test_a_manual_run_waits_for_running_ones_only() -> None:
    manual = make_candidate(trigger="manual")
    older = (NOON - timedelta(minutes=5),)
    assert admit([manual], make_room(make_job(retries=older)), slots=1).taken == [manual]
    assert admit([manual], make_room(make_job(running=1)), slots=1).taken == []


def test_the_rate_counts_what_started_in_the_last_minute() -> None:
    group = [make_candidate() for _ in range(5)]
    room = make_room(make_job(max_concurrent=100, rate=6, started=4))
    assert len(admit(group, room, slots=10).taken) == 2


def test_a_tags_limit_holds_for_its_jobs_together() -> None:
    tag = uuid.uuid4()
    jobs = [make_job(key, tags=(tag,)) for key in (1, 2, 3)]
    room = make_room(*jobs, tags={tag: SharedFacts(name="erp", max_concurrent=3, running=1)})
    admission = admit([make_candidate(key) for key in (1, 2, 3)], room, slots=10)
    assert len(admission.taken) == 2
    assert "tag erp" in next(iter(admission.held.values()))


def test_a_paused_queue_starts_nothing_and_others_go_on() -> None:
    room = make_room(make_job(1), make_job(2), queues={"slow": SharedFacts(name="slow", paused=True)})
    held, free = make_candidate(1, queue="slow"), make_candidate(2)
    admission = admit([held, free], room, slots=10)
    assert admission.taken == [free]
    assert admission.held == {held.id: "queue slow is paused"}


def test_the_switch_for_everything_stops_everything() -> None:
    room = make_room(make_job(), queues={"*": SharedFacts(name="*", paused=True)})
    candidate = make_candidate()
    assert admit([candidate], room, slots=1).held == {candidate.id: "all queues are paused"}


def test_the_limit_of_all_queues_counts_every_queue() -> None:
    room = make_room(
        make_job(1), make_job(2), queues={"*": SharedFacts(name="*", max_concurrent=2, running=1)}
    )
    group = [make_candidate(1, queue="a"), make_candidate(2, queue="b")]
    assert len(admit(group, room, slots=10).taken) == 1


def test_a_backfill_runs_at_most_so_many_of_its_own() -> None:
    batch = uuid.uuid4()
    group = [make_candidate(trigger="backfill", batch=batch, batch_limit=2) for _ in range(4)]
    room = make_room(make_job(max_concurrent=100), batches={batch: 1})
    assert len(admit(group, room, slots=10).taken) == 1


@pytest.mark.parametrize("delicate", ["lost", "at_most_once"])
def test_what_a_crash_must_not_take_along_uncalled_is_claimed_for_a_free_slot_only(delicate: str) -> None:
    """And what comes after it does not take the slots that would be its own."""
    first, second, third = (make_candidate(key, due_at=NOON + timedelta(seconds=key)) for key in (1, 2, 3))
    second.lost = int(delicate == "lost")
    room = make_room(make_job(1), make_job(2, at_most_once=delicate == "at_most_once"), make_job(3))
    ahead = admit([first, second, third], room, slots=10, free=1)
    assert (ahead.taken, ahead.held, ahead.closed) == ([first], {}, True)
    room = make_room(*room.jobs.values())
    at_once = admit([second, third], room, slots=10, free=1)
    assert (at_once.taken, at_once.closed) == ([second, third], False)


def test_a_delicate_one_that_a_limit_holds_back_keeps_no_slot_for_itself() -> None:
    held, free = make_candidate(1, lost=1), make_candidate(2, due_at=NOON + timedelta(seconds=1))
    room = make_room(make_job(1, state="paused"), make_job(2))
    admission = admit([held, free], room, slots=10, free=0)
    assert (admission.taken, admission.closed) == ([free], False)
