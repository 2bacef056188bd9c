"""Dead letters: what failed for good, grouped, and brought back or put to rest by the server."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Min, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from executions import operations
from executions.admin import filters
from executions.engine import clock
from executions.models import DeadLetter
from jobs import definitions
from jobs.audit import actor_of
from jobs.models import Job
from web.admin import shown
from web.admin.fields import ObjectField, unmask
from web.admin.lists import ReadOnlyAdmin
from web.admin.verbs import Verb, VerbsMixin
from web.errors import Invalid
from web.redaction import masked

OPERATE = "executions.operate_deadletter"
MOST_GROUPS = 100


class RequeueForm(forms.Form):
    """With what the work runs again."""

    payload = ObjectField(
        rows=8, help_text="A JSON object instead of the payload that failed. Empty: the same."
    )


class BulkForm(forms.Form):
    """How carefully many are brought back."""

    canary = forms.BooleanField(
        required=False,
        initial=True,
        label="One first",
        help_text="The rest follows only when the first succeeds.",
    )
    rate_per_minute = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=100_000,
        label="Per minute",
        help_text="Empty: as fast as it goes.",
    )
    payload = ObjectField(help_text="A JSON object instead of every payload. Empty: each its own.")


def _requeue(letter: DeadLetter, values: dict[str, Any], user: Any) -> str:
    execution, job = letter.execution, letter.execution.job
    payload = unmask(values.get("payload"), execution.payload or job.payload)
    if payload is not None:
        problems = definitions.check_override(job, payload, staff=True)
        if problems:
            raise Invalid({"payload": "; ".join(f"{field}: {text}" for field, text in problems.items())})
    key = operations.requeue(letter, by=actor_of(user), payload=payload)
    return reverse("admin:executions_execution_change", args=(key,))


def _resolve(letter: DeadLetter, values: dict[str, Any], user: Any) -> None:
    operations.resolve(letter, by=actor_of(user))


def _requeue_many(letters: QuerySet[Any], values: dict[str, Any], request: HttpRequest) -> str:
    bulk = operations.requeue_many(
        letters.select_related(None),
        by=actor_of(request.user),
        filters={name: value[:200] for name, value in request.GET.items()},
        canary=values["canary"],
        rate_per_minute=values["rate_per_minute"],
        payload=values["payload"],
    )
    address = reverse("admin:executions_bulkrequeue_change", args=(bulk.pk,))
    return format_html(
        '{} are being requeued: <a href="{}">how far it is</a>.', _letters(bulk.count), address
    )


def _resolve_many(letters: QuerySet[Any], values: dict[str, Any], request: HttpRequest) -> str:
    count = operations.resolve_many(letters.select_related(None), by=actor_of(request.user))
    return f"{_letters(count)} resolved."


def _letters(count: int) -> str:
    return "1 dead letter" if count == 1 else f"{count} dead letters"


def _is_open(letter: DeadLetter) -> bool:
    return not letter.resolved


REQUEUE = Verb(
    name="requeue",
    label="Requeue",
    done="runs again",
    right=OPERATE,
    says="A new execution with the same fire time and fresh retries; the dead letter is closed.",
    run=_requeue,
    form=RequeueForm,
    applies=_is_open,
    bulk=False,
)
RESOLVE = Verb(
    name="resolve",
    label="Resolve",
    done="resolved",
    right=OPERATE,
    says="Put to rest without running. The execution stays FAILED.",
    run=_resolve,
    applies=_is_open,
    run_many=_resolve_many,
)
REQUEUE_MANY = Verb(
    name="requeue_many",
    label="Requeue",
    done="requeued",
    right=OPERATE,
    says="The server brings them back one after the other, in the order of their failure; this page need not "
    "stay open. Those that are resolved already are left out.",
    run=_requeue,
    form=BulkForm,
    single=False,
    run_many=_requeue_many,
)


@admin.register(DeadLetter)
class DeadLetterAdmin(VerbsMixin, ReadOnlyAdmin):
    """The list, newest first, and the groups by job and error."""

    verbs = (REQUEUE, RESOLVE, REQUEUE_MANY)
    list_display = ["failed", "job_name", "error", "tries", "state", "tools"]
    list_display_links = None
    list_filter = [
        filters.ResolvedFilter,
        filters.FailedFilter,
        filters.LetterJobFilter,
        filters.ErrorFilter,
    ]
    search_fields = ["id"]
    search_help_text = "Part of a job's name, or an id"
    ordering = ["-failed_at", "id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related("execution__job")
        return rows.defer("execution__response_body", "execution__result", "execution__payload")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            key = UUID(term)
        except ValueError:
            return queryset.filter(filters.by_job(queryset, term)), False
        return queryset.filter(pk=key) | queryset.filter(execution_id=key), False

    def name_of(self, row: Any) -> str:
        return f"{row.execution.job.name} of {row.execution.scheduled_at:%Y-%m-%d %H:%M:%S} UTC"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        groups = reverse("admin:executions_deadletter_groups")
        return super().changelist_view(request, {"groups_url": groups, **(extra_context or {})})

    @admin.display(description="")
    def tools(self, letter: Any) -> SafeString | str:
        return self.row_buttons(letter.request, letter, "requeue", "resolve")

    @admin.display(description="failed", ordering="failed_at")
    def failed(self, letter: DeadLetter) -> SafeString:
        address = reverse("admin:executions_deadletter_change", args=(letter.pk,))
        return shown.link(address, shown.moment(letter.failed_at))

    @admin.display(description="job")
    def job_name(self, letter: DeadLetter) -> SafeString:
        return shown.link(
            reverse("admin:jobs_job_change", args=(letter.job_id,)), shown.name(letter.execution.job.name)
        )

    @admin.display(description="error")
    def error(self, letter: DeadLetter) -> SafeString:
        return shown.name(message_of(letter), 120)

    @admin.display(description="attempts")
    def tries(self, letter: DeadLetter) -> int:
        return letter.execution.attempt

    @admin.display(description="state")
    def state(self, letter: DeadLetter) -> SafeString:
        return shown.badge("resolved" if letter.resolved else "open")

    # One -----------------------------------------------------------------------------------------

    def make_form(self, verb: Verb, request: HttpRequest, *, row: Any = None, data: Any = None) -> Any:
        if verb.name == "requeue" and row is not None and data is None:
            execution = row.execution
            return verb.form(initial={"payload": masked(execution.payload or execution.job.payload)})
        return super().make_form(verb, request, row=row, data=data)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """One dead letter with its error and its ways out."""
        letter = self.get_object(request, object_id)
        if letter is None or not self.has_view_permission(request, letter):
            return super().change_view(request, object_id, form_url, extra_context)
        now, job = clock.now(), letter.execution.job
        details = letter.error_details if isinstance(letter.error_details, dict) else {}
        facts = [
            ("Failed", shown.when(letter.failed_at, now, job.zone)),
            ("Fire time", shown.when(letter.execution.scheduled_at, now, job.zone)),
            ("Attempts", details.get("attempts", letter.execution.attempt)),
            ("HTTP status", details.get("statusCode") or shown.NOTHING),
        ]
        if letter.resolved:
            facts.append(("Resolved", shown.when(letter.resolved_at, now, job.zone)))
            facts.append(("By", letter.resolved_by or shown.NOTHING))
        context = {
            **self.admin_site.each_context(request),
            "title": "Dead letter",
            "opts": self.opts,
            "original": letter,
            "letter": letter,
            "job": job,
            "job_name": shown.name(job.name, 120),
            "state": shown.badge("resolved" if letter.resolved else "open"),
            "facts": facts,
            "error": shown.code(message_of(letter)),
            "policy": shown.code(details.get("retryPolicy"), empty=""),
            "buttons": self.buttons(request, letter),
            "media": self.media,
        }
        return TemplateResponse(request, "admin/executions/deadletter/detail.html", context)

    # Groups --------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        groups = path(
            "groups/", self.admin_site.admin_view(self.groups_view), name="executions_deadletter_groups"
        )
        return [groups, *super().get_urls()]

    def groups_view(self, request: HttpRequest) -> HttpResponse:
        """The open ones by job and error, the largest group first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Dead letters by job and error",
            "opts": self.opts,
            "groups": list_groups(),
            "most": MOST_GROUPS,
            "may_operate": request.user.has_perm(OPERATE),
            "list_url": reverse("admin:executions_deadletter_changelist"),
        }
        return TemplateResponse(request, "admin/executions/deadletter/groups.html", context)


