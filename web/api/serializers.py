"""camelCase on the wire, snake_case in Python, and nothing accepted that is not declared."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from rest_framework import serializers
from rest_framework.settings import api_settings

UNKNOWN = "Unknown field"
READ_ONLY = "Cannot be set"


@functools.cache
def camelize(name: str) -> str:
    """`max_retries` as `maxRetries`."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


class CamelCaseMixin:
    """Names each field in camelCase and points it at its snake_case attribute.

    The renaming happens once per serializer, not per value, and reaches only declared fields: what a
    caller stores inside an ObjectField keeps its keys. `validate_<snake>` methods and the errors of
    fields work as usual.
    """

    def get_fields(self) -> dict[str, Any]:
        fields = {}
        for name, field in super().get_fields().items():  # type: ignore[misc]
            wire = camelize(name)
            if wire != name:
                if isinstance(field, serializers.SerializerMethodField):
                    field.method_name = field.method_name or f"get_{name}"
                elif field.source is None:
                    field.source = name
                check = getattr(self, f"validate_{name}", None)
                if check is not None:
                    setattr(self, f"validate_{wire}", check)
            fields[wire] = field
        return fields


class StrictSerializer(CamelCaseMixin, serializers.Serializer[Any]):
    """Refuses unknown and read-only fields, each with its own entry in the error's details."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError(
                {api_settings.NON_FIELD_ERRORS_KEY: ["Must be an object"]}, code="invalid"
            )
        refused = self._refuse_names(data)
        try:
            value = super().to_internal_value(data)
        except serializers.ValidationError as error:
            found = error.detail if isinstance(error.detail, dict) else {}
            raise serializers.ValidationError({**found, **refused}) from None
        if refused:
            raise serializers.ValidationError(refused)
        return value

    def _refuse_names(self, data: Mapping[str, Any]) -> dict[str, list[str]]:
        refused = {}
        for name in data:
            field = self.fields.get(name)
            if field is None:
                near = get_close_matches(str(name), self.fields, n=1)
                refused[name] = [f"{UNKNOWN} (did you mean {near[0]}?)" if near else UNKNOWN]
            elif field.read_only:
                refused[name] = [READ_ONLY]
        return refused


class StrictModelSerializer(StrictSerializer, serializers.ModelSerializer[Any]):
    """The same over a model's fields; list them by their snake_case names in Meta.fields."""
