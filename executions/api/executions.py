"""Executions: what ran, runs and will run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from executions import operations
from executions.api.serializers import (
    ExecutionDetailSerializer,
    ExecutionSerializer,
    LogsSerializer,
    show_log,
)
from executions.engine import clock
from executions.models import Execution, LogLevel, Status, Trigger
from executions.statistics import count_all
from executions.waiting import waiting_for
from jobs.audit import actor_of
from jobs.models import Job, JobState
from web.api.pages import read_page
from web.api.query import QueryReader, day_parameter
from web.api.views import ApiViewSet
from web.errors import NotFound

MUCH = 20  # an owner of a twentieth of the ledger owns much of it
NEWEST_FIRST = ("-scheduled_at", "-id")
# What an answer shows of the job. A body may have kilobytes, and lists do not show it.
JOB_FIELDS = ("job__uuid", "job__name", "job__schedule_type", "job__user_id")
NOT_IN_LISTS = ("response_body", "payload", "token")


FILTERS = [
    OpenApiParameter("status", OpenApiTypes.STR, enum=Status.values),
    OpenApiParameter("trigger", OpenApiTypes.STR, enum=Trigger.values),
    day_parameter("fromDate", "scheduledAt from"),
    day_parameter("toDate", "scheduledAt to, included"),
]


class ExecutionViewSet(ApiViewSet):
    """The ledger. Executions of deleted jobs stay."""

    queryset = Execution.objects.select_related("job").order_by(*NEWEST_FIRST)
    serializer_class = ExecutionSerializer
    rights = {"cancel": "jobs.operate_job"}
    noun = "Execution"
    items_key = "executions"
    page_limit = 5
    counted: int | None = None

    def owner_of(self, obj: Execution) -> UUID | None:
        owner: UUID | None = obj.job.user_id
        return owner

    def count_rows(self, rows: QuerySet[Execution]) -> int:
        """How many there are; the whole ledger is not counted, because its count is kept."""
        if self.counted is None:
            everything = not rows.query.where
            self.counted = count_all() if everything else rows.order_by().count()
        return self.counted

    @extend_schema(
        responses=ExecutionSerializer(many=True),
        parameters=[OpenApiParameter("jobId", OpenApiTypes.UUID), *FILTERS],
    )
    def list(self, request: Request) -> Response:
        """Executions, the newest scheduledAt first."""
        with QueryReader(request.query_params) as query:
            job_id = query.uuid("jobId")
            rows = self.filtered(self.get_queryset(), query)
        if job_id is not None:
            # By the job's number, so that its own index answers; nobody has 0.
            key = Job.objects.filter(uuid=job_id).values_list("id", flat=True).first()
            rows = rows.filter(job_id=key or 0)
        elif connection.vendor == "sqlite" and self.owns_much(rows):
            rows = self.filtered(walked_by_time(request.user), query)
        return self.list_executions(rows)

    def owns_much(self, rows: QuerySet[Execution]) -> bool:
        """Whether the caller, who does not see all, sees a good part of the whole ledger."""
        return not self.request.user.is_staff and MUCH * self.count_rows(rows) >= count_all()

    def filtered(self, rows: QuerySet[Execution], query: QueryReader) -> QuerySet[Execution]:
        """The rows that the list's filters leave; what is wrong with the page is noticed with them."""
        conditions: dict[str, Any] = {
            "status": query.word("status", Status.values),
            "trigger": query.word("trigger", Trigger.values),
            "scheduled_at__gte": query.since("fromDate"),
            "scheduled_at__lt": query.until("toDate"),
        }
        read_page(query, limit=self.page_limit, envelope=self.page_envelope)
        return rows.filter(**{name: value for name, value in conditions.items() if value is not None})

    def list_executions(self, rows: QuerySet[Execution]) -> Response:
        """Answer one page of these executions, with what the waiting ones wait for."""
        page: Any = self.paginate_queryset(rows.defer(*NOT_IN_LISTS))
        context = {"waiting_for": find_holds(page), "now": find_now(page)}
        data = ExecutionSerializer(page, many=True, context=context).data
        return self.get_paginated_response(data)

    @extend_schema(responses=ExecutionDetailSerializer)
    def retrieve(self, request: Request, **address: Any) -> Response:
        """One execution with its attempts, its log lines and the answer that it got."""
        execution = self.get_object()
        context = {
            "waiting_for": find_holds([execution]),
            "now": find_now([execution]),
            "attempts": execution.attempts.order_by("attempt_number"),
            "logs": execution.logs.order_by("id"),
        }
        return Response(ExecutionDetailSerializer(execution, context=context).data)

    @extend_schema(
        responses=LogsSerializer,
        parameters=[OpenApiParameter("level", OpenApiTypes.STR, enum=LogLevel.values)],
    )
    def logs(self, request: Request, **address: Any) -> Response:
        """The log lines of all its attempts, in order."""
        with QueryReader(request.query_params) as query:
            level = query.word("level", LogLevel.values)
        execution = self.get_object()
        lines = execution.logs.order_by("id")
        if level:
            lines = lines.filter(log_level=level)
        return Response({"executionId": execution.id, "logs": [show_log(line) for line in lines]})

    @extend_schema(operation_id="executions_cancel", request=None, responses=ExecutionSerializer)
    def cancel(self, request: Request, **address: Any) -> Response:
        """End a waiting execution at once, ask a running one to end; 409 for one that ended."""
        execution = operations.cancel_execution(self.get_object(), by=actor_of(request.user))
        return Response(ExecutionSerializer(execution).data)


