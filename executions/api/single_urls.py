"""The addresses of executions that exist once, written out."""

from __future__ import annotations

from executions.api.dummy import DummyView
from executions.api.metrics import JobMetricsView, SystemMetricsView
from executions.api.pings import PingSignalView, PingView
from executions.api.prometheus import PrometheusView
from web.api.routes import CANONICAL, route

urlpatterns = [
    route("metrics", PrometheusView),
    route(f"{CANONICAL[1:]}/metrics", SystemMetricsView),
    route(f"{CANONICAL[1:]}/metrics/jobs/<id:id>", JobMetricsView),
    route("dummy", DummyView),
    route("ping/<id:id>", PingView),
    route("ping/<id:id>/<str:signal>", PingSignalView),
]
