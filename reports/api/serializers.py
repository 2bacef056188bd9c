"""Report files on the wire."""

from __future__ import annotations

from rest_framework import serializers

from reports.models import ReportFile
from web.api.fields import IdField, MomentField
from web.api.serializers import StrictModelSerializer


class ReportSerializer(StrictModelSerializer):
    """A file that a report job wrote; `jobId` is null when its job is gone."""

    id = IdField(read_only=True)
    execution_id = IdField(read_only=True, allow_null=True)
    job_id = IdField(read_only=True, allow_null=True, source="job_uuid")
    name = serializers.CharField(read_only=True)
    data_date = serializers.DateField(read_only=True, help_text="The day that the data is of")
    rows = serializers.IntegerField(read_only=True)
    bytes = serializers.IntegerField(read_only=True)
    sha256 = serializers.CharField(read_only=True)
    created_at = MomentField(read_only=True)

    class Meta:
        model = ReportFile
        fields = [
            "id",
            "execution_id",
            "job_id",
            "name",
            "data_date",
            "rows",
            "bytes",
            "sha256",
            "created_at",
        ]
