"""Report files: the list, one, and its download."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery
from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from jobs.models import Job
from reports.api.serializers import ReportSerializer
from reports.files import open_report
from reports.models import ReportFile
from web.api.query import QueryReader
from web.api.views import ApiViewSet
from web.errors import NotFound

CSV, GZIP = "text/csv; charset=utf-8", "application/gzip"
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class ReportViewSet(ApiViewSet):
    """A report belongs to the owner of its job."""

    queryset = ReportFile.objects.order_by("-created_at", "-id")
    serializer_class = ReportSerializer
    noun = "Report"
    items_key = "reports"

    def get_queryset(self) -> QuerySet[ReportFile]:
        uuid = Job.objects.filter(id=OuterRef("job_id")).values("uuid")
        rows: QuerySet[ReportFile] = super().get_queryset().annotate(job_uuid=Subquery(uuid))
        return rows

    def owner_of(self, obj: ReportFile) -> UUID | None:
        return Job.objects.filter(id=obj.job_id or 0).values_list("user_id", flat=True).first()

    @extend_schema(
        responses=ReportSerializer(many=True), parameters=[OpenApiParameter("jobId", OpenApiTypes.UUID)]
    )
    def list(self, request: Request) -> Response:
        """Report files, the newest first."""
        with QueryReader(request.query_params) as query:
            job_id = query.uuid("jobId")
        rows = self.get_queryset()
        if job_id is not None:
            key = Job.objects.filter(uuid=job_id).values_list("id", flat=True).first()
            rows = rows.filter(job_id=key or 0)
        return self.list_page(rows)

    @extend_schema(responses=ReportSerializer)
    def retrieve(self, request: Request, **address: Any) -> Response:
        """What is known of one file."""
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.BINARY})
    def download(self, request: Request, **address: Any) -> FileResponse:
        """The file itself; 404 when it is gone."""
        report = self.get_object()
        try:
            file = open_report(report)
        except FileNotFoundError:
            raise NotFound("Report file") from None
        kind = GZIP if report.name.endswith(".gz") else CSV
        name = CONTROL.sub("_", report.name)
        return FileResponse(file, as_attachment=True, filename=name, content_type=kind)
