"""The addresses that exist once, without /api/v1."""

from __future__ import annotations

from web.api.documentation import FirstView, SchemaView, SwaggerView
from web.api.routes import route

urlpatterns = [
    route("", FirstView),
    route("api", SwaggerView),
    route("api/docs", SwaggerView),
    route("docs", SwaggerView),
    route("api/schema", SchemaView),
    route("docs/openapi.json", SchemaView),
]
