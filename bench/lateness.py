"""How late does an idle scheduler call a handler?

    python -m bench.lateness [--fires 1000] [--gap 60] [--database sqlite]

One-time jobs at moments with irregular gaps between them, `--gap` ms on average. The handler itself tells
how long after its fire time it was called, so claim, commit and hand-over are in the figure.
"""

from __future__ import annotations

import argparse
import random
import time
from datetime import timedelta

from bench.database import NAMES, add_choice, own_database
from bench.scheduler import scheduler, wait_for
from bench.table import Table, percentile

LEAD = timedelta(seconds=15)  # for the start of the scheduler, which adopts the jobs meanwhile
BUCKETS = (5, 10, 20, 50, 100, 200, 500, 1000)


def fill(fires: int, gap: float) -> float:
    """So many one-time jobs; answers how many seconds from now the last one is due."""
    from executions.engine import clock
    from jobs.models import Job

    chance, start = random.Random(1), clock.now() + LEAD
    at = [start := start + timedelta(milliseconds=chance.expovariate(1 / gap)) for _ in range(fires)]
    Job.objects.bulk_create(
        Job(
            name=f"at-{number}",
            schedule_type="one_time",
            scheduled_at=moment,
            planned_scheduled_at=moment,
            next_run_at=moment,
            planned_next_run_at=moment,
            handler="bench-lateness",
        )
        for number, moment in enumerate(at)
    )
    return (start - clock.now()).total_seconds()


def lateness() -> list[float]:
    """What the handlers told, in ms."""
    from executions.models import Execution

    results = Execution.objects.filter(status="SUCCESS").values_list("result", flat=True)
    return [result["lateMs"] for result in results]


def histogram(figures: list[float], buckets: tuple[float, ...], *, unit: str) -> str:
    """How many figures lie up to each bucket's end, as bars."""
    lines: list[str] = []
    below = float("-inf")
    for end in (*buckets, float("inf")):
        count = sum(below < figure <= end for figure in figures)
        label = f"≤ {end:g} {unit}" if end != float("inf") else f"> {below:g} {unit}"
        if count or lines:
            lines.append(f"  {label:>12} {count:>7,} {'█' * round(50 * count / len(figures))}")
        below = end
    while lines and " 0 " in lines[-1]:
        lines.pop()
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fires", type=int, default=1000)
    parser.add_argument("--gap", type=float, default=60.0, help="ms between two of them, on average")
    add_choice(parser)
    given = parser.parse_args()
    with own_database(given.database, settings="bench.settings"):
        lasts = fill(given.fires, given.gap)
        with scheduler():
            time.sleep(lasts)
            wait_for(lambda: len(lateness()) == given.fires, seconds=60, what="all fires", step=1.0)
        figures = lateness()
    table = Table(f"Lateness of an idle scheduler, {given.fires:,} fires, {NAMES[given.database]}", unit="ms")
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
        table.add(name, percentile(figures, share))
    table.judge("p50")
    table.judge("p99", at_most=100)
    table.judge("max")
    table.show()
    print("\n" + histogram(figures, BUCKETS, unit="ms"))


if __name__ == "__main__":
    main()
