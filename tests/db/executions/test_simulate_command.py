"""`manage.py simulate`: which range it plays, and that nothing of it is stored."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from executions.models import Execution
from jobs.models import Job
from tests.factories import make_job

pytestmark = pytest.mark.django_db


def simulate(start: str, end: str, *more: str) -> Any:
    out = io.StringIO()
    call_command("simulate", f"--from={start}", f"--to={end}", "--json", *more, stdout=out)
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


def test_a_file_of_jobs_is_played_without_its_secrets_and_without_being_applied(tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text(
        """
        jobs:
          - name: half past
            schedule: "30 * * * *"
            api: https://shop.example.com/hooks?token=${SHOP_TOKEN}
            headers: {Authorization: "Bearer ${SHOP_TOKEN}"}
            payload: {days: 3}
          - name: asleep
            schedule: "* * * * *"
            status: INACTIVE
        """,
        encoding="utf-8",
    )

    assert simulate("2026-03-02", "2026-03-03", f"--jobs={file}")["fireTimes"] == 24
    assert Job.objects.count() == 0


def test_a_file_that_cannot_be_applied_is_not_played_either(tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text('jobs: [{name: never, schedule: "0 0 30 2 *"}]', encoding="utf-8")

    with pytest.raises(CommandError, match="never: schedule"):
        simulate("2026-03-02", "2026-03-03", f"--jobs={file}")
