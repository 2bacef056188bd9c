"""Where executions answer."""

from __future__ import annotations

from executions.api.dead_letters import BulkRequeueViewSet, DeadLetterViewSet
from executions.api.executions import ExecutionViewSet, JobExecutionViewSet
from executions.api.explanations import ExplanationView
from executions.api.health import HealthView, LiveView, ReadyView, SchedulerHealthView, SchedulerStatusView
from executions.api.queues import HandlerViewSet, QueueViewSet
from web.api.routes import route

urlpatterns = [
    route("executions", ExecutionViewSet, get="list"),
    route("executions/<id:id>", ExecutionViewSet, get="retrieve"),
    route("executions/<id:id>/logs", ExecutionViewSet, get="logs"),
    route("executions/<id:id>/cancel", ExecutionViewSet, post="cancel"),
    route("jobs/<id:id>/executions", JobExecutionViewSet, get="list"),
    route("jobs/<id:id>/explain", ExplanationView),
    route("dlq", DeadLetterViewSet, get="list"),
    route("dlq/retry", DeadLetterViewSet, post="retry_many"),
    route("dlq/resolve", DeadLetterViewSet, post="resolve_many"),
    route("dlq/requeues/<id:id>", BulkRequeueViewSet, get="retrieve"),
    route("dlq/<id:id>", DeadLetterViewSet, get="retrieve"),
    route("dlq/<id:id>/retry", DeadLetterViewSet, post="retry"),
    route("dlq/<id:id>/resolve", DeadLetterViewSet, post="resolve"),
    route("queues", QueueViewSet, get="list"),
    route("queues/<str:name>", QueueViewSet, patch="partial_update"),
    route("queues/<str:name>/pause", QueueViewSet, post="pause"),
    route("queues/<str:name>/resume", QueueViewSet, post="resume"),
    route("handlers", HandlerViewSet, get="list"),
    route("health", HealthView),
    route("health/live", LiveView),
    route("health/ready", ReadyView),
    route("health/scheduler", SchedulerHealthView),
    route("scheduler/status", SchedulerStatusView),
]
