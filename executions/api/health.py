"""Is it alive, is it ready, does work go on? Answers within a second, also when the database hangs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, cast

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings

from executions import health
from executions.apps import STARTED
from executions.engine import clock
from executions.health import Picture, Process
from executions.prober import Prober, Silent
from web.api.fields import MomentField
from web.api.serializers import StrictSerializer
from web.api.views import ApiView
from web.errors import Unauthorized

MILLISECOND = timedelta(milliseconds=1)
STATES = [health.ACTIVE, health.STALLED, health.INACTIVE]
REDIS_SECONDS = 0.2
READING_SECONDS = 5.0  # all migration files are read once
SHARED_SECONDS = 1.0  # so many callers of one web process get the same picture


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What the database said, and what time it was there when it said so."""

    seen_at: datetime
    picture: Picture
    read_at: float = field(default_factory=clock.monotonic)

    @property
    def now(self) -> datetime:
        """The time of the database by now."""
        return self.seen_at + timedelta(seconds=clock.monotonic() - self.read_at)


def _look() -> Sight:
    now = clock.now()
    return Sight(seen_at=now, picture=health.look(now))


_picture = Prober(_look, keep=SHARED_SECONDS)
_ready_for_good = False


def _is_migrated() -> bool:
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


_migrated = Prober(_is_migrated)


class BoundedAuthentication(BaseAuthentication):
    """The usual one, given up when the database does not answer in time: then the caller is a guest."""

    def authenticate(self, request: Request) -> Any:
        if not request.headers.get("Authorization", "").strip():
            return None
        usual: Any = cast("Any", api_settings.DEFAULT_AUTHENTICATION_CLASSES[0])()
        try:
            return Prober(lambda: usual.authenticate(request)).ask()
        except Silent as silent:
            if isinstance(silent.__cause__, Unauthorized):
                raise silent.__cause__ from None
            return None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class WorkerSerializer(StrictSerializer):
    queue_size = serializers.IntegerField(help_text="Due executions that wait")
    active_workers = serializers.IntegerField(help_text="Executions that run")


class HealthSerializer(StrictSerializer):
    status = serializers.ChoiceField(choices=["healthy", "unhealthy"])
    timestamp = MomentField()
    uptime = serializers.IntegerField(help_text="Milliseconds since this web process started")
    database = serializers.ChoiceField(choices=["connected", "disconnected"])
    scheduler = serializers.ChoiceField(choices=STATES)
    instance_id = serializers.CharField(allow_null=True, help_text="Of the newest scheduler")
    worker = WorkerSerializer()
    redis = serializers.ChoiceField(choices=["connected", "disconnected", "not configured"])
    version = serializers.CharField()


class StateSerializer(StrictSerializer):
    status = serializers.CharField()


class SchedulerHealthSerializer(StrictSerializer):
    instance_id = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=STATES)
    jobs_processed_count = serializers.IntegerField()
    uptime = serializers.IntegerField(help_text="Milliseconds since the newest live scheduler started")
    currently_running_jobs = serializers.IntegerField()
    queued_jobs = serializers.IntegerField()
    worker_pool_size = serializers.IntegerField()
    worker_pool_utilization = serializers.FloatField(help_text="Percent")
    last_heartbeat = MomentField(allow_null=True)
    scheduler_lag_ms = serializers.IntegerField(
        help_text="How long the oldest job or execution has waited that nothing of yours holds back"
    )


class InstanceSerializer(StrictSerializer):
    instance_id = serializers.CharField()
    role = serializers.ChoiceField(choices=["scheduler", "worker"])
    status = serializers.ChoiceField(choices=[health.ACTIVE, health.INACTIVE])
    last_heartbeat = MomentField()
    hostname = serializers.CharField(allow_null=True)
    pid = serializers.IntegerField(allow_null=True)
    jobs_processed_count = serializers.IntegerField()


class SchedulerStatusSerializer(SchedulerHealthSerializer):
    instances = InstanceSerializer(many=True)


class ProbeView(ApiView):
    """What monitors ask: without a token, and within a second."""

    open_to_all = True
    authentication_classes = [BoundedAuthentication]


