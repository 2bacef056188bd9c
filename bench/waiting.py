"""Is the cost of a claim that of what it takes, and not of what waits?

    python -m bench.waiting [--waiting 100000] [--claims 200] [--database sqlite]

So many executions wait behind one thing that holds them back, all due earlier than what other jobs have to
run. Each claim takes TAKEN executions of the others, which are put there before it. Floor: the same claims
with nothing waiting, in the same run.
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bench.database import NAMES, add_choice, fill, in_seconds, new_id, numbers, own_database, settle
from bench.table import Table, median, percentile

if TYPE_CHECKING:
    from executions.engine.assignment import Assignment
    from executions.models import Execution
    from jobs.models import Job

OTHERS = 50  # jobs whose executions can start
CROWD = 100  # jobs behind a limit that several share
TAKEN = 10  # executions a claim takes
NOTHING = "nothing waits"


class World:
    """Jobs that hold executions back, jobs that do not, and claims of the latter."""

    def __init__(self) -> None:
        from executions.engine.claimer import Claimer
        from executions.engine.config import read_config
        from jobs.models import Job

        self.claimer = Claimer(config=read_config(concurrency=TAKEN))
        self.others = Job.objects.bulk_create(self._job(f"other-{number}") for number in range(OTHERS))
        self._turn = 0

    @staticmethod
    def _job(name: str, **fields: Any) -> Job:
        from jobs.models import Job

        terms = {"cron_expression": "0 0 1 1 *", "handler": "default", "max_concurrent_executions": 100}
        return Job(uuid=uuid.uuid4(), name=name, **(terms | fields))

    def hold(self, waiting: int, *, jobs: int = 1, **fields: Any) -> list[int]:
        """Let so many executions wait for jobs of this kind; answers the jobs' keys."""
        from jobs.models import Job

        made = Job.objects.bulk_create(self._job(f"held-{uuid.uuid4()}", **fields) for _ in range(jobs))
        keys = [job.pk for job in made]
        lasts = max(waiting, 3600)
        fill(
            f"""
            INSERT INTO job_executions (id, job_id, scheduled_at, next_attempt_at, queue)
            SELECT {new_id()}, {keys[0]} + n % {jobs}, {in_seconds(f"n - {lasts} - 60")},
                {in_seconds(f"n - {lasts} - 60")}, '{fields.get("queue", "default")}'
            FROM {numbers(waiting)}
            """
        )
        return keys

    @staticmethod
    def _execution(job_id: int, at: datetime) -> Execution:
        from executions.models import Execution

        return Execution(id=uuid.uuid4(), job_id=job_id, scheduled_at=at, next_attempt_at=at)

    def claim(self) -> float:
        """Put TAKEN executions of other jobs there, claim and end them; answers the claim's time in ms."""
        from executions.models import Execution

        now = _now()
        chosen = [self.others[(self._turn + number) % OTHERS].pk for number in range(TAKEN)]
        self._turn += TAKEN
        Execution.objects.bulk_create(self._execution(job, now) for job in chosen)
        begun = time.perf_counter()
        found = self.claimer.claim(_now(), slots=TAKEN, confirmed=time.monotonic())
        if len(found.assignments) < TAKEN:  # the look that notices a clogged window may need a second one
            found.assignments += self.claimer.claim(
                _now(), slots=TAKEN - len(found.assignments), confirmed=time.monotonic()
            ).assignments
        taken = 1000 * (time.perf_counter() - begun)
        assert {one.claim.job_id for one in found.assignments} == set(chosen), len(found.assignments)
        end(found.assignments)
        return taken


def end(assignments: Sequence[Assignment]) -> None:
    """Finish what was claimed, as the engine does."""
    from executions.engine import completer
    from executions.engine.completer import Report
    from executions.engine.outcome import Outcome
    from jobs.contract import Result

    completer.complete(
        [Report(assignment=one, outcome=Outcome(result=Result())) for one in assignments], _now()
    )


def _now() -> datetime:
    from executions.engine import clock

    return clock.now()


def behind_a_busy_job(world: World, waiting: int) -> None:
    """A job that runs one at a time, and runs."""
    world.hold(waiting, max_concurrent_executions=1)


def behind_a_rate(world: World, waiting: int) -> None:
    """A job that has used up its rate of this minute."""
    world.hold(waiting, rate_limit_per_minute=1)


def behind_a_paused_job(world: World, waiting: int) -> None:
    """A job that is paused."""
    world.hold(waiting, state="paused")


def behind_a_paused_queue(world: World, waiting: int) -> None:
    """Jobs of a queue that is paused."""
    from jobs.models import Queue

    Queue.objects.create(name="shut", paused=True)
    world.hold(waiting, jobs=CROWD, queue="shut")


def behind_a_full_tag(world: World, waiting: int) -> None:
    """Jobs of a tag that lets one run at a time, which runs."""
    from jobs.models import JobTag, Tag

    tag = Tag.objects.create(id=uuid.uuid4(), name="full", max_concurrent=1)
    keys = world.hold(waiting, jobs=CROWD)
    JobTag.objects.bulk_create(JobTag(job_id=key, tag=tag) for key in keys)


SCENES: dict[str, Callable[[World, int], None]] = {
    "behind a busy job": behind_a_busy_job,
    "behind a job at its rate": behind_a_rate,
    "behind a paused job": behind_a_paused_job,
    "behind a paused queue": behind_a_paused_queue,
    "behind a full tag": behind_a_full_tag,
}


def clear() -> None:
    """Nothing waits and nothing runs."""
    from executions.models import Attempt, Execution, ExecutionLog, Horizon
    from executions.rows import write
    from jobs.models import Job, JobTag, Queue, Tag

    for model in (ExecutionLog, Attempt, Execution, Horizon, JobTag, Tag, Queue, Job):
        write(f"DELETE FROM {model._meta.db_table}")
    settle()


def measure(scene: Callable[[World, int], None] | None, waiting: int, claims: int) -> list[float]:
    """The times of so many claims, in ms, once what waits has been looked at."""
    from executions.models import Attempt

    clear()
    world = World()
    if scene is not None:
        scene(world, waiting)
        settle()
        world.claimer.claim(_now(), slots=1, confirmed=time.monotonic())  # the one that fills the limit
        Attempt.objects.update(started_at=_now() + timedelta(hours=1))  # a rate stays used up meanwhile
    for _ in range(5):
        world.claim()
    return [world.claim() for _ in range(claims)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--claims", type=int, default=200)
    parser.add_argument(
        "--scene", choices=[name.replace(" ", "-") for name in SCENES], help="one of them only"
    )
    add_choice(parser)
    given = parser.parse_args()
    with own_database(given.database):
        floor, found = [], {}
        for name, scene in SCENES.items():
            if given.scene in (None, name.replace(" ", "-")):
                floor += measure(None, 0, given.claims)  # before each, so that both see the same machine
                found[name] = measure(scene, given.waiting, given.claims)
    table = Table(f"Claim p95 with {given.waiting:,} waiting, {NAMES[given.database]}", unit="ms")
    table.add(NOTHING, percentile(floor, 0.95), f"p50 {median(floor):.2f}")
    for name, figures in found.items():
        table.add(name, percentile(figures, 0.95), f"p50 {median(figures):.2f}")
        table.judge(name, to=NOTHING, at_most=2.0)
    table.show(floor=NOTHING)


if __name__ == "__main__":
    main()
