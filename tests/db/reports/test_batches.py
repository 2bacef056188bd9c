"""The chunk helper: checkpoints, isolation, skip limit, stop, and several workers on one batch."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet

from executions.models import Execution
from jobs.contract import PermanentError, Progress, Stopped
from reports import batches
from reports.batches import run_batch
from reports.models import Transaction
from tests.db.reports.world import (
    Lines,
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
# For tests in which somebody else must see what was committed.
committing = pytest.mark.django_db(transaction=True)


def pending() -> QuerySet[Transaction]:
    return Transaction.objects.filter(status="pending")


def complete(rows: Sequence[Transaction]) -> None:
    Transaction.objects.filter(pk__in=[row.pk for row in rows]).update(status="completed")


def keys() -> list[uuid.UUID]:
    return sorted(Transaction.objects.values_list("pk", flat=True))


def only_where_rows_are_locked() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")


def test_an_empty_batch_succeeds_with_nothing_done() -> None:
    result = run_batch(make_run(), pending(), write=complete)

    assert (result.total, result.success, result.failure, result.reason) == (0, 0, 0, "")


@pytest.mark.parametrize("count", [1, 9, 10, 11, 25])
def test_every_row_is_written_once_in_key_order(count: int) -> None:
    make_transactions(count)
    written: list[uuid.UUID] = []

    def write(rows: Sequence[Transaction]) -> None:
        written.extend(row.pk for row in rows)
        complete(rows)

    result = run_batch(make_run(), pending(), write=write, chunk_rows=10)

    assert written == keys()
    assert (result.total, result.success, result.failure) == (count, count, 0)
    assert statuses() == {"completed": count}


def test_each_chunk_is_committed_together_with_its_totals() -> None:
    make_transactions(25)
    execution = make_execution()
    seen: list[tuple[int, int, int]] = []

    def write(rows: Sequence[Transaction]) -> None:
        done = Transaction.objects.filter(status="completed").count()
        assert committed_totals(execution) == (done, done, 0)
        seen.append(committed_totals(execution))
        complete(rows)

    run_batch(make_run(execution), pending(), write=write, chunk_rows=10)

    assert seen == [(0, 0, 0), (10, 10, 0), (20, 20, 0)]
    assert committed_totals(execution) == (25, 25, 0)


def test_a_row_that_process_refuses_fails_alone() -> None:
    make_transactions(25)
    bad = keys()[12]

    def process(row: Transaction) -> None:
        if row.pk == bad:
            raise ValueError("no such consumer")

    result = run_batch(make_run(), pending(), process=process, write=complete, chunk_rows=10)

    assert (result.total, result.success, result.failure) == (25, 24, 1)
    assert result.reason == f"transaction {bad}: no such consumer"
    assert statuses() == {"completed": 24, "pending": 1}
    assert Transaction.objects.get(pk=bad).status == "pending"


def test_a_row_that_the_database_refuses_fails_alone() -> None:
    make_transactions(25)
    refuse_updates_of(keys()[3], keys()[12])
    groups: list[int] = []

    def write(rows: Sequence[Transaction]) -> None:
        groups.append(len(rows))
        complete(rows)

    result = run_batch(make_run(), pending(), write=write, chunk_rows=10)

    assert (result.total, result.success, result.failure) == (25, 23, 2)
    assert str(keys()[3]) in result.reason
    assert "this one is refused" in result.reason
    assert statuses() == {"completed": 23, "pending": 2}
    # two chunks were redone row by row, the third was not
    assert groups == [10, *[1] * 10, 10, *[1] * 10, 5]


def test_a_failed_row_is_not_read_again_in_this_run() -> None:
    make_transactions(25)
    read: list[uuid.UUID] = []

    def process(row: Transaction) -> None:
        read.append(row.pk)
        raise ValueError("never")

    result = run_batch(make_run(), pending(), process=process, write=complete, chunk_rows=10)

    assert read == keys()
    assert (result.total, result.success, result.failure) == (25, 0, 25)


def test_the_first_hundred_messages_are_kept() -> None:
    make_transactions(130)

    def process(row: Transaction) -> None:
        raise ValueError(f"bad {row.pk}")

    result = run_batch(make_run(), pending(), process=process, write=complete, chunk_rows=50)

    assert result.reason.split("\n") == [f"bad {key}" for key in keys()[:100]]
    assert result.failure == 130


def test_an_error_without_words_is_named_by_its_kind() -> None:
    row = make_transaction()

    def process(_: Transaction) -> None:
        raise KeyError

    result = run_batch(make_run(), pending(), process=process, write=complete)

    assert result.reason == f"transaction {row.pk}: KeyError"


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_the_skip_limit_ends_the_run_at_that_failure(limit: int) -> None:
    make_transactions(40)
    odd = keys()[1::2]
    run = make_run()

    def process(row: Transaction) -> None:
        if row.pk in odd:
            raise ValueError("odd")

    result = run_batch(run, pending(), process=process, write=complete, chunk_rows=10, skip_limit=limit)

    assert (result.total, result.success, result.failure) == (2 * limit, limit, limit)
    assert statuses() == {"completed": limit, "pending": 40 - limit}
    assert isinstance(run.log, Lines)
    assert run.log.said == [("WARN", "ended at the skip limit")]


def test_the_skip_limit_holds_for_rows_that_the_database_refuses() -> None:
    make_transactions(20)
    refuse_updates_of(*keys()[5:])

    result = run_batch(make_run(), pending(), write=complete, chunk_rows=10, skip_limit=3)

    assert (result.success, result.failure) == (5, 3)
    assert statuses() == {"completed": 5, "pending": 15}


def test_a_skip_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="skip_limit"):
        run_batch(make_run(), pending(), write=complete, skip_limit=0)


def test_a_stop_between_chunks_keeps_what_is_committed() -> None:
    make_transactions(30)
    run = make_run(execution := make_execution())

    def write(rows: Sequence[Transaction]) -> None:
        complete(rows)
        if statuses().get("completed") == 20:
            run.stop.set()  # type: ignore[attr-defined]  # an Event in tests

    with pytest.raises(Stopped) as caught:
        run_batch(run, pending(), write=write, chunk_rows=10)

    assert caught.value.totals == (20, 20, 0)
    assert statuses() == {"completed": 20, "pending": 10}
    assert committed_totals(execution) == (20, 20, 0)


def test_a_stop_inside_a_chunk_of_slow_rows_waits_for_one_row_only() -> None:
    make_transactions(30)
    run = make_run()
    seen: list[uuid.UUID] = []

    def process(row: Transaction) -> None:
        seen.append(row.pk)
        if len(seen) == 4:
            run.stop.set()  # type: ignore[attr-defined]  # an Event in tests

    with pytest.raises(Stopped):
        run_batch(run, pending(), process=process, write=complete, chunk_rows=10)

    assert len(seen) == 4
    assert statuses() == {"completed": 4, "pending": 26}


def test_a_chunk_of_slow_rows_is_committed_early(monkeypatch: pytest.MonkeyPatch) -> None:
    make_transactions(10)
    monkeypatch.setattr(batches, "CHUNK_SECONDS", 0.0)
    seen: list[int] = []

    def process(_: Transaction) -> None:
        seen.append(statuses().get("completed", 0))

    result = run_batch(make_run(), pending(), process=process, write=complete, chunk_rows=10)

    assert seen == list(range(10))
    assert (result.total, result.success) == (10, 10)


def test_a_worker_that_lost_its_claim_rolls_its_chunk_back() -> None:
    make_transactions(30)
    execution = make_execution()

    def write(rows: Sequence[Transaction]) -> None:
        complete(rows)
        if statuses().get("completed") == 20:
            Execution.objects.filter(pk=execution.pk).update(token=uuid.uuid4())

    with pytest.raises(Stopped):
        run_batch(make_run(execution), pending(), write=write, chunk_rows=10)

    assert statuses() == {"completed": 10, "pending": 20}
    assert committed_totals(execution) == (10, 10, 0)


class Killed(BaseException):
    """Ends a run the way a killed process would: nothing of ours catches it."""


@pytest.mark.parametrize("dies_at", [1, 11, 15, 20, 25])
def test_after_a_crash_the_next_attempt_does_the_rest_and_the_totals_are_true(dies_at: int) -> None:
    make_transactions(25)
    bad = keys()[4]
    execution = make_execution()
    seen = 0

    def process(row: Transaction) -> None:
        nonlocal seen
        seen += 1
        if seen == dies_at:
            raise Killed
        if row.pk == bad:
            raise ValueError("bad")

    with updates_counted() as counts:
        with pytest.raises(Killed):
            run_batch(make_run(execution), pending(), process=process, write=complete, chunk_rows=10)
        processed, success, failure = committed_totals(execution)
        again = make_run(execution, committed=Progress(processed=processed, success=success, failure=failure))
        result = run_batch(again, pending(), process=process, write=complete, chunk_rows=10)

    # at most one chunk is worked on twice, and none is written twice
    assert seen <= 25 + 10 + 1
    assert counts == {key: 1 for key in keys() if key != bad}
    assert (result.total, result.success, result.failure) == (25, 24, 1)
    assert committed_totals(execution) == (25, 24, 1)


def test_a_lost_connection_ends_the_attempt_and_blames_no_row() -> None:
    make_transactions(20)

    def write(rows: Sequence[Transaction]) -> None:
        complete(rows)
        raise OperationalError("server closed the connection unexpectedly")

    with pytest.raises(OperationalError):
        run_batch(make_run(), pending(), write=write, chunk_rows=10)
    assert statuses() == {"pending": 20}


def test_what_a_handler_says_of_the_attempt_is_not_taken_for_a_row_error() -> None:
    make_transactions(20)

    def process(_: Transaction) -> None:
        raise PermanentError("the ledger is closed")

    with pytest.raises(PermanentError):
        run_batch(make_run(), pending(), process=process, write=complete)


class Clash(Exception):
    sqlstate = "40P01"


@pytest.mark.parametrize(("clashes", "passes"), [(1, True), (2, True), (3, False)])
def test_a_chunk_that_meets_a_deadlock_is_tried_three_times(clashes: int, passes: bool) -> None:
    make_transactions(5)
    tries = 0

    def write(rows: Sequence[Transaction]) -> None:
        nonlocal tries
        tries += 1
        complete(rows)
        if tries <= clashes:
            raise OperationalError("deadlock detected") from Clash()

    if passes:
        assert run_batch(make_run(), pending(), write=write).success == 5
    else:
        with pytest.raises(OperationalError):
            run_batch(make_run(), pending(), write=write)
    assert statuses() == ({"completed": 5} if passes else {"pending": 5})


def test_progress_is_told_after_every_chunk_with_the_total_known_up_front() -> None:
    make_transactions(25)
    told: list[Progress] = []

    run_batch(make_run(report=told.append), pending(), write=complete, chunk_rows=10)

    assert [(step.processed, step.total) for step in told] == [(0, 25), (10, 25), (20, 25), (25, 25)]


def test_progress_goes_on_from_what_an_earlier_attempt_committed() -> None:
    make_transactions(5)
    told: list[Progress] = []

    result = run_batch(
        make_run(report=told.append, committed=Progress(processed=20, success=18, failure=2)),
        pending(),
        write=complete,
    )

    assert [(step.processed, step.total) for step in told] == [(18, 23), (23, 23)]
    assert (result.total, result.success, result.failure) == (23, 23, 0)


@committing
def test_a_batch_inside_a_transaction_is_refused_because_nothing_would_be_committed() -> None:
    make_transaction()

    with transaction.atomic(), pytest.raises(RuntimeError):
        run_batch(make_run(), pending(), write=complete)


def run_beside(barrier: threading.Barrier, rows: Any, **options: Any) -> Any:
    """A batch in this thread, started together with the others."""
    execution = make_execution()

    def work() -> Any:
        barrier.wait(timeout=30)
        return run_batch(make_run(execution), rows, **options)

    return work


@committing
def test_two_workers_share_a_batch_and_touch_no_row_twice() -> None:
    make_transactions(600)
    barrier = threading.Barrier(2)

    with (
        updates_counted() as counts,
        in_thread(run_beside(barrier, pending(), write=complete, chunk_rows=20)) as first,
        in_thread(run_beside(barrier, pending(), write=complete, chunk_rows=20)) as second,
    ):
        pass

    assert counts == dict.fromkeys(keys(), 1)
    assert first[0].success + second[0].success == 600
    assert first[0].failure + second[0].failure == 0


@committing
def test_rows_that_another_run_holds_are_left_to_it_and_looked_at_again_at_the_end() -> None:
    only_where_rows_are_locked()
    make_transactions(30)
    held, release, reached = keys()[5:10], threading.Event(), threading.Event()
    written: list[uuid.UUID] = []

    def holder() -> None:
        with transaction.atomic():
            list(Transaction.objects.filter(pk__in=held).select_for_update())
            reached.set()
            release.wait(timeout=30)
            transaction.set_rollback(True)  # it dies: its rows stay pending

    def write(rows: Sequence[Transaction]) -> None:
        written.extend(row.pk for row in rows)
        complete(rows)
        if len(written) == 25:
            release.set()

    with in_thread(holder):
        assert reached.wait(timeout=30)
        result = run_batch(make_run(), pending(), write=write, chunk_rows=10)

    assert written == [key for key in keys() if key not in held] + held
    assert (result.total, result.success) == (30, 30)
    assert statuses() == {"completed": 30}


@committing
def test_the_second_look_leaves_alone_what_failed_in_the_first() -> None:
    only_where_rows_are_locked()
    make_transactions(30)
    held, bad = keys()[5], keys()[20]
    release, reached = threading.Event(), threading.Event()
    tried: list[uuid.UUID] = []

    def holder() -> None:
        with transaction.atomic():
            list(Transaction.objects.filter(pk=held).select_for_update())
            reached.set()
            release.wait(timeout=30)

    def process(row: Transaction) -> None:
        tried.append(row.pk)
        if len(tried) == 29:
            release.set()
        if row.pk == bad:
            raise ValueError("bad")

    with in_thread(holder):
        assert reached.wait(timeout=30)
        result = run_batch(make_run(), pending(), process=process, write=complete, chunk_rows=10)

    assert sorted(tried) == keys()
    assert (result.total, result.success, result.failure) == (30, 29, 1)


@committing
def test_a_batch_lets_other_writers_in_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite a chunk holds the only write lock, and the next one follows at once."""
    make_transactions(6)
    monkeypatch.setattr(batches, "CHUNK_SECONDS", 0.0)
    run, other = make_run(), make_execution()
    done = threading.Event()
    done_at_row: list[bool] = []

    def beside() -> None:
        Execution.objects.filter(pk=other.pk).update(total_processed=7)
        done.set()

    with ExitStack() as stack:

        def process(_: Transaction) -> None:
            if not done_at_row:
                stack.enter_context(in_thread(beside))
            done.wait(timeout=0.05)
            done_at_row.append(done.is_set())

        run_batch(run, pending(), process=process, write=complete)

    assert len(done_at_row) == 6
    assert done_at_row[-1]
