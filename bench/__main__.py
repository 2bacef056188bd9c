"""`make bench`: every question, one after another, and one table of what they found.

    python -m bench [NAME …] [--full]

NAMEs choose some of the questions. The table replaces the block between the two marks in docs/figures.md,
and its headlines the one in README.md (with NAMEs it is only printed). `--full` takes the sizes of the
targets where the usual ones are smaller, and asks the peers that take long.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from bench.table import FINDINGS, Finding, collect, machine

ROOT = Path(__file__).resolve().parents[1]
README, FIGURES = ROOT / "README.md", ROOT / "docs" / "figures.md"
LOGS = ROOT / ".cache" / "bench" / "logs"
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"
HEADER = ["question", "figure", "floor or peer", "ratio", "to reach", "reached", "load"]
SHORT = 4  # of these columns in the README
# What the README shows of it: the first finding of each question.
HEADLINES = (
    "Durable executions of a no-op handler: engine, one process",
    "Durable executions of a no-op handler: engine, two processes",
    "HTTP executions against a fast target, 50 slots: engine, one process",
    "10,000 jobs due in the same second, PostgreSQL: the last one ended",
    "CPU of an idle scheduler, PostgreSQL: 1,000,000 jobs",
    "Claim p95 with 100,000 waiting, PostgreSQL: behind a paused queue",
    "Lateness of an idle scheduler, 1,000 fires, PostgreSQL: p99",
    "process-transactions, 1,000,000 pending, PostgreSQL: process-transactions",
    "generate-daily-reports, 1,000,000 rows, PostgreSQL: generate-daily-reports",
    "GET /jobs, 20 rows, token: ours",
    "100 requests/s for a minute beside 100 executions/s: p99",
    "From a manual trigger to the call in another process: p99",
    "The admin over 100,000 jobs and 10,000,000 executions: dashboard",
)

# Module, arguments, and what `--full` adds.
QUESTIONS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("durable", (), ("--celery",)),
    ("cost", (), ()),
    ("http_calls", (), ()),
    ("herd", (), ("--peers",)),
    ("herd", ("--database", "sqlite"), ()),
    ("many_jobs", (), ("--jobs", "100000", "1000000")),
    ("many_jobs", ("--database", "sqlite"), ()),
    ("waiting", (), ()),
    ("waiting", ("--database", "sqlite"), ()),
    ("history", (), ("--rows", "10000000")),
    ("lateness", (), ()),
    ("lateness", ("--database", "sqlite"), ()),
    ("batch", (), ("--rows", "1000000")),
    ("report", (), ("--rows", "1000000")),
    ("api", (), ()),
    ("wake", (), ()),
    ("admin", (), ("--jobs", "100000", "--executions", "10000000")),
    ("celery_engine", (), ()),
)


def main() -> int:
    """Run each in a process of its own; answers how many could not be measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--full", action="store_true")
    given = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "findings"
        os.environ[FINDINGS] = str(place)
        for name, arguments, more in QUESTIONS:
            if find_spec(f"bench.{name}") is None or (given.names and name not in given.names):
                continue
            failed += ask(name, [*arguments, *(more if given.full else ())])
        findings = collect(place)
    text = one_table(findings)
    print(f"\n{text}")
    if not given.names:
        replace_block(FIGURES, text)
        replace_block(README, one_table(pick_headlines(findings), columns=SHORT))
    return failed


def ask(name: str, arguments: list[str]) -> bool:
    """Measure one question; answers whether that failed. What the measured processes log goes to a file."""
    began = time.monotonic()
    words = " ".join([name, *arguments])
    LOGS.mkdir(parents=True, exist_ok=True)
    place = LOGS / f"{'-'.join([name, *(one.strip('-') for one in arguments)])}.log"
    with place.open("w") as log:
        done = subprocess.run([sys.executable, "-m", f"bench.{name}", *arguments], check=False, stderr=log)
    print(f"\n  ({words}: {time.monotonic() - began:.0f} s)", flush=True)
    if done.returncode:
        print(place.read_text()[-2000:], file=sys.stderr)
        print(f"*** {words} COULD NOT BE MEASURED (see {place})", file=sys.stderr, flush=True)
    return done.returncode != 0


def pick_headlines(findings: list[Finding]) -> list[Finding]:
    """What the README shows, in the order of HEADLINES; a question is the same with other sizes."""
    first = {_without_sizes(finding.question): finding for finding in reversed(findings)}
    return [found for question in HEADLINES if (found := first.get(_without_sizes(question)))]


def _without_sizes(question: str) -> str:
    return re.sub(r"[0-9][0-9,]*", "#", question)


def one_table(findings: list[Finding], *, columns: int = len(HEADER)) -> str:
    """Findings as a table in Markdown, with machine and day."""
    rows = [HEADER, ["---"] * len(HEADER), *(finding.cells() for finding in findings)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row[:columns]) + " |" for row in rows]
    return "\n".join([f"{datetime.now(UTC):%Y-%m-%d}, {machine()}.", "", *lines])


def replace_block(path: Path, text: str) -> None:
    """Put the text between the two marks. Raises ValueError when they are not there."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path.name} lacks {BEGIN} … {END}")
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


if __name__ == "__main__":
    sys.exit(main())
