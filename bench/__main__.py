"""`make bench`: every question, one after another, and one table of what they found.

    python -m bench [NAME …] [--full]

NAMEs choose some of the questions. The table replaces the block between the two marks in README.md
(with NAMEs it is only printed). `--full` takes the sizes of the targets where the usual ones are smaller,
and asks the peers that take long.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from bench.table import FINDINGS, Finding, collect, machine

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
LOGS = ROOT / ".cache" / "bench" / "logs"
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"
HEADER = ["question", "figure", "floor or peer", "ratio", "to reach", "reached", "load"]

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
        text = one_table(collect(place))
    print(f"\n{text}")
    if not given.names:
        replace_block(README, text)
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


def one_table(findings: list[Finding]) -> str:
    """All findings as a table in Markdown, with machine and day."""
    rows = [HEADER, ["---"] * len(HEADER), *(finding.cells() for finding in findings)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
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
