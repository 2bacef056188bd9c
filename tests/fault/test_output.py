"""Answers that no database takes as they are (case 4)."""

from __future__ import annotations

import pytest

from tests.fault.target.handlers import STRANGE
from tests.fault.world import World


@pytest.mark.promise
def test_a_strange_answer_costs_one_call_and_holds_up_nobody(world: World) -> None:
    only = world.start()
    names = {}
    for do in STRANGE:
        (names[do],) = world.add_once(1, do=do, expect={"final": ("SUCCESS", "FAILED")})
    world.add_once(30, ms=10)
    world.wait_done(60)
    found = world.judge()
    assert found.calls == len(STRANGE) + 30, "storing made a run look unfinished"
    assert only.alive
    rows = {
        name: rest
        for name, *rest in world.database.fetch(
            "SELECT j.job_name, e.status, e.output_altered, e.reason, coalesce(e.response_body, ''),"
            " coalesce(CAST(e.result AS text), ''), coalesce(e.error_message, '')"
            " FROM job_executions AS e JOIN batch_jobs AS j ON j.id = e.job_id"
        )
    }
    for do in ("nul", "surrogate", "nan", "huge", "bytes", "digits", "code", "big-code", "keys"):
        status, altered, *_ = rows[names[do]]
        assert (do, status, bool(altered)) == (do, "SUCCESS", True)
    assert "x\ufffdy" in rows[names["nul"]][3]
    assert rows[names["nul"]][4]
    assert rows[names["huge"]][3].endswith("…[truncated]")
    assert "a\ufffdb\ufffd" in rows[names["nul-error"]][5]
    for do in ("no-words", "totals", "not-a-result"):
        assert rows[names[do]][0] == "FAILED"
    assert rows[names["odd-reason"]][2] == "error"


@pytest.mark.parametrize(
    "column",
    [
        "scheduled_at",
        pytest.param("start_at", marks=pytest.mark.slow),
        pytest.param("next_run_at", marks=pytest.mark.slow),
    ],
)
def test_one_row_that_python_cannot_read_does_not_stop_the_others(world: World, column: str) -> None:
    """`infinity` and the year 10000 are times to a database, and to no other part of the product."""
    beyond = "infinity" if world.database.kind == "postgresql" else "10000-01-01 00:00:00"
    world.start()
    world.add_once(3, ms=10)
    world.wait_done(30)
    row = {"job_name": "beyond", "cron_expression": "* * * * *", "status": "active"}
    world.database.insert("batch_jobs", [row])
    world.database.write(f"UPDATE batch_jobs SET {column} = %s WHERE job_name = 'beyond'", [beyond])
    world.add_once(5, ms=10)
    world.wait_done(30)
    world.judge()
