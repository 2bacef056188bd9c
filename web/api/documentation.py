"""Where the API explains itself: the schema, Swagger UI, and the first page."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from web.api.renderers import dump_json
from web.api.views import ApiView

SCHEMA_URL = "/api/schema"


@cache
def read_schema() -> dict[str, Any]:
    """The OpenAPI description; it depends on the code alone, so it is made once per process."""
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return schema


@cache
def _schema_bytes() -> bytes:
    return dump_json(read_schema())


class DocumentationView(ApiView):
    open_to_all = True


@extend_schema(exclude=True)
class SchemaView(DocumentationView):
    def get(self, request: Request) -> HttpResponseBase:
        return HttpResponse(_schema_bytes(), content_type="application/json")


@extend_schema(exclude=True)
class SwaggerView(DocumentationView):
    def get(self, request: Request) -> HttpResponseBase:
        context = {"title": "API of the job scheduler", "schema_url": SCHEMA_URL}
        return render(_plain(request), "web/swagger.html", context)


@extend_schema(exclude=True)
class FirstView(DocumentationView):
    """Programs learn where to go on; browsers are sent to the admin."""

    def get(self, request: Request) -> HttpResponseBase:
        if "text/html" in request.headers.get("Accept", ""):
            return HttpResponseRedirect(f"/{settings.ADMIN_PATH}")
        return Response(
            {
                "message": "Batch and HTTP job scheduler",
                "version": settings.VERSION,
                "documentation": "/api",
                "apiSpec": SCHEMA_URL,
                "health": "/api/v1/health",
            }
        )


def _plain(request: Request) -> HttpRequest:
    plain: HttpRequest = request._request
    return plain