def list_groups() -> list[dict[str, Any]]:
    """Open dead letters by job and error message."""
    rows = list(
        DeadLetter.objects.filter(resolved=False)
        .order_by()
        .annotate(message=KeyTextTransform("message", "error_details"))
        .values("job_id", "message")
        .annotate(count=Count("id"), first=Min("failed_at"), last=Max("failed_at"))
        .order_by("-count", "job_id")[:MOST_GROUPS]
    )
    names = dict(Job.objects.filter(pk__in={row["job_id"] for row in rows}).values_list("pk", "name"))
    now, base = clock.now(), reverse("admin:executions_deadletter_changelist")
    for row in rows:
        query = {"job": row["job_id"]} | ({"error": row["message"]} if row["message"] else {})
        row["url"] = f"{base}?{urlencode(query)}"
        row["job_url"] = reverse("admin:jobs_job_change", args=(row["job_id"],))
        row["plain_name"] = names.get(row["job_id"], f"job {row['job_id']}")[:80]
        row["name"] = shown.name(row["plain_name"])
        row["text"] = shown.name(row["message"] or shown.NOTHING, 160)
        row["since"] = shown.relative(row["first"], now)
        row["newest"] = shown.relative(row["last"], now)
    return rows


def message_of(letter: DeadLetter) -> str:
    """The error of a dead letter in words."""
    details = letter.error_details if isinstance(letter.error_details, dict) else {}
    return str(details.get("message") or shown.NOTHING)
