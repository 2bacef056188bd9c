"""Sample transactions: planted once, and arriving in the demo."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from jobs.models import Job
from reports.daily_report import rows_of
from reports.days import day_before, span_of_day
from reports.handlers import Arrivals, demo_transactions_arrive
from reports.models import Transaction
from reports.seed import arrive, plant_transactions
from tests.db.reports.world import make_run, make_transaction, statuses

pytestmark = pytest.mark.django_db

NOW = datetime(2025, 7, 20, 17, 18, tzinfo=UTC)


def test_a_thousand_transactions_are_planted_as_the_contract_says() -> None:
    assert plant_transactions(NOW) == 1000

    rows = list(Transaction.objects.all())
    assert len(rows) == 1000
    assert {row.type for row in rows} == {"credit", "debit"}
    assert {row.status for row in rows} == {"pending", "completed", "failed"}
    assert all(1000 <= row.amount <= 10_000 for row in rows)
    assert all(NOW - timedelta(hours=48) <= row.created_at < NOW for row in rows)
    assert len({row.consumer_id for row in rows}) == 1000


@pytest.mark.parametrize("hour", [0, 12, 23])
def test_every_hour_of_yesterday_has_some(hour: int) -> None:
    now = NOW.replace(hour=hour)
    plant_transactions(now)

    span = span_of_day(day_before(now, zone="UTC"), zone="UTC")
    assert {row.created_at.hour for row in rows_of(span)} == set(range(24))


def test_a_table_with_rows_is_left_alone() -> None:
    make_transaction()

    assert plant_transactions(NOW) == 0
    assert Transaction.objects.count() == 1


def test_planting_twice_plants_once() -> None:
    assert plant_transactions(NOW, count=10) == 10
    assert plant_transactions(NOW, count=10) == 0


def test_new_transactions_arrive_pending() -> None:
    assert arrive(NOW, 5) == 5
    assert statuses() == {"pending": 5}
    assert set(Transaction.objects.values_list("created_at", flat=True)) == {NOW}


def test_the_demo_handler_counts_what_arrived() -> None:
    result = demo_transactions_arrive(make_run(params=Arrivals(count=3)))

    assert (result.total, result.success) == (3, 3)
    assert statuses() == {"pending": 3}


@pytest.mark.parametrize("count", [0, -1, 10_001])
def test_the_demo_handler_has_bounds(count: int) -> None:
    with pytest.raises(ValueError, match="count: must be from 1 to 10000"):
        Arrivals(count=count)


def test_an_insert_by_hand_is_complete_without_key_and_times() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO transactions (type, amount, status) VALUES ('payment', 12.5, 'pending')")

    row = Transaction.objects.get()
    assert isinstance(row.pk, uuid.UUID)
    assert abs(datetime.now(UTC) - row.created_at) < timedelta(minutes=1)


@pytest.mark.parametrize(("column", "word"), [("type", "=cmd"), ("status", "done")])
def test_words_that_the_contract_does_not_know_are_refused(column: str, word: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make_transaction(**{column: word})


def test_the_call_of_the_demo_follows_it_to_another_port(settings: Any) -> None:
    settings.PORT = 18431
    call_command("seed", demo=True, verbosity=0)
    job = Job.objects.get(name="demo-http-call")
    settings.PORT = 18432
    call_command("seed", demo=True, verbosity=0)
    job.refresh_from_db()
    assert job.api_endpoint == "http://127.0.0.1:18432/dummy"
    Job.objects.filter(pk=job.pk).update(api_endpoint="http://example.com/hook")
    call_command("seed", demo=True, verbosity=0)
    job.refresh_from_db()
    assert job.api_endpoint == "http://example.com/hook"
