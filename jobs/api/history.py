"""What a job was and who changed it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from jobs import definitions, versions
from jobs.api import dialect
from jobs.api.one import OneJobViewSet
from jobs.api.serializers import AuditSerializer, VersionSerializer
from jobs.models import AuditEntry, Job, JobVersion
from web.errors import Invalid
from web.redaction import masked


class VersionViewSet(OneJobViewSet):
    """The definitions that a job had."""

    items_key = "versions"

    @extend_schema(responses=VersionSerializer(many=True))
    def list(self, request: Request, **address: Any) -> Response:
        """Every definition that the job had, newest first, with what it changed."""
        job = self.get_object()
        page = self.paginate_queryset(JobVersion.objects.filter(job=job).order_by("-version", "-id"))
        return self.get_paginated_response(describe_versions(job, page or []))


class AuditViewSet(OneJobViewSet):
    """What was done to a job."""

    items_key = "audit"

    @extend_schema(responses=AuditSerializer(many=True))
    def list(self, request: Request, **address: Any) -> Response:
        """Who did what to the job, newest first."""
        job = self.get_object()
        page = self.paginate_queryset(AuditEntry.objects.filter(job=job).order_by("-timestamp", "-id"))
        context = {**self.get_serializer_context(), "job": job}
        return self.get_paginated_response(AuditSerializer(page, many=True, context=context).data)


def describe_versions(job: Job, page: Sequence[JobVersion]) -> list[dict[str, Any]]:
    """The versions of a page with what each changed against the one before; secrets masked."""
    numbers = [version.version - 1 for version in page]
    before = dict(
        JobVersion.objects.filter(job=job, version__in=numbers).values_list("version", "definition")
    )
    return [
        {
            "version": version.version,
            "validFrom": version.valid_from,
            "validTo": version.valid_to,
            "changedBy": version.changed_by,
            "changes": _compare(before.get(version.version - 1), version.definition),
        }
        for version in page
    ]


def _compare(old: dict[str, Any] | None, new: dict[str, Any]) -> Any:
    if old is None:
        return {}
    changes = {
        name: {"old": old.get(name), "new": value} for name, value in new.items() if old.get(name) != value
    }
    return dialect.say_changes(masked(changes))


def check_version(job: Job, number: int, *, staff: bool) -> None:
    """Raise Invalid where that version does not exist, or may not be saved (again) by this caller."""
    version = JobVersion.objects.filter(job=job, version=number).first()
    if version is None:
        raise Invalid({"version": f"The job has no version {number}"})
    problems = definitions.check_change(job, versions.restore(version), staff=staff)
    if problems:
        reasons = "; ".join(f"{dialect.wire(field)}: {text}" for field, text in problems.items())
        raise Invalid({"version": f"Cannot be taken again: {reasons}"})
