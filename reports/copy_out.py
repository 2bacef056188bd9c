"""What a PostgreSQL COPY … TO STDOUT sends, in blocks of whole lines.

psycopg's own loop comes back to Python for every row, which costs more than all else together that
the client does; here a whole block is taken in one wait.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import errors, generators, pq, waiting

_Taken = tuple[bytearray, int, bool]


def copied_blocks(
    connection: BaseDatabaseWrapper, statement: str, params: Mapping[str, Any], *, at_once: int
) -> Generator[tuple[bytearray, int]]:
    """Blocks of up to `at_once` lines, each with how many it has. Raises the errors of django.db.

    Close the generator when you leave it early: that cancels the COPY and frees the connection.
    """
    cursor: Any
    with connection.wrap_database_errors, connection.cursor() as cursor:  # noqa: SIM117 - copy needs the cursor
        with cursor.copy(statement, params) as copy:
            last = False
            while not last:
                block, lines, last = copy.connection.wait(_take(copy.connection.pgconn, at_once))
                if lines:
                    yield block, lines


def _take(pgconn: pq.abc.PGconn, at_once: int) -> Generator[waiting.Wait, waiting.Ready, _Taken]:
    """What psycopg's `copy_from` does for one line, for many; the last item: whether they were the last.

    A list of the lines would cost three times as much: the garbage collector looks at every buffer.
    """
    block, lines = bytearray(), 0
    while lines < at_once:
        size, data = pgconn.get_copy_data(1)
        if size > 0:
            block += data
            lines += 1
        elif size == 0:
            while not (yield waiting.WAIT_R):
                continue
            pgconn.consume_input()
        else:
            (result,) = yield from generators.fetch_many(pgconn)
            if result.status != pq.ExecStatus.COMMAND_OK:
                raise errors.error_from_result(result)
            return block, lines, True
    return block, lines, False
