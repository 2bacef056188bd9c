"""The reference system's daily report by the clock: 17:18:00 today, 17:18:00 tomorrow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from executions.engine import adoption
from executions.models import Attempt
from tests.factories import at, make_job, run_due

FIRE = datetime(2026, 3, 2, 17, 18, tzinfo=UTC)


@pytest.mark.django_db(transaction=True)
def test_the_report_fires_on_the_second_and_waits_for_tomorrow(tmp_path: Path, settings: Any) -> None:
    settings.EXPORT_DIRECTORY = tmp_path
    job = make_job(name="generate-daily-reports", cron_expression="0 18 17 * * *")
    with at(FIRE - timedelta(minutes=1)) as clock:
        adoption.adopt(clock.now)
        run_due()
        assert not Attempt.objects.exists()
        clock.now = FIRE + timedelta(milliseconds=12)
        run_due()
    attempt = Attempt.objects.get()
    assert (attempt.status, attempt.total_processed) == ("success", 0)
    job.refresh_from_db()
    assert job.last_run_at is not None
    assert job.last_run_at.replace(microsecond=0) == FIRE
    assert job.next_run_at == FIRE + timedelta(days=1)
    assert [path.name[:23] for path in tmp_path.iterdir()] == ["daily-report_2026-03-01"]
