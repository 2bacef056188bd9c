"""Figures for scrapers: the scheduler's from the database, the requests' from this host's processes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector
from rest_framework.request import Request

from executions import health, metrics, statistics
from executions.engine import clock
from executions.models import Status
from executions.statistics import Total
from jobs.models import JobState
from web.api.views import ApiView
from web.request_metrics import write_metrics

ENDED = (Status.SUCCESS, Status.FAILED, Status.CANCELLED, Status.SKIPPED)
TIMED = (Status.SUCCESS, Status.FAILED, Status.CANCELLED)


class PrometheusView(ApiView):
    open_to_all = True

    @extend_schema(operation_id="metrics_text", responses={(200, "text/plain"): OpenApiTypes.STR})
    def get(self, request: Request) -> HttpResponse:
        """Prometheus text. Counters never fall, though history is deleted."""
        return HttpResponse(write_metrics([SchedulerFigures()]), content_type=CONTENT_TYPE_LATEST)


class SchedulerFigures(Collector):
    """Read from the database at each scrape, so they are the same wherever one asks."""

    def collect(self) -> Iterator[Metric]:
        now = clock.now()
        totals = statistics.totals(ever=True)
        yield _count_executions(totals)
        yield _sum_durations(totals)
        lag = health.find_wait(now).longest / timedelta(seconds=1)
        yield GaugeMetricFamily(
            "scheduler_lag_seconds", "How long the oldest has waited that nothing holds back", lag
        )
        yield GaugeMetricFamily("scheduler_queue_size", "Due executions that wait", health.count_due(now))
        age = health.queue_age(now) / timedelta(seconds=1)
        yield GaugeMetricFamily(
            "scheduler_queue_age_seconds", "How long the oldest due execution waits, for any reason", age
        )
        yield GaugeMetricFamily(
            "scheduler_active_workers", "Executions that run under a live lease", health.count_active(now)
        )
        jobs = GaugeMetricFamily("scheduler_jobs", "Jobs by state", labels=["state"])
        counts = metrics.count_jobs()
        for state in JobState.values:
            if state != JobState.DELETED:
                jobs.add_metric([state], counts.get(state, 0))
        yield jobs
        yield GaugeMetricFamily("scheduler_dead_letters", "Open dead letters", metrics.count_dead_letters())


def _count_executions(totals: dict[str, Total]) -> Metric:
    family = CounterMetricFamily("scheduler_executions", "Executions that ended", labels=["status"])
    for status in ENDED:
        family.add_metric([status.value], totals[status].count)
    return family


def _sum_durations(totals: dict[str, Total]) -> Metric:
    family = SummaryMetricFamily(
        "scheduler_execution_duration_seconds", "Duration of latest attempts", labels=["status"]
    )
    for status in TIMED:
        total = totals[status]
        family.add_metric([status.value], count_value=total.count, sum_value=total.duration_ms / 1000)
    return family
