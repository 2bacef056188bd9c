"""The processes that plan and work."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString

from executions import workers
from executions.engine import clock
from executions.models import Instance
from web.admin import shown
from web.admin.lists import ReadOnlyAdmin


@admin.register(Instance)
class InstanceAdmin(ReadOnlyAdmin):
    list_display = ["id", "role", "condition", "heartbeat", "jobs_processed_count", "host"]
    list_filter = ["role", "status"]
    ordering = ["-last_heartbeat"]
    fields = ["id", "role", "condition", "heartbeat", "jobs_processed_count", "about", "created_at"]

    @admin.display(description="state")
    def condition(self, row: Instance) -> SafeString:
        if row.status == "INACTIVE":
            return shown.badge("inactive", "stopped cleanly")
        silent = clock.now() - row.last_heartbeat
        return (
            shown.badge("failed", "silent") if silent > workers.silence() else shown.badge("active", "alive")
        )

    @admin.display(description="last heartbeat", ordering="last_heartbeat")
    def heartbeat(self, row: Instance) -> SafeString | str:
        return shown.when(row.last_heartbeat, clock.now())

    @admin.display(description="host")
    def host(self, row: Instance) -> str:
        about: Any = row.metadata if isinstance(row.metadata, dict) else {}
        return f"{about.get('hostname', '')} {about.get('pid', '')}".strip() or shown.NOTHING

    @admin.display(description="about")
    def about(self, row: Instance) -> SafeString | str:
        return shown.code(row.metadata)
