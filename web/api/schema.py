"""How the API describes itself: canonical paths, one security scheme, error bodies everywhere."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema

from web.api.pages import EnvelopePagination, envelope_schema
from web.api.routes import CANONICAL
from web.api.serializers import StrictSerializer
from web.errors import WORDS

Endpoint = tuple[str, str, str, Any]

ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "The body of every answer with a status code of 400 or more.",
    "required": ["error", "message", "details", "statusCode", "path", "requestId"],
    "properties": {
        "error": {"type": "string", "description": "A short word for the status code"},
        "message": {"type": "string"},
        "details": {
            "type": "array",
            "description": "What is wrong, field by field; empty unless the status code is 400",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": {"type": "string", "example": "retryPolicy.maxRetries"},
                    "message": {"type": "string", "example": "Required"},
                },
            },
        },
        "statusCode": {"type": "integer", "example": 400},
        "path": {"type": "string", "example": "/api/v1/jobs"},
        "requestId": {"type": "string"},
    },
}
_HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string", "example": "Bearer"}}},
    405: {"Allow": {"schema": {"type": "string"}}},
    429: {"Retry-After": {"schema": {"type": "integer", "example": 30}}},
}
_EVERYWHERE = (400, 401, 403, 429, 500, 503)
_WITH_BODY = (413, 415)
METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")


class DocumentedSchema(AutoSchema):
    """drf-spectacular's, told about our envelopes and open routes."""

    def get_auth(self) -> list[dict[str, Any]]:
        # There is one scheme, whichever class reads it; `framework` describes it.
        token: list[dict[str, Any]] = [{"bearer": []}]
        return [{}, *token] if getattr(self.view, "open_to_all", False) else token

    def _map_basic_serializer(self, serializer: Any, direction: str) -> dict[str, Any]:
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if direction == "request" and isinstance(serializer, StrictSerializer):
            schema["additionalProperties"] = False
        if not serializer.__class__.__doc__:
            schema.pop("description", None)  # it would be that of our base class
        return schema

    def _get_paginator(self) -> Any:
        paginator = super()._get_paginator()  # type: ignore[no-untyped-call]
        return _ViewPages(self.view) if isinstance(paginator, EnvelopePagination) else paginator

    def get_paginated_name(self, serializer_name: str) -> str:
        items_key = getattr(self.view, "items_key", "items")
        return (
            f"{items_key[:1].upper()}{items_key[1:]}Page"
            if self._in_envelope()
            else f"{serializer_name}Array"
        )

    def _in_envelope(self) -> bool:
        return bool(getattr(self.view, "page_envelope", True))


class _ViewPages(EnvelopePagination):
    """The paginator as the documenter wants it: knowing its view beforehand."""

    def __init__(self, view: Any) -> None:
        self.view = view

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        envelope = envelope_schema(self.view.items_key, schema)
        forms = [envelope, schema] if getattr(self.view, "page_envelope", True) else [schema, envelope]
        return {"oneOf": forms, "description": "`envelope` chooses the form; the first one is the default."}


def keep_canonical_paths(endpoints: list[Endpoint], **_: Any) -> list[Endpoint]:
    """Preprocessing hook: of a route that answers at two addresses only the canonical one is described."""
    canonical = {(path, callback.cls) for path, _, _, callback in endpoints if path.startswith(CANONICAL)}
    return [
        endpoint for endpoint in endpoints if (f"{CANONICAL}{endpoint[0]}", endpoint[3].cls) not in canonical
    ]


def document_errors(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook: give every operation the answers that any request can meet."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Error"] = ERROR_SCHEMA
    components["responses"] = {_name(status): _response(status) for status in sorted(WORDS)}
    for path, operations in result["paths"].items():
        for method in METHODS:
            if method in operations:
                _add_errors(path, method, operations[method])
    return result


def _add_errors(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    # A view that names one of these without a body means the usual one.
    named = [
        int(status) for status, answer in responses.items() if status >= "400" and "content" not in answer
    ]
    statuses = [*_EVERYWHERE]
    if "{" in path:
        statuses.append(404)
    if method != "get":
        statuses.append(409)
    if "requestBody" in operation:
        statuses.extend(_WITH_BODY)
    for status in statuses:
        responses.setdefault(str(status), {"$ref": f"#/components/responses/{_name(status)}"})
    for status in named:
        responses[str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}
    operation["responses"] = dict(sorted(responses.items()))


def _name(status: int) -> str:
    return WORDS[status].title().replace(" ", "")


def _response(status: int) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    headers = {"headers": _HEADERS[status]} if status in _HEADERS else {}
    return {"description": WORDS[status], **headers, "content": content}
