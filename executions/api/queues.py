"""Queues, the switches for an incident; and the handlers that jobs may name."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from executions import operations
from executions.api.serializers import (
    HandlersSerializer,
    PauseSerializer,
    QueueLimitsSerializer,
    QueueSerializer,
)
from executions.lanes import Lane, count_lanes
from jobs import registry
from jobs.audit import actor_of
from web.api.pages import read_page, wrap_page
from web.api.query import QueryReader
from web.api.views import ApiViewSet
from web.errors import NotFound

NAME = re.compile(r"\*|[A-Za-z0-9_-]{1,50}")


class QueueViewSet(ApiViewSet):
    """All queues that a row or a job names, and `*`, which is all of them together; for staff."""

    staff_only = True
    owned = False
    rights = {
        "partial_update": "jobs.change_queue",
        "pause": "jobs.operate_queue",
        "resume": "jobs.operate_queue",
    }
    serializer_class = QueueSerializer
    noun = "Queue"
    items_key = "queues"

    @extend_schema(responses=QueueSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Every queue with its switch, its limits and its load, by name."""
        with QueryReader(request.query_params) as query:
            page = read_page(query)
        lanes = count_lanes()
        items = [show_lane(lane) for lane in lanes[page.offset : page.offset + page.limit]]
        if not page.envelope:
            return Response(items, headers={"X-Total-Count": str(len(lanes))})
        return Response(wrap_page(self.items_key, items, page, total=len(lanes)))

    @extend_schema(request=QueueLimitsSerializer, responses=QueueSerializer)
    def partial_update(self, request: Request, **address: Any) -> Response:
        """Limit how many run at once and start in a minute; null takes a limit away."""
        name = self._name()
        operations.limit_queue(name, self.read_body(QueueLimitsSerializer), by=actor_of(request.user))
        return self._answer(name)

    @extend_schema(operation_id="queues_pause", request=PauseSerializer, responses=QueueSerializer)
    def pause(self, request: Request, **address: Any) -> Response:
        """Claim nothing from it; planning goes on."""
        name, body = self._name(), self.read_body(PauseSerializer)
        operations.pause_queue(
            name, by=actor_of(request.user), reason=body.get("reason") or "", until=body.get("until")
        )
        return self._answer(name)

    @extend_schema(operation_id="queues_resume", request=None, responses=QueueSerializer)
    def resume(self, request: Request, **address: Any) -> Response:
        """Claim from it again."""
        name = self._name()
        operations.resume_queue(name, by=actor_of(request.user))
        return self._answer(name)

    def _name(self) -> str:
        name: str = self.kwargs["name"]
        if not NAME.fullmatch(name):
            raise NotFound(self.noun)
        return name

    def _answer(self, name: str) -> Response:
        return Response(next(show_lane(lane) for lane in count_lanes() if lane.name == name))


def show_lane(lane: Lane) -> dict[str, Any]:
    """A queue as the routes answer it."""
    return {
        "name": lane.name,
        "paused": lane.paused,
        "pausedReason": lane.paused_reason,
        "pausedUntil": lane.paused_until,
        "maxConcurrent": lane.max_concurrent,
        "rateLimitPerMinute": lane.rate_limit_per_minute,
        "waiting": lane.waiting,
        "running": lane.running,
    }


class HandlerViewSet(ApiViewSet):
    """What jobs may name in `handler`."""

    owned = False
    pagination_class = None
    serializer_class = HandlersSerializer

    @extend_schema(responses=HandlersSerializer)
    def list(self, request: Request) -> Response:
        """Every handler that is enabled here, with a JSON Schema of its payload where it has one."""
        enabled = [
            one for one in registry.handlers if not one.dangerous or one.name in settings.ENABLED_HANDLERS
        ]
        return Response({"handlers": [show_handler(handler) for handler in enabled]})


def show_handler(handler: registry.Handler) -> dict[str, Any]:
    """A handler as the route answers it."""
    return {
        "name": handler.name,
        "description": handler.description,
        "staffOnly": handler.staff_only,
        "params": handler.schema(),
    }
