"""Calendars: which days are open, as a form and as a month."""

from __future__ import annotations

import calendar as months
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString

from executions import operations
from executions.engine import clock
from jobs.audit import actor_of
from jobs.models import Calendar, JobState
from jobs.timing import Calendar as Days
from web.admin import shown
from web.admin.lists import ListAdmin
from web.admin.saving import SavedByVerb
from web.admin.verbs import Verb, VerbsMixin

WEEK = [(str(number), months.day_name[number - 1]) for number in range(1, 8)]


class DaysField(forms.CharField):
    """One date a line: `2026-12-24 closed Christmas Eve`."""

    def __init__(self) -> None:
        widget = forms.Textarea(
            attrs={"rows": 8, "class": "vLargeTextField code-input", "spellcheck": "false"}
        )
        help_text = (
            "One a line, such as: 2026-12-24 closed Christmas Eve. They win over weekend and holidays."
        )
        super().__init__(required=False, widget=widget, label="Single days", help_text=help_text)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return "\n".join(
            f"{entry['date']} {'open' if entry['open'] else 'closed'} {entry.get('note') or ''}".rstrip()
            for entry in value
        )

    def clean(self, value: Any) -> list[dict[str, Any]]:
        return list(_read_lines(super().clean(value)))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return True


def _read_lines(text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        day, _, rest = line.strip().partition(" ")
        word, _, note = rest.strip().partition(" ")
        if word.lower() not in ("open", "closed", ""):
            raise forms.ValidationError(f"Line {number}: behind the date stands open or closed")
        try:
            yield {
                "date": date.fromisoformat(day).isoformat(),
                "open": word.lower() == "open",
                "note": note.strip(),
            }
        except ValueError:
            raise forms.ValidationError(f"Line {number}: {day[:40]} is no date such as 2026-12-24") from None


class CalendarForm(forms.ModelForm):  # type: ignore[type-arg]
    """A calendar by its parts."""

    name = forms.RegexField(
        r"\A[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}\Z",
        error_messages={
            "invalid": "1 to 100 letters, digits, blanks, dots, hyphens or underscores, the first a letter "
            "or digit."
        },
    )
    weekend = forms.MultipleChoiceField(
        choices=WEEK, required=False, widget=forms.CheckboxSelectMultiple, label="Closed every"
    )
    holidays = forms.CharField(
        required=False,
        max_length=40,
        help_text="A country code of the holidays library, such as DE or DE-BY.",
    )
    dates = DaysField()

    class Meta:
        model = Calendar
        fields = ["description"]
        widgets = {"description": forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"})}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        definition = self.instance.definition if isinstance(self.instance.definition, dict) else {}
        self.initial["weekend"] = [str(number) for number in definition.get("weekend") or []]
        self.initial["holidays"] = definition.get("holidays") or ""
        self.initial["dates"] = definition.get("dates") or []
        if not self.instance._state.adding and "name" in self.fields:
            self.fields["name"].disabled = True
            self.initial["name"] = self.instance.name

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.instance._state.adding and Calendar.objects.filter(name=data.get("name", "")).exists():
            self.add_error("name", "There is a calendar of this name already.")
        if not self.errors:
            try:
                Days.from_definition(self.definition(data))
            except ValueError as error:
                field, _, reason = str(error).partition(": ")
                root = field.partition(".")[0]
                self.add_error(root if root in self.fields else None, reason or str(error))
        return data

    def definition(self, data: dict[str, Any]) -> dict[str, Any]:
        """The parts as the calendar keeps them."""
        return {
            "dates": data.get("dates") or [],
            "weekend": [int(number) for number in data.get("weekend") or []],
            "holidays": data.get("holidays") or None,
        }

    def _post_clean(self) -> None:
        """The verb changes the row."""


class ImportForm(forms.Form):
    """Days of an iCal file."""

    ics = forms.CharField(
        label="iCal text",
        max_length=1_000_000,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 12, "class": "vLargeTextField code-input"}),
    )


def _import(calendar: Calendar, values: dict[str, Any], user: Any) -> None:
    operations.import_days(calendar, values["ics"], by=actor_of(user))


IMPORT = Verb(
    name="import",
    label="Import iCal",
    done="days added",
    right="jobs.change_calendar",
    says="The whole-day events of the text become closed days; days that the calendar has already stay.",
    run=_import,
    form=ImportForm,
    bulk=False,
)


@admin.register(Calendar)
class CalendarAdmin(SavedByVerb, VerbsMixin, ListAdmin):
    form = CalendarForm
    audited_as = "calendar"
    verbs = (IMPORT,)
    list_display = ["label", "description", "jobs_link"]
    list_display_links = None
    ordering = ["name"]
    search_fields = ["name"]
    fields = ["name", "description", "weekend", "holidays", "dates"]

    def get_queryset(self, request: HttpRequest) -> Any:
        present = ~Q(jobs__state=JobState.DELETED)
        return super().get_queryset(request).annotate(job_count=Count("jobs", filter=present))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return self.fields if may else ["name", "description", "definition_shown"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return [] if may else ["name", "description", "definition_shown"]

    @admin.display(description="days")
    def definition_shown(self, calendar: Calendar) -> SafeString | str:
        return shown.code(calendar.definition)

    @admin.display(description="calendar", ordering="name")
    def label(self, calendar: Calendar) -> SafeString:
        return shown.link(
            reverse("admin:jobs_calendar_change", args=(calendar.pk,)), shown.name(calendar.name)
        )

    @admin.display(description="jobs")
    def jobs_link(self, calendar: Any) -> str:
        return str(calendar.job_count)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        found = self.get_object(request, object_id)
        context = dict(extra_context or {})
        if found is not None:
            context["month"] = show_month(found, request.GET.get("month", ""))
            context["row_verbs"] = self.buttons(request, found)
        return super().change_view(request, object_id, form_url, context)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        values = {
            "description": form.cleaned_data["description"] or None,
            **form.definition(form.cleaned_data),
        }
        actor = actor_of(request.user)
        if change:
            saved = operations.change_calendar(obj, values, by=actor)
        else:
            saved = operations.create_calendar(form.cleaned_data["name"], values, by=actor)
        obj.__dict__.update(saved.__dict__)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        operations.delete_calendar(obj, by=actor_of(request.user))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        return [one.name for one in objs], {"calendars": len(objs)}, set(), []


def show_month(calendar: Calendar, text: str) -> dict[str, Any]:
    """A month as weeks of days, each open or closed with its reason; a bad month is this one."""
    try:
        first = date.fromisoformat(f"{text}-01")
    except ValueError:
        first = clock.now().date().replace(day=1)
    if not 1970 <= first.year <= 2199:
        first = clock.now().date().replace(day=1)
    try:
        days = Days.from_definition(calendar.definition)
    except ValueError as error:
        return {"problem": str(error)}
    before, after = first - timedelta(days=1), first + timedelta(days=32)
    return {
        "title": f"{first:%B %Y}",
        "weekdays": [name[:3] for _, name in WEEK],
        "weeks": [
            [_show_day(days, day, first.month) for day in week]
            for week in months.Calendar().monthdatescalendar(first.year, first.month)
        ],
        "previous": f"?month={before:%Y-%m}",
        "next": f"?month={after:%Y-%m}",
    }


def _show_day(days: Days, day: date, month: int) -> dict[str, Any]:
    return {
        "number": day.day,
        "date": day.isoformat(),
        "outside": day.month != month,
        "open": days.is_open(day),
        "note": days.note(day),
    }
