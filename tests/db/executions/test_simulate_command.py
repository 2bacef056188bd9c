"""`manage.py simulate`: which range it plays, and that nothing of it is stored."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from executions.models import Execution
from tests.factories import make_job

pytestmark = pytest.mark.django_db


def simulate(start: str, end: str) -> Any:
    out = io.StringIO()
    call_command("simulate", f"--from={start}", f"--to={end}", "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.mark.parametrize("end", ["2026-03-03", "2026-03-03T00:00:00Z"])
def test_a_date_stands_for_its_begin(end: str) -> None:
    make_job(cron_expression="30 * * * *")

    assert simulate("2026-03-02", end)["fireTimes"] == 24
    assert Execution.objects.count() == 0


@pytest.mark.parametrize(("start", "end"), [("2026-03-02", "2026-03-02"), ("soon", "2026-03-02")])
def test_a_range_that_is_none_is_refused(start: str, end: str) -> None:
    with pytest.raises(CommandError):
        simulate(start, end)
