"""What all routes under one job share."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from executions.engine import clock
from jobs.api.answers import detailed, warn_of
from jobs.api.serializers import JobSerializer
from jobs.audit import Actor, actor_of
from jobs.models import Job
from web.api.views import ApiViewSet


class OneJobViewSet(ApiViewSet):
    """The `id` in the address is a job that the caller may see and that was not deleted."""

    queryset = Job.objects.all()
    serializer_class: type[BaseSerializer[Any]] = JobSerializer
    lookup_field = "uuid"
    noun = "Job"

    def visible_jobs(self) -> QuerySet[Job]:
        """The jobs that the caller may know of, deleted ones too."""
        return super().get_queryset()

    def get_queryset(self) -> QuerySet[Any]:
        jobs: Any = self.visible_jobs()
        return jobs.present()  # type: ignore[no-any-return]

    def actor(self, body: dict[str, Any] | None = None) -> Actor:
        """Who acts; a guest may have said a name in the body."""
        return actor_of(self.request.user, called=(body or {}).get("changed_by"))

    def answer_job(
        self,
        job: Job,
        *,
        warns: bool = False,
        status: int = 200,
        headers: dict[str, str] | None = None,
        handler_before: str | None = None,
    ) -> Response:
        """The job object of the row as it is now."""
        job = detailed(Job.objects.filter(pk=job.pk)).get()
        body = dict(JobSerializer(job, context=self.get_serializer_context()).data)
        if warns:
            body["warnings"] = warn_of(job, now=clock.now(), handler_before=handler_before)
        return Response(body, status=status, headers=headers)
