"""The addresses of executions that exist once, written out."""

from __future__ import annotations

from executions.api.metrics import JobMetricsView, SystemMetricsView
from web.api.routes import CANONICAL, route

urlpatterns = [
    route(f"{CANONICAL[1:]}/metrics", SystemMetricsView),
    route(f"{CANONICAL[1:]}/metrics/jobs/<id:id>", JobMetricsView),
]
