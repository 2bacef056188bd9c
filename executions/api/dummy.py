"""A target for trying things out."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from web import strictjson
from web.api.query import QueryReader
from web.api.serializers import StrictSerializer
from web.api.views import ApiView
from web.errors import Invalid, NotFound

MAX_DELAY_MS = 60_000
WITHOUT_BODY = (204, 205, 304)


class DummySerializer(StrictSerializer):
    ok = serializers.BooleanField()
    method = serializers.CharField()
    received = serializers.JSONField(allow_null=True)


_document = extend_schema(
    responses={200: DummySerializer, 404: None},
    parameters=[
        OpenApiParameter("status", OpenApiTypes.INT, description="Answer with this code"),
        OpenApiParameter("delayMs", OpenApiTypes.INT, description=f"Wait so long, at most {MAX_DELAY_MS}"),
    ],
)
_document_body = extend_schema(request=OpenApiTypes.OBJECT)


class DummyView(ApiView):
    """Only with ENABLE_DUMMY_ENDPOINT."""

    open_to_all = True
    http_method_names = ["get", "post", "put", "patch", "delete", "head", "options", "trace"]

    def _answer(self, request: Request) -> Response:
        if not settings.ENABLE_DUMMY_ENDPOINT:
            raise NotFound("Route")
        with QueryReader(request.query_params) as query:
            status = query.whole("status", 200, low=200, high=599)
            delay = query.whole("delayMs", 0, low=0, high=MAX_DELAY_MS)
        time.sleep(delay / 1000)
        if status in WITHOUT_BODY:
            return Response(status=status)
        received = read_received(request._request.body)
        return Response({"ok": status < 400, "method": request.method, "received": received}, status=status)

    @_document
    def get(self, request: Request) -> Response:
        """Tells what it received."""
        return self._answer(request)

    @_document
    @_document_body
    def post(self, request: Request) -> Response:
        """Tells what it received."""
        return self._answer(request)

    @_document
    @_document_body
    def put(self, request: Request) -> Response:
        """Tells what it received."""
        return self._answer(request)

    @_document
    @_document_body
    def patch(self, request: Request) -> Response:
        """Tells what it received."""
        return self._answer(request)

    @_document
    def delete(self, request: Request) -> Response:
        """Tells what it received."""
        return self._answer(request)

    @extend_schema(exclude=True)
    def options(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # type: ignore[override]
        return self._answer(request)

    @extend_schema(exclude=True)
    def trace(self, request: Request) -> Response:
        return self._answer(request)


def read_received(body: bytes) -> Any:
    """JSON as its value, all else as text; None where nothing came."""
    if not body:
        return None
    try:
        return strictjson.parse_json(body)
    except Invalid:
        return body.decode(errors="replace")
