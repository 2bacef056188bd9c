"""What the database fills in reads back as what Python would have written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.models.expressions import RawSQL
from django.utils import timezone

from accounts.models import User

pytestmark = pytest.mark.django_db


def insert_by_sql(email: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO users (email, password) VALUES (%s, '!')", [email])


def store_as_text(moment: datetime) -> str:
    text = connection.ops.adapt_datetimefield_value(moment)
    return str(text)


def test_a_row_by_plain_sql_is_complete() -> None:
    before = timezone.now() - timedelta(seconds=1)
    insert_by_sql("sql@example.com")
    user = User.objects.get(email="sql@example.com")
    assert user.id.version == 4
    assert user.is_active is True
    assert user.is_staff is False
    assert user.created_at.utcoffset() == timedelta(0)
    assert before < user.created_at < timezone.now() + timedelta(seconds=1)


def test_uuids_of_many_rows_differ_and_are_random_version_4() -> None:
    for number in range(200):
        insert_by_sql(f"{number}@example.com")
    ids = list(User.objects.values_list("id", flat=True))
    assert len(set(ids)) >= 200
    assert {found.version for found in ids} == {4}
    assert {str(found)[19] for found in ids} == set("89ab")


def test_a_uuid_by_the_database_is_found_by_its_value() -> None:
    insert_by_sql("sql@example.com")
    user = User.objects.get(email="sql@example.com")
    assert User.objects.filter(pk=user.pk).count() == 1


def test_times_of_both_sources_compare_as_times() -> None:
    insert_by_sql("sql@example.com")
    stored = User.objects.get(email="sql@example.com").created_at
    assert User.objects.filter(created_at=stored).exists()
    assert User.objects.filter(created_at__gt=stored - timedelta(microseconds=1)).exists()
    assert not User.objects.filter(created_at__gt=stored).exists()
    assert not User.objects.filter(created_at__lt=stored).exists()


def test_an_object_that_was_created_has_what_the_database_filled_in() -> None:
    user = User.objects.create(email="orm@example.com", password="!")
    assert isinstance(user.created_at, datetime)
    assert user.created_at == User.objects.get(pk=user.pk).created_at


def test_a_change_moves_updated_at_by_the_clock_of_the_database() -> None:
    user = User.objects.create(email="orm@example.com", password="!")
    User.objects.update(updated_at=datetime(2020, 1, 1, tzinfo=UTC))
    user.name = "Ada"
    user.save(update_fields=["name"])
    assert user.updated_at >= user.created_at


@pytest.mark.skipif(connection.vendor != "sqlite", reason="times are text in SQLite only")
@pytest.mark.parametrize("fraction", ["000", "001", "120", "999"])
def test_the_text_of_a_default_is_the_text_that_the_adapter_writes(fraction: str) -> None:
    default = User._meta.get_field("created_at").db_default
    assert default is not None
    template = type(default).sqlite_template.replace("'now'", f"'2026-01-20 10:00:00.{fraction}'")  # type: ignore[union-attr]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {template}")
        text = cursor.fetchone()[0]
    moment = datetime(2026, 1, 20, 10, 0, 0, int(fraction) * 1000, tzinfo=UTC)
    assert text == store_as_text(moment)


def test_the_default_works_inside_a_query_too() -> None:
    insert_by_sql("sql@example.com")
    default = User._meta.get_field("created_at").db_default
    row = User.objects.annotate(now_there=default, one=RawSQL("1", [])).first()
    assert row is not None
    assert row.created_at <= row.now_there
