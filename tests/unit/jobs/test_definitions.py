"""The rules of a job's definition, without a database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from jobs import definitions
from jobs.models import Job
from tests.factories import handling

MOMENT = datetime(2030, 1, 20, 10, tzinfo=UTC)


def job(**fields: Any) -> Job:
    return Job(**{"name": "nightly", "cron_expression": "0 9 * * *", "origin": "api"} | fields)


def test_a_plain_job_has_no_problems() -> None:
    assert definitions.check(job()) == {}


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        ({"name": None}, "name"),
        ({"name": 5}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"description": "x" * 2001}, "description"),
        ({"cron_expression": None}, "cron_expression"),
        ({"cron_expression": 5}, "cron_expression"),
        ({"cron_expression": "0 0 30 2 *"}, "cron_expression"),
        ({"timezone": 5}, "timezone"),
        ({"timezone": "localtime"}, "timezone"),
        ({"scheduled_at": MOMENT}, "scheduled_at"),
        ({"schedule_type": "one_time"}, "cron_expression"),
        ({"schedule_type": "sometimes"}, "schedule_type"),
        ({"start_at": "2030-01-01"}, "start_at"),
        ({"end_at": datetime(2030, 1, 1)}, "end_at"),
        ({"start_at": MOMENT, "end_at": datetime(2029, 1, 1, tzinfo=UTC)}, "end_at"),
        ({"method": "post"}, "method"),
        ({"headers": "text"}, "headers"),
        ({"headers": {"Host": "a"}}, "headers"),
        ({"headers": {"X-Token": "sealed:lost"}}, "headers"),
        ({"payload": None}, "payload"),
        ({"payload": {"a": float("nan")}}, "payload"),
        ({"payload": {"a": object()}}, "payload"),
        ({"metadata": ["a"]}, "metadata"),
        ({"priority": "5"}, "priority"),
        ({"priority": True}, "priority"),
        ({"timeout_ms": 99}, "timeout_ms"),
        ({"queue": None}, "queue"),
        ({"follow_redirects": 1}, "follow_redirects"),
        ({"retry_policy": "3"}, "retry_policy"),
        ({"retry_policy": {"maxRetries": 99}}, "retry_policy.maxRetries"),
        ({"handler": "http"}, "api_endpoint"),
        ({"api_endpoint": "gopher://x"}, "api_endpoint"),
        ({"name": "process-transactions", "payload": {"skipLimit": -1}}, "payload.skipLimit"),
    ],
)
def test_each_problem_is_told_by_its_column(fields: dict[str, Any], column: str) -> None:
    assert list(definitions.check(job(**fields))) == [column]


def test_a_payload_nested_too_deep_is_refused() -> None:
    payload: dict[str, Any] = {}
    for _ in range(40):
        payload = {"a": payload}
    assert "nested" in definitions.check(job(payload=payload))["payload"]


def test_a_new_job_gets_its_family_from_what_is_given() -> None:
    def family(**values: Any) -> Any:
        return definitions.complete(values)[0]["schedule_type"]

    assert family(cron_expression="* * * * *", scheduled_at=MOMENT) == "cron"
    assert family(recurrence_pattern="daily", scheduled_at=MOMENT) == "recurring"
    assert family(scheduled_at=MOMENT) == "one_time"
    assert definitions.complete({})[1] == {"cron_expression": "Required"}


def test_only_what_a_change_touches_or_breaks_is_its_problem() -> None:
    broken = job(cron_expression="nonsense", queue="a b")
    assert definitions.check_change(broken, {"priority": 3}) == {}
    assert list(definitions.check_change(broken, {"queue": "c d"})) == ["queue"]
    assert list(definitions.check_change(job(), {"cron_expression": "nonsense"})) == ["cron_expression"]


def test_a_staff_only_handler_is_out_of_reach_for_others_in_every_change() -> None:
    with handling(lambda run: None, staff_only=True):
        mine = job(handler="scripted")
        assert definitions.check(mine, staff=True) == {}
        assert list(definitions.check_change(mine, {"payload": {"a": 1}})) == ["handler"]
        assert definitions.check_change(mine, {"payload": {"a": 1}}, staff=True) == {}
        assert definitions.check_change(mine, {"handler": None}) == {}
        assert "scripted" in definitions.list_usable(staff=True)
        assert "scripted" not in definitions.list_usable(staff=False)


def test_tags_are_trimmed_and_never_doubled() -> None:
    assert definitions.read_tags([" b", "a", "b"]) == ["b", "a"]
    for bad in ([""], [5], ["x" * 101], [str(number) for number in range(21)], ["\x00"]):
        with pytest.raises(ValueError):
            definitions.read_tags(bad)
