"""How fast is the daily report beside `psql \\copy`, a model iterator and Node's fast-csv?

    python -m bench.report [--rows 1000000] [--rounds 3]

Floor: the same rows and columns of the same day by `psql \\copy` to a file. Accepted from 70 % of it, at
least 5 times the Node exporter and 10 times a model iterator, memory growth at most 50 MiB. Without node and
npm that line is left out, aloud.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import peers
from bench.database import own_database
from bench.table import Memory, Table
from bench.workload import fill, make_run

FLOOR = "psql \\copy"
OURS, FAST_CSV, MODELS = "generate-daily-reports", "Node fast-csv", "model iterator, csv module"
COPY = (
    "\\copy (SELECT id, type, amount, status, consumer_id, created_at, updated_at FROM transactions"
    " WHERE created_at >= '2025-07-18' AND created_at < '2025-07-19') TO '{path}' CSV HEADER"
)
NODE = """
const { Client } = require('pg');
const QueryStream = require('pg-query-stream');
const csv = require('fast-csv');
const fs = require('fs');
const { pipeline } = require('stream/promises');
(async () => {
  const client = new Client({ connectionString: process.argv[2] });
  await client.connect();
  const rows = client.query(new QueryStream(
    `SELECT id, type, amount, status, consumer_id AS "consumerId", created_at AS "createdAt",
            updated_at AS "updatedAt" FROM transactions
      WHERE created_at >= '2025-07-18' AND created_at < '2025-07-19'`, [], { batchSize: 2000 }));
  await pipeline(rows, csv.format({ headers: true }), fs.createWriteStream(process.argv[3]));
  await client.end();
})();
"""


def by_psql(address: str, folder: Path) -> None:
    """The floor."""
    command = ["psql", address, "-qX", "-v", "ON_ERROR_STOP=1", "-c", COPY.format(path=folder / "floor.csv")]
    subprocess.run(command, check=True)


def by_handler(*, gzip: bool = False) -> None:
    """The handler: file, hash, row in report_files, progress."""
    from reports.daily_report import DailyReport, generate_daily_report

    generate_daily_report(make_run(), DailyReport(gzip=gzip), now=datetime.now(UTC))


def by_model_iterator(folder: Path) -> None:
    """What one writes first: model instances and the csv module."""
    from reports.models import Transaction

    day = Transaction.objects.filter(
        created_at__gte=datetime(2025, 7, 18, tzinfo=UTC), created_at__lt=datetime(2025, 7, 19, tzinfo=UTC)
    )
    with (folder / "model.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        for row in day.iterator(chunk_size=2000):
            writer.writerow(
                [
                    row.pk,
                    row.type,
                    row.amount,
                    row.status,
                    row.consumer_id,
                    row.created_at.isoformat(),
                    row.updated_at.isoformat(),
                ]
            )


def node_exporter() -> Path | None:
    """The script of the Node exporter with its packages beside it; None where they cannot be had."""
    try:
        script = peers.node() / "export.js"
    except peers.Unavailable as reason:
        print(f"*** Node fast-csv: NOT MEASURED, {reason}", flush=True)
        return None
    script.write_text(NODE)
    return script


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3, help="of floor and handler in turn; the best counts")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, own_database() as address:
        from django.conf import settings

        folder = Path(place)
        settings.EXPORT_DIRECTORY = folder / "exports"
        fill(address, given.rows)
        script = node_exporter()
        figures: dict[str, tuple[float, float]] = {}

        def measure(name: str, work: Callable[[], object]) -> None:
            with Memory() as memory:
                started = time.perf_counter()
                work()
                seconds = time.perf_counter() - started
            best, grown = figures.get(name, (0.0, 0.0))
            figures[name] = (max(best, given.rows / seconds), max(grown, memory.grown))

        for _ in range(given.rounds):
            measure(FLOOR, lambda: by_psql(address, folder))
            measure(OURS, by_handler)
        measure("generate-daily-reports, gzip", lambda: by_handler(gzip=True))
        measure(MODELS, lambda: by_model_iterator(folder))
        if script is not None:
            node = ["node", str(script), address, str(folder / "node.csv")]
            measure(FAST_CSV, lambda: subprocess.run(node, check=True))
        table = Table(f"generate-daily-reports, {given.rows:,} rows, PostgreSQL")
        for name, (figure, grown) in figures.items():
            table.add(name, figure, f"memory +{grown:.0f} MiB")
        table.judge(OURS, to=FLOOR, at_least=0.7)
        if FAST_CSV in figures:
            table.judge(OURS, to=FAST_CSV, at_least=5.0)
        table.judge(OURS, to=MODELS, at_least=10.0)
        table.show(floor=FLOOR)
        memory = Table(table.question, unit="MiB")
        memory.add("memory grown", figures[OURS][1])
        memory.judge("memory grown", at_most=50)
        memory.show()


if __name__ == "__main__":
    main()
