"""`manage.py simulate`: the jobs of the tables or of a file, nothing stored."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from executions.models import Execution
from tests.factories import make_job

pytestmark = pytest.mark.django_db
RANGE = ("--from", "2026-03-02", "--to", "2026-03-03")


def simulate(*arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command("simulate", *RANGE, "--json", *arguments, stdout=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def test_the_active_jobs_are_played_and_nothing_is_stored() -> None:
    make_job(cron_expression="0 * * * *")
    make_job(cron_expression="0 * * * *", state="paused")
    report = simulate()
    assert report["fireTimes"] == report["outcomes"]["SUCCESS"] + report["unfinished"]
    assert 24 <= report["fireTimes"] <= 25
    assert not Execution.objects.exists()


def test_a_job_that_cannot_be_read_is_named_and_left_out() -> None:
    make_job(name="broken", cron_expression="99 * * * *")
    assert simulate()["leftOut"][0].startswith("broken: ")


def test_the_jobs_of_a_file_are_played_instead(tmp_path: Path) -> None:
    make_job(cron_expression="* * * * *")
    path = tmp_path / "jobs.yaml"
    path.write_text('jobs:\n  - name: nightly\n    schedule: "0 3 * * *"\n')
    assert simulate("--jobs", str(path))["fireTimes"] == 1


@pytest.mark.parametrize("text", ["jobs: 5", "jobs:\n  - name: x\n    schedule: '99 * * * *'\n"])
def test_a_file_that_is_wrong_is_refused_with_the_reason(tmp_path: Path, text: str) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(text)
    with pytest.raises(CommandError, match=r"jobs\.yaml"):
        simulate("--jobs", str(path))


def test_a_range_that_runs_backwards_is_refused() -> None:
    with pytest.raises(CommandError, match="after"):
        call_command("simulate", "--from", "2026-03-03", "--to", "2026-03-02")
