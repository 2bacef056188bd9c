"""JSON that a database keeps and Python does not read: a number of 5,000 digits, brackets a thousand deep.

Anybody may write it by SQL. One such row must not make every query that meets it fail, so it is read as a
text that says what is wrong with it; whoever would work with the value can tell it by its class.
"""

from __future__ import annotations

import json
from typing import Any, Self

from django.db import models


class Unreadable(str):
    """What is wrong with a value that cannot be read. `source` is the value as the database has it."""

    __slots__ = ("source",)
    source: str

    def __new__(cls, why: str, source: str = "null") -> Self:
        """Both texts, in one."""
        text = super().__new__(cls, why)
        text.source = source
        return text


def load_json(text: str, name: str) -> Any:
    """The value of a JSON text; Unreadable where Python cannot say it. `name`: the column it stands in."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return Unreadable(f"{name} cannot be read: {error}", text)


class JSONField(models.JSONField):
    """Django's, but a value that cannot be read is read as Unreadable, and written as it was."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """The value of the column, or of a key in it."""
        try:
            return super().from_db_value(value, expression, connection)
        except (ValueError, RecursionError) as error:
            return Unreadable(f"{self.name} cannot be read: {error}", value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """The value for the database."""
        if isinstance(value, Unreadable):
            return connection.ops.adapt_json_value(value, _AsItWas)
        return super().get_db_prep_value(value, connection, prepared)

    def deconstruct(self) -> Any:
        """As Django's own: the column is the same."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs


class _AsItWas(json.JSONEncoder):
    def encode(self, o: Any) -> str:
        return str(o.source)
