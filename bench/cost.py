"""What does an execution cost: processor, write-ahead log, statements?

    python -m bench.cost [--rows 20000] [--jobs 400] [--slots 20]

The work of `durable.py` with one process, counted instead of timed. Floor: the same rows as bare batched
SQL. The write-ahead log is the server's, so measure on a server of your own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from bench import durable
from bench.database import backend_seconds, own_database
from bench.table import Table, median

FLOOR, ENGINE = "bare batched SQL", "the engine, one process"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one execution, except the processor's seconds: of a thousand."""

    client: float
    server: float
    log: float
    statements: float


class Counter:
    """Counts the statements that Django's connection of this thread sends."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, execute: Callable[..., Any], *given: Any) -> Any:
        self.count += 1
        return execute(*given)


def measure(connection: psycopg.Connection, rows: int, work: Callable[[], object]) -> Cost:
    """What the work took of each, for one of its rows."""
    from django.db import connection as django_connection

    counter = Counter()
    before = position(connection), backend_seconds(), time.process_time()
    with django_connection.execute_wrapper(counter):
        work()
    after = position(connection), backend_seconds(), time.process_time()
    return Cost(
        client=1000 * (after[2] - before[2]) / rows,
        server=1000 * (after[1] - before[1]) / rows,
        log=(after[0] - before[0]) / rows,
        statements=counter.count / rows,
    )


def position(connection: psycopg.Connection) -> float:
    """How many bytes of write-ahead log the server has written so far."""
    row = connection.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()
    assert row is not None
    return float(row[0])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--slots", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    found: dict[str, list[Cost]] = {FLOOR: [], ENGINE: []}
    with own_database() as address, psycopg.connect(address, autocommit=True) as connection:
        durable.register_noop()
        works: dict[str, Callable[[], object]] = {
            FLOOR: lambda: durable.by_bare_sql(connection),
            ENGINE: lambda: durable.by_engine(slots=given.slots),
        }
        for _ in range(given.rounds):
            for name, work in works.items():
                durable.fill(connection, rows=given.rows, jobs=given.jobs)
                found[name].append(measure(connection, given.rows, work))
    show(found)


def show(found: dict[str, list[Cost]]) -> None:
    questions = {
        "client": ("Processor of the client for 1,000 executions", "s"),
        "server": ("Processor of PostgreSQL for 1,000 executions", "s"),
        "log": ("Write-ahead log of an execution", "bytes"),
        "statements": ("Statements of an execution", "statements"),
    }
    for part, (question, unit) in questions.items():
        table = Table(question, unit=unit)
        for name, costs in found.items():
            if part != "statements" or name == ENGINE:
                table.add(name, median([getattr(cost, part) for cost in costs]))
        table.judge(ENGINE, to=FLOOR if part != "statements" else None)
        table.show(floor=FLOOR if part != "statements" else None)


if __name__ == "__main__":
    main()
