"""A row that anybody wrote by SQL, and that cannot be read or counted with, stops itself and nobody else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from executions.engine import adoption, heartbeat, planner, reaper
from executions.engine.loop import Engine
from executions.models import Attempt, DeadLetter, Execution, Instance
from executions.rows import MAX_COUNT
from executions.statistics import totals
from jobs.contract import Result, Run
from jobs.models import Calendar, Job, JobVersion
from tests.factories import NOON, at, handling, make_config, make_execution, make_job, run_due

pytestmark = pytest.mark.django_db(transaction=True)

POSTGRESQL = connection.vendor == "postgresql"
only_sqlite = pytest.mark.skipif(POSTGRESQL, reason="PostgreSQL refuses what has another type")
DIGITS = '{"number": ' + "7" * 5000 + "}"
DEPTH = 3000 if POSTGRESQL else 999  # SQLite itself refuses more
DEEP = "[" * DEPTH + "]" * DEPTH
SOON = NOON + timedelta(milliseconds=20)


def write(statement: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def set_job(job: Job, column: str, value: Any) -> None:
    write(f"UPDATE batch_jobs SET {column} = %s WHERE id = %s", value, job.id)


def set_execution(execution: Execution, column: str, value: Any) -> None:
    write(f"UPDATE job_executions SET {column} = %s WHERE id = %s", value, key_of(execution))


def key_of(execution: Execution) -> Any:
    return execution.id if POSTGRESQL else execution.id.hex


def read(table: str, column: str, key: int) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} WHERE id = %s", [key])
        return cursor.fetchone()[0]


def make_due_job(**fields: Any) -> Job:
    return make_job(cron_expression="0 12 * * *", next_run_at=NOON, handler="scripted", **fields)


def run_with_canary(function: Any = lambda run: Result()) -> list[Run]:
    """Run what is due beside a healthy job, which is adopted, planned, claimed and ended."""
    canary = make_due_job()
    with at(SOON), handling(function) as calls:
        engine = run_due()
    assert Execution.objects.get(job=canary).status in ("SUCCESS", "FAILED")
    assert engine._guard.failures == 0
    return calls


def ending_of(execution: Execution) -> tuple[str, str]:
    execution = Execution.objects.defer("payload").get(id=execution.id)
    return execution.status, execution.error_message or ""


# Claims ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codes", [503, "503", [[503]], {"503": True}, True])
def test_a_retry_policy_of_another_form_ends_its_own_runs(codes: object) -> None:
    execution = make_execution(make_job(handler="scripted", retry_policy={"doNotRetryOn": codes}))
    assert len(run_with_canary()) == 1
    assert ending_of(execution) == ("FAILED", "retry_policy.doNotRetryOn must be a list of HTTP codes")


@pytest.mark.parametrize("value", [DIGITS, DEEP])
@pytest.mark.parametrize("column", ["payload", "metadata", "headers", "retry_policy"])
def test_a_value_of_an_adopted_job_that_python_cannot_say_ends_its_runs(column: str, value: str) -> None:
    execution = make_execution(make_job(handler="scripted"))
    run_due()  # adopts the job; the handler is unknown yet, so this run fails
    job = execution.job
    execution = make_execution(job)
    set_job(job, column, value)
    assert len(run_with_canary()) == 1
    status, message = ending_of(execution)
    assert (status, message.startswith(f"{column} cannot be read: ")) == ("FAILED", True)
    assert DeadLetter.objects.filter(execution=execution).exists()


@pytest.mark.parametrize("value", [DIGITS, DEEP])
def test_a_payload_of_an_execution_that_python_cannot_say_ends_it_without_retries(value: str) -> None:
    execution = make_execution(make_job(handler="scripted", retry_policy={"maxRetries": 3}))
    set_execution(execution, "payload", value)
    assert len(run_with_canary()) == 1
    status, message = ending_of(execution)
    assert (status, message.startswith("payload cannot be read: ")) == ("FAILED", True)
    assert Attempt.objects.filter(execution=execution).count() == 1


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "200000-01-01 00:00:00+00"])
def test_an_execution_of_a_time_beyond_all_times_runs_and_is_counted(moment: str) -> None:
    execution = make_execution(make_job(handler="scripted"))
    set_execution(execution, "scheduled_at", moment)
    run_with_canary()
    status = read_status(execution)
    assert status in ("SUCCESS", "FAILED")
    assert sum(total.count for total in totals().values()) == 2


def read_status(execution: Execution) -> str:
    return Execution.objects.values_list("status", flat=True).get(id=execution.id)


def test_the_last_attempt_number_there_is_is_used_and_not_passed() -> None:
    execution = make_execution(make_job(handler="scripted"), attempt=MAX_COUNT)
    run_with_canary()
    assert ending_of(execution)[0] == "SUCCESS"
    assert Attempt.objects.get(execution=execution).attempt_number == MAX_COUNT


def test_an_execution_without_a_free_attempt_number_ends_and_says_so() -> None:
    execution = make_execution(make_job(handler="scripted"), attempt=MAX_COUNT)
    make_attempt(execution, MAX_COUNT)
    run_with_canary()
    status, message = ending_of(execution)
    assert status == "CANCELLED"
    assert message.startswith("cannot be started: ")


def make_attempt(execution: Execution, number: int) -> None:
    Attempt.objects.create(
        execution=execution,
        job_id=execution.job_id,
        job_name="",
        started_at=NOON - timedelta(hours=1),
        status="failed",
        attempt_number=number,
    )


def test_a_redo_by_sql_runs_with_the_next_attempt_number() -> None:
    job = make_job(handler="scripted", max_concurrent_executions=500)
    redone = [make_execution(job) for _ in range(60)]
    for execution in redone:
        for number in (1, 2):
            make_attempt(execution, number)
    behind = make_execution(make_job(handler="scripted"), next_attempt_at=SOON)
    run_with_canary()
    assert {ending_of(execution)[0] for execution in [*redone, behind]} == {"SUCCESS"}
    assert set(Execution.objects.filter(job=job).values_list("attempt", flat=True)) == {3}


def test_a_job_that_runs_already_still_waits_where_another_row_is_refused() -> None:
    job = make_job(handler="scripted")
    make_execution(
        job,
        status="RUNNING",
        token="0" * 32,
        lease_expires_at=NOON + timedelta(seconds=30),
        exclusive=True,
        attempt=1,
    )
    waiting = make_execution(job)
    redone = make_execution(make_job(handler="scripted"))
    make_attempt(redone, 1)
    run_with_canary()
    assert (ending_of(redone)[0], ending_of(waiting)[0]) == ("SUCCESS", "PENDING")


@only_sqlite
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("priority", "high"),
        ("queue", b"\xff"),
        ("retry_count", "many"),
        ("attempt", "first"),
        ("batch", "zzz"),
        ("scheduled_at", "some day"),
        ("next_attempt_at", "-infinity"),
    ],
)
def test_an_execution_with_a_value_of_another_type_ends(column: str, value: object) -> None:
    execution = make_execution(make_job(handler="scripted"))
    set_execution(execution, column, value)
    run_with_canary()
    with connection.cursor() as cursor:
        cursor.execute("SELECT status, error_message FROM job_executions WHERE id = %s", [execution.id.hex])
        status, message = cursor.fetchone()
    if column in ("scheduled_at", "next_attempt_at"):
        assert status == "SUCCESS"  # a time that is none is read as the last one
    else:
        assert (status, bool(message)) in (("FAILED", True), ("CANCELLED", True))


@only_sqlite
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("max_concurrent_executions", "two"),
        ("rate_limit_per_minute", "some"),
        ("timeout_ms", "long"),
        ("uuid", "zzz"),
        ("job_name", b"\xff"),
        ("cron_expression", b"\xff"),
    ],
)
def test_a_job_with_a_value_of_another_type_ends_its_runs(column: str, value: object) -> None:
    execution = make_execution(make_job(handler="scripted"))
    set_job(execution.job, column, value)
    run_with_canary()
    status, message = ending_of(execution)
    assert (status, message.startswith("the job's row cannot be read: ")) == ("FAILED", True)


# Adoption and planning ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [DIGITS, DEEP])
@pytest.mark.parametrize("column", ["payload", "metadata", "headers", "retry_policy", "result"])
def test_a_new_row_with_a_value_that_python_cannot_say_is_planned_and_says_so_when_it_runs(
    column: str, value: str
) -> None:
    poison = make_due_job()
    set_job(poison, column, value)
    run_with_canary()
    status, message = ending_of(Execution.objects.get(job=poison))
    if column != "result":
        assert (status, message.startswith(f"{column} cannot be read: ")) == ("FAILED", True)
        assert read("batch_jobs", f"length(CAST({column} AS text))", poison.id) > 999
    poison = Job.objects.get(id=poison.id)
    assert poison.next_run_at == NOON + timedelta(days=1)
    assert JobVersion.objects.filter(job=poison).exists()


def test_a_value_that_cannot_be_read_is_saved_as_it_was() -> None:
    job = make_due_job()
    set_job(job, "payload", DIGITS)
    poison = Job.objects.get(id=job.id)
    poison.save()
    assert read("batch_jobs", "length(CAST(payload AS text))", job.id) >= 5000


def edit_schedule(job: Job) -> None:
    set_job(job, "cron_expression", "30 12 * * *")


def test_the_last_version_there_is_counts_on_from_those_that_were_recorded() -> None:
    job = make_due_job()
    run_due()
    set_job(job, "version", MAX_COUNT)
    edit_schedule(job)
    run_with_canary()
    job.refresh_from_db()
    assert (job.version, job.schedule_error) == (2, None)


def test_a_version_that_sql_set_back_takes_no_number_twice() -> None:
    job = make_due_job()
    run_due()
    for number in (2, 3):
        JobVersion.objects.create(job=job, version=number, definition={}, valid_to=NOON)
    edit_schedule(job)
    run_with_canary()
    job.refresh_from_db()
    assert job.version == 4


@only_sqlite
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("misfire_grace_seconds", "a while"),
        ("max_concurrent_executions", "two"),
        ("priority", "high"),
        ("jitter_seconds", "some"),
        ("timeout_ms", "long"),
        ("uuid", "zzz"),
        ("cron_expression", b"\xff"),
        ("timezone", b"\xff"),
        ("queue", b"\xff"),
        ("version", "newest"),
    ],
)
@pytest.mark.parametrize("adopted", [False, True])
def test_a_job_with_a_value_of_another_type_is_put_aside(column: str, value: object, adopted: bool) -> None:
    poison = make_due_job(overlap_policy="replace") if column.startswith("max") else make_due_job()
    if adopted:
        with at(NOON - timedelta(minutes=1)):
            run_due()
    set_job(poison, column, value)
    if column == "version":
        edit_schedule(poison)
    run_with_canary()
    message = read("batch_jobs", "error_message", poison.id)
    assert message or column == "version"
    assert not Execution.objects.filter(job_id=poison.id, status__in=("PENDING", "RUNNING")).exists()


@only_sqlite
def test_an_execution_whose_id_is_none_stops_only_itself() -> None:
    poison = make_execution(make_job(handler="scripted"))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE job_executions SET id = 'zzz' WHERE id = %s", [poison.id.hex])
    run_with_canary()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM job_executions WHERE id = 'zzz'")


@only_sqlite
def test_a_row_that_was_put_aside_is_planned_again_once_it_is_mended() -> None:
    poison = make_due_job()
    set_job(poison, "uuid", "zzz")
    run_with_canary()
    assert "set exhausted to false" in read("batch_jobs", "error_message", poison.id)
    set_job(poison, "uuid", "0" * 31 + "1")
    set_job(poison, "exhausted", False)
    with at(SOON):
        run_due()
    poison = Job.objects.get(id=poison.id)
    assert (poison.next_run_at, poison.error_message) == (NOON + timedelta(days=1), None)


def test_many_rows_that_cannot_be_written_are_each_put_aside_and_the_others_planned() -> None:
    jobs = [make_due_job() for _ in range(20)]
    refuse_updates("batch_jobs", jobs[7].id, "next_run_at")
    run_with_canary()
    planned = set(Execution.objects.values_list("job_id", flat=True))
    assert {job.id for job in jobs} - planned == {jobs[7].id}


def test_nobody_is_put_aside_where_no_job_could_be_planned_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours breaks for every job; the next release finds them as they were."""
    monkeypatch.setattr(adoption, "_proven", set())
    jobs = [make_due_job() for _ in range(3)]
    with monkeypatch.context() as broken:
        broken.setattr(planner, "plan_job", lambda *given: None)
        with at(SOON):
            run_due()
    assert set(Job.objects.values_list("exhausted", "error_message")) == {(False, None)}
    with at(SOON), handling(lambda run: Result()):
        run_due()
    assert set(Execution.objects.values_list("job_id", flat=True)) == {job.id for job in jobs}


