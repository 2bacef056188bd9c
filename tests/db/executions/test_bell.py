"""A ring is never swallowed by the pass that goes on when it comes."""

from __future__ import annotations

from typing import Any

import pytest

from executions.engine import planner
from executions.engine.claimer import Claimer
from executions.engine.config import read_config
from executions.engine.loop import Engine

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("step", "timer"), [("plan", "_plan"), ("claim", "_claim")])
def test_a_ring_during_a_look_asks_for_another_look(
    monkeypatch: pytest.MonkeyPatch, step: str, timer: str
) -> None:
    engine = Engine(read_config())
    place: Any = planner if step == "plan" else Claimer
    name = "plan_due" if step == "plan" else "claim"
    look = getattr(place, name)

    def rung_meanwhile(*args: Any, **options: Any) -> Any:
        found = look(*args, **options)
        engine.wake()  # something was planned just after the look
        return found

    monkeypatch.setattr(place, name, rung_meanwhile)
    engine._pass()
    assert getattr(engine, timer).is_due()
