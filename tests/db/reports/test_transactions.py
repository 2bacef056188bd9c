"""process-transactions: which rows, in what order, with which totals and messages."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from executions.models import Execution
from jobs.contract import Result, Stopped
from reports import transactions
from reports.days import Span
from reports.models import Transaction
from reports.transactions import ProcessTransactions, complete, pending, process_transactions
from tests.db.reports.world import (
    BEFORE,
    FIRE_TIME,
    committed_totals,
    in_thread,
    make_execution,
    make_run,
    make_transaction,
    make_transactions,
    refuse_updates_of,
    statuses,
    updates_counted,
)

pytestmark = pytest.mark.django_db
committing = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "CHUNK_ROWS", 10)


@pytest.fixture(params=["one statement", "portable"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to complete a chunk, which must give the same answers."""
    if request.param == "portable":
        monkeypatch.setattr(transactions, "_sweep", lambda span: None)
    elif connection.vendor != "postgresql":
        pytest.skip("a statement of PostgreSQL")


def process(run: Any = None, **params: Any) -> Result:
    return process_transactions(run or make_run(), ProcessTransactions(**params))


def keys(**fields: Any) -> list[uuid.UUID]:
    return sorted(Transaction.objects.filter(**fields).values_list("pk", flat=True))


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 35])
def test_every_pending_transaction_is_completed(count: int) -> None:
    make_transactions(count)

    result = process()

    assert (result.total, result.success, result.failure, result.reason) == (count, count, 0, "")
    assert statuses() == ({"completed": count} if count else {})


@pytest.mark.usefixtures("path")
def test_a_completed_transaction_says_when() -> None:
    make_transactions(3)

    process()

    for row in Transaction.objects.all():
        assert row.created_at == BEFORE
        assert abs(datetime.now(UTC) - row.updated_at) < timedelta(minutes=1)


@pytest.mark.usefixtures("path")
def test_other_statuses_and_later_transactions_are_left_alone() -> None:
    make_transactions(4, status="failed")
    make_transactions(3, status="completed")
    late = make_transaction(created_at=FIRE_TIME)
    early = make_transaction(created_at=FIRE_TIME - timedelta(microseconds=1))

    result = process()

    assert result.total == 1
    assert statuses() == {"failed": 4, "completed": 4, "pending": 1}
    late.refresh_from_db()
    early.refresh_from_db()
    assert (late.status, early.status) == ("pending", "completed")
    assert Transaction.objects.filter(status="completed", updated_at=BEFORE).count() == 3


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("created_on", "zone", "first", "end"),
    [
        ("yesterday", "UTC", "2025-07-19T00:00:00+00:00", "2025-07-20T00:00:00+00:00"),
        ("yesterday", "Asia/Tokyo", "2025-07-19T15:00:00+00:00", "2025-07-20T15:00:00+00:00"),
        ("2025-07-18", "America/New_York", "2025-07-18T04:00:00+00:00", "2025-07-19T04:00:00+00:00"),
        ("2025-03-30", "Europe/Berlin", "2025-03-29T23:00:00+00:00", "2025-03-30T22:00:00+00:00"),
        # what was created after the fire time is not there yet
        ("2025-07-20", "UTC", "2025-07-20T00:00:00+00:00", "2025-07-20T17:18:00+00:00"),
    ],
)
def test_a_day_narrows_the_batch_in_the_zone_of_the_job(
    created_on: str, zone: str, first: str, end: str
) -> None:
    start, stop = datetime.fromisoformat(first), datetime.fromisoformat(end)
    tick = timedelta(microseconds=1)
    inside = [make_transaction(created_at=moment).pk for moment in (start, stop - tick)]
    outside = [make_transaction(created_at=moment).pk for moment in (start - tick, stop)]

    result = process(make_run(zone=zone), createdOn=created_on)

    assert result.total == 2
    assert keys(status="completed") == sorted(inside)
    assert keys(status="pending") == sorted(outside)


