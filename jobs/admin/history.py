"""The audit: who did what to which thing."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from jobs.models import AuditEntry
from web.admin import shown
from web.admin.lists import LinkedFilter, ReadOnlyAdmin
from web.redaction import masked

MOST = 4


class SubjectFilter(LinkedFilter):
    """What is no job, as `user:…` or `queue:…`."""

    title = "thing"
    parameter_name = "subject"

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(subject=self.value()) if self.value() else queryset


class ActorFilter(LinkedFilter):
    title = "by"
    parameter_name = "by"

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(changed_by=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditAdmin(ReadOnlyAdmin):
    list_display = ["at", "what", "thing", "person", "changes"]
    list_display_links = ["at"]
    list_filter = ["action", SubjectFilter, ActorFilter]
    list_select_related = ["job"]
    ordering = ["-id"]
    fields = ["at", "what", "thing", "changed_by", "request_id", "changes"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("job")

    @admin.display(description="time")
    def at(self, entry: AuditEntry) -> SafeString | str:
        return shown.moment(entry.timestamp)

    @admin.display(description="action", ordering="action")
    def what(self, entry: AuditEntry) -> str:
        return entry.action.lower()

    @admin.display(description="by")
    def person(self, entry: AuditEntry) -> SafeString | str:
        if not entry.changed_by:
            return shown.NOTHING
        return shown.link(f"?{urlencode({'by': entry.changed_by})}", shown.name(entry.changed_by, 60))

    @admin.display(description="thing")
    def thing(self, entry: AuditEntry) -> SafeString | str:
        if entry.job is None:
            if not entry.subject:
                return shown.NOTHING
            return shown.link(f"?{urlencode({'subject': entry.subject})}", shown.name(entry.subject, 60))
        return shown.link(reverse("admin:jobs_job_audit", args=(entry.job_id,)), shown.name(entry.job.name))

    @admin.display(description="changes")
    def changes(self, entry: AuditEntry) -> SafeString | str:
        rows = shown.differences(masked(entry.change_details))
        if not rows:
            return shown.NOTHING
        more = format_html("<li>… and {} more</li>", len(rows) - MOST) if len(rows) > MOST else ""
        parts = ((_say_change(row),) for row in rows[:MOST])
        return format_html('<ul class="changes">{}{}</ul>', format_html_join("", "<li>{}</li>", parts), more)


def _say_change(row: dict[str, Any]) -> SafeString:
    if row["old"] is None:
        return format_html("<b>{}</b> {}", row["field"], shown.name(row["new"], 60))
    return format_html(
        "<b>{}</b> {} → {}", row["field"], shown.name(row["old"], 60), shown.name(row["new"], 60)
    )
