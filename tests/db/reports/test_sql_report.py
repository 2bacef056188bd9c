"""A read-only query as a CSV file, on both databases."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from executions.models import Execution
from jobs import definitions
from jobs.models import Job
from reports.models import ReportFile, Transaction
from tests.factories import make_execution, make_job, run_due

pytestmark = pytest.mark.django_db(transaction=True)

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


@pytest.fixture(autouse=True)
def enabled(settings: Any, tmp_path: Path) -> None:
    settings.ENABLED_HANDLERS = ["sql-report"]
    settings.EXPORT_DIRECTORY = tmp_path


def run(payload: dict[str, Any], **fields: Any) -> Execution:
    execution = make_execution(make_job(handler="sql-report", payload=payload, **fields))
    run_due()
    execution.refresh_from_db()
    return execution


def lines(ended: Execution, folder: Path) -> list[str]:
    assert ended.status == "SUCCESS", ended.error_message
    result: Any = ended.result
    return Path(folder, result["file"]).read_text().splitlines()


def test_the_rows_become_a_file_and_the_file_a_row(tmp_path: Path) -> None:
    for amount in ("5.75", "7.25"):
        Transaction.objects.create(type="credit", amount=Decimal(amount), status="pending")
    ended = run({"query": "SELECT type, amount FROM transactions ORDER BY amount;", "fileName": "money"})
    assert lines(ended, tmp_path) == ["type,amount", "credit,5.75", "credit,7.25"]
    report = ReportFile.objects.get()
    assert (report.rows, report.execution_id, ended.total_success) == (2, ended.id, 2)
    assert report.name.startswith("money_")
    assert report.sha256 == hashlib.sha256((tmp_path / report.name).read_bytes()).hexdigest()


def test_no_rows_are_a_header_only(tmp_path: Path) -> None:
    assert lines(run({"query": "SELECT id, name FROM job_tags"}), tmp_path) == ["id,name"]


def test_parameters_are_values_and_a_percent_sign_is_text(tmp_path: Path) -> None:
    query = "SELECT %(who)s AS who, 'a%' AS pattern, %(none)s AS missing"
    hostile = "'; DROP TABLE transactions; --"
    ended = run({"query": query, "params": {"who": hostile, "none": None}})
    assert lines(ended, tmp_path) == ["who,pattern,missing", f"{hostile},a%,"]


def test_the_day_before_in_the_jobs_zone_is_at_hand(tmp_path: Path) -> None:
    for hour, day in ((22, 27), (23, 27), (22, 28), (23, 28)):
        at = datetime(2026, 2, day, hour, tzinfo=UTC)
        Transaction.objects.create(
            type="debit", amount=Decimal(day * 100 + hour), status="pending", created_at=at
        )
    query = """SELECT cast(amount AS int) AS amount FROM transactions
        WHERE created_at >= %(dayStart)s AND created_at < %(dayEnd)s ORDER BY 1"""
    job = make_job(handler="sql-report", payload={"query": query}, timezone="Europe/Berlin")
    execution = make_execution(job, scheduled_at=datetime(2026, 3, 1, 5, tzinfo=UTC))
    run_due()
    execution.refresh_from_db()
    assert lines(execution, tmp_path)[1:] == ["2723", "2822"]
    assert str(ReportFile.objects.get().data_date) == "2026-02-28"


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM transactions",
        "UPDATE transactions SET amount = 1",
        "INSERT INTO job_tags (name) VALUES ('x')",
        "CREATE TABLE mine (a int)",
        "SELECT 1; DELETE FROM transactions",
        "SELECT 1; COMMIT; DELETE FROM transactions",
        "COMMIT",
        "WITH gone AS (DELETE FROM transactions RETURNING *) SELECT * FROM gone",
        "PRAGMA query_only = OFF",
        "ATTACH DATABASE '/tmp/other.db' AS other",
        "VACUUM",
        "SELECT * FROM no_such_table",
        "SELEC 1",
    ],
)
def test_what_does_not_only_read_is_refused_for_good(query: str, tmp_path: Path) -> None:
    Transaction.objects.create(type="credit", amount=Decimal(5), status="pending")
    ended = run({"query": query}, retry_policy={"maxRetries": 3})
    assert (ended.status, ended.retry_count) == ("FAILED", 0)
    assert "the query failed" in str(ended.error_message)
    assert Transaction.objects.get().amount == 5
    assert not ReportFile.objects.exists()
    assert list(tmp_path.iterdir()) == []
    # the connection of the slot was left as it was found
    Transaction.objects.create(type="credit", amount=Decimal(6), status="pending")


def test_a_query_that_takes_too_long_is_cut_off(tmp_path: Path) -> None:
    ended = run({"query": ENDLESS}, timeout_ms=400)
    assert (ended.status, ended.reason) == ("FAILED", "timeout")
    assert list(tmp_path.iterdir()) == []


def test_a_percent_sign_is_text_also_without_parameters(tmp_path: Path) -> None:
    ended = run({"query": "SELECT 'a%b' AS a WHERE 'xyz' LIKE '%y%'"})
    assert lines(ended, tmp_path) == ["a", "a%b"]


def test_odd_values_are_cells_too(tmp_path: Path) -> None:
    if connection.vendor == "postgresql":
        query = """SELECT '\\xff00'::bytea AS b, '{"a": [1]}'::jsonb AS j,
            timestamp '2026-01-02 03:04:05' AS t, '=1' AS f"""
        expected = 'ff00,"{""a"": [1]}",2026-01-02T03:04:05,\'=1'
    else:
        query, expected = "SELECT x'ff00' AS b, 1.5 AS n, '=1' AS f", "ff00,1.5,'=1"
    assert lines(run({"query": query}), tmp_path)[1] == expected


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "payload.query"),
        ({"query": " "}, "payload.query"),
        ({"query": "SELECT %(a)s"}, "payload.params"),
        ({"query": "SELECT 1", "params": {"dayEnd": 1}}, "payload.params"),
        ({"query": "SELECT 1", "params": {"a": []}}, "payload.params"),
        ({"query": "SELECT 1", "fileName": "../x"}, "payload.fileName"),
    ],
)
def test_bad_parameters_are_named_when_the_job_is_saved(payload: dict[str, Any], field: str) -> None:
    job = Job(name="x", cron_expression="0 0 * * *", handler="sql-report", payload=payload)
    assert field in definitions.check(job, staff=True)
