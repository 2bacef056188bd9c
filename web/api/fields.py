"""Serializer fields that take a value only in its own JSON type, and say what they want."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from web.moments import format_moment, parse_moment

UUID_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
NOT_A_UUID = "Must be a UUID"


def read_uuid(text: object) -> UUID | None:
    """The id that the text writes in its usual form (8-4-4-4-12 hex digits), else None."""
    if isinstance(text, UUID):
        return text
    return UUID(text) if isinstance(text, str) and UUID_FORM.fullmatch(text) else None


class TextField(serializers.CharField):
    """Text; a number is not turned into it."""

    default_error_messages = {
        "invalid": "Must be text",
        "max_length": "Must not be longer than {max_length} characters",
        "min_length": "Must have at least {min_length} characters",
    }

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class WordField(serializers.ChoiceField):
    """One of a few words, in any case; the value is the word as `choices` writes it."""

    default_error_messages = {"invalid_choice": "Must be one of {words}"}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str):
            wanted = data.strip().lower()
            for word in self.choices:
                if str(word).lower() == wanted:
                    return word
        return self.fail("invalid_choice", words=", ".join(str(word) for word in self.choices))

    def to_representation(self, value: Any) -> Any:
        return value


class WholeField(serializers.IntegerField):
    """A whole number, as JSON writes it: neither text nor true."""

    default_error_messages = {
        "invalid": "Must be a whole number",
        "max_value": "Must be at most {max_value}",
        "min_value": "Must be at least {min_value}",
    }

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, float) and data.is_integer():
            data = int(data)
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return int(data)


class FlagField(serializers.BooleanField):
    """true or false and nothing that only looks like it."""

    default_error_messages = {"invalid": "Must be true or false"}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return bool(data)


@extend_schema_field(OpenApiTypes.DATETIME)
class MomentField(serializers.Field[datetime, str, str, Any]):
    """A time: any RFC 3339 form in, `2026-01-20T10:00:00.000Z` out."""

    default_error_messages = {"invalid": "Must be a time such as 2026-01-20T10:00:00Z"}

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str):
            self.fail("invalid")
        try:
            return parse_moment(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error), code="invalid") from None

    def to_representation(self, value: datetime) -> str:
        return format_moment(value)


@extend_schema_field(OpenApiTypes.UUID)
class IdField(serializers.Field[UUID, str, str, Any]):
    """A UUID in its usual text form."""

    default_error_messages = {"invalid": NOT_A_UUID}

    def to_internal_value(self, data: Any) -> UUID:
        found = read_uuid(data) if isinstance(data, str) else None
        if found is None:
            self.fail("invalid")
        return found

    def to_representation(self, value: UUID) -> str:
        return str(value)


@extend_schema_field(OpenApiTypes.OBJECT)
class ObjectField(serializers.Field[dict[str, Any], Any, dict[str, Any], Any]):
    """A JSON object whose keys are the caller's own and stay as they are; at most `max_bytes` as JSON."""

    default_error_messages = {
        "invalid": "Must be an object",
        "max_bytes": "Must not be longer than {max_bytes} bytes as JSON",
    }

    def __init__(self, *, max_bytes: int = 64 * 1024, **options: Any) -> None:
        self.max_bytes = max_bytes
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            self.fail("invalid")
        if len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()) > self.max_bytes:
            self.fail("max_bytes", max_bytes=self.max_bytes)
        return dict(data)

    def to_representation(self, value: dict[str, Any]) -> dict[str, Any]:
        return value


def words(names: Iterable[str]) -> list[tuple[str, str]]:
    """Choices for a WordField from plain words."""
    return [(name, name) for name in names]
