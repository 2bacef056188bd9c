"""Dead letters: executions that are FAILED for good, and what an operator does about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from executions import operations
from executions.api.dialect import show_status
from executions.api.serializers import (
    BulkRequeueSerializer,
    BulkRetrySerializer,
    BulkSerializer,
    CountSerializer,
    DeadLetterSerializer,
    RequeuedSerializer,
    RequeueStartedSerializer,
    RetrySerializer,
)
from executions.models import BulkRequeue, DeadLetter, Status
from jobs import definitions
from jobs.audit import actor_of
from jobs.models import Job
from web.api.permissions import require_right
from web.api.query import QueryReader
from web.api.views import ApiViewSet
from web.errors import Invalid

RIGHT = "executions.operate_deadletter"


class DeadLetterViewSet(ApiViewSet):
    """Of the caller's own jobs; staff see all."""

    queryset = DeadLetter.objects.select_related("execution__job").order_by("-failed_at", "-id")
    serializer_class = DeadLetterSerializer
    rights = {"retry": RIGHT, "resolve": RIGHT}
    noun = "Dead letter"
    items_key = "items"

    def get_queryset(self) -> QuerySet[DeadLetter]:
        return super().get_queryset().defer("execution__response_body", "execution__result")

    def owner_of(self, obj: DeadLetter) -> UUID | None:
        owner: UUID | None = obj.execution.job.user_id
        return owner

    @extend_schema(
        responses=DeadLetterSerializer(many=True),
        parameters=[
            OpenApiParameter("resolved", OpenApiTypes.BOOL, default=False),
            OpenApiParameter("jobId", OpenApiTypes.UUID),
        ],
    )
    def list(self, request: Request) -> Response:
        """Dead letters, the newest failure first; open ones unless `resolved` is true."""
        with QueryReader(request.query_params) as query:
            resolved, job_id = query.flag("resolved", False), query.uuid("jobId")
        rows = self.get_queryset().filter(resolved=resolved)
        return self.list_page(rows if job_id is None else rows.filter(execution__job__uuid=job_id))

    @extend_schema(responses=DeadLetterSerializer)
    def retrieve(self, request: Request, **address: Any) -> Response:
        """One dead letter."""
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(operation_id="dlq_retry", request=RetrySerializer, responses=RequeuedSerializer)
    def retry(self, request: Request, **address: Any) -> Response:
        """Run the work again: a new execution with the same fire time and fresh retries."""
        letter = self.get_object()
        body = self.read_body(RetrySerializer)
        self._check_override([letter.execution.job], body.get("payload"))
        key = operations.requeue(letter, by=actor_of(request.user), payload=body.get("payload"))
        status = show_status(Status.PENDING, letter.execution.job.schedule_type)
        return Response({"executionId": key, "status": status})

    @extend_schema(operation_id="dlq_resolve", request=None, responses=DeadLetterSerializer)
    def resolve(self, request: Request, **address: Any) -> Response:
        """Put it to rest without running it."""
        letter = self.get_object()
        operations.resolve(letter, by=actor_of(request.user))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(operation_id="dlq_resolve_many", request=BulkSerializer, responses=CountSerializer)
    def resolve_many(self, request: Request) -> Response:
        """Put all of them to rest that `ids` or the filters of the list name."""
        letters = self._chosen(self.read_body(BulkSerializer))
        return Response({"count": operations.resolve_many(letters, by=actor_of(request.user))})

    @extend_schema(
        operation_id="dlq_retry_many",
        request=BulkRetrySerializer,
        responses={202: RequeueStartedSerializer},
    )
    def retry_many(self, request: Request) -> Response:
        """Begin to run all of them again, one first and the rest when it succeeded."""
        body = self.read_body(BulkRetrySerializer)
        filters = {name: str(body[name]) for name in ("job_id",) if body.get(name)}
        letters = self._chosen(body)
        jobs = Job.objects.filter(executions__dead_letter__in=letters).distinct()
        self._check_override(jobs, body.get("payload"))
        bulk = operations.requeue_many(
            letters,
            by=actor_of(request.user),
            filters=filters,
            canary=body["canary"],
            rate_per_minute=body.get("rate_per_minute"),
            payload=body.get("payload"),
        )
        return Response({"count": bulk.count, "requeueId": bulk.id}, status=202)

    def _check_override(self, jobs: Iterable[Job], payload: dict[str, Any] | None) -> None:
        """Raises Invalid where the payload cannot stand in for that of one of the jobs."""
        if payload is None:
            return
        staff = self.request.user.is_staff
        for job in jobs:
            if problems := definitions.check_override(job, payload, staff=staff):
                raise Invalid(problems)

    def _chosen(self, body: dict[str, Any]) -> QuerySet[DeadLetter]:
        """The open letters that the body names, all of which the caller may change.

        Raises Invalid for ids that are not the caller's to see.
        """
        letters = self._changeable().filter(resolved=False)
        if body.get("job_id"):
            letters = letters.filter(execution__job__uuid=body["job_id"])
        if "ids" in body:
            self._check_ids(body["ids"])
            letters = letters.filter(id__in=body["ids"])
        return letters

    def _changeable(self) -> QuerySet[DeadLetter]:
        letters = self.get_queryset().select_related(None).defer(None)
        user = self.request.user
        if user.is_authenticated and user.is_staff and not user.has_perm(RIGHT):
            # Staff without the right may still change what is their own.
            own = letters.filter(execution__job__user=user)
            if not own.exists():
                require_right(user, RIGHT)
            return own
        return letters

    def _check_ids(self, ids: Sequence[UUID]) -> None:
        known = set(self._changeable().filter(id__in=ids).values_list("id", flat=True))
        problems = {
            f"ids.{number}": "Unknown dead letter" for number, key in enumerate(ids) if key not in known
        }
        if problems:
            raise Invalid(problems)


class BulkRequeueViewSet(ApiViewSet):
    """How far a bulk requeue is."""

    queryset = BulkRequeue.objects.all()
    serializer_class = BulkRequeueSerializer
    noun = "Requeue"
    pagination_class = None

    @extend_schema(responses=BulkRequeueSerializer)
    def retrieve(self, request: Request, **address: Any) -> Response:
        """Its state, and how many were brought back or could not be."""
        return Response(self.get_serializer(self.get_object()).data)
