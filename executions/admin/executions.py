"""The ledger: its list, and one execution with all that is known of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from executions import operations, waiting
from executions.admin import filters
from executions.engine import clock
from executions.models import DeadLetter, Execution, ExecutionLog
from executions.pace import time_left
from jobs import definitions, secrets
from jobs.audit import actor_of
from jobs.http_rules import mask_url
from jobs.models import Job
from web.admin import shown
from web.admin.lists import ReadOnlyAdmin, RowList
from web.admin.verbs import Verb, VerbsMixin
from web.redaction import masked

LINES = 500
OPERATE = "jobs.operate_job"


def _cancel(execution: Execution, values: dict[str, Any], user: Any) -> None:
    operations.cancel_execution(execution, by=actor_of(user))


def _again(execution: Execution, values: dict[str, Any], user: Any) -> str:
    """A dead letter is requeued (same fire time, fresh retries); anything else runs now, with its payload."""
    letter = DeadLetter.objects.filter(execution=execution, resolved=False).first()
    if letter is not None:
        key = operations.requeue(letter, by=actor_of(user))
    else:
        key = operations.trigger(execution.job, by=actor_of(user), payload=execution.payload)
    return reverse("admin:executions_execution_change", args=(key,))


CANCEL = Verb(
    name="cancel",
    label="Cancel",
    done="cancelled, or asked to stop where it runs",
    right=OPERATE,
    says="What waits ends at once. What runs is asked to stop and ends when its handler does so.",
    run=_cancel,
    applies=lambda execution: not execution.is_final and not execution.cancel_requested,
    danger=True,
)
AGAIN = Verb(
    name="again",
    label="Run again",
    done="a new run was added",
    right=OPERATE,
    says="A new execution with the same payload; one that failed for good keeps its fire time, so that a "
    "dated report covers the same day, and its dead letter is closed.",
    run=_again,
    applies=lambda execution: execution.is_final,
)


class ExecutionList(RowList):
    """A page of executions, with what the waiting ones wait for."""

    def prepare(self, rows: list[Any]) -> None:
        now = clock.now()
        words = waiting.waiting_for(rows, now)
        for row in rows:
            row.waits_for, row.now = words.get(row.id, ""), now

    def count_kept(self) -> int | None:
        given = self.given_filters()
        status, ended = given.pop("status", None), given.pop("ended", None)
        return None if given else filters.count_kept(status, ended)


@admin.register(Execution)
class ExecutionAdmin(VerbsMixin, ReadOnlyAdmin):
    """What ran, runs and will run."""

    verbs = (CANCEL, AGAIN)
    list_display = [
        "fire_time",
        "job_name",
        "condition",
        "trigger",
        "started",
        "took",
        "attempts_made",
        "why",
    ]
    list_display_links = None
    list_filter = [
        filters.StatusFilter,
        filters.EndedFilter,
        filters.TriggerFilter,
        filters.ReasonFilter,
        filters.JobFilter,
        filters.QueueFilter,
        filters.HourFilter,
    ]
    search_fields = ["id"]
    search_help_text = "An execution's id, or part of a job's name"
    ordering = ["-scheduled_at", "-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related("job")
        return rows.defer(
            "payload",
            "result",
            "response_body",
            *(f"job__{name}" for name in ("payload", "headers", "metadata", "result", "description")),
        )

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return ExecutionList

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
        jobs = list(Job.objects.filter(uuid=key).values_list("id", flat=True))
        return queryset.filter(Q(id=key) | Q(job_id__in=jobs)), False

    def name_of(self, row: Any) -> str:
        return f"{row.job.name} of {row.scheduled_at:%Y-%m-%d %H:%M:%S} UTC"

    # The list ------------------------------------------------------------------------------------

    @admin.display(description="fire time", ordering="scheduled_at")
    def fire_time(self, row: Any) -> SafeString:
        address = reverse("admin:executions_execution_change", args=(row.id,))
        return shown.link(address, shown.moment(row.scheduled_at, row.job.zone))

    @admin.display(description="job")
    def job_name(self, row: Any) -> SafeString:
        return shown.link(
            reverse("admin:jobs_job_change", args=(row.job_id,)),
            shown.name(row.job.name),
            **{"class": "quiet-link"},
        )

    @admin.display(description="status")
    def condition(self, row: Any) -> SafeString:
        return shown.badge(row.status)

    @admin.display(description="started")
    def started(self, row: Any) -> str:
        return shown.relative(row.executed_at, row.now)

    @admin.display(description="took")
    def took(self, row: Any) -> str:
        return shown.duration(row.execution_duration_ms)

    @admin.display(description="attempts")
    def attempts_made(self, row: Any) -> int:
        return int(row.attempt)

    @admin.display(description="why")
    def why(self, row: Any) -> SafeString | str:
        if row.waits_for:
            return format_html("waits for {}", shown.name(row.waits_for, 100))
        if row.error_message:
            return shown.name(row.error_message, 100)
        return row.get_reason_display() if row.reason else ""

    # One execution -------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        tail = path(
            "<uuid:key>/tail/", self.admin_site.admin_view(self.tail_view), name="executions_execution_tail"
        )
        return [tail, *super().get_urls()]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        try:
            return Execution.objects.select_related("job__user").filter(pk=UUID(object_id)).first()
        except ValueError:
            return None

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Everything about one execution; nothing can be edited."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Execution",
            "opts": self.opts,
            "original": row,
            "media": self.media,
            **self._describe(request, row),
        }
        return TemplateResponse(request, "admin/executions/execution/detail.html", context)

    def _describe(self, request: HttpRequest, row: Execution) -> dict[str, Any]:
        now = clock.now()
        handler = definitions.resolve_handler(row.job)
        lines = _lines(row)
        return {
            "row": row,
            "job": row.job,
            "job_name": shown.name(row.job.name, 120),
            "handler": handler,
            "is_http": handler == "http",
            "facts": _facts(row, now),
            "live": _live(row, now),
            "buttons": self.buttons(request, row),
            "lines": [_show_line(line) for line in lines],
            "last_line": lines[-1].id if lines else 0,
            "lines_cut": len(lines) == LINES,
            "request_headers": shown.code(
                secrets.masked(row.job.headers) if isinstance(row.job.headers, dict) else {}, empty=""
            ),
            "url": shown.outside_link(row.job.api_endpoint and mask_url(row.job.api_endpoint)),
            "payload": shown.code(
                masked(row.payload if row.payload is not None else row.job.payload), empty=""
            ),
            "payload_of_run": row.payload is not None,
            "response": shown.code(row.response_body, empty=""),
            "result": shown.code(masked(row.result), empty=""),
            "links": _links(row),
            "letter": DeadLetter.objects.filter(execution=row).first(),
        }

    def tail_view(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """What is new since the line `after`, as rendered pieces of the page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, str(key))
        if row is None:
            raise Http404
        after = filters.read_number(request.GET.get("after"))
        lines = list(row.logs.filter(id__gt=after).order_by("id")[:LINES])
        html = render_to_string(
            "admin/executions/execution/lines.html", {"lines": [_show_line(line) for line in lines]}
        )
        live = render_to_string("admin/executions/execution/live.html", {"live": _live(row, clock.now())})
        last = lines[-1].id if lines else after
        return JsonResponse(
            {
                "lines": html,
                "last": last,
                "live": live,
                "badge": shown.badge(row.status),
                "final": row.is_final,
            }
        )


