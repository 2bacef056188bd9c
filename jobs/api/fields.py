"""Fields of jobs and calendars that both requests and answers have."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs import policies
from jobs.definitions import RANGES
from web.api.fields import ObjectField, WholeField, WordField, words

OPTIONAL: dict[str, Any] = {"required": False}
NULLABLE: dict[str, Any] = {"required": False, "allow_null": True}

POLICY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "maxRetries": {"type": "integer", "minimum": 0, "maximum": 10, "default": 3},
        "backoffStrategy": {"type": "string", "enum": list(policies.STRATEGIES), "default": "EXPONENTIAL"},
        "initialDelayMs": {"type": "integer", "minimum": 1, "maximum": 3_600_000, "default": 1000},
        "maxDelayMs": {"type": "integer", "minimum": 1, "maximum": 86_400_000, "default": 60_000},
        "jitter": {"type": "boolean", "default": False},
        "doNotRetryOn": {
            "type": "array",
            "maxItems": policies.MAX_CODES,
            "items": {"type": "integer", "minimum": 100, "maximum": 599},
            "default": [],
        },
    },
    "example": {"maxRetries": 3, "backoffStrategy": "EXPONENTIAL", "initialDelayMs": 1000},
}


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "maxProperties": 50,
        "example": {"Authorization": "Bearer s3cr3t", "X-Team": "ops"},
        "description": "Values under secret names are stored encrypted and shown as `***`; "
        "`***` sent back keeps the stored one.",
    }
)
class HeadersField(ObjectField):
    """Names and values; the rules of HTTP are those of `jobs.definitions`."""


@extend_schema_field(POLICY_SCHEMA)
class PolicyField(ObjectField):
    """A retry policy; its rules are those of `jobs.definitions`."""


def whole(column: str, **options: Any) -> WholeField:
    """A number with the range that the definition gives its column."""
    low, high = RANGES[column]
    return WholeField(min_value=low, max_value=high, **options)


def word(choices: Any, **options: Any) -> WordField:
    """One of a model's words."""
    return WordField(words(choices.values), **options)


def said(choices: Any, **options: Any) -> serializers.ChoiceField:
    """One of a few words, as an answer."""
    return serializers.ChoiceField(words(getattr(choices, "values", choices)), **options)


CALENDAR_DAY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["date"],
    "properties": {
        "date": {"type": "string", "format": "date", "example": "2026-12-24"},
        "open": {"type": "boolean", "default": False},
        "note": {"type": "string", "nullable": True, "maxLength": 200, "example": "Christmas Eve"},
    },
}


@extend_schema_field({"type": "array", "maxItems": 10_000, "items": CALENDAR_DAY})
class DatesField(serializers.JSONField):
    """Days of a calendar; `jobs.timing.Calendar` reads them."""


@extend_schema_field(
    {
        "type": "array",
        "maxItems": 7,
        "items": {"type": "integer", "minimum": 1, "maximum": 7},
        "example": [6, 7],
    }
)
class WeekendField(serializers.JSONField):
    """ISO weekdays, 1 Monday to 7 Sunday."""
