"""What the loop repeats for reports: files that are old enough go."""

from __future__ import annotations

from datetime import datetime, timedelta

from executions.engine.duty import duty
from reports import retention


@duty(every=timedelta(minutes=1), outside=True)
def prune_exports(now: datetime) -> None:
    """Delete old report files, apart from the loop: a file system may be far away."""
    retention.prune_exports(now)
