"""The rows of a PostgreSQL COPY … TO STDOUT in groups, as raw lines.

psycopg's own loop comes back to Python for every row, which costs more than all else together that
the client does; here a whole group is taken in one wait.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import errors, generators, pq, waiting

_Group = tuple[list[memoryview], bool]


def copied_lines(
    connection: BaseDatabaseWrapper, statement: str, params: Mapping[str, Any], *, at_once: int
) -> Generator[list[memoryview]]:
    """Groups of up to `at_once` lines. Raises the errors of django.db.

    Close the generator when you leave it early: that cancels the COPY and frees the connection.
    """
    cursor: Any
    with connection.wrap_database_errors, connection.cursor() as cursor:  # noqa: SIM117 - copy needs the cursor
        with cursor.copy(statement, params) as copy:
            last = False
            while not last:
                lines, last = copy.connection.wait(_gather(copy.connection.pgconn, at_once))
                if lines:
                    yield lines


def _gather(pgconn: pq.abc.PGconn, at_once: int) -> Generator[waiting.Wait, waiting.Ready, _Group]:
    """What psycopg's `copy_from` does for one row, for many: the lines, and whether they were the last."""
    lines: list[memoryview] = []
    while len(lines) < at_once:
        size, data = pgconn.get_copy_data(1)
        if size > 0:
            lines.append(data)
        elif size == 0:
            while not (yield waiting.WAIT_R):
                continue
            pgconn.consume_input()
        else:
            (result,) = yield from generators.fetch_many(pgconn)
            if result.status != pq.ExecStatus.COMMAND_OK:
                raise errors.error_from_result(result)
            return lines, True
    return lines, False
