"""Judges a run from outside: the definitions, the target's own log, and the tables by plain SQL.

`python -m tests.fault.checker DATABASE_URL LOG DEFINITIONS` prints what it found, and ends with 1 on any breach.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.fault.database import Database, read_moment
from tests.fault.processes import LEASE, POLL

FINAL = {"SUCCESS", "FAILED", "CANCELLED", "SKIPPED"}
# The contract's table of states, written down once more by hand.
ARROWS = {
    (None, "PENDING"),
    (None, "SKIPPED"),
    ("PENDING", "RUNNING"),
    ("RETRYING", "RUNNING"),
    ("RUNNING", "SUCCESS"),
    ("RUNNING", "RETRYING"),
    ("RUNNING", "FAILED"),
    ("RUNNING", "PENDING"),
    ("PENDING", "CANCELLED"),
    ("RETRYING", "CANCELLED"),
    ("RUNNING", "CANCELLED"),
    ("PENDING", "SKIPPED"),
}
RECOVERIES = 3


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A job as the test wrote it, with the fire times that it names until the end of the test.

    `times` None: not foreseen here (the ledger's own are taken as they are).
    """

    name: str
    times: tuple[datetime, ...] | None = None
    at_most_once: bool = False
    one_at_a_time: bool = True
    retries: int = 0
    final: tuple[str, ...] = ("SUCCESS",)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the target, by its own log; moments are monotonic.

    `pid` leads the process group it ran in, `child` is the very process.
    """

    execution: str
    attempt: int
    job: str
    pid: int
    child: int
    started: float
    ended: float | None


@dataclass(kw_only=True)
class Findings:
    """What a run came to. Every list must be empty."""

    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    overlapping: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    executions: int = 0
    calls: int = 0
    extra_calls: int = 0
    lost_attempts: int = 0
    released_attempts: int = 0
    latest: float = 0.0
    finals: dict[str, int] = field(default_factory=dict)

    @property
    def breaches(self) -> list[str]:
        """Every breach in words."""
        words = ("missing", "extra", "early", "late", "overlapping", "doubled", "stuck", "wrong")
        return [f"{word}: {text}" for word in words for text in getattr(self, word)]

    def text(self) -> str:
        """The figures in a line, and the first breaches."""
        figures = (
            f"{self.executions} executions {self.finals}, {self.calls} calls ({self.extra_calls} extra),"
            f" {self.lost_attempts} lost and {self.released_attempts} released attempts,"
            f" latest start {self.latest:.2f} s"
        )
        return "\n".join([figures, *self.breaches[:20]])


def read_log(path: Path) -> list[Call]:
    """The target's calls. A line cut by a kill would be a broken line; O_APPEND writes none."""
    starts: dict[tuple[str, int, int], dict[str, Any]] = {}
    doubles: list[dict[str, Any]] = []
    ends: dict[tuple[str, int, int], float] = {}
    for text in path.read_text().splitlines() if path.exists() else ():
        line = json.loads(text)
        key = (line["execution"], line["attempt"], line["child"])
        if line["what"] == "start":
            if key in starts:
                doubles.append(line)
            starts[key] = line
        else:
            ends[key] = line["at"]
    return [
        Call(
            execution=line["execution"],
            attempt=line["attempt"],
            job=line["job"],
            pid=line["pid"],
            child=line["child"],
            started=line["at"],
            ended=ends.get((line["execution"], line["attempt"], line["child"])),
        )
        for line in [*starts.values(), *doubles]
    ]


def check(
    database: Database,
    log: Path,
    definitions: Sequence[Definition],
    *,
    wall_offset: float,
    latest: float | None = None,
    clock_moved: bool = False,
) -> Findings:
    """Judge a finished run.

    `wall_offset` turns the log's monotonic seconds into the true time of day; `latest` is how
    late (seconds) a first call may be; with `clock_moved` times are not compared.
    """
    found = Findings()
    rows = _executions(database)
    calls = read_log(log)
    _fill_figures(found, database, rows, calls)
    _check_times(found, rows, definitions)
    _check_finals(found, rows, definitions)
    _check_attempts(found, database, rows)
    _check_moves(found, database, rows)
    _check_stuck(found, database, rows)
    _check_calls(found, rows, calls, definitions, database)
    if not clock_moved:
        _check_moments(found, rows, calls, wall_offset, latest)
    return found