def _lines(row: Execution) -> list[ExecutionLog]:
    """The newest lines, in order."""
    return list(row.logs.order_by("-id")[:LINES])[::-1]


def _show_line(line: ExecutionLog) -> dict[str, Any]:
    return {
        "level": line.log_level,
        "kind": line.log_level.lower(),
        "at": f"{line.timestamp:%H:%M:%S}.{line.timestamp.microsecond // 1000:03d}",
        "iso": line.timestamp.isoformat(),
        "message": line.message,
        "metadata": shown.pretty(line.metadata) if line.metadata else "",
    }


def _facts(row: Execution, now: Any) -> list[tuple[str, Any]]:
    zone = row.job.zone
    facts: list[tuple[str, Any]] = [
        ("Fire time", shown.when(row.scheduled_at, now, zone)),
        ("Id", str(row.id)),
        ("Trigger", f"{row.trigger}, by {row.triggered_by}" if row.triggered_by else row.trigger),
        ("Queue", f"{row.queue}, priority {row.priority}"),
    ]
    if row.output_altered:
        facts.append(("Output", "was cut or cleaned before it was stored"))
    if row.skipped_count:
        facts.append(("Stands for", f"{row.skipped_count} fire times"))
        facts.append(("The last of them", shown.moment(row.skipped_until, zone)))
    if row.lost_count:
        facts.append(("Lost workers", row.lost_count))
    return facts


