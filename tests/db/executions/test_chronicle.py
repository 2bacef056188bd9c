"""What the process's own log says of attempts that ended."""

from __future__ import annotations

import logging

import pytest

from executions.engine import chronicle
from tests.factories import handling, make_execution, make_job, run_due
from web import logcontext

pytestmark = pytest.mark.django_db(transaction=True)


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == chronicle.__name__]


def test_a_line_names_the_job_the_execution_and_the_attempt(caplog: pytest.LogCaptureFixture) -> None:
    job = make_job(handler="scripted", next_run_at=None)
    run = make_execution(job)
    with handling(lambda run: None), caplog.at_level(logging.INFO):
        run_due()
    (line,) = told(caplog)
    assert (line.levelname, line.getMessage()) == ("INFO", "execution succeeded")
    facts = line.__dict__
    assert (facts["execution_id"], facts["job_id"], facts["attempt"]) == (str(run.id), str(job.uuid), 1)


def test_a_failure_is_an_error_with_its_words(caplog: pytest.LogCaptureFixture) -> None:
    def fail(run: object) -> None:
        raise ValueError("the till is empty")

    make_execution(make_job(handler="scripted"))
    with handling(fail), caplog.at_level(logging.INFO):
        run_due()
    (line,) = told(caplog)
    assert (line.levelname, line.__dict__["error"]) == ("ERROR", "the till is empty")


def test_many_successes_at_once_are_told_by_their_number(caplog: pytest.LogCaptureFixture) -> None:
    job = make_job(handler="scripted", max_concurrent_executions=100)
    for _ in range(chronicle.SMALL * 4):
        make_execution(job, trigger="manual")
    with handling(lambda run: None), caplog.at_level(logging.INFO):
        run_due()
    lines = told(caplog)
    counted = sum(line.__dict__.get("count", 1) for line in lines)
    assert counted == chronicle.SMALL * 4


def test_what_a_handler_logs_carries_its_execution() -> None:
    seen: list[dict[str, object]] = []
    run = make_execution(make_job(handler="scripted"))
    with handling(lambda run: seen.append(dict(logcontext.current()))):
        run_due()
    assert [(one["executionId"], one["attempt"]) for one in seen] == [(str(run.id), 1)]