def _executions(database: Database) -> dict[str, dict[str, Any]]:
    names = (
        "id", "job_name", "scheduled_at", "status", "trigger", "attempt", "retry_count", "lost_count",
        "next_attempt_at", "lease_expires_at", "completed_at", "skipped_until", "skipped_count", "token",
        "reason",
    )  # fmt: skip
    rows = database.fetch(
        """
        SELECT e.id, j.job_name, e.scheduled_at, e.status, e.trigger, e.attempt, e.retry_count,
            e.lost_count, e.next_attempt_at, e.lease_expires_at, e.completed_at, e.skipped_until,
            e.skipped_count, e.token, e.reason
        FROM job_executions AS e JOIN batch_jobs AS j ON j.id = e.job_id
        """
    )
    found = {}
    for row in rows:
        values = dict(zip(names, row, strict=True))
        for name in names:
            if name.endswith(("_at", "_until")):
                values[name] = read_moment(values[name])
        found[values["id"]] = values
    return found


def _fill_figures(
    found: Findings, database: Database, rows: dict[str, dict[str, Any]], calls: Sequence[Call]
) -> None:
    found.executions = len(rows)
    found.finals = dict(Counter(row["status"] for row in rows.values()))
    found.calls = len(calls)
    # A retry is asked for; a call beyond the first and the retries is an extra one.
    wanted = sum(1 + row["retry_count"] for row in rows.values() if row["id"] in {c.execution for c in calls})
    found.extra_calls = max(0, len(calls) - wanted)
    reasons = dict(database.fetch("SELECT failure_reason, count(*) FROM batch_job_logs GROUP BY 1"))
    found.lost_attempts = reasons.get("worker lost", 0)
    found.released_attempts = reasons.get("released", 0)


def _check_times(found: Findings, rows: dict[str, dict[str, Any]], definitions: Sequence[Definition]) -> None:  # noqa: C901 - a list of what may be wrong
    by_job: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.values():
        if row["trigger"] == "schedule":
            by_job[row["job_name"]].append(row)
    for definition in definitions:
        mine = by_job.get(definition.name, [])
        counts = Counter(row["scheduled_at"] for row in mine)
        for at, number in counts.items():
            if number > 1:
                found.doubled.append(f"{definition.name} at {at} stands {number} times in the ledger")
        if definition.times is None:
            continue
        runs = [
            (row["scheduled_at"], row["skipped_until"] or row["scheduled_at"])
            for row in mine
            if row["status"] == "SKIPPED"
        ]
        for at in definition.times:
            if at not in counts and not any(start <= at <= end for start, end in runs):
                found.missing.append(f"{definition.name} at {at}")
        for at in counts:
            if at not in definition.times:
                found.extra.append(f"{definition.name} at {at} is no fire time")
        answered = sum(row["skipped_count"] or 1 for row in mine if row["status"] == "SKIPPED")
        answered += sum(row["status"] != "SKIPPED" for row in mine)
        if not found.missing and answered != len(definition.times):
            found.wrong.append(
                f"{definition.name}: {len(definition.times)} fire times, {answered} are answered for"
            )


def _check_finals(
    found: Findings, rows: dict[str, dict[str, Any]], definitions: Sequence[Definition]
) -> None:
    by_name = {definition.name: definition for definition in definitions}
    for row in rows.values():
        definition = by_name.get(row["job_name"])
        if definition is None:
            continue
        if row["retry_count"] > definition.retries:
            found.wrong.append(f"{row['id']}: {row['retry_count']} retries of {definition.retries}")
        if row["lost_count"] > RECOVERIES + 1:
            found.wrong.append(f"{row['id']}: {row['lost_count']} crash recoveries")
        if row["status"] in FINAL and row["status"] not in (*definition.final, "SKIPPED"):
            found.wrong.append(
                f"{row['job_name']} {row['id']} ended {row['status']} ({row['reason']}),"
                f" not {' or '.join(definition.final)}"
            )


