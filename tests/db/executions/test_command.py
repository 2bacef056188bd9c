"""Programs and Django commands as jobs: from the row to what is kept of the run."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from executions import operations
from executions.management_command import allow_command, forbid_command
from executions.models import Execution, ExecutionLog
from jobs import definitions
from jobs.audit import Actor
from jobs.models import Job
from tests.factories import make_execution, make_job, run_due

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def enabled(settings: Any) -> None:
    settings.ENABLED_HANDLERS = ["command", "management-command"]


def run(payload: dict[str, Any], *, handler: str = "command", **fields: Any) -> Any:
    """The execution of a job with this payload, after it ran."""
    execution = make_execution(make_job(handler=handler, payload=payload, **fields))
    run_due()
    execution.refresh_from_db()
    return execution


def test_a_program_runs_and_its_output_is_kept() -> None:
    ended = run({"argv": ["sh", "-c", "echo to you; echo careful >&2"]})
    assert (ended.status, ended.total_processed, ended.total_success) == ("SUCCESS", 1, 1)
    assert ended.result == {"exitCode": 0, "stdout": "to you\n", "stderr": "careful\n"}
    said = dict(ExecutionLog.objects.values_list("message", "log_level"))
    assert (said["to you"], said["careful"]) == ("INFO", "WARN")


def test_another_exit_code_is_a_failure_that_tells_the_last_words() -> None:
    ended = run({"argv": ["sh", "-c", "echo no disk left >&2; exit 4"]})
    assert (ended.status, ended.error_message) == ("FAILED", "exit code 4: no disk left")
    assert ended.result["exitCode"] == 4
    assert run({"argv": ["sh", "-c", "exit 4"], "successCodes": [0, 4]}).status == "SUCCESS"


def test_the_run_introduces_itself_and_our_secrets_stay_with_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY_OF_OURS", "very secret")
    monkeypatch.setenv("LC_TIME", "C")
    ended = run({"argv": ["env"], "env": {"MODE": "full"}}, name="nightly")
    seen = dict(line.split("=", 1) for line in ended.result["stdout"].splitlines())
    assert (seen["EXECUTION_ID"], seen["JOB_NAME"], seen["ATTEMPT"]) == (str(ended.id), "nightly", "1")
    assert (seen["MODE"], seen["LC_TIME"]) == ("full", "C")
    assert not {name for name in seen if "SECRET" in name or name.startswith("DJANGO")}


def test_a_secret_given_to_the_program_does_not_show_in_what_it_says() -> None:
    ended = run({"argv": ["sh", "-c", "echo it is $API_TOKEN"], "env": {"API_TOKEN": "hunter22"}})
    kept = str(ended.result) + "".join(ExecutionLog.objects.values_list("message", flat=True))
    assert "hunter22" not in kept
    assert "it is ***" in kept


def test_much_output_is_cut_and_says_so() -> None:
    ended = run({"argv": [sys.executable, "-c", "print('ä' * 100_000)"]})
    assert ended.status == "SUCCESS"
    assert len(ended.result["stdout"].encode()) <= 30_720
    assert ended.result["stdout"].endswith("…[truncated]")


def test_its_time_over_it_ends_as_timeout_with_all_it_started(tmp_path: Path) -> None:
    ended = run({"argv": ["sh", "-c", "echo begun; sleep 600 & sleep 600"]}, timeout_ms=300)
    assert (ended.status, ended.reason) == ("FAILED", "timeout")
    assert ended.error_message == "timeout of 300ms exceeded"
    assert ended.result["stdout"] == "begun\n"


def test_a_cancelled_one_ends_cancelled(tmp_path: Path) -> None:
    execution = make_execution(
        make_job(handler="command", payload={"argv": ["sh", "-c", f"echo > {tmp_path / 'on'}; sleep 600"]})
    )

    def cancel() -> None:
        from django.db import connection

        try:
            while not (tmp_path / "on").exists():
                waiting.wait(0.01)
            operations.cancel_execution(execution, by=Actor(name="tests"))
        finally:
            connection.close()

    waiting = threading.Event()
    other = threading.Thread(target=cancel)
    other.start()
    run_due()
    other.join()
    execution.refresh_from_db()
    assert execution.status == "CANCELLED"


def test_a_program_that_does_not_exist_is_not_tried_again() -> None:
    ended = run({"argv": ["no-such-program"]}, retry_policy={"maxRetries": 3})
    assert (ended.status, ended.retry_count) == ("FAILED", 0)
    assert "no-such-program" in str(ended.error_message)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "payload.argv"),
        ({"argv": "rm -rf"}, "payload.argv"),
        ({"argv": []}, "payload.argv"),
        ({"argv": ["a", 1]}, "payload.argv"),
        ({"argv": ["a\x00"]}, "payload.argv"),
        ({"argv": ["a"], "env": {"A=B": "x"}}, "payload.env"),
        ({"argv": ["a"], "env": {"A": 1}}, "payload.env"),
        ({"argv": ["a"], "cwd": "here"}, "payload.cwd"),
        ({"argv": ["a"], "successCodes": []}, "payload.successCodes"),
        ({"argv": ["a"], "shell": True}, "payload.shell"),
    ],
)
def test_bad_parameters_are_named_when_the_job_is_saved(payload: dict[str, Any], field: str) -> None:
    job = Job(name="x", cron_expression="0 0 * * *", handler="command", payload=payload)
    found = definitions.check(job, staff=True)
    assert [name for name in found if name.startswith(field) or name == "payload"], found


def test_it_is_for_staff_and_only_where_it_is_enabled(settings: Any) -> None:
    job = Job(name="x", cron_expression="0 0 * * *", handler="command", payload={"argv": ["true"]})
    assert definitions.check(job, staff=True) == {}
    assert "staff" in definitions.check(job, staff=False)["handler"]
    settings.ENABLED_HANDLERS = []
    assert "ENABLED_HANDLERS" in definitions.check(job, staff=True)["handler"]


@pytest.mark.parametrize("fields", [{"handler": "command"}, {"name": "command"}])
def test_a_row_written_by_sql_does_not_run_where_it_is_not_enabled(
    settings: Any, tmp_path: Path, fields: dict[str, Any]
) -> None:
    settings.ENABLED_HANDLERS = []
    mark = tmp_path / "ran"
    execution = make_execution(make_job(payload={"argv": ["touch", str(mark)]}, **fields))
    run_due()
    execution.refresh_from_db()
    assert (execution.status, mark.exists()) == ("FAILED", False)
    assert "ENABLED_HANDLERS" in str(execution.error_message)


def test_who_may_only_run_it_cannot_say_what_it_runs(tmp_path: Path) -> None:
    job = make_job(handler="command", payload={"argv": ["true"]})
    mark = tmp_path / "ran"
    key = operations.trigger(job, by=Actor(name="operator"), payload={"argv": ["touch", str(mark)]})
    run_due()
    assert not mark.exists()
    assert Execution.objects.get(id=key).status == "FAILED"


def test_an_allowed_django_command_runs_with_our_settings() -> None:
    allow_command("check")
    try:
        ended = run({"command": "check"}, handler="management-command")
        assert ended.status == "SUCCESS", ended.error_message
        assert "no issues" in ended.result["stdout"]
    finally:
        forbid_command("check")


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"command": "shell"}, "payload.command"),
        ({"command": "flush"}, "payload.command"),
        ({"command": "../x"}, "payload.command"),
        ({"command": "clearsessions", "args": ["--settings=evil"]}, "payload.args"),
        ({"command": "clearsessions", "args": ["--pythonp", "/tmp"]}, "payload.args"),
        ({"command": "clearsessions", "args": [1]}, "payload.args"),
    ],
)
def test_other_django_commands_are_refused(payload: dict[str, Any], field: str) -> None:
    job = Job(name="x", cron_expression="0 0 * * *", handler="management-command", payload=payload)
    assert field in definitions.check(job, staff=True)
    assert run(payload, handler="management-command").status == "FAILED"
