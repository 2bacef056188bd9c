"""Queues: the switches for an incident."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from executions import operations
from executions.lanes import EVERYTHING, count_lanes
from jobs.admin.pages import quote
from jobs.audit import actor_of
from jobs.models import Queue
from web.admin import shown
from web.admin.fields import MomentField
from web.admin.lists import ListAdmin
from web.admin.verbs import explain
from web.errors import Refusal

OPERATE, CHANGE = "jobs.operate_queue", "jobs.change_queue"
NAME = re.compile(r"\*|[A-Za-z0-9_-]{1,50}")


class PauseForm(forms.Form):
    reason = forms.CharField(required=False, max_length=500)
    until = MomentField(help_text="UTC. Empty: until somebody resumes it.")


class LimitForm(forms.Form):
    max_concurrent = forms.IntegerField(required=False, min_value=0, max_value=100_000)
    rate_limit_per_minute = forms.IntegerField(required=False, min_value=1, max_value=1_000_000)


@admin.register(Queue)
class QueueAdmin(ListAdmin):
    """One page with every queue that a row, a job or a waiting execution names."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a queue exists as soon as a job names it

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("", view(self.list_view), name="jobs_queue_changelist"),
            path("pause/", view(require_POST(self.pause_view)), name="jobs_queue_pause"),
            path("resume/", view(require_POST(self.resume_view)), name="jobs_queue_resume"),
            path("limit/", view(require_POST(self.limit_view)), name="jobs_queue_limit"),
            path("<path:object_id>/change/", view(self.to_list), name="jobs_queue_change"),
        ]

    def to_list(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A queue has no page of its own."""
        return HttpResponseRedirect(reverse("admin:jobs_queue_changelist"))

    def list_view(self, request: HttpRequest) -> HttpResponse:
        """Every queue with its switch, its limits and its load."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        executions = reverse("admin:executions_execution_changelist")
        rows = []
        for lane in count_lanes():
            scope = "" if lane.name == EVERYTHING else f"&queue={quote(lane.name)}"
            rows.append(
                {
                    "lane": lane,
                    "is_all": lane.name == EVERYTHING,
                    "state": shown.badge(
                        "paused" if lane.paused else "active", "paused" if lane.paused else "on"
                    ),
                    "until": shown.moment(lane.paused_until) if lane.paused_until else "",
                    "waiting_url": f"{executions}?status=waiting{scope}",
                    "running_url": f"{executions}?status=RUNNING{scope}",
                }
            )
        context = {
            **self.admin_site.each_context(request),
            "title": "Queues",
            "opts": self.opts,
            "rows": rows,
            "pause_form": PauseForm(),
            "may_operate": request.user.has_perm(OPERATE),
            "may_change": request.user.has_perm(CHANGE),
            "media": self.media + PauseForm().media,
        }
        return TemplateResponse(request, "admin/jobs/queue/list.html", context)

    def _name(self, request: HttpRequest, right: str) -> str:
        if not request.user.has_perm(right):
            raise PermissionDenied
        name = request.POST.get("name", "")
        if not NAME.fullmatch(name):
            raise Http404
        return name

    def pause_view(self, request: HttpRequest) -> HttpResponse:
        """Claim nothing from it."""
        name, form = self._name(request, OPERATE), PauseForm(request.POST)
        if not form.is_valid():
            return self._back(request, problem=_first_problem(form))
        return self._do(
            request,
            f"Queue {name} is paused.",
            lambda: operations.pause_queue(
                name,
                by=actor_of(request.user),
                reason=form.cleaned_data["reason"],
                until=form.cleaned_data["until"],
            ),
        )

    def resume_view(self, request: HttpRequest) -> HttpResponse:
        """Claim from it again."""
        name = self._name(request, OPERATE)
        return self._do(
            request,
            f"Queue {name} runs again.",
            lambda: operations.resume_queue(name, by=actor_of(request.user)),
        )

    def limit_view(self, request: HttpRequest) -> HttpResponse:
        """How many run at once and start in a minute."""
        name, form = self._name(request, CHANGE), LimitForm(request.POST)
        if not form.is_valid():
            return self._back(request, problem=_first_problem(form))
        return self._do(
            request,
            f"Limits of queue {name} are set.",
            lambda: operations.limit_queue(name, form.cleaned_data, by=actor_of(request.user)),
        )

    def _do(self, request: HttpRequest, said: str, verb: Any) -> HttpResponse:
        try:
            verb()
        except Refusal as refusal:
            return self._back(request, problem=explain(refusal))
        messages.success(request, said)
        return self._back(request)

    def _back(self, request: HttpRequest, problem: str = "") -> HttpResponse:
        if problem:
            messages.error(request, problem)
        return HttpResponseRedirect(reverse("admin:jobs_queue_changelist"))


def _first_problem(form: forms.Form) -> str:
    return "; ".join(f"{field}: {' '.join(map(str, texts))}" for field, texts in form.errors.items())