class HealthView(ProbeView):
    @extend_schema(responses={200: HealthSerializer, 503: HealthSerializer})
    def get(self, request: Request) -> Response:
        """The health of this web process and its neighbours; 503 when the database does not answer."""
        try:
            sight = _picture.ask()
        except Silent:
            sight = None
        picture = sight.picture if sight else Picture()
        body = {
            "status": "healthy" if sight else "unhealthy",
            "timestamp": sight.now if sight else timezone.now(),
            "uptime": round((time.monotonic() - STARTED) * 1000),
            "database": "connected" if sight else "disconnected",
            "scheduler": picture.status,
            "instanceId": picture.instance_id,
            "worker": {"queueSize": picture.queued, "activeWorkers": picture.running},
            "redis": ask_redis(),
            "version": settings.VERSION,
        }
        return Response(body, status=200 if sight else 503)


class LiveView(ProbeView):
    @extend_schema(responses=StateSerializer)
    def get(self, request: Request) -> Response:
        """This process answers."""
        return Response({"status": "alive"})


class ReadyView(ProbeView):
    @extend_schema(responses={200: StateSerializer, 503: StateSerializer})
    def get(self, request: Request) -> Response:
        """503 without the database, or while migrations are missing."""
        try:
            ready = is_ready()
        except Silent:
            return Response({"status": "the database does not answer"}, status=503)
        if not ready:
            return Response({"status": "migrations are missing"}, status=503)
        return Response({"status": "ready"})


def is_ready() -> bool:
    """Whether the database answers and has every migration. Raises Silent.

    Migrations are looked for until there is none to apply; a process does not lose them again.
    """
    global _ready_for_good
    if _ready_for_good:
        _picture.ask()
        return True
    _ready_for_good = _migrated.ask(patience=READING_SECONDS)
    return _ready_for_good


class SchedulerHealthView(ProbeView):
    @extend_schema(responses={200: SchedulerHealthSerializer, 503: SchedulerHealthSerializer})
    def get(self, request: Request) -> Response:
        """For monitors outside: 503 unless the scheduler is ACTIVE."""
        try:
            sight = _picture.ask()
        except Silent:
            sight = Sight(seen_at=timezone.now(), picture=Picture())
        status = 200 if sight.picture.status == health.ACTIVE else 503
        return Response(show_picture(sight), status=status)


class SchedulerStatusView(ApiView):
    owned = False

    @extend_schema(responses=SchedulerStatusSerializer)
    def get(self, request: Request) -> Response:
        """How the scheduler stands, with its processes."""
        sight = _look()
        instances = [show_process(process) for process in sight.picture.processes]
        return Response(show_picture(sight) | {"instances": instances})


def show_picture(sight: Sight) -> dict[str, Any]:
    """The scheduler as both routes answer it."""
    picture = sight.picture
    age = sight.now - picture.started_at if picture.started_at else timedelta(0)
    return {
        "instanceId": picture.instance_id,
        "status": picture.status,
        "jobsProcessedCount": picture.processed,
        "uptime": max(0, age // MILLISECOND),
        "currentlyRunningJobs": picture.running,
        "queuedJobs": picture.queued,
        "workerPoolSize": picture.slots,
        "workerPoolUtilization": picture.utilization,
        "lastHeartbeat": picture.last_heartbeat,
        "schedulerLagMs": picture.lag // MILLISECOND,
    }


def show_process(process: Process) -> dict[str, Any]:
    """One scheduler or worker process."""
    return {
        "instanceId": process.id,
        "role": process.role,
        "status": health.ACTIVE if process.alive else health.INACTIVE,
        "lastHeartbeat": process.last_heartbeat,
        "hostname": process.hostname,
        "pid": process.pid,
        "jobsProcessedCount": process.processed,
    }


def ask_redis() -> str:
    """Whether Redis answers, in the contract's words."""
    if not settings.REDIS_URL:
        return "not configured"
    try:
        _redis(settings.REDIS_URL).ping()
    except Exception:  # noqa: BLE001 - a neighbour that fails in any way is not connected
        return "disconnected"
    return "connected"


@cache
def _redis(url: str) -> Any:
    import redis  # only where REDIS_URL asks for it

    options = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
    return redis.Redis.from_url(url, **options)
