"""What an occurrence waits for, as its history says or what retention deleted of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from executions import horizons
from executions.engine.claimer import Claimer
from executions.models import Execution, Status
from executions.retention import Surplus
from jobs.models import Dependency, Job
from tests.db.executions.world import NOW, make_execution, make_job
from tests.factories import make_config

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def ended(job: Job, minutes: int, **fields: Any) -> Execution:
    """An execution that ended so long ago, at once."""
    at = NOW - minutes * MINUTE
    return make_execution(job, **{"status": Status.SUCCESS, "scheduled_at": at, "completed_at": at, **fields})


def make_chain() -> tuple[Job, Job]:
    """A job, and one that waits for it."""
    first, second = make_job(), make_job()
    Dependency.objects.create(job=second, depends_on=first)
    return first, second


def waits(job: Job, minutes: int = 0) -> Execution:
    at = NOW - minutes * MINUTE
    return make_execution(job, scheduled_at=at, next_attempt_at=at)


def started() -> set[Any]:
    found = Claimer(config=make_config()).claim(NOW, slots=10, confirmed=0)
    return {one.claim.execution_id for one in found.assignments}


def test_the_first_occurrence_takes_any_run_that_ever_was() -> None:
    first, second = make_chain()
    ended(first, 10_000)
    due = waits(second)
    assert started() == {due.id}


def test_an_occurrence_waits_for_a_run_since_the_one_before_it() -> None:
    first, second = make_chain()
    ended(first, 60)
    ended(second, 30)
    due = waits(second)
    assert started() == set()
    ended(first, 20)
    assert started() == {due.id}


def test_what_retention_deletes_makes_no_dependency_look_met(settings: Any) -> None:
    settings.RETENTION_PER_JOB = 3
    first, second = make_chain()
    ended(first, 60)
    previous = ended(second, 30)
    for minutes in (3, 2, 1):
        ended(second, minutes, trigger="manual")
    due = waits(second)
    Surplus().prune(NOW)
    assert not Execution.objects.filter(id=previous.id).exists()
    assert started() == set()
    ended(first, 20)
    assert started() == {due.id}


def test_deleted_runs_besides_the_schedule_count_for_nothing(settings: Any) -> None:
    settings.RETENTION_PER_JOB = 2
    first, second = make_chain()
    ended(first, 60)
    for minutes in (40, 30, 20, 10):
        ended(second, minutes, trigger="manual")
    due = waits(second)
    assert Surplus().prune(NOW).rows == 3
    assert started() == {due.id}


def test_an_older_horizon_gives_way_to_an_occurrence_that_is_left() -> None:
    first, second = make_chain()
    ended(first, 60)
    ended(second, 30)
    horizons.move({second.id: NOW - 90 * MINUTE})
    waits(second)
    assert started() == set()


def test_where_later_occurrences_are_gone_too_only_a_run_since_its_own_time_is_certain() -> None:
    first, second = make_chain()
    ended(first, 60)
    horizons.move({second.id: NOW - 5 * MINUTE})
    due = waits(second, 30)
    assert started() == set()
    ended(first, 30)
    assert started() == {due.id}


@pytest.mark.parametrize("pruned", [False, True])
def test_a_stretch_counts_up_to_its_last_fire_time_kept_or_deleted(pruned: bool) -> None:
    first, second = make_chain()
    until = NOW - 30 * MINUTE
    ended(first, 60)
    stretch = ended(second, 90, status=Status.SKIPPED, skipped_until=until, skipped_count=3)
    if pruned:
        horizons.move({second.id: until})
        stretch.delete()
    due = waits(second)
    assert started() == set()
    ended(first, 20)
    assert started() == {due.id}