def _check_attempts(found: Findings, database: Database, rows: dict[str, dict[str, Any]]) -> None:
    attempts: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for attempt in database.fetch(
        "SELECT execution_id, attempt_number, status, finished_at FROM batch_job_logs ORDER BY 1, 2"
    ):
        attempts[attempt[0]].append(attempt)
    letters = Counter(one[0] for one in database.fetch("SELECT execution_id FROM failed_jobs_dlq"))
    for key, row in rows.items():
        mine = attempts.get(key, [])
        wins = sum(one[2] == "success" for one in mine)
        if wins != (row["status"] == "SUCCESS"):
            found.doubled.append(f"{key} is {row['status']} with {wins} successful attempts")
        if (row["status"] == "FAILED") != (letters[key] == 1):
            found.doubled.append(f"{key} is {row['status']} with {letters[key]} dead letters")
        numbers = [one[1] for one in mine]
        if numbers != list(range(1, row["attempt"] + 1)):
            found.wrong.append(f"{key}: attempt {row['attempt']}, its rows are {numbers}")
        open_ones = [one[1] for one in mine if one[2] == "running"]
        if row["status"] != "RUNNING" and open_ones:
            found.stuck.append(f"{key} is {row['status']}, its attempts {open_ones} never ended")


def _check_moves(found: Findings, database: Database, rows: dict[str, dict[str, Any]]) -> None:
    """What the database itself saw: only arrows of the chart, one way into a final state, none out."""
    finals: Counter[str] = Counter()
    for key, source, target in database.fetch(
        "SELECT execution_id, source, target FROM fault_moves ORDER BY id"
    ):
        if (source, target) not in ARROWS:
            found.wrong.append(f"{key} moved from {source} to {target}")
        finals[key] += target in FINAL
    for key, number in finals.items():
        if number > 1:
            found.doubled.append(f"{key} entered a final state {number} times")
    for key, row in rows.items():
        if (row["token"] is not None) != (row["status"] == "RUNNING"):
            found.wrong.append(f"{key} is {row['status']} with token {row['token']}")


def _check_stuck(found: Findings, database: Database, rows: dict[str, dict[str, Any]]) -> None:
    now = database.now()
    patience = timedelta(seconds=POLL + 1)
    for key, row in rows.items():
        if row["status"] in FINAL:
            continue
        if row["status"] == "RUNNING":
            lease = row["lease_expires_at"]
            if lease < now - patience or lease > now + timedelta(seconds=2 * LEASE):
                found.stuck.append(f"{key} is RUNNING, its lease ended at {lease}, now {now}")
            else:
                found.stuck.append(f"{key} is still RUNNING at the end of the test")
        else:
            found.stuck.append(f"{key} ({row['job_name']}) waits as {row['status']} at the end of the test")
    active = database.fetch(
        "SELECT job_name, next_run_at FROM batch_jobs WHERE status = 'active' AND next_run_at IS NOT NULL"
    )
    for name, at in active:
        due = read_moment(at)
        assert due is not None
        if due < now - patience - timedelta(seconds=LEASE):
            found.stuck.append(f"the fire time {due} of {name} was not planned")