def refuse_updates(table: str, key: Any, column: str) -> None:
    """A rule of the owner's own that refuses what the engine writes, the note why it is put aside too."""
    if POSTGRESQL:
        write(
            f"ALTER TABLE {table} ADD CONSTRAINT poison CHECK (id <> {key} OR {column} IS NOT NULL) NOT VALID"
        )
        write(
            f"ALTER TABLE {table} ADD CONSTRAINT poison2 CHECK (id <> {key} OR {column} < '2026-03-03')"
            " NOT VALID"
        )
    else:
        write(
            f"CREATE TRIGGER poison BEFORE UPDATE OF {column} ON {table} WHEN NEW.id = {key}"
            " BEGIN SELECT RAISE(ABORT, 'poison'); END"
        )


def test_a_calendar_that_cannot_be_read_stops_nobody() -> None:
    calendar = Calendar.objects.create(name="poison")
    poison = make_due_job(calendar=calendar)
    write("UPDATE calendars SET definition = %s, past = %s", DIGITS, DIGITS)
    run_with_canary()
    assert "calendar 'poison' cannot be read" in (Job.objects.get(id=poison.id).error_message or "")


# Endings --------------------------------------------------------------------------------------------


def fail(run: Run) -> Result:
    raise ValueError("no such customer")


