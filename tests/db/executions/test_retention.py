"""What goes and what stays when history is deleted."""

from __future__ import annotations

import uuid
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import IdempotencyKey
from executions import horizons, retention
from executions.engine import clock
from executions.models import Attempt, DeadLetter, Execution, ExecutionLog, Status
from executions.retention import Surplus, prune_old_executions
from jobs.models import AuditEntry
from reports.models import ReportFile
from tests.db.executions.world import NOW, make_attempt, make_dead_letter, make_execution, make_job

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def ended(job: Any, days: float, **fields: Any) -> Execution:
    at = NOW - days * DAY
    given = {"status": Status.SUCCESS, "scheduled_at": at, "completed_at": at, **fields}
    return make_execution(job, **given)


def left() -> set[uuid.UUID]:
    return set(Execution.objects.values_list("id", flat=True))


def test_executions_older_than_the_limit_go_with_all_that_hangs_on_them(settings: Any) -> None:
    settings.RETENTION_DAYS = 90
    job = make_job()
    old, young = ended(job, 91), ended(job, 89)
    for execution in (old, young):
        make_attempt(execution)
        ExecutionLog.objects.create(execution=execution, log_level="INFO", message="line")
    report = ReportFile.objects.create(
        execution=old, job_id=job.id, name="r", data_date=NOW.date(), rows=0, bytes=0, sha256="0" * 64
    )
    assert prune_old_executions(NOW) == retention.Step(rows=1, more=False)
    assert left() == {young.id}
    assert set(Attempt.objects.values_list("execution_id", flat=True)) == {young.id}
    assert set(ExecutionLog.objects.values_list("execution_id", flat=True)) == {young.id}
    report.refresh_from_db()
    assert report.execution_id is None
    assert horizons.read([job.id]) == {job.id: old.scheduled_at}


def test_an_open_dead_letter_keeps_its_execution_until_it_is_resolved(settings: Any) -> None:
    settings.RETENTION_DAYS = 1
    job = make_job()
    failed = ended(job, 5, status=Status.FAILED)
    letter = make_dead_letter(failed)
    assert prune_old_executions(NOW).rows == 0
    assert Surplus().prune(NOW).rows == 0
    DeadLetter.objects.filter(id=letter.id).update(resolved=True)
    assert prune_old_executions(NOW).rows == 1
    assert not DeadLetter.objects.exists()


def test_what_has_not_ended_stays_however_old_it_is(settings: Any) -> None:
    settings.RETENTION_DAYS = 1
    settings.RETENTION_PER_JOB = 1
    job = make_job()
    for status in (Status.PENDING, Status.RETRYING, Status.RUNNING):
        make_execution(job, status=status, scheduled_at=NOW - 50 * DAY, trigger="manual")
    prune_old_executions(NOW)
    Surplus().prune(NOW)
    assert len(left()) == 3


def test_a_stretch_that_reaches_into_the_kept_time_stays(settings: Any) -> None:
    settings.RETENTION_DAYS = 10
    job = make_job()
    reaching = ended(job, 20, status=Status.SKIPPED, skipped_until=NOW - 5 * DAY, skipped_count=9)
    ended(job, 30, status=Status.SKIPPED, skipped_until=NOW - 21 * DAY, skipped_count=9)
    prune_old_executions(NOW)
    assert left() == {reaching.id}
    assert horizons.read([job.id]) == {job.id: NOW - 21 * DAY}


def test_no_step_deletes_more_than_its_bound_and_logs_count(settings: Any) -> None:
    settings.RETENTION_DAYS = 1
    job = make_job()
    for number in range(4):
        execution = ended(job, 9 - number)
        for _ in range(5):
            ExecutionLog.objects.create(execution=execution, log_level="INFO", message="line")
    sizes = []
    while True:
        before = Execution.objects.count() + ExecutionLog.objects.count()
        step = prune_old_executions(NOW, limit=6)
        sizes.append(before - Execution.objects.count() - ExecutionLog.objects.count())
        if not step.more:
            break
    assert left() == set()
    assert max(sizes) <= 2 * 6


def test_only_the_newest_of_each_job_stay(settings: Any) -> None:
    settings.RETENTION_DAYS = 0
    settings.RETENTION_PER_JOB = 3
    first, second = make_job(), make_job()
    kept = {ended(first, days).id for days in (1, 2, 3)} | {ended(second, 8).id}
    for days in (4, 5, 6):
        ended(first, days)
    surplus, steps = Surplus(), 0
    while surplus.prune(NOW, limit=2).more:
        steps += 1
    assert left() == kept
    assert steps >= 1
    assert prune_old_executions(NOW).rows == 0


@pytest.mark.parametrize("limit", [1, 2000])
def test_of_executions_with_one_fire_time_only_the_surplus_goes(settings: Any, limit: int) -> None:
    """An occurrence and its requeues, whose keys say nothing about their order."""
    settings.RETENTION_PER_JOB = 3
    job = make_job()
    triggers = ["schedule", "requeue", "requeue", "requeue", "requeue"]
    made = [
        ended(job, 1, trigger=trigger, created_at=NOW + number * DAY, id=uuid.UUID(int=number * 7 % 5))
        for number, trigger in enumerate(triggers)
    ]
    surplus = Surplus()
    while surplus.prune(NOW, limit=limit).more:
        pass
    assert left() == {execution.id for execution in made[2:]}
    assert horizons.read([job.id]) == {job.id: made[0].scheduled_at}


def test_what_was_made_at_one_moment_is_cut_by_key(settings: Any) -> None:
    settings.RETENTION_PER_JOB = 3
    job = make_job()
    for number in range(5):
        ended(job, 1, trigger="requeue", created_at=NOW, id=uuid.UUID(int=number))
    assert Surplus().prune(NOW).rows == 2
    assert left() == {uuid.UUID(int=number) for number in (2, 3, 4)}
    assert horizons.read([job.id]) == {}


def test_audit_entries_are_kept_unless_a_limit_is_set(settings: Any) -> None:
    for days in (40, 20, 1):
        AuditEntry.objects.create(action="UPDATED", changed_by="x", timestamp=NOW - days * DAY)
    assert retention.prune_audit(NOW).rows == 0
    settings.AUDIT_RETENTION_DAYS = 30
    assert retention.prune_audit(NOW).rows == 1
    assert AuditEntry.objects.count() == 2


def test_a_step_takes_the_same_number_of_statements_whatever_it_deletes(settings: Any) -> None:
    settings.RETENTION_DAYS = 1

    def count(executions: int) -> int:
        job = make_job()
        for number in range(executions):
            make_attempt(ended(job, 2 + number))
        with CaptureQueriesContext(connection) as found:
            assert prune_old_executions(NOW).rows == executions
        return len(found)

    assert count(1) == count(40)


def test_the_command_deletes_all_of_it_and_says_how_much(settings: Any) -> None:
    settings.RETENTION_DAYS = 90
    job = make_job()
    with clock.moved(lambda: NOW):
        ended(job, 100)
        ended(job, 101)
        IdempotencyKey.objects.create(key="k", body_hash="h", created_at=NOW - 2 * DAY)
        out = StringIO()
        call_command("prune", stdout=out)
    assert "executions by age: 2" in out.getvalue()
    assert "idempotency keys: 1" in out.getvalue()
    assert left() == set()
