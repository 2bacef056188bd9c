"""Transactions and report files: to look at, and to download."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from reports.files import open_report
from reports.models import ReportFile, Transaction
from web.admin import shown
from web.admin.lists import ReadOnlyAdmin


@admin.register(Transaction)
class TransactionAdmin(ReadOnlyAdmin):
    list_display = ["created", "type", "amount", "condition", "consumer_id", "updated"]
    list_display_links = ["created"]
    list_filter = ["status", "type"]
    search_fields = ["id"]
    search_help_text = "A transaction's id, or a consumer's"
    ordering = ["-created_at", "id"]
    fields = ["id", "type", "amount", "condition", "consumer_id", "created", "updated"]

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            key = UUID(term)
        except ValueError:
            return queryset.none(), False
        return queryset.filter(pk=key) | queryset.filter(consumer_id=key), False

    @admin.display(description="status", ordering="status")
    def condition(self, row: Transaction) -> SafeString:
        return shown.badge(row.status)

    @admin.display(description="created", ordering="created_at")
    def created(self, row: Transaction) -> SafeString | str:
        return shown.moment(row.created_at)

    @admin.display(description="updated")
    def updated(self, row: Transaction) -> SafeString | str:
        return shown.moment(row.updated_at)


@admin.register(ReportFile)
class ReportFileAdmin(ReadOnlyAdmin):
    list_display = ["file", "data_date", "row_count", "size", "created", "run", "download"]
    list_display_links = None
    list_filter = ["data_date"]
    ordering = ["-created_at", "id"]
    search_fields = ["name"]
    fields = ["file", "data_date", "row_count", "size", "sha256", "created", "run", "download"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return ReportFile.objects.visible_to(request.user).order_by("-created_at", "id")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.download_view)
        return [path("<uuid:key>/download/", view, name="reports_reportfile_download"), *super().get_urls()]

    def download_view(self, request: HttpRequest, key: UUID) -> HttpResponseBase:
        """The file as an attachment; a file that is gone is told on the list."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        report = self.get_queryset(request).filter(pk=key).first()
        if report is None:
            raise Http404
        try:
            stream = open_report(report)
        except FileNotFoundError:
            messages.error(request, f"The file {report.name} is gone.")
            return HttpResponseRedirect(reverse("admin:reports_reportfile_changelist"))
        answer = FileResponse(
            stream, as_attachment=True, filename=report.name, content_type="text/csv; charset=utf-8"
        )
        answer["Cache-Control"] = "no-store"
        return answer

    @admin.display(description="file", ordering="name")
    def file(self, row: ReportFile) -> SafeString:
        return shown.link(reverse("admin:reports_reportfile_change", args=(row.pk,)), shown.name(row.name))

    @admin.display(description="rows", ordering="rows")
    def row_count(self, row: ReportFile) -> str:
        return shown.number(row.rows)

    @admin.display(description="size", ordering="bytes")
    def size(self, row: ReportFile) -> str:
        return f"{row.bytes / 1024:.1f} KiB" if row.bytes < 1024**2 else f"{row.bytes / 1024**2:.1f} MiB"

    @admin.display(description="written", ordering="created_at")
    def created(self, row: ReportFile) -> SafeString | str:
        return shown.moment(row.created_at)

    @admin.display(description="execution")
    def run(self, row: ReportFile) -> SafeString | str:
        if row.execution_id is None:
            return shown.NOTHING
        return shown.link(reverse("admin:executions_execution_change", args=(row.execution_id,)), "execution")

    @admin.display(description="")
    def download(self, row: ReportFile) -> SafeString:
        address = reverse("admin:reports_reportfile_download", args=(row.pk,))
        return format_html('<a class="row-button" href="{}" download>Download</a>', address)
