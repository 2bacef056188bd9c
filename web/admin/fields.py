"""Form fields that several forms need."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminSplitDateTime

from web.admin import shown
from web.errors import Invalid
from web.redaction import MASK
from web.strictjson import BODY, parse_json


def unmask(value: Any, stored: Any) -> Any:
    """A payload that was shown masked and came back: `***` stands for what is stored in its place."""
    if value == MASK:
        return stored if stored is not None else value
    if isinstance(value, dict) and isinstance(stored, dict):
        return {name: unmask(entry, stored.get(name)) for name, entry in value.items()}
    if isinstance(value, list) and isinstance(stored, list):
        rest = [*stored, *[None] * len(value)]
        return [unmask(entry, old) for entry, old in zip(value, rest, strict=False)]
    return value


class ObjectField(forms.CharField):
    """A JSON object in a text area; an empty one means `when_empty`."""

    def __init__(self, *, when_empty: Any = None, rows: int = 4, **options: Any) -> None:
        options.setdefault("required", False)
        attributes = {"rows": rows, "class": "vLargeTextField code-input", "spellcheck": "false"}
        self.when_empty = when_empty
        super().__init__(widget=forms.Textarea(attrs=attributes), **options)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        return "" if value in (None, {}) else shown.pretty(value)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text or not text.strip():
            return self.when_empty
        try:
            found = parse_json(text.encode())
        except (Invalid, UnicodeEncodeError) as error:
            reason = str(error).removeprefix(f"{BODY}: ")
            raise forms.ValidationError(reason) from None
        if not isinstance(found, dict):
            raise forms.ValidationError('Must be an object, such as {"name": "value"}')
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.clean(data) != (initial or self.when_empty))
        except forms.ValidationError:
            return True


class MomentWidget(AdminSplitDateTime):
    """Day and time beside each other, each with its name for those who hear the page."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        names = (("Date, UTC", "2026-01-31"), ("Time, UTC", "17:30:00"))
        for widget, (name, example) in zip(self.widgets, names, strict=True):
            widget.attrs |= {"aria-label": name, "placeholder": example}


class MomentField(forms.SplitDateTimeField):
    """A day and a time, in UTC."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("required", False)
        super().__init__(**{"widget": MomentWidget} | options)
