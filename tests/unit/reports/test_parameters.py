"""What the payloads of the business handlers may say."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.registry import handlers
from reports.daily_report import DailyReport
from reports.transactions import ProcessTransactions


def read(name: str, payload: dict[str, Any]) -> Any:
    return handlers.get(name).read_params(payload)


def test_both_handlers_are_found_and_need_no_parameters() -> None:
    assert read("process-transactions", {}) == ProcessTransactions()
    assert read("generate-daily-reports", {}) == DailyReport()


def test_the_names_are_those_of_the_payload() -> None:
    payload: dict[str, Any] = {"createdOn": "yesterday", "skipLimit": 3, "simulateFailureEvery": 10}

    assert read("process-transactions", payload) == ProcessTransactions(**payload)


@pytest.mark.parametrize(
    "day",
    ["today", "2025-7-18", "2025-02-30", "20250718", "2025-W28-5", "", "\u0662\u0660\u0662\u0665-07-18"],
)
def test_a_day_that_is_none_is_refused(day: str) -> None:
    with pytest.raises(ValueError, match="createdOn: must be yesterday or a date"):
        read("process-transactions", {"createdOn": day})


@pytest.mark.parametrize("name", ["skipLimit", "simulateFailureEvery"])
@pytest.mark.parametrize("number", [0, -1])
def test_counts_start_at_one(name: str, number: int) -> None:
    with pytest.raises(ValueError, match=f"{name}: must be at least 1"):
        read("process-transactions", {name: number})


@pytest.mark.parametrize("payload", [{"skipLimit": "3"}, {"skipLimit": True}, {"created_on": "yesterday"}])
def test_wrong_types_and_unknown_names_are_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        read("process-transactions", payload)


def test_the_handler_that_invents_transactions_exists_in_development_only() -> None:
    assert "demo-transactions-arrive" not in handlers
