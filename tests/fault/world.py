"""One test's world: a database, the processes on it, the target's log, and what the jobs should come to."""

from __future__ import annotations

import itertools
import json
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.brokers import Broker
from tests.fault import checker
from tests.fault.checker import Call, Definition, Findings
from tests.fault.database import Database
from tests.fault.processes import LEASE, POLL, SLACK, Scheduler, wait_for
from tests.fault.team import Team

FINAL = "('SUCCESS', 'FAILED', 'CANCELLED', 'SKIPPED')"


class World:
    """Everything a fault test touches. `url` is where its processes find the database (perhaps a proxy).

    With a broker its schedulers are teams: ENGINE=celery.
    """

    def __init__(self, database: Database, folder: Path, *, seed: int, broker: Broker | None = None) -> None:
        self.database = database
        self.broker = broker
        self.folder = folder
        self.url = database.url
        self.seed = seed
        self.random = random.Random(seed)
        self.log = folder / "target.log"
        self.schedulers: list[Scheduler] = []
        self.definitions: list[Definition] = []
        self.notes: dict[str, object] = {"seed": seed, "database": database.kind}
        self.events: list[dict[str, object]] = []
        self._names = itertools.count(1)
        self._wall_offset = time.time() - time.monotonic()

    # Processes ------------------------------------------------------------------------------------

    def start(self, *arguments: str, **extra: str) -> Scheduler:
        """Start a scheduler and wait for its ready line."""
        return self.launch(*arguments, **extra).ready()

    def launch(self, *arguments: str, **extra: str) -> Scheduler:
        """Start a scheduler; does not wait."""
        log = self.folder / f"scheduler-{len(self.schedulers) + 1}.log"
        settings = {"TARGET_LOG": str(self.log), **extra}
        scheduler: Scheduler
        if self.broker is None:
            scheduler = Scheduler(self.url, log, *arguments, extra=settings)
        else:
            settings = {"CELERY_BROKER_URL": self.broker.url, **settings}
            scheduler = Team(self.url, log, *arguments, extra=settings)
        self.schedulers.append(scheduler)
        self.event("start", pid=scheduler.pid, **extra)
        return scheduler

    def event(self, what: str, **more: object) -> None:
        """Write down what was done to the world."""
        self.events.append({"at": time.monotonic(), "what": what, **more})

    def close(self) -> None:
        """End what still runs; keep the story beside the logs."""
        for scheduler in self.schedulers:
            scheduler.end()
        story = {"seed": self.seed, "events": self.events, "notes": self.notes}
        (self.folder / "events.json").write_text(json.dumps(story, default=str, indent=1))

    # Jobs -----------------------------------------------------------------------------------------

    def add(self, *definitions: Definition, jobs: Sequence[Mapping[str, Any]] = ()) -> None:
        """Insert rows into batch_jobs and remember what they should come to.

        A database that fails meanwhile may have kept them or not: then those count that stand there.
        """
        try:
            self.database.insert("batch_jobs", [dict(job) for job in jobs])
        except Exception:
            standing = self._find_standing([definition.name for definition in definitions])
            self.definitions += [one for one in definitions if one.name in standing]
            raise
        self.definitions += definitions

    def _find_standing(self, names: Sequence[str]) -> set[str]:
        """Which of these jobs are in the database, asked until it answers."""
        found: set[str] = set()

        def ask() -> bool:
            try:
                rows = self.database.fetch("SELECT job_name FROM batch_jobs")
            except Exception:  # noqa: BLE001 - it is being restarted
                return False
            found.update(row[0] for row in rows)
            return True

        wait_for(ask, 60, "a database that answers")
        return found.intersection(names)

    def add_once(
        self,
        count: int,
        *,
        ms: int = 20,
        do: str = "ok",
        at: datetime | None = None,
        expect: Mapping[str, Any] | None = None,
        payload: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> list[str]:
        """One-time jobs, each with one occurrence; answers their names."""
        at = at or self.now()
        names = [f"once-{next(self._names)}" for _ in range(count)]
        rows = [
            {
                "job_name": name,
                "schedule_type": "one_time",
                "scheduled_at": at,
                "handler": "target",
                "retry_policy": {"maxRetries": 0},
                "payload": {"do": do, "ms": ms, **(payload or {})},
                **columns,
            }
            for name in names
        ]
        self.add(
            *(
                Definition(
                    **{
                        "name": name,
                        "times": (at,),
                        "at_most_once": columns.get("execution_type") == "ATMOST_ONCE",
                        **(expect or {}),
                    }
                )
                for name in names
            ),
            jobs=rows,
        )
        return names

    def add_every_second(
        self,
        jobs: int,
        times: int,
        *,
        ms: int = 20,
        do: str = "ok",
        first: datetime | None = None,
        expect: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> list[str]:
        """Cron jobs that fire once a second, `times` times from `first` (default: so that all are due now)."""
        first = (first or self.now() - timedelta(seconds=times)).replace(microsecond=0)
        moments = tuple(first + timedelta(seconds=number) for number in range(times))
        names = [f"cron-{next(self._names)}" for _ in range(jobs)]
        allow = columns.get("overlap_policy") == "allow"
        rows = [
            {
                "job_name": name,
                "cron_expression": "* * * * * *",
                "next_run_at": first,
                "start_at": first,
                "end_at": moments[-1],
                "catch_up": "all",
                "handler": "target",
                "retry_policy": {"maxRetries": 0},
                "payload": {"do": do, "ms": ms},
                **({"max_concurrent_executions": 100} if allow else {}),
                **columns,
            }
            for name in names
        ]
        expected = [
            Definition(
                **{
                    "name": name,
                    "times": moments,
                    "one_at_a_time": rows[0].get("max_concurrent_executions", 1) == 1,
                    "at_most_once": columns.get("execution_type") == "ATMOST_ONCE",
                    **(expect or {}),
                }
            )
            for name in names
        ]
        self.add(*expected, jobs=rows)
        return names

    # Looking and waiting --------------------------------------------------------------------------

    def now(self) -> datetime:
        """The true time of day."""
        return datetime.now(UTC).replace(microsecond=0)

    def calls(self) -> list[Call]:
        """The target's calls until now."""
        return checker.read_log(self.log)

    def in_flight(self, *pids: int) -> list[Call]:
        """Calls that began and did not end (of these processes)."""
        return [call for call in self.calls() if call.ended is None and (not pids or call.pid in pids)]

    def at_risk(self, *pids: int, killed_at: float) -> list[Call]:
        """Calls of killed processes that were in flight, or ended less than a poll before: not written yet."""
        return [
            call
            for call in self.calls()
            if call.pid in pids and (call.ended is None or call.ended > killed_at - POLL)
        ]

    def count(self, condition: str = "1 = 1") -> int:
        """How many executions."""
        return int(self.database.one(f"SELECT count(*) FROM job_executions WHERE {condition}"))

    def unfinished(self) -> int:
        """Executions that did not reach a final state, and fire times that were not planned."""
        foreseen = sum(len(definition.times or ()) for definition in self.definitions)
        answered = self.database.one(
            "SELECT coalesce(sum(coalesce(e.skipped_count, 1)), 0) FROM job_executions AS e"
            " JOIN batch_jobs AS j ON j.id = e.job_id"
            f" WHERE e.trigger = 'schedule' AND e.status IN {FINAL} AND j.job_name <> 'history'"
        )
        open_ones = self.count(f"status NOT IN {FINAL}")
        return max(open_ones, foreseen - int(answered))

    def wait_calls(self, number: int, seconds: float = 60) -> None:
        """Wait until the target was called so often."""
        wait_for(lambda: len(self.calls()) >= number, seconds, f"{number} calls")

    def wait_in_flight(self, number: int, *pids: int, seconds: float = 60) -> None:
        """Wait until so many calls run."""
        wait_for(lambda: len(self.in_flight(*pids)) >= number, seconds, f"{number} calls in flight")

    def wait_done(self, seconds: float = 60) -> float:
        """Wait until everything that should happen has ended; answers the seconds."""
        try:
            return wait_for(lambda: self.unfinished() == 0, seconds, "the end of all executions", step=0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.unfinished()} open\n{self.check().text()}") from None

    def last_words(self) -> str:
        """The end of what each process said."""
        return "\n".join(
            f"--- {one.log.name} ({one.process.poll()})\n{one.said[-1500:]}" for one in self.schedulers
        )

    def stale_writes(self) -> int:
        """How many writes of workers that had lost their lease met no row."""
        return sum(one.said.count("stale_write") for one in self.schedulers)

    # Judging --------------------------------------------------------------------------------------

    def check(self, *, latest: float | None = None, clock_moved: bool = False) -> Findings:
        """Let the checker judge; the figures go into the table."""
        checker.save_definitions(self.folder / "definitions.json", self.definitions, self._wall_offset)
        found = checker.check(
            self.database,
            self.log,
            self.definitions,
            wall_offset=self._wall_offset,
            latest=latest,
            clock_moved=clock_moved,
        )
        self.notes |= {
            "executions": found.executions,
            "calls": found.calls,
            "extra calls": found.extra_calls,
            "lost": len(found.missing),
            "doubled": len(found.doubled),
            "stuck": len(found.stuck),
            "lost attempts": found.lost_attempts,
            "released": found.released_attempts,
            "stale writes": self.stale_writes(),
            "schedulers": len(self.schedulers),
        }
        return found

    def judge(self, **options: Any) -> Findings:
        """Check, and fail with all that is known where anything was breached."""
        found = self.check(**options)
        assert not found.breaches, f"seed {self.seed}\n{found.text()}\n{self.last_words()}"
        return found

    def recovery(self, since: float) -> float:
        """Seconds from a monotonic moment to the end of the last attempt that was reaped after it."""
        from tests.fault.database import read_moment

        ends = self.database.fetch(
            "SELECT max(finished_at) FROM batch_job_logs WHERE failure_reason = 'worker lost'"
        )
        at = read_moment(ends[0][0])
        assert at is not None, "no attempt was lost: the fault never bit"
        seconds = at.timestamp() - (since + self._wall_offset)
        self.note_recovery(seconds)
        return seconds

    def note_recovery(self, seconds: float, *, bound: float | None = None) -> None:
        """For the table: the longest one of the test, and how long it may take."""
        longest = max(seconds, float(str(self.notes.get("recovery s", 0))))
        self.notes |= {"recovery s": round(longest, 2), "bound s": bound or BOUND}


BOUND = LEASE + POLL + 1
RECOVERY = BOUND + SLACK


def leave_a_corpse(world: World) -> str:
    """An execution that a process of yesterday claimed and never ended; answers its job's name."""
    at = world.now() - timedelta(minutes=5)
    # Paused, so that no living process claims it before it is one.
    (name,) = world.add_once(1, at=at, exhausted=True, planned_scheduled_at=at, status="paused")
    job = world.database.one("SELECT id FROM batch_jobs WHERE job_name = %s", [name])
    key = uuid.uuid4()
    world.database.insert("job_executions", [{"id": key, "job_id": job, "scheduled_at": at}])
    attempt = {"execution_id": key, "job_id": job, "job_name": name, "started_at": at, "status": "running"}
    world.database.insert("batch_job_logs", [attempt])
    world.database.write(
        "UPDATE job_executions SET status = 'RUNNING', attempt = 1, token = %s, lease_expires_at = %s,"
        " locked_by = 'scheduler-of-yesterday' WHERE id = %s",
        [uuid.uuid4(), at, key],
    )
    world.database.write("UPDATE batch_jobs SET status = 'active' WHERE id = %s", [job])
    return name


def ask_for_a_requeue(world: World) -> str:
    """A dead letter that a bulk requeue is to bring back; answers its job's name."""
    at = world.now() - timedelta(minutes=5)
    # Paused, so that no living process claims its first run.
    columns: dict[str, Any] = {"exhausted": True, "planned_scheduled_at": at, "status": "paused"}
    (name,) = world.add_once(1, at=at, expect={"final": ("SUCCESS", "FAILED")}, **columns)
    job = world.database.one("SELECT id FROM batch_jobs WHERE job_name = %s", [name])
    key, letter = uuid.uuid4(), uuid.uuid4()
    row = {"id": key, "job_id": job, "scheduled_at": at}
    world.database.insert("job_executions", [row])
    lease = world.now() + timedelta(seconds=LEASE)
    running = "status = 'RUNNING', attempt = 1, token = id, lease_expires_at = %s"
    world.database.write(f"UPDATE job_executions SET {running} WHERE id = %s", [lease, key])
    failed = "status = 'FAILED', token = NULL, lease_expires_at = NULL, completed_at = scheduled_at"
    world.database.write(f"UPDATE job_executions SET {failed} WHERE id = %s", [key])
    world.database.write("UPDATE batch_jobs SET status = 'failed' WHERE id = %s", [job])
    attempt = {"execution_id": key, "job_id": job, "job_name": name, "started_at": at, "status": "failed"}
    world.database.insert("batch_job_logs", [attempt])
    world.database.insert(
        "failed_jobs_dlq", [{"id": letter, "execution_id": key, "job_id": job, "error_details": {}}]
    )
    world.database.insert(
        "dlq_requeues",
        [{"id": uuid.uuid4(), "filters": {"letters": [str(letter)]}, "status": "canary", "count": 1}],
    )
    return name
