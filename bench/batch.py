"""How fast is process-transactions beside the same UPDATE as bare SQL?

    python -m bench.batch [--rows 1000000] [--rounds 3]

Floor: the same rows completed in chunks of the same size by one UPDATE each, with psycopg alone.
Accepted from 50 % of it, the goal is 80 %; memory must stay flat.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from bench.database import own_database
from bench.table import Memory, Table
from bench.workload import FIRE_TIME, fill, make_run

BARE = """
UPDATE transactions SET status = 'completed', updated_at = now()
 WHERE id IN (SELECT id FROM transactions WHERE status = 'pending' AND created_at < %(end)s
               ORDER BY id LIMIT %(limit)s)
"""
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'refused'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON transactions FOR EACH ROW
WHEN (hashtext(OLD.id::text) % 100000 = 7) EXECUTE FUNCTION refuse()
"""


def bare(address: str, chunk_rows: int) -> None:
    """The floor: chunk after chunk, each committed, nothing else."""
    with psycopg.connect(address, autocommit=True) as connection:
        while connection.execute(BARE, {"end": FIRE_TIME, "limit": chunk_rows}).rowcount:
            pass


def ours(**params: Any) -> Any:
    """The handler, with its checkpoints in the ledger."""
    from reports.transactions import ProcessTransactions, process_transactions

    return process_transactions(make_run(), ProcessTransactions(**params))


def two_workers(rows: int) -> None:
    """Two runs that share one batch, each in a thread with its own connection; no row is touched twice."""
    from django.db import connection

    done: list[int] = []

    def work() -> None:
        done.append(ours().success)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == rows, done
    print(f"two workers did {done[0]:,} and {done[1]:,} rows")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3, help="of floor and handler in turn; the best counts")
    rows, rounds = (given := parser.parse_args()).rows, given.rounds
    with own_database() as address:
        from reports.transactions import CHUNK_ROWS

        table = Table(f"process-transactions, {rows:,} pending, PostgreSQL")
        floor = f"bare UPDATE, chunks of {CHUNK_ROWS:,}"

        figures: dict[str, tuple[float, float]] = {}

        def measure(name: str, work: Callable[[], object]) -> None:
            fill(address, rows)
            with Memory() as memory:
                started = time.perf_counter()
                work()
                seconds = time.perf_counter() - started
            best, grown = figures.get(name, (0.0, 0.0))
            figures[name] = (max(best, rows / seconds), max(grown, memory.grown))

        for _ in range(rounds):
            measure(floor, lambda: bare(address, CHUNK_ROWS))
            measure("process-transactions", ours)
            measure("bare UPDATE, chunks of 10,000", lambda: bare(address, 10_000))
        measure("two workers sharing it", lambda: two_workers(rows))
        measure("every 1,000th item fails", lambda: ours(simulateFailureEvery=1000))
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(REFUSE)
        measure("some rows refused by a trigger", ours)
        for name, (figure, grown) in figures.items():
            table.add(name, figure, f"memory +{grown:.0f} MiB")
        table.judge("process-transactions", to=floor, at_least=0.5, note="goal 0.80")
        table.judge("two workers sharing it", to="process-transactions")
        table.show(floor=floor)
        memory = Table(table.question, unit="MiB")
        memory.add("memory grown", figures["process-transactions"][1])
        memory.judge("memory grown", at_most=16)
        memory.show()


if __name__ == "__main__":
    main()
