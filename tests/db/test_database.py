"""What the running database says about the way it was connected to."""

from __future__ import annotations

import pytest
from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db import connection

pytestmark = pytest.mark.django_db


def answer(statement: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
    assert row is not None
    return row[0]


def only_on(vendor: str) -> None:
    if connection.vendor != vendor:
        pytest.skip(f"a matter of {vendor}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("client_connection_check_interval", "1s"),
        ("TimeZone", "UTC"),
        ("application_name", "scheduler"),
    ],
)
def test_postgresql_frees_what_a_dead_client_holds(name: str, value: str) -> None:
    only_on("postgresql")

    assert answer(f"SHOW {name}") == value


@pytest.mark.parametrize(
    ("name", "value"), [("journal_mode", "wal"), ("synchronous", 1), ("foreign_keys", 1)]
)
def test_sqlite_lets_readers_work_beside_one_writer(name: str, value: object) -> None:
    only_on("sqlite")

    assert answer(f"PRAGMA {name}") == value


def test_sqlite_waits_for_the_lock_when_a_transaction_begins() -> None:
    only_on("sqlite")

    assert answer("PRAGMA busy_timeout") == 20_000
    assert connection.transaction_mode == "IMMEDIATE"  # type: ignore[attr-defined]


def test_the_server_is_new_enough_for_what_we_ask_of_it() -> None:
    if connection.vendor == "sqlite":
        text = str(answer("SELECT sqlite_version()"))
        assert tuple(int(part) for part in text.split(".")[:2]) >= (3, 35)
    else:
        assert int(str(answer("SHOW server_version_num"))) >= 140_000


def test_a_migration_may_think_for_longer_than_a_transaction_may_idle() -> None:
    only_on("postgresql")

    emit_pre_migrate_signal(0, False, "default")
    assert answer("SHOW idle_in_transaction_session_timeout") == "0"
    emit_post_migrate_signal(0, False, "default")
    assert answer("SHOW idle_in_transaction_session_timeout") == "10s"
