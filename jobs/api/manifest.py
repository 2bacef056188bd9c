"""The form of a file of jobs, for editors and checkers that want an address."""

from __future__ import annotations

from django.http import HttpResponse, HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from jobs import manifest
from web.api.documentation import DocumentationView


@extend_schema(exclude=True)
class ManifestSchemaView(DocumentationView):
    """The JSON Schema that `apply_jobs` checks by; open as the other descriptions are."""

    def get(self, request: Request) -> HttpResponseBase:
        text = manifest.SCHEMA_FILE.read_text(encoding="utf-8")
        return HttpResponse(text, content_type="application/schema+json")
