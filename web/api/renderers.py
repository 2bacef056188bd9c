"""The one answer format: compact JSON, whatever Accept asks for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils.functional import Promise
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from web.moments import format_moment


def encode_value(value: Any) -> Any:
    """What JSON has no word for; TypeError for what we have none for either."""
    match value:
        case datetime():
            return format_moment(value)
        case UUID() | Decimal() | Promise():
            return str(value)
        case date():
            return value.isoformat()
        case set() | frozenset() | tuple():
            return list(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def dump_json(value: Any) -> bytes:
    """The bytes of an answer. Text that cannot be UTF-8 is shown with question marks."""
    text = json.dumps(value, default=encode_value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


class CompactJSONRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        # 204 has no body; `null` never is an answer of ours.
        return b"" if data is None else dump_json(data)


class AlwaysJSON(BaseContentNegotiation):
    """Takes the first renderer. A client that asks for something else still gets the one form there is."""

    def select_parser(self, request: Request, parsers: Iterable[Any]) -> Any:
        content_type = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == content_type), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[Any], format_suffix: str | None = None
    ) -> tuple[Any, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type
