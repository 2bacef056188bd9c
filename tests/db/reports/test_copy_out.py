"""COPY in blocks: every line once, errors as Django's, and a connection that is usable afterwards."""

from __future__ import annotations

from contextlib import closing

import pytest
from django.db import DataError, OperationalError, connection

from reports.copy_out import copied_blocks

# Outside a transaction, as a handler runs.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _only_postgresql() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("COPY is PostgreSQL's")


def answer() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 42")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 25_000])
def test_every_line_comes_once_and_in_order(count: int) -> None:
    statement = f"COPY (SELECT n FROM generate_series(1, {count}) AS n) TO STDOUT"

    blocks = list(copied_blocks(connection, statement, {}, at_once=10))

    whole = b"".join(block for block, _ in blocks)
    assert whole == b"".join(b"%d\n" % number for number in range(1, count + 1))
    assert all(block.count(b"\n") == lines for block, lines in blocks)
    assert all(1 <= lines <= 10 for _, lines in blocks)
    assert answer() == 42


def test_parameters_are_quoted() -> None:
    ((block, _),) = copied_blocks(
        connection, "COPY (SELECT %(text)s) TO STDOUT", {"text": "it's"}, at_once=10
    )

    assert block == b"it's\n"


def test_a_copy_that_is_left_early_frees_the_connection() -> None:
    statement = "COPY (SELECT n FROM generate_series(1, 100000000) AS n) TO STDOUT"

    with closing(copied_blocks(connection, statement, {}, at_once=10)) as blocks:
        assert next(blocks)[1] == 10

    assert answer() == 42


def test_an_error_in_the_middle_is_djangos() -> None:
    statement = "COPY (SELECT 1 / (5000 - n) FROM generate_series(1, 10000) AS n) TO STDOUT"

    with pytest.raises(DataError, match="division by zero"):
        list(copied_blocks(connection, statement, {}, at_once=10))
    assert answer() == 42


def test_a_server_that_goes_away_in_the_middle_is_an_operational_error() -> None:
    statement = (
        "COPY (SELECT CASE WHEN n = 5000 THEN pg_terminate_backend(pg_backend_pid())::text ELSE n::text END"
        " FROM generate_series(1, 10000000) AS n) TO STDOUT"
    )

    with pytest.raises(OperationalError):
        list(copied_blocks(connection, statement, {}, at_once=10))
    connection.close()
    assert answer() == 42
