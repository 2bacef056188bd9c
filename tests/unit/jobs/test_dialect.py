"""The words of clients."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.api import dialect
from jobs.models import Job


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("cron_expression", "schedule"),
        ("api_endpoint", "api"),
        ("calendar_id", "calendar"),
        ("max_concurrent_executions", "maxConcurrentExecutions"),
        ("retry_policy.maxRetries", "retryPolicy.maxRetries"),
        ("payload.snake_key", "payload.snake_key"),
    ],
)
def test_columns_have_their_names_on_the_wire(column: str, name: str) -> None:
    assert dialect.wire(column) == name


def test_problems_are_told_under_the_name_that_was_used() -> None:
    problems = {"cron_expression": "a", "api_endpoint": "b", "name": "c"}
    assert dialect.name_problems(problems, ["cronExpression", "api"]) == {
        "cronExpression": "a",
        "api": "b",
        "name": "c",
    }


@pytest.mark.parametrize(
    ("given", "columns"),
    [
        ({"schedule": "a"}, {"cron_expression": "a"}),
        ({"cron_expression": "a", "schedule": "a"}, {"cron_expression": "a"}),
        ({"api_endpoint": None}, {"api_endpoint": None}),
        ({"calendar": "bank"}, {"calendar_id": "bank"}),
        ({"type": "ATMOST_ONCE"}, {"execution_type": "ATMOST_ONCE"}),
        ({"type": "one_time"}, {"schedule_type": "one_time"}),
        ({"type": None}, {}),
    ],
)
def test_aliases_become_columns(given: dict[str, Any], columns: dict[str, Any]) -> None:
    assert dialect.read_columns(given) == (columns, {})


def test_two_words_for_one_thing_must_agree() -> None:
    assert dialect.read_columns({"schedule": "a", "cron_expression": "b"})[1] == {
        "cronExpression": "Contradicts schedule"
    }
    assert list(dialect.read_columns({"type": "cron", "schedule_type": "one_time"})[1]) == ["type"]


@pytest.mark.parametrize(
    ("schedule_type", "state", "running", "word"),
    [
        ("cron", "active", True, "ACTIVE"),
        ("cron", "completed", False, "COMPLETED"),
        ("one_time", "active", False, "pending"),
        ("one_time", "active", True, "running"),
        ("recurring", "paused", True, "paused"),
        ("recurring", "deleted", False, "deleted"),
    ],
)
def test_the_status_is_in_the_language_of_the_family(
    schedule_type: str, state: str, running: bool, word: str
) -> None:
    assert dialect.say_state(Job(schedule_type=schedule_type, state=state), running=running) == word
    assert word in dialect.SAID_STATES


def test_changes_are_told_in_the_names_of_the_wire_and_values_stay_as_they_are() -> None:
    changes = {
        "cron_expression": {"old": "a", "new": {"api_endpoint": 1}},
        "new": {"api_endpoint": "x", "payload": {"cron_expression": 1}},
        "executionId": "e",
    }
    assert dialect.say_changes(changes) == {
        "schedule": {"old": "a", "new": {"api_endpoint": 1}},
        "new": {"api": "x", "payload": {"cron_expression": 1}},
        "executionId": "e",
    }
