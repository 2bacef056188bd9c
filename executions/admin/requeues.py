"""Bulk requeues: how far each is."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from executions.models import BulkRequeue
from web.admin import shown
from web.admin.lists import ReadOnlyAdmin
from web.redaction import masked


@admin.register(BulkRequeue)
class BulkRequeueAdmin(ReadOnlyAdmin):
    list_display = ["created", "requested_by", "condition", "progress", "reason"]
    list_display_links = ["created"]
    list_filter = ["status"]
    ordering = ["-created_at"]
    fields = [
        "created",
        "requested_by",
        "condition",
        "progress",
        "failed",
        "reason",
        "canary",
        "canary_run",
        "rate_per_minute",
        "payload_shown",
    ]

    @admin.display(description="begun", ordering="created_at")
    def created(self, bulk: BulkRequeue) -> SafeString | str:
        return shown.moment(bulk.created_at)

    @admin.display(description="state")
    def condition(self, bulk: BulkRequeue) -> SafeString:
        return shown.badge(bulk.status, str(bulk.get_status_display()))

    @admin.display(description="progress")
    def progress(self, bulk: BulkRequeue) -> SafeString:
        return format_html(
            '<progress max="{}" value="{}" aria-label="brought back"></progress> {} of {}',
            max(bulk.count, 1),
            bulk.done,
            bulk.done,
            bulk.count,
        )

    @admin.display(description="first run")
    def canary_run(self, bulk: BulkRequeue) -> SafeString | str:
        if not bulk.canary_execution:
            return shown.NOTHING
        return shown.link(f"../../../execution/{bulk.canary_execution}/change/", str(bulk.canary_execution))

    @admin.display(description="payload")
    def payload_shown(self, bulk: BulkRequeue) -> SafeString | str:
        return shown.code(masked(bulk.payload))
