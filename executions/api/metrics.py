"""Figures as JSON."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from executions import metrics
from executions.api.dialect import show_status
from executions.api.executions import find_job
from executions.engine import clock
from executions.metrics import SystemFigures, average, success_rate
from executions.models import Status
from jobs.models import JobState
from web.api.fields import IdField, MomentField
from web.api.serializers import StrictSerializer
from web.api.views import ApiView

MILLISECOND = timedelta(milliseconds=1)


class LoadSerializer(StrictSerializer):
    pending_executions = serializers.IntegerField(help_text="PENDING and RETRYING")
    running_executions = serializers.IntegerField()


class SystemMetricsSerializer(StrictSerializer):
    total_jobs = serializers.IntegerField(help_text="Deleted jobs are not counted")
    active_jobs = serializers.IntegerField()
    paused_jobs = serializers.IntegerField()
    total_executions = serializers.IntegerField()
    successful_executions = serializers.IntegerField()
    failed_executions = serializers.IntegerField()
    success_rate = serializers.FloatField(help_text="success / (success + failed) · 100; 0 when none")
    avg_execution_time_ms = serializers.FloatField(help_text="Over SUCCESS")
    average_execution_time = serializers.FloatField(help_text="= avgExecutionTimeMs")
    executions_last24h = serializers.IntegerField(help_text="Ended in the last 24 hours, or not ended")
    failed_executions_last24h = serializers.IntegerField()
    current_load = LoadSerializer()
    dead_letters = serializers.IntegerField(help_text="Open ones")
    scheduler_lag_ms = serializers.IntegerField()


class JobMetricsSerializer(StrictSerializer):
    job_id = IdField()
    total_executions = serializers.IntegerField()
    successful_executions = serializers.IntegerField()
    failed_executions = serializers.IntegerField()
    success_rate = serializers.FloatField()
    avg_execution_time_ms = serializers.FloatField(help_text="Over SUCCESS")
    last_execution_status = serializers.CharField(allow_null=True)
    last_execution_at = MomentField(allow_null=True)
    avg_delay_from_schedule_ms = serializers.FloatField(help_text="Over scheduled executions that started")


class SystemMetricsView(ApiView):
    owned = False

    @extend_schema(responses=SystemMetricsSerializer)
    def get(self, request: Request) -> Response:
        """Figures of the whole system, the same for every caller."""
        return Response(show_system(metrics.read_system(clock.now())))


class JobMetricsView(ApiView):
    noun = "Job"

    @extend_schema(responses=JobMetricsSerializer)
    def get(self, request: Request, **address: Any) -> Response:
        """Figures of one job."""
        job = find_job(request.user, self.kwargs["id"])
        found = metrics.read_job(job)
        last = found.last_status and show_status(found.last_status, job.schedule_type)
        return Response(
            {
                "jobId": job.uuid,
                "totalExecutions": found.total,
                "successfulExecutions": found.successful,
                "failedExecutions": found.failed,
                "successRate": success_rate(found.successful, found.failed),
                "avgExecutionTimeMs": round(found.average_ms or 0, 2),
                "lastExecutionStatus": last,
                "lastExecutionAt": found.last_at,
                "avgDelayFromScheduleMs": round(found.average_delay_ms or 0, 2),
            }
        )


def show_system(found: SystemFigures) -> dict[str, Any]:
    """The system's figures as the route answers them."""
    successful, failed = found.count(Status.SUCCESS), found.count(Status.FAILED)
    time_ms = average(found.totals[Status.SUCCESS])
    return {
        "totalJobs": sum(found.jobs.values()),
        "activeJobs": found.jobs.get(JobState.ACTIVE, 0),
        "pausedJobs": found.jobs.get(JobState.PAUSED, 0),
        "totalExecutions": found.all_executions,
        "successfulExecutions": successful,
        "failedExecutions": failed,
        "successRate": success_rate(successful, failed),
        "avgExecutionTimeMs": time_ms,
        "averageExecutionTime": time_ms,
        "executionsLast24h": found.last_day,
        "failedExecutionsLast24h": found.failed_last_day,
        "currentLoad": {
            "pendingExecutions": found.count(Status.PENDING, Status.RETRYING),
            "runningExecutions": found.count(Status.RUNNING),
        },
        "deadLetters": found.dead_letters,
        "schedulerLagMs": found.lag // MILLISECOND,
    }