@pytest.mark.usefixtures("path")
def test_transactions_are_completed_in_key_order() -> None:
    make_transactions(30)
    run = make_run(execution := make_execution())
    save = run.save

    def stop_after_two_chunks(progress: Any) -> None:
        save(progress)
        if progress.processed == 20:
            run.stop.set()  # type: ignore[attr-defined]  # an Event in tests

    run.save = stop_after_two_chunks
    with pytest.raises(Stopped):
        process(run)

    assert keys(status="completed") == keys()[:20]
    assert committed_totals(execution) == (20, 20, 0)


@pytest.mark.usefixtures("path")
def test_a_transaction_that_the_database_refuses_fails_alone() -> None:
    make_transactions(35)
    bad = keys()[13]
    refuse_updates_of(bad)

    result = process()

    assert (result.total, result.success, result.failure) == (35, 34, 1)
    assert result.reason.startswith(f"transaction {bad}: ")
    assert "this one is refused" in result.reason
    assert statuses() == {"completed": 34, "pending": 1}


def test_simulated_failures_name_their_transactions_and_leave_them_pending() -> None:
    make_transactions(35)

    result = process(simulateFailureEvery=10)

    failing = keys()[9::10]
    assert (result.total, result.success, result.failure) == (35, 32, 3)
    assert result.reason.split("\n") == [
        f"Simulated processing error on transaction-id {key}" for key in failing
    ]
    assert keys(status="pending") == failing


def test_every_transaction_can_fail() -> None:
    make_transactions(12)

    result = process(simulateFailureEvery=1)

    assert (result.total, result.success, result.failure) == (12, 0, 12)
    assert statuses() == {"pending": 12}


def test_the_skip_limit_ends_the_run_at_the_nth_error() -> None:
    make_transactions(35)

    result = process(simulateFailureEvery=5, skipLimit=2)

    assert (result.total, result.success, result.failure) == (10, 8, 2)
    assert statuses() == {"completed": 8, "pending": 27}


@pytest.mark.usefixtures("path")
def test_a_worker_that_lost_its_claim_completes_nothing_more() -> None:
    make_transactions(30)
    execution = make_execution()
    run = make_run(execution)
    Execution.objects.filter(pk=execution.pk).update(token=uuid.uuid4())

    with pytest.raises(Stopped):
        process(run)

    assert statuses() == {"pending": 30}


@committing
@pytest.mark.usefixtures("path")
def test_two_runs_share_the_work_and_complete_each_transaction_once() -> None:
    make_transactions(400)
    barrier = threading.Barrier(2)
    runs = [make_run(), make_run()]

    def work(run: Any) -> Any:
        def body() -> Result:
            barrier.wait(timeout=30)
            return process(run)

        return body

    with updates_counted() as counts, in_thread(work(runs[0])) as one, in_thread(work(runs[1])) as two:
        pass

    assert counts == dict.fromkeys(keys(), 1)
    assert one[0].success + two[0].success == 400


def test_a_transaction_that_is_not_pending_any_more_is_not_completed_again() -> None:
    row = make_transaction(status="failed")

    assert complete([row]) == 0
    assert statuses() == {"failed": 1}


def test_only_keys_are_read_for_the_batch() -> None:
    make_transaction()
    (row,) = pending(Span(end=FIRE_TIME))

    assert row.get_deferred_fields() == {
        "type", "amount", "status", "consumer_id", "created_at", "updated_at",
    }  # fmt: skip


def test_the_chunk_is_found_by_the_index_of_pending_keys() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("a plan of PostgreSQL")
    make_transactions(3000, status="completed")
    make_transactions(50)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE transactions")
        cursor.execute(
            "EXPLAIN " + transactions.COMPLETE_CHUNK,
            {"start": None, "end": FIRE_TIME, "after": uuid.UUID(int=1), "limit": 10},
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "transactions_pending_key" in plan
    assert "Sort" not in plan.partition("CTE completed")[0]
