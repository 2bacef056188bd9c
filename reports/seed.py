"""Sample transactions: for an empty table, and as a stream of new ones in the demo."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from reports.models import Transaction, TransactionStatus, TransactionType

SPREAD = timedelta(hours=48)
ROWS_AT_ONCE = 1000


def plant_transactions(now: datetime, count: int = 1000) -> int:
    """Put sample transactions into the table if it is empty; answers how many were put.

    Credits and debits of 1,000 to 10,000 in any status, created in the 48 hours before `now` (aware),
    so that all of yesterday has some.
    """
    if Transaction.objects.exists():
        return 0
    step = SPREAD / count if count else SPREAD
    return _put(
        _transaction(created_at=now - step * (number + 1), status=random.choice(TransactionStatus.values))
        for number in range(count)
    )


def arrive(now: datetime, count: int) -> int:
    """Let `count` new pending transactions arrive, created at `now` (aware); answers how many."""
    return _put(_transaction(created_at=now, status=TransactionStatus.PENDING) for _ in range(count))


def _transaction(*, created_at: datetime, status: str) -> Transaction:
    return Transaction(
        type=random.choice((TransactionType.CREDIT, TransactionType.DEBIT)),
        amount=Decimal(random.randint(1_000_00, 10_000_00)) / 100,
        status=status,
        consumer_id=uuid.uuid4(),
        created_at=created_at,
        updated_at=created_at,
    )


def _put(transactions: Iterator[Transaction]) -> int:
    return len(Transaction.objects.bulk_create(transactions, batch_size=ROWS_AT_ONCE))
