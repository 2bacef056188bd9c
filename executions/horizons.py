"""How far back each job's history was deleted, so that what is gone is not taken for missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from executions.models import Horizon
from executions.rows import Rows, write


def read(job_ids: Collection[int]) -> dict[int, datetime]:
    """By job: the newest fire time whose execution was deleted; jobs without one are left out."""
    return dict(Horizon.objects.filter(job_id__in=job_ids).values_list("job_id", "until"))


def move(until: Mapping[int, datetime]) -> None:
    """Remember that executions up to these fire times are gone; a horizon never moves back."""
    if not until:
        return
    values = Rows("v", {"job_id": "bigint", "until": "timestamptz"}, sorted(until.items()))
    write(
        f"""
        INSERT INTO execution_horizons (job_id, until)
        SELECT v.job_id, v.until FROM {values.sql} WHERE true
        ON CONFLICT (job_id) DO UPDATE SET until = excluded.until
        WHERE excluded.until > execution_horizons.until
        """,
        values.params,
    )
