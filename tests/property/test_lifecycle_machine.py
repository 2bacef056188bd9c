"""The engine's own steps over real tables, in any order, by two processes that crash, stall and misread time.

Ten invariants hold after every step:
I1 one row for each (job, fire time)          I2 the attempt number only grows
I3 one final state, entered once              I4 a final state is never left
I5 RUNNING ⇔ token and lease                  I6 next_run_at lies after everything that was planned
I7 at most one RUNNING of an exclusive job    I8 retries ≤ maxRetries, recoveries ≤ 3
I9 a stale write changes nothing              I10 the counts are those of the model
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from executions import lifecycle, operations
from executions.engine import adoption, clock, completer, planner, reaper
from executions.engine.assignment import Assignment
from executions.engine.claimer import Claimer
from executions.engine.completer import Report
from executions.engine.config import EngineConfig
from executions.engine.outcome import Outcome
from executions.models import Attempt, DeadLetter, Execution, Status
from jobs.audit import COMMAND_LINE
from jobs.contract import Result
from jobs.models import Job

STATUS = [field.attname for field in Execution._meta.concrete_fields].index("status")
START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=30)
FINAL = {Status.SUCCESS, Status.FAILED, Status.CANCELLED, Status.SKIPPED}
EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "60"))
STEPS = int(os.environ.get("MACHINE_STEPS", "40"))

VERBS = [
    "trigger",
    "trigger",
    "trigger",
    "resume",
    "resume",
    "resume-all",
    "edit",
    "pause",
    "deactivate",
    "cancel",
    "delete",
]
# What ends a job is rarer than what lets it run, or nothing would ever run.
VERBS = [*["trigger"] * 4, *["resume"] * 4, "resume-all", "edit", "pause", "deactivate", "cancel", "delete"]
BITES: Counter[str] = Counter()  # what happened in all examples together

who = st.sampled_from(["A", "B"])
picks = st.integers(min_value=0, max_value=10_000)
definitions = st.fixed_dictionaries(
    {
        "every": st.sampled_from(["* * * * * *", "* * * * * *", "*/5 * * * * *", "* * * * *"]),
        "overlap": st.sampled_from(["queue", "skip", "allow", "replace"]),
        "catch_up": st.sampled_from(["none", "latest", "all"]),
        "at_most_once": st.booleans(),
        "retries": st.integers(0, 2),
        "once": st.sampled_from([False, False, True]),
    }
)


def make_config(name: str) -> EngineConfig:
    """A process of the engine, without its loop."""
    second = timedelta(seconds=1)
    return EngineConfig(
        instance=f"scheduler-{name}",
        concurrency=4,
        queues=(),
        plans=True,
        works=True,
        lease=LEASE,
        poll=second,
        heartbeat=second,
        shutdown=second,
    )


class Boom(Exception):
    """A process dies inside its transaction."""


class Ledger(RuleBasedStateMachine):
    """Two processes, A and B, one ledger, and a clock that goes both ways."""

    @initialize(first=definitions, second=definitions)
    def begin(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        self.now = START
        self.rewound = False
        self.clock = clock.moved(lambda: self.now)
        self.clock.__enter__()
        self.claimers = {name: Claimer(config=make_config(name)) for name in "AB"}
        self.held: dict[str, list[Assignment]] = {"A": [], "B": []}
        self.old: list[Assignment] = []
        self.seen: dict[UUID, dict[str, Any]] = {}
        self.finals: Counter[str] = Counter()
        self.jobs = 0
        self._create(**first)
        self._create(**second)

    def teardown(self) -> None:
        if hasattr(self, "clock"):
            self.clock.__exit__(None, None, None)
        Job.objects.all().delete()

    # What operators do ----------------------------------------------------------------------------

    @precondition(lambda self: self.jobs < 6)
    @rule(fields=definitions)
    def create(self, fields: dict[str, Any]) -> None:
        self._create(**fields)

    def _create(
        self, *, every: str, overlap: str, catch_up: str, at_most_once: bool, retries: int, once: bool
    ) -> None:
        self.jobs += 1
        family = (
            {"schedule_type": "one_time", "scheduled_at": self.now + timedelta(seconds=2)}
            if once
            else {"cron_expression": every}
        )
        policy = {
            "maxRetries": 0 if at_most_once else retries,
            "backoffStrategy": "FIXED",
            "initialDelayMs": 1000,
        }
        job = Job(
            name=f"job-{self.jobs}",
            origin="api",
            handler="default",
            overlap_policy=overlap,
            catch_up=catch_up,
            misfire_grace_seconds=5,
            execution_type="ATMOST_ONCE" if at_most_once else "ATLEAST_ONCE",
            retry_policy=policy,
            max_concurrent_executions=3 if overlap == "allow" else 1,
            **family,
        )
        operations.create(job, by=COMMAND_LINE)

    @precondition(lambda self: self.jobs)
    @rule(
        pick=picks,
        verb=st.sampled_from(VERBS),
    )
    def change_a_job(self, pick: int, verb: str) -> None:
        jobs = list(Job.objects.order_by("id"))
        job = jobs[pick % len(jobs)]
        verbs: dict[str, Callable[[], object]] = {
            "resume-all": lambda: operations.resume(job, by=COMMAND_LINE, catch_up="all"),
            "edit": lambda: operations.update(
                job, {"timezone": "Asia/Kolkata" if job.timezone is None else None}, by=COMMAND_LINE
            ),
        }
        plain: Callable[..., object] = getattr(operations, verb, operations.pause)
        try:
            verbs[verb]() if verb in verbs else plain(job, by=COMMAND_LINE)
        except (operations.Refused, operations.Invalid):
            pass

    @rule(pick=picks, mostly=st.sampled_from([False, False, True]))
    def cancel_an_execution(self, pick: int, mostly: bool) -> None:
        if not mostly:
            return
        rows = list(Execution.objects.unfinished().order_by("id"))
        if rows:
            operations.cancel_execution(rows[pick % len(rows)], by=COMMAND_LINE)

    @rule(pick=picks)
    def requeue(self, pick: int) -> None:
        letters = list(DeadLetter.objects.filter(resolved=False).order_by("id"))
        if letters:
            operations.requeue(letters[pick % len(letters)], by=COMMAND_LINE)

    # What time does -------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.3, 1, 3, 8, 31, 70, 400]))
    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(seconds=st.sampled_from([2, 100, 7200]))
    def set_back(self, seconds: int) -> None:
        self.now -= timedelta(seconds=seconds)
        self.rewound = True

    # What processes do ----------------------------------------------------------------------------

    @rule(name=who, seconds=st.sampled_from([1, 2, 4]), how=st.sampled_from(["success", "success", "error"]))
    def work(self, name: str, seconds: int, how: str) -> None:
        """What a pass does, all at once: most of a process's life."""
        self.advance(seconds)
        while len(self.held[name]) > 1:
            self._end(self.held[name].pop(0), how)
        self.plan()
        self.claim(name, 5)

    @rule()
    def plan(self) -> None:
        adoption.adopt(self.now)
        planner.plan_due(self.now)

    @rule(step=st.sampled_from(["plan", "claim", "reap"]))
    def die_before_the_commit(self, step: str) -> None:
        steps: dict[str, Callable[[], object]] = {
            "plan": lambda: planner.plan_due(self.now),
            "claim": lambda: self.claimers["A"].claim(self.now, slots=5, confirmed=0.0),
            "reap": lambda: reaper.reap(self.now, LEASE),
        }
        try:
            with transaction.atomic():
                steps[step]()
                raise Boom
        except Boom:
            pass

    @rule(name=who, slots=st.integers(1, 5))
    def claim(self, name: str, slots: int) -> None:
        """At most so many, and only for whoever asks."""
        found = self.claimers[name].claim(self.now, slots=slots, confirmed=0.0)
        assert len(found.assignments) <= slots
        self.held[name] += found.assignments

    @rule(name=who)
    def renew(self, name: str) -> None:
        owned = lifecycle.renew([one.claim for one in self.held[name]], now=self.now, lease=LEASE).confirmed
        lost = [one for one in self.held[name] if one.claim.token not in owned]
        assert all(not self._owns(one) for one in lost)
        self.held[name] = [one for one in self.held[name] if one.claim.token in owned]
        self.old += lost

    @rule(
        name=who,
        pick=picks,
        how=st.sampled_from(["success", "error", "released", "cancelled"]),
        stop=st.booleans(),
    )
    def end(self, name: str, pick: int, how: str, stop: bool) -> None:
        if not self.held[name]:
            return
        one = self.held[name].pop(pick % len(self.held[name]))
        if stop:
            self.old.append(one)  # it will say the same again, as after a commit whose answer was lost
        self._end(one, how)

    @precondition(lambda self: self.old)
    @rule(pick=picks, how=st.sampled_from(["success", "error", "released"]))
    def end_what_may_be_lost(self, pick: int, how: str) -> None:
        self._end(self.old[pick % len(self.old)], how)

    @rule(name=who)
    def crash(self, name: str) -> None:
        self.old += self.held[name]
        self.held[name] = []

    @rule(name=who)
    def stand_still_while_another_takes_over(self, name: str) -> None:
        self.crash(name)
        self.advance(31)
        reaper.reap(self.now, LEASE)
        self.claim("B" if name == "A" else "A", 5)
        for one in self.old[-2:]:  # and comes back with what it has to say
            self._end(one, "success")

    @rule()
    def reap(self) -> None:
        reaper.reap(self.now, LEASE)

    def _owns(self, one: Assignment) -> bool:
        return bool(Execution.objects.filter(id=one.claim.execution_id, token=one.claim.token).exists())

    def _end(self, one: Assignment, how: str) -> None:
        ours = self._owns(one)
        before = self._row(one.claim.execution_id)
        outcomes = {
            "success": Outcome(result=Result(total=1, success=1)),
            "error": Outcome(error=RuntimeError("no")),
            "released": Outcome(stopped_for="shutdown"),
            "cancelled": Outcome(stopped_for="cancel"),
        }
        done = completer.complete([Report(assignment=one, outcome=outcomes[how])], self.now)
        assert (done.written, done.stale) == ((1, 0) if ours else (0, 1))
        BITES["written" if ours else "stale"] += 1
        BITES["stale while another runs"] += not ours and before[0][STATUS] == Status.RUNNING
        if not ours:
            assert self._row(one.claim.execution_id) == before, "I9: a stale write changed a row"

    @staticmethod
    def _row(key: UUID) -> tuple[Any, ...]:
        attempts = Attempt.objects.filter(execution_id=key).order_by("id").values_list()
        return (*Execution.objects.filter(id=key).values_list(), *attempts)

    # What must hold -------------------------------------------------------------------------------

    @invariant()
    def the_promise_holds(self) -> None:
        if not hasattr(self, "seen"):
            return
        rows = {row["id"]: row for row in Execution.objects.select_related("job").values(
            "id", "job_id", "scheduled_at", "skipped_until", "status", "trigger", "attempt", "retry_count",
            "lost_count", "token", "lease_expires_at", "exclusive",
        )}  # fmt: skip
        self._each_row(rows)
        self._each_job(rows)
        self._counts(rows)
        self.seen = rows

    def _each_row(self, rows: dict[UUID, dict[str, Any]]) -> None:
        policies: dict[int, Any] = dict(Job.objects.values_list("id", "retry_policy"))
        for key, row in rows.items():
            before = self.seen.get(key)
            if before is not None:
                assert row["attempt"] >= before["attempt"], "I2"
                if before["status"] in FINAL:
                    assert row["status"] == before["status"], "I4"
            claimed = row["token"] is not None and row["lease_expires_at"] is not None
            assert (row["status"] == Status.RUNNING) == claimed, "I5"
            assert row["retry_count"] <= policies[row["job_id"]]["maxRetries"], "I8"
            assert row["lost_count"] <= 4, "I8"
        assert not self.seen.keys() - rows.keys(), "a row went away"

    def _each_job(self, rows: dict[UUID, dict[str, Any]]) -> None:
        planned = Counter(
            (row["job_id"], row["scheduled_at"]) for row in rows.values() if row["trigger"] == "schedule"
        )
        assert not planned or max(planned.values()) == 1, "I1"
        running = Counter(
            row["job_id"] for row in rows.values() if row["status"] == Status.RUNNING and row["exclusive"]
        )
        assert not running or max(running.values()) == 1, "I7"
        if self.rewound:
            return  # an edit then plans from an earlier now; I1 still keeps every fire time to one row
        last: dict[int, datetime] = {}
        for row in rows.values():
            if row["trigger"] == "schedule":
                at = row["skipped_until"] or row["scheduled_at"]
                last[row["job_id"]] = max(at, last.get(row["job_id"], at))
        planning = Job.objects.exclude(state__in=("completed", "failed", "deleted"))
        for job_id, cursor in planning.filter(next_run_at__isnull=False).values_list("id", "next_run_at"):
            assert job_id not in last or cursor > last[job_id], "I6"

    def _counts(self, rows: dict[UUID, dict[str, Any]]) -> None:
        attempts = Counter(Attempt.objects.values_list("execution_id", flat=True))
        assert {key: number for key, number in attempts.items() if number} == {
            key: row["attempt"] for key, row in rows.items() if row["attempt"]
        }, "I10: each claim has its attempt row"
        failed = {key for key, row in rows.items() if row["status"] == Status.FAILED}
        letters = list(DeadLetter.objects.values_list("execution_id", flat=True))
        assert set(letters) == failed, "I3: FAILED ⇔ one dead letter"
        assert len(letters) == len(failed), "I3"
        wins = Counter(Attempt.objects.filter(status="success").values_list("execution_id", flat=True))
        succeeded = {key for key, row in rows.items() if row["status"] == Status.SUCCESS}
        assert dict(wins) == dict.fromkeys(succeeded, 1), "I3: one success for each SUCCESS"
        open_ones = set(Attempt.objects.filter(status="running").values_list("execution_id", flat=True))
        assert open_ones == {key for key, row in rows.items() if row["status"] == Status.RUNNING}, "I10"
        states = Counter(row["status"] for row in rows.values())
        assert sum(states.values()) == Execution.objects.count(), "I10"


@pytest.fixture(autouse=True)
def bites() -> Iterator[None]:
    """A machine that never meets a stale claim proves nothing: such a run is void."""
    BITES.clear()
    yield
    assert BITES["written"], f"void: {BITES}"
    assert BITES["stale"], f"void: {BITES}"


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(900)
class TestLedger(Ledger.TestCase):  # type: ignore[misc, valid-type]
    """The machine as a test, on whichever database the run uses."""

    settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
