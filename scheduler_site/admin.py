"""The admin site: its front page is the dashboard, and every page tells what is paused."""

from __future__ import annotations

from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path

from web.admin import shown

ORDER = ("jobs", "executions", "reports", "alerts", "accounts")
FIRST = {
    "jobs": ("Job", "Queue"),
    "executions": ("Execution", "DeadLetter"),
    "alerts": ("Alert",),
    "accounts": ("User",),
}


class SchedulerAdminSite(admin.AdminSite):
    """Composition only: the figures come from the apps."""

    site_header = "Scheduler"
    site_title = "Scheduler"
    index_title = "Dashboard"
    index_template = "admin/index.html"
    site_url = None
    enable_nav_sidebar = True
    _empty_value_display = shown.NOTHING

    def get_urls(self) -> list[URLPattern | URLResolver]:
        fragment = path("dashboard.json", self.admin_view(self.refresh), name="dashboard")
        return [fragment, *super().get_urls()]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """What operators need most often stands first; groups stand with the people in them."""
        apps = super().get_app_list(request, app_label)
        by_label = {app["app_label"]: app for app in apps}
        if {"auth", "accounts"} <= by_label.keys():
            by_label["accounts"]["models"] += by_label["auth"]["models"]
            apps.remove(by_label["auth"])
        for app in apps:
            first = FIRST.get(app["app_label"], ())
            app["models"].sort(
                key=lambda model: (
                    first.index(model["object_name"]) if model["object_name"] in first else len(first),
                    model["name"],
                )
            )
        return sorted(apps, key=lambda app: ORDER.index(app["app_label"]) if app["app_label"] in ORDER else 9)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        if context["has_permission"]:
            context["paused_queues"] = self._paused()
        return context

    def _paused(self) -> list[dict[str, Any]]:
        from jobs.models import Queue

        rows = Queue.objects.filter(paused=True).order_by("name")[:20]
        return [
            {
                "name": "All queues" if row.name == "*" else f"Queue {row.name}",
                "reason": shown.name(row.paused_reason, 120) if row.paused_reason else "",
                "until": shown.moment(row.paused_until) if row.paused_until else "",
            }
            for row in rows
        ]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Is everything all right?"""
        from executions.admin import dashboard
        from executions.engine import clock

        now = clock.now()
        context = {
            "live": dashboard.read_live(now),
            "chart": dashboard.read_chart(now),
            "heat": dashboard.read_heat(now),
            **(extra_context or {}),
        }
        return super().index(request, context)

    def refresh(self, request: HttpRequest) -> HttpResponse:
        """The same figures as pieces of the page, for a refresh without a reload."""
        from executions.admin import dashboard
        from executions.engine import clock

        now = clock.now()
        live = render_to_string("admin/dashboard_live.html", {"live": dashboard.read_live(now)})
        heat = render_to_string("admin/dashboard_heat.html", {"heat": dashboard.read_heat(now)})
        return JsonResponse({"live": live, "heat": heat, "chart": dashboard.read_chart(now)})

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """A refusal inside the admin is a page of the admin."""
        guarded = super().admin_view(view, cacheable)

        @wraps(guarded)
        def answering(request: HttpRequest, *args: Any, **options: Any) -> HttpResponseBase:
            try:
                answer: HttpResponseBase = guarded(request, *args, **options)
                return answer
            except PermissionDenied:
                return self._refuse(request, 403, "You may not do this", "Your group lacks the right for it.")
            except Http404:
                return self._refuse(request, 404, "Not found", "It does not exist, or not any more.")

        return answering

    def _refuse(self, request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
        context = {**self.each_context(request), "title": title, "text": text}
        return TemplateResponse(request, "admin/refused.html", context, status=status)
