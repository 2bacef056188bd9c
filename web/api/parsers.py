"""The one body format: JSON in UTF-8, at most 1 MiB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.http.request import UnreadablePostError
from django.utils.http import parse_header_parameters
from rest_framework.parsers import BaseParser

from web.errors import Invalid, PayloadTooLarge, UnsupportedMediaType
from web.strictjson import BODY, parse_json

UTF8 = frozenset({"utf-8", "utf8"})


class StrictJSONParser(BaseParser):
    """Reads a body as `web.strictjson` describes it."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The value of the body.

        Raises UnsupportedMediaType for another charset, PayloadTooLarge above the limit (counted while
        reading, whatever Content-Length said) and Invalid for everything else.
        """
        _main, parameters = parse_header_parameters(media_type or "")
        if parameters.get("charset", "utf-8").lower() not in UTF8:
            raise UnsupportedMediaType("The body must be application/json in UTF-8")
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 1024 * 1024
        try:
            raw = stream.read(limit + 1)
        except UnreadablePostError:
            raise Invalid({BODY: "Ended before its Content-Length"}) from None
        if len(raw) > limit:
            raise PayloadTooLarge(f"The body must not be longer than {limit} bytes")
        return parse_json(raw)
