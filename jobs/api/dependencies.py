"""Who waits for whom."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from executions import operations
from jobs import definitions
from jobs.api.one import OneJobViewSet
from jobs.api.requests import NewDependencySerializer
from jobs.api.serializers import DependencySerializer
from jobs.models import Dependency, Job
from web.errors import Invalid, NotFound


class DependencyViewSet(OneJobViewSet):
    """The jobs that a job waits for."""

    serializer_class = DependencySerializer
    items_key = "dependencies"
    rights = {"create": "jobs.change_job", "destroy": "jobs.change_job"}

    @extend_schema(responses=DependencySerializer(many=True))
    def list(self, request: Request, **address: Any) -> Response:
        """What the job waits for, oldest first."""
        return self.list_page(self._of(self.get_object()).order_by("created_at", "id"))

    @extend_schema(request=NewDependencySerializer, responses={201: DependencySerializer})
    def create(self, request: Request, **address: Any) -> Response:
        """Let the job wait for another one of the same owner. 400 for a circle, 409 for a second time."""
        job, body = self.get_object(), self.read_body(NewDependencySerializer)
        try:
            other = definitions.find_dependencies([body["depends_on_job_id"]], owner_id=job.user_id)[0]
            bond = operations.add_dependency(
                job,
                other,
                by=self.actor(body),
                outcome=body.get("outcome", "SUCCESS"),
                within_seconds=body.get("within_seconds"),
            )
        except operations.Invalid as error:
            raise Invalid({"dependsOnJobId": error.message}) from None
        except ValueError as error:
            raise Invalid({"dependsOnJobId": str(error)}) from None
        return Response(DependencySerializer(self._of(job).get(pk=bond.pk)).data, status=201)

    @extend_schema(request=None, responses={204: None})
    def destroy(self, request: Request, **address: Any) -> Response:
        """Let the job wait for that one no longer."""
        job = self.get_object()
        bond = self._of(job).filter(depends_on__uuid=self.kwargs["depends_on_job_id"]).first()
        if bond is None:
            raise NotFound("Dependency")
        operations.remove_dependency(bond, by=self.actor())
        return Response(status=204)

    def _of(self, job: Job) -> QuerySet[Dependency]:
        return Dependency.objects.filter(job=job).select_related("job", "depends_on")
