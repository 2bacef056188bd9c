"""`make bench`: every question, one after another, each with its own table."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

QUESTIONS = (
    ("bench.durable", ()),
    ("bench.batch", ()),
    ("bench.report", ()),
    ("bench.api", ()),
    ("bench.celery_engine", ()),
)


def main() -> int:
    """Run each in a process of its own; answers how many could not be measured."""
    failed = 0
    for name, arguments in QUESTIONS:
        if find_spec(name) is not None:
            failed += subprocess.run([sys.executable, "-m", name, *arguments], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