def _live(row: Execution, now: Any) -> dict[str, Any]:
    """What changes while it waits and runs."""
    waits = waiting.waiting_for([row], now).get(row.id, "")
    total, processed = row.progress_total, row.progress_processed
    zone = row.job.zone
    runs = row.status == "RUNNING"
    left = time_left(done=processed, total=total, since=row.started_at, now=now) if runs else None
    return {
        "badge": shown.badge(row.status),
        "status": row.status,
        "waits": waits,
        "cancel_requested": row.cancel_requested and not row.is_final,
        "reason": row.get_reason_display() if row.reason else "",
        "error": row.error_message or "",
        "started": shown.when(row.started_at, now, zone),
        "ended": shown.when(row.completed_at, now, zone),
        "next_try": shown.when(row.next_attempt_at, now, zone) if row.status == "RETRYING" else "",
        "took": shown.duration(row.execution_duration_ms),
        "attempt": row.attempt,
        "retries": row.retry_count,
        "worker": row.locked_by or "",
        "http_status": row.http_status_code,
        "processed": row.total_processed,
        "success": row.total_success,
        "failure": row.total_failure,
        "progress_done": min(processed or 0, total) if total else processed,
        "progress_total": total,
        "percent": round(min(100.0, 100 * (processed or 0) / total)) if total else None,
        "left": shown.spell_span(left) if left is not None else "",
        "attempts": [
            {
                "number": attempt.attempt_number,
                "badge": shown.badge(attempt.status),
                "started": shown.moment(attempt.started_at, zone),
                "took": shown.duration((attempt.finished_at - attempt.started_at).total_seconds() * 1000)
                if attempt.finished_at
                else "…",
                "totals": f"{attempt.total_processed} / {attempt.total_success} / {attempt.total_failure}"
                if attempt.total_processed
                else shown.NOTHING,
                "reason": attempt.failure_reason or "",
                "worker": attempt.worker_id or "",
            }
            for attempt in row.attempts.order_by("attempt_number")[:100]
        ],
    }


def _links(row: Execution) -> list[tuple[str, SafeString]]:
    """Where a requeued run came from, and what was made of this one."""
    found = []
    if row.requeued_from:
        found.append(("Run again of", _link(row.requeued_from)))
    letter = DeadLetter.objects.filter(execution=row).first()
    if letter is not None:
        address = reverse("admin:executions_deadletter_change", args=(letter.pk,))
        word = shown.badge("resolved" if letter.resolved else "open")
        found.append(("Dead letter", shown.link(address, word)))
    # The job's own part of the ledger is small and indexed; requeued_from itself is not.
    again = Execution.objects.filter(job_id=row.job_id, scheduled_at=row.scheduled_at, requeued_from=row.id)
    found += [("Run again as", _link(key)) for key in again.values_list("id", flat=True)[:5]]
    return found


def _link(key: UUID) -> SafeString:
    return shown.link(reverse("admin:executions_execution_change", args=(key,)), str(key))
