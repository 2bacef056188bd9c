"""The batch over transactions: complete all that are pending, chunk by chunk."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import connections, router
from django.db.models import QuerySet

from jobs.contract import Result, Run
from reports.batches import Swept, run_batch
from reports.days import Span, day_before, span_of_day
from reports.models import Transaction, TransactionStatus
from web.columns import DatabaseNow

# Small enough that a crash costs little, large enough that the commits do not show.
CHUNK_ROWS = 2000

# One chunk as one statement, for PostgreSQL. `complete` is the portable path with the same answers.
# ANY(ARRAY(…)) and not a join: it goes by the key's index whatever the planner thinks of the table.
COMPLETE_CHUNK = """
WITH chunk AS (
    SELECT id FROM transactions
     WHERE status = 'pending'
       AND created_at < %(end)s
       AND (%(start)s::timestamptz IS NULL OR created_at >= %(start)s)
       AND (%(after)s::uuid IS NULL OR id > %(after)s)
     ORDER BY id
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
), completed AS (
    UPDATE transactions SET status = 'completed', updated_at = statement_timestamp()
     WHERE id = ANY(ARRAY(SELECT id FROM chunk))
    RETURNING id
)
SELECT count(*), (SELECT id FROM chunk ORDER BY id DESC LIMIT 1) FROM completed
"""


class SimulatedError(Exception):
    """What `simulateFailureEvery` makes of every nth transaction."""


@dataclass(frozen=True)
class ProcessTransactions:
    """The parameters of `process-transactions`, by their names in the payload."""

    createdOn: str | None = None  # noqa: N815 - the name on the wire
    skipLimit: int | None = None  # noqa: N815
    simulateFailureEvery: int | None = None  # noqa: N815

    def __post_init__(self) -> None:
        problems = []
        if self.createdOn is not None and self.createdOn != "yesterday" and _read_day(self.createdOn) is None:
            problems.append("createdOn: must be yesterday or a date such as 2025-07-18")
        for name in ("skipLimit", "simulateFailureEvery"):
            value = getattr(self, name)
            if value is not None and value < 1:
                problems.append(f"{name}: must be at least 1")
        if problems:
            raise ValueError("; ".join(problems))


def process_transactions(run: Run, params: ProcessTransactions) -> Result:
    """Complete the pending transactions created before the fire time, in key order.

    `createdOn` narrows them to a day in the job's zone. Totals count transactions.
    """
    span = _span(run, params)
    every = params.simulateFailureEvery
    return run_batch(
        run,
        pending(span),
        process=None if every is None else _failing(every),
        write=complete,
        sweep=_sweep(span) if every is None else None,
        chunk_rows=CHUNK_ROWS,
        skip_limit=params.skipLimit,
    )


def pending(span: Span) -> QuerySet[Transaction]:
    """The pending transactions created in a span of time; only their keys are read."""
    rows = Transaction.objects.filter(status=TransactionStatus.PENDING, created_at__lt=span.end)
    if span.start is not None:
        rows = rows.filter(created_at__gte=span.start)
    return rows.only("pk")


def complete(transactions: Sequence[Transaction]) -> int:
    """Complete these transactions, as far as they are still pending; answers how many."""
    return Transaction.objects.filter(
        pk__in=[transaction.pk for transaction in transactions], status=TransactionStatus.PENDING
    ).update(status=TransactionStatus.COMPLETED, updated_at=DatabaseNow())


def _span(run: Run, params: ProcessTransactions) -> Span:
    if params.createdOn is None:
        return Span(end=run.scheduled_at)
    day = _read_day(params.createdOn) or day_before(run.scheduled_at, zone=run.job.zone)
    whole = span_of_day(day, zone=run.job.zone)
    return Span(start=whole.start, end=min(whole.end, run.scheduled_at))


def _read_day(text: str) -> date | None:
    """A day as `2025-07-18`, or None for anything else."""
    try:
        return date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else None
    except ValueError:
        return None


def _failing(every: int) -> Callable[[Transaction], None]:
    """A check that refuses every nth transaction it sees."""
    seen = 0

    def check(transaction: Transaction) -> None:
        nonlocal seen
        seen += 1
        if seen % every == 0:
            raise SimulatedError(f"Simulated processing error on transaction-id {transaction.pk}")

    return check


def _sweep(span: Span) -> Callable[[Any, int], Swept] | None:
    """A chunk in one statement where the database can (PostgreSQL)."""
    connection = connections[router.db_for_write(Transaction)]
    if connection.vendor != "postgresql":
        return None

    def sweep(after: Any, limit: int) -> Swept:
        with connection.cursor() as cursor:
            cursor.execute(
                COMPLETE_CHUNK, {"start": span.start, "end": span.end, "after": after, "limit": limit}
            )
            count, last = cursor.fetchone()
        return Swept(count=count, last=last)

    return sweep
