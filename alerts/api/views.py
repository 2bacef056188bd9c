"""The routes of alerts."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import operations
from alerts.api.serializers import (
    AlertSerializer,
    ChangedAlertSerializer,
    DeliverySerializer,
    JobAlertSerializer,
    TriedSerializer,
)
from alerts.models import Alert, Delivery
from jobs.audit import actor_of
from jobs.models import Job
from web.api.permissions import require_right
from web.api.routes import link
from web.api.views import ApiViewSet

CREATING = "alerts.add_alert"
SHARED = ("job", "tag")


class AlertViewSet(ApiViewSet):
    """Alerts of the caller; staff see all and change others' as their group allows."""

    queryset = Alert.objects.select_related(*SHARED).order_by("-created_at", "-id")
    serializer_class = AlertSerializer
    noun = "Alert"
    items_key = "alerts"
    rights = {
        "partial_update": "alerts.change_alert",
        "destroy": "alerts.delete_alert",
        "test": "alerts.change_alert",
    }

    @extend_schema(responses=AlertSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Every alert that the caller may see, newest first."""
        return self.list_page(self.get_queryset())

    @extend_schema(request=AlertSerializer, responses={201: AlertSerializer})
    def create(self, request: Request) -> Response:
        """Make an alert for one job (`jobId`), for a tag (`tag`), or for all jobs of the caller."""
        body = self.read_body()
        job_id, tag = body.pop("job_id", None), body.pop("tag", None)
        job = operations.find_job(job_id, of=request.user) if job_id else None
        if job is not None:
            require_right(request.user, CREATING, owner_id=job.user_id)
        found = operations.find_tag(tag, of=request.user) if tag else None
        return self._create(body, job=job, tag=found)

    @extend_schema(responses=AlertSerializer)
    def retrieve(self, request: Request, **address: Any) -> Response:
        """One alert."""
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=ChangedAlertSerializer, responses=AlertSerializer)
    def partial_update(self, request: Request, **address: Any) -> Response:
        """Change type, endpoint, conditions or enabled; what is not named stays, conditions too."""
        alert = self.get_object()
        body = self.read_body(ChangedAlertSerializer, partial=True)
        changed = operations.update(alert, body, by=actor_of(request.user))
        return Response(self.get_serializer(changed).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, **address: Any) -> Response:
        """Remove an alert and its deliveries."""
        operations.delete(self.get_object(), by=actor_of(request.user))
        return Response(status=204)

    @extend_schema(operation_id="alerts_test", request=None, responses=TriedSerializer)
    def test(self, request: Request, **address: Any) -> Response:
        """Send a test message now and say whether it arrived; it is tried once, and not kept."""
        tried = operations.test(self.get_object(), by=actor_of(request.user))
        return Response({"delivered": tried.delivered, "error": tried.error})

    def _create(self, body: dict[str, Any], **scope: Any) -> Response:
        by = actor_of(self.request.user)
        alert = operations.create(by=by, kind=body.pop("type"), **scope, **body)
        headers = {"Location": link(f"/alerts/{alert.id}")}
        return Response(self.get_serializer(alert).data, status=201, headers=headers)


class JobAlertViewSet(AlertViewSet):
    """The alerts of one job."""

    noun = "Job"
    lookup_field = "uuid"
    rights = {"create": CREATING}
    serializer_class = JobAlertSerializer

    def get_queryset(self) -> Any:
        return Job.objects.present().visible_to(self.request.user)

    @extend_schema(responses=AlertSerializer(many=True))
    def list(self, request: Request, **address: Any) -> Response:
        """The alerts that were made for this job, newest first."""
        job = self.get_object()
        return self.list_page(AlertViewSet.queryset.filter(job=job))

    @extend_schema(request=JobAlertSerializer, responses={201: AlertSerializer})
    def create(self, request: Request, **address: Any) -> Response:
        """Make an alert for this job."""
        job = self.get_object()
        return self._create(self.read_body(), job=job)


class DeliveryViewSet(ApiViewSet):
    """What was sent for one alert."""

    queryset = Alert.objects.all()
    serializer_class = DeliverySerializer
    noun = "Alert"
    items_key = "deliveries"

    @extend_schema(responses=DeliverySerializer(many=True))
    def list(self, request: Request, **address: Any) -> Response:
        """The messages of this alert with their outcomes, newest first."""
        alert = self.get_object()
        return self.list_page(Delivery.objects.filter(alert=alert).order_by("-created_at", "-id"))

    def list_page(self, rows: Any, **options: Any) -> Response:
        page: list[Any] = self.paginate_queryset(rows) or []
        jobs = Job.objects.filter(id__in={row.job_id for row in page if row.job_id is not None})
        context = {**self.get_serializer_context(), "job_uuids": dict(jobs.values_list("id", "uuid"))}
        return self.get_paginated_response(DeliverySerializer(page, many=True, context=context).data)
