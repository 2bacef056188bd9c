"""How soon is work planned and done when all of it is due in the same second?

    python -m bench.herd [--jobs 10000] [--peers] [--database sqlite]

Cron jobs in ten zones whose expressions, read in their zones, all name the same moment. Watched from
outside: when the last of them stood in the ledger, when the last of them had ended, and the scheduler's
memory meanwhile. Peers (--peers), each asked the same of as many crontabs in the same zones: Celery beat
with its database scheduler (sent to the broker; needs a Redis at REDIS_URL) and APScheduler with its
jobs in the same PostgreSQL, twenty threads and no misfire limit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from bench import peers
from bench.database import NAMES, add_choice, backend_seconds, own_database
from bench.lateness import histogram
from bench.scheduler import scheduler, wait_for
from bench.table import Table, cpu_seconds, forget_peak, median, peak, resident

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Africa/Nairobi",
    "Pacific/Auckland",
)
# Minute, hour, day of month, month and day of week of the moment in the zone.
EXPRESSIONS = (
    "{m} {h} * * *",
    "{m} * * * *",
    "{m} {h} {d} * *",
    "{m} {h} * * {w}",
    "{m} {h} {d} {M} *",
    "{m},{other} {h} * * *",
    "{m} {h} * {M} MON-SUN",
    "{m} */1 * * {w}",
)
LEAD = timedelta(seconds=60)  # for the start of the scheduler, which adopts the jobs meanwhile
BUCKETS = (0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 30, 60)


def crontabs(count: int, moment: datetime) -> list[tuple[str, str]]:
    """So many pairs of an expression and a zone that name the moment, which is a whole minute."""
    pairs = []
    for number in range(count):
        zone = ZONES[number % len(ZONES)]
        local = moment.astimezone(ZoneInfo(zone))
        # Days of the week by name: the peers number them differently.
        words = {"m": local.minute, "other": (local.minute + 30) % 60, "h": local.hour, "d": local.day}
        form = EXPRESSIONS[number // len(ZONES) % len(EXPRESSIONS)]
        pairs.append((form.format(**words, M=local.month, w=f"{local:%a}".upper()), zone))
    return pairs


def next_minute(lead: timedelta) -> datetime:
    """The first whole minute that is at least so far ahead, by the clock of this machine."""
    return (datetime.now(UTC) + lead + timedelta(minutes=1)).replace(second=0, microsecond=0)


def register(count: int, moment: datetime) -> None:
    """The jobs as an outsider inserts them: the running scheduler adopts them."""
    from executions.rows import Rows, write

    pairs = enumerate(crontabs(count, moment))
    rows = Rows(
        "v", {"number": "int", "cron": "text", "zone": "text"}, ((number, *pair) for number, pair in pairs)
    )
    write(
        "INSERT INTO batch_jobs (job_name, cron_expression, timezone, handler)"
        f" SELECT 'herd-' || number, cron, zone, 'bench-noop' FROM {rows.sql}",
        rows.params,
    )


def watch(count: int, moment: datetime) -> tuple[float, float]:
    """Seconds from the moment until all stood in the ledger, and until all had ended."""
    from executions.models import Execution

    planned = ended = 0.0
    herd = Execution.objects.filter(scheduled_at=moment)
    while not ended:
        since = (datetime.now(UTC) - moment).total_seconds()
        if not planned and herd.count() == count:
            planned = since
        if planned and herd.filter(status="SUCCESS").count() == count:
            ended = since
        if since > 300:
            raise SystemExit(f"only {herd.count()} planned, {herd.filter(status='SUCCESS').count()} ended")
        time.sleep(0.05)
    return planned, ended


def lateness(moment: datetime) -> list[float]:
    """How long after the moment each of them started, in seconds."""
    from executions.models import Execution

    started = Execution.objects.filter(scheduled_at=moment).values_list("started_at", flat=True)
    return [(at - moment).total_seconds() for at in started if at is not None]


@dataclass(frozen=True, kw_only=True)
class Herd:
    """What one scheduler made of its herd; times in seconds, memory in MiB."""

    planned: float
    ended: float
    memory: float
    process: float
    server: float
    late: list[float]


def measure(count: int) -> Herd:
    """One scheduler and its herd."""
    from jobs.models import Job

    moment = next_minute(LEAD)
    with scheduler() as pid:
        register(count, moment)
        adopted = Job.objects.filter(next_run_at__isnull=False)
        wait_for(lambda: adopted.count() == count, seconds=LEAD.seconds, what="adoption", step=0.5)
        time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds() - 2))
        memory, process, server = resident(pid), cpu_seconds(pid), backend_seconds()
        forget_peak(pid)
        planned, ended = watch(count, moment)
        return Herd(
            planned=planned,
            ended=ended,
            memory=peak(pid) - memory,
            process=cpu_seconds(pid) - process,
            server=backend_seconds() - server,
            late=lateness(moment),
        )


def show(count: int, database: str, ours: Herd, found: dict[str, float]) -> None:
    question = f"{count:,} jobs due in the same second, {NAMES[database]}"
    table = Table(question, unit="s")
    table.add("the last one planned", ours.planned)
    table.add("the last one ended", ours.ended)
    table.add("the median start", median(ours.late))
    table.add("processor of the scheduler", ours.process)
    table.add("processor of the server", ours.server, "the questions of the watcher included")
    table.judge("the last one planned", at_most=3.0)
    table.judge("the last one ended", at_most=6.0)
    for name, seconds in found.items():
        table.add(name, seconds)
        table.judge("the last one ended" if "ran" in name else "the last one planned", to=name)
    table.show()
    memory = Table(question, unit="MiB")
    memory.add("memory grown", ours.memory)
    memory.judge("memory grown", at_most=32.0)
    memory.show()
    print("\n" + histogram(ours.late, BUCKETS, unit="s"))


def by_peers(count: int, address: str) -> dict[str, float]:
    """The peers, one after the other; one that cannot be had is left out aloud."""
    found: dict[str, float] = {}
    for name, peer in (("Celery beat sent", peers.celery_beat), ("APScheduler ran", peers.apscheduler)):
        moment = next_minute(timedelta(seconds=peers.LEAD))
        try:
            done, seconds = peer(crontabs(count, moment), moment, address)
        except peers.Unavailable as reason:
            print(f"*** {name}: NOT MEASURED, {reason}", flush=True)
            continue
        found[f"{name} {done:,} of them"] = seconds
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--peers", action="store_true")
    add_choice(parser)
    given = parser.parse_args(arguments)
    with own_database(given.database, settings="bench.settings") as address:
        ours = measure(given.jobs)
        found = by_peers(given.jobs, address) if given.peers and given.database == "postgresql" else {}
    show(given.jobs, given.database, ours, found)


if __name__ == "__main__":
    main()