@pytest.mark.parametrize("state", ["active", "deleted"])
def test_a_count_of_failures_that_is_full_stays_full(state: str) -> None:
    job = make_job(handler="scripted", consecutive_failures=MAX_COUNT)
    execution = make_execution(job)

    def fail_and_delete(run: Run) -> Result:
        set_job(job, "status", state)
        raise ValueError("no such customer")

    run_with_canary(fail_and_delete)
    assert ending_of(execution) == ("FAILED", "no such customer")
    job.refresh_from_db()
    assert job.consecutive_failures == MAX_COUNT


def test_counts_of_retries_and_of_losses_that_are_full_stay_full() -> None:
    policy = {"maxRetries": 3, "initialDelayMs": 1}
    execution = make_execution(make_job(handler="scripted", retry_policy=policy), retry_count=MAX_COUNT)
    run_with_canary(fail)
    assert ending_of(execution) == ("FAILED", "no such customer")
    lost = make_execution(
        make_job(),
        status="RUNNING",
        token="1" * 32,
        attempt=1,
        lost_count=MAX_COUNT,
        lease_expires_at=NOON - timedelta(minutes=1),
    )
    reaper.reap(NOON, timedelta(seconds=30))
    assert ending_of(lost) == ("FAILED", "worker lost")


def test_a_job_whose_row_refuses_the_outcome_ends_its_runs_all_the_same() -> None:
    job = make_job(handler="scripted")
    execution = make_execution(job)
    refuse_outcomes(job)
    run_with_canary(fail)
    assert ending_of(execution) == ("FAILED", "no such customer")
    assert DeadLetter.objects.filter(execution=execution).exists()


