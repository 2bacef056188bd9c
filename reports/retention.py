"""Deletes report files that are old enough, with their rows."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta

from django.conf import settings

from reports.files import delete_report
from reports.models import ReportFile

STEP_FILES = 500


def prune_exports(now: datetime, *, limit: int = STEP_FILES) -> int:
    """Delete reports older than EXPORT_RETENTION_DAYS, at most `limit`; answers how many.

    The file goes first: a row without a file answers 404, a file without a row would stay for ever.
    """
    if not settings.EXPORT_RETENTION_DAYS:
        return 0
    cutoff = now - timedelta(days=settings.EXPORT_RETENTION_DAYS)
    old = list(ReportFile.objects.filter(created_at__lt=cutoff).order_by("created_at")[:limit])
    for report in old:
        with contextlib.suppress(FileNotFoundError):
            delete_report(report)
    ReportFile.objects.filter(pk__in=[report.pk for report in old]).delete()
    return len(old)
