"""The audit: who did what to which thing."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from jobs.models import AuditEntry
from web.admin import shown
from web.admin.lists import ReadOnlyAdmin
from web.redaction import masked


@admin.register(AuditEntry)
class AuditAdmin(ReadOnlyAdmin):
    list_display = ["at", "action", "thing", "changed_by", "changes"]
    list_display_links = ["at"]
    list_filter = ["action"]
    list_select_related = ["job"]
    ordering = ["-id"]
    fields = ["at", "action", "thing", "changed_by", "request_id", "changes"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("job")

    @admin.display(description="time")
    def at(self, entry: AuditEntry) -> SafeString | str:
        return shown.moment(entry.timestamp)

    @admin.display(description="thing")
    def thing(self, entry: AuditEntry) -> SafeString | str:
        if entry.job is None:
            return shown.name(entry.subject or shown.NOTHING)
        return shown.link(reverse("admin:jobs_job_audit", args=(entry.job_id,)), shown.name(entry.job.name))

    @admin.display(description="changes")
    def changes(self, entry: AuditEntry) -> SafeString | str:
        rows = shown.differences(masked(entry.change_details))
        parts = (
            (row["field"], shown.name(row["old"] or "", 60), shown.name(row["new"], 60)) for row in rows[:6]
        )
        more = format_html("<li>… and {} more</li>", len(rows) - 6) if len(rows) > 6 else ""
        if not rows:
            return shown.NOTHING
        return format_html(
            '<ul class="changes">{}{}</ul>',
            format_html_join("", "<li><b>{}</b> {} → {}</li>", parts),
            more,
        )
