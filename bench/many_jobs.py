"""What do registered jobs cost while none is due?

    python -m bench.many_jobs [--jobs 100000] [--seconds 20] [--database sqlite]

All jobs have fire times, the next ones days ahead. Beside each size stands a scheduler without a job.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from bench.database import NAMES, add_choice, fill, in_seconds, numbers, own_database, settle
from bench.scheduler import Usage, scheduler
from bench.table import Table, median, peak

# As the planner leaves a job: with a cursor, and copies of it and of the schedule it was planned from.
FILL = """
INSERT INTO batch_jobs (job_name, cron_expression, planned_cron_expression, handler, status,
    next_run_at, planned_next_run_at)
SELECT 'job-' || n, cron, cron, 'bench-noop', 'active', moment, moment
  FROM (SELECT n, (n % 60) || ' ' || (n / 60 % 24) || ' * * *' AS cron, {moment} AS moment
          FROM {numbers}) AS daily
"""
BOUNDS: dict[str, tuple[str, str, float | None]] = {
    "idle": ("CPU of an idle scheduler", "%", 1.0),
    "server": ("CPU of the server behind it", "%", None),
    "plan": ("The planner's look at jobs", "ms", 2.0),
    "start": ("From the start of the command to ACTIVE", "s", 2.0),
    "memory": ("Memory of an idle scheduler", "MiB", 120.0),
}
SETTLING = 5.0  # seconds after the start that are not measured


def register(count: int) -> None:
    """So many jobs and no others."""
    fill("DELETE FROM batch_jobs")
    fill(FILL.format(moment=in_seconds("172800 + n % 86400"), numbers=numbers(count)))
    settle()


def look_for_work() -> None:
    """What a pass asks about jobs when nothing is due."""
    from executions.engine import adoption, clock, planner

    planner.plan_due(clock.now())
    planner.next_due()
    adoption.adopt(clock.now())


def timed(work: Callable[[], object], *, times: int = 200) -> float:
    """The median time of a piece of work, in ms."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - begun))
    return median(taken)


def measure(seconds: float) -> dict[str, float]:
    """A scheduler over the jobs there are: how it starts, and what it uses while nothing is due."""
    found = {"plan": timed(look_for_work)}
    begun = time.monotonic()
    with scheduler() as pid:
        found["start"] = time.monotonic() - begun
        time.sleep(SETTLING)
        with Usage(pid) as usage:
            time.sleep(seconds)
        return found | {"idle": usage.process, "server": usage.backends, "memory": peak(pid)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, nargs="+", default=[100_000])
    parser.add_argument("--seconds", type=float, default=20.0, help="of idling that are measured")
    add_choice(parser)
    given = parser.parse_args()
    found = {}
    with own_database(given.database, settings="bench.settings"):
        for count in (0, *given.jobs):
            register(count)
            found[f"{count:,} jobs"] = measure(given.seconds)
    for figure, (question, unit, at_most) in BOUNDS.items():
        table = Table(f"{question}, {NAMES[given.database]}", unit=unit)
        for name, figures in found.items():
            table.add(name, figures[figure])
            if at_most is not None and name != "0 jobs":
                table.judge(name, at_most=at_most)
        table.show()


if __name__ == "__main__":
    main()
