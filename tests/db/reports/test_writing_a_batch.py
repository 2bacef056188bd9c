"""The example of docs/writing-a-batch.md, as it stands there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from jobs.registry import handlers
from tests.db.reports.world import FIRE_TIME, make_run, make_transaction, make_transactions, statuses

pytestmark = pytest.mark.django_db

PAGE = Path(__file__).parents[3] / "docs" / "writing-a-batch.md"


@pytest.fixture
def example() -> Iterator[str]:
    """The code of the page, with its handler registered."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), {"__name__": "example"})
    yield code
    handlers.unregister("expire-transactions")


def test_the_example_does_what_the_page_says(example: str) -> None:
    old = FIRE_TIME - timedelta(days=31)
    make_transactions(5, created_at=old, amount=Decimal(100))
    make_transactions(3, amount=Decimal(100))
    large = make_transaction(created_at=old, amount=Decimal(9001))

    result = handlers.get("expire-transactions").function(make_run())

    assert result is not None
    assert (result.total, result.success, result.failure) == (6, 5, 1)
    assert result.reason == f"transaction {large.pk}: too large to expire unseen"
    assert statuses() == {"failed": 5, "pending": 4}


def test_the_work_of_the_example_is_written_in_twenty_lines(example: str) -> None:
    own = [line for line in example.splitlines() if line.strip() and "import" not in line]

    assert len(own) <= 20
