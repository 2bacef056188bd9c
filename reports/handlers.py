"""The handlers of the business work."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from executions.engine import clock
from jobs.contract import Result, Run
from jobs.registry import handler
from reports.daily_report import DailyReport, generate_daily_report
from reports.seed import arrive
from reports.sql_report import SqlReport, write_sql_report
from reports.transactions import ProcessTransactions, process_transactions


@handler("process-transactions", params=ProcessTransactions)
def process_transactions_handler(run: Run) -> Result:
    """Complete all pending transactions that were created before the fire time."""
    return process_transactions(run, run.params)


@handler("generate-daily-reports", params=DailyReport)
def generate_daily_reports_handler(run: Run) -> Result:
    """Write the transactions of the day before to a CSV file."""
    return generate_daily_report(run, run.params, now=clock.now())


@handler("sql-report", params=SqlReport, staff_only=True, dangerous=True)
def sql_report_handler(run: Run) -> Result:
    """Writes the rows of one read-only query to a CSV file."""
    return write_sql_report(run, run.params, now=clock.now())


@dataclass(frozen=True)
class Arrivals:
    """The parameters of `demo-transactions-arrive`."""

    count: int = 20

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 10_000:
            raise ValueError("count: must be from 1 to 10000")


def demo_transactions_arrive(run: Run) -> Result:
    """Let new pending transactions arrive, so that a demo has something to process."""
    put = arrive(clock.now(), run.params.count)
    return Result(total=put, success=put)


if settings.DEVELOPMENT:
    # invented rows have no place among real ones
    handler("demo-transactions-arrive", params=Arrivals)(demo_transactions_arrive)
