"""What a schedule means, before and after it is saved."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from executions.engine import clock
from jobs import schedules, timing
from jobs.api import bodies, examples
from jobs.api.requests import PreviewRequestSerializer
from jobs.api.serializers import PreviewSerializer
from jobs.models import Job, ScheduleType
from web.api.views import ApiViewSet
from web.errors import Conflict


class PreviewViewSet(ApiViewSet):
    """A schedule that is not saved."""

    owned = False
    pagination_class = None

    @extend_schema(
        operation_id="schedules_preview",
        request=PreviewRequestSerializer,
        responses={200: PreviewSerializer},
        examples=examples.PREVIEW,
    )
    def create(self, request: Request) -> Response:
        """What a schedule would mean, and when it would fire; nothing is stored."""
        job, rest = bodies.read_schedule(request.data)
        now = clock.now()
        if job.schedule_type != ScheduleType.CRON and job.scheduled_at is None:
            job.scheduled_at = now
        return Response(preview_job(job, count=rest["count"], start=rest["from_"], now=now))


def preview_job(job: Job, *, count: int, start: datetime | None, now: datetime) -> dict[str, Any]:
    """The schedule in words and its fire times from `start` (or now) on.

    Raises Conflict for a job whose schedule cannot be read.
    """
    try:
        schedule = schedules.read(job)
        found = timing.preview(schedule, (start or now) - schedules.MOMENT, count)
        return {
            "description": timing.describe(schedule),
            "warnings": timing.warnings(schedule, after=start or now),
            "occurrences": [
                {
                    "scheduledAt": one.at,
                    "local": one.local.isoformat(timespec="milliseconds"),
                    "note": one.note or None,
                }
                for one in found
            ],
        }
    except ValueError as error:
        raise Conflict(f"The schedule cannot be read: {error}") from None
