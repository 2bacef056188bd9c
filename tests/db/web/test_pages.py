"""A page is the same rows whichever way it is fetched."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from web.api.pages import Page, fetch_page

pytestmark = pytest.mark.django_db

COUNT = 450


@pytest.fixture
def rows() -> Any:
    now = timezone.now()
    User.objects.bulk_create(
        User(email=f"{number}@example.com", password="!", created_at=now - timedelta(minutes=number // 3))
        for number in range(COUNT)
    )
    return User.objects.order_by("-created_at", "id")


def page(number: int, limit: int) -> Page:
    return Page(number=number, limit=limit, envelope=True)


@pytest.mark.parametrize("limit", [7, 10, 100])
def test_all_pages_together_are_all_rows_in_order(rows: Any, limit: int) -> None:
    fetched = [
        row.pk
        for number in range(1, COUNT // limit + 2)
        for row in fetch_page(rows, page(number, limit), total=COUNT)
    ]
    assert fetched == list(rows.values_list("pk", flat=True))


def test_a_page_beyond_the_last_asks_nothing(rows: Any, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert fetch_page(rows, page(1_000_000_000, 100), total=COUNT) == []


def test_a_deep_page_reads_whole_rows_only_for_itself(rows: Any) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        fetched = fetch_page(rows.prefetch_related("groups"), page(44, 10), total=COUNT)
    keys, whole, *_groups = [query["sql"] for query in queries]
    assert "email" not in keys
    # Page 44 of 45 is nearer to the end: 20 rows from there, not 440 from the start.
    assert "LIMIT 10 OFFSET 10" in keys
    assert "OFFSET" not in whole
    assert len(fetched) == 10


def test_filters_and_joins_survive_the_second_query(rows: Any) -> None:
    group = Group.objects.get(name="viewers")
    group.user_set.add(*rows[:300])
    found = rows.filter(groups=group)
    assert fetch_page(found, page(30, 10), total=300) == list(found[290:300])