class JobExecutionViewSet(ExecutionViewSet):
    """What became of one job's fire times."""

    noun = "Job"
    page_envelope = False
    job: Job

    def count_rows(self, rows: QuerySet[Execution]) -> int:
        return rows.order_by().count()

    def page_extra(self) -> dict[str, Any]:
        return {"jobId": self.job.uuid}

    @extend_schema(responses=ExecutionSerializer(many=True), parameters=FILTERS)
    def list(self, request: Request, **address: Any) -> Response:
        """The job's executions, the newest scheduledAt first; a bare array of 5 unless told otherwise."""
        with QueryReader(request.query_params) as query:
            rows = self.filtered(Execution.objects.select_related("job").order_by(*NEWEST_FIRST), query)
        self.job = find_job(request.user, self.kwargs["id"])
        return self.list_executions(rows.filter(job_id=self.job.id))


def walked_by_time(user: Any) -> QuerySet[Execution]:
    """The caller's executions, found by going through all of them by time.

    SQLite would read everything that the caller owns in order to sort it; an index that it cannot
    use (job_id + 0) leaves it the one by time.
    """
    jobs = Job.objects.visible_to(user).values("id")
    rows = Execution.objects.alias(of_job=F("job_id") + 0).filter(of_job__in=jobs)
    return rows.select_related("job").order_by(*NEWEST_FIRST)


def find_job(user: Any, key: UUID) -> Job:
    """The job that an address names. Raises NotFound where the user cannot see it, and for a deleted one."""
    jobs = Job.objects.visible_to(user).exclude(state=JobState.DELETED)
    job: Job | None = jobs.filter(uuid=key).first()
    if job is None:
        raise NotFound("Job")
    return job


def find_holds(executions: Iterable[Execution]) -> dict[UUID, str]:
    """What the waiting ones among these wait for; nothing is asked where none waits."""
    waiting = [one for one in executions if not one.is_final and one.status != Status.RUNNING]
    return waiting_for(waiting, clock.now()) if waiting else {}


def find_now(executions: Iterable[Execution]) -> datetime | None:
    """The time, where one of these runs and says how far it is; nobody else needs it."""
    telling = any(one.status == Status.RUNNING and one.progress_total for one in executions)
    return clock.now() if telling else None