def _check_calls(  # noqa: C901 - a list of what may be wrong
    found: Findings,
    rows: dict[str, dict[str, Any]],
    calls: Sequence[Call],
    definitions: Sequence[Definition],
    database: Database,
) -> None:
    by_name = {definition.name: definition for definition in definitions}
    per_attempt = Counter((call.execution, call.attempt) for call in calls)
    for (key, attempt), number in per_attempt.items():
        if number > 1:
            found.doubled.append(f"attempt {attempt} of {key} was called {number} times")
    by_execution: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_execution[call.execution].append(call)
        if call.execution not in rows:
            found.extra.append(f"a call of {call.execution}, which is not in the ledger")
    for key, row in rows.items():
        mine = by_execution.get(key, [])
        definition = by_name.get(row["job_name"])
        if definition is None:
            continue
        if row["status"] == "SUCCESS" and not mine:
            found.wrong.append(f"{key} is SUCCESS and was never called")
        if row["status"] == "SKIPPED" and mine:
            found.wrong.append(f"{key} is SKIPPED and was called")
        if definition.at_most_once and len(mine) > 1:
            found.doubled.append(f"{key} (ATMOST_ONCE) was called {len(mine)} times")
        if len(mine) > row["attempt"]:
            found.extra.append(f"{key} was called {len(mine)} times in {row['attempt']} attempts")
    _check_beside(found, database, calls, by_name)


def _check_beside(
    found: Findings, database: Database, calls: Sequence[Call], by_name: dict[str, Definition]
) -> None:
    """No two calls of a job that runs one at a time, but beside a worker that was lost or stopped."""
    given_up = {
        (key, number)
        for key, number, reason in database.fetch(
            "SELECT execution_id, attempt_number, failure_reason FROM batch_job_logs"
        )
        if reason in ("worker lost", "released", "cancelled") or (reason or "").startswith("timeout")
    }
    by_job: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        definition = by_name.get(call.job)
        if definition is not None and definition.one_at_a_time:
            by_job[call.job].append(call)
    for name, mine in by_job.items():
        last: Call | None = None
        for call in sorted(mine, key=lambda one: one.started):
            if last is not None and (last.ended is None or call.started < last.ended):
                found.overlapping.append(
                    f"{name}: {last.execution}#{last.attempt} and {call.execution}#{call.attempt}"
                )
            if (call.execution, call.attempt) not in given_up:
                last = call


def _check_moments(
    found: Findings,
    rows: dict[str, dict[str, Any]],
    calls: Iterable[Call],
    wall_offset: float,
    latest: float | None,
) -> None:
    first: dict[str, float] = {}
    for call in calls:
        first[call.execution] = min(call.started, first.get(call.execution, call.started))
    for key, moment in first.items():
        row = rows.get(key)
        if row is None:
            continue
        at = datetime.fromtimestamp(moment + wall_offset, UTC)
        # SQLite's clock reads milliseconds and may stand one behind.
        if at < row["scheduled_at"] - timedelta(milliseconds=20):
            found.early.append(f"{key} was called at {at}, before its fire time {row['scheduled_at']}")
        if row["trigger"] == "schedule":
            late = (at - row["scheduled_at"]).total_seconds()
            found.latest = max(found.latest, late)
            if latest is not None and late > latest:
                found.late.append(f"{key} of {row['job_name']} was called {late:.2f} s late")


def save_definitions(path: Path, definitions: Sequence[Definition], wall_offset: float) -> None:
    """Keep the definitions beside the log, so that the checker can be run again on its own."""
    path.write_text(
        json.dumps({"wall_offset": wall_offset, "jobs": [asdict(one) for one in definitions]}, default=str)
    )


def load_definitions(path: Path) -> tuple[list[Definition], float]:
    """What `save_definitions` kept."""
    stored = json.loads(path.read_text())
    jobs = []
    for one in stored["jobs"]:
        times = one["times"]
        one["times"] = None if times is None else tuple(datetime.fromisoformat(at) for at in times)
        one["final"] = tuple(one["final"])
        jobs.append(Definition(**one))
    return jobs, stored["wall_offset"]


def main(arguments: Sequence[str]) -> int:
    """Check a database and a log that a run left; 1 on any breach."""
    url, log, definitions = arguments
    jobs, wall_offset = load_definitions(Path(definitions))
    found = check(Database(url), Path(log), jobs, wall_offset=wall_offset)
    print(found.text())
    return 1 if found.breaches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