def refuse_outcomes(job: Job) -> None:
    if POSTGRESQL:
        write(
            f"ALTER TABLE batch_jobs ADD CONSTRAINT poison CHECK (id <> {job.id} OR consecutive_failures < 1)"
        )
    else:
        write(
            "CREATE TRIGGER poison BEFORE UPDATE OF consecutive_failures ON batch_jobs"
            f" WHEN NEW.id = {job.id} BEGIN SELECT RAISE(ABORT, 'poison'); END"
        )


@pytest.fixture(autouse=True)
def _own_rules_go() -> Any:
    yield
    if POSTGRESQL:
        for name in ("poison", "poison2"):
            write(f"ALTER TABLE batch_jobs DROP CONSTRAINT IF EXISTS {name}")
    else:
        write("DROP TRIGGER IF EXISTS poison")


def test_a_lost_run_whose_policy_cannot_be_read_is_rescued_like_any_other() -> None:
    lost = [
        make_execution(
            make_job(),
            status="RUNNING",
            token=digit * 32,
            attempt=1,
            lost_count=3,
            lease_expires_at=NOON - timedelta(minutes=1),
        )
        for digit in "12"
    ]
    set_job(lost[0].job, "retry_policy", DIGITS)
    assert reaper.reap(NOON, timedelta(seconds=30)) == 2
    assert {ending_of(one)[0] for one in lost} == {"FAILED"}


# The heartbeat --------------------------------------------------------------------------------------


def test_a_process_says_that_it_is_alive_before_it_adopts(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(now: Any) -> Any:
        raise ValueError("a row that nobody thought of")

    monkeypatch.setattr("executions.engine.adoption.adopt", stumble)
    engine = Engine(make_config())
    with pytest.raises(ValueError, match="nobody thought of"):
        engine._look_around(NOON)
    assert Instance.objects.get(id=engine.config.instance).last_heartbeat == NOON


def test_a_process_whose_own_row_cannot_be_read_still_beats() -> None:
    config = make_config()
    heartbeat.register(config, NOON)
    write("UPDATE scheduler_metadata SET metadata = %s", DIGITS)
    heartbeat.beat(config, SOON, processed=1, figures={"busySlots": 1})
    row = Instance.objects.get(id=config.instance)
    assert (row.last_heartbeat, row.metadata) == (SOON, {"busySlots": 1})
